//! What an index says of a project, and what a distribution says of itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uv_distribution_filename::{SourceDistFilename, WheelFilename};
use uv_normalize::{ExtraName, PackageName};
use uv_pep440::{Version, VersionSpecifiers};

use crate::{FileHash, Requirement, Sha256};

/// The status of a project whose index thinks it unsafe and offers none of its files (PEP 792).
pub const QUARANTINED: &str = "quarantined";

/// Everything one index offers of one project (PEP 503, 691, 700, 792).
#[derive(Debug, Clone)]
pub struct ProjectFiles {
    /// Normalised project name (PEP 503).
    pub name: PackageName,
    /// The index that answered, without credentials.
    pub index: Arc<str>,
    /// Versions in ascending order; files whose name cannot be parsed are left out.
    pub versions: Vec<VersionFiles>,
    /// PEP 792 status other than `active` (`archived`, `quarantined`, `deprecated`). There are no
    /// versions of a project that its index holds [`QUARANTINED`].
    pub status: Option<String>,
    /// Where else the project is, by this index (PEP 708).
    pub elsewhere: Elsewhere,
    /// Where several indexes were asked and had it: what each of them offers.
    pub parts: Vec<Arc<ProjectFiles>>,
}

/// PEP 708: pages of other indexes, by URL, that are of the same project.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Elsewhere {
    /// Pages that this one extends, by the word of the index.
    pub tracks: Vec<Box<str>>,
    /// Pages that the project itself has beside this one, which they must confirm.
    pub alternates: Vec<Box<str>>,
}

impl ProjectFiles {
    /// The files of one version, if the index has it.
    pub fn version(&self, version: &Version) -> Option<&VersionFiles> {
        self.versions
            .binary_search_by(|candidate| candidate.version.cmp(version))
            .ok()
            .map(|found| &self.versions[found])
    }

    /// The index that offers this file.
    pub fn index_of(&self, file: &Arc<DistFile>) -> &Arc<str> {
        let has = |part: &&Arc<Self>| {
            let files = part.versions.iter().flat_map(|version| &version.files);
            files.into_iter().any(|other| Arc::ptr_eq(other, file))
        };
        self.parts
            .iter()
            .find(has)
            .map_or(&self.index, |part| &part.index)
    }
}

/// The files of one version of a project.
#[derive(Debug, Clone)]
pub struct VersionFiles {
    /// The version, as the file names state it.
    pub version: Version,
    /// Wheels and sdists, in the index's order.
    pub files: Vec<Arc<DistFile>>,
}

/// One downloadable file.
#[derive(Debug, Clone)]
pub struct DistFile {
    /// File name, percent-decoded.
    pub filename: Box<str>,
    /// What the name says it is.
    pub kind: DistKind,
    /// Absolute URL (http, https or file), without a fragment. May hold credentials: show it only
    /// through a redacting type.
    pub url: Box<str>,
    /// SHA-256 that the index states.
    pub sha256: Option<Sha256>,
    /// A hash of another kind, where no SHA-256 is stated.
    pub other_hash: Option<Box<FileHash>>,
    /// Size in bytes (PEP 700).
    pub size: Option<u64>,
    /// Raw `Requires-Python`, parsed; `None` where absent or unreadable.
    pub requires_python: Option<VersionSpecifiers>,
    /// PEP 592.
    pub yanked: Yanked,
    /// Milliseconds since the Unix epoch (PEP 700, or the attribute `data-upload-time`).
    pub upload_time_ms: Option<i64>,
    /// Whether the index serves the metadata apart (PEP 658, 714).
    pub metadata: MetadataAt,
}

/// What a file name says a file is.
#[derive(Debug, Clone)]
pub enum DistKind {
    /// A built distribution (PEP 427).
    Wheel(Box<WheelFilename>),
    /// A source distribution (PEP 625 and its legacy spellings).
    Sdist(Box<SourceDistFilename>),
}

/// PEP 592: whether a file was withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Yanked {
    /// Not withdrawn.
    #[default]
    No,
    /// Withdrawn, with the reason where one is given.
    Yes(Option<Box<str>>),
}

impl Yanked {
    /// Whether the file was withdrawn.
    pub fn is_yanked(&self) -> bool {
        matches!(self, Self::Yes(_))
    }
}

/// PEP 658 and 714: whether `URL.metadata` exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetadataAt {
    /// Only inside the file.
    #[default]
    Inside,
    /// At `URL.metadata`, with this SHA-256 where stated.
    Beside(Option<Sha256>),
}

/// The part of core metadata (PEP 566, 643, 685) that resolving and installing need.
#[derive(Debug, Clone)]
pub struct CoreMetadata {
    /// Normalised name.
    pub name: PackageName,
    /// Version.
    pub version: Version,
    /// Dependencies. Lines that cannot be parsed are an error of the file, see the index crate.
    pub requires_dist: Vec<Requirement>,
    /// `Requires-Python`.
    pub requires_python: Option<VersionSpecifiers>,
    /// `Provides-Extra`, normalised.
    pub provides_extra: Vec<ExtraName>,
}

/// `direct_url.json` (PEP 610): where a distribution came from that no index named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectUrl {
    /// The URL without credentials.
    pub url: String,
    /// For archives: the hashes, algorithm to hexadecimal digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive_info: Option<ArchiveInfo>,
    /// For local directories.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir_info: Option<DirInfo>,
    /// For repositories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcs_info: Option<VcsInfo>,
    /// The project's folder in the archive or repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subdirectory: Option<String>,
}

impl DirectUrl {
    /// Whether it leads back to the sources (PEP 660).
    pub fn is_editable(&self) -> bool {
        self.dir_info.as_ref().is_some_and(|info| info.editable)
    }
}

/// The `archive_info` member of [`DirectUrl`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ArchiveInfo {
    /// Hashes, algorithm to hexadecimal digest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hashes: BTreeMap<String, String>,
}

/// The `vcs_info` member of [`DirectUrl`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VcsInfo {
    /// Which system (`git`).
    pub vcs: String,
    /// The revision that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_revision: Option<String>,
    /// The commit that it came to.
    pub commit_id: String,
}

/// The `dir_info` member of [`DirectUrl`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DirInfo {
    /// Whether the project is installed in editable form.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub editable: bool,
}
