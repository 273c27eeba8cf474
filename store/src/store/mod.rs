//! The store itself: what is opened, and the one way in which its records change.
//!
//! # Layout
//! Below `home`: `store/{blobs,packs,layers,generations}/ab/…` (objects), `store/staging/` (work in
//! flight), `store/lock` (held by the process that has the store open), `journal`, `wal` (the
//! write-ahead log), `db/` (sled).
//!
//! # Invariants
//! - A change is an event: one line of the journal, made durable by the write-ahead log, and then
//!   the same event applied to the index. Nothing else writes records.
//! - An event of history is durable only together with all objects it refers to.
//! - The head of an environment moves only if it is still where the mover saw it.
//!
//! # Concurrency
//! Every method takes `&self`. Locks, in the order in which they may be taken: the `gate` (read:
//! to rely on an object being there; write: to collect), `writer` (to append to the journal),
//! `unsynced` (to publish objects), the log's own, then caches and pins, which are held for a moment only. One
//! process has the store open at a time.

mod caches;
mod environments;
mod links;
mod lookup;

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};

use blast_types::BlobId;

use self::caches::Caches;
pub use self::environments::EnvChange;
pub(crate) use self::environments::HeadMove;
use crate::apply::{changes_of, position, set_position};
use crate::copies::Seen;
use crate::error::At as _;
use crate::failpoint::{self, Point};
use crate::index::{Batch, Behind, Index, MARKS, Marks, MemoryIndex, SledIndex, get_json};
use crate::journal::{Event, Journal, events_of};
use crate::objects::Objects;
use crate::packs::Packs;
use crate::pins::Pins;
use crate::staging::{Pending, clear_leftovers};
use crate::wal::{Unplaced, Wal};
use crate::{MachineStore, Staging, StoreError};

/// Blobs, layers, generations and the histories of environments; a cheap handle to one open
/// store.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

/// What all handles share.
#[derive(Debug)]
pub(crate) struct Inner {
    home: PathBuf,
    /// Device and inode of `home` when it was opened.
    identity: (u64, u64),
    pub(crate) objects: Arc<Objects>,
    pub(crate) wal: Wal,
    pub(crate) index: Box<dyn Index>,
    writer: Mutex<Writer>,
    /// Whether objects have final names that may not be durable.
    pub(crate) unsynced: Mutex<bool>,
    gate: RwLock<()>,
    pub(crate) pins: Arc<Pins>,
    /// What images brought and is not unpacked.
    pub(crate) packs: Packs,
    /// A store that is read, too.
    pub(crate) below: OnceLock<MachineStore>,
    /// Set where other users read this store.
    pub(crate) shares: OnceLock<()>,
    pub(crate) caches: Caches,
    stagings: AtomicU64,
    /// Held while a blob gets another name.
    linking: Mutex<()>,
    /// See `copies`.
    pub(crate) copied: Mutex<Seen>,
    /// Dropped last: whoever gets the lock next finds everything closed.
    _lock: HomeLock,
}

/// What only the appender of events has.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) journal: Journal,
    pub(crate) marks: Marks,
}

/// Whether an event must be on disk when the call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// It is history.
    Now,
    /// It can be found out again.
    Later,
}

impl Store {
    /// Opens the store below `home`, creating what is missing, with its index on disk.
    pub fn open(home: &Path) -> Result<Self, StoreError> {
        let db = home.join("db");
        Self::open_with(home, |anew| {
            if anew && db.exists() {
                fs::remove_dir_all(&db).at("remove", &db)?;
            }
            Ok(Box::new(Behind::new(SledIndex::open(&db)?)))
        })
    }

    /// Opens the store below `home` with an index in memory, replayed from the whole journal.
    pub fn open_in_memory(home: &Path) -> Result<Self, StoreError> {
        Self::open_with(home, |_| Ok(Box::new(MemoryIndex::default())))
    }

    /// `open_index` opens the index, or makes an empty one in its place.
    fn open_with(
        home: &Path,
        open_index: impl Fn(bool) -> Result<Box<dyn Index>, StoreError>,
    ) -> Result<Self, StoreError> {
        let root = home.join("store");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&root)
            .at("create", &root)?;
        let lock = HomeLock::take(home, &root.join("lock"))?;
        let objects = Arc::new(Objects::open(&root)?);
        let was_there = home.join("db").exists();
        let mut index = open_index(false)?;
        let known = position(index.as_ref())?.map(|(epoch, _)| epoch);
        let mut journal = Journal::open(&home.join("journal"), known)?;
        let (wal, unplaced) = Wal::recover(&home.join("wal"), &objects, &mut journal)?;
        if known.map_or(was_there, |epoch| epoch != journal.epoch()) {
            tracing::warn!("the index does not belong to the journal and is rebuilt");
            // Another database rather than this one without its rows: to take them out one by one would
            // rely on a database that may be torn.
            drop(index);
            index = open_index(true)?;
        }
        let (marks, lost_lines) = catch_up(index.as_ref(), &mut journal, &unplaced)?;
        wal.follow(&journal);
        // A process died while it published: names may be there that are not durable yet. The next
        // commit sees to it, as programs may be waiting for what is in the store.
        let unsynced = clear_leftovers(&objects)?;
        let packs = Packs::open(&objects)?;
        let inner = Inner {
            identity: identity(home)?,
            home: home.to_owned(),
            objects,
            wal,
            index,
            writer: Mutex::new(Writer { journal, marks }),
            unsynced: Mutex::new(unsynced),
            gate: RwLock::new(()),
            pins: Arc::default(),
            packs,
            below: OnceLock::new(),
            shares: OnceLock::new(),
            caches: Caches::default(),
            stagings: AtomicU64::new(0),
            linking: Mutex::default(),
            copied: Mutex::default(),
            _lock: lock,
        };
        if lost_lines {
            tracing::warn!("the journal lost lines and is written anew from the index");
            inner.rewrite_journal(&mut inner.writer(), Vec::new())?;
        }
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The directory below which everything lies.
    pub fn home(&self) -> &Path {
        &self.inner.home
    }

    /// False once somebody deleted or replaced the home directory below us.
    pub fn is_present(&self) -> bool {
        identity(&self.inner.home).is_ok_and(|now| now == self.inner.identity)
    }

    /// Brings the index on disk up to date, keeps copies of what is precious, and forgets what can be
    /// read again: to be called when nothing is asked of the store for a while. What an `Arc` holds
    /// lives on.
    pub fn rest(&self) -> Result<(), StoreError> {
        self.keep_copies()?;
        self.inner.index.flush()?;
        self.inner.caches.clear();
        self.inner.packs.rest();
        Ok(())
    }

    /// Whether a write failed in a way that leaves open what is on disk: the store takes no change any
    /// more, and has to be opened anew.
    pub fn is_stuck(&self) -> bool {
        self.inner.wal.has_failed() || self.inner.writer().journal.is_broken()
    }

    /// Whether the blob is in the store.
    pub fn has_blob(&self, id: BlobId) -> bool {
        self.inner.size_anywhere(id).is_some() || self.inner.packs.size(id).is_some()
    }

    /// Where the file of a blob is, or would be; one that an image brought may be in a pack, another in the store below
    /// ([`Store::open_blob`]).
    pub fn blob_path(&self, id: BlobId) -> PathBuf {
        self.inner.objects.path(id)
    }

    /// Begins to add objects.
    pub fn stage(&self) -> Result<Staging, StoreError> {
        if !self.is_present() {
            let source = io::Error::from(io::ErrorKind::NotFound);
            let path = self.inner.home.clone();
            return Err(StoreError::Io {
                action: "find",
                path,
                source,
            });
        }
        Ok(Staging::new(Arc::clone(&self.inner)))
    }
}

impl Inner {
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// While this is held, no object is collected.
    pub(crate) fn gate(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// While this is held, nobody relies on an object that is neither referred to nor pinned.
    pub(crate) fn close_gate(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn next_staging(&self) -> u64 {
        self.stagings.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes an event happen: journal first, index second.
    pub(crate) fn commit(
        &self,
        writer: &mut Writer,
        event: &Event,
        durability: Durability,
    ) -> Result<(), StoreError> {
        match durability {
            Durability::Now => {
                self.commit_with(writer, std::slice::from_ref(event), Pending::default())
            }
            Durability::Later => {
                let step = Step::of(std::slice::from_ref(event), self.index.as_ref(), writer)?;
                writer.journal.append(&step.lines)?;
                self.apply(writer, step)
            }
        }
    }

    /// Makes events happen together, and durable, that may refer to objects which are not durable
    /// yet.
    pub(crate) fn commit_with(
        &self,
        writer: &mut Writer,
        events: &[Event],
        pending: Pending,
    ) -> Result<(), StoreError> {
        let step = Step::of(events, self.index.as_ref(), writer)?;
        {
            let mut unsynced = self.unsynced.lock().unwrap_or_else(PoisonError::into_inner);
            if *unsynced {
                self.objects.sync_all()?;
                *unsynced = false;
            }
        }
        let journal = &mut writer.journal;
        journal.reserve(step.lines.len())?;
        // Whether something is on disk that could not be made durable cannot be known; asking again
        // would not tell. So an error from here on ends all writing.
        if self
            .wal
            .commit(journal, &step.lines, pending.read()?)
            .inspect_err(|_| journal.mark_broken())
            .map_err(StoreError::uncertain)?
        {
            // The log has it: the next opening would finish what fails here.
            failpoint::hit(Point::CommitPlace)
                .at("write to", &self.home)
                .and_then(|()| pending.place())
                .and_then(|()| journal.append(&step.lines))
                .inspect_err(|_| journal.mark_broken())
                .map_err(StoreError::unfinished)?;
            self.wal.finished();
        } else {
            pending.publish()?;
            journal.append(&step.lines)?;
            self.wal
                .sync(journal)
                .inspect_err(|_| journal.mark_broken())
                .map_err(StoreError::uncertain)?;
        }
        self.apply(writer, step).map_err(StoreError::unfinished)
    }

    /// Lets the index follow.
    fn apply(&self, writer: &mut Writer, step: Step) -> Result<(), StoreError> {
        let Writer { journal, marks } = writer;
        let mut batch = step.batch;
        *marks = step.marks;
        set_position(&mut batch, journal.epoch(), journal.length());
        // The event has happened; an index that cannot follow is replayed at the next opening.
        failpoint::hit(Point::CommitIndex)
            .at("write to", &self.home)
            .and_then(|()| self.index.apply(batch))
            .inspect_err(|_| journal.mark_broken())
    }
}

/// What events mean to journal and index.
struct Step {
    lines: Vec<u8>,
    batch: Batch,
    marks: Marks,
}

impl Step {
    /// Of events that do not depend on each other's changes to the index.
    fn of(events: &[Event], index: &dyn Index, writer: &Writer) -> Result<Self, StoreError> {
        let mut step = Self {
            lines: Vec::new(),
            batch: Batch::default(),
            marks: writer.marks,
        };
        for event in events {
            step.lines.extend(event.line()?);
            step.batch.then(changes_of(event, index, &mut step.marks)?);
        }
        Ok(step)
    }
}

/// Applies to the index, which is of this journal or empty, what the journal, and the log for want of
/// a place in it, have beyond it. Says whether the journal lacks lines that the index has now.
fn catch_up(
    index: &dyn Index,
    journal: &mut Journal,
    unplaced: &[Unplaced],
) -> Result<(Marks, bool), StoreError> {
    let (start, lost_lines) = match position(index)? {
        Some((_, offset)) => (offset, !journal.has_line_end(offset)?),
        None => (0, false),
    };
    let replay = journal.replay(start)?;
    let mut marks: Marks = get_json(index, MARKS)?.unwrap_or_default();
    for step in &replay.events {
        let mut batch = changes_of(&step.event, index, &mut marks)?;
        set_position(&mut batch, journal.epoch(), step.end);
        index.apply(batch)?;
    }
    for Unplaced { at, lines } in unplaced {
        if at + lines.len() as u64 > start {
            for event in events_of(lines) {
                index.apply(changes_of(&event, index, &mut marks)?)?;
            }
        }
    }
    Ok((marks, lost_lines || !unplaced.is_empty()))
}

/// Keeps other processes out of the store.
#[derive(Debug)]
struct HomeLock(File);

impl HomeLock {
    fn take(home: &Path, path: &Path) -> Result<Self, StoreError> {
        let mut options = File::options();
        let file = options
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .at("open", path)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked {
                home: home.to_owned(),
            }),
            Err(TryLockError::Error(error)) => Err(error).at("lock", path),
        }
    }
}

impl Drop for HomeLock {
    fn drop(&mut self) {
        // Closing would not do: a child process between its fork and its exec shares the lock.
        if let Err(error) = self.0.unlock() {
            tracing::debug!(%error, "the store's lock goes with its descriptor");
        }
    }
}

fn identity(home: &Path) -> Result<(u64, u64), StoreError> {
    let metadata = fs::metadata(home).at("examine", home)?;
    Ok((metadata.dev(), metadata.ino()))
}
