//! The words that every part of blast shares: digests, names, versions, files of an index,
//! interpreters, progress events.
//!
//! Plain data and its parsing; no I/O, no async, no policy. A type lives here when two crates
//! that must not know each other (the resolver and the index client, say) both speak of it.

mod digest;
mod dist;
mod file_hash;
pub mod filename;
mod interpreter;
mod name;
pub mod pep508;
mod platform;
mod report;
mod tags;
pub mod versions;

pub use digest::{BlobId, DigestParseError, GenerationId, LayerId, PackId, Sha256};
pub use dist::{
    ArchiveInfo, CoreMetadata, DirInfo, DirectUrl, DistFile, DistKind, Elsewhere, MetadataAt,
    ProjectFiles, QUARANTINED, VcsInfo, VersionFiles, Yanked,
};
pub use file_hash::{FileHash, FileHashError, HashAlgorithm, Hasher};
pub use interpreter::{
    Interpreter, MarkerVariables, PlatformInfo, SchemePaths, Target, TargetError,
};
pub use name::{EnvName, NameError, SnapshotName};
pub use platform::{NamedPlatform, PlatformNameError};
pub use report::{Event, Hint, Reporter, Silent};
pub use versions::SyntaxError;

pub use uv_distribution_filename::{
    BuildTag, SourceDistExtension, SourceDistFilename, WheelFilename,
};
pub use uv_normalize::{ExtraName, GroupName, PackageName};
pub use uv_pep440::{Version, VersionSpecifiers};
pub use uv_pep508::{MarkerEnvironment, MarkerTree, VerbatimUrl, VersionOrUrl};
pub use uv_platform_tags::{TagPriority, Tags};

/// A PEP 508 requirement. Its URL, where it has one, is kept as written beside its parsed form.
pub type Requirement = uv_pep508::Requirement<VerbatimUrl>;
