//! What can go wrong with a request, and the error number that the program gets.

use std::io;

use blast_store::{LayerNumber, TreeNumber};
use blast_types::{BlobId, LayerId};
use nix::errno::Errno;

use crate::content::ContentError;

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub enum FsError {
    /// The node number is none of ours.
    #[error("node {ino:#x} is unknown")]
    UnknownNode {
        /// The number.
        ino: u64,
    },
    /// The node number names a directory that its tree does not have.
    #[error("tree {tree} has no directory {path:?}")]
    NotInTree {
        /// The tree.
        tree: TreeNumber,
        /// The path of the entry in the layer that the number names.
        path: String,
    },
    /// The layer has no such entry.
    #[error("layer {layer} has no entry {entry}")]
    NoEntry {
        /// The layer.
        layer: LayerNumber,
        /// The entry.
        entry: u32,
    },
    /// The tree, layer or entry is beyond what a node number can say.
    #[error("entry {entry} of layer {layer} is beyond the range of node numbers")]
    Unnumbered {
        /// The tree, for a directory.
        tree: Option<TreeNumber>,
        /// The layer.
        layer: LayerNumber,
        /// The entry.
        entry: u32,
    },
    /// A directory was expected.
    #[error("node {ino:#x} is no directory")]
    NotADirectory {
        /// The number.
        ino: u64,
    },
    /// A file was expected.
    #[error("node {ino:#x} is a directory")]
    IsADirectory {
        /// The number.
        ino: u64,
    },
    /// A symlink was expected, or a symlink was to be read as a file.
    #[error("node {ino:#x} is of the wrong kind")]
    WrongKind {
        /// The number.
        ino: u64,
    },
    /// The layer's encoding makes no sense at this entry.
    #[error("layer {layer} is damaged at entry {entry}")]
    Damaged {
        /// The layer.
        layer: LayerId,
        /// The entry.
        entry: u32,
    },
    /// The blob is missing or cannot be opened or read.
    #[error("cannot read blob {blob}")]
    Blob {
        /// The blob.
        blob: BlobId,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The blob has fewer bytes than its layer says.
    #[error("blob {blob} ends before byte {expected}")]
    ShortBlob {
        /// The blob.
        blob: BlobId,
        /// Where it should end.
        expected: u64,
    },
    /// The store has no answer.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The server failed by a mistake of its own.
    #[error("the server panicked")]
    Panic,
}

impl FsError {
    /// The error number that the program gets.
    pub fn errno(&self) -> Errno {
        match self {
            // The kernel looks the path up again from the root when it is told so.
            Self::UnknownNode { .. }
            | Self::NotInTree { .. }
            | Self::NoEntry { .. }
            | Self::Content(ContentError::UnknownTree(_) | ContentError::UnknownLayer(_)) => {
                Errno::ESTALE
            }
            Self::Unnumbered { .. } => Errno::EOVERFLOW,
            Self::NotADirectory { .. } => Errno::ENOTDIR,
            Self::IsADirectory { .. } => Errno::EISDIR,
            Self::WrongKind { .. } => Errno::EINVAL,
            // Too many descriptors or too little memory pass; say which, so that a program or its
            // user can tell that from damage.
            Self::Blob { source, .. } => match source.raw_os_error().map(Errno::from_raw) {
                Some(errno @ (Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM)) => errno,
                _ => Errno::EIO,
            },
            Self::Damaged { .. }
            | Self::ShortBlob { .. }
            | Self::Content(ContentError::Store(_))
            | Self::Panic => Errno::EIO,
        }
    }

    /// Whether the cause is damage or a missing object rather than an odd request.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. }
                | Self::Blob { .. }
                | Self::ShortBlob { .. }
                | Self::Content(_)
                | Self::Panic
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_number() {
        let blob = BlobId::of(b"x");
        let layer = LayerNumber(1);
        let tree = TreeNumber(1);
        let read = |errno: Errno| FsError::Blob {
            blob,
            source: io::Error::from_raw_os_error(errno as i32),
        };
        let rows = [
            (FsError::UnknownNode { ino: 0 }, Errno::ESTALE),
            (
                FsError::NotInTree {
                    tree,
                    path: String::new(),
                },
                Errno::ESTALE,
            ),
            (FsError::NoEntry { layer, entry: 1 }, Errno::ESTALE),
            (
                FsError::Unnumbered {
                    tree: None,
                    layer,
                    entry: 1,
                },
                Errno::EOVERFLOW,
            ),
            (FsError::NotADirectory { ino: 1 }, Errno::ENOTDIR),
            (FsError::IsADirectory { ino: 1 }, Errno::EISDIR),
            (FsError::WrongKind { ino: 1 }, Errno::EINVAL),
            (read(Errno::ENOENT), Errno::EIO),
            (read(Errno::EMFILE), Errno::EMFILE),
            (read(Errno::ENFILE), Errno::ENFILE),
            (read(Errno::ENOMEM), Errno::ENOMEM),
            (FsError::ShortBlob { blob, expected: 1 }, Errno::EIO),
            (
                FsError::Damaged {
                    layer: LayerId::from_bytes([0; 32]),
                    entry: 1,
                },
                Errno::EIO,
            ),
            (
                FsError::Content(ContentError::UnknownTree(tree)),
                Errno::ESTALE,
            ),
            (
                FsError::Content(ContentError::UnknownLayer(layer)),
                Errno::ESTALE,
            ),
            (
                FsError::Content(ContentError::Store("down".into())),
                Errno::EIO,
            ),
            (FsError::Panic, Errno::EIO),
        ];
        for (error, errno) in rows {
            assert_eq!(error.errno(), errno, "{error}");
        }
    }
}
