//! One home: a store, its view, and what serves them.
//!
//! All methods may be called from any thread. Those that say so block on disk or on other
//! processes and belong on a blocking thread. Changes of one environment are serialised by
//! [`Home::turn`]; different environments do not wait for each other.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use blast_fs::{Handover, Inheritance, MountOptions, View};
use blast_index::Sources;
use blast_store::failpoint::{self, Point};
use blast_store::{EnvState, Generation, LayerNumber, Store, StoreError, TreeNumber};
use blast_types::{EnvName, GenerationId};

use super::bytecode::{Compiler, Key, Listener};
use super::caches::Caches;
use super::content::{StoreContent, flavour};
use super::error::{EngineError, at};
use super::files::Files;
use super::keeper::{Keeper, Kept};
use super::showing::Mode;
use super::skeleton::{self, Skeletons};
use crate::ipc::protocol::Place;

/// How long a store may be held by a daemon that is ending.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

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
    /// Where the last command took packages from, see `refresh`.
    sources: Mutex<Option<Sources>>,
    keeper: Arc<dyn Keeper>,
    /// What the next client should hear, once.
    news: Mutex<Option<String>>,
    turns: Mutex<HashMap<EnvName, Arc<tokio::sync::Mutex<()>>>>,
    /// Build environments in the view, and how many builds go on in each.
    builds: Mutex<HashMap<EnvName, usize>>,
    /// Something is not shown as it is.
    behind: AtomicBool,
    /// Whether what an earlier daemon left was brought up to date.
    skeletons_renewed: AtomicBool,
    /// Keeps the compiler's listener alive.
    _listener: Arc<ViewListener>,
}

/// Passes on to whatever shows environments that bytecode is ready.
struct ViewListener(Arc<Mutex<Option<View>>>, Files);

impl std::fmt::Debug for ViewListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ViewListener")
    }
}

impl Listener for ViewListener {
    fn bytecode_ready(&self, layer: LayerNumber) {
        if let Some(view) = &*lock(&self.0) {
            view.bytecode_ready(layer);
        }
        self.1.add_bytecode(layer);
    }
}

impl Home {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.live.parent().unwrap_or(&self.live)
    }

    /// Opens (or makes) the home at this path. Blocks.
    pub(crate) fn open(
        home: &Path,
        cache: &Path,
        keeper: Arc<dyn Keeper>,
    ) -> Result<Self, EngineError> {
        std::fs::create_dir_all(home).map_err(at(home))?;
        let live = home.join("live");
        if blast_fs::reap(&live)? {
            tracing::warn!(live = %live.display(), "a mount that its daemon left was taken away");
        }
        std::fs::create_dir_all(&live).map_err(at(&live))?;
        let skeletons = Skeletons::open(&live)?;
        Self::open_with(home, cache, keeper, skeletons, false)
    }

    /// Opens a home whose daemon died, and goes on with its mount, which is given up if that fails.
    /// Touches nothing in the mount before it is served. Blocks.
    pub(crate) fn take_over(kept: Kept, keeper: &Arc<dyn Keeper>) -> Result<Self, EngineError> {
        let Kept {
            home,
            cache,
            below,
            handover,
        } = kept;
        let skeletons = Skeletons::at(below, &home.join("live"));
        match Self::open_with(&home, &cache, Arc::clone(keeper), skeletons, true) {
            Ok(opened) => match opened.succeed(handover) {
                Ok(()) => Ok(opened),
                Err(error) => {
                    keeper.release(&home);
                    Err(error)
                }
            },
            Err(error) => {
                if let Err(also) = handover.abandon() {
                    tracing::warn!(error = %also, "a mount cannot be taken away");
                }
                keeper.release(&home);
                Err(error)
            }
        }
    }

    fn open_with(
        home: &Path,
        cache: &Path,
        keeper: Arc<dyn Keeper>,
        skeletons: Skeletons,
        succeeds: bool,
    ) -> Result<Self, EngineError> {
        let live = home.join("live");
        let store = Arc::new(open_store(home)?);
        let compiler = Compiler::new(Arc::clone(&store), succeeds);
        let view = Arc::default();
        let content = StoreContent::new(Arc::clone(&store), compiler.clone());
        // Not by its path, which leads into the mount where there is one.
        let below = File::from(skeletons.below().map_err(at(&live))?);
        let files = Files::open(Arc::clone(&store), content, &live, below);
        let listener = Arc::new(ViewListener(Arc::clone(&view), files.clone()));
        let weak: std::sync::Weak<dyn Listener> =
            Arc::downgrade(&(Arc::clone(&listener) as Arc<dyn Listener>));
        compiler.set_listener(weak);
        Ok(Self {
            caches: Mutex::new(Arc::new(Caches::open(cache)?)),
            skeletons,
            files,
            mode: Mode::default(),
            store,
            compiler,
            live,
            view,
            sources: Mutex::default(),
            keeper,
            news: Mutex::default(),
            turns: Mutex::default(),
            builds: Mutex::default(),
            behind: AtomicBool::new(false),
            skeletons_renewed: AtomicBool::new(false),
            _listener: listener,
        })
    }

    /// Serves the mount of a process that died.
    fn succeed(&self, handover: Handover) -> Result<(), EngineError> {
        let environments: BTreeMap<_, _> = self.trees()?.into_iter().collect();
        let mut gone = Vec::new();
        for name in self.skeletons.names()? {
            if !environments.contains_key(&name) {
                if let Err(error) = self.skeletons.remove(&name) {
                    tracing::warn!(%error, "a skeleton is left");
                }
                gone.push(name);
            }
        }
        let inheritance = Inheritance {
            environments,
            gone,
            trees: self.store.trees_given(),
        };
        let content = StoreContent::new(Arc::clone(&self.store), self.compiler.clone());
        let options = MountOptions::default();
        match View::take_over(handover, Arc::new(content), options, &inheritance) {
            Ok(taken) => {
                self.keep(&taken);
                *lock(&self.view) = Some(taken);
                Ok(())
            }
            Err(error) => {
                self.keeper.release(self.store.home());
                let told = format!(
                    "the daemon died, and programs that used the view may have failed: {error}"
                );
                tracing::warn!("{told}");
                *lock(&self.news) = Some(told);
                self.show()
            }
        }
    }

    /// What a client should hear, once.
    pub(crate) fn take_news(&self) -> Option<String> {
        lock(&self.news).take()
    }

    /// Has the mount outlive this process.
    fn keep(&self, view: &View) {
        let handover = match view.hand_over() {
            Ok(Some(handover)) => handover,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "the mount will not outlive this process");
                return;
            }
        };
        let home = self.store.home().to_owned();
        match self.skeletons.below() {
            Ok(below) => self.keeper.keep(Kept {
                home: home.clone(),
                cache: self.caches().path.clone(),
                below,
                handover,
            }),
            Err(error) => tracing::warn!(%error, "the mount will not outlive this process"),
        }
        // While anybody has its descriptor, a session that broke would leave programs waiting.
        let keeper = Arc::clone(&self.keeper);
        view.when_ended(move || keeper.release(&home));
    }

    /// Takes a view away for good.
    fn take_down(&self, view: View) -> Result<(), EngineError> {
        let unmounted = view.unmount();
        self.keeper.release(self.store.home());
        Ok(unmounted?)
    }

    /// Leaves the mount to the next process. To be followed by the end of this one.
    pub(crate) fn leave(&self) {
        self.compiler.close();
        if let Some(view) = lock(&self.view).take() {
            view.leave();
        }
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
    pub(crate) async fn turn(&self, env: &EnvName) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = Arc::clone(lock(&self.turns).entry(env.clone()).or_default());
        turn.lock_owned().await
    }

    /// Whether anything is mounted.
    pub(crate) fn is_shown(&self) -> bool {
        lock(&self.view).is_some()
    }

    /// Whether the mount outlives this process, and how often it changed hands.
    pub(crate) fn succession(&self) -> Option<(bool, u32)> {
        let view = lock(&self.view);
        view.as_ref()
            .map(|view| (view.offer().can_resend(), view.takeovers()))
    }

    /// The process that keeps mounts, if one does.
    pub(crate) fn holder(&self) -> Option<u32> {
        self.keeper.process()
    }

    /// FUSE requests served so far, by kind; empty where nothing is mounted.
    pub(crate) fn requests(&self) -> BTreeMap<String, u64> {
        let view = lock(&self.view);
        let counters = view.as_ref().map(View::counters).unwrap_or_default();
        counters
            .into_iter()
            .map(|(kind, count)| (kind.to_owned(), count))
            .collect()
    }

    /// Mounts the view unless it is mounted, with all environments in it. Blocks.
    pub(crate) fn show(&self) -> Result<(), EngineError> {
        let mut view = lock(&self.view);
        if view.as_ref().is_some_and(|view| !view.is_serving()) {
            // Somebody else unmounted it, or it broke: start over.
            if let Some(gone) = view.take() {
                self.take_down(gone).unwrap_or_else(|error| {
                    tracing::debug!(%error, "the old view was gone already");
                });
            }
            blast_fs::reap(&self.live)?;
        }
        if view.is_some() {
            return Ok(());
        }
        let content = StoreContent::new(Arc::clone(&self.store), self.compiler.clone());
        let mounted = View::mount(&self.live, Arc::new(content), MountOptions::default())?;
        for (name, tree) in self.trees()? {
            mounted.set_environment(&name, tree);
        }
        self.keep(&mounted);
        *view = Some(mounted);
        Ok(())
    }

    /// Makes a new head visible, where the view is mounted. Blocks for no longer than the swap
    /// takes, which does not depend on what is in either head.
    ///
    /// # Errors
    /// [`EngineError::NotShown`]: the change was made, and is not seen.
    pub(super) fn swap(&self, env: &EnvName, head: GenerationId) -> Result<(), EngineError> {
        self.try_swap(env, head).map_err(|source| {
            self.behind.store(true, Ordering::Relaxed);
            EngineError::NotShown {
                env: env.clone(),
                source: Box::new(source),
            }
        })?;
        // The change stands whatever happens here.
        if let Err(error) = self.renew_skeleton(env) {
            tracing::warn!(%error, "a skeleton is behind its environment");
            self.skeletons_renewed.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    fn try_swap(&self, env: &EnvName, head: GenerationId) -> Result<(), EngineError> {
        failpoint::hit(Point::EngineSwap).map_err(at(&self.live))?;
        if let Some(view) = &*lock(&self.view) {
            view.set_environment(env, self.store.tree_of(head)?.number);
        }
        self.swap_files(env)
    }

    /// Shows a generation that something is built in, which no environment has; until
    /// [`Home::hide_build`] was called as often. Blocks.
    pub(super) fn show_build(
        &self,
        name: &EnvName,
        generation: &Generation,
        id: GenerationId,
    ) -> Result<(), EngineError> {
        self.compile(generation)?;
        let files = self.show_somehow()?;
        let tree = self.store.tree_of(id)?.number;
        let mut builds = lock(&self.builds);
        if files {
            self.files.show_at(name, id)?;
        }
        if let Some(view) = &*lock(&self.view) {
            view.set_environment(name, tree);
        }
        *builds.entry(name.clone()).or_default() += 1;
        Ok(())
    }

    /// Takes it out of the view, when nothing else is built in it.
    pub(super) fn hide_build(&self, name: &EnvName) {
        let mut builds = lock(&self.builds);
        if let Some(count) = builds.get_mut(name) {
            *count -= 1;
            if *count > 0 {
                return;
            }
        }
        builds.remove(name);
        if let Some(view) = &*lock(&self.view) {
            view.remove_environment(name);
        }
        if let Err(error) = self.hide_files(name) {
            tracing::warn!(%error, %name, "the files of a build environment stay");
        }
    }

    /// The generations that programs or the kernel may still hold something of, but for plain files
    /// that are about to go.
    pub(super) fn generations_in_use(
        &self,
        going: &[GenerationId],
    ) -> Result<Vec<GenerationId>, EngineError> {
        let trees = lock(&self.view).as_ref().map(View::trees_in_use);
        let mut generations = Vec::new();
        for tree in trees.iter().flatten() {
            generations.push(self.store.tree(*tree)?.generation);
        }
        if trees.is_some() {
            // A Python that was started from a tree comes back to it with each import, though the
            // kernel may have forgotten the tree in between.
            for name in super::processes::entries_used(&self.live.join(".generation")) {
                let number = name.to_str().and_then(|name| name.parse().ok());
                let tree = number.map(|number| self.store.tree(TreeNumber(number)));
                generations.extend(tree.and_then(Result::ok).map(|tree| tree.generation));
            }
        }
        let files = self.files.trees().into_iter();
        generations.extend(files.filter(|tree| !going.contains(tree)));
        Ok(generations)
    }

    /// Has the kernel let go of trees that no environment shows and no program uses. Takes a
    /// while where a tree is big; nobody needs to wait for it. Answers how many are left, which
    /// programs use. Blocks.
    pub(crate) fn retire_old_trees(&self) -> usize {
        let old_trees = || {
            let view = lock(&self.view);
            view.as_ref().map(View::old_trees).unwrap_or_default()
        };
        for tree in old_trees() {
            // One at a time, so that a swap waits for one tree at the most.
            if let Some(view) = &*lock(&self.view) {
                view.retire(tree);
            }
        }
        old_trees().len()
    }

    /// Gives back what was kept for requests that do not come; a home that compiles bytecode does
    /// not rest. Answers whether it does. Blocks.
    pub(crate) fn rest(&self) -> bool {
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

    /// Writes what the environment is while nothing is mounted. Blocks.
    pub(super) fn make_skeleton(&self, state: &EnvState) -> Result<(), EngineError> {
        let _turn = self.skeletons.turn();
        self.skeletons.make(state, &self.programs(state)?)
    }

    /// The same for what the environment is now, where it exists; costs little where little changed.
    /// Blocks.
    fn renew_skeleton(&self, env: &EnvName) -> Result<(), EngineError> {
        failpoint::hit(Point::EngineSkeleton).map_err(at(&self.live))?;
        let _turn = self.skeletons.turn();
        match self.store.env(env)? {
            Some(state) => self.skeletons.renew(&state, &self.programs(&state)?),
            None => Ok(()),
        }
    }

    /// Skeletons that a daemon left behind when it died in the middle of a change, or of an older
    /// version.
    fn renew_skeletons(&self) {
        let renew = || -> Result<(), EngineError> {
            for state in self.store.envs()? {
                self.renew_skeleton(&state.record.name)?;
            }
            Ok(())
        };
        if let Err(error) = renew() {
            tracing::warn!(%error, "skeletons are behind their environments");
        }
    }

    fn programs(&self, state: &EnvState) -> Result<BTreeSet<String>, EngineError> {
        let generation = self.store.generation(state.head)?;
        let layers = generation.layers().map(|id| self.store.layer(id));
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        let scripts = &state.record.interpreter.scheme.scripts;
        Ok(skeleton::programs(&layers, scripts))
    }

    /// After environments were deleted: takes them out of the view, and the view away with the
    /// last of them. Blocks.
    pub(super) fn forget(&self, names: &[EnvName]) -> Result<(), EngineError> {
        if self.files.is_any_shown() {
            self.files.retire_in_background();
        }
        let left = self.store.envs()?;
        let mut view = lock(&self.view);
        if left.is_empty() {
            if let Some(view) = view.take() {
                self.take_down(view)?;
            }
        } else if let Some(view) = &*view {
            for name in names {
                view.remove_environment(name);
            }
        }
        drop(view);
        // Last: a skeleton without an environment says that the kernel may still know the name.
        for name in names {
            self.skeletons.remove(name)?;
            lock(&self.turns).remove(name);
        }
        self.drop_needless_bytecode(&left)
    }

    fn drop_needless_bytecode(&self, left: &[EnvState]) -> Result<(), EngineError> {
        if self.compiler.pending() == 0 {
            return Ok(());
        }
        let mut needed = HashSet::new();
        for state in left {
            for layer in self.store.generation(state.head)?.layers() {
                needed.insert(self.store.layer_number(layer)?);
            }
        }
        self.compiler.retain(|layer| needed.contains(&layer));
        Ok(())
    }

    /// Takes one environment, or the whole view, out of sight. Blocks.
    pub(crate) fn hide(&self, env: Option<&EnvName>, force: bool) -> Result<(), EngineError> {
        let mut view = lock(&self.view);
        match env {
            Some(name) => {
                if let Some(view) = &*view {
                    view.remove_environment(name);
                }
                self.hide_files(name)?;
            }
            None if force || !view.as_ref().is_some_and(|_| self.is_used()) => {
                if let Some(view) = view.take() {
                    self.take_down(view)?;
                }
            }
            None => {
                return Err(EngineError::InUse {
                    live: self.live.clone(),
                });
            }
        }
        Ok(())
    }

    /// Whether a process of this user runs from, stands in or has open something of the view.
    pub(super) fn is_used(&self) -> bool {
        super::processes::users_of(&self.live).next().is_some()
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
            mode: if files { "materialised" } else { "view" }.to_owned(),
            namespace: if files { None } else { self.namespace() },
        })
    }

    /// A process in whose namespaces the view is mounted, where this one mounts in its own.
    pub(super) fn namespace(&self) -> Option<u32> {
        // The holder outlives daemons.
        blast_fs::namespace::is_inside().then(|| self.holder().unwrap_or_else(std::process::id))
    }
}

/// Opens the store; waits a little for a daemon that is ending to let go of it.
fn open_store(home: &Path) -> Result<Store, StoreError> {
    let began = Instant::now();
    loop {
        match Store::open(home) {
            Err(StoreError::Locked { .. }) if began.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(LOCK_PATIENCE / 100);
            }
            opened => return opened,
        }
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
