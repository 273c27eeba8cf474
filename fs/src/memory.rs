//! A [`Content`] in memory: the store's twin for tests and benches.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use blast_store::{EntryIndex, Layer, LayerBuilder, LayerFormatError, LayerNumber, TreeNumber};
use blast_types::BlobId;
use nix::sys::memfd::{MFdFlags, memfd_create};
use rustc_hash::FxHashMap;

use crate::content::{Bytecode, Content, ContentError, TreeSpec};
use crate::recent::lock;

/// Trees, layers and blobs that live as long as the value. Numbers are given from 1 on.
#[derive(Debug, Default)]
pub struct MemoryContent(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    layers: Vec<Arc<Layer>>,
    blobs: FxHashMap<BlobId, File>,
    trees: FxHashMap<TreeNumber, Arc<TreeSpec>>,
    bytecode: FxHashMap<LayerNumber, Bytecode>,
    wanted: Vec<LayerNumber>,
}

impl MemoryContent {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a layer.
    ///
    /// # Errors
    ///
    /// Only where the builder made no valid layer.
    pub fn add_layer(&self, layer: LayerBuilder) -> Result<LayerNumber, LayerFormatError> {
        let layer = Arc::new(layer.build().open()?);
        let mut state = lock(&self.0);
        state.layers.push(layer);
        Ok(LayerNumber(state.layers.len() as u32))
    }

    /// Adds a blob.
    ///
    /// # Errors
    ///
    /// Where the system gives no memory file.
    pub fn add_blob(&self, bytes: &[u8]) -> io::Result<BlobId> {
        let mut file = File::from(memfd_create(c"blob", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(bytes)?;
        let id = BlobId::of(bytes);
        lock(&self.0).blobs.insert(id, file);
        Ok(id)
    }

    /// Takes a blob away, as damage to a store does.
    pub fn remove_blob(&self, id: BlobId) {
        lock(&self.0).blobs.remove(&id);
    }

    /// Adds a tree of layers that were added before, lowest first; unknown ones are left out.
    /// Its time is that of no other tree.
    pub fn add_tree(&self, layers: &[LayerNumber], bytecode_tag: Option<&str>) -> TreeNumber {
        let mut state = lock(&self.0);
        let number = TreeNumber(state.trees.len() as u32 + 1);
        let layers = layers
            .iter()
            .filter_map(|&layer| Some((layer, state.layer(layer)?)))
            .collect();
        let spec = TreeSpec {
            number,
            layers,
            mtime_ns: 1_600_000_000_000_000_000 + i64::from(number.0) * 1000,
            bytecode_tag: bytecode_tag.map(str::to_owned),
        };
        state.trees.insert(number, Arc::new(spec));
        number
    }

    /// Says that the bytecode of a layer is still to come.
    pub fn expect_bytecode(&self, layer: LayerNumber) {
        lock(&self.0)
            .bytecode
            .insert(layer, Bytecode::Pending(Vec::new()));
    }

    /// Says that a part of a layer's bytecode is there already.
    pub fn compile_partly(&self, layer: LayerNumber, part: LayerNumber) {
        let mut state = lock(&self.0);
        let Some(compiled) = state.layer(part) else {
            return;
        };
        let entry = state
            .bytecode
            .entry(layer)
            .or_insert(Bytecode::Pending(Vec::new()));
        if let Bytecode::Pending(parts) = entry {
            parts.push((part, compiled));
        }
    }

    /// Says that a layer is compiled, and to what, or that it never will be.
    pub fn decide_bytecode(&self, layer: LayerNumber, companion: Option<LayerNumber>) {
        let mut state = lock(&self.0);
        let companion = companion.and_then(|number| Some((number, state.layer(number)?)));
        let decided = companion.map_or(Bytecode::None, |(number, layer)| {
            Bytecode::Ready(number, layer)
        });
        state.bytecode.insert(layer, decided);
    }

    /// The layers whose bytecode was wanted so far, in order.
    pub fn wanted(&self) -> Vec<LayerNumber> {
        lock(&self.0).wanted.clone()
    }
}

impl State {
    fn layer(&self, number: LayerNumber) -> Option<Arc<Layer>> {
        let index = (number.0 as usize).checked_sub(1)?;
        self.layers.get(index).cloned()
    }
}

impl Content for MemoryContent {
    fn tree(&self, number: TreeNumber) -> Result<Arc<TreeSpec>, ContentError> {
        let state = lock(&self.0);
        state
            .trees
            .get(&number)
            .cloned()
            .ok_or(ContentError::UnknownTree(number))
    }

    fn layer(&self, number: LayerNumber) -> Result<Arc<Layer>, ContentError> {
        lock(&self.0)
            .layer(number)
            .ok_or(ContentError::UnknownLayer(number))
    }

    fn open_blob(&self, id: BlobId) -> io::Result<File> {
        match lock(&self.0).blobs.get(&id) {
            // Anew, since a clone would share its position.
            Some(file) => File::open(format!("/proc/self/fd/{}", file.as_raw_fd())),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn link_blob(&self, _: BlobId, _: bool, _: i64, _: &Path) -> io::Result<bool> {
        Ok(false) // no file has a name here
    }

    fn bytecode(&self, layer: LayerNumber, _tag: &str) -> Bytecode {
        lock(&self.0)
            .bytecode
            .get(&layer)
            .cloned()
            .unwrap_or(Bytecode::None)
    }

    fn bytecode_wanted(&self, layer: LayerNumber, _directory: EntryIndex, _tag: &str) {
        lock(&self.0).wanted.push(layer);
    }
}
