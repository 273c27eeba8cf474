//! Removing trees that nothing uses any more.
//!
//! A tree stays while the link of an environment leads to it, while a process of this user runs
//! from it, stands in it, has something of it open, or was started by its path, and while anybody
//! in this daemon holds it. It leaves its name at once and its files in the course of the removal.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use blast_types::GenerationId;

use super::{Files, GENERATIONS};
use crate::engine::home::lock;
use crate::engine::processes;

/// More than a program takes from being told the path of a tree to being started from it.
const START: Duration = Duration::from_secs(20);

impl Files {
    /// The generations whose trees are on disk.
    pub(in crate::engine) fn trees(&self) -> Vec<GenerationId> {
        let entries = fs::read_dir(self.root().join(GENERATIONS));
        let names = entries.into_iter().flatten().flatten();
        names
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect()
    }

    /// Removes the trees that nothing uses; says how many went. Takes as long as removing their
    /// files does. Blocks.
    pub(in crate::engine) fn retire(&self) -> usize {
        let _one = lock(&self.shared.retiring);
        let trees = self.trees();
        if trees.is_empty() && !self.has_drifted() {
            return 0;
        }
        let used = self.used();
        let drifted = self.retire_drifted(&used);
        let gone: Vec<_> = trees
            .into_iter()
            .filter(|tree| !used.contains(&OsString::from(tree.to_hex())))
            .filter_map(|tree| self.take_away(tree))
            .collect();
        for folder in &gone {
            remove(folder);
        }
        gone.len() + drifted
    }

    /// [`Files::retire`], while nobody waits.
    pub(in crate::engine) fn retire_in_background(&self) {
        let files = self.clone();
        let spawned = thread::Builder::new()
            .name("files-retire".to_owned())
            .spawn(move || files.retire());
        if let Err(error) = spawned {
            tracing::warn!(%error, "no thread for removing trees");
        }
    }

    /// The trees that would go now.
    pub(in crate::engine) fn retirable(&self) -> Vec<GenerationId> {
        let used = self.used();
        let linked = self.linked();
        let stays = |tree: &GenerationId| {
            linked.contains(tree) || used.contains(&OsString::from(tree.to_hex()))
        };
        let trees = self.trees().into_iter();
        trees.filter(|tree| !stays(tree)).collect()
    }

    pub(super) fn used(&self) -> HashSet<OsString> {
        // From inside a namespace, programs outside cannot be looked into: they may use any.
        if blast_fs::namespace::is_inside() {
            let all = self.trees().into_iter();
            return all.map(|tree| tree.to_hex().into()).collect();
        }
        processes::entries_used(&self.shared.live.join(GENERATIONS))
    }

    fn linked(&self) -> HashSet<GenerationId> {
        let environments = self.environments();
        environments
            .iter()
            .filter_map(|env| self.shown(env))
            .collect()
    }

    /// Takes the name from a tree that nobody holds and no link leads to; says where it is now.
    fn take_away(&self, tree: GenerationId) -> Option<PathBuf> {
        // Whoever makes a link holds the tree from before it looks at it until the link is there.
        let mut held = lock(&self.shared.held);
        held.retain(|_, hold| Arc::strong_count(hold) > 1);
        let mut pinned = lock(&self.shared.pinned);
        pinned.retain(|_, since| since.elapsed() < START);
        if held.contains_key(&tree) || pinned.contains_key(&tree) || self.linked().contains(&tree) {
            return None;
        }
        // Unlike any that an earlier daemon began to remove.
        let serial = self.shared.removed.fetch_add(1, Ordering::Relaxed);
        let name = format!(".old-{}-{}-{serial}", tree.short(), std::process::id());
        let aside = self.root().join(GENERATIONS).join(name);
        match fs::rename(self.tree(tree), &aside) {
            Ok(()) => Some(aside),
            Err(error) => {
                tracing::warn!(%error, %tree, "a tree cannot be taken away");
                None
            }
        }
    }

    /// Removes what a daemon that died was at: trees in the background, the rest at once.
    pub(super) fn clear_leftovers(&self) {
        let begins = |name: &OsString, prefixes: &[&str]| {
            let name = name.as_encoded_bytes();
            prefixes
                .iter()
                .any(|prefix| name.starts_with(prefix.as_bytes()))
        };
        let names = |folder: &PathBuf| {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name()).collect::<Vec<_>>()
        };
        let (root, trees) = (self.root(), self.root().join(GENERATIONS));
        for name in names(&root) {
            if begins(&name, &[".link-", ".probe-"]) {
                remove(&root.join(name));
            }
        }
        // Of builds that were going on.
        for env in self.environments() {
            if matches!(self.shared.store.env(&env), Ok(None)) {
                remove(&root.join(env.as_str()));
            }
        }
        let mut left = names(&trees);
        left.retain(|name| begins(name, &[".new-", ".renewed-", ".old-"]));
        if left.is_empty() {
            return;
        }
        // The paths go by a descriptor that these files keep.
        let files = self.clone();
        let spawned = thread::Builder::new()
            .name("files-leftovers".to_owned())
            .spawn(move || {
                for name in left {
                    remove(&trees.join(name));
                }
                drop(files);
            });
        if let Err(error) = spawned {
            tracing::warn!(%error, "no thread for removing leftovers");
        }
    }
}

/// Removes a folder or anything else.
pub(super) fn remove(path: &Path) {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => return, // gone already
    };
    if let Err(error) = removed {
        tracing::warn!(%error, path = %path.display(), "cannot be removed");
    }
}
