//! What is compiled next.
//!
//! A program that imports what is not compiled compiles for itself. As long as that goes on, one
//! helper works a few sources ahead of it, in the directory where the program is, and hands over
//! what it has at once; the other processors are the program's. In quiet times all helpers work,
//! first on what was asked for.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use blast_store::{EntryIndex, LayerNumber};

/// A layer and the tag of the bytecode.
pub(in crate::engine) type Key = (LayerNumber, String);

/// Programs are importing as long as one asked within this time; a big module takes a while to
/// compile, and nobody asks meanwhile.
const ASKED_LATELY: Duration = Duration::from_millis(500);

/// Importing that takes longer than this no longer holds up the helpers.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sources that a helper compiles at a time while programs import.
const BATCH: usize = 4;

/// Sources that a helper compiles at a time in quiet times.
const SLICE: usize = 32;

/// Directories that were asked for and are remembered.
const RECENT: usize = 32;

/// Some sources of one layer.
#[derive(Debug)]
pub(super) struct Slice {
    pub(super) key: Key,
    pub(super) sources: Vec<EntryIndex>,
    /// A program is waiting for what is made of them.
    pub(super) urgent: bool,
}

/// What a helper does next.
#[derive(Debug)]
pub(super) enum Next {
    /// Compile this; [`Queue::done`] is to be called afterwards.
    Work(Slice),
    /// Ask again after a moment.
    Wait,
    /// There is nothing left.
    End,
}

/// Sources that wait, by layer and directory.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// In the order in which layers came.
    order: VecDeque<Key>,
    waiting: HashMap<Key, BTreeMap<EntryIndex, VecDeque<EntryIndex>>>,
    /// Directories that programs look in, the latest last.
    asked: VecDeque<(Key, EntryIndex)>,
    /// When the present importing began, and when somebody asked last.
    importing: Option<(Instant, Instant)>,
    running: usize,
}

impl Queue {
    /// How much waits: sources, and layers, which have a turn even without.
    pub(super) fn len(&self) -> usize {
        let sources = self.waiting.values().flat_map(BTreeMap::values);
        self.order.len() + sources.map(VecDeque::len).sum::<usize>()
    }

    /// Adds a layer's sources, each with its directory.
    pub(super) fn add(&mut self, key: &Key, sources: &[(EntryIndex, EntryIndex)]) {
        let waiting = self.waiting.entry(key.clone()).or_default();
        for &(directory, source) in sources {
            waiting.entry(directory).or_default().push_back(source);
        }
        self.order.push_back(key.clone());
    }

    /// A program looked for bytecode in this directory in vain.
    pub(super) fn ask(&mut self, key: Key, directory: EntryIndex, now: Instant) {
        let began = match self.importing {
            Some((began, last)) if now.duration_since(last) < ASKED_LATELY => began,
            _ => now,
        };
        self.importing = Some((began, now));
        let place = (key, directory);
        self.asked.retain(|other| *other != place);
        self.asked.push_back(place);
        if self.asked.len() > RECENT {
            self.asked.pop_front();
        }
    }

    /// What to do now.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        let Some(first) = self.order.front().cloned() else {
            return Next::End;
        };
        let urgent = self.is_importing(now);
        if urgent && self.running > 0 {
            return Next::Wait;
        }
        let most = if urgent { BATCH } else { SLICE };
        let asked: Vec<_> = self.asked.iter().rev().cloned().collect();
        let here = asked.iter().find_map(|(key, directory)| {
            let sources = self.take(key, Some(*directory), most);
            (!sources.is_empty()).then(|| (key.clone(), sources))
        });
        let (key, sources) = here.unwrap_or_else(|| {
            let beside = asked.into_iter().map(|(key, _)| key);
            let key = beside
                .into_iter()
                .find(|key| self.waiting.contains_key(key));
            let key = key.unwrap_or(first);
            let sources = self.take(&key, None, most);
            (key, sources)
        });
        self.running += 1;
        Next::Work(Slice {
            key,
            sources,
            urgent,
        })
    }

    /// Up to `most` sources of a layer, of one directory or of its first ones.
    fn take(&mut self, key: &Key, directory: Option<EntryIndex>, most: usize) -> Vec<EntryIndex> {
        let mut taken = Vec::new();
        let Some(waiting) = self.waiting.get_mut(key) else {
            return taken;
        };
        while taken.len() < most {
            let next = directory.or_else(|| waiting.keys().next().copied());
            let Some((place, sources)) =
                next.and_then(|place| Some((place, waiting.get_mut(&place)?)))
            else {
                break;
            };
            taken.extend(sources.drain(..sources.len().min(most - taken.len())));
            if sources.is_empty() {
                waiting.remove(&place);
            }
        }
        // A layer without sources has a turn of its own, which ends it.
        if waiting.is_empty() && (directory.is_none() || !taken.is_empty()) {
            self.waiting.remove(key);
            self.order.retain(|other| other != key);
        }
        taken
    }

    /// A slice is compiled.
    pub(super) fn done(&mut self) {
        self.running -= 1;
    }

    /// Keeps only what `is_needed`.
    pub(super) fn retain(&mut self, is_needed: impl Fn(LayerNumber) -> bool) {
        self.order.retain(|key| is_needed(key.0));
        self.waiting.retain(|key, _| is_needed(key.0));
        self.asked.retain(|(key, _)| is_needed(key.0));
    }

    fn is_importing(&self, now: Instant) -> bool {
        self.importing.is_some_and(|(began, last)| {
            now.duration_since(last) < ASKED_LATELY && now.duration_since(began) < PATIENCE
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(layer: u32) -> Key {
        (LayerNumber(layer), "tag".to_owned())
    }

    /// Sources 10, 11, … of directory 1 and 20, 21, … of directory 2.
    fn queue(layers: &[u32]) -> Queue {
        let mut queue = Queue::default();
        for &layer in layers {
            let sources: Vec<_> = [(1, 10), (1, 11), (2, 20), (2, 21)]
                .map(|(directory, source)| (EntryIndex(directory), EntryIndex(source)))
                .into();
            queue.add(&key(layer), &sources);
        }
        queue
    }

    fn next(queue: &mut Queue, now: Instant) -> Option<(u32, Vec<u32>)> {
        match queue.next(now) {
            Next::Work(slice) => Some((
                slice.key.0.0,
                slice.sources.iter().map(|source| source.0).collect(),
            )),
            Next::Wait | Next::End => None,
        }
    }

    #[test]
    fn while_programs_import_one_helper_works_where_they_are() {
        let now = Instant::now();
        let mut queue = queue(&[1, 2]);
        queue.ask(key(2), EntryIndex(2), now);
        assert_eq!(next(&mut queue, now), Some((2, vec![20, 21])));
        assert!(matches!(queue.next(now), Next::Wait), "one at a time");
        queue.done();
        assert_eq!(
            next(&mut queue, now),
            Some((2, vec![10, 11])),
            "beside it comes next"
        );
        queue.done();
        assert_eq!(next(&mut queue, now), Some((1, vec![10, 11, 20, 21])));
        queue.done();
        assert!(matches!(queue.next(now), Next::End));
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn in_quiet_times_all_work_and_nothing_is_urgent() {
        let now = Instant::now();
        let mut queue = queue(&[1, 2]);
        queue.ask(key(2), EntryIndex(1), now);
        let later = now + ASKED_LATELY;
        let Next::Work(slice) = queue.next(later) else {
            panic!("there is work")
        };
        assert!(!slice.urgent);
        assert_eq!(slice.key, key(2));
        assert_eq!(next(&mut queue, later), Some((2, vec![20, 21])));
        assert_eq!(next(&mut queue, later), Some((1, vec![10, 11, 20, 21])));
    }

    #[test]
    fn endless_importing_is_not_attended_to_for_ever() {
        let began = Instant::now();
        let mut queue = queue(&[1, 2]);
        let mut now = began;
        while now < began + PATIENCE {
            queue.ask(key(1), EntryIndex(1), now);
            now += ASKED_LATELY / 2;
        }
        queue.ask(key(1), EntryIndex(1), now);
        let Next::Work(slice) = queue.next(now) else {
            panic!("there is work")
        };
        assert!(!slice.urgent);
    }

    #[test]
    fn a_layer_without_sources_gets_its_turn_all_the_same() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.add(&key(1), &[]);
        queue.ask(key(1), EntryIndex(1), now);
        assert_eq!(next(&mut queue, now), Some((1, vec![])));
        assert!(matches!(queue.next(now), Next::Wait | Next::End));
    }

    #[test]
    fn what_is_not_needed_any_more_is_dropped() {
        let mut queue = queue(&[1, 2]);
        queue.retain(|layer| layer.0 == 2);
        assert_eq!(
            next(&mut queue, Instant::now()).map(|(layer, _)| layer),
            Some(2)
        );
    }
}
