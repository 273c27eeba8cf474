//! Blobs as files of plain trees, by another name.
//!
//! A blob's file has mode 0444 and whatever time it was written at; neither means anything to the
//! store. A tree wants the mode and time of its own entry, since Python compares the time of a
//! source with its bytecode's. So a file that has no other name yet takes those of the first tree that
//! links to it; trees that want the same share it, others copy.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::PoisonError;

use blast_types::BlobId;
use nix::sys::stat::futimens;
use nix::sys::time::TimeSpec;

use super::Store;

impl Store {
    /// Makes `to` a hard link to the file of a blob: without write bits, executable or not, with this
    /// modification time in seconds since the epoch. False where that file has other names with
    /// another mode or time, or as many names as the file system allows, and where it has no file here.
    ///
    /// # Errors
    ///
    /// What the system says: the blob is not there, `to` exists, or is on another file system.
    pub fn link_blob(
        &self,
        id: BlobId,
        executable: bool,
        mtime: i64,
        to: &Path,
    ) -> io::Result<bool> {
        let path = self.blob_path(id);
        let mode = if executable { 0o555 } else { 0o444 };
        // Nobody else may link to it between the look and the change.
        let linking = &self.inner.linking;
        let one = linking.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.has_blob(id) => {
                return Ok(false);
            }
            found => found?,
        };
        if (found.mode() & 0o777, found.mtime(), found.mtime_nsec()) != (mode, mtime, 0) {
            if found.nlink() > 1 {
                return Ok(false);
            }
            let file = File::open(&path)?;
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            futimens(&file, &TimeSpec::UTIME_OMIT, &TimeSpec::new(mtime, 0))?;
        }
        let linked = fs::hard_link(&path, to);
        drop(one);
        match linked {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::TooManyLinks => Ok(false),
            Err(error) => Err(error),
        }
    }
}
