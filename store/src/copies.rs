//! Second copies of what no index could bring again: the generations that environments stand on and
//! the small layers that were generated for them, in `store/copies/<name>`.
//!
//! They are made when the store is quiet and believed only where their bytes are what their name
//! says, so nothing has to be synced. Kept are those of heads, of snapshots, and of the newest
//! operations of each environment.
//!
//! What that is for each environment is written to `store/copied`, so that only those that changed since are
//! looked into, whichever process does it. The file is believed for an environment that still is at the
//! operation and the generation that it names, and is written after the copies are there; without it,
//! everything is looked into once.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use blast_types::{GenerationId, LayerId};
use serde::{Deserialize, Serialize};

use crate::error::At as _;
use crate::failpoint::{self, Point};
use crate::index::EnvEntry;
use crate::objects::{ObjectId, Objects, TEMPORARY};
use crate::{Damage, OperationId, Store, StoreError};

/// Operations of each environment whose generations have a copy.
const NEWEST: usize = 10;

/// Version of `store/copied`; what another wrote is not believed.
const VERSION: u32 = 1;

/// Where each environment was when copies were made last: by serial.
pub(crate) type Seen = BTreeMap<u64, OperationId>;

/// What `store/copied` holds: one line of JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    version: u32,
    environments: BTreeMap<u64, Precious>,
}

/// What of one environment has copies.
#[derive(Debug, Serialize, Deserialize)]
struct Precious {
    /// Its newest operation, and its head after that.
    operation: OperationId,
    head: GenerationId,
    generations: BTreeSet<GenerationId>,
    layers: BTreeSet<LayerId>,
}

impl Precious {
    fn objects(&self) -> impl Iterator<Item = ObjectId> {
        let generations = self.generations.iter().copied().map(ObjectId::from);
        generations.chain(self.layers.iter().copied().map(ObjectId::from))
    }
}

impl Store {
    /// Makes the copies that are missing and removes those that nobody would ask for. Does nothing
    /// where no environment changed since.
    pub(crate) fn keep_copies(&self) -> Result<(), StoreError> {
        let inner = &self.inner;
        let mut last = inner.copied.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = inner.env_entries()?;
        let now: Seen = entries
            .iter()
            .map(|entry| (entry.serial, entry.operation))
            .collect();
        if *last == now {
            return Ok(());
        }
        let dir = self.copies();
        fs::create_dir_all(&dir).at("create", &dir)?;
        let (known, changed) = self.precious(&entries)?;
        let wanted: BTreeMap<String, ObjectId> = known
            .environments
            .values()
            .flat_map(Precious::objects)
            .map(|id| (hex::encode(id.digest()), id))
            .collect();
        let mut there = HashSet::new();
        for file in fs::read_dir(&dir).at("list", &dir)? {
            let file = file.at("list", &dir)?;
            match file.file_name().into_string() {
                Ok(name) if wanted.contains_key(&name) => drop(there.insert(name)),
                _ => fs::remove_file(file.path()).at("remove", &file.path())?,
            }
        }
        for (name, id) in wanted {
            if there.contains(&name) {
                continue;
            }
            // A damaged object has no copy; the checker tells of it.
            if let Some(bytes) = Objects::read_whole(&inner.objects.path(id), id) {
                let fresh = dir.join(format!("{TEMPORARY}{name}"));
                failpoint::hit(Point::CopyWrite).at("write", &fresh)?;
                fs::write(&fresh, bytes).at("write", &fresh)?;
                let copy = dir.join(&name);
                fs::rename(&fresh, &copy).at("rename into place", &copy)?;
            }
        }
        if changed {
            self.write_known(&known)?;
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

    /// What is precious of all environments, and whether that is news. Looks into those alone that are not
    /// where they were.
    fn precious(&self, entries: &[EnvEntry]) -> Result<(Known, bool), StoreError> {
        let mut before = self.read_known();
        let many = before.environments.len();
        let mut known = Known {
            version: VERSION,
            ..Known::default()
        };
        let mut changed = false;
        for entry in entries {
            let precious = match before.environments.remove(&entry.serial) {
                Some(known) if (known.operation, known.head) == (entry.operation, entry.head) => {
                    known
                }
                _ => {
                    changed = true;
                    self.precious_of(entry)?
                }
            };
            known.environments.insert(entry.serial, precious);
        }
        let changed = changed || many != known.environments.len();
        Ok((known, changed))
    }

    fn precious_of(&self, entry: &EnvEntry) -> Result<Precious, StoreError> {
        let name = &entry.record.name;
        let mut precious = Precious {
            operation: entry.operation,
            head: entry.head,
            generations: BTreeSet::from([entry.head]),
            layers: BTreeSet::new(),
        };
        for operation in self.operations(name)?.take(NEWEST) {
            precious.generations.insert(operation?.after);
        }
        let snapshots = self.inner.snapshots_of(entry.serial)?.into_iter();
        let snapshots = snapshots.map(|snapshot| snapshot.generation);
        precious.generations.extend(snapshots);
        for &id in &precious.generations {
            if let Ok(generation) = self.inner.read_generation(id) {
                precious.layers.insert(generation.generated);
                precious.layers.extend(&generation.captured);
            }
        }
        Ok(precious)
    }

    fn known(&self) -> PathBuf {
        self.home().join("store").join("copied")
    }

    /// What was written; nothing where that cannot be believed.
    fn read_known(&self) -> Known {
        let path = self.known();
        let known = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Known::default(),
            Err(error) => Err(serde_json::Error::io(error)),
        };
        match known {
            Ok(
                known @ Known {
                    version: VERSION, ..
                },
            ) => known,
            Ok(_) => Known::default(),
            Err(error) => {
                tracing::debug!(%error, path = %path.display(), "all copies are looked at anew");
                Known::default()
            }
        }
    }

    fn write_known(&self, known: &Known) -> Result<(), StoreError> {
        let path = self.known();
        let fresh = path.with_file_name(format!("{TEMPORARY}copied"));
        let bytes = serde_json::to_vec(known).map_err(io::Error::other);
        bytes
            .and_then(|bytes| fs::write(&fresh, bytes))
            .at("write", &fresh)?;
        fs::rename(&fresh, &path).at("rename into place", &path)
    }
}
