//! The index in sled.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Batch, Index, Row};
use crate::StoreError;

/// Records are small and few, and hot ones are cached above, so sled needs little memory.
const CACHE_BYTES: u64 = 8 << 20;
/// A database that was just closed in this process stays locked until its flusher thread ends.
const LOCK_RETRIES: u32 = 40;

/// Rows in one sled tree, so that every batch is atomic.
#[derive(Debug)]
pub(crate) struct SledIndex {
    db: sled::Db,
    path: PathBuf,
}

impl SledIndex {
    /// Opens or creates the database. One that sled calls corrupt is put aside under another name
    /// and begun anew: the journal has it all.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        match Self::try_open(path) {
            Err(StoreError::Index { source, .. }) if is_unusable(&source) => {
                tracing::warn!(path = %path.display(), "the index is corrupt and is rebuilt");
                let aside = path.with_extension("damaged");
                drop(std::fs::remove_dir_all(&aside));
                std::fs::rename(path, &aside).map_err(|source| StoreError::Io {
                    action: "put aside",
                    path: path.to_owned(),
                    source,
                })?;
                Self::try_open(path)
            }
            result => result,
        }
    }

    fn try_open(path: &Path) -> Result<Self, StoreError> {
        let mut retries = 0;
        loop {
            let config = sled::Config::new()
                .path(path)
                .cache_capacity(CACHE_BYTES)
                // Flushed when the store is quiet: a thread that wakes up for it would never
                // rest. It may lag behind, as the journal replays what a crash took from it.
                .flush_every_ms(None);
            match config.open() {
                Ok(db) => {
                    return Ok(Self {
                        db,
                        path: path.to_owned(),
                    });
                }
                Err(sled::Error::Io(error))
                    if retries < LOCK_RETRIES && error.kind() == io::ErrorKind::Other =>
                {
                    retries += 1;
                    std::thread::sleep(Duration::from_millis(25));
                }
                Err(source) => {
                    return Err(StoreError::Index {
                        path: path.to_owned(),
                        source,
                    });
                }
            }
        }
    }

    fn failed(&self, source: sled::Error) -> StoreError {
        StoreError::Index {
            path: self.path.clone(),
            source,
        }
    }
}

/// Whether the database itself is at fault, rather than the disk or a lock.
fn is_unusable(error: &sled::Error) -> bool {
    matches!(
        error,
        sled::Error::Corruption { .. }
            | sled::Error::ReportableBug(_)
            | sled::Error::Unsupported(_)
    )
}

impl Index for SledIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.db.get(key).map_err(|source| self.failed(source))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<Row>, StoreError> {
        self.db
            .scan_prefix(prefix)
            .map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())))
            .collect::<Result<_, _>>()
            .map_err(|source| self.failed(source))
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let mut changes = sled::Batch::default();
        for (key, value) in batch.changes {
            match value {
                Some(value) => changes.insert(key, value),
                None => changes.remove(key),
            }
        }
        self.db
            .apply_batch(changes)
            .map_err(|source| self.failed(source))
    }

    fn flush(&self) -> Result<(), StoreError> {
        let flushed = self.db.flush().map_err(|source| self.failed(source));
        flushed.map(drop)
    }
}
