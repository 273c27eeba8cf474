//! Reading the bytes of files.
//!
//! The kernel opens nothing here (`open` is refused for good, so that it stops asking) and so tells of
//! no close either: a blob is opened per request, but for big ones, whose reads come in many pieces
//! and whose descriptors are kept for a while.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use blast_store::{EntryIndex, EntryKind, Layer};
use blast_types::BlobId;

use crate::content::Content;
use crate::error::FsError;
use crate::recent::Recent;

/// Files above this size take more than one read request: the kernel's read-ahead window.
const BIG: u64 = 128 * 1024;
/// Descriptors of big files kept, at most twice this number.
const KEPT: usize = 32;

/// The blobs behind the files of a view.
#[derive(Debug)]
pub(super) struct Files {
    open: Recent<BlobId, Arc<File>>,
}

impl Files {
    pub(super) fn new() -> Self {
        Self {
            open: Recent::new(KEPT),
        }
    }

    /// Closes what is kept open.
    pub(super) fn clear(&self) {
        self.open.clear();
    }

    /// Reads from a file of a layer into `buffer`, as much as there is. Returns the number of bytes.
    pub(super) fn read(
        &self,
        content: &dyn Content,
        (layer, index, ino): (&Layer, EntryIndex, u64),
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, FsError> {
        let kind = layer.get(index).map(|entry| (entry.kind, entry.size));
        match kind {
            Some((EntryKind::File { blob }, size)) => {
                self.read_blob(content, blob, size, offset, buffer)
            }
            Some((EntryKind::Inline { bytes }, _)) => Ok(copy_from(bytes, offset, buffer)),
            Some((
                EntryKind::Extended {
                    blob,
                    base_size,
                    tail,
                },
                _,
            )) => {
                let base = self.read_blob(content, blob, base_size, offset, buffer)?;
                let reached = offset.saturating_add(base as u64);
                // The tail follows only where the base was read to its end.
                match reached.checked_sub(base_size) {
                    None => Ok(base),
                    Some(past) => Ok(base + copy_from(tail, past, &mut buffer[base..])),
                }
            }
            Some((EntryKind::Dir { .. }, _)) => Err(FsError::IsADirectory { ino }),
            Some((EntryKind::Symlink { .. }, _)) => Err(FsError::WrongKind { ino }),
            Some((EntryKind::Damaged, _)) => Err(FsError::Damaged {
                layer: layer.id(),
                entry: index.0,
            }),
            None => Err(FsError::UnknownNode { ino }),
        }
    }

    /// Reads the part of a blob of `size` bytes that falls into `buffer` at `offset`.
    fn read_blob(
        &self,
        content: &dyn Content,
        blob: BlobId,
        size: u64,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, FsError> {
        let wanted = size.saturating_sub(offset).min(buffer.len() as u64) as usize;
        if wanted == 0 {
            return Ok(0);
        }
        let open = || content.open_blob(blob).map(Arc::new);
        let file = if size > BIG {
            self.open.get_or_try(blob, open)
        } else {
            open()
        };
        let file = file.map_err(|source| FsError::Blob { blob, source })?;
        match file.read_exact_at(&mut buffer[..wanted], offset) {
            Ok(()) => Ok(wanted),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(FsError::ShortBlob {
                blob,
                expected: size,
            }),
            Err(source) => Err(FsError::Blob { blob, source }),
        }
    }
}

fn copy_from(bytes: &[u8], offset: u64, buffer: &mut [u8]) -> usize {
    let rest = usize::try_from(offset)
        .ok()
        .and_then(|offset| bytes.get(offset..));
    let rest = rest.unwrap_or_default();
    let count = rest.len().min(buffer.len());
    buffer[..count].copy_from_slice(&rest[..count]);
    count
}
