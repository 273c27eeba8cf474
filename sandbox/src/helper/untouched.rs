//! Whether the private files of a sandbox are what they were when it was made, so that the next program finds nothing
//! of the last one's.
//!
//! Files that were made and removed again left nothing: every other program makes some in `/tmp`, and a semaphore of
//! `multiprocessing` is one in `/dev/shm`. So the directories that are there for such files are compared by all that a
//! program could see of them, and given their former times back. Of all others the time of the last change says whether
//! anything happened, which a program cannot set (`ctime` of inode(7)).

use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, UtimensatFlags, fstat, utimensat};
use nix::sys::statvfs::fstatvfs;
use nix::sys::time::TimeSpec;

const PATH_ONLY: OFlag = OFlag::O_PATH.union(OFlag::O_CLOEXEC);
/// How deep directories are that a plan makes in its memory: those above an interpreter in a home.
const DEEPEST: usize = 64;
/// Room for the names of extended attributes; a directory with more is no longer what it was.
const ATTRIBUTES: usize = 4096;

/// The private files of a sandbox as they were made: who finds them so finds nothing of anybody's.
pub(super) struct Untouched {
    /// The file system they are on, and how many files it has room for.
    scratch: OwnedFd,
    room: u64,
    parts: Vec<Part>,
}

impl Untouched {
    /// What is on a file system in memory now. `transient` are the names of its directories that are there for files which
    /// come and go.
    pub(super) fn of(scratch: OwnedFd, transient: &[&str]) -> Result<Self, Errno> {
        let room = fstatvfs(&scratch)?.files_free();
        let mut parts = Vec::new();
        let top = opened(&scratch)?;
        for name in listing(&top)? {
            let is_transient = transient
                .iter()
                .any(|one| one.as_bytes() == name.as_bytes());
            let at = openat(
                &scratch,
                name.as_c_str(),
                PATH_ONLY | OFlag::O_NOFOLLOW,
                Mode::empty(),
            )?;
            collect(at, is_transient, DEEPEST, &mut parts)?;
        }
        Ok(Self {
            scratch,
            room,
            parts,
        })
    }

    /// The descriptors that it looks through.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = i32> {
        let parts = self.parts.iter().map(|part| &part.at);
        parts.chain([&self.scratch]).map(AsRawFd::as_raw_fd)
    }

    /// Whether there is nothing of any program's.
    pub(super) fn is_so_still(&mut self) -> bool {
        fstatvfs(&self.scratch).is_ok_and(|now| now.files_free() == self.room)
            && self.parts.iter_mut().all(Part::is_so_still)
    }
}

/// A directory and those below it.
fn collect(
    at: OwnedFd,
    is_transient: bool,
    deepest: usize,
    parts: &mut Vec<Part>,
) -> Result<(), Errno> {
    if !is_directory(&fstat(&at)?) {
        return Ok(());
    }
    // What is not readable here is the kernel's own: the directory in which an overlay prepares.
    if let Ok(readable) = opened(&at) {
        for name in listing(&readable)? {
            let below = openat(
                &at,
                name.as_c_str(),
                PATH_ONLY | OFlag::O_NOFOLLOW,
                Mode::empty(),
            )?;
            if deepest > 0 {
                collect(below, false, deepest - 1, parts)?;
            }
        }
    }
    parts.push(Part::of(at, is_transient)?);
    Ok(())
}

/// A directory as it was made.
struct Part {
    at: OwnedFd,
    /// When it was changed last: seconds and nanoseconds.
    changed: (i64, i64),
    /// What it looks like, where files may come and go.
    look: Option<Look>,
}

impl Part {
    fn of(at: OwnedFd, is_transient: bool) -> Result<Self, Errno> {
        Ok(Self {
            changed: changed(&fstat(&at)?),
            look: is_transient.then(|| Look::of(&at)).transpose()?,
            at,
        })
    }

    fn is_so_still(&mut self) -> bool {
        let is_unchanged = |part: &Self| fstat(&part.at).map(|now| changed(&now) == part.changed);
        match (is_unchanged(self), &self.look) {
            (Ok(true), _) => true,
            (Ok(false), Some(look)) => {
                let Ok(true) = look.is_so_still(&self.at) else {
                    return false;
                };
                fstat(&self.at)
                    .map(|now| self.changed = changed(&now))
                    .is_ok()
            }
            _ => false,
        }
    }
}

/// What a program can see of a directory and change; the time of its last change it can only see.
#[derive(PartialEq, Eq)]
struct Look {
    mode: u32,
    owners: (u32, u32),
    names: BTreeSet<CString>,
    /// Names of its extended attributes, lists of rights among them.
    attributes: Vec<u8>,
    /// When it was read and written last.
    times: [(i64, i64); 2],
}

impl Look {
    fn of(at: &OwnedFd) -> Result<Self, Errno> {
        // Before it is read.
        let stat = fstat(at)?;
        let readable = opened(at)?;
        let mut attributes = vec![0; ATTRIBUTES];
        let length = match rustix::fs::flistxattr(&readable, &mut attributes) {
            // A file system without any.
            Err(rustix::io::Errno::NOTSUP) => 0,
            length => length.map_err(|error| Errno::from_raw(error.raw_os_error()))?,
        };
        attributes.truncate(length);
        Ok(Self {
            mode: stat.st_mode,
            owners: (stat.st_uid, stat.st_gid),
            names: listing(&readable)?,
            attributes,
            times: [
                (stat.st_atime, stat.st_atime_nsec),
                (stat.st_mtime, stat.st_mtime_nsec),
            ],
        })
    }

    /// Whether it looks so, but for its times, which are set back.
    fn is_so_still(&self, at: &OwnedFd) -> Result<bool, Errno> {
        let now = Self {
            times: self.times,
            ..Self::of(at)?
        };
        if now != *self {
            return Ok(false);
        }
        let [read, written] = self.times.map(|(whole, part)| TimeSpec::new(whole, part));
        utimensat(at, ".", &read, &written, UtimensatFlags::NoFollowSymlink)?;
        Ok(true)
    }
}

fn changed(stat: &FileStat) -> (i64, i64) {
    (stat.st_ctime, stat.st_ctime_nsec)
}

fn is_directory(stat: &FileStat) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits()
}

/// A directory that is known by its place, to be read.
fn opened(at: &OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    openat(at, ".", flags, Mode::empty())
}

/// The names in a directory.
fn listing(readable: &OwnedFd) -> Result<BTreeSet<CString>, Errno> {
    let again = readable.try_clone().map_err(|_| Errno::EMFILE)?;
    let mut entries = Dir::from_fd(again)?;
    let names = entries
        .iter()
        .map(|entry| entry.map(|entry| entry.file_name().to_owned()));
    let mut names = names.collect::<Result<BTreeSet<_>, _>>()?;
    names.remove(c".");
    names.remove(c"..");
    Ok(names)
}
