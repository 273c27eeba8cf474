//! Bytecode that is handed over before its layer is done: small layers of their own, numbered above all
//! that the store numbers.
//!
//! The kernel may know files of a part for as long as the mount lives, whichever process serves it. So
//! parts are files, named `<number>-<layer>`, written once and never changed; the next process finds
//! them and goes on counting. With the mount they end.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blast_store::{Layer, LayerBuilder, LayerNumber};

/// Numbers of parts: above all that the store gives.
const FIRST: u32 = 1 << 31;

/// The parts of one mount.
#[derive(Debug)]
pub(super) struct Parts {
    folder: PathBuf,
    open: HashMap<LayerNumber, Arc<Layer>>,
    next: u32,
}

impl Parts {
    /// The parts in this folder, which is made on first need. `keep` those that are there, for a mount that
    /// is taken over; else they are deleted.
    pub(super) fn open(folder: PathBuf, keep: bool) -> Self {
        let mut parts = Self {
            folder,
            open: HashMap::new(),
            next: FIRST,
        };
        if keep {
            parts.find();
        } else if let Err(error) = fs::remove_dir_all(&parts.folder)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "old parts of bytecode cannot be deleted");
            // They are not counted again, but neither may their numbers be.
            parts.find();
            parts.open.clear();
        }
        parts
    }

    fn find(&mut self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let Some(number) = number_of(&entry.path()) else {
                continue;
            };
            self.next = self.next.max(number.0.saturating_add(1));
            if let Some(layer) = layer_of(&entry.path()) {
                self.open.insert(number, Arc::new(layer));
            } else {
                tracing::warn!(%number, "a part of bytecode cannot be read back");
            }
        }
    }

    /// Adds a part. None where it cannot be kept: then it is not handed over.
    pub(super) fn add(&mut self, layer: LayerBuilder) -> Option<(LayerNumber, Arc<Layer>)> {
        let encoded = layer.build();
        let number = LayerNumber(self.next);
        let path = self.folder.join(format!("{number}-{}", encoded.id));
        let written =
            fs::create_dir_all(&self.folder).and_then(|()| fs::write(&path, &encoded.bytes));
        if let Err(error) = written {
            tracing::warn!(%error, "a part of bytecode cannot be written");
            return None;
        }
        self.next = self.next.checked_add(1)?;
        let layer = Arc::new(layer_of(&path)?);
        self.open.insert(number, Arc::clone(&layer));
        Some((number, layer))
    }

    /// The part with this number.
    pub(super) fn get(&self, number: LayerNumber) -> Option<Arc<Layer>> {
        self.open.get(&number).cloned()
    }
}

fn number_of(path: &Path) -> Option<LayerNumber> {
    let (number, _) = path.file_name()?.to_str()?.split_once('-')?;
    number.parse().ok().map(LayerNumber)
}

/// A part that was cut short by the end of its writer was shown to nobody.
fn layer_of(path: &Path) -> Option<Layer> {
    let (_, id) = path.file_name()?.to_str()?.split_once('-')?;
    Layer::map(path, id.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(text: &str) -> LayerBuilder {
        let mut builder = LayerBuilder::new();
        builder
            .inline("lib/__pycache__/a.pyc", 0o644, 0, text.as_bytes())
            .expect("valid");
        builder
    }

    #[test]
    fn the_next_process_has_the_parts_and_gives_other_numbers() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let path = folder.path().join("parts");
        let mut parts = Parts::open(path.clone(), true);
        let (number, first) = parts.add(layer("one")).expect("written");
        drop(parts);
        fs::write(path.join(format!("{}-{}", FIRST + 1, first.id())), "cut").expect("written");

        let mut parts = Parts::open(path.clone(), true);
        let found = parts.get(number).expect("still there");
        assert_eq!(found.id(), first.id());
        let (other, _) = parts.add(layer("two")).expect("written");
        assert_eq!(other.0, FIRST + 2);
        drop(parts);

        let parts = Parts::open(path.clone(), false);
        assert!(parts.get(number).is_none());
        assert!(!path.exists());
    }
}
