//! Where the view gets its layers and bytes from. The daemon implements this over the store; tests
//! and benches use [`crate::memory`].

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use blast_store::{EntryIndex, Layer, LayerNumber, TreeNumber};
use blast_types::BlobId;

/// One immutable tree: what a generation looks like as a prefix.
#[derive(Debug, Clone)]
pub struct TreeSpec {
    /// Its number; also its name under `.generation`.
    pub number: TreeNumber,
    /// Its layers. On equal paths the later one wins; a file and a directory are never merged.
    pub layers: Vec<(LayerNumber, Arc<Layer>)>,
    /// The modification time of all its directories. Differs between any two trees: Python caches
    /// listings by directory mtime, and must notice a swap.
    pub mtime_ns: i64,
    /// The kind of bytecode its interpreter reads, as `<cache_tag>-<magic>`; none means that
    /// `__pycache__` is a directory like any other.
    pub bytecode_tag: Option<String>,
}

/// Whether the compiled companion of a layer exists.
#[derive(Debug, Clone)]
pub enum Bytecode {
    /// It never will, and that may be cached.
    None,
    /// It is being made, so what is missing must not be cached as missing. What is compiled so far
    /// is in these layers; the bytes of a file stay the same when it is complete.
    Pending(Vec<(LayerNumber, Arc<Layer>)>),
    /// It does: a layer with the `.pyc` files at their places in the prefix.
    Ready(LayerNumber, Arc<Layer>),
}

/// Why the content of a view cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// No tree has this number (any more).
    #[error("there is no tree {0}")]
    UnknownTree(TreeNumber),
    /// No layer has this number (any more).
    #[error("there is no layer with the number {0}")]
    UnknownLayer(LayerNumber),
    /// The store failed.
    #[error("the store cannot answer")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The trees, layers and bytes that a view shows. Called from several threads at once, on the
/// path of kernel requests: answers should come from memory, and none may wait for the view.
pub trait Content: Send + Sync + 'static {
    /// The tree with this number. Asked again after the daemon's restart for numbers it gave before.
    fn tree(&self, number: TreeNumber) -> Result<Arc<TreeSpec>, ContentError>;

    /// The layer with this number.
    fn layer(&self, number: LayerNumber) -> Result<Arc<Layer>, ContentError>;

    /// Opens a blob for reading, from its beginning.
    fn open_blob(&self, id: BlobId) -> io::Result<File>;

    /// Makes `to` a hard link to the file of a blob, with all write bits off, executable or not, and
    /// with this modification time in seconds since the epoch. Says false where that file serves
    /// others with another mode or time, or can have no more names: then it is to be copied.
    fn link_blob(&self, id: BlobId, executable: bool, mtime: i64, to: &Path) -> io::Result<bool>;

    /// The compiled companion of a layer. Once an answer was not [`Bytecode::Pending`] it stays;
    /// when it changes from that, [`crate::View::bytecode_ready`] is to be called.
    fn bytecode(&self, layer: LayerNumber, tag: &str) -> Bytecode;

    /// A program asked for bytecode that is pending: a hint to compile the sources of this directory
    /// of the layer next. Returns at once.
    fn bytecode_wanted(&self, layer: LayerNumber, directory: EntryIndex, tag: &str);
}
