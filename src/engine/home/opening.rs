//! How a home comes to be open, and how its mount passes from one process to the next.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use blast_fs::{Aside, Handover, Inheritance, MountOptions, Observer, View};
use blast_store::{LayerNumber, MachineStore, Store, StoreError};

use super::{Home, lock};
use crate::engine::bytecode::{Compiler, Listener};
use crate::engine::caches::Caches;
use crate::engine::content::StoreContent;
use crate::engine::error::{EngineError, at};
use crate::engine::files::Files;
use crate::engine::generated;
use crate::engine::keeper::{Keeper, Kept};
use crate::engine::showing::Mode;
use crate::engine::skeleton::Skeletons;
use crate::read_ahead::Reader;
use crate::settings::Settings;

/// How long a store may be held by a daemon that is ending.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// Passes on to whatever shows environments that bytecode is ready.
pub(super) struct ViewListener {
    view: Arc<Mutex<Option<View>>>,
    aside: Arc<Mutex<Option<Aside>>>,
    files: Files,
}

impl std::fmt::Debug for ViewListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ViewListener")
    }
}

impl Listener for ViewListener {
    fn bytecode_ready(&self, layer: LayerNumber) {
        // Locked for both: one may become the other in between.
        let view = lock(&self.view);
        if let Some(view) = &*view {
            view.bytecode_ready(layer);
        } else if let Some(aside) = &*lock(&self.aside) {
            aside.bytecode_ready(layer);
        }
        drop(view);
        self.files.add_bytecode(layer);
    }
}

impl Home {
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
        if let Err(error) = link_to_us(&home.join(generated::ENTER)) {
            tracing::warn!(%error, "the Pythons of environments may not find blast");
        }
        let news = use_machine_store(&store).err().map(|error| {
            let told = format!("the store of the machine is not used: {error}");
            tracing::warn!("{told}");
            told
        });
        let compiler = Compiler::new(Arc::clone(&store), succeeds);
        let view = Arc::default();
        let content = StoreContent::new(Arc::clone(&store), compiler.clone());
        let reader = Reader::new(&live, cache, Arc::new(content.clone()));
        // Not by its path, which leads into the mount where there is one.
        let below = File::from(skeletons.below().map_err(at(&live))?);
        let files = Files::open(Arc::clone(&store), content, &live, below);
        let aside = Arc::default();
        let listener = Arc::new(ViewListener {
            view: Arc::clone(&view),
            aside: Arc::clone(&aside),
            files: files.clone(),
        });
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
            reader: Arc::new(reader),
            aside,
            sources: Mutex::default(),
            keeper,
            news: Mutex::new(news),
            moved: Mutex::default(),
            turns: Mutex::default(),
            builds: Mutex::default(),
            changes: Arc::default(),
            unpacking: Arc::default(),
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
                taken.observe(self.observer());
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

    /// Who is told what programs use of the view.
    pub(super) fn observer(&self) -> Arc<dyn Observer> {
        Arc::<Reader>::clone(&self.reader)
    }

    /// Has the mount outlive this process.
    pub(super) fn keep(&self, view: &View) {
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

    /// Leaves the mount to the next process. To be followed by the end of this one.
    pub(crate) fn leave(&self) {
        self.compiler.close();
        self.reader.rest();
        if let Some(view) = lock(&self.view).take() {
            view.leave();
        }
    }
}

/// Has this path lead to our executable, wherever it is by now. Who follows it meanwhile finds the old or the new one.
fn link_to_us(path: &Path) -> Result<(), EngineError> {
    let us = std::env::current_exe().map_err(at("/proc/self/exe"))?;
    if std::fs::read_link(path).is_ok_and(|target| target == us) {
        return Ok(());
    }
    let new = path.with_extension("new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(at(&new)(error)),
        _ => {}
    }
    std::os::unix::fs::symlink(&us, &new).map_err(at(&new))?;
    std::fs::rename(&new, path).map_err(at(path))
}

/// Reads the store that is kept for all users, too, or lets them read this one where this is it.
fn use_machine_store(store: &Store) -> Result<(), String> {
    let said = Settings::machine_store(|name| std::env::var_os(name));
    let Some(said) = said.map_err(|error| error.message)? else {
        return Ok(());
    };
    let in_words = |error: StoreError| match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    let is_ours = said.canonicalize().is_ok_and(|said| {
        let home = store.home().canonicalize();
        home.is_ok_and(|home| home == said)
    });
    if is_ours {
        return store.share().map_err(in_words);
    }
    store.read_below(MachineStore::open(&said).map_err(in_words)?);
    Ok(())
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
