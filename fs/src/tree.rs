//! Composing directories: what the layers of a tree look like as one.
//!
//! A composed directory is the list of its parts: the directories of the same path in the layers
//! that have it, lowest first. The rules, for each name:
//!
//! - the highest part that has the name decides: if it has a file or link there, that is shown;
//! - if it has a directory, the parts below it that have a directory too are merged into it, down to
//!   the first that has something else (which that higher directory replaced).
//!
//! A directory with one part is not composed at all: its children are looked up in its layer, as are
//! theirs. So the cost of a look-up grows with the number of layers near the root of a prefix and with
//! the children of `site-packages`, never with the number of files below.
//!
//! Pure functions over immutable data: nothing here locks, caches or fails.

use std::cmp::Ordering;
use std::sync::Arc;

use blast_store::{EntryIndex, Layer, LayerNumber};

/// An entry of a layer: a directory as part of a composed one, or a file or link.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// The layer's number.
    pub(crate) number: LayerNumber,
    /// The layer.
    pub(crate) layer: Arc<Layer>,
    /// The entry.
    pub(crate) entry: EntryIndex,
}

impl Part {
    fn name(&self, entry: EntryIndex) -> &[u8] {
        self.layer.get(entry).map_or(&[], |entry| entry.name)
    }

    fn is_dir(&self, entry: EntryIndex) -> bool {
        self.layer
            .get(entry)
            .is_some_and(|entry| entry.kind.is_dir())
    }

    /// Another entry of the same layer.
    pub(crate) fn at(&self, entry: EntryIndex) -> Self {
        Self {
            number: self.number,
            layer: Arc::clone(&self.layer),
            entry,
        }
    }
}

/// What a name in a composed directory stands for.
#[derive(Debug, Clone)]
pub(crate) enum Child {
    /// A file or link.
    Leaf(Part),
    /// A directory, by its parts, lowest first; never empty.
    Directory(Vec<Part>),
}

/// A directory of a tree.
#[derive(Debug)]
pub(crate) struct Directory {
    parts: Vec<Part>,
    /// The children of all parts; none where there is but one part to ask.
    merged: Option<Merged>,
}

/// The children of several directories, sorted by name. A child is a run of `entries`.
#[derive(Debug)]
struct Merged {
    children: Box<[Run]>,
    entries: Box<[(u32, EntryIndex)]>,
}

/// One child: the (part, entry) pairs that it consists of, lowest first.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: u32,
    len: u32,
    dir: bool,
}

impl Directory {
    /// The root of a tree with these layers, lowest first. A layer that is listed twice counts
    /// where it stands last.
    pub(crate) fn root(layers: &[(LayerNumber, Arc<Layer>)]) -> Self {
        let mut seen = rustc_hash::FxHashSet::default();
        let mut parts: Vec<Part> = layers
            .iter()
            .rev()
            .filter(|(number, _)| seen.insert(*number))
            .map(|(number, layer)| Part {
                number: *number,
                layer: Arc::clone(layer),
                entry: EntryIndex::ROOT,
            })
            .collect();
        parts.reverse();
        Self::compose(parts)
    }

    /// The directory with these parts, lowest first.
    pub(crate) fn compose(parts: Vec<Part>) -> Self {
        let merged = (parts.len() != 1).then(|| Merged::of(&parts, |_, _| true));
        Self { parts, merged }
    }

    /// The same, but only with the children that `keep` wants, told the index of their part.
    pub(crate) fn compose_where(parts: Vec<Part>, keep: impl Fn(usize, &[u8]) -> bool) -> Self {
        let merged = Some(Merged::of(&parts, keep));
        Self { parts, merged }
    }

    /// The parts, lowest first.
    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// How many children there are.
    pub(crate) fn len(&self) -> usize {
        match (&self.merged, self.parts.as_slice()) {
            (None, [part]) => part.layer.child_range(part.entry).len(),
            (None, _) => 0,
            (Some(merged), _) => merged.children.len(),
        }
    }

    /// The child with this name.
    pub(crate) fn child(&self, name: &[u8]) -> Option<Child> {
        match (&self.merged, self.parts.as_slice()) {
            (None, [part]) => part
                .layer
                .lookup(part.entry, name)
                .map(|entry| single(part, entry)),
            (None, _) => None,
            (Some(merged), parts) => {
                let at = merged
                    .children
                    .binary_search_by(|&run| merged.name(parts, run).cmp(name))
                    .ok()?;
                Some(merged.child(parts, merged.children[at]))
            }
        }
    }

    /// The parts that a Python source among the children comes from, lowest first: where to look
    /// for bytecode.
    pub(crate) fn source_parts(&self) -> Vec<usize> {
        match (&self.merged, self.parts.as_slice()) {
            (None, [part]) => {
                let is_source = |entry| is_source(part.name(entry)) && !part.is_dir(entry);
                if part.layer.children(part.entry).any(is_source) {
                    vec![0]
                } else {
                    Vec::new()
                }
            }
            (None, _) => Vec::new(),
            (Some(merged), parts) => {
                let mut has_source = vec![false; parts.len()];
                for &run in &merged.children {
                    if !run.dir && is_source(merged.name(parts, run)) {
                        has_source[merged.run(run)[0].0 as usize] = true;
                    }
                }
                (0..parts.len()).filter(|&part| has_source[part]).collect()
            }
        }
    }

    /// The name and meaning of the child at this position, in the order of names.
    pub(crate) fn child_at(&self, position: usize) -> Option<(&[u8], Child)> {
        match (&self.merged, self.parts.as_slice()) {
            (None, [part]) => {
                let entry = part.layer.children(part.entry).nth(position)?;
                Some((part.name(entry), single(part, entry)))
            }
            (None, _) => None,
            (Some(merged), parts) => {
                let run = *merged.children.get(position)?;
                Some((merged.name(parts, run), merged.child(parts, run)))
            }
        }
    }
}

fn is_source(name: &[u8]) -> bool {
    name.ends_with(b".py")
}

fn single(part: &Part, entry: EntryIndex) -> Child {
    let child = part.at(entry);
    if part.is_dir(entry) {
        Child::Directory(vec![child])
    } else {
        Child::Leaf(child)
    }
}

impl Merged {
    fn of(parts: &[Part], keep: impl Fn(usize, &[u8]) -> bool) -> Self {
        let mut all: Vec<(&[u8], u32, EntryIndex)> = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let children = part
                .layer
                .children(part.entry)
                .map(|entry| (part.name(entry), entry));
            all.extend(
                children
                    .filter(|(name, _)| keep(index, name))
                    .map(|(name, entry)| (name, index as u32, entry)),
            );
        }
        all.sort_unstable_by(|a, b| match a.0.cmp(b.0) {
            Ordering::Equal => a.1.cmp(&b.1),
            unequal => unequal,
        });
        let is_dir =
            |&(_, part, entry): &(&[u8], u32, EntryIndex)| parts[part as usize].is_dir(entry);
        let mut children = Vec::with_capacity(all.len());
        let mut entries = Vec::with_capacity(all.len());
        for same in all.chunk_by(|a, b| a.0 == b.0) {
            let dirs = same
                .iter()
                .rev()
                .take_while(|candidate| is_dir(candidate))
                .count();
            let shown = &same[same.len() - dirs.max(1)..];
            children.push(Run {
                start: entries.len() as u32,
                len: shown.len() as u32,
                dir: dirs > 0,
            });
            entries.extend(shown.iter().map(|&(_, part, entry)| (part, entry)));
        }
        Self {
            children: children.into(),
            entries: entries.into(),
        }
    }

    fn run(&self, run: Run) -> &[(u32, EntryIndex)] {
        &self.entries[run.start as usize..][..run.len as usize]
    }

    fn name<'a>(&self, parts: &'a [Part], run: Run) -> &'a [u8] {
        let (part, entry) = self.entries[run.start as usize];
        parts[part as usize].name(entry)
    }

    fn child(&self, parts: &[Part], run: Run) -> Child {
        let part = |&(part, entry): &(u32, EntryIndex)| parts[part as usize].at(entry);
        let run_entries = self.run(run);
        if run.dir {
            return Child::Directory(run_entries.iter().map(part).collect());
        }
        // A leaf's run has one entry by construction.
        Child::Leaf(part(&run_entries[0]))
    }
}
