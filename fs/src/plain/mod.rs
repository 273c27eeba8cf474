//! A tree as plain files: what the view shows of a generation, written to a directory of a native
//! file system.
//!
//! Composed by the same code as the view (`tree`, `bytecode`), so that both show
//! the same names, bytes, links, modes and times. What may differ is the mode of a hard link: its
//! file is a blob's own and has no write bits.
//!
//! - [`fn@write`] fills an empty directory, in parallel; the caller makes it appear whole by renaming
//!   it. Bytecode that is compiled already is written with it.
//! - [`add_bytecode`] adds to a tree what was compiled later, file by file, each by a rename.
//!   Programs may have written their own meanwhile; both are right.
//! - [`fn@drift`] tells what programs did to a tree since.
//! - [`LinkKind`] says how bytes get there; [`probe`] finds out what the file system can.
//!
//! Nothing here is made durable: that is the caller's, once for the whole tree.

mod drift;
mod links;
mod plan;
mod write;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use blast_store::LayerNumber;
use blast_types::{BlobId, LayerId};

pub use self::drift::{Drift, Look, drift};
pub use self::links::{LinkKind, probe, try_hard_link};
use self::plan::Plan;
use self::write::Writer;
use crate::content::{Bytecode, Content, ContentError, TreeSpec};

/// Why a tree cannot be written. Paths are relative to the tree.
#[derive(Debug, thiserror::Error)]
pub enum PlainError {
    /// The file system refused something.
    #[error("cannot write {}", path.display())]
    Write {
        /// Where in the tree.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file system does not give back what is there.
    #[error("cannot read {}", path.display())]
    Read {
        /// Where in the tree.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Bytes of the store cannot be had.
    #[error("cannot read the blob {blob} of {}", path.display())]
    Blob {
        /// The blob.
        blob: BlobId,
        /// Where in the tree it belongs.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The layer makes no sense at this entry.
    #[error("the layer {layer} is damaged at {}", path.display())]
    Damaged {
        /// The layer.
        layer: LayerId,
        /// Where in the tree.
        path: PathBuf,
    },
    /// The store failed.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// Whoever asked for it is gone.
    #[error("stopped half-way")]
    Stopped,
}

impl PlainError {
    /// Whether the disk is full.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Write { source, .. } | Self::Blob { source, .. } => {
                matches!(
                    source.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                )
            }
            Self::Read { .. } | Self::Damaged { .. } | Self::Content(_) | Self::Stopped => false,
        }
    }
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Directories, the root among them.
    pub directories: u64,
    /// Files, however they were made.
    pub files: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Of the files, those that share their bytes with the store by a reflink.
    pub reflinks: u64,
    /// Of the files, those that are a blob's own file by another name.
    pub hard_links: u64,
    /// Bytes of all files, shared or not.
    pub bytes: u64,
    /// Layers whose bytecode was not compiled yet when the tree was planned.
    pub pending: Vec<LayerNumber>,
}

/// Writes a tree into `to`, an empty directory. Blocks for as long as it takes; ends early where
/// `stop` becomes true. What was written until an error stays for the caller to remove.
pub fn write(
    content: &dyn Content,
    spec: &TreeSpec,
    to: &Path,
    links: LinkKind,
    stop: &AtomicBool,
) -> Result<Written, PlainError> {
    let plan = Plan::of(content, spec);
    Writer::new(content, to, links, stop).write(&plan, spec.mtime_ns)
}

/// Adds the bytecode of one layer, compiled meanwhile, to a tree that was written to `to`. Says how
/// many files were added; those that are there already stay.
pub fn add_bytecode(
    content: &dyn Content,
    spec: &TreeSpec,
    layer: LayerNumber,
    to: &Path,
    links: LinkKind,
) -> Result<u64, PlainError> {
    let Some(tag) = &spec.bytecode_tag else {
        return Ok(0);
    };
    if !spec.layers.iter().any(|(number, _)| *number == layer) {
        return Ok(0);
    }
    let Bytecode::Ready(_, companion) = content.bytecode(layer, tag) else {
        return Ok(0);
    };
    let plan = Plan::of_bytecode(content, spec, &companion, tag);
    let stop = AtomicBool::new(false);
    Writer::new(content, to, links, &stop).add(&plan)
}

#[cfg(test)]
mod tests;
