//! How much there is: cheap numbers for a status line, and a walk for the exact ones.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::clean::Count;
use crate::index::Key;
use crate::objects::Kind;
use crate::{Store, StoreError};

/// Numbers that cost no walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StoreCounters {
    /// Environments.
    pub environments: u64,
    /// Wheels that are unpacked.
    pub wheels: u64,
    /// Layers that ever got a number.
    pub layers_numbered: u64,
    /// Generations that were ever shown.
    pub trees_numbered: u64,
    /// Size of the journal.
    pub journal_bytes: u64,
}

/// What is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Blobs.
    pub blobs: Count,
    /// Packs of images that are not unpacked.
    pub packs: Count,
    /// Layers.
    pub layers: Count,
    /// Generations.
    pub generations: Count,
    /// Size of the journal.
    pub journal_bytes: u64,
    /// Size of the index database.
    pub database_bytes: u64,
}

impl Usage {
    /// Everything.
    pub fn bytes(&self) -> u64 {
        self.blobs.bytes
            + self.packs.bytes
            + self.layers.bytes
            + self.generations.bytes
            + self.journal_bytes
            + self.database_bytes
    }
}

impl Store {
    /// Numbers for a status line.
    pub fn counters(&self) -> Result<StoreCounters, StoreError> {
        let index = &self.inner.index;
        let environments = index.scan(Key::ENVS)?.len() as u64;
        let wheels = index.scan(Key::WHEELS)?.len() as u64;
        let writer = self.inner.writer();
        Ok(StoreCounters {
            environments,
            wheels,
            layers_numbered: u64::from(writer.marks.layer) - 1,
            trees_numbered: u64::from(writer.marks.tree) - 1,
            journal_bytes: writer.journal.length(),
        })
    }

    /// Walks the store and adds up what is there; takes time in proportion to the number of blobs.
    pub fn usage(&self) -> Result<Usage, StoreError> {
        let count = |kind| {
            let mut count = Count::default();
            self.inner.objects.walk(kind, |_, bytes| {
                count.add(bytes);
                Ok(())
            })?;
            Ok::<_, StoreError>(count)
        };
        Ok(Usage {
            blobs: count(Kind::Blobs)?,
            packs: count(Kind::Packs)?,
            layers: count(Kind::Layers)?,
            generations: count(Kind::Generations)?,
            journal_bytes: self.inner.writer().journal.length(),
            database_bytes: tree_bytes(&self.home().join("db")),
        })
    }
}

/// Sum of the file sizes below a directory; what vanishes meanwhile counts nothing.
fn tree_bytes(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => tree_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
