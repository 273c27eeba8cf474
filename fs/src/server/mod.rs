//! The view's logic: look-ups, attributes, listings, links and reads over node numbers, with neither
//! FUSE nor a mount.
//!
//! # Concurrency
//! All methods take `&self` and may be called at once. State is the map of environments (replaced
//! entry by entry), counts of what the kernel holds, and caches of what can be computed again. No
//! lock is held while [`Content`] is asked or an answer is given.

mod attr;
mod files;
mod list;
mod trees;
mod uses;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use blast_store::{EntryIndex, EntryKind, Layer, LayerNumber, TreeNumber};
use blast_types::EnvName;
use rustc_hash::FxHashMap;

pub use self::attr::{Attr, Entry, Kind, Lookup, Time};
use self::files::Files;
use self::trees::{Trees, place_of};
pub use self::uses::Observer;
use self::uses::Uses;
use crate::bytecode;
use crate::content::Content;
use crate::error::FsError;
use crate::node::{Ino, Node, Place};
use crate::recent::lock;
use crate::tree::{Child, Part};

/// The directory at the root through which all trees are reached.
pub(crate) const GENERATIONS: &str = ".generation";

/// How deep directories that packages share are told apart; layers may be made to nest without end.
const MAX_SHARED_DEPTH: usize = 16;

/// Serves the nodes of a view.
pub struct Server {
    content: Arc<dyn Content>,
    environments: RwLock<BTreeMap<EnvName, TreeNumber>>,
    /// When the list of environments last changed, in nanoseconds since the epoch.
    changed_ns: AtomicI64,
    started_ns: i64,
    trees: Trees,
    files: Files,
    uses: Uses,
    /// How often the kernel was told of directories of a tree, less how often it forgot them.
    held: Mutex<FxHashMap<TreeNumber, u64>>,
    /// Where an earlier process told the kernel of trees, `held` counts too little. These are all
    /// trees that the kernel may know; only the kernel can say of which it does.
    suspects: Mutex<Option<BTreeSet<TreeNumber>>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("environments", &self.environments())
            .finish_non_exhaustive()
    }
}

/// What a change of the environments means for names that the kernel knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing changed.
    None,
    /// The name leads elsewhere.
    Moved,
    /// The name came or went: the listing changed too.
    Listed,
}

impl Server {
    /// A server without environments.
    pub fn new(content: Arc<dyn Content>) -> Self {
        let now = now_ns();
        Self {
            content,
            environments: RwLock::default(),
            changed_ns: AtomicI64::new(now),
            started_ns: now,
            trees: Trees::new(),
            files: Files::new(),
            uses: Uses::new(),
            held: Mutex::default(),
            suspects: Mutex::default(),
        }
    }

    /// Goes on where another process stopped, which may have told the kernel of these trees.
    pub(crate) fn inherit(&self, trees: impl IntoIterator<Item = TreeNumber>) {
        *lock(&self.suspects) = Some(trees.into_iter().collect());
    }

    /// The trees that the kernel may know though they are not held. None where nothing was
    /// inherited.
    pub(crate) fn suspects(&self) -> Vec<TreeNumber> {
        lock(&self.suspects).iter().flatten().copied().collect()
    }

    /// The kernel knows nothing of these trees. Does not suit trees that it was told of since.
    pub(crate) fn acquit(&self, trees: &[TreeNumber]) {
        if let Some(suspects) = &mut *lock(&self.suspects) {
            let held = lock(&self.held);
            suspects.retain(|tree| held.contains_key(tree) || !trees.contains(tree));
        }
    }

    /// Whether there is an environment of this name.
    pub(crate) fn shows(&self, name: &EnvName) -> bool {
        let environments = self.environments.read();
        environments
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(name)
    }

    /// The environments and the trees they lead to.
    pub fn environments(&self) -> BTreeMap<EnvName, TreeNumber> {
        self.environments
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Forgets what can be computed again. Whoever needs it meanwhile computes it anew.
    pub(crate) fn rest(&self) {
        self.trees.clear();
        self.files.clear();
        self.uses.clear();
    }

    /// Lets the name of an environment lead to this tree.
    pub(crate) fn set_environment(&self, name: &EnvName, tree: TreeNumber) -> Change {
        let mut all = self
            .environments
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        match all.insert(name.clone(), tree) {
            Some(before) if before == tree => Change::None,
            Some(_) => Change::Moved,
            None => self.listing_changed(),
        }
    }

    /// Takes the name of an environment away.
    pub(crate) fn remove_environment(&self, name: &EnvName) -> Change {
        let mut all = self
            .environments
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        match all.remove(name) {
            Some(_) => self.listing_changed(),
            None => Change::None,
        }
    }

    fn listing_changed(&self) -> Change {
        self.changed_ns.store(now_ns(), Ordering::Relaxed);
        Change::Listed
    }

    /// The nodes whose listing must be told anew now that this layer's bytecode is decided.
    pub(crate) fn bytecode_ready(&self, layer: LayerNumber) -> Vec<Ino> {
        self.trees.take_incomplete(layer)
    }

    /// Looks up a name in a directory.
    pub fn lookup(&self, parent: u64, name: &[u8]) -> Result<Lookup, FsError> {
        match Node::of(Ino(parent))? {
            Node::Root => self.lookup_in_root(name),
            Node::Generations => self.lookup_generation(name),
            Node::Directory(place) => self.lookup_in_directory(place, name),
            Node::Bytecode(place) => self.lookup_in_bytecode(place, name),
            Node::Link(_) | Node::File { .. } => Err(FsError::NotADirectory { ino: parent }),
        }
    }

    fn lookup_in_root(&self, name: &[u8]) -> Result<Lookup, FsError> {
        if name == GENERATIONS.as_bytes() {
            return self.found(Node::Generations);
        }
        let name = std::str::from_utf8(name)
            .ok()
            .and_then(|name| name.parse::<EnvName>().ok());
        let tree = name.and_then(|name| {
            let all = self
                .environments
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            all.get(&name).copied()
        });
        match tree {
            Some(tree) => self.found(Node::Link(tree)),
            // Lasting, as a new environment's name is invalidated like any other change.
            None => Ok(Lookup::Absent { lasting: true }),
        }
    }

    fn lookup_generation(&self, name: &[u8]) -> Result<Lookup, FsError> {
        let number = std::str::from_utf8(name)
            .ok()
            .and_then(|name| name.parse::<u32>().ok());
        // One tree, one name: `07` and `+7` are none, or the kernel would see two parents.
        let Some(number) = number.filter(|number| number.to_string().as_bytes() == name) else {
            return Ok(Lookup::Absent { lasting: true });
        };
        let tree = TreeNumber(number);
        match self.trees.spec(&*self.content, tree) {
            Ok(_) => self.found(Node::Directory(Place::root(tree))),
            // A tree with this number may be made later.
            Err(FsError::Content(crate::ContentError::UnknownTree(_))) => {
                Ok(Lookup::Absent { lasting: false })
            }
            Err(error) => Err(error),
        }
    }

    fn lookup_in_directory(&self, place: Place, name: &[u8]) -> Result<Lookup, FsError> {
        let directory = self.trees.directory(&*self.content, place)?;
        if name == bytecode::NAME {
            let compiled = self.trees.compiled(&*self.content, place, &directory)?;
            if compiled.directory.is_some() {
                return self.found(Node::Bytecode(place));
            }
            if !compiled.pending.is_empty() {
                self.trees
                    .want(&*self.content, place.tree, &compiled.pending)?;
                return Ok(Lookup::Absent { lasting: false });
            }
        }
        let Some(child) = directory.child(name) else {
            return Ok(Lookup::Absent { lasting: true });
        };
        let attr = self.child_attr(place.tree, &child)?;
        if let Child::Directory(parts) = child {
            self.trees.compose(place_of(place.tree, &parts[0]), parts)?;
        }
        Ok(Lookup::Found(attr))
    }

    fn lookup_in_bytecode(&self, place: Place, name: &[u8]) -> Result<Lookup, FsError> {
        let parent = self.trees.directory(&*self.content, place)?;
        let compiled = self.trees.compiled(&*self.content, place, &parent)?;
        if let Some(child) = compiled
            .directory
            .as_ref()
            .and_then(|cache| cache.child(name))
        {
            return Ok(Lookup::Found(self.child_attr(place.tree, &child)?));
        }
        match compiled.awaited(&parent, name) {
            Some(directory) => {
                self.trees.want(&*self.content, place.tree, &[directory])?;
                Ok(Lookup::Absent { lasting: false })
            }
            None => Ok(Lookup::Absent { lasting: true }),
        }
    }

    fn found(&self, node: Node) -> Result<Lookup, FsError> {
        Ok(Lookup::Found(self.attr(node)?))
    }

    /// The attributes of a node.
    pub fn getattr(&self, ino: u64) -> Result<Attr, FsError> {
        self.attr(Node::of(Ino(ino))?)
    }

    fn attr(&self, node: Node) -> Result<Attr, FsError> {
        let ino = node.ino()?.0;
        let tree_time = |tree| Ok::<_, FsError>(self.trees.spec(&*self.content, tree)?.mtime_ns);
        Ok(match node {
            Node::Root => Attr::directory(ino, 0o755, self.changed_ns.load(Ordering::Relaxed)),
            Node::Generations => Attr::directory(ino, 0o755, self.started_ns),
            Node::Link(tree) => Attr::link(ino, tree_path(tree).len(), tree_time(tree)?),
            Node::File { layer, entry } => leaf_attr(ino, &*self.content.layer(layer)?, entry)?,
            Node::Bytecode(place) => Attr::directory(ino, 0o755, tree_time(place.tree)?),
            Node::Directory(place) if place.is_root() => {
                Attr::directory(ino, 0o755, tree_time(place.tree)?)
            }
            Node::Directory(place) => {
                let mtime_ns = tree_time(place.tree)?;
                let layer = self.content.layer(place.layer)?;
                directory_attr(ino, &layer, place.entry, mtime_ns)?
            }
        })
    }

    fn child_attr(&self, tree: TreeNumber, child: &Child) -> Result<Attr, FsError> {
        match child {
            Child::Leaf(Part {
                number,
                layer,
                entry,
            }) => {
                let node = Node::File {
                    layer: *number,
                    entry: *entry,
                };
                leaf_attr(node.ino()?.0, layer, *entry)
            }
            Child::Directory(parts) => {
                let mtime_ns = self.trees.spec(&*self.content, tree)?.mtime_ns;
                // The same part that names the directory, as `attr` knows no other.
                let ino = Node::Directory(place_of(tree, &parts[0])).ino()?.0;
                directory_attr(ino, &parts[0].layer, parts[0].entry, mtime_ns)
            }
        }
    }

    /// The target of a link.
    pub fn readlink(&self, ino: u64) -> Result<Vec<u8>, FsError> {
        match Node::of(Ino(ino))? {
            Node::Link(tree) => Ok(tree_path(tree).into_bytes()),
            Node::File { layer, entry } => {
                let layer = self.content.layer(layer)?;
                match layer.get(entry).map(|entry| entry.kind) {
                    Some(EntryKind::Symlink { target }) => Ok(target.to_vec()),
                    _ => Err(FsError::WrongKind { ino }),
                }
            }
            Node::Root | Node::Generations | Node::Directory(_) | Node::Bytecode(_) => {
                Err(FsError::WrongKind { ino })
            }
        }
    }

    /// Reads from a file into `buffer`, which is filled but at the end of the file. Returns how many
    /// bytes were read.
    pub fn read(&self, ino: u64, offset: u64, buffer: &mut [u8]) -> Result<usize, FsError> {
        match Node::of(Ino(ino))? {
            Node::File { layer, entry } => {
                let layer = self.content.layer(layer)?;
                self.files
                    .read(&*self.content, (&layer, entry, ino), offset, buffer)
            }
            Node::Link(_) => Err(FsError::WrongKind { ino }),
            Node::Root | Node::Generations | Node::Directory(_) | Node::Bytecode(_) => {
                Err(FsError::IsADirectory { ino })
            }
        }
    }

    /// The kernel was told of this node once more.
    pub(crate) fn hold(&self, ino: u64) {
        if let Ok(Some(tree)) = Node::of(Ino(ino)).map(Node::tree) {
            *lock(&self.held).entry(tree).or_default() += 1;
            // Forgets of what an earlier process told of will lower the count too.
            if let Some(suspects) = &mut *lock(&self.suspects) {
                suspects.insert(tree);
            }
        }
    }

    /// The kernel forgot so many of the times that it was told of this node.
    pub(crate) fn forget(&self, ino: u64, times: u64) {
        let Ok(Some(tree)) = Node::of(Ino(ino)).map(Node::tree) else {
            return;
        };
        let mut held = lock(&self.held);
        // Less than nothing is held where a former daemon told of the node.
        let left = held.get(&tree).copied().unwrap_or(0).saturating_sub(times);
        if left == 0 {
            held.remove(&tree);
        } else {
            held.insert(tree, left);
        }
    }

    /// Every directory of a tree whose parent several layers share, as parent and name, each after
    /// those that are in it: together the whole tree, in pieces of a package or less.
    pub(crate) fn branches(&self, tree: TreeNumber) -> Result<Vec<(Ino, Vec<u8>)>, FsError> {
        let mut branches = Vec::new();
        self.collect_branches(Place::root(tree), MAX_SHARED_DEPTH, &mut branches)?;
        Ok(branches)
    }

    fn collect_branches(
        &self,
        place: Place,
        depth: usize,
        branches: &mut Vec<(Ino, Vec<u8>)>,
    ) -> Result<(), FsError> {
        let directory = self.trees.directory(&*self.content, place)?;
        for position in 0..directory.len() {
            let Some((name, Child::Directory(parts))) = directory.child_at(position) else {
                continue;
            };
            // Shared directories are few and not deep: what only one layer has is not entered.
            if parts.len() > 1 && name != bytecode::NAME && depth > 0 {
                self.collect_branches(place_of(place.tree, &parts[0]), depth - 1, branches)?;
            }
            branches.push((Node::Directory(place).ino()?, name.to_vec()));
        }
        Ok(())
    }

    /// Calls `visit` with each directory of a tree, from its root down, and with each
    /// `__pycache__`; goes no deeper where it returns false.
    pub(crate) fn walk(
        &self,
        tree: TreeNumber,
        visit: &mut dyn FnMut(Ino) -> bool,
    ) -> Result<(), FsError> {
        self.walk_from(Place::root(tree), visit)
    }

    fn walk_from(&self, place: Place, visit: &mut dyn FnMut(Ino) -> bool) -> Result<(), FsError> {
        if !visit(Node::Directory(place).ino()?) {
            return Ok(());
        }
        visit(Node::Bytecode(place).ino()?);
        let directory = self.trees.directory(&*self.content, place)?;
        for position in 0..directory.len() {
            if let Some((_, Child::Directory(parts))) = directory.child_at(position) {
                self.walk_from(place_of(place.tree, &parts[0]), visit)?;
            }
        }
        Ok(())
    }

    /// The trees of which the kernel knows directories, heads of environments or not.
    pub(crate) fn held_trees(&self) -> Vec<TreeNumber> {
        let mut trees: Vec<_> = lock(&self.held).keys().copied().collect();
        trees.sort_unstable();
        trees
    }
}

/// Where a tree lies below the mount point, and the links of environments at it lead.
pub fn tree_path(tree: TreeNumber) -> String {
    format!("{GENERATIONS}/{tree}")
}

fn leaf_attr(ino: u64, layer: &Layer, index: EntryIndex) -> Result<Attr, FsError> {
    let entry = layer.get(index).ok_or(FsError::UnknownNode { ino })?;
    match (Attr::leaf(ino, &entry), entry.kind) {
        (Some(attr), _) => Ok(attr),
        (None, EntryKind::Damaged) => Err(FsError::Damaged {
            layer: layer.id(),
            entry: index.0,
        }),
        (None, _) => Err(FsError::UnknownNode { ino }),
    }
}

fn directory_attr(
    ino: u64,
    layer: &Layer,
    index: EntryIndex,
    mtime_ns: i64,
) -> Result<Attr, FsError> {
    match layer.get(index) {
        Some(entry) if entry.kind.is_dir() => Ok(Attr::directory(ino, entry.mode, mtime_ns)),
        _ => Err(FsError::UnknownNode { ino }),
    }
}

fn now_ns() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
