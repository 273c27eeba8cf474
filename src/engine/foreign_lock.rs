//! A lock that was made for another platform or Python: what fits here is followed to the letter, and
//! only what does not is resolved again, with the lock's versions preferred. What that changed is
//! told, since hashes of the lock vouch for the rest alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use blast_resolver::lock::{Artifact as Locked, Lock, LockedPackage, SelectError};
use blast_types::{ExtraName, GroupName, PackageName, Target};

use super::change::Job;
use super::error::EngineError;
use super::follow_lock::{Wrong, planned, sources};
use super::lock::requirement_of;
use super::plan::{Plan, Planned};
use super::requirements::parse;
use super::resolve;
use crate::ipc::protocol::ResolveOptions;

/// Whether a lock that is refused so may be followed in part.
pub(super) fn is_foreign(why: &SelectError) -> bool {
    match why {
        SelectError::Environment(_)
        | SelectError::Python { .. }
        | SelectError::PackagePython { .. }
        | SelectError::NoFile(_) => true,
        SelectError::Extra(_) | SelectError::Group(_) | SelectError::Ambiguous(_) => false,
    }
}

/// The plan that keeps as much of the lock at `path` as fits `target`; `why` it cannot be followed.
pub(super) async fn adapt(
    job: &Job,
    (path, lock): (&Path, &Lock),
    target: Target,
    (extras, groups): (&[ExtraName], &[GroupName]),
    options: &ResolveOptions,
    why: &SelectError,
) -> Result<Plan, EngineError> {
    let here: Vec<_> = lock
        .packages
        .iter()
        .filter(|package| {
            package
                .marker
                .evaluate_pep751(&target.markers, extras, groups)
        })
        .collect();
    let mut requirements = Vec::new();
    for package in asked_for(&here) {
        let source = sources(path, package).map_err(unusable(path))?;
        let text = source.map_or_else(
            || package.name.to_string(),
            |source| format!("{} @ {}", package.name, source.url()),
        );
        requirements.push(parse(&text, None)?);
    }
    let mut inputs = resolve::with_options(requirements, target.clone(), options, &*job.reporter)?;
    inputs.preferences = here
        .iter()
        .filter_map(|package| Some((package.name.clone(), package.version.clone()?)))
        .collect();
    let mut plan = resolve::solved(job, inputs).await?;
    let locked: BTreeMap<_, _> = here
        .iter()
        .map(|package| (&package.name, *package))
        .collect();
    let mut told = Told::default();
    for chosen in &mut plan.packages {
        let package = locked.get(&chosen.name).copied();
        match package
            .map(|package| follow(path, package, &target, chosen))
            .transpose()?
        {
            Some(Followed::Exactly(same)) => *chosen = *same,
            Some(Followed::Source) => {}
            Some(Followed::OtherFile) => told.files.push(chosen.artifact.file.filename.to_string()),
            Some(Followed::OtherVersion(from)) => {
                told.versions
                    .push(format!("{} {from} -> {}", chosen.name, chosen.version));
            }
            None => told
                .added
                .push(format!("{} {}", chosen.name, chosen.version)),
        }
    }
    let kept: BTreeSet<_> = plan.packages.iter().map(|planned| &planned.name).collect();
    let gone = locked.keys().filter(|name| !kept.contains(**name));
    told.removed = gone.map(ToString::to_string).collect();
    plan.requirements = plan.packages.iter().filter_map(requirement_of).collect();
    told.tell(job, path, why);
    Ok(plan)
}

fn unusable(path: &Path) -> impl Fn(Wrong) -> EngineError {
    move |source| EngineError::Lock {
        path: path.to_owned(),
        source,
    }
}

/// What nothing else in the lock depends on.
fn asked_for<'a>(here: &[&'a LockedPackage]) -> Vec<&'a LockedPackage> {
    let depended: BTreeSet<&PackageName> = here
        .iter()
        .flat_map(|package| &package.dependencies)
        .collect();
    let asked = here
        .iter()
        .filter(|package| !depended.contains(&package.name));
    asked.copied().collect()
}

/// How far a package of the plan is that of the lock.
enum Followed {
    /// The very file.
    Exactly(Box<Planned>),
    /// The sources that the lock names.
    Source,
    /// The same version from a file that the lock does not have.
    OtherFile,
    /// Another version than this.
    OtherVersion(String),
}

fn follow(
    path: &Path,
    package: &LockedPackage,
    target: &Target,
    chosen: &Planned,
) -> Result<Followed, EngineError> {
    if chosen.direct_url.is_some() {
        return Ok(Followed::Source);
    }
    if package.version.as_ref() != Some(&chosen.version) {
        let from = package.version.as_ref().map(ToString::to_string);
        return Ok(Followed::OtherVersion(from.unwrap_or_default()));
    }
    match package.file_for(target) {
        Ok(Locked::Wheel(file)) => {
            let same = planned(path, package, file, chosen.requested).map_err(unusable(path))?;
            Ok(Followed::Exactly(Box::new(same)))
        }
        _ => Ok(Followed::OtherFile),
    }
}

/// What is otherwise than in the lock.
#[derive(Default)]
struct Told {
    versions: Vec<String>,
    files: Vec<String>,
    added: Vec<String>,
    removed: Vec<String>,
}

impl Told {
    fn tell(&self, job: &Job, path: &Path, why: &SelectError) {
        job.reporter.warn(format!(
            "{}: {why}; what does not fit here was resolved again",
            path.display()
        ));
        for (what, list) in [
            ("other versions", &self.versions),
            ("files that the lock does not vouch for", &self.files),
            ("not in the lock", &self.added),
            ("not needed here", &self.removed),
        ] {
            if !list.is_empty() {
                job.reporter.warn(format!("{what}: {}", list.join(", ")));
            }
        }
    }
}
