//! What programs of an environment keep to be faster the next time, as lists of fonts or compiled kernels: a directory of
//! the environment's own is `~/.cache` inside, where programs look for theirs (XDG base directory specification).
//!
//! It lasts longer than the sandbox, so it is not for who shall leave nothing, nor for who may not write as the
//! directory's owner does, nor where the size of what is written is limited. What a policy says of `~/.cache` itself,
//! or of what is in it, holds instead.

use std::path::{Path, PathBuf};

use super::{Access, Kind, List, Mount, Owner, Scratch, Who};
use crate::places::resolve;
use crate::plan::PlanError;
use crate::{Level, Policy};

/// Below the home directory.
const CACHE: &str = ".cache";

impl List<'_> {
    /// Shows it, unless something speaks against it. `hidden` are the places that the policy hides, without links.
    pub(super) fn give_cache(
        &mut self,
        cache: Option<&PathBuf>,
        policy: &Policy,
        home: &Path,
        hidden: &[PathBuf],
    ) -> Result<(), PlanError> {
        let Some(cache) = cache else {
            return Ok(());
        };
        let named = home.join(CACHE);
        let home = resolve(self.look, home).map_or_else(|| home.to_owned(), |found| found.path);
        let at = home.join(CACHE);
        let is_private = matches!(
            self.mounts.get(&home),
            Some(Mount::Scratch {
                part: Scratch::Home,
                ..
            })
        );
        let is_taken = self.mounts.keys().any(|mount| mount.starts_with(&at));
        // A place that is not there is hidden, too.
        let is_hidden = (hidden.iter().chain(&policy.files.hidden))
            .any(|path| at.starts_with(path) || named.starts_with(path));
        let is_limited =
            policy.files.temporary_bytes.is_some() || policy.limits.written_bytes.is_some();
        let is_kept = policy.level == Level::Standard && self.who != Who::Another && !is_limited;
        if !is_kept || !is_private || is_taken || is_hidden {
            return Ok(());
        }
        let real = resolve(self.look, cache).filter(|found| found.path == *cache);
        if real.is_none_or(|found| found.kind != Kind::Directory) {
            return Err(PlanError::Moved(cache.clone()));
        }
        self.add(Mount::Elsewhere {
            at,
            source: cache.clone(),
            access: Access::Write,
            directory: true,
            owner: Owner::Same,
        });
        Ok(())
    }
}
