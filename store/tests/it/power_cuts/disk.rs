//! What is on disk after a power cut.
//!
//! Durable is what a sync that ended was about: the bytes and the length of a file, the names in a
//! directory, or all. A directory is there once anything in it was synced, as on ext4, xfs and btrfs.
//! Everything else may be there or not, each operation by itself; a length may be there without its
//! bytes, which are zeros then.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use blast_harness::Random;

use super::trace::{Op, Synced};

/// What becomes of that which was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    All,
    None,
    /// Each operation is there or not.
    Some,
}

#[derive(Debug, Default)]
pub(super) struct Disk {
    folders: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, usize>,
    bytes: HashMap<usize, Vec<u8>>,
}

/// For each thing that can be synced: of how many operations it was.
#[derive(Default)]
struct Durable<'a> {
    files: HashMap<usize, usize>,
    folders: HashMap<&'a Path, usize>,
    all: usize,
}

impl<'a> Durable<'a> {
    fn of(ops: impl Iterator<Item = &'a Op>) -> Self {
        let mut durable = Self::default();
        for op in ops {
            let Op::Sync { what, of } = op else { continue };
            let slot = match what {
                Synced::File(file) => durable.files.entry(*file).or_default(),
                Synced::Folder(path) => durable.folders.entry(path).or_default(),
                Synced::All => &mut durable.all,
            };
            *slot = (*slot).max(*of);
        }
        durable
    }

    fn has(&self, at: usize, op: &Op) -> bool {
        let names = |path: &Path| {
            let folder = path.parent().and_then(|parent| self.folders.get(parent));
            folder.is_some_and(|&of| at < of)
        };
        let bytes = |file| self.files.get(file).is_some_and(|&of| at < of);
        at < self.all
            || match op {
                Op::Make { path, .. } | Op::Remove { path } => names(path),
                Op::Folder { path } => self.folders.keys().any(|synced| synced.starts_with(path)),
                Op::Rename { to, .. } => names(to),
                Op::Write { file, .. } | Op::Cut { file, .. } => bytes(file),
                Op::Sync { .. } | Op::Ack(_) => true,
            }
    }
}

impl Disk {
    /// After these operations.
    pub(super) fn after<'a>(
        ops: impl IntoIterator<Item = &'a Op, IntoIter: Clone>,
        loss: Loss,
        random: &mut Random,
    ) -> Self {
        let ops = ops.into_iter();
        let durable = Durable::of(ops.clone());
        let mut disk = Self::default();
        for (at, op) in ops.enumerate() {
            let there = durable.has(at, op)
                || match loss {
                    Loss::All => false,
                    Loss::None => true,
                    Loss::Some => random.below(2) == 0,
                };
            if there {
                disk.apply(op);
            } else if let (Loss::Some, Op::Write { file, at, bytes }) = (loss, op)
                && random.below(2) == 0
            {
                // The length without the bytes.
                disk.grow(*file, *at as usize + bytes.len());
            }
        }
        disk
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Make { file, path } => {
                self.names.insert(path.clone(), *file);
            }
            Op::Folder { path } => {
                self.folders.insert(path.clone());
            }
            Op::Write { file, at, bytes } => {
                let end = *at as usize + bytes.len();
                let content = self.grow(*file, end);
                content[*at as usize..end].copy_from_slice(bytes);
            }
            Op::Cut { file, length } => {
                let content = self.bytes.entry(*file).or_default();
                content.resize(*length as usize, 0);
            }
            Op::Rename { file, from, to } => {
                if self.names.get(from) == Some(file) {
                    self.names.remove(from);
                }
                self.names.insert(to.clone(), *file);
            }
            Op::Remove { path } => {
                self.names.remove(path);
                self.folders.remove(path);
            }
            Op::Sync { .. } | Op::Ack(_) => {}
        }
    }

    fn grow(&mut self, file: usize, length: usize) -> &mut Vec<u8> {
        let content = self.bytes.entry(file).or_default();
        if content.len() < length {
            content.resize(length, 0);
        }
        content
    }

    /// Writes it below `root`, in which `home` has the name that it had.
    pub(super) fn write_to(&self, root: &Path) {
        let below = |path: &Path| {
            let mut parts = path.components();
            parts.find(|part| part.as_os_str() == "home")?;
            Some(root.join("home").join(parts.as_path()))
        };
        for folder in self.folders.iter().filter_map(|path| below(path)) {
            fs::create_dir_all(folder).unwrap();
        }
        for (path, file) in &self.names {
            let Some(path) = below(path) else { continue };
            // Names without their directory went with it.
            if path.parent().is_some_and(Path::is_dir) {
                let bytes = self.bytes.get(file).map(Vec::as_slice);
                fs::write(path, bytes.unwrap_or_default()).unwrap();
            }
        }
    }
}
