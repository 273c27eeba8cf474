//! The state of things: environments and their packages, interpreters, the daemon and what it serves.

use std::collections::BTreeMap;
use std::path::PathBuf;

use blast_types::{EnvName, GenerationId};
use serde::{Deserialize, Serialize};

/// The state of things.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Status {
    /// The daemon.
    pub(crate) daemon: DaemonStatus,
    /// The view of this home.
    pub(crate) view: ViewStatus,
    /// The store of this home.
    pub(crate) store: StoreStatus,
    /// The environment asked about.
    pub(crate) environment: Option<EnvironmentStatus>,
}

/// The daemon, for `status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DaemonStatus {
    /// Build.
    pub(crate) build: String,
    /// Process.
    pub(crate) pid: u32,
    /// Seconds since it started.
    pub(crate) uptime_s: u64,
    /// Resident memory in bytes.
    pub(crate) memory_bytes: u64,
    /// The process that keeps the mounts should the daemon die.
    #[serde(default)]
    pub(crate) holder: Option<u32>,
    /// Requests being served, this one included.
    pub(crate) requests: usize,
}

/// The view, for `status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ViewStatus {
    /// `view`, `materialised` or `hidden` (nothing is mounted now).
    pub(crate) mode: String,
    /// Why, where it is not `view`.
    pub(crate) reason: Option<String>,
    /// How plain files share their bytes with the store, where environments are plain files:
    /// `reflinks`, `hard links` or `copies`.
    #[serde(default)]
    pub(crate) links: Option<String>,
    /// Where it is mounted.
    pub(crate) live: PathBuf,
    /// A process in whose namespaces it is mounted, where it is not seen everywhere.
    #[serde(default)]
    pub(crate) namespace: Option<u32>,
    /// FUSE requests served, by kind.
    pub(crate) requests: BTreeMap<String, u64>,
    /// Whether the mount outlives its daemon: the kernel can send requests again (Linux 6.9).
    #[serde(default)]
    pub(crate) resend: bool,
    /// How often the mount was taken over from a daemon that was gone.
    #[serde(default)]
    pub(crate) takeovers: u32,
    /// Layers whose bytecode is being compiled or waits for it.
    pub(crate) bytecode_pending: usize,
}

/// The store, for `status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StoreStatus {
    /// Where it is.
    pub(crate) home: PathBuf,
    /// Environments in it.
    pub(crate) environments: usize,
}

/// An environment, for `status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EnvironmentStatus {
    /// As in the list.
    #[serde(flatten)]
    pub(crate) view: EnvironmentView,
    /// Base interpreter.
    pub(crate) interpreter: PathBuf,
    /// Absolute path of site-packages.
    pub(crate) site_packages: PathBuf,
    /// Direct requirements.
    pub(crate) requirements: Vec<String>,
    /// The operation that `blast revert` would undo, in words.
    pub(crate) undo: Option<String>,
    /// The operation that `blast redo` would do again, in words.
    pub(crate) redo: Option<String>,
}

/// One environment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EnvironmentView {
    /// Its name.
    pub(crate) name: EnvName,
    /// Its prefix.
    pub(crate) prefix: PathBuf,
    /// Root of its project.
    pub(crate) project: Option<PathBuf>,
    /// Full version of its Python.
    pub(crate) python: String,
    /// Packages in it.
    pub(crate) packages: usize,
    /// The head.
    pub(crate) generation: GenerationId,
    /// The head's operation.
    pub(crate) operation: u64,
    /// When that was, in milliseconds since the Unix epoch.
    pub(crate) changed_ms: i64,
}

/// One installed package.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PackageView {
    /// Normalised name.
    pub(crate) name: String,
    /// Version.
    pub(crate) version: String,
    /// Whether the user asked for it by name.
    pub(crate) requested: bool,
    /// Where it came from, if from no index.
    pub(crate) direct_url: Option<String>,
    /// Its layer.
    pub(crate) layer: String,
    /// Whether another tool installed it, or programs changed its files.
    #[serde(default)]
    pub(crate) captured: bool,
}

/// An interpreter.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PythonView {
    /// Full version.
    pub(crate) version: String,
    /// `cpython`.
    pub(crate) implementation: String,
    /// Its executable.
    pub(crate) path: PathBuf,
    /// Where it was found: `PATH`, `pyenv`, `system`.
    pub(crate) source: String,
    /// Why it cannot be used, if so.
    pub(crate) unusable: Option<String>,
}

/// A defect that `check` found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FindingView {
    /// What is wrong, as a word: `missing-blob`, …
    pub(crate) kind: String,
    /// One sentence that names object and path.
    pub(crate) message: String,
    /// Environments that are touched.
    pub(crate) environments: Vec<String>,
    /// What can be done, where a repair could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
}

/// Where an environment is to be found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Its name.
    pub(crate) env: EnvName,
    /// Its prefix: `live/<env>`, or the generation's own tree if pinned.
    pub(crate) prefix: PathBuf,
    /// Root of its project.
    pub(crate) project: Option<PathBuf>,
    /// Variables that activation and `run` set.
    pub(crate) variables: BTreeMap<String, String>,
    /// Full version of its Python.
    pub(crate) python: String,
    /// Its base interpreter.
    pub(crate) interpreter: PathBuf,
    /// `lib/python3.12/site-packages`, below the prefix.
    pub(crate) site_packages: String,
    /// The head.
    pub(crate) generation: GenerationId,
    /// Directories outside that its packages are read from: editable installs.
    #[serde(default)]
    pub(crate) sources: Vec<PathBuf>,
    /// How it is shown: `view` (FUSE) or `materialised`.
    pub(crate) mode: String,
    /// A process in whose namespaces it is seen, where it is not seen everywhere.
    #[serde(default)]
    pub(crate) namespace: Option<u32>,
}
