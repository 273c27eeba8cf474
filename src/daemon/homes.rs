//! The homes that the daemon has open.
//!
//! A home is opened by the first request that names it. One whose directory was deleted or
//! replaced is dropped at the next request, so that a test or a user may remove `$BLAST_HOME`
//! and start anew without restarting anything.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::{EngineError, Home, Keeper, Kept};

/// All open homes, by path.
#[derive(Debug)]
pub(super) struct Homes {
    open: Mutex<HashMap<PathBuf, Arc<Home>>>,
    keeper: Arc<dyn Keeper>,
}

impl Homes {
    /// None yet; their mounts will be kept by this keeper.
    pub(super) fn new(keeper: Arc<dyn Keeper>) -> Self {
        Self {
            open: Mutex::default(),
            keeper,
        }
    }

    /// Goes on with the mounts of a daemon that died. One that cannot be gone on with is given up.
    /// Blocks.
    pub(super) fn take_over(&self, all: Vec<Kept>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for kept in all {
            let path = kept.home.clone();
            match Home::take_over(kept, &self.keeper) {
                Ok(home) => {
                    tracing::info!(home = %path.display(), "took over from a daemon that is gone");
                    open.insert(path, Arc::new(home));
                }
                Err(error) => {
                    tracing::error!(home = %path.display(), %error, "cannot take over");
                }
            }
        }
    }

    /// The home at this path, opened if need be. Blocks.
    pub(super) fn get(&self, home: &Path, cache: &Path) -> Result<Arc<Home>, EngineError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = open.get(home) {
            if found.is_present() {
                found.use_cache(cache)?;
                return Ok(Arc::clone(found));
            }
            found.close(true)?;
            open.remove(home);
        }
        // Homes that were deleted meanwhile hold memory, threads and perhaps a mount.
        open.retain(|path, home| {
            home.is_present() || {
                tracing::info!(home = %path.display(), "closed, since it was deleted");
                home.close(true).is_err()
            }
        });
        let opened = Arc::new(Home::open(home, cache, Arc::clone(&self.keeper))?);
        open.insert(home.to_owned(), Arc::clone(&opened));
        Ok(opened)
    }

    /// The home at this path, where it is open and as it was and nobody is busy with it: two calls
    /// of stat(2), which take less than waking a thread that may block.
    pub(super) fn at_hand(&self, home: &Path, cache: &Path) -> Option<Arc<Home>> {
        let open = self.open.try_lock().ok()?;
        let found = open.get(home)?;
        (found.is_present() && found.uses_cache(cache)).then(|| Arc::clone(found))
    }

    /// Has the next request open the home anew, since what was kept in memory and shown may be of
    /// damaged objects; not while programs use it. Blocks.
    pub(super) fn renew(&self, home: &Path) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(home).is_some_and(|home| home.close(false).is_ok()) {
            open.remove(home);
        }
    }

    /// Whether a store has to be opened anew before it takes changes again.
    pub(super) fn is_any_stuck(&self) -> bool {
        self.all().iter().any(|home| home.is_stuck())
    }

    /// Whether any home shows an environment.
    pub(super) fn shows_anything(&self) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.values().any(|home| home.is_shown())
    }

    /// Has the kernel let go of what nobody looks at any more; answers how many trees are still
    /// looked at. Blocks.
    pub(super) fn retire_old_trees(&self) -> usize {
        let retire = |home: &Arc<Home>| {
            home.retire_files();
            home.retire_old_trees()
        };
        self.all().iter().map(retire).sum()
    }

    /// Gives back what was kept for requests that do not come; answers whether all homes rest.
    /// Blocks.
    pub(super) fn rest(&self) -> bool {
        // All are asked: one that is busy does not keep the others awake.
        self.all().iter().filter(|home| !home.rest()).count() == 0
    }

    /// All open homes.
    pub(super) fn all(&self) -> Vec<Arc<Home>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.values().cloned().collect()
    }

    /// Leaves all mounts to the next process.
    pub(super) fn leave(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for home in open.values() {
            home.leave();
        }
    }

    /// Unmounts all; what fails is logged, since the process ends anyway.
    pub(super) fn close_all(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for (path, home) in open.drain() {
            if let Err(error) = home.close(true) {
                tracing::warn!(home = %path.display(), %error, "cannot close");
            }
        }
    }
}
