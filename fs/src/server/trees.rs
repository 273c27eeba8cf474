//! Composed directories by their node numbers.
//!
//! A number names an entry of a layer, whose path is walked down from the root of the tree. Each
//! step's directory is kept for a while, so that the walk is long only once, and can be repeated
//! after anything was dropped, or by another process. A `__pycache__` is kept once nothing in it is
//! pending any more.

use std::sync::Arc;

use blast_store::{EntryIndex, LayerNumber, TreeNumber};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::bytecode::{self, Compiled};
use crate::content::{Content, TreeSpec};
use crate::error::FsError;
use crate::node::{Ino, Node, Place};
use crate::recent::{Recent, lock};
use crate::tree::{Child, Directory, Part};

/// Trees kept, at most twice this number: a few per living environment.
const TREES: usize = 128;
/// Directories kept, at most twice this number; a big environment has some 5000.
const DIRECTORIES: usize = 16 * 1024;

/// The trees of a view.
#[derive(Debug)]
pub(super) struct Trees {
    specs: Recent<TreeNumber, Arc<TreeSpec>>,
    directories: Recent<Ino, Arc<Directory>>,
    compiled: Recent<Ino, Compiled>,
    /// Directories whose listing lacked bytecode of these layers when it was told.
    incomplete: std::sync::Mutex<FxHashMap<LayerNumber, FxHashSet<Ino>>>,
}

impl Trees {
    pub(super) fn new() -> Self {
        Self {
            specs: Recent::new(TREES),
            directories: Recent::new(DIRECTORIES),
            compiled: Recent::new(DIRECTORIES),
            incomplete: std::sync::Mutex::default(),
        }
    }

    /// Forgets what can be computed again.
    pub(super) fn clear(&self) {
        self.specs.clear();
        self.directories.clear();
        self.compiled.clear();
    }

    /// The tree with this number.
    pub(super) fn spec(
        &self,
        content: &dyn Content,
        tree: TreeNumber,
    ) -> Result<Arc<TreeSpec>, FsError> {
        self.specs.get_or_try(tree, || Ok(content.tree(tree)?))
    }

    /// The directory at this place.
    pub(super) fn directory(
        &self,
        content: &dyn Content,
        place: Place,
    ) -> Result<Arc<Directory>, FsError> {
        let ino = Node::Directory(place).ino()?;
        if let Some(directory) = self.directories.get(ino) {
            return Ok(directory);
        }
        let path = path_of(content, place)?;
        let (node, directory) = self.walk(content, place.tree, &path)?;
        // Another layer's entry of the same path has a number of its own, but is no node of ours.
        if node != Node::Directory(place) {
            return Err(FsError::NotInTree {
                tree: place.tree,
                path,
            });
        }
        Ok(directory)
    }

    /// The directory at this place, whose parts are known already: after a look-up, most likely what
    /// is asked for next.
    pub(super) fn compose(
        &self,
        place: Place,
        parts: Vec<Part>,
    ) -> Result<Arc<Directory>, FsError> {
        let ino = Node::Directory(place).ino()?;
        self.directories
            .get_or_try(ino, || Ok(Arc::new(Directory::compose(parts))))
    }

    /// The node of the directory that holds the one at this place.
    pub(super) fn parent(&self, content: &dyn Content, place: Place) -> Result<Node, FsError> {
        let path = path_of(content, place)?;
        let parent = match path.rsplit_once('/') {
            Some((parent, _)) => parent,
            None if path.is_empty() => return Ok(Node::Generations),
            None => "",
        };
        Ok(self.walk(content, place.tree, parent)?.0)
    }

    /// The `__pycache__` of the directory at this place, as far as it exists.
    pub(super) fn compiled(
        &self,
        content: &dyn Content,
        place: Place,
        parent: &Directory,
    ) -> Result<Compiled, FsError> {
        let ino = Node::Bytecode(place).ino()?;
        if let Some(compiled) = self.compiled.get(ino) {
            return Ok(compiled);
        }
        let spec = self.spec(content, place.tree)?;
        let Some(tag) = &spec.bytecode_tag else {
            return Ok(Compiled::default());
        };
        let compiled = Compiled::of(parent, tag, content);
        if compiled.pending.is_empty() {
            self.compiled.insert(ino, compiled.clone());
        }
        Ok(compiled)
    }

    /// Asks for the bytecode of these directories, for programs of this tree.
    pub(super) fn want(
        &self,
        content: &dyn Content,
        tree: TreeNumber,
        directories: &[(LayerNumber, EntryIndex)],
    ) -> Result<(), FsError> {
        if let Some(tag) = &self.spec(content, tree)?.bytecode_tag {
            for &(layer, directory) in directories {
                content.bytecode_wanted(layer, directory, tag);
            }
        }
        Ok(())
    }

    /// Remembers that a listing of this node lacks the bytecode of these layers.
    pub(super) fn listed_incomplete(&self, node: Ino, pending: &[(LayerNumber, EntryIndex)]) {
        let mut incomplete = lock(&self.incomplete);
        for &(layer, _) in pending {
            incomplete.entry(layer).or_default().insert(node);
        }
    }

    /// The nodes whose listing lacks the bytecode of this layer. They are forgotten by this.
    pub(super) fn take_incomplete(&self, layer: LayerNumber) -> Vec<Ino> {
        lock(&self.incomplete)
            .remove(&layer)
            .into_iter()
            .flatten()
            .collect()
    }

    /// Walks down from the root of a tree.
    fn walk(
        &self,
        content: &dyn Content,
        tree: TreeNumber,
        path: &str,
    ) -> Result<(Node, Arc<Directory>), FsError> {
        let spec = self.spec(content, tree)?;
        let mut place = Place::root(tree);
        let mut node = Node::Directory(place);
        let mut directory = self.directories.get_or_try(node.ino()?, || {
            Ok::<_, FsError>(Arc::new(Directory::root(&spec.layers)))
        })?;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let missing = || FsError::NotInTree {
                tree,
                path: path.to_owned(),
            };
            let is_cache = name.as_bytes() == bytecode::NAME && spec.bytecode_tag.is_some();
            if is_cache && matches!(node, Node::Directory(_)) {
                let compiled = self.compiled(content, place, &directory)?;
                node = Node::Bytecode(place);
                directory = compiled.directory.ok_or_else(missing)?;
                continue;
            }
            let Some(Child::Directory(parts)) = directory.child(name.as_bytes()) else {
                return Err(missing());
            };
            place = place_of(tree, &parts[0]);
            node = Node::Directory(place);
            directory = self.compose(place, parts)?;
        }
        Ok((node, directory))
    }
}

/// The name of a directory whose lowest part this is.
pub(super) fn place_of(tree: TreeNumber, lowest: &Part) -> Place {
    Place {
        tree,
        layer: lowest.number,
        entry: lowest.entry,
    }
}

/// The path of a place below the root of its tree.
fn path_of(content: &dyn Content, place: Place) -> Result<String, FsError> {
    if place.is_root() {
        return Ok(String::new());
    }
    let layer = content.layer(place.layer)?;
    if layer.get(place.entry).is_none() {
        return Err(FsError::NoEntry {
            layer: place.layer,
            entry: place.entry.0,
        });
    }
    Ok(layer.path(place.entry))
}
