//! Read-only memory maps of store objects: the one place of this crate with unsafe code.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

/// The bytes of an immutable object, mapped or owned.
#[derive(Debug)]
pub(crate) enum ObjectBytes {
    /// A mapped file of the store.
    Mapped(memmap2::Mmap),
    /// Bytes that are in no file (a layer that was just encoded).
    Owned(Vec<u8>),
}

impl ObjectBytes {
    /// Maps the file at `path`. The descriptor is closed again; the map keeps the file.
    pub(crate) fn map(path: &Path) -> io::Result<Self> {
        Self::of(&File::open(path)?)
    }

    /// Maps an open file, which may be closed then.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        // SAFETY: the map is sound as long as nobody changes the file's bytes or shortens it.
        // Objects are published complete, by rename, with mode 0444, and nothing in blast opens
        // one for writing or truncates it; collection unlinks it, which leaves the map intact. A
        // foreign program that edits the store behind our back is outside of what a store can
        // promise.
        #[expect(unsafe_code, reason = "memory maps have no safe constructor")]
        let map = unsafe { memmap2::Mmap::map(file)? };
        Ok(Self::Mapped(map))
    }
}

impl Deref for ObjectBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}
