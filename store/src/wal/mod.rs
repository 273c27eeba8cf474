//! The write-ahead log: makes a commit durable by one `fdatasync` of a file that never changes
//! its size, so that the file system has no metadata of its own to write first.
//!
//! A record holds the lines of the commit, those before them that are not durable yet, and the small
//! objects of the commit (the generation, its generated layer). The journal and the objects' files
//! are written after it and not waited for; a while after the last commit they are made durable in the
//! background (*settled*), and the log begins again at its start, as a new *lap*.
//!
//! # Invariants
//! - What a record of the running lap holds, and no settled file has, is put back by
//!   [`Wal::recover`] at the next opening.
//! - A record never shares a block with another one: writing one cannot tear its neighbour.
//! - A lap begins only after all that the last one held was settled, and never while the newest
//!   commit still puts its objects and lines in their places.
//!
//! # Degradation
//! Without a log (a new store, a file system without room for it), or for a record that does not
//! fit, the commit waits for the files themselves. Nothing depends on there being a log.
//!
//! # Concurrency
//! Commits come one at a time, behind the store's commit lock. One thread settles; it lives only
//! while there is something to settle.

mod record;

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) use self::record::{Content, ObjectBytes};
use self::record::{Lap, Record};
use crate::StoreError;
use crate::error::At as _;
use crate::failpoint::{self, Point};
use crate::journal::Journal;
use crate::objects::{ObjectId, Objects};

/// Size of the log in bytes.
const LOG_BYTES: u64 = 4 << 20;
/// A record may have so many bytes; a larger commit waits for its files.
const RECORD_BYTES: usize = 1 << 20;
/// How long after the last commit its files are made durable.
const SETTLE_AFTER: Duration = Duration::from_secs(3);
/// How long after the first commit of a store its log is made.
const CREATE_AFTER: Duration = Duration::from_millis(100);
/// Up to so many objects are settled one by one; more, by one `syncfs`.
const FEW_OBJECTS: usize = 32;

/// Lines that belong into the journal behind its end.
#[derive(Debug)]
pub(crate) struct Unplaced {
    /// Where in the journal.
    pub(crate) at: u64,
    /// Whole lines.
    pub(crate) lines: Vec<u8>,
}

/// The open log.
#[derive(Debug)]
pub(crate) struct Wal {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    objects: Arc<Objects>,
    state: Mutex<State>,
    closing: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The log's file, once there is one.
    file: Option<File>,
    lap: Lap,
    /// Records of this lap.
    records: u32,
    /// Where the next record goes.
    next: u64,
    /// The journal's file, and how much of it is durable: there, or by a record.
    journal: Option<Arc<File>>,
    durable: u64,
    /// Objects that are durable only by a record.
    logged: Vec<ObjectId>,
    /// Counts commits, so that the settling thread sees whether there was one meanwhile.
    commits: u64,
    /// The record whose objects and lines are still on their way to their places.
    unfinished: Option<u32>,
    /// There is a thread that will settle.
    settling: bool,
    /// A sync failed: what is on disk cannot be known any more.
    failed: bool,
    /// The store is going; settle no more.
    closed: bool,
}

impl Wal {
    /// Opens the log at `path` where there is one, and puts back what its records hold and the
    /// objects or the journal lost. Lines that the journal has no place for, because it lost lines
    /// before them too, are given back.
    pub(crate) fn recover(
        path: &Path,
        objects: &Arc<Objects>,
        journal: &mut Journal,
    ) -> Result<(Self, Vec<Unplaced>), StoreError> {
        let mut state = State::default();
        let mut unplaced = Vec::new();
        if let Some((file, records)) = read(path)? {
            for record in &records {
                state.lap = record.lap;
                state.records += 1;
                state.next += record.blocks();
                // Records of a journal that was rewritten since were settled before that.
                if record.epoch == journal.epoch() {
                    for (id, bytes) in &record.content.objects {
                        objects.restore(*id, bytes)?;
                        state.logged.push(*id);
                    }
                    let lines = &record.content.journal;
                    if !journal.restore(record.journal_at, lines)? {
                        unplaced.push(Unplaced {
                            at: record.journal_at,
                            lines: lines.clone(),
                        });
                    }
                }
            }
            state.file = Some(file);
        }
        if state.records == 0 {
            state.lap = Lap::new();
        }
        // What an earlier process appended may be in memory only.
        journal.sync()?;
        state.follow(journal);
        let shared = Shared {
            path: path.to_owned(),
            objects: Arc::clone(objects),
            state: Mutex::new(state),
            closing: Condvar::new(),
        };
        let wal = Self {
            shared: Arc::new(shared),
        };
        Ok((wal, unplaced))
    }

    /// Makes all lines of the journal durable, with `lines`, which the caller appends then, and
    /// `objects`, which he puts in their places; [`Wal::finished`] tells that he did. Says whether it
    /// took them: else lines and objects have to be made durable in their own files.
    pub(crate) fn commit(
        &self,
        journal: &Journal,
        lines: &[u8],
        objects: Vec<ObjectBytes>,
    ) -> Result<bool, StoreError> {
        let mut state = self.shared.lock();
        if state.failed {
            return Err(StoreError::ReadOnlyAfterFailure);
        }
        let gained = journal.length().saturating_sub(state.durable) as usize;
        let objects_size: usize = objects.iter().map(|(_, bytes)| bytes.len()).sum();
        if state.file.is_none() || gained + lines.len() + objects_size > RECORD_BYTES {
            return Ok(false);
        }
        let ids: Vec<ObjectId> = objects.iter().map(|object| object.0).collect();
        let mut unsynced = journal.read(state.durable)?;
        unsynced.extend_from_slice(lines);
        let record = state.record(journal, unsynced, objects).encode();
        let end = state.next + record.len() as u64;
        let Some(file) = state.file.as_ref().filter(|_| end <= LOG_BYTES) else {
            return Ok(false);
        };
        let written = failpoint::hit(Point::CommitLog)
            .and_then(|()| file.write_all_at(&record, state.next))
            .and_then(|()| failpoint::hit(Point::CommitLogSync))
            .and_then(|()| file.sync_data())
            .at("write", &self.shared.path);
        state.failed = written.is_err();
        written?;
        state.next = end;
        state.unfinished = Some(state.records);
        state.records += 1;
        state.logged.extend(ids);
        state.commits += 1;
        state.durable = journal.length() + lines.len() as u64;
        state.journal = Some(journal.file());
        self.shared.settle_later(state);
        Ok(true)
    }

    /// The last commit's objects and lines are where they belong. Without this the log keeps them,
    /// for the next opening to finish.
    pub(crate) fn finished(&self) {
        self.shared.lock().unfinished = None;
    }

    /// Makes all lines of the journal durable in its own file.
    pub(crate) fn sync(&self, journal: &Journal) -> Result<(), StoreError> {
        let mut state = self.shared.lock();
        if state.failed {
            return Err(StoreError::ReadOnlyAfterFailure);
        }
        let synced = journal.sync();
        state.failed = synced.is_err();
        synced?;
        state.commits += 1;
        state.follow(journal);
        self.shared.settle_later(state);
        Ok(())
    }

    /// Makes all that the log holds durable where it belongs, so that the journal may be replaced.
    pub(crate) fn settle(&self, journal: &Journal) -> Result<(), StoreError> {
        let mut state = self.shared.lock();
        if state.failed {
            return Err(StoreError::ReadOnlyAfterFailure);
        }
        let settled =
            sync_objects(&self.shared.objects, &state.logged).and_then(|()| journal.sync());
        state.failed = settled.is_err();
        settled?;
        state.follow(journal);
        state.begin_lap();
        Ok(())
    }

    /// The bytes of an object, where a record of this lap or an older one still has them.
    pub(crate) fn find(&self, id: ObjectId) -> Option<Vec<u8>> {
        let state = self.shared.lock();
        let file = state.file.as_ref()?;
        let blocks = (0..LOG_BYTES).step_by(record::BLOCK as usize);
        blocks
            .filter_map(|at| Record::read(file, at, LOG_BYTES, &self.shared.path).ok()?)
            .flat_map(|record| record.content.objects)
            .find(|(found, _)| *found == id)
            .map(|(_, bytes)| bytes)
    }

    /// Whether a sync failed, so that nothing more is taken.
    pub(crate) fn has_failed(&self) -> bool {
        self.shared.lock().failed
    }

    /// Goes on with a journal that is durable as a whole.
    pub(crate) fn follow(&self, journal: &Journal) {
        self.shared.lock().follow(journal);
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.closing.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that a thread settles once commits pause.
    fn settle_later(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if std::mem::replace(&mut state.settling, true) {
            return;
        }
        drop(state);
        let shared = Arc::clone(self);
        let spawned = std::thread::Builder::new()
            .name("blast-settle".to_owned())
            .spawn(move || shared.settle_when_idle());
        if let Err(error) = spawned {
            // The log fills up, then commits wait for their files: slower, not wrong.
            tracing::warn!(%error, "no thread settles the write-ahead log");
            self.lock().settling = false;
        }
    }

    fn settle_when_idle(&self) {
        let mut state = self.lock();
        loop {
            let (commits, missing) = (state.commits, state.file.is_none());
            let pause = if missing { CREATE_AFTER } else { SETTLE_AFTER };
            let waited = self
                .closing
                .wait_timeout_while(state, pause, |state| !state.closed);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if state.closed || state.failed {
                return;
            }
            if !state.may_settle(commits) {
                continue;
            }
            // Commits go on while this waits for the disk.
            let (commits, logged) = (state.commits, state.logged.clone());
            let journal = state.journal.clone();
            drop(state);
            let synced = self.sync(journal.as_deref(), &logged);
            let made = missing.then(|| create(&self.path));
            state = self.lock();
            if let Err(error) = synced {
                tracing::error!(%error, "the write-ahead log cannot be settled");
                state.failed = true;
                return;
            }
            match made {
                None => {}
                Some(Ok(file)) => state.file = Some(file),
                Some(Err(error)) => tracing::warn!(%error, "there is no write-ahead log"),
            }
            if state.commits == commits {
                state.begin_lap();
                state.settling = false;
                return;
            }
            state.logged.retain(|id| !logged.contains(id));
        }
    }

    fn sync(&self, journal: Option<&File>, logged: &[ObjectId]) -> Result<(), StoreError> {
        sync_objects(&self.objects, logged)?;
        journal.map_or(Ok(()), |file| file.sync_data().at("sync", &self.path))
    }
}

impl State {
    fn record(&self, journal: &Journal, lines: Vec<u8>, objects: Vec<ObjectBytes>) -> Record {
        Record {
            lap: self.lap,
            sequence: self.records,
            epoch: journal.epoch(),
            journal_at: self.durable,
            content: Content {
                journal: lines,
                objects,
            },
        }
    }

    /// Whether it is time, where there were `seen` commits at the beginning of the pause: they
    /// pause, or the log is half full, or there is none.
    fn may_settle(&self, seen: u64) -> bool {
        let is_due = self.commits == seen || self.next >= LOG_BYTES / 2 || self.file.is_none();
        is_due && self.unfinished.is_none()
    }

    /// All of the journal is durable.
    fn follow(&mut self, journal: &Journal) {
        self.durable = journal.length();
        self.journal = Some(journal.file());
    }

    /// Everything is where it belongs: the next record goes to the start.
    fn begin_lap(&mut self) {
        self.lap = Lap::new();
        self.records = 0;
        self.next = 0;
        self.logged.clear();
    }
}

/// Makes the files of these objects and their names durable.
fn sync_objects(objects: &Objects, ids: &[ObjectId]) -> Result<(), StoreError> {
    if !ids.is_empty() {
        failpoint::hit(Point::LogSettle).at("sync", objects.staging())?;
    }
    if ids.len() > FEW_OBJECTS {
        return objects.sync_all();
    }
    let mut dirs = BTreeSet::new();
    for &id in ids {
        let path = objects.path(id);
        match Objects::sync_one(&path) {
            // Collected meanwhile: nothing needs it any more.
            Err(StoreError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => continue,
            result => result?,
        }
        // The shard, and above it the kind, for a shard that is new.
        dirs.extend(path.ancestors().skip(1).take(2).map(Path::to_owned));
    }
    dirs.iter().try_for_each(|dir| Objects::sync_one(dir))
}

/// Makes the log: zeros, all of them written, so that no later write has to allocate.
fn create(path: &Path) -> Result<File, StoreError> {
    let fresh = path.with_extension("new");
    let file = options(true).open(&fresh).at("create", &fresh)?;
    let zeros = vec![0; 256 << 10];
    let written = failpoint::hit(Point::LogCreate)
        .and_then(|()| write_zeros(&file, &zeros))
        .and_then(|()| file.sync_all())
        .at("write", &fresh);
    if let Err(error) = written {
        drop(std::fs::remove_file(&fresh));
        return Err(error);
    }
    std::fs::rename(&fresh, path).at("rename into place", path)?;
    Objects::sync_one(path.parent().unwrap_or(Path::new(".")))?;
    Ok(file)
}

fn write_zeros(file: &File, zeros: &[u8]) -> std::io::Result<()> {
    (0..LOG_BYTES)
        .step_by(zeros.len())
        .try_for_each(|at| file.write_all_at(zeros, at))
}

fn options(create: bool) -> OpenOptions {
    let mut options = File::options();
    options
        .read(true)
        .write(true)
        .create(create)
        .truncate(create)
        .mode(0o600);
    options
}

/// The log's file and the records of its last lap; nothing where there is no log that could be
/// used.
fn read(path: &Path) -> Result<Option<(File, Vec<Record>)>, StoreError> {
    let file = match options(false).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        result => result.at("open", path)?,
    };
    if file.metadata().at("examine", path)?.len() != LOG_BYTES {
        tracing::warn!(path = %path.display(), "a write-ahead log of another size is made anew");
        return Ok(None);
    }
    let mut records: Vec<Record> = Vec::new();
    let mut at = 0;
    while let Some(record) = Record::read(&file, at, LOG_BYTES, path)? {
        let is_next = records
            .last()
            .map_or(record.sequence == 0, |last| record.follows(last));
        if !is_next {
            break;
        }
        at += record.blocks();
        records.push(record);
    }
    Ok(Some((file, records)))
}

#[cfg(test)]
mod tests;
