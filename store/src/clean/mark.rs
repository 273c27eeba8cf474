//! What is in use, and by difference what is not.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use blast_types::{BlobId, GenerationId, LayerId, PackId};
use rustc_hash::FxHashSet;

use super::{CleanOptions, CleanReport, Retention};
use crate::index::{EnvEntry, Key, from_json};
use crate::objects::{Kind, ObjectId};
use crate::store::Inner;
use crate::{Operation, Snapshot, StoreError, TreeRecord, WheelRecord};

/// Everything that stays.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) histories: Vec<History>,
    pub(super) generations: FxHashSet<GenerationId>,
    pub(super) layers: FxHashSet<LayerId>,
    pub(super) blobs: FxHashSet<BlobId>,
    /// Packs that somebody brings in just now.
    packs: FxHashSet<PackId>,
}

/// An environment with the part of its history that stays.
#[derive(Debug)]
pub(super) struct History {
    pub(super) entry: EnvEntry,
    /// Oldest first.
    pub(super) operations: Vec<Operation>,
    pub(super) snapshots: Vec<Snapshot>,
}

/// Everything that goes.
#[derive(Debug, Default)]
pub(super) struct Garbage {
    pub(super) report: CleanReport,
    pub(super) objects: Vec<PathBuf>,
    /// Packs among them.
    pub(super) packs: Vec<PackId>,
    /// Keys of the index.
    pub(super) records: Vec<Vec<u8>>,
}

impl Live {
    pub(super) fn mark(inner: &Inner, options: &CleanOptions) -> Result<Self, StoreError> {
        let mut live = Self::default();
        live.generations.extend(&options.in_use);
        for entry in inner.env_entries()? {
            let all = Retention {
                operations: options.keep_operations,
                since_ms: options.keep_since_ms,
            };
            let own = options.keep_of.get(&entry.record.name).copied();
            live.history(inner, entry, own.unwrap_or(all))?;
        }
        for id in inner.pins.pinned() {
            match id {
                ObjectId::Blob(id) => drop(live.blobs.insert(id)),
                ObjectId::Pack(id) => drop(live.packs.insert(id)),
                ObjectId::Layer(id) => drop(live.layers.insert(id)),
                ObjectId::Generation(id) => drop(live.generations.insert(id)),
            }
        }
        if inner.shares.get().is_some() {
            // Others may use what nothing here refers to any more, and write nothing that is here.
            inner.objects.walk(Kind::Layers, |digest, _| {
                live.layers.insert(LayerId::from_bytes(digest));
                Ok(())
            })?;
            inner.objects.walk(Kind::Blobs, |digest, _| {
                live.blobs.insert(BlobId::from_bytes(digest));
                Ok(())
            })?;
        }
        live.mark_layers(inner)?;
        live.mark_blobs(inner)?;
        Ok(live)
    }

    /// All environments with all of their histories, and nothing of what those refer to.
    pub(super) fn histories_of(inner: &Inner) -> Result<Self, StoreError> {
        let mut live = Self::default();
        for entry in inner.env_entries()? {
            live.history(inner, entry, Retention::default())?;
        }
        Ok(live)
    }

    fn history(
        &mut self,
        inner: &Inner,
        entry: EnvEntry,
        keep: Retention,
    ) -> Result<(), StoreError> {
        let mut operations = inner.operations_of(entry.serial)?;
        operations.drain(..keep.surplus(&operations));
        let snapshots = inner.snapshots_of(entry.serial)?;
        self.generations.insert(entry.head);
        for operation in &operations {
            self.generations.insert(operation.after);
            self.generations.extend(operation.before);
        }
        self.generations
            .extend(snapshots.iter().map(|snapshot| snapshot.generation));
        self.histories.push(History {
            entry,
            operations,
            snapshots,
        });
        Ok(())
    }

    /// The layers of live generations, and the bytecode of live layers.
    fn mark_layers(&mut self, inner: &Inner) -> Result<(), StoreError> {
        for &id in &self.generations {
            match inner.generation(id) {
                Ok(generation) => self.layers.extend(generation.layers()),
                // What is not there holds nothing. A damaged one is an error: collecting now
                // would destroy what a repair needs.
                Err(StoreError::MissingGeneration { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        for (key, value) in inner.index.scan(Key::BYTECODES)? {
            if let (Some(base), Ok(companion)) = (Key::digest_of(&key), value.try_into())
                && self.layers.contains(&LayerId::from_bytes(base))
            {
                self.layers.insert(LayerId::from_bytes(companion));
            }
        }
        Ok(())
    }

    fn mark_blobs(&mut self, inner: &Inner) -> Result<(), StoreError> {
        for &id in &self.layers {
            match inner.layer(id) {
                Ok(layer) => self.blobs.extend(layer.blobs()),
                Err(StoreError::MissingLayer { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        for (_, value) in inner.index.scan(Key::WHEELS)? {
            let record: WheelRecord = from_json(&value)?;
            if self.layers.contains(&record.layer) {
                self.blobs
                    .extend(record.python_scripts.iter().map(|script| script.body));
                self.blobs.insert(record.record_blob);
            }
        }
        Ok(())
    }

    pub(super) fn garbage(&self, inner: &Inner, dry_run: bool) -> Result<Garbage, StoreError> {
        let mut garbage = Garbage::default();
        garbage.report.dry_run = dry_run;
        let Garbage {
            report,
            objects,
            packs,
            ..
        } = &mut garbage;
        inner.objects.walk(Kind::Blobs, |digest, bytes| {
            let id = BlobId::from_bytes(digest);
            if !self.blobs.contains(&id) {
                let path = inner.objects.path(id);
                let names = std::fs::symlink_metadata(&path).map_or(1, |found| found.nlink());
                let stays = names > 1 && !report.dry_run;
                report.blobs.add(if stays { 0 } else { bytes });
                objects.push(path);
            }
            Ok(())
        })?;
        let used: FxHashSet<PackId> = inner
            .packs
            .all()
            .iter()
            .filter(|pack| {
                pack.open
                    .blobs()
                    .any(|(blob, _)| self.blobs.contains(&blob))
            })
            .map(|pack| pack.id)
            .chain(self.packs.iter().copied())
            .collect();
        inner.objects.walk(Kind::Packs, |digest, bytes| {
            let id = PackId::from_bytes(digest);
            if !used.contains(&id) {
                report.packs.add(bytes);
                objects.push(inner.objects.path(id));
                packs.push(id);
            }
            Ok(())
        })?;
        inner.objects.walk(Kind::Layers, |digest, bytes| {
            let id = LayerId::from_bytes(digest);
            if !self.layers.contains(&id) {
                report.layers.add(bytes);
                objects.push(inner.objects.path(id));
            }
            Ok(())
        })?;
        inner.objects.walk(Kind::Generations, |digest, bytes| {
            let id = GenerationId::from_bytes(digest);
            if !self.generations.contains(&id) {
                report.generations.add(bytes);
                objects.push(inner.objects.path(id));
            }
            Ok(())
        })?;
        self.dead_history(inner, &mut garbage)?;
        self.dead_records(inner, &mut garbage)?;
        Ok(garbage)
    }

    /// Operations and snapshots of removed environments, and operations that are too old.
    fn dead_history(&self, inner: &Inner, garbage: &mut Garbage) -> Result<(), StoreError> {
        let mut keep = FxHashSet::default();
        let mut serials = FxHashSet::default();
        for history in &self.histories {
            let serial = history.entry.serial;
            serials.insert(serial);
            keep.extend(
                history
                    .operations
                    .iter()
                    .map(|operation| (serial, operation.id)),
            );
        }
        for (key, _) in inner.index.scan(Key::OPERATIONS)? {
            let kept = Key::serial_of(&key).zip(Key::operation_of(&key));
            if !kept.is_some_and(|kept| keep.contains(&kept)) {
                garbage.report.operations += 1;
                garbage.records.push(key);
            }
        }
        for (key, _) in inner.index.scan(Key::SNAPSHOTS)? {
            if !Key::serial_of(&key).is_some_and(|serial| serials.contains(&serial)) {
                garbage.records.push(key);
            }
        }
        Ok(())
    }

    /// Records of objects that go.
    fn dead_records(&self, inner: &Inner, garbage: &mut Garbage) -> Result<(), StoreError> {
        for (key, value) in inner.index.scan(Key::WHEELS)? {
            let record: WheelRecord = from_json(&value)?;
            if !self.layers.contains(&record.layer) {
                garbage.report.wheels += 1;
                garbage.records.push(key);
            }
        }
        for (key, _) in inner.index.scan(Key::BYTECODES)? {
            if !Key::digest_of(&key).is_some_and(|id| self.has_layer(id)) {
                garbage.records.push(key);
            }
        }
        for (key, value) in inner.index.scan(Key::LAYERS)? {
            if !Key::digest_of(&key).is_some_and(|id| self.has_layer(id)) {
                garbage
                    .records
                    .push([b"L/", to_big_endian(&value).as_slice()].concat());
                garbage.records.push(key);
            }
        }
        for (key, value) in inner.index.scan(Key::TREES)? {
            let tree: TreeRecord = from_json(&value)?;
            if !self.generations.contains(&tree.generation) {
                garbage.records.push(Key::tree_number(tree.number));
                garbage.records.push(key);
            }
        }
        Ok(())
    }

    fn has_layer(&self, digest: [u8; 32]) -> bool {
        self.layers.contains(&LayerId::from_bytes(digest))
    }
}

fn to_big_endian(little: &[u8]) -> Vec<u8> {
    little.iter().rev().copied().collect()
}
