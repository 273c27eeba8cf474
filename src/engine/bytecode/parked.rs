//! Bytecode of layers that no environment needs any more before all of it is compiled.
//!
//! The work stops, and what is done is kept as parts: an environment that is made again, or the next one with the
//! layer, shows it at once, and only the rest is compiled. Parked bytecode costs a file below `parts/`
//! and no memory; like all parts it ends with the mount.

use std::collections::HashMap;
use std::sync::Arc;

use blast_store::{EntryIndex, EntryKind, Layer, LayerBuilder, LayerError, LayerNumber, Staging};

use super::queue::Key;
use super::sources::bytecode_path;
use super::{Compiled, Content, Flavour, Job, stage};

/// Layers that hold bytecode, by the numbers under which the view shows them.
pub(super) type Shown = Vec<(LayerNumber, Arc<Layer>)>;

/// What is kept of dropped jobs.
#[derive(Default)]
pub(super) struct Parked {
    /// Jobs whose results are still in memory and in their stagings.
    leaving: Vec<(Key, Job)>,
    kept: HashMap<Key, Shown>,
}

/// What an earlier job of the same layer left.
#[derive(Default)]
pub(super) struct Found {
    pub(super) staging: Option<Arc<Staging>>,
    pub(super) compiled: Vec<Compiled>,
    pub(super) parts: Shown,
    pub(super) resumed: Shown,
}

impl Parked {
    /// Takes over what a job has done, if anything.
    pub(super) fn leave(&mut self, key: Key, job: Job) {
        if !job.compiled.is_empty() {
            self.leaving.push((key, job));
        } else if !job.resumed.is_empty() {
            self.kept.insert(key, job.resumed);
        }
    }

    /// A job whose results are to be written down, with [`write`].
    pub(super) fn next(&mut self) -> Option<(Key, Job)> {
        self.leaving.pop()
    }

    /// How many jobs [`Parked::next`] has.
    pub(super) fn leaving(&self) -> usize {
        self.leaving.len()
    }

    pub(super) fn keep(&mut self, key: Key, shown: Shown) {
        self.kept.insert(key, shown);
    }

    /// What there is of a layer. Not kept any longer.
    pub(super) fn take(&mut self, key: &Key) -> Found {
        let kept = self.kept.remove(key);
        let leaving = self.leaving.iter().position(|(other, _)| other == key);
        if let Some((_, job)) = leaving.map(|at| self.leaving.swap_remove(at)) {
            return Found {
                staging: job.staging,
                compiled: job.compiled,
                parts: job.parts,
                resumed: job.resumed,
            };
        }
        Found {
            resumed: kept.unwrap_or_default(),
            ..Found::default()
        }
    }
}

/// Which of these sources no layer of `resumed` has the bytecode of.
pub(super) fn missing(
    resumed: &Shown,
    (layer, flavour): (&Layer, &Flavour),
    sources: &[EntryIndex],
) -> Vec<EntryIndex> {
    let is_missing = |&source: &EntryIndex| {
        let path = bytecode_path(layer, source, flavour);
        !resumed.iter().any(|(_, part)| part.find(&path).is_some())
    };
    sources.iter().copied().filter(is_missing).collect()
}

/// All that a job compiled, as one layer; none where it cannot be read back.
pub(super) fn written(job: &Job) -> Option<LayerBuilder> {
    let staging = job.staging.as_ref()?;
    let mut builder = LayerBuilder::new();
    for Compiled {
        path,
        mtime,
        content,
    } in &job.compiled
    {
        let bytes = match content {
            Content::Inline(bytes) => bytes.clone(),
            Content::Blob(blob, _) => staging.read_blob(*blob).ok()?,
        };
        builder.inline(path, 0o644, *mtime, bytes).ok()?;
    }
    Some(builder)
}

/// Adds the bytecode of an earlier job to a companion.
pub(super) fn add(
    builder: &mut LayerBuilder,
    staging: &Staging,
    resumed: &Shown,
) -> Result<(), super::PublishError> {
    for (_, layer) in resumed {
        for (index, entry) in layer.entries() {
            if let EntryKind::Inline { bytes } = entry.kind {
                let path = layer.path(index);
                stage(staging, bytes)?.add_to(builder, &path, entry.mtime)?;
            }
        }
    }
    Ok(())
}

impl Content {
    pub(super) fn add_to(
        self,
        builder: &mut LayerBuilder,
        path: &str,
        mtime: i64,
    ) -> Result<(), LayerError> {
        match self {
            Self::Inline(bytes) => builder.inline(path, 0o644, mtime, bytes),
            Self::Blob(blob, size) => builder.file(path, 0o644, mtime, blob, size),
        }
    }
}
