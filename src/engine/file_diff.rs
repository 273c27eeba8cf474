//! Which files differ between two generations, by what their layers say: no content is read.

use std::collections::BTreeMap;

use blast_store::{EntryKind, Generation};

use super::error::EngineError;
use super::home::Home;
use crate::ipc::protocol::{FileChange, FileChangeView};

/// What a file is, as far as two of them can differ: its content or target, and whether it is a program.
type Identity = ([u8; 32], bool);

/// All files that were added, removed or changed, by path. Blocks; costs a step for each file of both.
pub(super) fn between(
    home: &Home,
    from: &Generation,
    to: &Generation,
) -> Result<Vec<FileChangeView>, EngineError> {
    let mut old = files(home, from)?;
    let mut changes = Vec::new();
    for (path, identity) in files(home, to)? {
        let change = match old.remove(&path) {
            None => FileChange::Added,
            Some(before) if before != identity => FileChange::Changed,
            Some(_) => continue,
        };
        changes.push(FileChangeView { path, change });
    }
    changes.extend(old.into_keys().map(|path| FileChangeView {
        path,
        change: FileChange::Removed,
    }));
    changes.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(changes)
}

fn files(home: &Home, generation: &Generation) -> Result<BTreeMap<String, Identity>, EngineError> {
    let mut files = BTreeMap::new();
    for id in generation.layers() {
        let layer = home.store.layer(id)?;
        for (index, entry) in layer.entries() {
            let mut hasher = blake3::Hasher::new();
            match entry.kind {
                EntryKind::Dir { .. } => continue,
                // The same bytes may be in the layer or in a blob.
                EntryKind::File { blob } => hasher.update(b"f").update(blob.as_bytes()),
                EntryKind::Inline { bytes } => {
                    hasher.update(b"f").update(blake3::hash(bytes).as_bytes())
                }
                EntryKind::Extended { blob, tail, .. } => {
                    hasher.update(b"e").update(blob.as_bytes()).update(tail)
                }
                EntryKind::Symlink { target } => hasher.update(b"l").update(target),
                EntryKind::Damaged => hasher.update(b"d"),
            };
            let identity = (*hasher.finalize().as_bytes(), entry.mode & 0o100 != 0);
            files.insert(layer.path(index), identity);
        }
    }
    Ok(files)
}
