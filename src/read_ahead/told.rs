//! When the process that reads ahead was last told of a layer.
//!
//! The kernel may drop bytes and keep the names that lead to them. Then programs read a layer again and look nothing up, so a
//! read long after the last telling begins another one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use blast_store::{LayerNumber, TreeNumber};

use super::lock;

/// What was read ahead is read by its program, or was in vain, within this.
const DONE: Duration = Duration::from_secs(5);

/// Layers that are remembered at most.
const MOST: usize = 4096;

/// The last telling of each layer: in which tree, and when.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<HashMap<LayerNumber, (TreeNumber, Instant)>>);

impl Told {
    /// It is told now.
    pub(super) fn begun(&self, tree: TreeNumber, layer: LayerNumber, now: Instant) {
        let mut told = lock(&self.0);
        if told.len() >= MOST {
            told.clear();
        }
        told.insert(layer, (tree, now));
    }

    /// A program reads of it: the tree in which it is to be told again, if it is time to. That counts as told.
    pub(super) fn due(&self, layer: LayerNumber, now: Instant) -> Option<TreeNumber> {
        let mut told = lock(&self.0);
        let Entry::Occupied(mut there) = told.entry(layer) else {
            return None;
        };
        let (tree, last) = there.get_mut();
        (now.saturating_duration_since(*last) > DONE).then(|| {
            *last = now;
            *tree
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_told_again_when_it_is_read_long_after_and_in_the_last_tree() {
        let told = Told::default();
        let (layer, now) = (LayerNumber(1), Instant::now());
        assert_eq!(told.due(layer, now), None, "of no tree");
        told.begun(TreeNumber(1), layer, now);
        told.begun(TreeNumber(2), layer, now);
        assert_eq!(told.due(layer, now + DONE), None);
        let after = now + DONE * 2;
        assert_eq!(told.due(layer, after), Some(TreeNumber(2)));
        assert_eq!(told.due(layer, after), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let told = Told::default();
        let now = Instant::now();
        for number in (0..).take(MOST + 1) {
            told.begun(TreeNumber(1), LayerNumber(number), now);
        }
        assert_eq!(lock(&told.0).len(), 1);
    }
}
