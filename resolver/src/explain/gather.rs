//! From the leaves of the solver's proof to facts: equal thoughts about several versions become
//! one, and what follows from the form of the proof alone is left out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use blast_types::{MarkerTree, PackageName, QUARANTINED, Requirement};
use indexmap::{IndexMap, IndexSet};
use pubgrub::{DerivationTree, External, NoSolutionError, VersionSet as _};
use rustc_hash::{FxBuildHasher, FxHashSet};

use super::{Fact, words};
use crate::project::{Absence, Project};
use crate::ranks::Ranks;
use crate::reason::Reason;
use crate::solver::{Node, Solver};

/// Groups of versions of one package that are told apart; the rest are summed up.
const MAX_GROUPS: usize = 3;

type Tree = NoSolutionError<Solver<'static>>;

/// The leaves of a proof, by what they speak of.
#[derive(Debug, Default)]
struct Leaves {
    /// From a node to a package that its versions in the set require.
    edges: IndexMap<(Node, PackageName), Ranks, FxBuildHasher>,
    /// Where no candidate is left.
    empty: IndexMap<PackageName, Ranks, FxBuildHasher>,
    /// What the solver was told of single versions.
    refused: IndexMap<PackageName, Vec<(Ranks, Reason)>, FxBuildHasher>,
}

/// The facts of a proof, in the order of the search.
pub(super) fn facts(solver: &Solver<'_>, tree: &Tree) -> Vec<Fact> {
    let leaves = leaves(tree);
    let mut facts = Vec::from_iter(asked(solver, &leaves));
    for name in order(&leaves) {
        let Some(project) = solver.known(&name) else {
            continue;
        };
        facts.extend(missing(solver, &leaves, &project));
        facts.extend(unusable(solver, &leaves, &project));
        for ((node, target), ranks) in &leaves.edges {
            if node.name() == Some(&name) {
                for fact in depends(solver, &project, node, target, ranks) {
                    add(&mut facts, fact);
                }
            }
        }
    }
    facts
}

/// Adds a fact; what the same versions require is said in one sentence.
fn add(facts: &mut Vec<Fact>, fact: Fact) {
    if let Fact::Depends {
        package,
        versions,
        requirements,
    } = &fact
    {
        for known in facts.iter_mut() {
            if let Fact::Depends {
                package: same_package,
                versions: same_versions,
                requirements: all,
            } = known
                && same_package == package
                && same_versions == versions
            {
                all.extend_from_slice(requirements);
                all.sort();
                return;
            }
        }
    }
    facts.push(fact);
}

fn leaves(tree: &Tree) -> Leaves {
    let mut leaves = Leaves::default();
    let mut visited = FxHashSet::default();
    let mut stack = vec![tree];
    while let Some(tree) = stack.pop() {
        let external = match tree {
            DerivationTree::Derived(derived) => {
                for cause in [&derived.cause1, &derived.cause2] {
                    if visited.insert(Arc::as_ptr(cause)) {
                        stack.push(cause);
                    }
                }
                continue;
            }
            DerivationTree::External(external) => external,
        };
        match external {
            External::NotRoot(..) => {}
            External::NoVersions(node, ranks) => {
                if let Some(name) = node.name() {
                    unite(leaves.empty.entry(name.clone()), ranks);
                }
            }
            External::FromDependencyOf(node, ranks, target, _) => {
                if let Some(name) = target.name()
                    && node.name() != Some(name)
                {
                    unite(leaves.edges.entry((node.clone(), name.clone())), ranks);
                }
            }
            External::Custom(node, ranks, reason) => {
                if let Some(name) = node.name() {
                    let entry = leaves.refused.entry(name.clone()).or_default();
                    entry.push((ranks.clone(), reason.clone()));
                }
            }
        }
    }
    leaves
}

fn unite<K>(entry: indexmap::map::Entry<'_, K, Ranks>, ranks: &Ranks) {
    match entry {
        indexmap::map::Entry::Vacant(entry) => {
            entry.insert(ranks.clone());
        }
        indexmap::map::Entry::Occupied(mut entry) => {
            let union = entry.get().union(ranks);
            entry.insert(union);
        }
    }
}

/// The packages of the proof, those that the user names first, then by distance.
fn order(leaves: &Leaves) -> IndexSet<PackageName> {
    let mut ordered = IndexSet::new();
    let mut roots: Vec<_> = leaves
        .edges
        .keys()
        .filter(|(node, _)| *node == Node::Root)
        .collect();
    roots.sort();
    let mut queue: VecDeque<PackageName> =
        roots.into_iter().map(|(_, name)| name.clone()).collect();
    let mut rest: Vec<_> = leaves
        .edges
        .keys()
        .filter_map(|(node, _)| node.name())
        .collect();
    rest.sort();
    queue.extend(rest.into_iter().cloned());
    while let Some(name) = queue.pop_front() {
        if !ordered.insert(name.clone()) {
            continue;
        }
        let next = leaves
            .edges
            .keys()
            .filter(|(node, _)| node.name() == Some(&name));
        let mut next: Vec<_> = next.map(|(_, target)| target.clone()).collect();
        next.sort();
        for target in next.into_iter().rev() {
            queue.push_front(target);
        }
    }
    ordered
}

fn asked(solver: &Solver<'_>, leaves: &Leaves) -> Option<Fact> {
    let concerned = |name: &PackageName| {
        leaves
            .edges
            .keys()
            .any(|(node, target)| *node == Node::Root && target == name)
    };
    let roots = solver.policy().roots();
    let requirements: Vec<String> = roots
        .into_iter()
        .filter(|requirement| concerned(&requirement.name))
        .map(words::requirement)
        .collect();
    (!requirements.is_empty()).then_some(Fact::Asked { requirements })
}

/// Ranges that hold no release at all.
fn missing(solver: &Solver<'_>, leaves: &Leaves, project: &Project) -> Vec<Fact> {
    let package = project.name.clone();
    match project.absence {
        Some(Absence::NotFound) if project.len() == 0 => return vec![Fact::NotFound { package }],
        Some(Absence::NotCached) if project.len() == 0 => return vec![Fact::NotCached { package }],
        _ if project.len() == 0 && project.status() == Some(QUARANTINED) => {
            return vec![Fact::Quarantined { package }];
        }
        _ => {}
    }
    let mut unmet = IndexSet::new();
    for ((node, target), ranks) in &leaves.edges {
        if *target == package {
            let wanted = requirements(solver, node, target, ranks).into_keys();
            unmet.extend(wanted.filter_map(|wanted| wanted.empty_in(project)));
        }
    }
    let fact = |requirement| Fact::NoneInRange {
        package: package.clone(),
        requirement,
        existing: words::existing(project),
    };
    if unmet.len() > MAX_GROUPS {
        return vec![fact(None)];
    }
    unmet
        .into_iter()
        .map(|requirement| fact(Some(requirement)))
        .collect()
}

/// Releases in the ranges without candidate, by reason.
fn unusable(solver: &Solver<'_>, leaves: &Leaves, project: &Project) -> Vec<Fact> {
    let mut groups = IndexMap::<Reason, Vec<u32>>::new();
    if let Some(ranks) = leaves.empty.get(&project.name) {
        for rank in project.members(ranks) {
            if let Some(reason) = project.release(rank).reason(&project.name, solver.policy()) {
                groups.entry(words::alike(reason)).or_default().push(rank);
            }
        }
    }
    for (ranks, reason) in leaves.refused.get(&project.name).into_iter().flatten() {
        let members = project.members(ranks);
        groups.entry(reason.clone()).or_default().extend(members);
    }
    groups.sort_by(|_, a, _, b| b.len().cmp(&a.len()));
    groups
        .into_iter()
        .take(MAX_GROUPS)
        .map(|(why, ranks)| {
            let alone = match ranks.as_slice() {
                [rank] => project
                    .release(*rank)
                    .reason(&project.name, solver.policy()),
                _ => None,
            };
            let versions = words::versions(project, solver.policy(), project.name.as_str(), &ranks);
            Fact::Unusable {
                package: project.name.clone(),
                versions,
                why: alone.unwrap_or(why),
            }
        })
        .collect()
}

/// What a package's versions require of another.
fn depends(
    solver: &Solver<'_>,
    project: &Project,
    node: &Node,
    target: &PackageName,
    ranks: &Ranks,
) -> Vec<Fact> {
    let mut groups: Vec<_> = requirements(solver, node, target, ranks)
        .into_iter()
        .collect();
    // The newest versions first: they are what the user expected to get.
    groups.sort_by_key(|(_, ranks)| std::cmp::Reverse(ranks.iter().max().copied()));
    let package = node.to_string();
    let versions = |ranks: &[u32]| words::versions(project, solver.policy(), &package, ranks);
    match groups.as_slice() {
        [(newest, _), .., (oldest, _)] if groups.len() > MAX_GROUPS => {
            let all: Vec<u32> = groups
                .iter()
                .flat_map(|(_, ranks)| ranks.iter().copied())
                .collect();
            vec![Fact::DependsVariously {
                versions: versions(&all),
                newest: newest.texts(),
                oldest: oldest.texts(),
                package,
            }]
        }
        _ => groups
            .into_iter()
            .map(|(wanted, ranks)| Fact::Depends {
                package: package.clone(),
                versions: versions(&ranks),
                requirements: wanted.texts(),
            })
            .collect(),
    }
}

/// What one release requires of one package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Wanted(Vec<Requirement>);

impl Wanted {
    fn texts(&self) -> Vec<String> {
        self.0.iter().map(words::requirement).collect()
    }

    /// The first requirement that no release of the project meets.
    fn empty_in(&self, project: &Project) -> Option<String> {
        let found = self
            .0
            .iter()
            .find(|requirement| project.ranks_of(requirement).is_empty());
        found.map(words::requirement)
    }
}

/// The requirements behind an edge of the proof, and the ranks that state them.
fn requirements(
    solver: &Solver<'_>,
    node: &Node,
    target: &PackageName,
    ranks: &Ranks,
) -> BTreeMap<Wanted, Vec<u32>> {
    let policy = solver.policy();
    let mut groups = BTreeMap::<Wanted, Vec<u32>>::new();
    let mut add = |requirements: Vec<&Requirement>, rank: u32| {
        let mut wanted: Vec<_> = requirements
            .into_iter()
            .filter(|r| r.name == *target)
            .cloned()
            .collect();
        for requirement in &mut wanted {
            // All markers here hold; what they say is no difference.
            requirement.marker = MarkerTree::default();
        }
        wanted.sort();
        wanted.dedup();
        groups.entry(Wanted(wanted)).or_default().push(rank);
    };
    let (name, extra) = match node {
        Node::Root => {
            add(policy.roots(), 0);
            return groups;
        }
        Node::Base(name) => (name, None),
        Node::Extra(name, extra) => (name, Some(extra)),
    };
    let Some(project) = solver.known(name) else {
        return groups;
    };
    for rank in project.members(ranks) {
        if let Some(metadata) = project.read_metadata(rank) {
            add(policy.applicable(&metadata.requires_dist, extra), rank);
        }
    }
    groups
}
