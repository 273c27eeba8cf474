//! Listing directories.
//!
//! An offset is a position and nothing else, so that a listing can go on in another process: 0 and 1
//! are `.` and `..`, then come the children in the order of their names, and last a `__pycache__` that
//! bytecode companions make up.

use blast_store::TreeNumber;

use super::{Entry, Server};
use crate::bytecode;
use crate::error::FsError;
use crate::node::{Ino, Node, Place};
use crate::tree::Directory;

/// Offset of the first child.
const FIRST: u64 = 2;

/// The offset behind the child at this position.
fn after(position: usize) -> u64 {
    FIRST + position as u64 + 1
}

impl Server {
    /// Lists a directory from `offset` (0, or the `next` of an entry) until `full` returns true for
    /// an entry, which then was not taken.
    pub fn readdir(
        &self,
        ino: u64,
        offset: u64,
        mut full: impl FnMut(Entry<'_>) -> bool,
    ) -> Result<(), FsError> {
        let node = Node::of(Ino(ino))?;
        for (position, name) in [".", ".."]
            .into_iter()
            .enumerate()
            .skip(offset.min(FIRST) as usize)
        {
            let shown = if position == 0 {
                node
            } else {
                self.parent(node)?
            };
            let entry = Entry {
                name: name.as_bytes(),
                attr: self.attr(shown)?,
                next: position as u64 + 1,
            };
            if full(entry) {
                return Ok(());
            }
        }
        let skip = offset.saturating_sub(FIRST);
        match node {
            Node::Root => self.list_environments(skip, full),
            Node::Generations => Ok(()),
            Node::Directory(place) => self.list_directory(place, skip, full),
            Node::Bytecode(place) => self.list_bytecode(place, skip, full),
            Node::Link(_) | Node::File { .. } => Err(FsError::NotADirectory { ino }),
        }
    }

    fn parent(&self, node: Node) -> Result<Node, FsError> {
        match node {
            Node::Root | Node::Generations => Ok(Node::Root),
            Node::Directory(place) => self.trees.parent(&*self.content, place),
            Node::Bytecode(place) => Ok(Node::Directory(place)),
            Node::Link(_) | Node::File { .. } => Err(FsError::NotADirectory { ino: node.ino()?.0 }),
        }
    }

    fn list_environments(
        &self,
        skip: u64,
        mut full: impl FnMut(Entry<'_>) -> bool,
    ) -> Result<(), FsError> {
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        for (position, (name, tree)) in self.environments().into_iter().enumerate().skip(skip) {
            let next = after(position);
            let attr = self.attr(Node::Link(tree))?;
            if full(Entry {
                name: name.as_str().as_bytes(),
                attr,
                next,
            }) {
                break;
            }
        }
        Ok(())
    }

    fn list_directory(
        &self,
        place: Place,
        skip: u64,
        mut full: impl FnMut(Entry<'_>) -> bool,
    ) -> Result<(), FsError> {
        let content = &*self.content;
        let directory = self.trees.directory(content, place)?;
        let mut compiled = self.trees.compiled(content, place, &directory)?;
        if !compiled.pending.is_empty() && compiled.directory.is_none() {
            // Remembered before the state is read again: news in between is then not missed.
            self.trees
                .listed_incomplete(Node::Directory(place).ino()?, &compiled.pending);
            compiled = self.trees.compiled(content, place, &directory)?;
        }
        let has_cache = compiled.directory.is_some();
        // Where layers have the directory themselves, it is shown once, with what it is merged from.
        let hidden = has_cache.then_some(bytecode::NAME);
        if self.list_children(place.tree, &directory, (skip, hidden), &mut full)? && has_cache {
            let next = after(directory.len());
            if skip <= directory.len() as u64 {
                let attr = self.attr(Node::Bytecode(place))?;
                full(Entry {
                    name: bytecode::NAME,
                    attr,
                    next,
                });
            }
        }
        Ok(())
    }

    fn list_bytecode(
        &self,
        place: Place,
        skip: u64,
        mut full: impl FnMut(Entry<'_>) -> bool,
    ) -> Result<(), FsError> {
        let content = &*self.content;
        let parent = self.trees.directory(content, place)?;
        let mut compiled = self.trees.compiled(content, place, &parent)?;
        if !compiled.pending.is_empty() {
            self.trees
                .listed_incomplete(Node::Bytecode(place).ino()?, &compiled.pending);
            compiled = self.trees.compiled(content, place, &parent)?;
        }
        if let Some(directory) = compiled.directory {
            self.list_children(place.tree, &directory, (skip, None), &mut full)?;
        }
        Ok(())
    }

    /// Lists the children of a directory; says whether all were taken.
    fn list_children(
        &self,
        tree: TreeNumber,
        directory: &Directory,
        (skip, hidden): (u64, Option<&[u8]>),
        full: &mut impl FnMut(Entry<'_>) -> bool,
    ) -> Result<bool, FsError> {
        let first = usize::try_from(skip).unwrap_or(usize::MAX);
        for position in first..directory.len() {
            let Some((name, child)) = directory.child_at(position) else {
                break;
            };
            if hidden == Some(name) {
                continue;
            }
            let attr = self.child_attr(tree, &child)?;
            if full(Entry {
                name,
                attr,
                next: after(position),
            }) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
