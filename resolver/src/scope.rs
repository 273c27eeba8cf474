//! Where an answer has to hold: on one target, or in a whole region of environments.
//!
//! A region is a marker. What a package requires there is what it requires in any environment of
//! the region, so an answer for a region asks for too much rather than too little; where that
//! leaves no answer, [`crate::universal`] splits the region.

use std::sync::{Mutex, PoisonError};

use blast_types::{
    ExtraName, MarkerTree, TagPriority, Target, Version, VersionSpecifiers, WheelFilename,
};
use rustc_hash::FxHashMap;

use crate::marker;

/// Where an answer has to hold.
#[derive(Debug)]
pub(crate) enum Scope {
    /// On one target.
    One {
        /// It.
        target: Target,
        /// The interpreter's version without what follows the release: a `Requires-Python` of
        /// `>=3.15` does admit a first alpha, as pip has it.
        python: Version,
    },
    /// In every environment of a region.
    Region(Region),
}

/// A set of environments.
#[derive(Debug)]
pub(crate) struct Region {
    /// Which.
    pub(crate) marker: MarkerTree,
    /// The target that the user asks from; wheels that fit it are read first.
    target: Target,
    /// What wheels' tags mean, by the tags: pages repeat them.
    wheels: Mutex<FxHashMap<Box<str>, MarkerTree>>,
    /// What `Requires-Python` means, by its text.
    pythons: Mutex<FxHashMap<VersionSpecifiers, MarkerTree>>,
}

/// How well a wheel fits; the greatest is read first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    /// Some environment of the region.
    Elsewhere,
    /// The target.
    Here(TagPriority),
}

impl Scope {
    /// One target.
    pub(crate) fn one(target: Target) -> Self {
        let python = target.markers.python_full_version().version.only_release();
        Self::One { target, python }
    }

    /// The environments of a marker, asked for from a target.
    pub(crate) fn region(marker: MarkerTree, target: Target) -> Self {
        Self::Region(Region {
            marker,
            target,
            wheels: Mutex::default(),
            pythons: Mutex::default(),
        })
    }

    /// The region, if the answer is for one.
    pub(crate) fn as_region(&self) -> Option<&Region> {
        match self {
            Self::One { .. } => None,
            Self::Region(region) => Some(region),
        }
    }

    /// The target, or the one that the user asks from.
    pub(crate) fn target(&self) -> &Target {
        match self {
            Self::One { target, .. } => target,
            Self::Region(region) => &region.target,
        }
    }

    /// Where in the scope a marker holds with these extras; never true is what holds nowhere. On
    /// one target the answer is true or false.
    pub(crate) fn condition(&self, marker: MarkerTree, extras: &[ExtraName]) -> MarkerTree {
        if marker.is_true() {
            return marker;
        }
        match self {
            Self::One { target, .. } => {
                if marker.evaluate(&target.markers, extras) {
                    MarkerTree::TRUE
                } else {
                    MarkerTree::FALSE
                }
            }
            Self::Region(region) => {
                let left = marker::with_extras(marker, extras);
                if left.is_disjoint(region.marker) {
                    MarkerTree::FALSE
                } else {
                    left
                }
            }
        }
    }

    /// Whether a marker holds somewhere in the scope.
    pub(crate) fn admits(&self, marker: MarkerTree, extras: &[ExtraName]) -> bool {
        !self.condition(marker, extras).is_false()
    }

    /// Whether an extra's marker holds somewhere where it does not hold without the extra.
    pub(crate) fn adds(&self, marker: MarkerTree, extra: &ExtraName) -> bool {
        match self {
            Self::One { target, .. } => {
                marker.evaluate(&target.markers, std::slice::from_ref(extra))
                    && !marker.evaluate(&target.markers, &[])
            }
            Self::Region(region) => {
                let with = marker::with_extras(marker, std::slice::from_ref(extra));
                let without = marker::with_extras(marker, &[]);
                !with.and(without.negate()).is_disjoint(region.marker)
            }
        }
    }

    /// Whether a `Requires-Python` admits a Python of the scope.
    pub(crate) fn admits_python(&self, specifiers: &VersionSpecifiers) -> bool {
        match self {
            Self::One { python, .. } => specifiers.contains(python),
            Self::Region(region) => !region.pythons(specifiers).is_disjoint(region.marker),
        }
    }

    /// The Python of the scope, in words.
    pub(crate) fn python_words(&self) -> String {
        match self {
            Self::One { python, .. } => python.to_string(),
            Self::Region(region) => region
                .marker
                .try_to_string()
                .unwrap_or_else(|| "any Python".to_owned()),
        }
    }

    /// How well a wheel fits the scope, if at all.
    pub(crate) fn fit(&self, wheel: &WheelFilename) -> Option<Fit> {
        let here = self.target().fit(wheel);
        match self {
            Self::One { .. } => here.map(Fit::Here),
            Self::Region(region) => {
                if region.wheel(wheel).is_disjoint(region.marker) {
                    return None;
                }
                Some(here.map_or(Fit::Elsewhere, Fit::Here))
            }
        }
    }
}

impl Region {
    /// Whether a marker holds everywhere in the region.
    pub(crate) fn is_within(&self, marker: MarkerTree) -> bool {
        marker.is_true() || self.marker.is_disjoint(marker.negate())
    }

    /// Where a wheel can be installed, as far as markers can tell.
    pub(crate) fn wheel(&self, wheel: &WheelFilename) -> MarkerTree {
        let tags = marker::tags_of(&wheel.to_string());
        let mut known = self.wheels.lock().unwrap_or_else(PoisonError::into_inner);
        *known
            .entry(tags.as_str().into())
            .or_insert_with(|| marker::of_tags(&tags))
    }

    /// Which Pythons a `Requires-Python` means.
    pub(crate) fn pythons(&self, specifiers: &VersionSpecifiers) -> MarkerTree {
        let mut known = self.pythons.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(marker) = known.get(specifiers) {
            return *marker;
        }
        let marker = marker::of_requires_python(specifiers);
        known.insert(specifiers.clone(), marker);
        marker
    }
}
