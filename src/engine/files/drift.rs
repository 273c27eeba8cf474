//! What programs write into trees that nobody covers: found by comparing, and never thrown away unasked.
//!
//! A tree that was written to keeps its name only until an environment's link leads elsewhere: then it is put
//! out of the way, so that whoever goes back to its generation finds that as it was.
//!
//! ```text
//! live/.generation/.drifted-…      written to, and taken note of; for programs that are in it
//! upper/<env>/…/tree               written to while it was left: kept, since nobody took note
//! ```

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use blast_fs::plain::{self, Drift};
use blast_types::{EnvName, GenerationId};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::{Files, GENERATIONS, retire};
use crate::engine::error::{EngineError, at};
use crate::engine::home::lock;

/// How names of trees begin that were written to and are no environment's any more.
const DRIFTED: &str = ".drifted-";

impl Files {
    /// The tree that an environment shows, and what programs did to it. Blocks.
    pub(in crate::engine) fn drift(
        &self,
        env: &EnvName,
    ) -> Result<Option<(GenerationId, Drift)>, EngineError> {
        let Some(generation) = self.shown(env) else {
            return Ok(None);
        };
        let drift = self.drift_of(generation)?;
        Ok(drift.map(|drift| (generation, drift)))
    }

    /// What programs did to a tree; none where there is no tree.
    fn drift_of(&self, generation: GenerationId) -> Result<Option<Drift>, EngineError> {
        let tree = self.tree(generation);
        if !tree.is_dir() {
            return Ok(None);
        }
        let spec = self.spec(generation)?;
        plain::drift(&self.shared.content, &spec, &tree)
            .map(Some)
            .map_err(|source| EngineError::Files {
                path: self.tree_path(generation),
                source,
            })
    }

    /// Takes note that this is dealt with, so that the tree may go as it is.
    pub(in crate::engine) fn note(&self, generation: GenerationId, drift: Drift) {
        lock(&self.shared.noted).insert(generation, drift);
    }

    /// Takes the note back.
    pub(in crate::engine) fn forget_note(&self, generation: GenerationId) {
        lock(&self.shared.noted).remove(&generation);
    }

    /// Writes the tree of an environment anew, without what programs did to it. Blocks.
    pub(in crate::engine) fn renew(&self, generation: GenerationId) -> Result<(), EngineError> {
        let hold = self.hold(generation);
        let _writing = lock(&hold.writing);
        let (tree, spec) = (self.tree(generation), self.spec(generation)?);
        let fresh = self
            .root()
            .join(GENERATIONS)
            .join(self.aside_name(".renewed", generation));
        self.write(&spec, &fresh)?;
        let aside = self
            .root()
            .join(GENERATIONS)
            .join(self.aside_name(".drifted", generation));
        let shown = self.shared.live.join(GENERATIONS);
        let exchanged = renameat2(
            AT_FDCWD,
            &fresh,
            AT_FDCWD,
            &tree,
            RenameFlags::RENAME_EXCHANGE,
        );
        match exchanged {
            Ok(()) => fs::rename(&fresh, &aside).map_err(at(&shown)),
            // A file system that cannot: for a moment there is nothing.
            Err(nix::Error::EINVAL) => fs::rename(&tree, &aside)
                .and_then(|()| fs::rename(&fresh, &tree))
                .map_err(at(&shown)),
            Err(error) => Err(at(&shown)(error.into())),
        }
    }

    /// A tree that an environment's link led to until now: where programs wrote to it, it gives up its name, and
    /// what nobody took note of is kept below `kept`. Says where, if so. Blocks.
    pub(in crate::engine) fn leave(
        &self,
        env: &EnvName,
        generation: GenerationId,
        kept: &Path,
    ) -> Result<Option<PathBuf>, EngineError> {
        let hold = self.hold(generation);
        let _writing = lock(&hold.writing);
        if self.shown(env) == Some(generation) {
            return Ok(None);
        }
        let noted = lock(&self.shared.noted).remove(&generation);
        let tree = self.tree(generation);
        let drift = match self.drift_of(generation)? {
            None => return Ok(None),
            Some(drift) if drift.is_empty() => return Ok(None),
            Some(drift) => drift,
        };
        if noted.as_ref() != Some(&drift) {
            fs::create_dir_all(kept).map_err(at(kept))?;
            let place = tempfile::Builder::new()
                .prefix("")
                .rand_bytes(8)
                .tempdir_in(kept)
                .map_err(at(kept))?
                .keep();
            let to = place.join("tree");
            File::create(place.join("kept")).map_err(at(&place))?;
            fs::rename(&tree, &to).map_err(at(&to))?;
            return Ok(Some(to));
        }
        let aside = self
            .root()
            .join(GENERATIONS)
            .join(self.aside_name(".drifted", generation));
        fs::rename(&tree, &aside).map_err(at(self.tree_path(generation)))?;
        // Programs that were told this path find the generation as it is in the history.
        if self.used().contains(&OsString::from(generation.to_hex())) {
            let spec = self.spec(generation)?;
            self.write(&spec, &tree)?;
        }
        Ok(None)
    }

    /// Whether there are trees that were put out of the way.
    pub(super) fn has_drifted(&self) -> bool {
        self.drifted().next().is_some()
    }

    /// Removes trees that were put out of the way, unless programs are in them.
    pub(super) fn retire_drifted(&self, used: &HashSet<OsString>) -> usize {
        if blast_fs::namespace::is_inside() {
            return 0; // see `used`
        }
        let gone: Vec<_> = self.drifted().filter(|name| !used.contains(name)).collect();
        for name in &gone {
            retire::remove(&self.root().join(GENERATIONS).join(name));
        }
        gone.len()
    }

    fn drifted(&self) -> impl Iterator<Item = OsString> + use<> {
        let entries = fs::read_dir(self.root().join(GENERATIONS));
        let names = entries.into_iter().flatten().flatten();
        names
            .map(|entry| entry.file_name())
            .filter(|name| name.as_encoded_bytes().starts_with(DRIFTED.as_bytes()))
    }

    /// Unlike any that an earlier daemon made.
    fn aside_name(&self, prefix: &str, generation: GenerationId) -> String {
        let serial = self.shared.removed.fetch_add(1, Ordering::Relaxed);
        format!(
            "{prefix}-{}-{}-{serial}",
            generation.short(),
            std::process::id()
        )
    }
}
