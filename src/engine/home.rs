//! One home: a store, its view, and what serves them.
//!
//! All methods may be called from any thread. Those that say so block on disk or on other
//! processes and belong on a blocking thread. Changes of one environment are serialised by
//! [`Home::turn`]; different environments do not wait for each other.

mod changes;
mod opening;
mod skeletons;
mod view;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use blast_fs::{Aside, View};
use blast_index::Sources;
use blast_store::{EnvState, Generation, Store, TreeNumber};
use blast_types::EnvName;

use super::bytecode::{Compiler, Key};
use super::caches::Caches;
use super::content::flavour;
use super::error::EngineError;
use super::files::Files;
use super::keeper::Keeper;
use super::showing::Mode;
use super::skeleton::Skeletons;
use crate::ipc::protocol::Place;
use crate::read_ahead::Reader;
use changes::Changes;
pub(crate) use changes::Turn;
use opening::ViewListener;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Home {
    pub(super) store: Arc<Store>,
    pub(super) compiler: Compiler,
    caches: Mutex<Arc<Caches>>,
    live: PathBuf,
    skeletons: Skeletons,
    pub(super) files: Files,
    pub(super) mode: Mode,
    view: Arc<Mutex<Option<View>>>,
    /// Reads ahead of programs in the view.
    reader: Arc<Reader>,
    /// The last view, while there is none: mounted nowhere, until this home rests. Locked after `view`.
    aside: Arc<Mutex<Option<Aside>>>,
    /// Where the last command took packages from, see `refresh`.
    sources: Mutex<Option<Sources>>,
    keeper: Arc<dyn Keeper>,
    /// What the next client should hear, once.
    news: Mutex<Option<String>>,
    /// Environments that are shown as something else since somebody asked.
    moved: Mutex<HashSet<EnvName>>,
    turns: Mutex<HashMap<EnvName, Arc<tokio::sync::Mutex<()>>>>,
    pub(super) changes: Arc<Changes>,
    /// Build environments in the view, and how many builds go on in each.
    builds: Mutex<HashMap<EnvName, usize>>,
    /// Whether a thread unpacks what images brought.
    pub(super) unpacking: Arc<AtomicBool>,
    /// Something is not shown as it is.
    behind: AtomicBool,
    /// Whether what an earlier daemon left was brought up to date.
    skeletons_renewed: AtomicBool,
    /// Keeps the compiler's listener alive.
    _listener: Arc<ViewListener>,
}

impl Home {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.live.parent().unwrap_or(&self.live)
    }

    /// What a client should hear, once.
    pub(crate) fn take_news(&self) -> Option<String> {
        lock(&self.news).take()
    }

    /// Has the next client hear this.
    pub(super) fn tell_next(&self, message: String) {
        tracing::warn!("{message}");
        let mut news = lock(&self.news);
        *news = Some(match news.take() {
            None => message,
            Some(earlier) => format!("{earlier}; {message}"),
        });
    }

    fn trees(&self) -> Result<Vec<(EnvName, TreeNumber)>, EngineError> {
        let envs = self.store.envs()?.into_iter();
        envs.map(|state| Ok((state.record.name, self.store.tree_of(state.head)?.number)))
            .collect()
    }

    /// Whether the directory is still the one that was opened.
    pub(crate) fn is_present(&self) -> bool {
        self.store.is_present()
    }

    /// Whether it has to be opened anew, before the store takes changes again, or to show what the
    /// store has.
    pub(crate) fn is_stuck(&self) -> bool {
        self.store.is_stuck() || self.behind.load(Ordering::Relaxed)
    }

    /// The caches; those of the directory that [`Home::use_cache`] named last.
    pub(crate) fn caches(&self) -> Arc<Caches> {
        Arc::clone(&lock(&self.caches))
    }

    /// Whether [`Home::use_cache`] would change nothing.
    pub(crate) fn uses_cache(&self, cache: &Path) -> bool {
        (self.caches.try_lock()).is_ok_and(|caches| caches.are_of(cache))
    }

    /// Uses this cache directory from now on; begins anew if it was deleted meanwhile. Blocks.
    pub(crate) fn use_cache(&self, cache: &Path) -> Result<(), EngineError> {
        let mut caches = lock(&self.caches);
        if !caches.are_of(cache) {
            *caches = Arc::new(Caches::open(cache)?);
        }
        Ok(())
    }

    /// Notes where a command takes packages from.
    pub(super) fn remember(&self, sources: &Sources) {
        *lock(&self.sources) = Some(sources.clone());
    }

    /// The sources to refresh from when idle, where that is wanted.
    pub(crate) fn refreshable(&self) -> Option<Sources> {
        let sources = lock(&self.sources);
        sources
            .clone()
            .filter(|sources| sources.refresh.enabled && !sources.offline)
    }

    /// Where environments appear.
    pub(crate) fn live(&self) -> &Path {
        &self.live
    }

    /// What `sys.prefix` of an environment is.
    pub(crate) fn prefix(&self, env: &EnvName) -> PathBuf {
        self.live.join(env.as_str())
    }

    /// The environment, or the error that names it.
    pub(crate) fn env(&self, name: &EnvName) -> Result<EnvState, EngineError> {
        self.store
            .env(name)?
            .ok_or_else(|| EngineError::NoEnvironment(name.clone()))
    }

    /// The right to change one environment; held until dropped.
    pub(crate) async fn turn(&self, env: &EnvName) -> Turn {
        let changing = self.changes.begin();
        let turn = Arc::clone(lock(&self.turns).entry(env.clone()).or_default());
        Turn {
            _right: turn.lock_owned().await,
            _changing: changing,
        }
    }

    /// Whether anything is mounted.
    pub(crate) fn is_shown(&self) -> bool {
        lock(&self.view).is_some()
    }

    /// The process that keeps mounts, if one does.
    pub(crate) fn holder(&self) -> Option<u32> {
        self.keeper.process()
    }

    /// Gives back what was kept for requests that do not come; a home that compiles bytecode does
    /// not rest. Answers whether it does. Blocks.
    pub(crate) fn rest(&self) -> bool {
        self.unpack_in_background();
        if self.compiler.pending() > 0 {
            return false;
        }
        self.caches().index.rest();
        // Each change keeps its own, so once is enough.
        if !self.skeletons_renewed.swap(true, Ordering::Relaxed) {
            self.renew_skeletons();
        }
        if let Some(view) = &*lock(&self.view) {
            view.rest();
        }
        self.reader.rest();
        self.drop_aside();
        if let Err(error) = self.store.rest() {
            tracing::warn!(%error, "the store's index cannot be written");
        }
        true
    }

    /// Queues the bytecode of all packages of a generation, as far as it is missing.
    pub(super) fn compile(&self, generation: &Generation) -> Result<Vec<Key>, EngineError> {
        let flavour = flavour(generation);
        let tag = flavour.tag.clone();
        self.compiler.know(flavour);
        let layers: Vec<_> = generation
            .packages
            .iter()
            .map(|package| package.layer)
            .collect();
        Ok(self.compiler.request(&layers, &tag)?)
    }

    /// Unmounts and ends what runs in the background. Blocks.
    pub(crate) fn close(&self, force: bool) -> Result<(), EngineError> {
        self.compiler.close();
        if let Err(error) = self.store.rest() {
            tracing::warn!(%error, "the store's index and copies are behind");
        }
        self.hide(None, force)
    }

    /// Where an environment is to be found. Blocks.
    pub(crate) fn place(&self, state: &EnvState, pin: bool) -> Result<Place, EngineError> {
        let files = self.why_files().is_some();
        let prefix = match (pin, files) {
            (false, _) => self.prefix(&state.record.name),
            (true, true) => self.files.tree_path(state.head),
            (true, false) => {
                let tree = self.store.tree_of(state.head)?;
                self.live.join(".generation").join(tree.number.to_string())
            }
        };
        let record = &state.record;
        Ok(Place {
            env: record.name.clone(),
            prefix,
            project: record.project.clone(),
            variables: record.variables.clone(),
            python: record.interpreter.markers.python_full_version.clone(),
            interpreter: record.interpreter.executable.clone(),
            site_packages: record.interpreter.scheme.purelib.clone(),
            generation: state.head,
            sources: sources(&*self.store.generation(state.head)?),
            mode: if files { "materialised" } else { "view" }.to_owned(),
            namespace: if files { None } else { self.namespace() },
        })
    }
}

pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The directories that are installed in editable form: programs read them where they are.
fn sources(generation: &Generation) -> Vec<PathBuf> {
    let direct = generation
        .packages
        .iter()
        .filter_map(|package| package.direct_url.as_ref());
    direct
        .filter(|direct| direct.is_editable())
        .filter_map(|direct| url::Url::parse(&direct.url).ok()?.to_file_path().ok())
        .collect()
}
