//! From the solver's choice of ranks to a [`crate::Resolution`]'s packages.
//!
//! The choice is walked from the user's requirements, so that only what is reached is part of the
//! answer, and every release that needs somebody's word (a withdrawn one, one from a URL) is seen
//! to have it. In a region the walk also says where each package is needed, and only then is it
//! seen whether a release supports all of that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use blast_types::{ExtraName, MarkerTree, PackageName, Requirement, VersionOrUrl, Yanked};
use pubgrub::SelectedDependencies;

use crate::error::ResolveError;
use crate::project::{Origin, Project, Release};
use crate::resolution::ResolvedPackage;
use crate::search::is_pin;
use crate::solver::{Node, Solver};
use crate::split::{self, Split};

/// What the walk found out about one package.
#[derive(Debug)]
struct Reached {
    /// Where somebody needs it.
    marker: MarkerTree,
    extras: BTreeSet<ExtraName>,
    dependencies: BTreeSet<PackageName>,
    /// Somebody in the answer pins the version or names the URL.
    vouched: bool,
}

impl Default for Reached {
    fn default() -> Self {
        Self {
            marker: MarkerTree::FALSE,
            extras: BTreeSet::new(),
            dependencies: BTreeSet::new(),
            vouched: false,
        }
    }
}

/// What came of a choice.
pub(crate) enum Assembled {
    /// The packages of the answer.
    Packages(Vec<ResolvedPackage>),
    /// The choice uses a release that nothing in it admits (which is noted, so that the next run
    /// does not).
    Again,
    /// The choice does not do for the whole region.
    Split(Split),
}

/// The packages of the answer.
pub(crate) fn assemble(
    solver: &Solver<'_>,
    selected: &SelectedDependencies<Node, u32>,
) -> Result<Assembled, ResolveError> {
    let reached = walk(solver, selected)?;
    let mut packages = Vec::with_capacity(reached.len());
    let mut lacking = Vec::new();
    for (name, reached) in reached {
        let (project, rank) = chosen(solver, selected, &name)?;
        let release = project.release(rank);
        let Some((file, yanked)) = release.usable(&name, solver.policy()) else {
            return Err(bug(&name, "was chosen, but is no candidate"));
        };
        let kept = solver.policy().preferred(&name).contains(&release.version);
        if (yanked && !kept || release.url().is_some()) && !reached.vouched {
            solver.learned.borrow_mut().deny(&name, release);
            return Ok(Assembled::Again);
        }
        let metadata = project
            .read_metadata(rank)
            .ok_or_else(|| bug(&name, "was chosen without its metadata"))?;
        if let Some(region) = solver.policy().scope.as_region() {
            lacking.extend(split::lacking(
                solver,
                region,
                (&name, release, &metadata),
                reached.marker,
            ));
        }
        packages.push(ResolvedPackage {
            marker: reached.marker,
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
    if let Some(split) = split::narrowest(lacking) {
        return Ok(Assembled::Split(split));
    }
    for package in &packages {
        warn(solver, package);
    }
    Ok(Assembled::Packages(packages))
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
    // PEP 792; what is installed or locked already has no page that was looked at.
    let project = solver.known(name);
    if let (Some(status), None) = (project.as_ref().and_then(|p| p.status()), &package.direct) {
        let meaning = match status {
            "archived" => ": no new versions are to be expected",
            "deprecated" => ": its authors advise against it",
            "quarantined" => ": it is thought to be unsafe",
            _ => "",
        };
        let status = status.escape_debug();
        let message = format!("{name} is marked as {status} on its index{meaning}");
        solver.reporter.warn(message);
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

/// What has been found out, and what is still to be followed.
#[derive(Debug, Default)]
struct Walk {
    reached: BTreeMap<PackageName, Reached>,
    /// Where each node is needed.
    needed: BTreeMap<Node, MarkerTree>,
    queue: VecDeque<Node>,
}

impl Walk {
    /// Notes that a node is needed there; what it leads to is looked at again if that is news.
    fn need(&mut self, node: Node, marker: MarkerTree) {
        let known = self.needed.get(&node).copied().unwrap_or(MarkerTree::FALSE);
        let both = known.or(marker);
        if both != known {
            self.needed.insert(node.clone(), both);
            self.queue.push_back(node);
        }
    }
}

fn walk(
    solver: &Solver<'_>,
    selected: &SelectedDependencies<Node, u32>,
) -> Result<BTreeMap<PackageName, Reached>, ResolveError> {
    let policy = solver.policy();
    let mut walk = Walk::default();
    let everywhere = policy
        .scope
        .as_region()
        .map_or(MarkerTree::TRUE, |region| region.marker);
    for requirement in policy.roots() {
        let marker = everywhere.and(policy.condition(requirement, None));
        note(solver, selected, requirement, marker, &mut walk)?;
    }
    while let Some(node) = walk.queue.pop_front() {
        let (name, extra) = match &node {
            Node::Root => continue,
            Node::Base(name) => (name, None),
            Node::Extra(name, extra) => (name, Some(extra)),
        };
        if policy.inputs.options.no_deps {
            continue;
        }
        let needed = walk.needed[&node];
        let (project, rank) = chosen(solver, selected, name)?;
        let metadata = project
            .read_metadata(rank)
            .ok_or_else(|| bug(name, "was chosen without its metadata"))?;
        for requirement in policy.applicable(&metadata.requires_dist, extra) {
            let marker = needed.and(policy.condition(requirement, extra));
            if marker.is_false() {
                continue;
            }
            if requirement.name != *name {
                let own = walk.reached.entry(name.clone()).or_default();
                own.dependencies.insert(requirement.name.clone());
            }
            note(solver, selected, requirement, marker, &mut walk)?;
        }
    }
    Ok(walk.reached)
}

/// Follows one requirement of the answer, which holds there.
fn note(
    solver: &Solver<'_>,
    selected: &SelectedDependencies<Node, u32>,
    requirement: &Requirement,
    marker: MarkerTree,
    walk: &mut Walk,
) -> Result<(), ResolveError> {
    if marker.is_false() {
        return Ok(());
    }
    let name = &requirement.name;
    let (project, rank) = chosen(solver, selected, name)?;
    let entry = walk.reached.entry(name.clone()).or_default();
    entry.marker = entry.marker.or(marker);
    entry.vouched |= vouches(requirement, project.release(rank));
    entry.extras.extend(requirement.extras.iter().cloned());
    walk.need(Node::Base(name.clone()), marker);
    for extra in &requirement.extras {
        walk.need(Node::Extra(name.clone(), extra.clone()), marker);
    }
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
