//! What collection must leave alone though no environment refers to it yet: all that running
//! stagings and transactions wrote, found, or looked up.
//!
//! A [`Guard`] lives in every staging and transaction. While any guard lives, objects that are
//! touched stay pinned; when the last one ends, all pins go. So whoever keeps a staging or a
//! transaction alive from the first lookup to the publication loses nothing in between.
//!
//! Concurrency: touch and use an object under the read side of the store's gate; collection takes
//! the write side, and sees every pin of those that relied on an object.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashSet;

use crate::objects::ObjectId;

/// The pins of one store.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    guards: usize,
    objects: FxHashSet<ObjectId>,
}

/// Keeps all pins for as long as it lives.
#[derive(Debug)]
pub(crate) struct Guard {
    pins: Arc<Pins>,
}

impl Pins {
    /// Begins to pin what is touched.
    pub(crate) fn guard(self: &Arc<Self>) -> Guard {
        self.lock().guards += 1;
        Guard {
            pins: Arc::clone(self),
        }
    }

    /// Pins an object, where anybody is there to pin it for.
    pub(crate) fn touch(&self, id: impl Into<ObjectId>) {
        let mut state = self.lock();
        if state.guards > 0 {
            state.objects.insert(id.into());
        }
    }

    /// The objects pinned now.
    pub(crate) fn pinned(&self) -> Vec<ObjectId> {
        self.lock().objects.iter().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut state = self.pins.lock();
        state.guards -= 1;
        if state.guards == 0 {
            state.objects = FxHashSet::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blast_types::BlobId;

    #[test]
    fn pins_last_until_the_last_guard_ends() {
        let pins = Arc::new(Pins::default());
        pins.touch(BlobId::of(b"nobody cares"));
        assert_eq!(pins.pinned(), []);
        let first = pins.guard();
        let id = BlobId::of(b"kept");
        pins.touch(id);
        let second = pins.guard();
        drop(first);
        assert_eq!(pins.pinned(), [ObjectId::Blob(id)]);
        drop(second);
        assert_eq!(pins.pinned(), []);
    }
}
