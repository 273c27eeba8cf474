//! The index: small records by key, behind a trait with two implementations, sled on disk and a
//! map in memory, and a third in front of sled that lets it follow later. The index is derived: everything in
//! it is replayed from the journal.
//!
//! # Keys
//!
//! | key | value |
//! |---|---|
//! | `m/journal` | 16 bytes journal epoch, u64 offset up to which the journal is applied |
//! | `m/marks` | JSON: the next free numbers |
//! | `e/<name>` | JSON [`EnvEntry`] |
//! | `o/<serial><id>` | JSON `Operation` |
//! | `s/<serial><name>` | JSON `Snapshot` |
//! | `l/<layer>` | u32 layer number; `L/<number>` holds the layer's name |
//! | `t/<generation>` | JSON `TreeRecord`; `T/<number>` holds the generation's name |
//! | `w/<sha256><scheme>` | JSON `WheelRecord` |
//! | `b/<layer><tag>` | the bytecode layer's name |
//!
//! Integers in keys are big endian, so that keys sort as numbers do; in values little endian.
//! `serial` numbers an environment's incarnation: removing an environment removes one record, and
//! what hangs on its serial is unreachable until collection drops it.
//!
//! # Concurrency
//! Batches are atomic. Only the holder of the journal's lock applies batches; anyone reads.

mod behind;
mod keys;
mod memory;
mod sled_index;

use blast_types::GenerationId;
use serde::{Deserialize, Serialize};

pub(crate) use behind::Behind;
pub(crate) use keys::{JOURNAL, Key, MARKS};
pub(crate) use memory::MemoryIndex;
pub(crate) use sled_index::SledIndex;

use crate::{EnvRecord, OperationId, StoreError};

/// A key and its value.
pub(crate) type Row = (Vec<u8>, Vec<u8>);

/// Changes that take effect together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Keys with their new value; none deletes.
    pub(crate) changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Batch {
    pub(crate) fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.changes.push((key.into(), Some(value.into())));
    }

    pub(crate) fn put_json<T: Serialize>(
        &mut self,
        key: impl Into<Vec<u8>>,
        value: &T,
    ) -> Result<(), StoreError> {
        let json = serde_json::to_vec(value).map_err(|source| StoreError::Record {
            what: "index record",
            source,
        })?;
        self.put(key, json);
        Ok(())
    }

    pub(crate) fn delete(&mut self, key: impl Into<Vec<u8>>) {
        self.changes.push((key.into(), None));
    }

    /// Adds changes that come after these.
    pub(crate) fn then(&mut self, later: Self) {
        self.changes.extend(later.changes);
    }
}

/// Small records by key.
pub(crate) trait Index: Send + Sync + std::fmt::Debug {
    /// The value of one key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// All rows whose key begins with `prefix`, in key order.
    fn scan(&self, prefix: &[u8]) -> Result<Vec<Row>, StoreError>;
    /// Applies all changes or none.
    fn apply(&self, batch: Batch) -> Result<(), StoreError>;
    /// Writes to disk what is only in memory yet; the journal has it all the same.
    fn flush(&self) -> Result<(), StoreError>;
}

/// Reads one JSON record.
pub(crate) fn get_json<T: serde::de::DeserializeOwned>(
    index: &dyn Index,
    key: &[u8],
) -> Result<Option<T>, StoreError> {
    index.get(key)?.map(|bytes| from_json(&bytes)).transpose()
}

/// Decodes one JSON record.
pub(crate) fn from_json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|source| StoreError::Record {
        what: "index record",
        source,
    })
}

/// What the index holds of one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EnvEntry {
    /// Numbers this incarnation.
    pub(crate) serial: u64,
    /// The generation it shows.
    pub(crate) head: GenerationId,
    /// Its newest operation.
    pub(crate) operation: OperationId,
    /// What it is.
    pub(crate) record: EnvRecord,
}

/// The next free numbers. They only grow, also when what they named is collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marks {
    /// The next layer number.
    pub(crate) layer: u32,
    /// The next tree number.
    pub(crate) tree: u32,
    /// The next environment serial.
    pub(crate) serial: u64,
    /// The newest time given to a tree.
    pub(crate) shown_at_ns: i64,
}

impl Default for Marks {
    fn default() -> Self {
        Self {
            layer: 1,
            tree: 1,
            serial: 1,
            shown_at_ns: 0,
        }
    }
}

#[cfg(test)]
mod tests;
