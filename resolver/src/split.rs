//! Where a region has to be split, and why.
//!
//! A search in a region takes every requirement of any of its environments at once. So what it
//! finds is right for all of them, and what it does not find may be due to requirements that never
//! meet. A split is along the marker of such a requirement, or along what a release supports; if
//! nothing of the kind takes part in a conflict, the conflict is in every environment of the
//! region.

use std::collections::BTreeSet;
use std::sync::Arc;

use blast_types::{CoreMetadata, DistKind, ExtraName, MarkerTree, PackageName, Requirement};
use pubgrub::{DerivationTree, External, NoSolutionError};
use rustc_hash::FxHashSet;

use crate::marker;
use crate::project::Release;
use crate::scope::Region;
use crate::solver::{Node, Solver, Stop};

/// A marker that holds in one part of a region and not in another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Split {
    /// The marker.
    pub(crate) marker: MarkerTree,
    /// Why the parts need answers of their own; a sentence.
    pub(crate) why: String,
}

/// Whether a marker tells parts of a region apart.
fn divides(region: &Region, marker: MarkerTree) -> bool {
    !region.is_within(marker) && !region.marker.is_disjoint(marker)
}

/// Requirements of one origin on one package exclude each other: is it that they never meet?
pub(crate) fn of_siblings(
    solver: &Solver<'_>,
    of: Option<(&PackageName, u32)>,
    extra: Option<&ExtraName>,
    requirements: &[&Requirement],
    name: &PackageName,
) -> Result<(), Stop> {
    let policy = solver.policy();
    let Some(region) = policy.scope.as_region() else {
        return Ok(());
    };
    let of = match of {
        None => "you require".to_owned(),
        Some((name, rank)) => match solver.known(name) {
            Some(project) => format!("{name} {} requires", project.version(rank)),
            None => format!("{name} requires"),
        },
    };
    let siblings = || requirements.iter().filter(|sibling| sibling.name == *name);
    let mut dividing = siblings()
        .map(|sibling| policy.condition(sibling, extra))
        .filter(|marker| divides(region, *marker));
    match dividing.next() {
        None => Ok(()),
        Some(marker) => {
            let texts: BTreeSet<_> = siblings().map(|sibling| format!("`{sibling}`")).collect();
            let texts: Vec<_> = texts.into_iter().collect();
            Err(Stop::Split(Split {
                marker,
                why: format!("{of} {}", texts.join(" and ")),
            }))
        }
    }
}

/// There is no answer: is it that requirements of the proof never meet?
pub(crate) fn of_proof(solver: &Solver<'_>, tree: &NoSolutionError<Solver<'_>>) -> Option<Split> {
    let policy = solver.policy();
    let region = policy.scope.as_region()?;
    let mut found = BTreeSet::new();
    let mut note = |of: &str, extra: Option<&ExtraName>, requirement: &Requirement, far: bool| {
        let marker = policy.condition(requirement, extra);
        if divides(region, marker) {
            let text = requirement.to_string();
            found.insert((far, text, of.to_owned(), marker));
        }
    };
    for (node, ranks, target) in edges(tree) {
        let (name, extra) = match &node {
            Node::Root => {
                for requirement in policy.roots() {
                    if requirement.name == target {
                        note("you require", None, requirement, false);
                    }
                }
                continue;
            }
            Node::Base(name) => (name, None),
            Node::Extra(name, extra) => (name, Some(extra)),
        };
        let Some(project) = solver.known(name) else {
            continue;
        };
        for rank in project.members(&ranks) {
            let Some(metadata) = project.read_metadata(rank) else {
                continue;
            };
            let of = format!("{name} {} requires", project.version(rank));
            for requirement in policy.applicable(&metadata.requires_dist, extra) {
                if requirement.name == target {
                    note(&of, extra, requirement, true);
                }
            }
        }
    }
    let (_, text, of, marker) = found.into_iter().next()?;
    Some(Split {
        marker,
        why: format!("{of} `{text}`, which excludes what is required elsewhere"),
    })
}

/// What requires what, in a proof.
fn edges(tree: &NoSolutionError<Solver<'_>>) -> Vec<(Node, crate::ranks::Ranks, PackageName)> {
    let mut found = Vec::new();
    let mut visited = FxHashSet::default();
    let mut stack = vec![tree];
    while let Some(tree) = stack.pop() {
        match tree {
            DerivationTree::Derived(derived) => {
                for cause in [&derived.cause1, &derived.cause2] {
                    if visited.insert(Arc::as_ptr(cause)) {
                        stack.push(cause);
                    }
                }
            }
            DerivationTree::External(External::FromDependencyOf(node, ranks, target, _)) => {
                if let Some(name) = target.name() {
                    found.push((node.clone(), ranks.clone(), name.clone()));
                }
            }
            DerivationTree::External(External::Custom(node, ranks, _)) => {
                // It contradicts itself.
                if let Some(name) = node.name() {
                    found.push((node.clone(), ranks.clone(), name.clone()));
                }
            }
            DerivationTree::External(External::NotRoot(..) | External::NoVersions(..)) => {}
        }
    }
    found
}

/// What of the part of a region where a package is needed its chosen release does not support.
pub(crate) fn lacking(
    solver: &Solver<'_>,
    region: &Region,
    (name, release, metadata): (&PackageName, &Release, &CoreMetadata),
    needed: MarkerTree,
) -> Option<Split> {
    let policy = solver.policy();
    let mut pythons = MarkerTree::FALSE;
    let mut wheels = MarkerTree::FALSE;
    for file in release.admitted(name, policy) {
        let of_file = file.requires_python.as_ref();
        let python = of_file.map_or(MarkerTree::TRUE, |specifiers| region.pythons(specifiers));
        pythons = pythons.or(python);
        wheels = wheels.or(match &file.kind {
            DistKind::Sdist(_) => MarkerTree::TRUE,
            DistKind::Wheel(wheel) => region.wheel(wheel),
        });
    }
    if let Some(specifiers) = &metadata.requires_python {
        pythons = pythons.and(region.pythons(specifiers));
    }
    if !needed.is_disjoint(pythons.negate()) && divides(region, pythons) {
        let python = marker_words(pythons);
        return Some(Split {
            marker: pythons,
            why: format!("{name} {} is for {python} only", release.version),
        });
    }
    let here = marker::of_target(policy.scope.target());
    let wanted = needed.and(here);
    if !wanted.is_false() && wanted.is_disjoint(wheels) && divides(region, here) {
        return Some(Split {
            marker: here,
            why: format!(
                "{name} {} has no wheel for {}, where this lock is made",
                release.version,
                marker_words(here)
            ),
        });
    }
    None
}

fn marker_words(marker: MarkerTree) -> String {
    let text = marker.try_to_string().unwrap_or_default();
    format!("`{text}`")
}

/// Of splits that are all needed the one that leaves the newest Pythons alone: they come first,
/// and what they get is preferred for the others.
pub(crate) fn narrowest(splits: Vec<Split>) -> Option<Split> {
    splits.into_iter().reduce(|narrow, split| {
        let within = |a: MarkerTree, b: MarkerTree| a.is_disjoint(b.negate());
        if within(split.marker, narrow.marker) && !within(narrow.marker, split.marker) {
            split
        } else {
            narrow
        }
    })
}
