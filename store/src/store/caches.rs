//! What the store remembers of its records and objects. Each map is behind a lock of its own,
//! held for one lookup or one insertion.

use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};

use blast_types::{GenerationId, LayerId};
use rustc_hash::FxHashMap;

use crate::{Generation, Layer, LayerNumber, TreeNumber, TreeRecord, WheelKey, WheelRecord};

/// More decoded generations than this are never worked on at a time.
const GENERATIONS: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Caches {
    pub(crate) layers: Cache<LayerId, Arc<Layer>>,
    pub(crate) layer_numbers: Cache<LayerId, LayerNumber>,
    pub(crate) layers_by_number: Cache<LayerNumber, LayerId>,
    pub(crate) generations: Cache<GenerationId, Arc<Generation>>,
    pub(crate) trees: Cache<GenerationId, TreeRecord>,
    pub(crate) trees_by_number: Cache<TreeNumber, TreeRecord>,
    pub(crate) wheels: Cache<WheelKey, Arc<WheelRecord>>,
}

/// A map that any thread may fill.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    map: RwLock<FxHashMap<K, V>>,
}

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self {
            map: RwLock::default(),
        }
    }
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        self.map
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned()
    }

    /// Keeps the value; where another thread was first, its value stays and is given back.
    pub(crate) fn insert(&self, key: K, value: V) -> V {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        map.entry(key).or_insert(value).clone()
    }

    pub(crate) fn replace(&self, key: K, value: V) {
        self.map
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, value);
    }

    /// Forgets everything, and gives the memory back.
    pub(crate) fn clear(&self) {
        let forgotten =
            std::mem::take(&mut *self.map.write().unwrap_or_else(PoisonError::into_inner));
        drop(forgotten);
    }

    fn len(&self) -> usize {
        self.map
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

impl Caches {
    pub(crate) fn keep_generation(&self, id: GenerationId, generation: Arc<Generation>) {
        if self.generations.len() >= GENERATIONS {
            self.generations.clear();
        }
        self.generations.insert(id, generation);
    }

    /// Forgets everything: collection took some of it. Only `Arc`s in use live on.
    pub(crate) fn clear(&self) {
        self.layers.clear();
        self.layer_numbers.clear();
        self.layers_by_number.clear();
        self.generations.clear();
        self.trees.clear();
        self.trees_by_number.clear();
        self.wheels.clear();
    }
}
