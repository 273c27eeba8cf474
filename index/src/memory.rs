//! A map bounded by the weight of what it holds: the least recently used goes first. Weights are
//! estimates; they keep a long-lived daemon from growing without end, no more.
//!
//! [`Flights`] makes equal requests wait for one another.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug)]
struct Slot<V> {
    value: V,
    weight: usize,
    used: u64,
}

#[derive(Debug)]
pub(crate) struct Bounded<K, V> {
    inner: Mutex<Inner<K, V>>,
    limit: usize,
}

#[derive(Debug)]
struct Inner<K, V> {
    slots: HashMap<K, Slot<V>>,
    weight: usize,
    clock: u64,
}

impl<K: Hash + Eq + Clone, V: Clone> Bounded<K, V> {
    /// An empty map that keeps about `limit` units of weight.
    pub(crate) fn new(limit: usize) -> Self {
        let inner = Inner {
            slots: HashMap::new(),
            weight: 0,
            clock: 0,
        };
        Self {
            inner: Mutex::new(inner),
            limit,
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.clock += 1;
        let now = inner.clock;
        let slot = inner.slots.get_mut(key)?;
        slot.used = now;
        Some(slot.value.clone())
    }

    /// Forgets everything, and gives the memory back.
    pub(crate) fn clear(&self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.weight = 0;
        let forgotten = std::mem::take(&mut inner.slots);
        drop(inner);
        drop(forgotten);
    }

    pub(crate) fn insert(&self, key: K, value: V, weight: usize) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.clock += 1;
        let used = inner.clock;
        if let Some(old) = inner.slots.insert(
            key,
            Slot {
                value,
                weight,
                used,
            },
        ) {
            inner.weight -= old.weight;
        }
        inner.weight += weight;
        if inner.weight > self.limit {
            inner.shrink(self.limit / 4 * 3, used);
        }
    }
}

impl<K: Hash + Eq + Clone, V> Inner<K, V> {
    /// Drops the least recently used down to `target`, but never the one used at `keep`. Shrinking
    /// well below the limit makes the sort rare.
    fn shrink(&mut self, target: usize, keep: u64) {
        let mut by_age: Vec<_> = self
            .slots
            .iter()
            .map(|(key, slot)| (slot.used, key.clone()))
            .collect();
        by_age.sort_unstable_by_key(|(used, _)| *used);
        for (used, key) in by_age {
            if self.weight <= target || used == keep {
                break;
            }
            if let Some(gone) = self.slots.remove(&key) {
                self.weight -= gone.weight;
            }
        }
    }
}

/// One lock per key in use.
#[derive(Debug)]
pub(crate) struct Flights<K>(Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>);

impl<K> Default for Flights<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq + Clone> Flights<K> {
    /// Waits until nobody else works on `key`. Keep the guard until the result is in a cache.
    pub(crate) async fn board(&self, key: &K) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = {
            let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if flights.len() > 1024 {
                // A lock that only the map holds is nobody's; sweeping now and then is enough.
                flights.retain(|_, lock| Arc::strong_count(lock) > 1);
            }
            flights.entry(key.clone()).or_default().clone()
        };
        lock.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let map = Bounded::new(100);
        for key in 0..10 {
            map.insert(key, key, 10);
        }
        assert_eq!(map.get(&0), Some(0));
        map.insert(10, 10, 10);
        assert_eq!(map.get(&0), Some(0), "used a moment ago");
        assert_eq!(map.get(&1), None);
        assert_eq!(map.get(&10), Some(10));
    }

    #[test]
    fn what_is_too_heavy_still_serves_until_the_next() {
        let map = Bounded::new(10);
        map.insert("a", 1, 50);
        assert_eq!(map.get(&"a"), Some(1));
        map.insert("b", 2, 1);
        assert_eq!((map.get(&"a"), map.get(&"b")), (None, Some(2)));
    }

    #[tokio::test]
    async fn equal_keys_wait_and_others_do_not() {
        let flights = Flights::default();
        let first = flights.board(&1).await;
        drop(flights.board(&2).await);
        let mut second = Box::pin(flights.board(&1));
        assert!(futures::poll!(second.as_mut()).is_pending());
        drop(first);
        drop(second.await);
    }
}
