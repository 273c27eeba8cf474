//! What of a home is in the view: mounting it, moving an environment's link, and taking both away.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use blast_fs::{MountOptions, View};
use blast_store::failpoint::{self, Point};
use blast_store::{Generation, TreeNumber};
use blast_types::{EnvName, GenerationId};

use super::{Home, lock};
use crate::engine::content::StoreContent;
use crate::engine::error::{EngineError, at};

impl Home {
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
        let mounted = if let Some(view) = self.put_back() {
            view
        } else {
            let content = StoreContent::new(Arc::clone(&self.store), self.compiler.clone());
            let mounted = View::mount(&self.live, Arc::new(content), MountOptions::default())?;
            mounted.observe(self.observer());
            mounted
        };
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
    pub(in crate::engine) fn swap(
        &self,
        env: &EnvName,
        head: GenerationId,
    ) -> Result<(), EngineError> {
        self.try_swap(env, head).map_err(|source| {
            self.behind.store(true, Ordering::Relaxed);
            EngineError::NotShown {
                env: env.clone(),
                source: Box::new(source),
            }
        })?;
        lock(&self.moved).insert(env.clone());
        // The change stands whatever happens here.
        if let Err(error) = self.renew_skeleton(env) {
            tracing::warn!(%error, "a skeleton is behind its environment");
            self.skeletons_renewed.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Shows an environment that was taken out of sight. Its head is read while nobody swaps, so that the one that is
    /// shown is never older.
    pub(in crate::engine) fn reveal(&self, env: &EnvName) -> Result<(), EngineError> {
        if let Some(view) = &*lock(&self.view)
            && !view.shows(env)
        {
            let head = self.env(env)?.head;
            view.set_environment(env, self.store.tree_of(head)?.number);
        }
        Ok(())
    }

    /// The environments that are shown as something else since this was asked last.
    pub(crate) fn take_moved(&self) -> HashSet<EnvName> {
        std::mem::take(&mut *lock(&self.moved))
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
    pub(in crate::engine) fn show_build(
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
    pub(in crate::engine) fn hide_build(&self, name: &EnvName) {
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
                self.drop_aside();
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

    /// Takes a view away, though the next may be this one again.
    pub(super) fn set_aside(&self, view: View) -> Result<(), EngineError> {
        self.reader.rest();
        let aside = view.set_aside();
        self.keeper.release(self.store.home());
        *lock(&self.aside) = aside?;
        Ok(())
    }

    /// The view that was set aside, where it was before.
    fn put_back(&self) -> Option<View> {
        let aside = lock(&self.aside).take()?;
        aside
            .put_back()
            .inspect_err(|error| {
                let error = error as &dyn std::error::Error;
                tracing::debug!(error, "the view cannot be put back");
            })
            .ok()
    }

    /// Lets the kernel forget all of a view that was set aside.
    pub(crate) fn drop_aside(&self) {
        drop(lock(&self.aside).take());
    }

    /// Takes a view away for good.
    pub(super) fn take_down(&self, view: View) -> Result<(), EngineError> {
        self.reader.rest();
        let unmounted = view.unmount();
        self.keeper.release(self.store.home());
        Ok(unmounted?)
    }

    /// The generations that programs or the kernel may still hold something of, but for plain files
    /// that are about to go.
    pub(in crate::engine) fn generations_in_use(
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
            for name in crate::engine::processes::entries_used(&self.live.join(".generation")) {
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

    /// Whether a process of this user runs from, stands in or has open something of the view.
    pub(in crate::engine) fn is_used(&self) -> bool {
        // Who reads ahead of programs is none.
        self.reader.rest();
        crate::engine::processes::users_of(&self.live)
            .next()
            .is_some()
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

    /// Whether the mount outlives this process, and how often it changed hands.
    pub(crate) fn succession(&self) -> Option<(bool, u32)> {
        let view = lock(&self.view);
        view.as_ref()
            .map(|view| (view.offer().can_resend(), view.takeovers()))
    }

    /// A process in whose namespaces the view is mounted, where this one mounts in its own.
    pub(in crate::engine) fn namespace(&self) -> Option<u32> {
        // The holder outlives daemons.
        blast_fs::namespace::is_inside().then(|| self.holder().unwrap_or_else(std::process::id))
    }
}
