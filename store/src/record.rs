//! The records that the index and the journal hold: environments, operations, snapshots, wheels.
//! Plain data; JSON with fields in the order written here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use blast_types::{
    BlobId, EnvName, ExtraName, GenerationId, Interpreter, LayerId, PackageName, Sha256,
    SnapshotName, Version,
};
use serde::{Deserialize, Serialize};

use crate::{Generation, OperationId, TreeNumber};

/// What an environment is, apart from what is installed in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvRecord {
    /// Its name.
    pub name: EnvName,
    /// The project it belongs to, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<PathBuf>,
    /// Environment variables that activation and `run` set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// What the interpreter said of itself.
    pub interpreter: Interpreter,
    /// When it was created, in milliseconds since the epoch.
    pub created_ms: i64,
}

/// An environment now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvState {
    /// What it is.
    pub record: EnvRecord,
    /// The generation it shows.
    pub head: GenerationId,
    /// The newest operation of its history.
    pub operation: OperationId,
}

/// What an operation did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum OperationKind {
    /// The environment came into being.
    Create,
    /// Packages were asked for.
    Install,
    /// Packages were brought up to date.
    Update,
    /// Packages were taken out.
    Remove,
    /// The environment was made to match a lock or a list of requirements.
    Sync,
    /// An earlier generation became the head again.
    Revert {
        /// That generation.
        to: GenerationId,
    },
    /// The effect of one operation was taken back.
    Undo {
        /// That operation.
        of: OperationId,
    },
    /// The effect of an undo was taken back.
    Redo {
        /// The undo or revert that was taken back.
        of: OperationId,
    },
    /// A snapshot became the head, or what it holds did.
    Load {
        /// Its name.
        snapshot: SnapshotName,
        /// The environment that it is of, where it is another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<EnvName>,
    },
    /// A generation got a name; the head stayed.
    Save {
        /// The name.
        snapshot: SnapshotName,
        /// The generation.
        generation: GenerationId,
    },
    /// A snapshot's name was given up; the head stayed.
    DeleteSnapshot {
        /// The name.
        snapshot: SnapshotName,
        /// The generation it stood for.
        generation: GenerationId,
    },
    /// What another tool wrote became part of the environment.
    Capture,
    /// The environment became what an image holds.
    LoadImage {
        /// SHA-256 of its manifest.
        image: Sha256,
    },
}

/// What the caller knows of an operation before it has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationDraft {
    /// What is done. `save_snapshot` and `delete_snapshot` set it themselves.
    pub kind: OperationKind,
    /// The command line that asked for it.
    pub command: Vec<String>,
    /// Who asked: a user name.
    pub who: String,
    /// When the work began, in milliseconds since the epoch.
    pub started_ms: i64,
    /// A sentence for the log.
    pub note: Option<String>,
}

/// One entry of an environment's append-only history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Its place in the history.
    pub id: OperationId,
    /// The environment.
    pub env: EnvName,
    /// What was done.
    #[serde(flatten)]
    pub kind: OperationKind,
    /// The head before; nothing for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<GenerationId>,
    /// The head after.
    pub after: GenerationId,
    /// When it was published, in milliseconds since the epoch.
    pub at_ms: i64,
    /// How long the work took, in milliseconds.
    pub duration_ms: i64,
    /// Who asked.
    pub who: String,
    /// The command line that asked.
    pub command: Vec<String>,
    /// A sentence for the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What it changed, by package.
    #[serde(default, skip_serializing_if = "Changes::is_empty")]
    pub changes: Changes,
}

/// One package that differs between two generations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageChange {
    /// Its name.
    pub name: PackageName,
    /// The version before, unless it was added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Version>,
    /// The version after, unless it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Version>,
}

/// How two generations differ, by package, each list sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Changes {
    /// Packages that only the second has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<PackageChange>,
    /// Packages that only the first has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<PackageChange>,
    /// Packages with another version, or the same version from other bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<PackageChange>,
}

impl Changes {
    /// Whether no package differs.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    /// What happened on the way from `before` (nothing: an empty environment) to `after`.
    pub fn between(before: Option<&Generation>, after: &Generation) -> Self {
        let index = |generation: &Generation| {
            let packages = generation.packages.iter();
            packages
                .map(|package| {
                    (
                        package.name.clone(),
                        (package.version.clone(), package.layer),
                    )
                })
                .collect::<BTreeMap<_, _>>()
        };
        let mut old = before.map(index).unwrap_or_default();
        let mut changes = Self::default();
        for (name, (version, layer)) in index(after) {
            let change = |before| PackageChange {
                name: name.clone(),
                before,
                after: Some(version.clone()),
            };
            match old.remove(&name) {
                None => changes.added.push(change(None)),
                Some((before, old_layer)) if before != version || old_layer != layer => {
                    changes.changed.push(change(Some(before)));
                }
                Some(_) => {}
            }
        }
        let gone = |(name, (version, _))| PackageChange {
            name,
            before: Some(version),
            after: None,
        };
        changes.removed = old.into_iter().map(gone).collect();
        changes
    }
}

/// A name for a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The name, unique in its environment.
    pub name: SnapshotName,
    /// What it stands for.
    pub generation: GenerationId,
    /// When it was taken, in milliseconds since the epoch.
    pub created_ms: i64,
}

/// A generation that was shown in a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeRecord {
    /// Its number in node numbers and in paths.
    pub number: TreeNumber,
    /// The generation.
    pub generation: GenerationId,
    /// When it was first shown, in nanoseconds since the epoch: the time of all its directories.
    /// Strictly increasing with the number, at least a microsecond apart, because Python tells
    /// listings apart by it.
    pub shown_at_ns: i64,
}

/// What a wheel is looked up by: its bytes and the layout they are unpacked into.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WheelKey {
    /// SHA-256 of the wheel file.
    pub sha256: Sha256,
    /// The install scheme, such as `cpython-312`.
    pub scheme: String,
}

/// A script that calls a function (`console_scripts`, `gui_scripts`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryPoint {
    /// File name of the script.
    pub name: String,
    /// Module to import.
    pub module: String,
    /// Dotted attribute to call.
    pub attribute: String,
    /// Whether it is a `gui_scripts` entry.
    pub gui: bool,
}

/// A script of a wheel's `data/scripts` that begins with `#!python`, whose first line depends on
/// the environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PythonScript {
    /// File name of the script.
    pub name: String,
    /// Its bytes from the second line on.
    pub body: BlobId,
    /// Size of `body` in bytes.
    pub size: u64,
    /// Whether its first line is `#!pythonw`.
    pub gui: bool,
    /// Whether the archive marks it as executable; pip takes the mode from there.
    pub executable: bool,
}

/// What a wheel became under a scheme: its layer, and all that installing it needs beside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WheelRecord {
    /// Normalised name.
    pub name: PackageName,
    /// Version.
    pub version: Version,
    /// What it adds to a prefix.
    pub layer: LayerId,
    /// Path of its `.dist-info` directory in the prefix.
    pub dist_info: String,
    /// The `RECORD` of the layer, which an environment extends with rows of its own.
    pub record_blob: BlobId,
    /// Size of `record_blob` in bytes.
    pub record_size: u64,
    /// Console and GUI scripts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scripts: Vec<EntryPoint>,
    /// Scripts whose first line depends on the environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub python_scripts: Vec<PythonScript>,
    /// `Requires-Dist`, as written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires_dist: Vec<String>,
    /// `Requires-Python`, as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires_python: Option<String>,
    /// `Provides-Extra`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub provides_extra: Vec<ExtraName>,
    /// How many files the layer has.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}
