//! A bounded cache of values that can be computed again.
//!
//! Two maps stand for two ages. What is used moves to the young one; when that is full it becomes
//! the old one and what was old is dropped. An entry used at least once per `capacity` insertions
//! stays, no clock or list is kept, and each operation is a hash look-up or two.

use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;

/// Locks, also after another thread panicked: what these locks guard is valid at every step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A cache of at most `2 * capacity` values.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    capacity: usize,
    ages: Mutex<Ages<K, V>>,
}

#[derive(Debug)]
struct Ages<K, V> {
    young: FxHashMap<K, V>,
    old: FxHashMap<K, V>,
}

impl<K: Eq + Hash + Copy, V: Clone> Recent<K, V> {
    /// An empty cache; `capacity` is the number of values in each age.
    pub(crate) fn new(capacity: usize) -> Self {
        let ages = Ages {
            young: FxHashMap::default(),
            old: FxHashMap::default(),
        };
        Self {
            capacity: capacity.max(1),
            ages: Mutex::new(ages),
        }
    }

    /// The value for this key, if it is still here.
    pub(crate) fn get(&self, key: K) -> Option<V> {
        let mut ages = lock(&self.ages);
        if let Some(value) = ages.young.get(&key) {
            return Some(value.clone());
        }
        let value = ages.old.remove(&key)?;
        self.put(&mut ages, key, value.clone());
        Some(value)
    }

    /// Keeps a value. Values for one key are equal by construction, so that it does not matter
    /// which of two racing threads comes last.
    pub(crate) fn insert(&self, key: K, value: V) {
        self.put(&mut lock(&self.ages), key, value);
    }

    /// The value for this key, computed without holding the lock where it is not here.
    pub(crate) fn get_or_try<E>(
        &self,
        key: K,
        compute: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, E> {
        if let Some(value) = self.get(key) {
            return Ok(value);
        }
        let value = compute()?;
        self.insert(key, value.clone());
        Ok(value)
    }

    /// Forgets everything, and gives the memory back.
    pub(crate) fn clear(&self) {
        let mut ages = lock(&self.ages);
        let forgotten = (
            std::mem::take(&mut ages.young),
            std::mem::take(&mut ages.old),
        );
        drop(ages);
        drop(forgotten);
    }

    fn put(&self, ages: &mut Ages<K, V>, key: K, value: V) {
        if ages.young.len() >= self.capacity {
            ages.old = std::mem::take(&mut ages.young);
        }
        ages.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let cache = Recent::new(4);
        cache.insert(0, "kept");
        for key in 1..100 {
            cache.insert(key, "passing");
            assert_eq!(cache.get(0), Some("kept"));
        }
        assert_eq!(cache.get(1), None);
        let ages = lock(&cache.ages);
        assert!(ages.young.len() + ages.old.len() <= 8);
    }

    #[test]
    fn a_failed_computation_leaves_nothing() {
        let cache = Recent::<u8, u8>::new(1);
        assert_eq!(cache.get_or_try(1, || Err("no")), Err("no"));
        assert_eq!(cache.get_or_try(1, || Ok::<_, ()>(7)), Ok(7));
        assert_eq!(cache.get_or_try(1, || Err("not asked")), Ok(7));
    }
}
