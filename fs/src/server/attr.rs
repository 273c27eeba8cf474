//! What the view says of its nodes, in its own words: the adapter makes kernel structures of it.

use blast_store::{Entry as LayerEntry, EntryKind};

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
}

/// The attributes of a node. Everything belongs to the user who mounted the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attr {
    /// The node number.
    pub ino: u64,
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u16,
    /// Size in bytes.
    pub size: u64,
    /// When it was last modified, as its layer or tree says.
    pub mtime: Time,
}

/// A moment, as the kernel counts it: `nanos` are added to `seconds`, also before the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time {
    /// Whole seconds since the epoch.
    pub seconds: i64,
    /// Nanoseconds, less than a second.
    pub nanos: u32,
}

impl Time {
    /// The moment so many nanoseconds after the epoch.
    pub fn from_nanos(nanos: i64) -> Self {
        const SECOND: i64 = 1_000_000_000;
        Self {
            seconds: nanos.div_euclid(SECOND),
            nanos: nanos.rem_euclid(SECOND) as u32,
        }
    }

    /// The moment so many seconds after the epoch.
    pub fn from_seconds(seconds: i64) -> Self {
        Self { seconds, nanos: 0 }
    }
}

impl Attr {
    /// A directory with this modification time.
    pub(super) fn directory(ino: u64, mode: u32, mtime_ns: i64) -> Self {
        let mtime = Time::from_nanos(mtime_ns);
        Self {
            ino,
            kind: Kind::Directory,
            mode: mode as u16 & 0o777,
            size: 0,
            mtime,
        }
    }

    /// A symbolic link to a target of this length.
    pub(super) fn link(ino: u64, target_len: usize, mtime_ns: i64) -> Self {
        let (size, mtime) = (target_len as u64, Time::from_nanos(mtime_ns));
        Self {
            ino,
            kind: Kind::Symlink,
            mode: 0o777,
            size,
            mtime,
        }
    }

    /// A file or link of a layer; none where the entry is a directory or damaged.
    pub(super) fn leaf(ino: u64, entry: &LayerEntry<'_>) -> Option<Self> {
        let kind = match entry.kind {
            EntryKind::File { .. } | EntryKind::Inline { .. } | EntryKind::Extended { .. } => {
                Kind::File
            }
            EntryKind::Symlink { .. } => Kind::Symlink,
            EntryKind::Dir { .. } | EntryKind::Damaged => return None,
        };
        Some(Self {
            ino,
            kind,
            mode: entry.mode as u16 & 0o777,
            size: entry.size,
            mtime: Time::from_seconds(entry.mtime),
        })
    }
}

/// The answer to a look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// The name exists.
    Found(Attr),
    /// It does not.
    Absent {
        /// Whether that may be cached: false where bytecode is still to come.
        lasting: bool,
    },
}

/// One line of a listing.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The name.
    pub name: &'a [u8],
    /// Its node.
    pub attr: Attr,
    /// The offset from which a listing goes on after this entry.
    pub next: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(nanos: i64) -> (i64, u32) {
        let time = Time::from_nanos(nanos);
        (time.seconds, time.nanos)
    }

    #[test]
    fn times_before_the_epoch_keep_their_nanoseconds_positive() {
        assert_eq!(time(1_500_000_000), (1, 500_000_000));
        assert_eq!(time(-1), (-1, 999_999_999));
        assert_eq!(time(i64::MIN), (-9_223_372_037, 145_224_192));
    }
}
