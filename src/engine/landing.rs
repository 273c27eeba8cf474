//! Where a wheel lies between its download and its unpacking: in memory where it is not big, else in
//! a file.
//!
//! A commit waits until the file system has written out all that is dirty on it. Wheels that lie there
//! would be written out too, a fifth of all bytes of a first installation, only to be deleted.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use blast_index::Destination;
use nix::sys::memfd::{MFdFlags, memfd_create};
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The largest wheel that is kept in memory, in bytes.
const LARGEST: u64 = 48 << 20;

/// How much all wheels in memory may take, in KiB, over all changes that are under way.
const ROOM: usize = 128 << 10;

static MEMORY: Semaphore = Semaphore::const_new(ROOM);

/// A place for one wheel, made when its size is known; dropped, it is gone with what lies there.
#[derive(Debug)]
pub(super) struct Landing {
    downloads: PathBuf,
    place: OnceLock<Place>,
}

#[derive(Debug)]
struct Place {
    path: PathBuf,
    _kept: Kept,
}

#[derive(Debug)]
enum Kept {
    Memory(#[expect(dead_code, reason = "held until the wheel is unpacked")] Memory),
    Folder(#[expect(dead_code, reason = "deleted with the wheel")] TempDir),
}

/// A file without a name in any file system (`memfd_create(2)`).
#[derive(Debug)]
struct Memory {
    _file: OwnedFd,
    _room: SemaphorePermit<'static>,
}

impl Landing {
    /// A place for a wheel; files go below `downloads`.
    pub(super) fn new(downloads: &Path) -> Self {
        Self {
            downloads: downloads.to_owned(),
            place: OnceLock::new(),
        }
    }
}

impl Destination for Landing {
    fn path(&self, size: Option<u64>) -> io::Result<&Path> {
        if let Some(place) = self.place.get() {
            return Ok(&place.path);
        }
        let place = match size.and_then(Place::in_memory) {
            Some(place) => place,
            None => Place::in_file(&self.downloads)?,
        };
        Ok(&self.place.get_or_init(|| place).path)
    }
}

impl Place {
    fn in_file(downloads: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("wheel-")
            .tempdir_in(downloads)?;
        Ok(Self {
            path: folder.path().join("artifact.whl"),
            _kept: Kept::Folder(folder),
        })
    }

    /// None where it is too big, there is no room, or the kernel does not let us.
    fn in_memory(size: u64) -> Option<Self> {
        if size > LARGEST {
            return None;
        }
        let room = MEMORY
            .try_acquire_many(size.div_ceil(1 << 10) as u32)
            .ok()?;
        let file = memfd_create(c"wheel", MFdFlags::MFD_CLOEXEC).ok()?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        // Without /proc it has no path.
        File::open(&path).ok()?;
        Some(Self {
            path,
            _kept: Kept::Memory(Memory {
                _file: file,
                _room: room,
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_small_lies_in_memory_and_what_is_big_or_unknown_in_a_file() {
        let folder = tempfile::tempdir().expect("temporary directory");
        for (size, in_memory) in [
            (Some(3), true),
            (Some(LARGEST + 1), false),
            (Some(u64::MAX), false),
            (None, false),
        ] {
            let landing = Landing::new(folder.path());
            let path = landing.path(size).expect("a place");
            assert_eq!(!path.starts_with(folder.path()), in_memory);
            // Written twice, as by a transfer that had to begin again.
            std::fs::write(path, b"longer").expect("written");
            std::fs::write(path, b"abc").expect("written");
            assert_eq!(std::fs::read(path).expect("read"), b"abc");
            assert_eq!(landing.path(None).expect("a place"), path, "it stays");
            drop(landing);
            let mut left = std::fs::read_dir(folder.path()).expect("listed");
            assert!(left.next().is_none(), "nothing stays behind");
        }
    }

    #[test]
    fn memory_is_given_back() {
        let folder = tempfile::tempdir().expect("temporary directory");
        for _ in 0..100 {
            let landing = Landing::new(folder.path());
            let path = landing.path(Some(LARGEST)).expect("a place");
            assert!(path.starts_with("/proc"));
        }
    }
}
