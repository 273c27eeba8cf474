//! The journal: an append-only file that says all that ever happened to the store's records. Its
//! line is the commit point of every change; the index is replayed from it.
//!
//! # Layout
//! Lines of `<16 hexadecimal digits> <JSON>`: the digits are the first eight bytes of the BLAKE3
//! of the JSON. The first line is the heading: format, version, features, and an epoch, a random
//! name that changes when the file is rewritten (compacted), so that an index knows whether its
//! offset is one in this very file.
//!
//! # Durability
//! Appending waits for nothing. What makes a line of history durable, and all lines before it, is the
//! write-ahead log (`wal`), which has the line first and puts back at the next opening what this
//! file lacks. Lines of derived facts (numbers, wheels) are not synced on their own: a power cut may take
//! them, and then they are found out again. A torn tail is cut off at the next opening. A broken
//! line with good ones after it is damage: it is skipped, counted, and reported by the checker.
//!
//! # Concurrency
//! One writer, behind the store's commit lock.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blast_types::{EnvName, GenerationId, LayerId};
use serde::{Deserialize, Serialize};

use crate::error::At as _;
use crate::failpoint::{self, Point};
use crate::index::Marks;
use crate::{
    EnvRecord, LayerNumber, Operation, OperationId, Snapshot, StoreError, TreeRecord, WheelKey,
    WheelRecord,
};

/// Version of the journal; a reader refuses any other.
pub const JOURNAL_VERSION: u32 = 1;
const FORMAT: &str = "blast-journal";
const CHECKSUM_DIGITS: usize = 16;
/// Room is made in steps of this many bytes.
const RESERVE_BYTES: u64 = 64 << 10;

/// Something that happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event {
    /// An environment with its history: as it was created, or as compaction found it.
    Environment(Box<EnvironmentEvent>),
    /// An operation; it moves the head, and its kind may name or forget a snapshot.
    Operation { operation: Box<Operation> },
    /// An environment's record changed.
    Update { record: Box<EnvRecord> },
    /// An environment is gone, its history too.
    Remove {
        env: EnvName,
        at_ms: i64,
        who: String,
        command: Vec<String>,
    },
    /// A layer got its number.
    Layer { layer: LayerId, number: LayerNumber },
    /// A generation got its tree number.
    Tree { tree: TreeRecord },
    /// A wheel became a layer.
    Wheel {
        key: WheelKey,
        record: Box<WheelRecord>,
    },
    /// A layer got a bytecode companion.
    Bytecode {
        layer: LayerId,
        tag: String,
        bytecode: LayerId,
    },
    /// Numbers below these were given away.
    Marks { marks: Marks },
}

/// See [`Event::Environment`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EnvironmentEvent {
    pub(crate) serial: u64,
    pub(crate) head: GenerationId,
    pub(crate) operation: OperationId,
    pub(crate) record: EnvRecord,
    pub(crate) operations: Vec<Operation>,
    pub(crate) snapshots: Vec<Snapshot>,
}

/// Tells one journal file from another at the same path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch(pub(crate) [u8; 16]);

#[derive(Serialize, Deserialize)]
struct Heading {
    format: String,
    version: u32,
    features: Vec<String>,
    epoch: String,
}

/// The open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: Arc<File>,
    epoch: Epoch,
    /// Where the next line goes.
    length: u64,
    /// Up to here the file system has room.
    reserved: u64,
    /// A write failed and could not be taken back: append no more.
    broken: bool,
}

/// A line that was read back, and the offset behind it.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) event: Event,
    pub(crate) end: u64,
}

/// What reading a journal gave.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    pub(crate) events: Vec<Replayed>,
    /// Lines that were skipped as damaged.
    pub(crate) damaged_lines: usize,
    /// Where the last good line ends.
    pub(crate) end: u64,
}

impl Journal {
    /// Opens the journal at `path`, beginning it where there is none. `known` is the epoch that the
    /// index was made from: that of a journal which lost its first line, or is gone.
    pub(crate) fn open(path: &Path, known: Option<Epoch>) -> Result<Self, StoreError> {
        let mut file = open_file(path, false)?;
        let length = file.metadata().at("examine", path)?.len();
        let mut head = vec![0; length.min(4096) as usize];
        file.read_exact(&mut head).at("read", path)?;
        let heading = head
            .split_inclusive(|&byte| byte == b'\n')
            .next()
            .unwrap_or_default();
        let epoch = match check_line(heading) {
            Some(json) => Some(read_heading(json, path)?),
            // The first line is damaged, and those after it are ours.
            None if has_events(&file, length).at("read", path)? => {
                tracing::warn!(path = %path.display(), "the journal's first line is damaged");
                Some(known.unwrap_or_else(|| Epoch(random_name())))
            }
            None => None,
        };
        if let Some(epoch) = epoch {
            return Ok(Self {
                path: path.to_owned(),
                file: Arc::new(file),
                epoch,
                length,
                reserved: 0,
                broken: false,
            });
        }
        if heading.ends_with(b"\n") || length > head.len() as u64 {
            return Err(StoreError::UnknownFormat {
                path: path.to_owned(),
                found: String::from_utf8_lossy(&heading[..heading.len().min(80)]).into_owned(),
                known: format!("{FORMAT} {JOURNAL_VERSION}"),
            });
        }
        // Empty, or torn while its first line was written: nothing was ever committed to it, or the
        // index knows what.
        drop(file);
        Self::begin(path, known.unwrap_or_else(|| Epoch(random_name())), &[])
    }

    /// Writes a new journal with these events and puts it in the place of the old one.
    pub(crate) fn replace(path: &Path, events: &[Event]) -> Result<Self, StoreError> {
        Self::begin(path, Epoch(random_name()), events)
    }

    fn begin(path: &Path, epoch: Epoch, events: &[Event]) -> Result<Self, StoreError> {
        let bytes = encode(epoch, events)?;
        let fresh = path.with_extension("new");
        failpoint::hit(Point::JournalWrite).at("write", &fresh)?;
        let mut file = open_file(&fresh, true)?;
        file.write_all(&bytes).at("write", &fresh)?;
        failpoint::hit(Point::JournalSync).at("sync", &fresh)?;
        file.sync_all().at("sync", &fresh)?;
        failpoint::hit(Point::JournalRename).at("rename into place", path)?;
        std::fs::rename(&fresh, path).at("rename into place", path)?;
        let parent = path.parent().unwrap_or(Path::new("."));
        failpoint::hit(Point::JournalFolder).at("sync", parent)?;
        File::open(parent)
            .and_then(|dir| dir.sync_all())
            .at("sync", parent)?;
        let length = bytes.len() as u64;
        Ok(Self {
            path: path.to_owned(),
            file: Arc::new(file),
            epoch,
            length,
            reserved: 0,
            broken: false,
        })
    }

    /// Goes on with a new journal that holds just these events.
    pub(crate) fn rewrite(&mut self, events: &[Event]) -> Result<(), StoreError> {
        if self.broken {
            return Err(StoreError::ReadOnlyAfterFailure);
        }
        match Self::replace(&self.path, events) {
            Ok(journal) => {
                *self = journal;
                Ok(())
            }
            Err(error) => {
                // Where the new file took the place all the same, lines must not go to the old.
                self.broken = !self.is_in_place();
                Err(error)
            }
        }
    }

    /// Whether the file at the journal's path is the one that is open.
    pub(crate) fn is_in_place(&self) -> bool {
        let ours = self.file.metadata().map(|metadata| metadata.ino());
        let there = std::fs::metadata(&self.path).map(|metadata| metadata.ino());
        matches!((ours, there), (Ok(ours), Ok(there)) if ours == there)
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The length that a journal of just these events has.
    pub(crate) fn length_with(&self, events: &[Event]) -> Result<u64, StoreError> {
        Ok(encode(self.epoch, events)?.len() as u64)
    }

    /// Reads the events from `offset` (0: from the beginning) and cuts off a torn tail.
    pub(crate) fn replay(&mut self, offset: u64) -> Result<Replay, StoreError> {
        let bytes = self.read(offset)?;
        let mut replay = Replay {
            end: offset,
            ..Replay::default()
        };
        let (mut at, mut damaged) = (offset, 0);
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            let is_heading = at == 0;
            at += line.len() as u64;
            match check_line(line) {
                Some(_) if is_heading => {}
                Some(json) => {
                    let event = serde_json::from_slice(json).map_err(|error| {
                        StoreError::UnknownFormat {
                            path: self.path.clone(),
                            found: format!("an unknown event ({error})"),
                            known: format!("{FORMAT} {JOURNAL_VERSION}"),
                        }
                    })?;
                    replay.events.push(Replayed { event, end: at });
                    replay.damaged_lines += std::mem::take(&mut damaged);
                }
                None => {
                    damaged += 1;
                    continue;
                }
            }
            replay.end = at;
        }
        if replay.end < self.length {
            tracing::warn!(
                path = %self.path.display(),
                bytes = self.length - replay.end,
                "the journal ends in a line that was never finished; it is cut off"
            );
            self.file.set_len(replay.end).at("shorten", &self.path)?;
            self.file.sync_all().at("sync", &self.path)?;
            self.length = replay.end;
        }
        Ok(replay)
    }

    /// Makes room for lines of so many bytes, so that appending them cannot fail for want of it.
    pub(crate) fn reserve(&mut self, bytes: usize) -> Result<(), StoreError> {
        use nix::errno::Errno;
        use nix::fcntl::{FallocateFlags, fallocate};
        if self.broken {
            return Err(StoreError::ReadOnlyAfterFailure);
        }
        let end = self.length + bytes as u64;
        failpoint::hit(Point::CommitReserve).at("append to", &self.path)?;
        if end <= self.reserved {
            return Ok(());
        }
        let room = (end - self.length).next_multiple_of(RESERVE_BYTES);
        let flags = FallocateFlags::FALLOC_FL_KEEP_SIZE;
        match fallocate(
            &*self.file,
            flags,
            self.length.cast_signed(),
            room.cast_signed(),
        ) {
            Ok(()) => self.reserved = self.length + room,
            // A file system that cannot: appending will tell.
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => {}
            Err(error) => return Err(error).at("append to", &self.path),
        }
        Ok(())
    }

    /// Appends whole lines, without waiting for the disk. After an error nothing was appended,
    /// unless the journal says from then on that it is broken.
    pub(crate) fn append(&mut self, lines: &[u8]) -> Result<(), StoreError> {
        if self.broken {
            return Err(StoreError::ReadOnlyAfterFailure);
        }
        let written = failpoint::hit(Point::CommitAppend)
            .and_then(|()| self.file.write_all_at(lines, self.length));
        if let Err(source) = written {
            // What was written of a line must not be followed by another one.
            self.broken = self.file.set_len(self.length).is_err();
            return Err(StoreError::Io {
                action: "append to",
                path: self.path.clone(),
                source,
            });
        }
        self.length += lines.len() as u64;
        Ok(())
    }

    /// Makes all lines durable in the file itself.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        failpoint::hit(Point::CommitSync)
            .and_then(|()| self.file.sync_data())
            .at("sync", &self.path)
    }

    /// The bytes from `offset` to the end.
    pub(crate) fn read(&self, offset: u64) -> Result<Vec<u8>, StoreError> {
        self.piece(offset, self.length.saturating_sub(offset) as usize)
    }

    fn piece(&self, offset: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; length];
        self.file
            .read_exact_at(&mut bytes, offset)
            .at("read", &self.path)?;
        Ok(bytes)
    }

    /// Whether a line ends at `offset`. Where lines were lost in a power cut, zeros may be there.
    pub(crate) fn has_line_end(&self, offset: u64) -> Result<bool, StoreError> {
        if offset == 0 || offset > self.length {
            return Ok(offset == 0);
        }
        let mut last = [0];
        self.file
            .read_exact_at(&mut last, offset - 1)
            .at("read", &self.path)?;
        Ok(last == *b"\n")
    }

    /// Puts lines back that were durable at `offset`. False, and nothing is done, where the journal
    /// ends before: lines that were durable in it are gone.
    pub(crate) fn restore(&mut self, offset: u64, lines: &[u8]) -> Result<bool, StoreError> {
        let end = offset + lines.len() as u64;
        // No more than that: there are as many records as the log holds, and the journal is long.
        if end <= self.length && self.piece(offset, lines.len())? == lines {
            return Ok(true);
        }
        if offset > self.length {
            return Ok(false);
        }
        tracing::warn!(path = %self.path.display(), "lines that a power cut took are put back");
        failpoint::hit(Point::RecoverJournal).at("write", &self.path)?;
        self.file
            .write_all_at(lines, offset)
            .at("write", &self.path)?;
        self.length = self.length.max(end);
        Ok(true)
    }

    /// How many lines are damaged, the first included, and what can be seen of them.
    pub(crate) fn damaged_lines(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let bytes = self.read(0)?;
        let lines = bytes.split_inclusive(|&byte| byte == b'\n');
        let damaged = lines.filter(|line| check_line(line).is_none());
        Ok(damaged.map(<[u8]>::to_vec).collect())
    }

    /// The open file.
    pub(crate) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Whether it refuses all further lines.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Refuses all further lines: the index no longer follows.
    pub(crate) fn mark_broken(&mut self) {
        self.broken = true;
    }
}

/// Whether any line after the first is whole.
fn has_events(file: &File, length: u64) -> io::Result<bool> {
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, 0)?;
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n').skip(1);
    Ok(lines.any(|line| check_line(line).is_some()))
}

/// The events of whole lines.
pub(crate) fn events_of(lines: &[u8]) -> Vec<Event> {
    let lines = lines.split_inclusive(|&byte| byte == b'\n');
    lines
        .filter_map(|line| serde_json::from_slice(check_line(line)?).ok())
        .collect()
}

fn open_file(path: &Path, truncate: bool) -> Result<File, StoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(truncate)
        .mode(0o600)
        .open(path)
        .at("open", path)
}

fn read_heading(json: &[u8], path: &Path) -> Result<Epoch, StoreError> {
    let unknown = |found: String| StoreError::UnknownFormat {
        path: path.to_owned(),
        found,
        known: format!("{FORMAT} {JOURNAL_VERSION}"),
    };
    let heading: Heading =
        serde_json::from_slice(json).map_err(|error| unknown(error.to_string()))?;
    if heading.format != FORMAT || heading.version != JOURNAL_VERSION {
        return Err(unknown(format!("{} {}", heading.format, heading.version)));
    }
    if let Some(feature) = heading.features.first() {
        return Err(unknown(format!("feature {feature}")));
    }
    let mut epoch = [0; 16];
    hex::decode_to_slice(&heading.epoch, &mut epoch).map_err(|error| unknown(error.to_string()))?;
    Ok(Epoch(epoch))
}

/// A name that nothing else has. It tells things apart and keeps no secret.
pub(crate) fn random_name() -> [u8; 16] {
    use std::hash::{BuildHasher as _, RandomState};
    let half = || {
        RandomState::new()
            .hash_one(std::process::id())
            .to_le_bytes()
    };
    let mut name = [0; 16];
    name[..8].copy_from_slice(&half());
    name[8..].copy_from_slice(&half());
    name
}

impl Event {
    /// The line that says it.
    pub(crate) fn line(&self) -> Result<Vec<u8>, StoreError> {
        encode_line(self)
    }
}

/// A whole journal.
fn encode(epoch: Epoch, events: &[Event]) -> Result<Vec<u8>, StoreError> {
    let heading = Heading {
        format: FORMAT.to_owned(),
        version: JOURNAL_VERSION,
        features: Vec::new(),
        epoch: hex::encode(epoch.0),
    };
    let mut bytes = encode_line(&heading)?;
    for event in events {
        bytes.extend_from_slice(&encode_line(event)?);
    }
    Ok(bytes)
}

fn encode_line<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    let json = serde_json::to_vec(value).map_err(|source| StoreError::Record {
        what: "journal line",
        source,
    })?;
    let mut line = Vec::with_capacity(json.len() + CHECKSUM_DIGITS + 2);
    line.extend_from_slice(&checksum(&json));
    line.push(b' ');
    line.extend_from_slice(&json);
    line.push(b'\n');
    Ok(line)
}

/// The JSON of a line whose checksum holds.
fn check_line(line: &[u8]) -> Option<&[u8]> {
    let json = line.strip_suffix(b"\n")?.get(CHECKSUM_DIGITS + 1..)?;
    (line[..CHECKSUM_DIGITS] == checksum(json) && line[CHECKSUM_DIGITS] == b' ').then_some(json)
}

fn checksum(json: &[u8]) -> [u8; CHECKSUM_DIGITS] {
    let mut digits = [0; CHECKSUM_DIGITS];
    let hash = blake3::hash(json);
    hex::encode_to_slice(&hash.as_bytes()[..CHECKSUM_DIGITS / 2], &mut digits)
        .expect("eight bytes are sixteen digits");
    digits
}

#[cfg(test)]
mod tests;
