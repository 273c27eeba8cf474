//! Reading ahead of programs in the view.
//!
//! A program that imports a package for the first time after a mount asks the daemon for each name
//! and each file, and waits: two processes that wake each other in turn, a tenth of a millisecond each
//! time. What programs read of a layer is therefore kept ([`profile`]). When the next one begins to
//! use the layer, the daemon's end ([`reader`]) tells a process of its own, which asks the kernel
//! for the same again, on another processor: one listing makes all names of a directory known, and
//! bytes are asked for without waiting for them.
//!
//! That process knows nothing but paths, holds nothing open, and ends with its input. It is no
//! thread of the daemon, as one that waits for the view while it serves it could not be ended.
//!
//! ```text
//! standard input    `OFFSET LENGTH PATH`, each ended by a zero byte; no length: the name alone
//! ```

mod profile;
mod reader;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _};
use std::num::NonZeroU64;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use rustix::fs::{Advice, fadvise};

use crate::exit_code::Exit;
pub(crate) use reader::Reader;

/// The hidden command under which it starts.
pub(crate) const COMMAND: &str = "read-ahead";

/// Directories of which it is remembered that they were listed.
const LISTED: usize = 4096;
/// The bytecode of a directory's modules lies in one below it.
const BYTECODE: &str = "__pycache__";

/// Plays the role to its end.
pub(crate) fn run() -> Exit {
    let mut listed = HashSet::new();
    for record in io::stdin().lock().split(0) {
        let Some(piece) = record.ok().as_deref().and_then(Piece::parse) else {
            return Exit::Error;
        };
        // A tree may have been retired, or the view unmounted: then nobody wants it any more.
        piece.ask_for(&mut listed).unwrap_or_default();
    }
    Exit::Ok
}

/// A piece of a file in the view.
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    offset: u64,
    length: u64,
    path: PathBuf,
}

impl Piece {
    fn parse(record: &[u8]) -> Option<Self> {
        let mut words = record.splitn(3, |byte| *byte == b' ');
        let mut number = || str::from_utf8(words.next()?).ok()?.parse().ok();
        let (offset, length) = (number()?, number()?);
        let path = Path::new(OsStr::from_bytes(words.next()?)).to_owned();
        Some(Self {
            offset,
            length,
            path,
        })
    }

    fn append_to(&self, records: &mut Vec<u8>) {
        records.extend(format!("{} {} ", self.offset, self.length).bytes());
        records.extend(self.path.as_os_str().as_bytes());
        records.push(0);
    }

    /// Asks for it, and waits for no byte.
    fn ask_for(&self, listed: &mut HashSet<PathBuf>) -> io::Result<()> {
        if let Some(parent) = self.path.parent() {
            if parent.ends_with(BYTECODE)
                && let Some(sources) = parent.parent()
            {
                list(sources, listed)?;
            }
            list(parent, listed)?;
        }
        let Some(length) = NonZeroU64::new(self.length) else {
            // That it is not there is what the kernel learns.
            return fs::symlink_metadata(&self.path).map(drop);
        };
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file: File = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits())
            .open(&self.path)?;
        Ok(fadvise(&file, self.offset, Some(length), Advice::WillNeed)?)
    }
}

/// Has the kernel learn all names in a directory, and what they lead to (`READDIRPLUS`).
fn list(directory: &Path, listed: &mut HashSet<PathBuf>) -> io::Result<()> {
    if listed.contains(directory) {
        return Ok(());
    }
    if listed.len() >= LISTED {
        listed.clear();
    }
    listed.insert(directory.to_owned());
    for entry in fs::read_dir(directory)? {
        entry?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_read_as_it_was_written() {
        let piece = Piece {
            offset: 131_072,
            length: 262_144,
            path: "live/.generation/7/lib/a b/ü.so".into(),
        };
        let mut records = Vec::new();
        piece.append_to(&mut records);
        let record = records.strip_suffix(b"\0").expect("it is ended");
        assert_eq!(Piece::parse(record), Some(piece));
        for record in ["", "1", "1 2", "1 x path", "-1 2 path", "1 2path"] {
            assert_eq!(Piece::parse(record.as_bytes()), None, "{record}");
        }
    }

    #[test]
    fn what_is_gone_is_an_error_and_no_more() {
        let piece = Piece {
            offset: 0,
            length: 1,
            path: "/nowhere/at/all".into(),
        };
        assert!(piece.ask_for(&mut HashSet::new()).is_err());
    }
}
