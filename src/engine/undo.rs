//! What `revert` and `redo` mean, as pure functions over a history.
//!
//! History only grows: an undo is an operation of its own. Numbers count from 1 without gaps.
//! The state after an undo of operation `x` is the state before `x`, so the search for what to
//! undo next goes on at `x - 1`; a redo stands for what it did again. Each step of a search jumps
//! over all that an undo undid, so that the cost does not grow with the length of the history.
//! Operations that only name a state (saving a snapshot) are passed over.

use blast_store::{Operation, OperationId, OperationKind, StoreError};

/// Reads one operation of a history by its number; `None` where it is no longer kept.
pub(crate) type Read<'a> = &'a dyn Fn(OperationId) -> Result<Option<Operation>, StoreError>;

/// The newest operation at or before `head` whose effect stands, if it may be undone.
/// The first operation of an environment, which made it, may not.
pub(crate) fn undo_candidate(
    read: Read<'_>,
    head: OperationId,
) -> Result<Option<Operation>, StoreError> {
    let mut at = head;
    while let Some(operation) = read(at)? {
        at = match operation.kind {
            OperationKind::Create => return Ok(None),
            OperationKind::Undo { of } => before(of),
            OperationKind::Save { .. } | OperationKind::DeleteSnapshot { .. } => before(at),
            _ => return Ok(Some(operation)),
        };
    }
    Ok(None)
}

/// The newest undo, or way back to a named state, that was not taken back, provided that nothing
/// else happened since.
pub(crate) fn redo_candidate(
    read: Read<'_>,
    head: OperationId,
) -> Result<Option<Operation>, StoreError> {
    let mut at = head;
    while let Some(operation) = read(at)? {
        at = match operation.kind {
            OperationKind::Undo { .. } | OperationKind::Revert { .. } => {
                return Ok(Some(operation));
            }
            OperationKind::Redo { of } => before(of),
            OperationKind::Save { .. } | OperationKind::DeleteSnapshot { .. } => before(at),
            _ => return Ok(None),
        };
    }
    Ok(None)
}

/// The number before; 0, which no operation has, before the first.
fn before(id: OperationId) -> OperationId {
    OperationId(id.0.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use blast_types::GenerationId;

    use super::*;

    /// A history as the store would keep it, with states named by small numbers.
    #[derive(Default)]
    struct Story(Vec<Operation>);

    impl Story {
        fn state(&self) -> GenerationId {
            self.0
                .last()
                .map_or(GenerationId::from_bytes([0; 32]), |operation| {
                    operation.after
                })
        }

        fn add(&mut self, kind: OperationKind, after: GenerationId) {
            let id = OperationId(self.0.len() as u64 + 1);
            let before = (!self.0.is_empty()).then(|| self.state());
            self.0.push(Operation {
                id,
                env: "demo".parse().expect("valid"),
                kind,
                before,
                after,
                at_ms: 0,
                duration_ms: 0,
                who: String::new(),
                command: Vec::new(),
                note: None,
                changes: blast_store::Changes::default(),
            });
        }

        fn head(&self) -> OperationId {
            OperationId(self.0.len() as u64)
        }

        fn read(&self, id: OperationId) -> Option<Operation> {
            self.0
                .get(usize::try_from(id.0).ok()?.checked_sub(1)?)
                .cloned()
        }

        fn undo(&mut self) -> bool {
            let found = undo_candidate(&|id| Ok(self.read(id)), self.head()).expect("in memory");
            let Some(found) = found else { return false };
            let back = found.before.expect("only the first has none");
            self.add(OperationKind::Undo { of: found.id }, back);
            true
        }

        fn redo(&mut self) -> bool {
            let found = redo_candidate(&|id| Ok(self.read(id)), self.head()).expect("in memory");
            let Some(found) = found else { return false };
            let forth = found.before.expect("an undo has a state before it");
            self.add(OperationKind::Redo { of: found.id }, forth);
            true
        }
    }

    fn state(number: u8) -> GenerationId {
        GenerationId::from_bytes([number; 32])
    }

    fn story(installs: u8) -> Story {
        let mut story = Story::default();
        story.add(OperationKind::Create, state(0));
        for number in 1..=installs {
            story.add(OperationKind::Install, state(number));
        }
        story
    }

    #[test]
    fn repeated_undo_goes_back_to_the_beginning_and_redo_all_the_way_forth() {
        let mut story = story(3);
        let mut seen = Vec::new();
        while story.undo() {
            seen.push(story.state());
        }
        assert_eq!(seen, [state(2), state(1), state(0)]);
        seen.clear();
        while story.redo() {
            seen.push(story.state());
        }
        assert_eq!(seen, [state(1), state(2), state(3)]);
    }

    #[test]
    fn a_change_after_an_undo_ends_redo_but_not_undo() {
        let mut story = story(2);
        assert!(story.undo());
        story.add(OperationKind::Install, state(9));
        assert!(!story.redo());
        assert!(story.undo());
        assert_eq!(story.state(), state(1));
        assert!(story.undo());
        assert_eq!(story.state(), state(0));
        assert!(!story.undo());
    }

    #[test]
    fn a_way_back_to_a_named_state_is_taken_back_by_redo_and_by_undo() {
        type Step = fn(&mut Story) -> bool;
        let ways: [(Step, Step); 2] = [(Story::redo, Story::undo), (Story::undo, Story::redo)];
        for (taken_back, and_again) in ways {
            let mut story = story(3);
            story.add(OperationKind::Revert { to: state(1) }, state(1));
            assert!(taken_back(&mut story));
            assert_eq!(story.state(), state(3));
            assert!(and_again(&mut story));
            assert_eq!(story.state(), state(1));
        }
    }

    /// Reads are what revert and redo do beside their one write.
    #[test]
    fn the_next_step_is_found_with_few_reads_in_a_long_history() {
        let count = |story: &Story, find: fn(Read<'_>, OperationId) -> _| {
            let reads = std::cell::Cell::new(0);
            let read = |id| {
                reads.set(reads.get() + 1);
                Ok(story.read(id))
            };
            let found: Result<Option<Operation>, StoreError> = find(&read, story.head());
            assert!(found.expect("in memory").is_some());
            reads.get()
        };
        for installs in [1_u32, 100, 10_000] {
            let mut story = Story::default();
            story.add(OperationKind::Create, state(0));
            for number in 0..installs {
                story.add(OperationKind::Install, state((number % 250) as u8 + 1));
            }
            assert_eq!(count(&story, undo_candidate), 1);
            for _ in 0..installs.min(50) {
                assert!(story.undo());
                assert_eq!(count(&story, redo_candidate), 1);
            }
            for _ in 0..installs.min(50) {
                assert!(story.redo());
            }
            assert!(count(&story, undo_candidate) <= 2);
        }
    }

    /// Against two plain stacks, over every short mix of changes, undos, redos and saves.
    #[test]
    fn equals_two_stacks() {
        for mix in 0..4_u32.pow(8) {
            let mut story = story(0);
            let (mut back, mut forth, mut now) = (Vec::new(), Vec::new(), state(0));
            for step in 0..8 {
                match mix / 4_u32.pow(step) % 4 {
                    0 => {
                        back.push(now);
                        forth.clear();
                        now = state(step as u8 + 1);
                        story.add(OperationKind::Install, now);
                    }
                    1 => {
                        let possible = back.pop();
                        assert_eq!(story.undo(), possible.is_some());
                        if let Some(previous) = possible {
                            forth.push(std::mem::replace(&mut now, previous));
                        }
                    }
                    2 => {
                        let possible = forth.pop();
                        assert_eq!(story.redo(), possible.is_some());
                        if let Some(next) = possible {
                            back.push(std::mem::replace(&mut now, next));
                        }
                    }
                    _ => {
                        let snapshot = "s".parse().expect("valid");
                        story.add(
                            OperationKind::Save {
                                snapshot,
                                generation: now,
                            },
                            now,
                        );
                    }
                }
                assert_eq!(story.state(), now, "mix {mix}, step {step}");
            }
        }
    }
}
