//! Locks in the form of PEP 751 (`pylock.toml`): the model, and its making from a resolution.
//! [`Lock::parse`] reads and validates, `Display` writes, [`Lock::select`] says what to install.
//!
//! Invariants of a [`Lock`]: what the specification demands of a file holds for the value, so that
//! reading back what was written gives the same lock (in the canonical order). Text comes out in one canonical form:
//! packages by name and version, files by name.

mod read;
mod select;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use blast_types::{
    DistFile, DistKind, ExtraName, FileHash, GroupName, MarkerTree, PackageName, Requirement,
    Version, VersionSpecifiers,
};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::resolution::{Resolution, ResolvedPackage};

pub use read::LockReadError;
pub use select::{Artifact, SelectError, Selected};

/// A lock for one or several environments.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Lock {
    /// Environments the lock is for; empty: not stated.
    pub environments: Vec<MarkerTree>,
    /// Pythons the lock is for.
    pub requires_python: Option<VersionSpecifiers>,
    /// Extras that can be chosen.
    pub extras: Vec<ExtraName>,
    /// Dependency groups that can be chosen.
    pub dependency_groups: Vec<GroupName>,
    /// Groups that are installed unless others are chosen.
    pub default_groups: Vec<GroupName>,
    /// The tool that wrote the lock.
    pub created_by: String,
    /// The packages.
    pub packages: Vec<LockedPackage>,
    /// What the lock was made from; only a universal lock made by blast says so.
    pub made_from: Option<MadeFrom>,
    /// What was read and not understood, where the lock has a later minor version of the format.
    pub passed_over: Option<PassedOver>,
}

/// What a lock of a later minor version says beyond what is known here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the lock has format version {format}; what this does not know was passed over: {}", keys.join(", "))]
pub struct PassedOver {
    /// The version of the format, such as `1.1`.
    pub format: String,
    /// Where each unknown key stands, such as `packages[0].mood`.
    pub keys: Vec<String>,
}

/// What a universal lock was made from (`[tool.blast]`), to tell whether it is still current.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MadeFrom {
    /// What the project required, in the form of PEP 508 and 751; sorted. `None`: the lock is not
    /// that of a whole project.
    pub requirements: Option<Vec<String>>,
    /// What limited the choice.
    pub limits: Limits,
    /// Parts of the environments that got answers of their own, where `environments` cannot say
    /// so, because they differ in extras or groups.
    pub forks: Vec<MarkerTree>,
}

/// What a project says of itself beside requirements that decides what its lock holds. Each list
/// is sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Constraints, in the form of PEP 508.
    pub constraints: Vec<String>,
    /// Overrides, likewise.
    pub overrides: Vec<String>,
    /// Packages that are left out.
    pub excludes: Vec<PackageName>,
}

impl Limits {
    /// In the form in which a lock states them.
    pub fn new<'a>(
        constraints: impl IntoIterator<Item = &'a Requirement>,
        overrides: impl IntoIterator<Item = &'a Requirement>,
        excludes: impl IntoIterator<Item = &'a PackageName>,
    ) -> Self {
        fn sorted<'a, T: Ord + 'a>(items: impl IntoIterator<Item = &'a T>) -> Vec<&'a T> {
            BTreeSet::from_iter(items).into_iter().collect()
        }
        let texts = |requirements: Vec<&Requirement>| {
            requirements.into_iter().map(ToString::to_string).collect()
        };
        Self {
            constraints: texts(sorted(constraints)),
            overrides: texts(sorted(overrides)),
            excludes: sorted(excludes).into_iter().cloned().collect(),
        }
    }
}

impl MadeFrom {
    /// States folders and files at or below `folder`, a URL that ends with a slash, relative to it,
    /// so that a lock says the same wherever it is checked out.
    pub fn relate(&mut self, folder: &Url) {
        let texts = self.requirements.iter_mut().flatten();
        let limits = &mut self.limits;
        for text in texts
            .chain(&mut limits.constraints)
            .chain(&mut limits.overrides)
        {
            let Some((name, rest)) = text.split_once(" @ ") else {
                continue;
            };
            let whole = folder.as_str();
            let (url, marker) = rest.split_once(' ').unwrap_or((rest, ""));
            let path = if url == whole.trim_end_matches('/') {
                ""
            } else if let Some(below) = url.strip_prefix(whole) {
                below
            } else {
                continue;
            };
            let space = if marker.is_empty() { "" } else { " " };
            *text = format!("{name} @ ./{path}{space}{marker}");
        }
    }
}

/// What a universal lock knows of a package beyond PEP 751 (`[packages.tool.blast]`), so that
/// nothing has to be asked of an index to know that the package still fits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// What it requires, by itself and with its extras here.
    pub requires: Vec<Requirement>,
    /// The extras that somebody asked for.
    pub extras: Vec<ExtraName>,
}

/// One package of a lock.
#[derive(Debug, Clone, PartialEq)]
pub struct LockedPackage {
    /// Its name.
    pub name: PackageName,
    /// Its version; absent where the source decides.
    pub version: Option<Version>,
    /// When it is installed.
    pub marker: MarkerTree,
    /// Pythons it supports.
    pub requires_python: Option<VersionSpecifiers>,
    /// Packages of this lock that it depends on, by name.
    pub dependencies: Vec<PackageName>,
    /// The index it came from.
    pub index: Option<String>,
    /// Where it comes from.
    pub source: LockedSource,
    /// What else is known.
    pub known: Option<Known>,
}

/// Where a locked package comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum LockedSource {
    /// Files that an index lists.
    Files {
        /// Wheels.
        wheels: Vec<LockedFile>,
        /// The source distribution.
        sdist: Option<LockedFile>,
    },
    /// One archive, wheel or source.
    Archive {
        /// The archive.
        file: LockedFile,
        /// The project's folder in it.
        subdirectory: Option<String>,
    },
    /// A folder.
    Directory {
        /// Its path, relative to the lock.
        path: String,
        /// Whether it is installed in editable form.
        editable: bool,
        /// The project's folder in it.
        subdirectory: Option<String>,
    },
    /// A version control system.
    Vcs {
        /// Which (`git`).
        kind: String,
        /// Where.
        location: Location,
        /// What was asked for.
        requested_revision: Option<String>,
        /// What it came to.
        commit_id: String,
        /// The project's folder in it.
        subdirectory: Option<String>,
    },
}

impl LockedSource {
    /// Whether it is a folder, of which no version may be stated.
    pub fn is_folder(&self) -> bool {
        matches!(self, Self::Directory { .. })
    }
}

/// A URL or a path; PEP 751 wants one at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A URL.
    Url(String),
    /// A path relative to the lock.
    Path(String),
    /// Both: the path is for where its file is there, the URL for everywhere else.
    Either {
        /// A path relative to the lock.
        path: String,
        /// A URL.
        url: String,
    },
}

/// One file of a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedFile {
    /// File name.
    pub name: String,
    /// Where it is.
    pub location: Location,
    /// Milliseconds since the Unix epoch.
    pub upload_time_ms: Option<i64>,
    /// Bytes.
    pub size: Option<u64>,
    /// Algorithm to hexadecimal digest; never empty.
    pub hashes: BTreeMap<String, String>,
}

/// Why a resolution cannot be locked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// The file to install has no hash.
    #[error("`{file}` cannot be locked: no hash of it is known")]
    NoHash {
        /// The file.
        file: String,
    },
}

impl Lock {
    /// Locks a resolution, for the target it was made for.
    pub fn new(
        resolution: &Resolution,
        requires_python: Option<VersionSpecifiers>,
    ) -> Result<Self, LockError> {
        let packages = resolution.packages.iter().map(LockedPackage::new);
        Ok(Self {
            requires_python,
            created_by: "blast".to_owned(),
            packages: packages.collect::<Result<_, _>>()?,
            ..Self::default()
        })
    }
}

impl LockedPackage {
    pub(crate) fn new(package: &ResolvedPackage) -> Result<Self, LockError> {
        let no_hash = || LockError::NoHash {
            file: package.file.filename.to_string(),
        };
        let chosen = || LockedFile::new(&package.file).ok_or_else(no_hash);
        let source = match &package.locked {
            Some(source) => (**source).clone(),
            None if package.direct.is_some() => LockedSource::Archive {
                file: chosen()?,
                subdirectory: None,
            },
            None => {
                chosen()?;
                files(&package.all_files)
            }
        };
        Ok(Self {
            name: package.name.clone(),
            // What is in a folder can change, and its version with it.
            version: (!source.is_folder()).then(|| package.version.clone()),
            marker: package.marker,
            requires_python: package
                .metadata
                .requires_python
                .as_ref()
                .or(package.file.requires_python.as_ref())
                .cloned(),
            dependencies: package.dependencies.clone(),
            index: (!package.index.is_empty()).then(|| package.index.to_string()),
            source,
            known: None,
        })
    }
}

/// The files of one version, those without hash left out.
fn files(all: &[Arc<DistFile>]) -> LockedSource {
    let mut wheels = Vec::new();
    let mut sdists = Vec::new();
    for file in all {
        let list = match file.kind {
            DistKind::Wheel(_) => &mut wheels,
            DistKind::Sdist(_) => &mut sdists,
        };
        list.extend(LockedFile::new(file));
    }
    wheels.sort_by(|a: &LockedFile, b| a.name.cmp(&b.name));
    // PEP 751 has room for one; a gzipped tar is what everyone can read.
    sdists.sort_by_key(|file: &LockedFile| (!file.name.ends_with(".tar.gz"), file.name.clone()));
    LockedSource::Files {
        wheels,
        sdist: sdists.into_iter().next(),
    }
}

impl LockedFile {
    /// A file as a lock states it; `None` where it has no hash.
    pub fn new(file: &DistFile) -> Option<Self> {
        let hash = match (file.sha256, &file.other_hash) {
            (Some(sha256), _) => sha256.into(),
            (None, Some(other)) => FileHash::clone(other),
            (None, None) => return None,
        };
        Some(Self {
            name: file.filename.to_string(),
            location: Location::Url(without_credentials(&file.url)),
            upload_time_ms: file.upload_time_ms,
            size: file.size,
            hashes: BTreeMap::from([(hash.algorithm().name().to_owned(), hash.digits())]),
        })
    }

    /// The hash that the file is to be known by: the best that is trusted.
    pub fn hash(&self) -> Option<FileHash> {
        let hashes = self.hashes.iter();
        FileHash::best(hashes.map(|(algorithm, digits)| (algorithm.as_str(), digits.as_str())))
    }
}

/// A lock is shared; what opens an index is not.
fn without_credentials(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else {
        return url.to_owned();
    };
    if parsed.username().is_empty() && parsed.password().is_none() {
        return url.to_owned();
    }
    // Both fail only for URLs that cannot have credentials.
    let _ = parsed.set_username("");
    let _ = parsed.set_password(None);
    parsed.to_string()
}
