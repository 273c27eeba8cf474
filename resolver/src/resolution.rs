//! What a resolution answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use blast_types::{
    CoreMetadata, DistFile, ExtraName, MarkerTree, PackageName, VerbatimUrl, Version,
};

use crate::lock::LockedSource;

/// A consistent set of versions that meets every requirement, and nothing besides.
#[derive(Debug, Clone)]
pub struct Resolution {
    /// The packages, sorted by name.
    pub packages: Vec<ResolvedPackage>,
    /// What finding them took.
    pub statistics: Statistics,
}

impl Resolution {
    /// The package of that name, if it is part of the answer.
    pub fn package(&self, name: &PackageName) -> Option<&ResolvedPackage> {
        self.packages
            .binary_search_by(|package| package.name.cmp(name))
            .ok()
            .map(|found| &self.packages[found])
    }
}

/// One package of the answer.
#[derive(Debug, Clone)]
pub struct ResolvedPackage {
    /// Its name.
    pub name: PackageName,
    /// Its version, as the index or the artifact spells it.
    pub version: Version,
    /// Where it is needed; always true for one target.
    pub marker: MarkerTree,
    /// The extras that somebody asked for.
    pub extras: BTreeSet<ExtraName>,
    /// The file to install: the wheel that fits the target best, else the source distribution.
    pub file: Arc<DistFile>,
    /// Every file of that version, for a lock; only `file` where the package came by URL.
    pub all_files: Vec<Arc<DistFile>>,
    /// The index that has it; empty where the package came by URL.
    pub index: Arc<str>,
    /// What the chosen file says of itself.
    pub metadata: Arc<CoreMetadata>,
    /// The URL, where a requirement named one.
    pub direct: Option<VerbatimUrl>,
    /// How a lock states where it comes from, where that is more than its files.
    pub locked: Option<Box<LockedSource>>,
    /// Whether the user asked for it by name.
    pub requested: bool,
    /// What it depends on on this target, with the extras above; sorted.
    pub dependencies: Vec<PackageName>,
}

/// What a resolution took; for `--verbose` and for tests of the search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Project pages asked for.
    pub projects_fetched: usize,
    /// Metadata files asked for, those on suspicion included.
    pub metadata_fetched: usize,
    /// Versions that the search chose at some time.
    pub versions_considered: usize,
    /// How often the search began anew with another order of decisions.
    pub restarts: usize,
}
