//! Publication of staged objects: sync, rename, sync.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::{Place, Shared};
use crate::StoreError;
use crate::error::At as _;
use crate::failpoint::{self, Point};
use crate::objects::{ObjectId, Objects};
use crate::packs::StoredPack;

/// Up to so many files are synced one by one; more, by one `syncfs`, which is dear only where
/// other programs have much unwritten on the same file system.
pub(super) const FEW_FILES: usize = 8;

/// An object on the way to its name.
#[derive(Debug)]
pub(super) struct Move {
    pub(super) from: PathBuf,
    to: PathBuf,
    pub(super) id: ObjectId,
}

impl Shared {
    /// Makes all staged objects durable and gives them their names.
    pub(crate) fn publish(&self) -> Result<(), StoreError> {
        self.refuse_failed()?;
        let moves = self.moves();
        if moves.is_empty() {
            return Ok(());
        }
        let few = moves.len() <= FEW_FILES;
        failpoint::hit(Point::StageSync).at("sync", self.store.home())?;
        if few {
            moves
                .iter()
                .try_for_each(|step| Objects::sync_one(&step.from))?;
        } else {
            self.store.objects.sync_all()?;
        }
        self.place_all(&moves, few)
    }

    /// A staging in which a write failed is incomplete.
    pub(super) fn refuse_failed(&self) -> Result<(), StoreError> {
        if self.failed.load(Ordering::Relaxed) {
            return Err(StoreError::StagingFailed);
        }
        Ok(())
    }

    pub(super) fn moves(&self) -> Vec<Move> {
        let objects = self.lock();
        let mut moves: Vec<Move> = objects
            .iter()
            .filter_map(|(&id, place)| match place {
                Place::Store | Place::Packed(_) => None,
                Place::Temporary(from) => Some(Move {
                    from: from.clone(),
                    to: self.store.objects.path(id),
                    id,
                }),
            })
            .collect();
        // Blobs before layers before generations: even without syncs, nothing is visible before
        // what it refers to. Within a kind by shard, which keeps directories hot.
        moves.sort_by_key(|step| step.id);
        moves
    }

    fn place_all(&self, moves: &[Move], few: bool) -> Result<(), StoreError> {
        let store = &self.store;
        let mut unsynced = store
            .unsynced
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // From here to the sync, others may find objects by names that a power cut can take
        // back. Commits take this lock too, and sync first where it was left true by a failure.
        let few = few && !*unsynced;
        *unsynced = true;
        for step in moves {
            self.place(step)?;
            self.lock().insert(step.id, Place::Store);
        }
        self.packs_are_placed();
        failpoint::hit(Point::PlaceSync).at("sync", store.home())?;
        if few {
            self.sync_dirs(moves)?;
        } else {
            store.objects.sync_all()?;
        }
        *unsynced = false;
        Ok(())
    }

    /// Staged packs have their names: who looks for their blobs finds them.
    fn packs_are_placed(&self) {
        for pack in std::mem::take(&mut *self.packs()) {
            let StoredPack { id, open, .. } = &*pack;
            self.store.packs.add(Arc::new(StoredPack {
                id: *id,
                path: self.store.objects.path(*id),
                open: Arc::clone(open),
            }));
            let mut objects = self.lock();
            for (blob, _) in open.blobs() {
                if let Some(place @ Place::Packed(_)) = objects.get_mut(&blob.into()) {
                    *place = Place::Store;
                }
            }
        }
    }

    fn sync_dirs(&self, moves: &[Move]) -> Result<(), StoreError> {
        let shards: BTreeSet<&Path> = moves.iter().filter_map(|step| step.to.parent()).collect();
        shards
            .iter()
            .try_for_each(|shard| Objects::sync_one(shard))?;
        if self.new_shards.load(Ordering::Relaxed) {
            let kinds: BTreeSet<&Path> = shards.iter().filter_map(|shard| shard.parent()).collect();
            kinds.into_iter().try_for_each(Objects::sync_one)?;
        }
        Ok(())
    }

    pub(super) fn place(&self, step: &Move) -> Result<(), StoreError> {
        let Move { from, to, id } = step;
        failpoint::hit(Point::PlaceRename).at("rename into place", to)?;
        if self.anew.contains(id) {
            self.make_shard(to)?;
            return fs::rename(from, to).at("rename into place", to);
        }
        if let Some(found) = self.store.objects.size(*id) {
            let staged = fs::symlink_metadata(from).at("examine", from)?.len();
            if found != staged {
                tracing::warn!(path = %to.display(), "a damaged object is replaced");
                return fs::rename(from, to).at("rename into place", to);
            }
        }
        match Objects::place(from, to) {
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                self.make_shard(to)?;
                Objects::place(from, to).map(drop)
            }
            result => result.map(drop),
        }
    }
}
