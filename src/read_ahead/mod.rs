//! Reading ahead of programs in the view.
//!
//! A program that imports a package for the first time after a mount asks the daemon for each name
//! and each file, and waits: two processes that wake each other in turn, a tenth of a millisecond each
//! time. What programs read of a layer is therefore kept ([`profile`]). When the next one begins to
//! use the layer, or reads of it again after a while ([`told`]), the daemon's end ([`reader`]) tells a process of its own, which asks the kernel
//! for the same again, on another processor: one listing makes all names of a directory known, and
//! bytes are asked for without waiting for them.
//!
//! That process knows nothing but paths, holds nothing open, and ends with its input. It is no
//! thread of the daemon, as one that waits for the view while it serves it could not be ended.
//!
//! Programs say what is read, and environments hold what programs wrote, while nothing confines this process: it
//! goes through no link below a tree and leaves none (openat2(2), Linux 5.6; without it nothing is read ahead).
//!
//! ```text
//! standard input    `OFFSET LENGTH TREE`, a zero byte, the path in that tree, a zero byte; no length: the name alone
//! ```

mod profile;
mod reader;
mod told;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::{self, BufRead as _};
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{
    Advice, AtFlags, CWD, Dir, Mode, OFlags, ResolveFlags, fadvise, openat, openat2, statat,
};

use crate::exit_code::Exit;
pub(crate) use reader::Reader;

/// The hidden command under which it starts.
pub(crate) const COMMAND: &str = "read-ahead";

/// Directories of which it is remembered that they were listed.
const LISTED: usize = 4096;
/// Of so many names of a listing one is looked at. The kernel asks for the first part of a listing with what the names lead to,
/// and for the next in the same way only if somebody looked at a name of the last (`fuse_use_readdirplus` in its `fs/fuse/readdir.c`). The
/// smallest part is a page, which holds some twenty.
const ADVISE: usize = 16;
/// The bytecode of a directory's modules lies in one below it.
const BYTECODE: &str = "__pycache__";

/// Plays the role to its end.
pub(crate) fn run() -> Exit {
    let mut listed = HashSet::new();
    let mut parts = io::stdin().lock().split(0);
    while let Some(place) = parts.next() {
        let (Ok(place), Some(Ok(path))) = (place, parts.next()) else {
            return Exit::Error;
        };
        let Some(piece) = Piece::parse(&place, &path) else {
            return Exit::Error;
        };
        // A tree may have been retired, or the view unmounted: then nobody wants it any more.
        piece.ask_for(&mut listed).unwrap_or_default();
    }
    Exit::Ok
}

/// A piece of a file in a tree.
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    /// The tree.
    root: PathBuf,
    offset: u64,
    length: u64,
    /// Relative to the tree.
    path: PathBuf,
}

impl Piece {
    fn parse(place: &[u8], path: &[u8]) -> Option<Self> {
        let mut words = place.splitn(3, |byte| *byte == b' ');
        let mut number = || str::from_utf8(words.next()?).ok()?.parse().ok();
        let (offset, length) = (number()?, number()?);
        let path_of = |bytes| Path::new(OsStr::from_bytes(bytes)).to_owned();
        Some(Self {
            root: path_of(words.next()?),
            offset,
            length,
            path: path_of(path),
        })
    }

    fn append_to(&self, records: &mut Vec<u8>) {
        records.extend(format!("{} {} ", self.offset, self.length).bytes());
        for path in [&self.root, &self.path] {
            records.extend(path.as_os_str().as_bytes());
            records.push(0);
        }
    }

    /// Asks for it, and waits for no byte.
    fn ask_for(&self, listed: &mut HashSet<PathBuf>) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, &self.root, flags, Mode::empty())?;
        if let Some(parent) = self.path.parent() {
            if parent.ends_with(BYTECODE)
                && let Some(sources) = parent.parent()
            {
                self.list(&root, sources, listed)?;
                // Its import looks at the source as well. Somebody may have listed the sources, without all that they lead to.
                if let Some(source) = source(&self.path) {
                    drop(below(&root, &sources.join(source), OFlags::PATH));
                }
            }
            self.list(&root, parent, listed)?;
        }
        match NonZeroU64::new(self.length) {
            // That it is not there is what the kernel learns.
            None => below(&root, &self.path, OFlags::PATH).map(drop),
            length => {
                let file = below(&root, &self.path, OFlags::RDONLY | OFlags::NONBLOCK)?;
                Ok(fadvise(&file, self.offset, length, Advice::WillNeed)?)
            }
        }
    }

    /// Has the kernel learn all names in a directory, and what they lead to (`READDIRPLUS`).
    fn list(
        &self,
        root: &OwnedFd,
        directory: &Path,
        listed: &mut HashSet<PathBuf>,
    ) -> io::Result<()> {
        if listed.len() >= LISTED {
            listed.clear();
        }
        if !listed.insert(self.root.join(directory)) {
            return Ok(());
        }
        let directory = if directory == Path::new("") {
            Path::new(".")
        } else {
            directory
        };
        let mut names = Dir::new(below(root, directory, OFlags::RDONLY | OFlags::DIRECTORY)?)?;
        let mut count = 0;
        while let Some(entry) = names.next() {
            let entry = entry?;
            count += 1;
            if count % ADVISE == 0 {
                statat(names.fd()?, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW).ok();
            }
        }
        Ok(())
    }
}

/// The name of the module that this is the bytecode of (PEP 3147).
fn source(bytecode: &Path) -> Option<PathBuf> {
    let name = bytecode.file_name()?.as_bytes();
    let dot = name.iter().position(|byte| *byte == b'.')?;
    let module = OsStr::from_bytes(&name[..dot]);
    Some(Path::new(module).with_extension("py"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens what is at this path in a tree, and nothing that is not in it.
fn below(root: &OwnedFd, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    Ok(openat2(
        root,
        path,
        flags | OFlags::CLOEXEC,
        Mode::empty(),
        resolve,
    )?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn piece(root: &Path, path: &str, length: u64) -> Piece {
        Piece {
            root: root.to_owned(),
            offset: 131_072,
            length,
            path: path.into(),
        }
    }

    #[test]
    fn bytecode_is_of_the_module_before_its_tags() {
        let of = |path: &str| source(Path::new(path));
        assert_eq!(of("a/__pycache__/m.cpython-312.pyc"), Some("m.py".into()));
        assert_eq!(
            of("__pycache__/m.cpython-312.opt-1.pyc"),
            Some("m.py".into())
        );
        assert_eq!(of("a/__pycache__/plain"), None);
    }

    #[test]
    fn a_piece_is_read_as_it_was_written() {
        let piece = piece(
            Path::new("/a b/live/.generation/7"),
            "lib/a b/ü.so",
            262_144,
        );
        let mut records = Vec::new();
        piece.append_to(&mut records);
        let mut parts = records.split(|byte| *byte == 0);
        let mut part = || parts.next().expect("a part");
        assert_eq!(Piece::parse(part(), part()), Some(piece));
        for place in ["", "1", "1 2", "1 x tree", "-1 2 tree", "1 2tree"] {
            assert_eq!(Piece::parse(place.as_bytes(), b"path"), None, "{place}");
        }
    }

    #[test]
    fn nothing_is_opened_through_a_link_or_out_of_the_tree() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let tree = folder.path().join("tree");
        fs::create_dir_all(tree.join("lib/p/__pycache__")).expect("ours");
        for file in ["tree/lib/p/a.so", "tree/lib/p/__pycache__/a.pyc", "outside"] {
            fs::write(folder.path().join(file), "bytes").expect("ours");
        }
        symlink("p", tree.join("lib/link")).expect("ours");
        symlink("a.so", tree.join("lib/p/link.so")).expect("ours");
        symlink(folder.path(), tree.join("lib/away")).expect("ours");
        let ask = |path: &str, length| piece(&tree, path, length).ask_for(&mut HashSet::new());
        for path in ["lib/p/a.so", "lib/p/__pycache__/a.pyc"] {
            ask(path, 1).unwrap_or_else(|error| panic!("{path}: {error}"));
            ask(path, 0).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
        for path in [
            "lib/link/a.so",
            "lib/p/link.so",
            "lib/away/outside",
            "../outside",
            "/etc/passwd",
            "lib/p/absent.so",
        ] {
            assert!(ask(path, 1).is_err(), "{path}");
        }
        let gone = piece(&folder.path().join("gone"), "lib/p/a.so", 1);
        assert!(gone.ask_for(&mut HashSet::new()).is_err());
    }
}
