//! What a home keeps of each environment outside the store: skeletons under the mount point, and bytecode.

use std::collections::{BTreeSet, HashSet};

use blast_store::EnvState;
use blast_store::failpoint::{self, Point};
use blast_types::EnvName;

use super::{Home, lock};
use crate::engine::error::{EngineError, at};
use crate::engine::skeleton;

impl Home {
    /// Writes what the environment is while nothing is mounted. Blocks.
    pub(in crate::engine) fn make_skeleton(&self, state: &EnvState) -> Result<(), EngineError> {
        let _turn = self.skeletons.turn();
        self.skeletons.make(state, &self.programs(state)?)
    }

    /// The same for what the environment is now, where it exists; costs little where little changed.
    /// Blocks.
    pub(super) fn renew_skeleton(&self, env: &EnvName) -> Result<(), EngineError> {
        failpoint::hit(Point::EngineSkeleton).map_err(at(&self.live))?;
        let _turn = self.skeletons.turn();
        match self.store.env(env)? {
            Some(state) => self.skeletons.renew(&state, &self.programs(&state)?),
            None => Ok(()),
        }
    }

    /// Skeletons that a daemon left behind when it died in the middle of a change, or of an older
    /// version.
    pub(super) fn renew_skeletons(&self) {
        let renew = || -> Result<(), EngineError> {
            for state in self.store.envs()? {
                if !self.skeletons.is_of(&state) {
                    self.renew_skeleton(&state.record.name)?;
                }
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
    /// last of them; for a while it can come back. Blocks.
    pub(in crate::engine) fn forget(&self, names: &[EnvName]) -> Result<(), EngineError> {
        if self.files.is_any_shown() {
            self.files.retire_in_background();
        }
        let left = self.store.envs()?;
        let mut view = lock(&self.view);
        if left.is_empty() {
            if let Some(view) = view.take() {
                self.set_aside(view)?;
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
}
