//! What is compiled next.
//!
//! While programs look for bytecode in vain they are compiling for themselves, and are further by
//! the time a helper is done with the same layer. So as long as that goes on, one helper works,
//! and on layers that nobody asked for yet: they may come next. When it is quiet again all helpers
//! work, first on what was asked for.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use blast_store::{EntryIndex, LayerNumber};

/// A layer and the tag of the bytecode.
pub(super) type Key = (LayerNumber, String);

/// Programs are importing as long as one asked within this time.
const ASKED_LATELY: Duration = Duration::from_millis(150);

/// Importing that takes longer than this no longer holds up the helpers.
const PATIENCE: Duration = Duration::from_secs(10);

/// Some sources of one layer.
#[derive(Debug)]
pub(super) struct Slice {
    pub(super) key: Key,
    pub(super) sources: Vec<EntryIndex>,
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

/// Slices that wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Slice>,
    asked: HashSet<Key>,
    /// When the present importing began, and when somebody asked last.
    importing: Option<(Instant, Instant)>,
    running: usize,
}

impl Queue {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Adds slices at the end.
    pub(super) fn extend(&mut self, slices: impl IntoIterator<Item = Slice>) {
        self.waiting.extend(slices);
    }

    /// A program looked for bytecode of this layer in vain.
    pub(super) fn ask(&mut self, key: Key, now: Instant) {
        let began = match self.importing {
            Some((began, last)) if now.duration_since(last) < ASKED_LATELY => began,
            _ => now,
        };
        self.importing = Some((began, now));
        self.asked.insert(key);
    }

    /// What to do now.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        if self.waiting.is_empty() {
            return Next::End;
        }
        let is_asked = |slice: &Slice| self.asked.contains(&slice.key);
        let position = if self.is_importing(now) {
            let other = self.waiting.iter().position(|slice| !is_asked(slice));
            other.filter(|_| self.running == 0)
        } else {
            self.waiting.iter().position(is_asked).or(Some(0))
        };
        let Some(slice) = position.and_then(|at| self.waiting.remove(at)) else {
            return Next::Wait;
        };
        self.running += 1;
        Next::Work(slice)
    }

    /// A slice is compiled.
    pub(super) fn done(&mut self) {
        self.running -= 1;
    }

    /// Keeps only what `is_needed`.
    pub(super) fn retain(&mut self, is_needed: impl Fn(LayerNumber) -> bool) {
        self.waiting.retain(|slice| is_needed(slice.key.0));
        self.asked.retain(|key| is_needed(key.0));
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

    fn slice(layer: u32) -> Slice {
        Slice {
            key: key(layer),
            sources: Vec::new(),
        }
    }

    fn key(layer: u32) -> Key {
        (LayerNumber(layer), "tag".to_owned())
    }

    fn next(queue: &mut Queue, now: Instant) -> Option<u32> {
        match queue.next(now) {
            Next::Work(slice) => Some(slice.key.0.0),
            Next::Wait | Next::End => None,
        }
    }

    #[test]
    fn while_programs_import_one_helper_works_on_what_nobody_asked_for() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.extend([slice(1), slice(2), slice(3)]);
        queue.ask(key(1), now);
        assert_eq!(next(&mut queue, now), Some(2));
        assert!(matches!(queue.next(now), Next::Wait), "one at a time");
        queue.done();
        assert_eq!(next(&mut queue, now), Some(3));
        queue.done();
        assert!(
            matches!(queue.next(now), Next::Wait),
            "only what was asked for is left"
        );
        assert_eq!(next(&mut queue, now + ASKED_LATELY), Some(1));
        assert!(matches!(queue.next(now), Next::End));
    }

    #[test]
    fn in_quiet_times_what_was_asked_for_comes_first() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.extend([slice(1), slice(2), slice(3)]);
        queue.ask(key(3), now);
        let later = now + ASKED_LATELY;
        let order: Vec<_> = (0..3).filter_map(|_| next(&mut queue, later)).collect();
        assert_eq!(order, [3, 1, 2]);
    }

    #[test]
    fn endless_importing_does_not_hold_up_the_helpers_for_ever() {
        let began = Instant::now();
        let mut queue = Queue::default();
        queue.extend([slice(1)]);
        let mut now = began;
        while now < began + PATIENCE {
            queue.ask(key(1), now);
            assert!(matches!(queue.next(now), Next::Wait));
            now += ASKED_LATELY / 2;
        }
        queue.ask(key(1), now);
        assert_eq!(next(&mut queue, now), Some(1));
    }
}
