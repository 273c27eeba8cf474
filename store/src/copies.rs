//! Second copies of what no index could bring again: the generations that environments stand on and
//! the small layers that were generated for them, in `store/copies/<name>`.
//!
//! They are made when the store is quiet and believed only where their bytes are what their name
//! says, so nothing has to be synced. Kept are those of heads, of snapshots, and of the newest
//! operations of each environment.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use crate::error::At as _;
use crate::failpoint::{self, Point};
use crate::objects::{ObjectId, Objects, TEMPORARY};
use crate::{Damage, OperationId, Store, StoreError};

/// Operations of each environment whose generations have a copy.
const NEWEST: usize = 10;

/// Where each environment was when copies were made last: by serial.
pub(crate) type Seen = BTreeMap<u64, OperationId>;

impl Store {
    /// Makes the copies that are missing and removes those that nobody would ask for. Does nothing
    /// where no environment changed since.
    pub(crate) fn keep_copies(&self) -> Result<(), StoreError> {
        let inner = &self.inner;
        let mut last = inner.copied.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = inner.env_entries()?.into_iter();
        let now: Seen = entries
            .map(|entry| (entry.serial, entry.operation))
            .collect();
        if *last == now {
            return Ok(());
        }
        let dir = self.copies();
        fs::create_dir_all(&dir).at("create", &dir)?;
        let wanted = self.precious()?;
        for file in fs::read_dir(&dir).at("list", &dir)? {
            let file = file.at("list", &dir)?;
            if !file
                .file_name()
                .to_str()
                .is_some_and(|name| wanted.contains_key(name))
            {
                fs::remove_file(file.path()).at("remove", &file.path())?;
            }
        }
        for (name, id) in wanted {
            let copy = dir.join(&name);
            if copy.exists() {
                continue;
            }
            // A damaged object has no copy; the checker tells of it.
            if let Some(bytes) = Objects::read_whole(&inner.objects.path(id), id) {
                let fresh = dir.join(format!("{TEMPORARY}{name}"));
                failpoint::hit(Point::CopyWrite).at("write", &fresh)?;
                fs::write(&fresh, bytes).at("write", &fresh)?;
                fs::rename(&fresh, &copy).at("rename into place", &copy)?;
            }
        }
        *last = now;
        Ok(())
    }

    /// Puts back, durably, what is lost or damaged and has a copy, or is still in the write-ahead log.
    /// Says how many objects that were.
    pub fn restore_copies(&self, damage: &Damage) -> Result<usize, StoreError> {
        let inner = &self.inner;
        let generations = damage.generations.iter().copied().map(ObjectId::from);
        let layers = damage.layers.iter().copied().map(ObjectId::from);
        let mut restored = 0;
        for id in generations.chain(layers) {
            let copy = self.copies().join(hex::encode(id.digest()));
            let bytes = Objects::read_whole(&copy, id).or_else(|| inner.wal.find(id));
            if let Some(bytes) = bytes {
                inner.objects.restore(id, &bytes)?;
                restored += 1;
            }
        }
        if restored > 0 {
            inner.objects.sync_all()?;
            inner.caches.clear();
        }
        Ok(restored)
    }

    fn copies(&self) -> PathBuf {
        self.home().join("store").join(Path::new("copies"))
    }

    fn precious(&self) -> Result<BTreeMap<String, ObjectId>, StoreError> {
        let mut generations = Vec::new();
        for env in self.envs()? {
            generations.push(env.head);
            for operation in self.operations(&env.record.name)?.take(NEWEST) {
                generations.push(operation?.after);
            }
            let snapshots = self.snapshots(&env.record.name)?.into_iter();
            generations.extend(snapshots.map(|snapshot| snapshot.generation));
        }
        let mut precious = BTreeMap::new();
        let mut add = |id: ObjectId| {
            precious.insert(hex::encode(id.digest()), id);
        };
        for id in generations {
            add(id.into());
            if let Ok(generation) = self.inner.read_generation(id) {
                add(generation.generated.into());
                generation
                    .captured
                    .iter()
                    .for_each(|&layer| add(layer.into()));
            }
        }
        Ok(precious)
    }
}
