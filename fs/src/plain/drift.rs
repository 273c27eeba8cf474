//! What became of a tree since it was written: files that programs changed, added and took away.
//!
//! A file is taken for what was written if kind, size, time and the right to run it are; where only the time
//! differs, its bytes decide. `__pycache__` is left out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::{self, DirEntry, File, Metadata};
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use blast_store::{Entry, EntryKind};

use super::PlainError;
use super::plan::{Leaf, Plan};
use crate::content::{Content, TreeSpec};

/// Bytecode, which is nobody's writing.
const CACHE: &str = "__pycache__";

/// How a file looks that was written to. Two are equal only while nobody writes to it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Look {
    fn of(meta: &Metadata) -> Self {
        Self {
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// When it was touched last.
    fn touched(&self) -> SystemTime {
        let (seconds, nanos) = self.changed;
        let since = Duration::new(
            u64::try_from(seconds).unwrap_or(0),
            u32::try_from(nanos).unwrap_or(0),
        );
        UNIX_EPOCH + since
    }
}

/// What programs did to a tree. Paths are relative to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drift {
    /// Files and links that are new or changed.
    pub written: BTreeMap<PathBuf, Look>,
    /// Files and links that are gone.
    pub removed: BTreeSet<PathBuf>,
}

impl Drift {
    /// Whether the tree is as it was written.
    pub fn is_empty(&self) -> bool {
        self.written.is_empty() && self.removed.is_empty()
    }

    /// When the newest of the files was touched.
    pub fn newest(&self) -> Option<SystemTime> {
        self.written.values().map(Look::touched).max()
    }
}

/// Compares the tree at `root` with what [`super::write()`] writes. Blocks for as long as a walk takes.
pub fn drift(content: &dyn Content, spec: &TreeSpec, root: &Path) -> Result<Drift, PlainError> {
    let spec = TreeSpec {
        bytecode_tag: None,
        ..spec.clone()
    };
    let plan = Plan::of(content, &spec);
    let mut expected = Expected::of(&plan);
    let mut found = Drift::default();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let read = |source| PlainError::Read {
            path: folder.clone(),
            source,
        };
        let mut leaves = expected.take(&folder);
        for entry in fs::read_dir(root.join(&folder)).map_err(read)? {
            let entry = entry.map_err(read)?;
            let name = entry.file_name();
            // One that a program takes away meanwhile is gone.
            let Some(meta) = gone_is_none(entry.metadata()).map_err(read)? else {
                continue;
            };
            if meta.is_dir() {
                if name != CACHE {
                    folders.push(folder.join(name));
                }
                continue;
            }
            let is_same = match leaves.remove(&*name) {
                None => false,
                Some(leaf) => is_same(content, leaf, &entry, &meta).map_err(read)?,
            };
            if !is_same {
                found.written.insert(folder.join(name), Look::of(&meta));
            }
        }
        let gone = leaves.into_keys().map(|name| folder.join(name));
        found.removed.extend(gone);
    }
    found.removed.extend(expected.rest(&plan));
    // What was taken for gone above may have been put there again since.
    found
        .removed
        .retain(|path| !found.written.contains_key(path));
    Ok(found)
}

/// The files and links of a plan, folder by folder: most are as they were, and need no path of their own.
struct Expected<'a> {
    /// Index of each folder.
    folders: HashMap<&'a Path, usize>,
    leaves: Vec<HashMap<&'a OsStr, &'a Leaf>>,
}

impl<'a> Expected<'a> {
    /// All but bytecode.
    fn of(plan: &'a Plan) -> Self {
        let is_cache = |path: &Path| path.iter().any(|name| name == CACHE);
        let mut leaves = vec![HashMap::new(); plan.folders.len()];
        let mut folders = HashMap::new();
        for (index, folder) in plan.folders.iter().enumerate() {
            if !is_cache(&folder.path) {
                folders.insert(&*folder.path, index);
            }
        }
        for leaf in &plan.leaves {
            leaves[leaf.folder].insert(&*leaf.name, leaf);
        }
        Self { folders, leaves }
    }

    /// What a folder is to hold.
    fn take(&mut self, folder: &Path) -> HashMap<&'a OsStr, &'a Leaf> {
        let index = self.folders.remove(folder);
        index.map_or_else(HashMap::new, |index| {
            std::mem::take(&mut self.leaves[index])
        })
    }

    /// What is to be in folders that were not taken.
    fn rest(self, plan: &'a Plan) -> impl Iterator<Item = PathBuf> {
        let Self {
            folders,
            mut leaves,
        } = self;
        folders.into_values().flat_map(move |index| {
            let gone = std::mem::take(&mut leaves[index]);
            gone.into_values().map(|leaf| plan.path(leaf))
        })
    }
}

fn gone_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

fn is_same(
    content: &dyn Content,
    leaf: &Leaf,
    there: &DirEntry,
    meta: &Metadata,
) -> io::Result<bool> {
    let Some(entry) = leaf.part.layer.get(leaf.part.entry) else {
        return Ok(false);
    };
    if let EntryKind::Symlink { target } = entry.kind {
        return Ok(
            meta.is_symlink() && fs::read_link(there.path())?.as_os_str().as_bytes() == target
        );
    }
    let is_executable = |mode: u32| mode & 0o100 != 0;
    if !meta.is_file()
        || meta.size() != entry.size
        || is_executable(meta.mode()) != is_executable(entry.mode)
    {
        return Ok(false);
    }
    if (meta.mtime(), meta.mtime_nsec()) == (entry.mtime, 0) {
        return Ok(true);
    }
    let Some(there) = gone_is_none(File::open(there.path()))? else {
        return Ok(false);
    };
    has_bytes(content, &entry, there)
}

/// Whether a file holds what the entry says.
fn has_bytes(content: &dyn Content, entry: &Entry<'_>, there: File) -> io::Result<bool> {
    match entry.kind {
        EntryKind::Inline { bytes } => is_equal(bytes, there),
        EntryKind::File { blob } => is_equal(content.open_blob(blob)?, there),
        EntryKind::Extended { blob, tail, .. } => {
            is_equal(content.open_blob(blob)?.chain(tail), there)
        }
        _ => Ok(false),
    }
}

fn is_equal(ours: impl Read, theirs: impl Read) -> io::Result<bool> {
    const STEP: u64 = 64 << 10;
    let (mut ours, mut theirs) = (BufReader::new(ours), BufReader::new(theirs));
    let (mut left, mut right) = (Vec::new(), Vec::new());
    loop {
        left.clear();
        right.clear();
        (&mut ours).take(STEP).read_to_end(&mut left)?;
        (&mut theirs).take(STEP).read_to_end(&mut right)?;
        if left != right {
            return Ok(false);
        }
        if left.is_empty() {
            return Ok(true);
        }
    }
}
