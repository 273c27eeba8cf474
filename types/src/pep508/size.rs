//! How large a marker has become, which its text does not tell: a marker is kept as a decision
//! diagram, and twenty comparisons can make a million nodes.

use std::collections::{HashMap, HashSet};

use uv_pep508::{MarkerTree, MarkerTreeKind};

/// What follows each answer to a marker's first question.
fn branches(tree: MarkerTree) -> Vec<MarkerTree> {
    match tree.kind() {
        MarkerTreeKind::True | MarkerTreeKind::False => Vec::new(),
        MarkerTreeKind::Version(node) => node.edges().map(|(_, next)| next).collect(),
        MarkerTreeKind::String(node) => node.children().map(|(_, next)| next).collect(),
        MarkerTreeKind::In(node) => node.children().map(|(_, next)| next).collect(),
        MarkerTreeKind::Contains(node) => node.children().map(|(_, next)| next).collect(),
        MarkerTreeKind::List(node) => node.children().map(|(_, next)| next).collect(),
        MarkerTreeKind::Extra(node) => node.children().map(|(_, next)| next).collect(),
    }
}

/// Whether the diagram has more nodes than that. Takes no longer than there are nodes, or the limit.
pub(super) fn has_more_nodes(tree: MarkerTree, limit: usize) -> bool {
    let mut seen = HashSet::from([tree]);
    let mut open = vec![tree];
    while let Some(tree) = open.pop() {
        if seen.len() > limit {
            return true;
        }
        open.extend(branches(tree).into_iter().filter(|next| seen.insert(*next)));
    }
    false
}

/// In how many ways the marker can hold: the alternatives of its text before any of them are joined.
pub(super) fn ways(tree: MarkerTree) -> usize {
    fn count(tree: MarkerTree, known: &mut HashMap<MarkerTree, usize>) -> usize {
        if tree.is_true() || tree.is_false() {
            return usize::from(tree.is_true());
        }
        if let Some(ways) = known.get(&tree) {
            return *ways;
        }
        let ways = branches(tree)
            .into_iter()
            .fold(0_usize, |sum, next| sum.saturating_add(count(next, known)));
        known.insert(tree, ways);
        ways
    }
    count(tree, &mut HashMap::new())
}
