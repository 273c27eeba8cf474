//! What the daemon answers, and what it says of a change, a lock or a history.

use std::collections::BTreeMap;
use std::path::PathBuf;

use blast_types::{DirectUrl, EnvName, ExtraName, GenerationId, PackageName, Sha256, SnapshotName};
use serde::{Deserialize, Serialize};

use super::{EnvironmentView, FindingView, PackageView, Place, PythonView, Status};
use crate::ipc::images::{BuiltImage, ImageView};
use crate::ipc::packages::{DependencyGraph, OutdatedPackage};

/// What a collection freed, or would free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cleaned {
    /// Whether nothing was touched.
    pub(crate) dry_run: bool,
    /// Objects of the store.
    pub(crate) objects: u64,
    /// Bytes of objects and records.
    pub(crate) bytes: u64,
    /// Operations forgotten.
    pub(crate) operations: u64,
    /// Trees of plain files removed.
    pub(crate) trees: u64,
}

/// What programs wrote into an environment and it holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DriftView {
    /// The environment.
    pub(crate) environment: EnvName,
    /// The package that was edited or installed; none for files that no package owns.
    pub(crate) package: Option<String>,
    /// In words.
    pub(crate) message: String,
}

/// One file that differs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FileChangeView {
    /// Below the prefix.
    pub(crate) path: String,
    /// How.
    pub(crate) change: FileChange,
}

/// How a file differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FileChange {
    /// Only the newer state has it.
    Added,
    /// Only the older state has it.
    Removed,
    /// Both have it, with other content, another target or another mode.
    Changed,
}

/// Where one program may write into an environment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Area {
    /// The environment.
    pub(crate) place: Place,
    /// The tree that the program sees as the environment.
    pub(crate) tree: PathBuf,
    /// Holds `upper`, `work` and `lock`; see `engine/capture`.
    pub(crate) folder: PathBuf,
    /// The state that the tree is of.
    pub(crate) generation: GenerationId,
}

/// A distribution that was fetched.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FetchedFile {
    /// Whose.
    pub(crate) name: PackageName,
    /// Where it is.
    pub(crate) path: PathBuf,
}

/// See [`super::Reply::Refreshed`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refreshed {
    /// Pages looked at.
    pub(crate) pages: usize,
    /// Pages that the index confirmed as unchanged.
    pub(crate) unchanged: usize,
    /// Pages that are new or changed.
    pub(crate) changed: usize,
    /// Packages that no index has.
    pub(crate) missing: Vec<String>,
}

/// The answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Reply {
    /// To [`super::Request::Ping`].
    Pong {
        /// Build of the daemon.
        build: String,
        /// Its process.
        pid: u32,
    },
    /// To [`super::Request::Start`].
    Started {
        /// Whether it was made just now.
        created: bool,
        /// Where it is.
        place: Place,
    },
    /// To a dry run of [`super::Request::Start`] where there is no such environment.
    WouldStart {
        /// Its Python.
        python: String,
        /// The interpreter.
        interpreter: PathBuf,
        /// What `sys.prefix` would be.
        prefix: PathBuf,
    },
    /// To changes and moves.
    Changed(Changed),
    /// To [`super::Request::Log`].
    History {
        /// Newest first.
        operations: Vec<OperationView>,
    },
    /// To [`super::Request::Show`].
    Operation {
        /// It; not part of the reply itself, as both have a `kind`.
        detail: Box<OperationDetail>,
    },
    /// To [`super::Request::Blame`].
    Blame(Blame),
    /// To [`super::Request::Diff`].
    Diff {
        /// Older side.
        from: GenerationId,
        /// Newer side.
        to: GenerationId,
        /// What differs.
        changes: Vec<PackageChangeView>,
        /// Which files differ, where that was asked.
        #[serde(default)]
        files: Vec<FileChangeView>,
    },
    /// To [`super::Request::Compile`].
    Compiled {
        /// Sources that had to be compiled.
        modules: u64,
    },
    /// To requests about snapshots.
    Snapshots {
        /// By name.
        snapshots: Vec<SnapshotView>,
    },
    /// To [`super::Request::Lock`].
    Locked {
        /// The lock, in `pylock.toml` form.
        text: String,
        /// Number of packages in it.
        packages: usize,
        /// Against `previous`.
        changes: Vec<PackageChangeView>,
        /// Of a universal lock the regions that have versions of their own; else empty.
        forks: Vec<ForkView>,
        /// What finding it took.
        effort: Effort,
    },
    /// To [`super::Request::Area`].
    Area(Area),
    /// To [`super::Request::Fetch`].
    Fetched {
        /// By name.
        files: Vec<FetchedFile>,
    },
    /// To [`super::Request::Markers`].
    Markers {
        /// By their names in PEP 508.
        markers: BTreeMap<String, String>,
    },
    /// To [`super::Request::List`].
    Packages {
        /// By name.
        packages: Vec<PackageView>,
    },
    /// To [`super::Request::Graph`].
    Graph(DependencyGraph),
    /// To [`super::Request::Outdated`].
    Outdated {
        /// By name.
        packages: Vec<OutdatedPackage>,
    },
    /// To [`super::Request::Versions`].
    Versions {
        /// The newest first; none where no index has one that fits.
        versions: Vec<String>,
    },
    /// To [`super::Request::Status`].
    Status(Box<Status>),
    /// To requests about environments.
    Environments {
        /// By name.
        environments: Vec<EnvironmentView>,
    },
    /// To [`super::Request::Enter`].
    Entered {
        /// Where it is.
        place: Place,
    },
    /// To [`super::Request::Materialise`].
    Materialised(Materialised),
    /// To [`crate::ipc::images::ImageRequest::Build`].
    ImageBuilt(BuiltImage),
    /// To requests that look at an image.
    Image(Box<ImageView>),
    /// To [`super::Request::Check`].
    Checked {
        /// Objects looked at.
        objects: u64,
        /// Bytes read.
        bytes: u64,
        /// Sentences, one a defect; empty: all is well.
        findings: Vec<FindingView>,
        /// Where environments hold what programs wrote.
        #[serde(default)]
        drift: Vec<DriftView>,
    },
    /// To [`super::Request::Repair`].
    Repaired {
        /// Objects looked at in the end.
        objects: u64,
        /// Bytes read in the end.
        bytes: u64,
        /// What was wrong and is not any more.
        mended: Vec<FindingView>,
        /// What is still wrong, each with what can be done.
        findings: Vec<FindingView>,
        /// Programs that run may have read damaged bytes.
        in_use: bool,
    },
    /// To [`super::Request::Clean`].
    Cleaned(Cleaned),
    /// To [`super::Request::Refresh`].
    Refreshed(Refreshed),
    /// To [`super::Request::Pythons`].
    Pythons {
        /// In order of preference.
        pythons: Vec<PythonView>,
    },
    /// Done, nothing to say.
    Done,
}

/// A region of environments with versions of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ForkView {
    /// Which environments, as a marker; absent: all.
    pub(crate) environments: Option<String>,
    /// Why it is one, a sentence for each split; empty where the previous lock had it.
    pub(crate) because: Vec<String>,
}

/// What a resolution took.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Effort {
    /// Project pages that an index or its cache was asked for.
    pub(crate) projects: usize,
    /// Versions looked at: their metadata were asked for.
    pub(crate) versions: usize,
}

/// What [`super::Request::Materialise`] wrote.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Materialised {
    /// Whose.
    pub(crate) environment: EnvName,
    /// Which state.
    pub(crate) generation: GenerationId,
    /// Where to.
    pub(crate) path: PathBuf,
    /// Directories.
    pub(crate) directories: u64,
    /// Files.
    pub(crate) files: u64,
    /// Symbolic links.
    pub(crate) symlinks: u64,
    /// Bytes of all files.
    pub(crate) bytes: u64,
    /// Files that share their bytes with the store by a reflink.
    pub(crate) reflinks: u64,
    /// Files that are the store's own by another name.
    pub(crate) hard_links: u64,
    /// Milliseconds inside the daemon.
    pub(crate) took_ms: f64,
}

/// What a change did, or would do.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Changed {
    /// The operation; `None` if nothing had to be done, or on a dry run.
    pub(crate) operation: Option<u64>,
    /// The head afterwards.
    pub(crate) generation: Option<GenerationId>,
    /// Whether this was a dry run.
    pub(crate) dry_run: bool,
    /// By name.
    pub(crate) changes: Vec<PackageChangeView>,
    /// Packages in the environment afterwards.
    pub(crate) packages: usize,
    /// Milliseconds inside the daemon.
    pub(crate) took_ms: f64,
    /// What the operation was, in words: `undid operation 4 (install flask)`.
    pub(crate) summary: Option<String>,
    /// Where what is new came from, if that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) origins: Vec<Origin>,
}

/// Where a package came from, or would come from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// Whose.
    pub(crate) name: PackageName,
    /// The file or the sources, without credentials.
    pub(crate) url: String,
    /// Hashes of the file, algorithm to hexadecimal digest, as far as they are known.
    pub(crate) hashes: BTreeMap<String, String>,
    /// Where no index named it (PEP 610).
    pub(crate) direct: Option<DirectUrl>,
    /// Whether the index has withdrawn it (PEP 592).
    pub(crate) yanked: bool,
    /// Whether the user asked for it, rather than a dependency.
    pub(crate) requested: bool,
    /// Extras that are in force.
    pub(crate) extras: Vec<ExtraName>,
}

impl Origin {
    /// States the hash of the file that it is.
    pub(crate) fn is_file_with(&mut self, sha256: Sha256) {
        let hashes = BTreeMap::from([("sha256".to_owned(), sha256.to_hex())]);
        let archive = self
            .direct
            .as_mut()
            .and_then(|direct| direct.archive_info.as_mut());
        if let Some(archive) = archive {
            archive.hashes.clone_from(&hashes);
        }
        self.hashes = hashes;
    }
}

/// One package that differs: added (no `before`), removed (no `after`) or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PackageChangeView {
    /// Normalised name.
    pub(crate) name: String,
    /// Version before.
    pub(crate) before: Option<String>,
    /// Version after. Equal to `before` where only the artifact differs.
    pub(crate) after: Option<String>,
}

/// One operation of the history.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OperationView {
    /// Its number within the environment.
    pub(crate) id: u64,
    /// `install`, `undo`, …
    pub(crate) kind: String,
    /// In words.
    pub(crate) summary: String,
    /// Milliseconds since the Unix epoch.
    pub(crate) at_ms: i64,
    /// How long it took.
    pub(crate) duration_ms: u64,
    /// User name, or number.
    pub(crate) who: String,
    /// What was typed.
    pub(crate) command: Vec<String>,
    /// State before.
    pub(crate) before: Option<GenerationId>,
    /// State after.
    pub(crate) after: GenerationId,
    /// Whether `after` is the head's state.
    pub(crate) current: bool,
    /// A sentence on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    /// What it changed.
    pub(crate) changes: Vec<PackageChangeView>,
}

/// One operation with all that is known of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OperationDetail {
    /// As in the history.
    #[serde(flatten)]
    pub(crate) operation: OperationView,
    /// Direct requirements that it added.
    pub(crate) requirements_added: Vec<String>,
    /// Direct requirements that it took away.
    pub(crate) requirements_removed: Vec<String>,
    /// Packages afterwards.
    pub(crate) packages: usize,
}

/// Where a package comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Blame {
    /// Normalised name.
    pub(crate) package: String,
    /// The version that is installed, if it is.
    pub(crate) version: Option<String>,
    /// The operations that changed it, newest first, each with this change alone.
    pub(crate) operations: Vec<OperationView>,
    /// The operation that chose the installed version; another than the newest where that only
    /// went back to what had been there.
    pub(crate) origin: Option<u64>,
    /// Whether the history is kept from its beginning.
    pub(crate) complete: bool,
}

/// One snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SnapshotView {
    /// Its name.
    pub(crate) name: SnapshotName,
    /// What it names.
    pub(crate) generation: GenerationId,
    /// Milliseconds since the Unix epoch.
    pub(crate) at_ms: i64,
    /// Packages in it.
    pub(crate) packages: usize,
    /// What the name stood for before it was given to this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replaced: Option<GenerationId>,
}
