//! What can go wrong in the store. Every input/output error carries the path it happened on and
//! what was being done; every missing or damaged object carries its name.

use std::io;
use std::path::{Path, PathBuf};

use blast_types::{BlobId, EnvName, GenerationId, Hint, LayerId, SnapshotName};

use crate::layer::{LayerError, LayerFormatError};
use crate::{LayerNumber, OperationId, TreeNumber};

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused something.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was being done, as in "cannot _create_ …".
        action: &'static str,
        /// What it was being done to.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process has the store open.
    #[error("the store `{}` is open in another process", home.display())]
    Locked {
        /// The store's home directory.
        home: PathBuf,
    },
    /// The database failed.
    #[error("the index database `{}` failed", path.display())]
    Index {
        /// Where the database is.
        path: PathBuf,
        /// What it said.
        source: sled::Error,
    },
    /// A record that cannot be written as JSON (a path that is no UTF-8, say) or read back.
    #[error("cannot encode or decode {what}")]
    Record {
        /// Which kind of record.
        what: &'static str,
        /// What the codec said.
        source: serde_json::Error,
    },
    /// A layer that cannot be built.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// A layer file that cannot be read.
    #[error("layer {} is damaged", id.short())]
    DamagedLayer {
        /// The layer.
        id: LayerId,
        /// What is wrong with it.
        source: LayerFormatError,
    },
    /// A generation file whose bytes are not what its name says, or that cannot be read.
    #[error("generation {} is damaged: {reason}", id.short())]
    DamagedGeneration {
        /// The generation.
        id: GenerationId,
        /// What is wrong with it.
        reason: String,
    },
    /// The journal or the database was written by a blast that knows more.
    #[error("`{}` has format {found}, this blast reads {known}", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// What it says of itself.
        found: String,
        /// What this program understands.
        known: String,
    },
    /// A blob that something refers to is not in the store.
    #[error("blob {} is not in the store", id.short())]
    MissingBlob {
        /// The blob.
        id: BlobId,
    },
    /// A blob whose bytes are not what its name says.
    #[error("blob {} is damaged", id.short())]
    DamagedBlob {
        /// The blob.
        id: BlobId,
    },
    /// A layer that something refers to is not in the store.
    #[error("layer {} is not in the store", id.short())]
    MissingLayer {
        /// The layer.
        id: LayerId,
    },
    /// A generation that something refers to is not in the store.
    #[error("generation {} is not in the store", id.short())]
    MissingGeneration {
        /// The generation.
        id: GenerationId,
    },
    /// No layer ever got this number, or it was collected.
    #[error("no layer has the number {0}")]
    NoSuchLayerNumber(LayerNumber),
    /// No tree ever got this number, or it was collected.
    #[error("no tree has the number {0}")]
    NoSuchTree(TreeNumber),
    /// The environment does not exist.
    #[error("there is no environment `{0}`")]
    NoSuchEnv(EnvName),
    /// An environment of that name exists.
    #[error("the environment `{0}` exists already")]
    EnvExists(EnvName),
    /// The environment has no such snapshot.
    #[error("the environment `{env}` has no snapshot `{name}`")]
    NoSuchSnapshot {
        /// The environment.
        env: EnvName,
        /// The snapshot asked for.
        name: SnapshotName,
    },
    /// The environment's history has no such operation, or it was collected.
    #[error("the history of `{env}` has no operation {id}")]
    NoSuchOperation {
        /// The environment.
        env: EnvName,
        /// The operation asked for.
        id: OperationId,
    },
    /// An earlier write of the journal or the index failed half-way, so nothing may be appended
    /// until the store is opened again and has settled which part was written.
    #[error("the store takes no changes since a write of its journal failed")]
    ReadOnlyAfterFailure,
    /// The commit is durable, and something after it failed.
    #[error("the change is made, but the store has to be opened anew to show it")]
    Unfinished {
        /// What failed.
        source: Box<StoreError>,
    },
    /// The commit itself failed, and what of it is on disk cannot be known.
    #[error("whether the change was made is not known before the store is opened anew")]
    Uncertain {
        /// What failed.
        source: Box<StoreError>,
    },
    /// A blob or layer of this staging could not be written, so what refers to it must not be
    /// published.
    #[error("a write into the staging area failed before")]
    StagingFailed,
    /// The numbers that node numbers are made of are used up.
    #[error("the store has run out of {0} numbers")]
    OutOfNumbers(&'static str),
}

impl StoreError {
    /// Once the commit is durable.
    pub(crate) fn unfinished(self) -> Self {
        Self::Unfinished {
            source: Box::new(self),
        }
    }

    /// Where nobody knows whether it is.
    pub(crate) fn uncertain(self) -> Self {
        match self {
            // Nothing was tried.
            Self::ReadOnlyAfterFailure => self,
            source => Self::Uncertain {
                source: Box::new(source),
            },
        }
    }
}

impl Hint for StoreError {
    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Io { source, path, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "free space with `blast clean`".to_owned()
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    format!("check the owner and mode of `{}`", path.display())
                }
                _ => return Vec::new(),
            },
            Self::Locked { .. } => "stop the other daemon with `blast kill --all`".to_owned(),
            Self::DamagedLayer { .. }
            | Self::DamagedGeneration { .. }
            | Self::DamagedBlob { .. }
            | Self::MissingBlob { .. }
            | Self::MissingLayer { .. }
            | Self::MissingGeneration { .. } => {
                "`blast check --deep` lists all that is damaged and who uses it".to_owned()
            }
            Self::UnknownFormat { .. } => {
                "use the newer blast that wrote it, or set `BLAST_HOME` to another place".to_owned()
            }
            Self::NoSuchEnv(_) => "`blast envs` lists the environments".to_owned(),
            Self::EnvExists(name) => format!("remove it with `blast envs rm {name}`"),
            Self::NoSuchSnapshot { env, .. } => {
                format!("`blast save --list --env {env}` lists the snapshots")
            }
            Self::NoSuchOperation { env, .. } => {
                format!("`blast log --env {env}` lists the operations")
            }
            Self::Unfinished { .. } | Self::Uncertain { .. } => {
                "nothing is half-done: `blast log` opens the store anew and shows what is so"
                    .to_owned()
            }
            Self::Index { .. } | Self::ReadOnlyAfterFailure => {
                "restart the daemon with `blast kill --all`; the journal restores the index"
                    .to_owned()
            }
            Self::Record { .. }
            | Self::StagingFailed
            | Self::Layer(_)
            | Self::NoSuchLayerNumber(_)
            | Self::NoSuchTree(_)
            | Self::OutOfNumbers(_) => return Vec::new(),
        };
        vec![hint]
    }
}

/// Gives an input/output result its path.
pub(crate) trait At<T> {
    /// Turns the error into one that says what was being done to which path.
    fn at(self, action: &'static str, path: &Path) -> Result<T, StoreError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Io {
            action,
            path: path.to_owned(),
            source,
        })
    }
}

impl<T> At<T> for nix::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(io::Error::from).at(action, path)
    }
}
