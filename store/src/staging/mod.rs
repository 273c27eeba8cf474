//! Staging: objects on their way into the store.
//!
//! # On disk
//! A staged object is written beside its final place, as
//! `blobs/ab/.staged-<staging>-<number>`, because a rename within one directory is the
//! cheapest and needs no room; big blobs, whose name is known only at their end, lie in
//! `staging/<staging>/`, as packs do. That directory exists as long as anything is staged: one that is found
//! when the store opens says that temporary files were left behind.
//!
//! # Invariants
//! Nothing has its final name before its bytes are durable: in the file itself, or in a record of
//! the write-ahead log ([`Pending`]). A blob that is in the store already is
//! not written again. A staging in which a write failed can no longer be published. Dropping a
//! staging removes all that it wrote.
//!
//! # Concurrency
//! All methods take `&self`; any number of threads may add blobs. The check whether an object is
//! there happens under the store's gate, so that collection cannot take it in between.

mod pending;
mod publish;
mod writer;

use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use blast_types::{BlobId, GenerationId, LayerId, PackId};
use rustc_hash::{FxHashMap, FxHashSet};

pub(crate) use pending::Pending;
pub use writer::BlobWriter;

use crate::error::At as _;
use crate::failpoint::{self, Point};
use crate::image::{ImageError, OpenPack, PackFile};
use crate::objects::{Kind, ObjectId, Objects, TEMPORARY, create_new, make_shard};
use crate::packs::{Slot, StoredPack};
use crate::pins::Guard;
use crate::store::Inner;
use crate::{EncodedLayer, Generation, Layer, LayerBuilder, StoreError};

/// Blobs up to this size are collected in memory until their name is known.
pub(crate) const SPOOL_BYTES: usize = 256 << 10;
/// How much of a pack is copied at a time.
const COPY_BYTES: usize = 1 << 20;

/// Objects on their way into the store; dropped, they are discarded.
#[derive(Debug)]
pub struct Staging {
    pub(crate) shared: Arc<Shared>,
}

/// What a staging shares with its writers.
#[derive(Debug)]
pub(crate) struct Shared {
    store: Arc<Inner>,
    /// Name among the stagings of this store.
    name: String,
    objects: Mutex<FxHashMap<ObjectId, Place>>,
    /// The staging's own directory, once there is one.
    dir: OnceLock<PathBuf>,
    spooled: AtomicU64,
    /// A shard directory was made, which must be made durable too.
    new_shards: AtomicBool,
    failed: AtomicBool,
    /// What is written although the store has it.
    anew: FxHashSet<ObjectId>,
    /// Blobs that the store has in packs are written too.
    past_packs: bool,
    /// Packs that are staged, under their temporary names.
    packs: Mutex<Vec<Arc<StoredPack>>>,
    _guard: Guard,
}

/// Where a staged object is.
#[derive(Debug, Clone)]
enum Place {
    /// It was in the store already.
    Store,
    /// In this temporary file.
    Temporary(PathBuf),
    /// In a pack that is staged.
    Packed(Box<Slot>),
}

impl Staging {
    pub(crate) fn new(store: Arc<Inner>) -> Self {
        Self::with(store, FxHashSet::default(), false)
    }

    /// A staging for the blobs of packs: one that is in a pack of the store is written as a file.
    pub(crate) fn past_packs(store: Arc<Inner>) -> Self {
        Self::with(store, FxHashSet::default(), true)
    }

    /// A staging that believes nothing of these objects, and puts its own in their place.
    pub(crate) fn anew(store: Arc<Inner>, anew: FxHashSet<ObjectId>) -> Self {
        Self::with(store, anew, false)
    }

    fn with(store: Arc<Inner>, anew: FxHashSet<ObjectId>, past_packs: bool) -> Self {
        let name = format!("{}-{}", std::process::id(), store.next_staging());
        let guard = store.pins.guard();
        Self {
            shared: Arc::new(Shared {
                store,
                name,
                objects: Mutex::default(),
                dir: OnceLock::new(),
                spooled: AtomicU64::new(0),
                new_shards: AtomicBool::new(false),
                failed: AtomicBool::new(false),
                anew,
                past_packs,
                packs: Mutex::default(),
                _guard: guard,
            }),
        }
    }

    /// Adds a file's bytes and gives their name.
    pub fn blob(&self, bytes: &[u8]) -> Result<BlobId, StoreError> {
        self.shared.blob(BlobId::of(bytes), bytes)
    }

    /// Adds a file of the file system.
    pub fn blob_from_file(&self, path: &Path) -> Result<(BlobId, u64), StoreError> {
        let mut file = File::open(path).at("open", path)?;
        let mut writer = self.blob_writer();
        io::copy(&mut file, &mut writer).at("copy into the store", path)?;
        writer.finish()
    }

    /// Takes a blob in pieces.
    pub fn blob_writer(&self) -> BlobWriter {
        BlobWriter::new(Arc::clone(&self.shared))
    }

    /// Adds a layer. Every blob that it refers to must be in the store or in this staging.
    pub fn layer(&self, builder: LayerBuilder) -> Result<LayerId, StoreError> {
        self.encoded_layer(builder.build())
    }

    /// Adds a layer that was encoded before. Every blob that it refers to must be in the store or
    /// in this staging.
    pub fn encoded_layer(&self, encoded: EncodedLayer) -> Result<LayerId, StoreError> {
        let id = encoded.id;
        let layer = encoded
            .open()
            .map_err(|source| StoreError::DamagedLayer { id, source })?;
        for blob in layer.blobs() {
            self.shared.require(blob)?;
        }
        self.shared.object(id.into(), layer.encoded())?;
        Ok(id)
    }

    /// Whether the layer is in the store or in this staging; it stays there while this lives.
    pub fn has_layer(&self, id: LayerId) -> bool {
        self.shared.is_there(id.into(), None)
    }

    /// Whether the blob is in the store or in this staging; it stays there while this lives.
    pub fn has_blob(&self, id: BlobId) -> bool {
        self.shared.is_there(id.into(), None)
    }

    /// Adds a generation that an operation refers to beside its own.
    pub(crate) fn generation(&self, generation: &Generation) -> Result<GenerationId, StoreError> {
        let (id, bytes) = generation.encode()?;
        for layer in generation.layers() {
            if !self.has_layer(layer) {
                return Err(StoreError::MissingLayer { id: layer });
            }
        }
        self.shared.object(id.into(), &bytes)?;
        Ok(id)
    }

    /// Adds a layer whose name is known to be right. Every blob that it refers to must be in the
    /// store or in this staging.
    pub(crate) fn layer_of_image(&self, layer: &Layer) -> Result<(), StoreError> {
        for blob in layer.blobs() {
            self.shared.require(blob)?;
        }
        self.shared.object(layer.id().into(), layer.encoded())
    }

    /// Adds a file's bytes whose name is known to be right.
    pub(crate) fn checked_blob(&self, id: BlobId, bytes: &[u8]) -> Result<(), StoreError> {
        self.shared.blob(id, bytes).map(drop)
    }

    /// Whether all these blobs, of these sizes in bytes, are in the store or in this staging.
    pub(crate) fn has_all(&self, blobs: &[(BlobId, u64)]) -> bool {
        blobs
            .iter()
            .all(|&(id, size)| self.shared.is_there(id.into(), Some(size)))
    }

    /// A layer of this staging or of the store.
    pub fn open_layer(&self, id: LayerId) -> Result<Arc<Layer>, StoreError> {
        let place = self.shared.lock().get(&ObjectId::Layer(id)).cloned();
        match place {
            Some(Place::Temporary(path)) => Layer::map(&path, id)
                .map(Arc::new)
                .map_err(|source| StoreError::DamagedLayer { id, source }),
            Some(Place::Store | Place::Packed(_)) | None => self.shared.store.layer(id),
        }
    }

    /// The bytes of a blob of this staging or of the store.
    pub fn read_blob(&self, id: BlobId) -> Result<Vec<u8>, StoreError> {
        let Shared { store, objects, .. } = &*self.shared;
        let place = objects
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&ObjectId::Blob(id))
            .cloned();
        match place {
            Some(Place::Temporary(path)) => std::fs::read(&path).at("read", &path),
            Some(Place::Packed(slot)) => slot.read(id, store),
            Some(Place::Store) | None => store.read_blob(id),
        }
    }

    /// Copies a pack as it is; gives where it lies now. Its blobs count as staged.
    pub(crate) fn pack(
        &self,
        from: &PackFile,
        open: &Arc<OpenPack>,
    ) -> Result<PathBuf, ImageError> {
        let shared = &self.shared;
        let path = shared.spool_path()?;
        let id = Shared::copy_pack(from, open, &path).inspect_err(|_| shared.fail())?;
        {
            let _gate = shared.store.gate();
            shared.store.pins.touch(id);
        }
        let pack = Arc::new(StoredPack {
            id,
            path: path.clone(),
            open: Arc::clone(open),
        });
        let mut objects = shared.lock();
        objects.insert(id.into(), Place::Temporary(path.clone()));
        for (blob, slot) in pack.slots() {
            objects
                .entry(blob.into())
                .or_insert_with(|| Place::Packed(Box::new(slot)));
        }
        drop(objects);
        shared.packs().push(pack);
        Ok(path)
    }

    /// Writes out what is staged so far, so that publication has less to wait for. Blocks.
    pub fn write_out(&self) -> Result<(), StoreError> {
        self.shared.store.objects.sync_all()
    }

    /// Makes all objects durable and visible, without any environment referring to them yet.
    pub fn publish(self) -> Result<(), StoreError> {
        self.shared.publish()
    }

    /// Adds a generation, and makes all that is staged durable, unless it is so little that the
    /// commit's own record can do it.
    pub(crate) fn write_generation(
        self,
        generation: &Generation,
    ) -> Result<(GenerationId, Pending), StoreError> {
        let id = self.generation(generation)?;
        let pending = Pending::new(self)?;
        Ok((id, pending))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, FxHashMap<ObjectId, Place>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn packs(&self) -> MutexGuard<'_, Vec<Arc<StoredPack>>> {
        self.packs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn copy_pack(from: &PackFile, open: &OpenPack, path: &Path) -> Result<PackId, ImageError> {
        failpoint::hit(Point::PackCopy).at("write", path)?;
        let mut file = create_new(path)?;
        let mut hasher = blake3::Hasher::new();
        from.pieces(open.pack(), COPY_BYTES, |bytes| {
            hasher.update(bytes);
            Ok(file.write_all(bytes).at("write", path)?)
        })?;
        writer::start_writeback(&file);
        Ok(PackId::from_bytes(*hasher.finalize().as_bytes()))
    }

    /// Whether the object is staged or in the store (there with `size` bytes, where given). In
    /// the latter case it is pinned.
    fn is_there(&self, id: ObjectId, size: Option<u64>) -> bool {
        if self.lock().contains_key(&id) {
            return true;
        }
        if self.anew.contains(&id) {
            return false;
        }
        let _gate = self.store.gate();
        self.store.pins.touch(id);
        let found = self
            .store
            .size_anywhere(id)
            .or_else(|| self.size_in_packs(id));
        // A blob of the wrong size is damage, and here are the bytes to heal it with.
        let there = found.is_some_and(|found| size.is_none_or(|size| size == found));
        if there {
            self.lock().insert(id, Place::Store);
        }
        there
    }

    fn size_in_packs(&self, id: ObjectId) -> Option<u64> {
        match id {
            ObjectId::Blob(blob) if !self.past_packs => self.store.packs.size(blob),
            _ => None,
        }
    }

    fn require(&self, blob: BlobId) -> Result<(), StoreError> {
        if self.is_there(blob.into(), None) {
            Ok(())
        } else {
            Err(StoreError::MissingBlob { id: blob })
        }
    }

    fn blob(&self, id: BlobId, bytes: &[u8]) -> Result<BlobId, StoreError> {
        if self.is_there(id.into(), Some(bytes.len() as u64)) {
            return Ok(id);
        }
        self.dir()?;
        let path = self.beside(id);
        if self.reserve(id.into(), path.clone()) {
            self.write_beside(&path, bytes)
                .inspect_err(|_| self.fail())?;
        }
        Ok(id)
    }

    /// Adds a small object that is no blob.
    fn object(&self, id: ObjectId, bytes: &[u8]) -> Result<(), StoreError> {
        if self.is_there(id, Some(bytes.len() as u64)) {
            return Ok(());
        }
        self.dir()?;
        let path = self.beside(id);
        if self.reserve(id, path.clone()) {
            self.write_beside(&path, bytes)
                .inspect_err(|_| self.fail())?;
        }
        Ok(())
    }

    /// Claims an object for this thread; false if another thread has it already.
    fn reserve(&self, id: ObjectId, path: PathBuf) -> bool {
        match self.lock().entry(id) {
            Entry::Occupied(_) => false,
            Entry::Vacant(slot) => {
                slot.insert(Place::Temporary(path));
                true
            }
        }
    }

    fn write_beside(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        failpoint::hit(Point::StageCreate).at("create", path)?;
        let file = match create_new(path) {
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                self.make_shard(path)?;
                create_new(path)
            }
            result => result,
        };
        let mut file = file?;
        failpoint::hit(Point::StageWrite).at("write", path)?;
        file.write_all(bytes).at("write", path)
    }

    fn make_shard(&self, object: &Path) -> Result<(), StoreError> {
        if make_shard(object)? {
            self.new_shards.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// A temporary name beside an object's final place; short, because directories keep the size
    /// that their names once needed.
    fn beside(&self, id: impl Into<ObjectId>) -> PathBuf {
        let number = self.spooled.fetch_add(1, Ordering::Relaxed);
        let path = self.store.objects.path(id);
        path.with_file_name(format!("{TEMPORARY}{}-{number}", self.name))
    }

    /// A new path in the staging's own directory.
    fn spool_path(&self) -> Result<PathBuf, StoreError> {
        let number = self.spooled.fetch_add(1, Ordering::Relaxed);
        Ok(self.dir()?.join(number.to_string()))
    }

    fn dir(&self) -> Result<&Path, StoreError> {
        if let Some(dir) = self.dir.get() {
            return Ok(dir);
        }
        let dir = self.store.objects.staging().join(&self.name);
        failpoint::hit(Point::StageFolder).at("create", &dir)?;
        match std::fs::create_dir(&dir) {
            // Another thread of this staging was first.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => result.at("create", &dir)?,
        }
        Ok(self.dir.get_or_init(|| dir))
    }

    fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let objects = self
            .objects
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        for place in objects.values() {
            if let Place::Temporary(path) = place {
                drop(std::fs::remove_file(path));
            }
        }
        if let Some(dir) = self.dir.get()
            && let Err(error) = std::fs::remove_dir_all(dir)
        {
            // Left for the next opening of the store, which clears up what it finds.
            tracing::debug!(path = %dir.display(), %error, "a staging directory stays behind");
        }
    }
}

/// Removes what stagings of an earlier process left behind; says whether there was anything.
pub(crate) fn clear_leftovers(objects: &Objects) -> Result<bool, StoreError> {
    let dir = objects.staging();
    let leftovers: Vec<_> = std::fs::read_dir(dir)
        .and_then(Iterator::collect)
        .at("list", dir)?;
    if leftovers.is_empty() {
        return Ok(false);
    }
    for kind in [Kind::Blobs, Kind::Packs, Kind::Layers, Kind::Generations] {
        objects.walk_files(kind, |_, name, path| {
            if name.starts_with(TEMPORARY) {
                std::fs::remove_file(path).at("remove", path)?;
            }
            Ok(())
        })?;
    }
    // Last, because these directories are what says that there is something to clear.
    for leftover in leftovers {
        let path: PathBuf = std::fs::DirEntry::path(&leftover);
        std::fs::remove_dir_all(&path).at("remove", &path)?;
    }
    Ok(true)
}
