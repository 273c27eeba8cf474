//! A blob in pieces: in memory while it is small, in a file of the staging when it grows.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use blast_types::BlobId;

use super::{SPOOL_BYTES, Shared};
use crate::StoreError;
use crate::error::At as _;
use crate::failpoint::{self, Point};
use crate::objects::create_new;

/// Takes the bytes of one blob; [`BlobWriter::finish`] names it. Dropped, it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter {
    staging: Arc<Shared>,
    hasher: Box<blake3::Hasher>,
    size: u64,
    buffer: Vec<u8>,
    spool: Option<Spool>,
}

#[derive(Debug)]
struct Spool {
    file: File,
    path: PathBuf,
    /// The staging took the file over.
    kept: bool,
}

impl Drop for Spool {
    fn drop(&mut self) {
        if !self.kept {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

impl BlobWriter {
    pub(super) fn new(staging: Arc<Shared>) -> Self {
        Self {
            staging,
            hasher: Box::default(),
            size: 0,
            buffer: Vec::new(),
            spool: None,
        }
    }

    /// How many bytes have been written.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Ends the blob; gives its name and its size in bytes.
    pub fn finish(mut self) -> Result<(BlobId, u64), StoreError> {
        let id = BlobId::from_bytes(*self.hasher.finalize().as_bytes());
        let Some(mut spool) = self.spool.take() else {
            return Ok((self.staging.blob(id, &self.buffer)?, self.size));
        };
        failpoint::hit(Point::StageSpool).at("write", &spool.path)?;
        spool
            .file
            .write_all(&self.buffer)
            .at("write", &spool.path)?;
        if self.staging.is_there(id.into(), Some(self.size)) {
            return Ok((id, self.size));
        }
        start_writeback(&spool.file);
        if self.staging.reserve(id.into(), spool.path.clone()) {
            spool.kept = true;
        }
        Ok((id, self.size))
    }

    fn spill(&mut self) -> Result<(), StoreError> {
        let spool = match &mut self.spool {
            Some(spool) => spool,
            none => {
                let path = self.staging.spool_path()?;
                none.insert(Spool {
                    file: create_new(&path)?,
                    path,
                    kept: false,
                })
            }
        };
        spool
            .file
            .write_all(&self.buffer)
            .at("write", &spool.path)?;
        self.buffer.clear();
        Ok(())
    }
}

/// The error as the traits of `std::io` carry it; its kind, and in its source its path, survive.
fn through_io(error: StoreError) -> io::Error {
    let kind = match &error {
        StoreError::Io { source, .. } => source.kind(),
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > SPOOL_BYTES {
            self.spill().map_err(through_io)?;
        }
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lets the kernel begin to write the file back, so that the sync at the end waits for less.
pub(super) fn start_writeback(file: &File) {
    use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
    // Best effort: it only moves work forward. "Don't need" starts writeback of dirty pages and
    // drops the clean ones, of which a file just written has none.
    let _ignored = posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
}
