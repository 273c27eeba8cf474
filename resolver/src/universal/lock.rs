//! From a universal answer to a lock, and from a lock to the forks to begin with.

use blast_types::{ExtraName, GroupName, MarkerTree, Requirement};

use super::Universal;
use crate::lock::{Known, Limits, Lock, LockError, LockedPackage, LockedSource, MadeFrom};
use crate::marker;
use crate::resolution::ResolvedPackage;

/// What a project lets be chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choices {
    /// Its extras.
    pub extras: Vec<ExtraName>,
    /// Its dependency groups.
    pub groups: Vec<GroupName>,
    /// Those of the groups that are installed unless others are chosen.
    pub default_groups: Vec<GroupName>,
    /// What it says itself that limits versions; what else does is not remembered.
    pub limits: Limits,
}

impl Universal {
    /// The answer as a lock; of a whole project, if it says what that lets be chosen.
    ///
    /// # Errors
    /// A file without a hash cannot be locked.
    pub fn lock(&self, project: Option<Choices>) -> Result<Lock, LockError> {
        let requirements = project.as_ref().map(|_| self.requirements.clone());
        let choices = project.unwrap_or_default();
        let packages = self.packages.iter().map(|package| self.locked(package));
        let forks: Vec<_> = self.forks.iter().map(|fork| fork.marker).collect();
        let (environments, forks) = if forks.len() < 2 {
            (Vec::new(), Vec::new())
        } else if forks.iter().any(|fork| speaks_of_choices(*fork)) {
            (Vec::new(), forks)
        } else {
            (forks, Vec::new())
        };
        Ok(Lock {
            environments,
            requires_python: self.requires_python.clone(),
            extras: choices.extras,
            dependency_groups: choices.groups,
            default_groups: choices.default_groups,
            created_by: "blast".to_owned(),
            packages: packages.collect::<Result<_, _>>()?,
            made_from: Some(MadeFrom {
                requirements,
                limits: choices.limits,
                forks,
            }),
            passed_over: None,
        })
    }

    fn locked(&self, package: &ResolvedPackage) -> Result<LockedPackage, LockError> {
        let mut locked = LockedPackage::new(package)?;
        let extras: Vec<_> = package.extras.iter().cloned().collect();
        // Of the extras that nobody asked for nothing is said.
        let asked = |requirement: &&Requirement| {
            let left = marker::with_extras(requirement.marker, &[]);
            let each = extras
                .iter()
                .map(|extra| marker::with_extras(requirement.marker, std::slice::from_ref(extra)));
            !each.fold(left, MarkerTree::or).is_disjoint(self.all)
        };
        let requires = package.metadata.requires_dist.iter().filter(asked);
        locked.known = Some(Known {
            requires: requires.cloned().collect(),
            extras,
        });
        if let LockedSource::Files { wheels, .. } = &mut locked.source {
            let needed = package.marker.and(self.all);
            wheels.retain(|wheel| {
                let tags = marker::tags_of(&wheel.name);
                !marker::of_tags(&tags).is_disjoint(needed)
            });
        }
        Ok(locked)
    }
}

/// Whether a marker depends on extras or groups, which `environments` must not.
fn speaks_of_choices(marker: MarkerTree) -> bool {
    let text = marker.try_to_string().unwrap_or_default();
    text.contains(" in extras") || text.contains(" in dependency_groups")
}

/// The forks that a lock names; none if it was made for one environment.
pub(super) fn forks(lock: &Lock) -> Vec<MarkerTree> {
    match &lock.made_from {
        Some(made_from) if !made_from.forks.is_empty() => made_from.forks.clone(),
        Some(_) => lock.environments.clone(),
        None => Vec::new(),
    }
}
