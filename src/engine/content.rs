//! The store as the view sees it: trees by number, layers, blobs and bytecode companions.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use blast_fs::{Bytecode, Content, ContentError, TreeSpec};
use blast_store::{EntryIndex, Generation, Layer, LayerNumber, Store, StoreError, TreeNumber};
use blast_types::BlobId;

use super::bytecode::{Compiler, Flavour};

/// Serves one home's view.
#[derive(Debug, Clone)]
pub(crate) struct StoreContent {
    store: Arc<Store>,
    compiler: Compiler,
}

impl StoreContent {
    /// A view of this store.
    pub(crate) fn new(store: Arc<Store>, compiler: Compiler) -> Self {
        Self { store, compiler }
    }

    fn spec(&self, number: TreeNumber) -> Result<TreeSpec, StoreError> {
        let record = self.store.tree(number)?;
        let generation = self.store.generation(record.generation)?;
        let mut layers = Vec::new();
        for id in generation.layers() {
            layers.push((self.store.layer_number(id)?, self.store.layer(id)?));
        }
        let flavour = flavour(&generation);
        let bytecode_tag = Some(flavour.tag.clone());
        self.compiler.know(flavour);
        Ok(TreeSpec {
            number,
            layers,
            mtime_ns: record.shown_at_ns,
            bytecode_tag,
        })
    }
}

/// The kind of bytecode that a generation's interpreter reads.
pub(crate) fn flavour(generation: &Generation) -> Flavour {
    let interpreter = &generation.interpreter;
    Flavour {
        executable: interpreter.executable.clone(),
        cache_tag: interpreter.cache_tag.clone(),
        tag: interpreter.bytecode_tag(),
    }
}

impl Content for StoreContent {
    fn tree(&self, number: TreeNumber) -> Result<Arc<TreeSpec>, ContentError> {
        self.spec(number)
            .map(Arc::new)
            .map_err(|error| ContentError::Store(Box::new(error)))
    }

    fn layer(&self, number: LayerNumber) -> Result<Arc<Layer>, ContentError> {
        if let Some(part) = self.compiler.part(number) {
            return Ok(part);
        }
        self.store
            .layer_by_number(number)
            .map_err(|error| ContentError::Store(Box::new(error)))
    }

    fn open_blob(&self, id: BlobId) -> io::Result<File> {
        self.store.open_blob(id)
    }

    fn link_blob(&self, id: BlobId, executable: bool, mtime: i64, to: &Path) -> io::Result<bool> {
        self.store.link_blob(id, executable, mtime, to)
    }

    fn bytecode(&self, layer: LayerNumber, tag: &str) -> Bytecode {
        self.compiler.state(layer, tag)
    }

    fn bytecode_wanted(&self, layer: LayerNumber, directory: EntryIndex, tag: &str) {
        self.compiler.prefer(layer, directory, tag);
    }
}
