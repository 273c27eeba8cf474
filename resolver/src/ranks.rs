//! Sets of ranks: what the solver computes with instead of version ranges.
//!
//! A rank is the position of a release in its project. Sets are kept in half-open segments, so
//! that neighbouring releases merge into one segment and equal sets are equal structures; a search
//! that walks through a thousand releases of one package ends with one segment, not a thousand.

use std::fmt;
use std::ops::Bound;

use pubgrub::{Ranges, VersionSet};

/// A set of ranks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Ranks(Ranges<u32>);

impl Ranks {
    /// The ranks from `low` to before `high`.
    pub(crate) fn span(low: u32, high: u32) -> Self {
        if low < high {
            Self(Ranges::from_range_bounds(low..high))
        } else {
            Self(Ranges::empty())
        }
    }

    /// The set of one rank.
    pub(crate) fn one(rank: u32) -> Self {
        Self::span(rank, rank.saturating_add(1))
    }

    /// The members below `len` as half-open segments, ascending.
    pub(crate) fn segments(&self, len: u32) -> Vec<(u32, u32)> {
        let segment = |(lower, upper): (&Bound<u32>, &Bound<u32>)| {
            let low = match lower {
                Bound::Unbounded => 0,
                Bound::Included(rank) => *rank,
                Bound::Excluded(rank) => rank.saturating_add(1),
            };
            let high = match upper {
                Bound::Unbounded => len,
                Bound::Included(rank) => rank.saturating_add(1).min(len),
                Bound::Excluded(rank) => (*rank).min(len),
            };
            (low, high)
        };
        self.0
            .iter()
            .map(segment)
            .filter(|(low, high)| low < high)
            .collect()
    }

    /// Whether at most one rank is in the set.
    pub(crate) fn is_narrow(&self) -> bool {
        let mut count = 0_u32;
        for (lower, upper) in self.0.iter() {
            let (Bound::Included(low), Bound::Excluded(high)) = (lower, upper) else {
                return false;
            };
            count = count.saturating_add(high - low);
        }
        count <= 1
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Ranks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl VersionSet for Ranks {
    type V = u32;

    fn empty() -> Self {
        Self(Ranges::empty())
    }

    fn singleton(rank: u32) -> Self {
        Self::one(rank)
    }

    fn complement(&self) -> Self {
        Self(self.0.complement())
    }

    fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0))
    }

    fn contains(&self, rank: &u32) -> bool {
        self.0.contains(rank)
    }

    fn full() -> Self {
        Self(Ranges::full())
    }

    fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0))
    }

    fn is_disjoint(&self, other: &Self) -> bool {
        self.0.is_disjoint(&other.0)
    }

    fn subset_of(&self, other: &Self) -> bool {
        self.0.subset_of(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use pubgrub::VersionSet as _;

    use super::Ranks;

    #[test]
    fn neighbours_merge_and_equal_sets_are_equal() {
        let two = Ranks::one(3).union(&Ranks::one(4));
        assert_eq!(two, Ranks::span(3, 5));
        assert_eq!(two.segments(10), [(3, 5)]);
        assert_eq!(two.intersection(&Ranks::one(4).complement()), Ranks::one(3));
    }

    #[test]
    fn narrow_means_one_member_at_most() {
        assert!(Ranks::one(7).is_narrow());
        assert!(Ranks::empty().is_narrow());
        assert!(!Ranks::span(1, 3).is_narrow());
        assert!(!Ranks::one(1).union(&Ranks::one(9)).is_narrow());
        assert!(!Ranks::one(1).complement().is_narrow());
    }

    #[test]
    fn segments_end_where_the_project_ends() {
        assert_eq!(Ranks::one(2).complement().segments(5), [(0, 2), (3, 5)]);
        assert_eq!(Ranks::full().segments(0), []);
    }
}
