//! What a tree consists of, as a list: folders first, each after the one that holds it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blast_store::{Layer, LayerNumber};

use crate::bytecode::{self, Compiled};
use crate::content::{Content, TreeSpec};
use crate::tree::{Child, Directory, Part};

/// Mode of directories that no layer has.
const DIRECTORY_MODE: u32 = 0o755;

/// A tree, or what is added to one.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) folders: Vec<Folder>,
    pub(super) leaves: Vec<Leaf>,
    /// Layers whose bytecode is not compiled yet.
    pub(super) pending: Vec<LayerNumber>,
}

/// A directory.
#[derive(Debug)]
pub(super) struct Folder {
    /// Relative to the tree; empty for the root.
    pub(super) path: PathBuf,
    pub(super) mode: u32,
}

/// A file or link.
#[derive(Debug)]
pub(super) struct Leaf {
    /// Index of its folder.
    pub(super) folder: usize,
    pub(super) name: OsString,
    pub(super) part: Part,
}

impl Plan {
    /// All of a tree.
    pub(super) fn of(content: &dyn Content, spec: &TreeSpec) -> Self {
        let mut plan = Self::default();
        let root = plan.folder(PathBuf::new(), DIRECTORY_MODE);
        let mut open = vec![(root, Arc::new(Directory::root(&spec.layers)), false)];
        while let Some((folder, directory, is_cache)) = open.pop() {
            let compiled = match &spec.bytecode_tag {
                Some(tag) if !is_cache => plan.compiled(content, &directory, tag),
                _ => None,
            };
            // What the layers have of it themselves is merged into what was compiled.
            let hidden = compiled.is_some().then_some(bytecode::NAME);
            plan.children(folder, &directory, hidden, &mut open);
            if let Some(compiled) = compiled {
                let path = plan.folders[folder].path.join("__pycache__");
                let folder = plan.folder(path, DIRECTORY_MODE);
                open.push((folder, compiled, true));
            }
        }
        plan.pending.sort_unstable();
        plan.pending.dedup();
        plan
    }

    /// The `__pycache__` directories that a companion takes part in, as the tree shows them.
    pub(super) fn of_bytecode(
        content: &dyn Content,
        spec: &TreeSpec,
        companion: &Layer,
        tag: &str,
    ) -> Self {
        let mut plan = Self::default();
        let root = Directory::root(&spec.layers);
        for (index, entry) in companion.entries() {
            if !entry.kind.is_dir() || entry.name != bytecode::NAME {
                continue;
            }
            let path = PathBuf::from(companion.path(index));
            let Some(parent) = path.parent().and_then(|parent| descend(&root, parent)) else {
                continue; // hidden by another layer
            };
            let compiled = plan.compiled(content, &parent, tag);
            if let Some(compiled) = compiled {
                let folder = plan.folder(path, DIRECTORY_MODE);
                plan.children(folder, &compiled, None, &mut Vec::new());
            }
        }
        plan
    }

    /// Where a file or link goes, relative to the tree.
    pub(super) fn path(&self, leaf: &Leaf) -> PathBuf {
        self.folders[leaf.folder].path.join(&leaf.name)
    }

    fn folder(&mut self, path: PathBuf, mode: u32) -> usize {
        self.folders.push(Folder { path, mode });
        self.folders.len() - 1
    }

    fn compiled(
        &mut self,
        content: &dyn Content,
        directory: &Directory,
        tag: &str,
    ) -> Option<Arc<Directory>> {
        let compiled = Compiled::of(directory, tag, content);
        let pending = compiled.pending.iter().map(|(layer, _)| *layer);
        self.pending.extend(pending);
        compiled.directory
    }

    fn children(
        &mut self,
        folder: usize,
        directory: &Directory,
        hidden: Option<&[u8]>,
        open: &mut Vec<(usize, Arc<Directory>, bool)>,
    ) {
        for position in 0..directory.len() {
            let Some((name, child)) = directory.child_at(position) else {
                break;
            };
            if hidden == Some(name) {
                continue;
            }
            let name = OsString::from_vec(name.to_vec());
            match child {
                Child::Leaf(part) => self.leaves.push(Leaf { folder, name, part }),
                Child::Directory(parts) => {
                    // The part that the view takes the mode from, too.
                    let mode = parts[0].layer.entry(parts[0].entry).mode;
                    let path = self.folders[folder].path.join(name);
                    let folder = self.folder(path, mode);
                    open.push((folder, Arc::new(Directory::compose(parts)), false));
                }
            }
        }
    }
}

/// The directory at a path of a tree.
fn descend(root: &Directory, path: &Path) -> Option<Directory> {
    let mut at: Option<Directory> = None;
    for name in path {
        let child = at.as_ref().unwrap_or(root).child(name.as_encoded_bytes());
        let Some(Child::Directory(parts)) = child else {
            return None;
        };
        at = Some(Directory::compose(parts));
    }
    at
}
