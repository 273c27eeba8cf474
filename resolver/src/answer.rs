//! From the solver's choice of ranks to a [`crate::Resolution`]'s packages.
//!
//! The choice is walked from the user's requirements, so that only what is reached is part of the
//! answer, and every release that needs somebody's word (a withdrawn one, one from a URL) is seen
//! to have it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use blast_types::{ExtraName, PackageName, Requirement, VersionOrUrl, Yanked};
use pubgrub::SelectedDependencies;
use rustc_hash::FxHashSet;

use crate::error::ResolveError;
use crate::project::{Origin, Project, Release};
use crate::resolution::ResolvedPackage;
use crate::search::is_pin;
use crate::solver::{Node, Solver};

/// What the walk found out about one package.
#[derive(Debug, Default)]
struct Reached {
    extras: BTreeSet<ExtraName>,
    dependencies: BTreeSet<PackageName>,
    /// Somebody in the answer pins the version or names the URL.
    vouched: bool,
}

/// The packages of the answer; `None` if the choice uses a release that nothing in it admits
/// (which is noted, so that the next run does not).
pub(crate) fn assemble(
    solver: &Solver<'_>,
    selected: &SelectedDependencies<Node, u32>,
) -> Result<Option<Vec<ResolvedPackage>>, ResolveError> {
    let reached = walk(solver, selected)?;
    let mut packages = Vec::with_capacity(reached.len());
    for (name, reached) in reached {
        let (project, rank) = chosen(solver, selected, &name)?;
        let release = project.release(rank);
        let Some((file, yanked)) = release.usable(&name, solver.policy()) else {
            return Err(bug(&name, "was chosen, but is no candidate"));
        };
        let kept = solver.policy().inputs.preferences.get(&name) == Some(&release.version);
        if (yanked && !kept || release.url().is_some()) && !reached.vouched {
            solver.learned.borrow_mut().deny(&name, release);
            return Ok(None);
        }
        let metadata = project
            .read_metadata(rank)
            .ok_or_else(|| bug(&name, "was chosen without its metadata"))?;
        packages.push(ResolvedPackage {
            version: release.version.clone(),
            extras: reached.extras,
            file: file.clone(),
            all_files: release.origin.files().to_vec(),
            index: match &release.origin {
                Origin::Index(..) => project.index_of(file).clone(),
                Origin::Url(..) => Arc::from(""),
            },
            metadata,
            direct: release.url().cloned(),
            locked: match &release.origin {
                Origin::Index(..) => None,
                Origin::Url(_, dist) => dist.locked.clone(),
            },
            requested: solver.policy().is_requested(&name),
            dependencies: reached.dependencies.into_iter().collect(),
            name,
        });
    }
    for package in &packages {
        warn(solver, package);
    }
    Ok(Some(packages))
}

/// Says what the user should know of an answer that stands all the same.
fn warn(solver: &Solver<'_>, package: &ResolvedPackage) {
    let ResolvedPackage {
        name,
        version,
        metadata,
        ..
    } = package;
    if let (Yanked::Yes(why), None) = (&package.file.yanked, &package.direct) {
        let why = why
            .as_ref()
            .map(|why| format!(": {}", why.escape_debug()))
            .unwrap_or_default();
        solver.reporter.warn(format!(
            "{name} {version} was withdrawn by its authors{why}"
        ));
    }
    for extra in &package.extras {
        let requirements = solver
            .policy()
            .applicable(&metadata.requires_dist, Some(extra));
        if requirements.is_empty() && !metadata.provides_extra.contains(extra) {
            solver
                .reporter
                .warn(format!("{name} {version} has no extra `{extra}`"));
        }
    }
}

fn walk(
    solver: &Solver<'_>,
    selected: &SelectedDependencies<Node, u32>,
) -> Result<BTreeMap<PackageName, Reached>, ResolveError> {
    let policy = solver.policy();
    let mut reached = BTreeMap::<PackageName, Reached>::new();
    let mut visited = FxHashSet::default();
    let mut queue = VecDeque::new();
    for requirement in policy.roots() {
        note(solver, selected, requirement, &mut reached, &mut queue)?;
    }
    while let Some(node) = queue.pop_front() {
        let (name, extra) = match &node {
            Node::Root => continue,
            Node::Base(name) => (name, None),
            Node::Extra(name, extra) => (name, Some(extra)),
        };
        if !visited.insert(node.clone()) || policy.inputs.options.no_deps {
            continue;
        }
        let (project, rank) = chosen(solver, selected, name)?;
        let metadata = project
            .read_metadata(rank)
            .ok_or_else(|| bug(name, "was chosen without its metadata"))?;
        for requirement in policy.applicable(&metadata.requires_dist, extra) {
            if requirement.name != *name {
                let own = reached.entry(name.clone()).or_default();
                own.dependencies.insert(requirement.name.clone());
            }
            note(solver, selected, requirement, &mut reached, &mut queue)?;
        }
    }
    Ok(reached)
}

/// Follows one requirement of the answer.
fn note(
    solver: &Solver<'_>,
    selected: &SelectedDependencies<Node, u32>,
    requirement: &Requirement,
    reached: &mut BTreeMap<PackageName, Reached>,
    queue: &mut VecDeque<Node>,
) -> Result<(), ResolveError> {
    let name = &requirement.name;
    let (project, rank) = chosen(solver, selected, name)?;
    let entry = reached.entry(name.clone()).or_default();
    entry.vouched |= vouches(requirement, project.release(rank));
    entry.extras.extend(requirement.extras.iter().cloned());
    queue.push_back(Node::Base(name.clone()));
    queue.extend(
        requirement
            .extras
            .iter()
            .map(|extra| Node::Extra(name.clone(), extra.clone())),
    );
    Ok(())
}

fn vouches(requirement: &Requirement, release: &Release) -> bool {
    match &requirement.version_or_url {
        None => false,
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => {
            release.url().is_none() && specifiers.iter().any(is_pin)
        }
        Some(VersionOrUrl::Url(url)) => release.url() == Some(url),
    }
}

fn chosen(
    solver: &Solver<'_>,
    selected: &SelectedDependencies<Node, u32>,
    name: &PackageName,
) -> Result<(Arc<Project>, u32), ResolveError> {
    let rank = selected.get(&Node::Base(name.clone()));
    match (solver.known(name), rank) {
        (Some(project), Some(rank)) => Ok((project, *rank)),
        _ => Err(bug(name, "is needed by the answer, but not part of it")),
    }
}

fn bug(name: &PackageName, what: &str) -> ResolveError {
    ResolveError::Bug(format!("{name} {what}"))
}
