//! What a resolution is asked for.

use std::collections::{BTreeMap, BTreeSet};

use blast_types::{DistFile, FileHash, PackageName, Requirement, Target, Version};
use serde::{Deserialize, Serialize};

/// Everything that decides the answer, apart from what the provider says.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// What the user asks for. The order has no influence on the answer.
    pub requirements: Vec<Requirement>,
    /// Limits on packages that are installed only if something else needs them.
    pub constraints: Vec<Requirement>,
    /// Requirements that replace every requirement on the same package, the user's own too.
    pub overrides: Vec<Requirement>,
    /// Packages that are left out, whoever requires them.
    pub excludes: BTreeSet<PackageName>,
    /// Versions to keep where the requirements allow (those installed or locked now).
    pub preferences: BTreeMap<PackageName, Version>,
    /// Which preferences to forget.
    pub upgrade: Upgrade,
    /// The Python and platform to resolve for.
    pub target: Target,
    /// Choices of policy.
    pub options: Options,
}

impl Inputs {
    /// These requirements for this target, everything else at its default.
    pub fn new(requirements: Vec<Requirement>, target: Target) -> Self {
        Self {
            requirements,
            constraints: Vec::new(),
            overrides: Vec::new(),
            excludes: BTreeSet::new(),
            preferences: BTreeMap::new(),
            upgrade: Upgrade::default(),
            target,
            options: Options::default(),
        }
    }
}

/// Which installed versions may be left for newer ones without need.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Upgrade {
    /// None: what can stay, stays.
    #[default]
    None,
    /// All.
    All,
    /// Those of these packages.
    Only(BTreeSet<PackageName>),
}

impl Upgrade {
    pub(crate) fn forgets(&self, name: &PackageName) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }
}

/// Choices of policy, with the defaults that users of pip and uv expect.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Which pre-releases are candidates.
    pub prereleases: PrereleaseMode,
    /// Which end of a range is tried first.
    pub resolution: ResolutionMode,
    /// Files uploaded at this time or later (milliseconds since the Unix epoch) do not exist. A
    /// file without an upload time does not exist either.
    pub exclude_newer: Option<i64>,
    /// Limits of single packages in place of the general one; `None`: no limit.
    pub exclude_newer_package: BTreeMap<PackageName, Option<i64>>,
    /// Packages whose wheels are not used.
    pub no_binary: NameFilter,
    /// Packages whose source distributions are not used.
    pub only_binary: NameFilter,
    /// Take the requirements only, not what they depend on.
    pub no_deps: bool,
    /// Hashes that were stated of a package's files: of one release, a file that has one of them
    /// goes before all that have not.
    pub stated_hashes: BTreeMap<PackageName, Vec<FileHash>>,
}

impl Options {
    /// Whether a file has a hash that was stated of the package.
    pub(crate) fn is_stated(&self, name: &PackageName, file: &DistFile) -> bool {
        self.stated_hashes.get(name).is_some_and(|stated| {
            let sha256 = file.sha256.map(FileHash::from);
            let mut has = sha256.iter().chain(file.other_hash.as_deref());
            has.any(|hash| stated.contains(hash))
        })
    }

    /// The time from which on a package's files do not exist.
    pub(crate) fn limit_of(&self, name: &PackageName) -> Option<i64> {
        match self.exclude_newer_package.get(name) {
            Some(limit) => *limit,
            None => self.exclude_newer,
        }
    }
}

/// Which pre-releases (alpha, beta, candidate, development) are candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrereleaseMode {
    /// Only where no final release fits.
    #[default]
    IfNecessary,
    /// All, on a par with final releases.
    Allow,
    /// None.
    Disallow,
    /// Only where no final release fits, and only those of packages for which the user names a
    /// pre-release in a version specifier.
    Explicit,
}

/// Which end of a range is tried first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResolutionMode {
    /// The newest version.
    #[default]
    Highest,
    /// The oldest version.
    Lowest,
    /// The oldest version of what the user asks for, the newest of the rest.
    LowestDirect,
}

/// A set of package names that may be everything, as pip's `--no-binary` takes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum NameFilter {
    /// No package.
    #[default]
    None,
    /// Every package.
    All,
    /// These packages.
    Only(BTreeSet<PackageName>),
}

impl NameFilter {
    /// Whether the filter holds for the package.
    pub fn contains(&self, name: &PackageName) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }

    /// Adds a package; `:all:` and `:none:` as pip reads them are the caller's.
    pub fn insert(&mut self, name: PackageName) {
        match self {
            Self::None => *self = Self::Only(BTreeSet::from([name])),
            Self::All => {}
            Self::Only(names) => {
                names.insert(name);
            }
        }
    }
}
