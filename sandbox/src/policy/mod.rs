//! What somebody allows a program, as data. It says nothing of how that is kept.

pub mod edit;
pub mod merge;
mod network;
pub mod origin;
pub mod schema;
pub mod target;
pub mod verdict;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use network::Network;
use serde::{Deserialize, Serialize};

use crate::Level;

/// What the code of an environment may touch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// How much is kept away where nothing below says otherwise.
    pub level: Level,
    /// As whom its programs run where root asks: a name or a number of a user without privilege.
    pub user: Option<String>,
    /// Places of the file system.
    pub files: Files,
    /// What it may use up.
    pub limits: Limits,
    /// Environment variables beside those that every program gets: a value, or none for the
    /// caller's own.
    pub variables: BTreeMap<String, Option<String>>,
    /// Who it may talk to.
    pub network: Network,
}

/// Places that a program sees beside the system, its environment and its project. Absolute paths,
/// each with all below.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Files {
    /// Read.
    pub read_only: Vec<PathBuf>,
    /// Read and changed.
    pub read_write: Vec<PathBuf>,
    /// For what may be written, and for what is mounted: what somebody stronger lets be read only, should a link lead there.
    pub stronger: BTreeMap<PathBuf, Vec<PathBuf>>,
    /// Not seen, wherever they are.
    pub hidden: Vec<PathBuf>,
    /// The part of the project that is worked in, and alone seen of it.
    pub root: Option<PathBuf>,
    /// What is seen at another path than its own.
    pub mounts: Vec<Shown>,
    /// The size of each private temporary directory, in bytes.
    pub temporary_bytes: Option<u64>,
}

/// A place that is seen at another path. Both are absolute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// What.
    pub source: PathBuf,
    /// Where, inside.
    pub target: PathBuf,
    /// Whether it may be changed.
    pub write: bool,
}

/// What a program may use up, with all it starts. `None` is no limit of ours.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Processors, in hundredths of one: 150 is one and a half.
    pub cpu_percent: Option<u32>,
    /// Processes and threads.
    pub processes: Option<u64>,
    /// Open files, of each process.
    pub open_files: Option<u64>,
    /// The largest file that can be written, in bytes.
    pub file_bytes: Option<u64>,
    /// All that is written, in bytes.
    pub written_bytes: Option<u64>,
    /// Memory beyond which programs are slowed down and their memory is taken back, in bytes.
    pub memory_high_bytes: Option<u64>,
    /// Memory that is swapped out, in bytes.
    pub swap_bytes: Option<u64>,
    /// Its share of processors where others want them too, from 1 to 10,000; others have 100.
    pub cpu_weight: Option<u64>,
    /// What passes to and from disks.
    pub io: Io,
}

/// How much may pass to and from each disk, in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Io {
    /// Bytes that are read.
    pub read_bytes: Option<u64>,
    /// Bytes that are written.
    pub write_bytes: Option<u64>,
    /// Operations that read.
    pub read_operations: Option<u64>,
    /// Operations that write.
    pub write_operations: Option<u64>,
}

impl Io {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
