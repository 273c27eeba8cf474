//! Packs of images that the store took over as they are. Loading an image is done as soon as these are
//! durable; what is in them is unpacked when there is time, and read from them until then.
//!
//! # On disk
//! `packs/ab/<62 digits>`: a pack as `image::format` draws it, named by the BLAKE3 of its bytes. It is
//! there before anything refers to a blob of it, and goes when each of its blobs is a file.
//!
//! # Invariants
//! A blob is in the store if it has a file, or if a pack that is known here holds it. Files come first: a
//! blob that was lost in a pack and brought again is read from its file. Blobs that come out of a pack are
//! durable before the pack goes. Every blob that is read from a pack is compared with its name.
//!
//! # Concurrency
//! Any thread may read; one at a time unpacks.

mod read;
#[cfg(test)]
mod tests;
mod unpack;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use blast_types::{BlobId, PackId};
use rustc_hash::FxHashMap;

use self::read::Recent;
pub use self::unpack::Unpacked;
use crate::StoreError;
use crate::image::{ImageError, OpenPack, PackFile, Unpacker};
use crate::objects::{Kind, Objects};

/// A pack in the store, or staged.
#[derive(Debug)]
pub(crate) struct StoredPack {
    pub(crate) id: PackId,
    pub(crate) path: PathBuf,
    pub(crate) open: Arc<OpenPack>,
}

/// The packs that the store has.
#[derive(Debug, Default)]
pub(crate) struct Packs {
    known: RwLock<Known>,
    recent: Recent,
    unpacking: Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    packs: BTreeMap<PackId, Arc<StoredPack>>,
    blobs: FxHashMap<BlobId, Slot>,
}

/// Where a blob is in packs.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pack: Arc<StoredPack>,
    group: usize,
    size: u64,
}

impl Packs {
    /// Finds the packs that are there. One that cannot be read is passed over: what it held is then
    /// missing, which a check tells.
    pub(crate) fn open(objects: &Objects) -> Result<Self, StoreError> {
        let packs = Self::default();
        let mut unpacker = Unpacker::new();
        objects.walk(Kind::Packs, |digest, _| {
            let id = PackId::from_bytes(digest);
            let path = objects.path(id);
            match open_file(&path, &id.short(), &mut unpacker) {
                Ok(open) => packs.add(Arc::new(StoredPack { id, path, open })),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a pack is passed over");
                }
            }
            Ok(())
        })?;
        Ok(packs)
    }

    /// Takes in a pack that is in its place.
    pub(crate) fn add(&self, pack: Arc<StoredPack>) {
        let mut known = self.write();
        known.blobs.extend(pack.slots());
        known.packs.insert(pack.id, pack);
    }

    /// Forgets a pack: its blobs are files, or nobody needs them.
    pub(crate) fn remove(&self, id: PackId) {
        let mut known = self.write();
        let Some(pack) = known.packs.remove(&id) else {
            return;
        };
        for (blob, _) in pack.open.blobs() {
            if known
                .blobs
                .get(&blob)
                .is_some_and(|slot| slot.pack.id == id)
            {
                known.blobs.remove(&blob);
            }
        }
    }

    /// Size in bytes of a blob that a pack holds.
    pub(crate) fn size(&self, blob: BlobId) -> Option<u64> {
        self.read().blobs.get(&blob).map(|slot| slot.size)
    }

    /// All packs, in the order of their names.
    pub(crate) fn all(&self) -> Vec<Arc<StoredPack>> {
        self.read().packs.values().cloned().collect()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.read().packs.is_empty()
    }

    /// Forgets what is kept to answer faster.
    pub(crate) fn rest(&self) {
        self.recent.clear();
    }

    fn slot(&self, blob: BlobId) -> Option<Slot> {
        self.read().blobs.get(&blob).cloned()
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StoredPack {
    /// The slots of its blobs.
    pub(crate) fn slots(self: &Arc<Self>) -> impl Iterator<Item = (BlobId, Slot)> + '_ {
        self.open
            .groups()
            .enumerate()
            .flat_map(move |(group, blobs)| {
                blobs.iter().map(move |&(blob, size)| {
                    let pack = Arc::clone(self);
                    (blob, Slot { pack, group, size })
                })
            })
    }
}

fn open_file(
    path: &std::path::Path,
    title: &str,
    unpacker: &mut Unpacker,
) -> Result<Arc<OpenPack>, ImageError> {
    let file = PackFile::open(path)?;
    let pack = file.whole(title)?;
    file.open_pack(&pack, unpacker).map(Arc::new)
}
