//! What a home may forget: the index client's caches and the answers of interpreters.
//!
//! They live in a directory that anybody may delete at any time to start afresh. What is held in
//! memory goes with it: a directory that is gone, or another one at its place, means new caches.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::error::{EngineError, at};
use super::pip_shim::Shims;
use crate::interpreter::ProbeCache;

/// The caches in one directory, as long as it is there.
#[derive(Debug)]
pub(crate) struct Caches {
    /// Pages and metadata of indexes, and connections.
    pub(crate) index: blast_index::Shared,
    /// What interpreters said of themselves.
    pub(crate) probes: ProbeCache,
    /// The `pip` of environments.
    pub(crate) shims: Shims,
    /// `$BLAST_CACHE`.
    pub(crate) path: PathBuf,
    /// Device and inode of the directory.
    identity: (u64, u64),
}

impl Caches {
    /// The caches in this directory, which is made where it is missing.
    pub(super) fn open(path: &Path) -> Result<Self, EngineError> {
        std::fs::create_dir_all(path).map_err(at(path))?;
        Ok(Self {
            index: blast_index::Shared::new(path),
            probes: ProbeCache::new(path),
            shims: Shims::new(path),
            path: path.to_owned(),
            identity: identity(path).map_err(at(path))?,
        })
    }

    /// Whether these are the caches of that directory as it is now.
    pub(super) fn are_of(&self, path: &Path) -> bool {
        self.path == path && identity(path).is_ok_and(|found| found == self.identity)
    }
}

fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    std::fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_end_with_their_directory() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let path = folder.path().join("cache");
        let caches = Caches::open(&path).expect("writable");
        assert!(caches.are_of(&path));
        assert!(!caches.are_of(folder.path()));
        std::fs::rename(&path, folder.path().join("old")).expect("renamed");
        assert!(!caches.are_of(&path));
        std::fs::create_dir(&path).expect("made");
        assert!(!caches.are_of(&path), "another directory of the same name");
    }
}
