//! An index that takes changes in memory and lets another follow later.
//!
//! sled writes each batch to its file and waits for the disk, although nothing needs it there: what is lost
//! is replayed from the journal. A commit would wait for the disk twice. Here it waits for its own record
//! only, and the database gets many commits in one batch: when the store rests, when it is
//! closed, and when much has come together.
//!
//! # Concurrency
//! Changes wait in two maps, those that came last above those that the index below is getting just now.
//! Readers look at both and then below, so each change is seen from the moment it was taken.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{Batch, Index, Row};
use crate::StoreError;

/// So much waits in memory, in bytes of keys and values: a few hundred operations, which the
/// next opening replays in milliseconds if this process dies.
const MOST_WAITING: usize = 1 << 20;

/// Keys with their new value; none deletes.
type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// An index in front of another.
#[derive(Debug)]
pub(crate) struct Behind<I: Index> {
    below: I,
    waiting: RwLock<Waiting>,
    /// Held by whoever lets the index below follow.
    following: Mutex<()>,
}

#[derive(Debug, Default)]
struct Waiting {
    newest: Changes,
    /// Bytes of `newest`, counting each change of a key.
    bytes: usize,
    /// On their way to the index below; nothing is added.
    leaving: Changes,
}

impl Waiting {
    /// What waits for this key: a change, which may be its deletion.
    fn get(&self, key: &[u8]) -> Option<&Option<Vec<u8>>> {
        self.newest.get(key).or_else(|| self.leaving.get(key))
    }

    fn add(&mut self, batch: Batch) {
        for (key, value) in batch.changes {
            self.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
            self.newest.insert(key, value);
        }
    }
}

impl<I: Index> Behind<I> {
    /// An index with nothing in front of `below` yet.
    pub(crate) fn new(below: I) -> Self {
        Self {
            below,
            waiting: RwLock::default(),
            following: Mutex::default(),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Waiting> {
        self.waiting.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Waiting> {
        self.waiting.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives all that waits to the index below, as one batch.
    fn follow(&self) -> Result<(), StoreError> {
        let _following = self
            .following
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut batch = Batch::default();
        {
            let mut waiting = self.write();
            waiting.leaving = std::mem::take(&mut waiting.newest);
            waiting.bytes = 0;
            let leaving = waiting.leaving.iter();
            batch
                .changes
                .extend(leaving.map(|(key, value)| (key.clone(), value.clone())));
        }
        if batch.changes.is_empty() {
            return Ok(());
        }
        let followed = self.below.apply(batch);
        let mut waiting = self.write();
        let leaving = std::mem::take(&mut waiting.leaving);
        if followed.is_err() {
            // Tried again with what comes next; what came since is newer.
            for (key, value) in leaving {
                waiting.newest.entry(key).or_insert(value);
            }
        }
        followed
    }
}

impl<I: Index> Index for Behind<I> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(change) = self.read().get(key) {
            return Ok(change.clone());
        }
        self.below.get(key)
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<Row>, StoreError> {
        // Held until the rows are read: none of them can be newer than what waits.
        let waiting = self.read();
        let rows = self.below.scan(prefix)?;
        let mut merged: BTreeMap<_, _> = rows.into_iter().collect();
        for changes in [&waiting.leaving, &waiting.newest] {
            let matching = changes
                .range(prefix.to_vec()..)
                .take_while(|(key, _)| key.starts_with(prefix));
            for (key, value) in matching {
                match value {
                    Some(value) => merged.insert(key.clone(), value.clone()),
                    None => merged.remove(key),
                };
            }
        }
        Ok(merged.into_iter().collect())
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let bytes = {
            let mut waiting = self.write();
            waiting.add(batch);
            waiting.bytes
        };
        if bytes > MOST_WAITING {
            self.follow()?;
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.follow()?;
        self.below.flush()
    }
}

impl<I: Index> Drop for Behind<I> {
    fn drop(&mut self) {
        if let Err(error) = self.follow() {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                error,
                "the index is behind; the next opening replays the journal"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemoryIndex;
    use super::*;

    fn put(key: &str, value: &str) -> Batch {
        let mut batch = Batch::default();
        batch.put(key, value);
        batch
    }

    fn delete(key: &str) -> Batch {
        let mut batch = Batch::default();
        batch.delete(key);
        batch
    }

    #[test]
    fn what_waits_hides_what_is_below() {
        let index = Behind::new(MemoryIndex::default());
        index.apply(put("a/1", "old")).expect("applied");
        index.apply(put("a/2", "old")).expect("applied");
        index.flush().expect("flushed");
        assert_eq!(index.below.scan(b"a/").expect("a scan").len(), 2);
        index.apply(put("a/1", "new")).expect("applied");
        index.apply(delete("a/2")).expect("applied");
        index.apply(put("a/3", "new")).expect("applied");
        assert_eq!(
            index.below.get(b"a/1").expect("a get"),
            Some(b"old".to_vec())
        );
        let expected = [("a/1", "new"), ("a/3", "new")]
            .map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec()));
        assert_eq!(index.scan(b"a/").expect("a scan"), expected);
        assert_eq!(index.get(b"a/2").expect("a get"), None);
        index.flush().expect("flushed");
        assert_eq!(index.below.scan(b"a/").expect("a scan"), expected);
        assert_eq!(index.scan(b"a/").expect("a scan"), expected);
    }

    #[test]
    fn not_more_than_a_little_waits() {
        let index = Behind::new(MemoryIndex::default());
        let value = "v".repeat(1000);
        for _ in 0..=MOST_WAITING / 1000 {
            index.apply(put("k", &value)).expect("applied");
        }
        assert!(index.below.get(b"k").expect("a get").is_some());
    }

    /// Refuses every change.
    #[derive(Debug)]
    struct Full;

    impl Index for Full {
        fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            Ok(None)
        }
        fn scan(&self, _: &[u8]) -> Result<Vec<Row>, StoreError> {
            Ok(Vec::new())
        }
        fn apply(&self, _: Batch) -> Result<(), StoreError> {
            Err(StoreError::Io {
                action: "write to",
                path: "db".into(),
                source: std::io::ErrorKind::StorageFull.into(),
            })
        }
        fn flush(&self) -> Result<(), StoreError> {
            Ok(())
        }
    }

    #[test]
    fn what_the_index_below_does_not_take_waits_on() {
        let index = Behind::new(Full);
        index.apply(put("k", "v")).expect("taken");
        assert!(index.flush().is_err());
        assert_eq!(index.get(b"k").expect("a get"), Some(b"v".to_vec()));
    }
}
