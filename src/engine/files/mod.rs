//! Environments as plain files, for hosts where no view can be mounted.
//!
//! The same places as in the view, on the native file system below the mount point:
//!
//! ```text
//! live/demo                        symlink to .generation/<generation>; a swap renames over it
//! live/.generation/<64 digits>/    the prefix of one generation, as `blast_fs::plain` writes it
//! live/.generation/.new-…          being written; appears under its name by one rename, when whole
//! live/.generation/.old-…          being removed
//! live/.generation/.drifted-…      written to by programs, and no environment's any more ([`drift`])
//! live/.said                       why there is no view, as it was last told to the user
//! ```
//!
//! Unlike trees of the view, these are named by generation: numbers of trees may be given anew after a
//! power cut, and these outlive it. All access goes through a descriptor of `live` that was opened
//! before anything was mounted over it, so that a view and files can take turns.
//!
//! # What programs may write
//! A tree is an environment as `venv` makes it, and as writable. Their bytecode is no history and goes when
//! the tree goes; all else that programs write there is found by comparing ([`drift`]) and becomes an
//! operation (`engine/capture/drift.rs`). Files that share their bytes with the store by a hard link have no
//! write bits; root, whom that does not stop, gets copies.
//!
//! # Concurrency
//! A tree is written by one thread at a time ([`Hold::writing`]); others that want it wait. A link is
//! set under a lock of its environment, after the head was read. A tree that anybody holds
//! ([`Files::hold`]) is not removed.

mod drift;
mod retire;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use blast_fs::plain::{self, Drift, LinkKind};
use blast_fs::{Content as _, TreeSpec};
use blast_store::{LayerNumber, Store};
use blast_types::{EnvName, GenerationId};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::content::StoreContent;
use super::error::{EngineError, at};
use super::home::lock;

/// Where trees are, below `live`.
const GENERATIONS: &str = ".generation";

/// The plain files of one home. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Arc<Store>,
    content: StoreContent,
    /// `live` as it is on disk.
    below: File,
    live: PathBuf,
    kind: OnceLock<LinkKind>,
    /// Whether any environment may have a link.
    any_shown: AtomicBool,
    turns: Mutex<HashMap<EnvName, Arc<Mutex<()>>>>,
    held: Mutex<HashMap<GenerationId, Arc<Hold>>>,
    /// Trees whose path was given to a program that will only just start.
    pinned: Mutex<HashMap<GenerationId, Instant>>,
    retiring: Mutex<()>,
    /// What programs did to trees, where that is dealt with.
    noted: Mutex<HashMap<GenerationId, Drift>>,
    /// Trees removed so far.
    removed: AtomicU64,
}

/// Keeps a tree from being removed for as long as it lives.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    writing: Mutex<()>,
}

impl Files {
    /// Takes hold of `live`, on which nothing may be mounted yet, and clears away what a daemon
    /// that died left half-written or half-removed.
    pub(super) fn open(store: Arc<Store>, content: StoreContent, live: &Path, below: File) -> Self {
        let files = Self {
            shared: Arc::new(Shared {
                store,
                content,
                below,
                live: live.to_owned(),
                kind: OnceLock::new(),
                any_shown: AtomicBool::new(false),
                turns: Mutex::default(),
                held: Mutex::default(),
                pinned: Mutex::default(),
                retiring: Mutex::default(),
                noted: Mutex::default(),
                removed: AtomicU64::new(0),
            }),
        };
        files.clear_leftovers();
        files.note_shown(!files.environments().is_empty());
        files
    }

    /// How files share their bytes with the store here: found out on first need.
    pub(super) fn kind(&self) -> Result<LinkKind, EngineError> {
        if let Some(kind) = self.shared.kind.get() {
            return Ok(*kind);
        }
        let store = self.shared.store.home().join("store");
        let kind = plain::probe(&store, &self.root()).map_err(at(&self.shared.live))?;
        Ok(*self.shared.kind.get_or_init(|| kind))
    }

    /// Whether any environment may be there as plain files; costs no look at the disk.
    pub(super) fn is_any_shown(&self) -> bool {
        self.shared.any_shown.load(Ordering::Relaxed)
    }

    fn note_shown(&self, any: bool) {
        self.shared.any_shown.store(any, Ordering::Relaxed);
    }

    /// No environment is plain files any more, and if they become that again, it will be news.
    pub(super) fn left(&self) {
        self.note_shown(false);
        drop(fs::remove_file(self.root().join(".said")));
    }

    /// Whether the environment is there as plain files.
    pub(super) fn shows(&self, env: &EnvName) -> bool {
        self.shown(env).is_some()
    }

    /// The generation that the environment's link leads to.
    pub(super) fn shown(&self, env: &EnvName) -> Option<GenerationId> {
        let target = fs::read_link(self.root().join(env.as_str())).ok()?;
        let name = target.strip_prefix(GENERATIONS).ok()?;
        name.to_str()?.parse().ok()
    }

    /// The path by which programs reach a tree.
    pub(super) fn tree_path(&self, generation: GenerationId) -> PathBuf {
        let name = generation.to_hex();
        self.shared.live.join(GENERATIONS).join(name)
    }

    /// Keeps a tree for a while though no process uses it yet: its path was told to one that will.
    pub(super) fn pin(&self, generation: GenerationId) {
        lock(&self.shared.pinned).insert(generation, Instant::now());
    }

    /// Makes the environment's link lead to its head, writing the tree where it is missing. Blocks.
    pub(super) fn show(&self, env: &EnvName) -> Result<(), EngineError> {
        let turn = Arc::clone(lock(&self.shared.turns).entry(env.clone()).or_default());
        let _turn = lock(&turn);
        let state = self.shared.store.env(env)?;
        let state = state.ok_or_else(|| EngineError::NoEnvironment(env.clone()))?;
        if self.shown(env) == Some(state.head) && self.tree(state.head).is_dir() {
            return Ok(());
        }
        self.show_at(env, state.head)
    }

    /// Makes a link of this name lead to a generation that no environment has as its head. Blocks.
    pub(super) fn show_at(
        &self,
        name: &EnvName,
        generation: GenerationId,
    ) -> Result<(), EngineError> {
        let held = self.prepare(generation)?;
        self.note_shown(true);
        self.link(name, generation)
            .map_err(at(self.shared.live.join(name.as_str())))?;
        drop(held);
        Ok(())
    }

    /// Writes the tree of a generation, unless it is there; it stays at least as long as what is
    /// returned. Blocks.
    pub(super) fn prepare(&self, generation: GenerationId) -> Result<Arc<Hold>, EngineError> {
        let hold = self.hold(generation);
        let writing = lock(&hold.writing);
        let tree = self.tree(generation);
        if !tree.is_dir() {
            let spec = self.spec(generation)?;
            let pending = self.write(&spec, &tree)?;
            // Compiled while the rest was written: whoever was told of it found no tree.
            for layer in pending {
                self.add_bytecode_to(&spec, layer, &tree);
            }
        }
        drop(writing);
        Ok(hold)
    }

    /// Writes a tree under another name, makes it durable and renames it: what is there under its
    /// own name is whole, also after a power cut.
    fn write(&self, spec: &TreeSpec, tree: &Path) -> Result<Vec<LayerNumber>, EngineError> {
        let began = Instant::now();
        let generations = self.root().join(GENERATIONS);
        let shown = self.shared.live.join(GENERATIONS);
        fs::create_dir_all(&generations).map_err(at(&shown))?;
        let folder = tempfile::Builder::new()
            .prefix(".new-")
            .tempdir_in(&generations)
            .map_err(at(&shown))?;
        let kind = self.kind()?;
        let stop = AtomicBool::new(false);
        let content = &self.shared.content;
        let written =
            plain::write(content, spec, folder.path(), kind, &stop).map_err(|source| {
                EngineError::Files {
                    path: shown.clone(),
                    source,
                }
            })?;
        nix::unistd::syncfs(&self.shared.below).map_err(|error| at(&shown)(error.into()))?;
        fs::rename(folder.path(), tree).map_err(at(&shown))?;
        // The folder is not where it was made any more, so there is nothing to remove.
        drop(folder.keep());
        tracing::debug!(?written, took = ?began.elapsed(), "wrote a tree of plain files");
        Ok(written.pending)
    }

    /// Adds the bytecode of a layer to the trees that have it.
    pub(super) fn add_bytecode(&self, layer: LayerNumber) {
        for generation in self.trees() {
            let hold = self.hold(generation);
            let writing = lock(&hold.writing);
            let tree = self.tree(generation);
            // One that no history names any more is as it is.
            if tree.is_dir()
                && let Ok(spec) = self.spec(generation)
            {
                self.add_bytecode_to(&spec, layer, &tree);
            }
            drop(writing);
        }
    }

    /// Programs can do without it, so trouble is only logged.
    fn add_bytecode_to(&self, spec: &TreeSpec, layer: LayerNumber, tree: &Path) {
        let kind = self.kind().unwrap_or(LinkKind::Copy);
        let added = plain::add_bytecode(&self.shared.content, spec, layer, tree, kind);
        if let Err(error) = added {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "bytecode cannot be added to a tree");
        }
    }

    /// The environments that are shown as plain files.
    pub(super) fn environments(&self) -> Vec<EnvName> {
        let entries = fs::read_dir(self.root()).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|env| self.shows(env))
            .collect()
    }

    /// Takes the link of an environment away; its tree goes when nobody uses it.
    pub(super) fn hide(&self, env: &EnvName) -> Result<(), EngineError> {
        if !self.shows(env) {
            return Ok(());
        }
        let link = self.root().join(env.as_str());
        fs::remove_file(link).map_err(at(self.shared.live.join(env.as_str())))
    }

    /// Whether this reason is told for the first time; remembers that it was.
    pub(super) fn is_news(&self, reason: &str) -> bool {
        let place = self.root().join(".said");
        if fs::read_to_string(&place).is_ok_and(|said| said == reason) {
            return false;
        }
        if let Err(error) = fs::write(&place, reason) {
            tracing::debug!(%error, "what was said cannot be remembered");
        }
        true
    }

    fn spec(&self, generation: GenerationId) -> Result<Arc<TreeSpec>, EngineError> {
        let number = self.shared.store.tree_of(generation)?.number;
        self.shared
            .content
            .tree(number)
            .map_err(|source| EngineError::Files {
                path: self.tree_path(generation),
                source: source.into(),
            })
    }

    fn hold(&self, generation: GenerationId) -> Arc<Hold> {
        Arc::clone(lock(&self.shared.held).entry(generation).or_default())
    }

    /// `live` on disk, whatever is mounted over it.
    fn root(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.shared.below.as_raw_fd()))
    }

    /// Where a tree is, whatever is mounted over it.
    pub(super) fn tree(&self, generation: GenerationId) -> PathBuf {
        self.root().join(GENERATIONS).join(generation.to_hex())
    }

    /// Makes the link, in place of another, of a skeleton, or of nothing, in one step.
    fn link(&self, env: &EnvName, generation: GenerationId) -> io::Result<()> {
        let place = self.root().join(env.as_str());
        let fresh = self.root().join(format!(".link-{env}"));
        retire::remove(&fresh);
        symlink(Path::new(GENERATIONS).join(generation.to_hex()), &fresh)?;
        if !fs::symlink_metadata(&place).is_ok_and(|meta| meta.is_dir()) {
            return fs::rename(&fresh, &place);
        }
        let exchange = RenameFlags::RENAME_EXCHANGE;
        match renameat2(AT_FDCWD, &fresh, AT_FDCWD, &place, exchange) {
            Ok(()) => fs::remove_dir_all(&fresh),
            // A file system that cannot: for a moment there is nothing.
            Err(nix::Error::EINVAL) => {
                fs::remove_dir_all(&place)?;
                fs::rename(&fresh, &place)
            }
            Err(error) => Err(error.into()),
        }
    }
}
