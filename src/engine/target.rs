//! Which state or operation somebody means by what they typed.
//!
//! A state is named by the number of the operation after which it was (`12`), by `@` (the present
//! one) or `@{-N}` (so many operations before), by a snapshot's name, or by the beginning of a
//! generation's name; with `ENV@` before it, in the history of another environment. A point in time
//! means the state that there was then. All of these cost a few look-ups, however long the history
//! is.

use blast_store::{EnvState, InterpreterRef, Operation, OperationId, StoreError};
use blast_types::{EnvName, GenerationId, SnapshotName};

use super::error::EngineError;
use super::history::operation;
use super::home::Home;
use super::undo::Read;

/// Shorter beginnings of a generation's name are taken for mistakes.
const SHORTEST_PREFIX: usize = 4;

/// The environment and the state that a text names; `env` where the text names none.
pub(crate) fn anywhere(
    home: &Home,
    env: &EnvName,
    target: &str,
) -> Result<(EnvState, GenerationId), EngineError> {
    if let Some((other, rest)) = elsewhere(target) {
        let state = home.env(&other)?;
        let generation = state_named(home, &state, &rest)?;
        return Ok((state, generation));
    }
    let state = home.env(env)?;
    let generation = state_named(home, &state, target)?;
    Ok((state, generation))
}

/// Environment and state of `ENV@STATE`; `ENV@` is its present state, `ENV@{-N}` as `@{-N}` there.
fn elsewhere(target: &str) -> Option<(EnvName, String)> {
    let (env, rest) = target.split_once('@')?;
    let env = env.parse().ok()?;
    let here = rest.is_empty() || rest.starts_with('{');
    Some((
        env,
        if here {
            format!("@{rest}")
        } else {
            rest.to_owned()
        },
    ))
}

/// A state of this environment.
pub(crate) fn state_named(
    home: &Home,
    state: &EnvState,
    target: &str,
) -> Result<GenerationId, EngineError> {
    if let Some(found) = relative(home, state, target)? {
        return Ok(found.after);
    }
    let env = &state.record.name;
    if let Ok(name) = target.parse::<SnapshotName>()
        && let Some(snapshot) = find_snapshot(home, env, &name)?
    {
        return Ok(snapshot.generation);
    }
    if let Some(found) = numbered(home, env, target)? {
        return Ok(found.after);
    }
    by_prefix(home, state, target)?.ok_or_else(|| unknown(env, target))
}

/// An operation of this environment: its number, `@` (the newest) or `@{-N}`.
pub(crate) fn operation_named(
    home: &Home,
    state: &EnvState,
    target: &str,
) -> Result<Operation, EngineError> {
    let env = &state.record.name;
    if let Some(found) = relative(home, state, target)? {
        return Ok(found);
    }
    numbered(home, env, target)?.ok_or_else(|| EngineError::NoSuchOperation {
        target: target.to_owned(),
        env: env.clone(),
    })
}

/// The newest operation at that time, in milliseconds since the Unix epoch. Where the clock was set
/// back in between, one of those that could be meant.
pub(crate) fn operation_at(
    home: &Home,
    state: &EnvState,
    at_ms: i64,
) -> Result<Operation, EngineError> {
    let env = &state.record.name;
    let found = newest_at(&|id| operation(home, env, id), state.operation, at_ms)?;
    found.ok_or_else(|| EngineError::TooLongAgo {
        env: env.clone(),
        at_ms,
    })
}

fn newest_at(
    read: Read<'_>,
    head: OperationId,
    at_ms: i64,
) -> Result<Option<Operation>, StoreError> {
    let mut found = None;
    // Of the operations after `low` some may be meant, of those after `high` none.
    let (mut low, mut high) = (0, head.0);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        match read(OperationId(middle))? {
            Some(later) if later.at_ms > at_ms => high = middle - 1,
            Some(then) => {
                low = middle;
                found = Some(then);
            }
            None => low = middle, // forgotten, and so older than all that are kept
        }
    }
    Ok(found)
}

/// The snapshot of this name, if there is one.
pub(crate) fn find_snapshot(
    home: &Home,
    env: &EnvName,
    name: &SnapshotName,
) -> Result<Option<blast_store::Snapshot>, StoreError> {
    match home.store.snapshot(env, name) {
        Err(StoreError::NoSuchSnapshot { .. }) => Ok(None),
        found => found.map(Some),
    }
}

/// What `@` and `@{-N}` mean; `None` for other texts.
fn relative(home: &Home, state: &EnvState, target: &str) -> Result<Option<Operation>, EngineError> {
    let env = &state.record.name;
    let steps = match target {
        "@" => Some(0),
        other => other
            .strip_prefix("@{-")
            .and_then(|rest| rest.strip_suffix('}'))
            .and_then(|steps| steps.parse::<u64>().ok()),
    };
    let Some(steps) = steps else { return Ok(None) };
    let id = state.operation.0.checked_sub(steps);
    let found = id.map(|id| operation(home, env, OperationId(id)));
    let found = found.transpose()?.flatten();
    found.map(Some).ok_or_else(|| unknown(env, target))
}

fn numbered(home: &Home, env: &EnvName, target: &str) -> Result<Option<Operation>, StoreError> {
    match target.parse() {
        Ok(number) => operation(home, env, OperationId(number)),
        Err(_) => Ok(None),
    }
}

/// The one generation of this environment whose name begins so; `None` where several do. A
/// generation tells by its prefix whose it is, so no history has to be read.
fn by_prefix(
    home: &Home,
    state: &EnvState,
    target: &str,
) -> Result<Option<GenerationId>, EngineError> {
    if target.len() < SHORTEST_PREFIX {
        return Ok(None);
    }
    let prefix = home.prefix(&state.record.name);
    let python = InterpreterRef::from(&state.record.interpreter).bytecode_tag();
    let mut found = None;
    for id in home.store.generations_named(target)? {
        let generation = home.store.generation(id)?;
        // An environment of this name that was deleted may have had another Python.
        if generation.prefix != prefix || generation.interpreter.bytecode_tag() != python {
            continue;
        }
        if found.replace(id).is_some() {
            return Ok(None);
        }
    }
    Ok(found)
}

fn unknown(env: &EnvName, target: &str) -> EngineError {
    EngineError::NoSuchState {
        target: target.to_owned(),
        env: env.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use blast_store::{Changes, OperationKind};

    use super::*;

    #[test]
    fn a_time_is_found_with_few_reads_in_a_long_history_that_was_cut() {
        let operation = |id: OperationId| Operation {
            id,
            env: "demo".parse().expect("valid"),
            kind: OperationKind::Install,
            before: None,
            after: GenerationId::from_bytes([0; 32]),
            at_ms: 10 * i64::try_from(id.0).expect("small"),
            duration_ms: 0,
            who: String::new(),
            command: Vec::new(),
            note: None,
            changes: Changes::default(),
        };
        let (head, oldest) = (10_000, 5_000);
        let reads = Cell::new(0);
        let read = |id: OperationId| {
            reads.set(reads.get() + 1);
            Ok((id.0 >= oldest).then(|| operation(id)))
        };
        let at = |at_ms| {
            reads.set(0);
            let found = newest_at(&read, OperationId(head), at_ms).expect("in memory");
            assert!(reads.get() <= 14, "{} reads", reads.get());
            found.map(|operation| operation.id.0)
        };
        assert_eq!(at(i64::MAX), Some(head));
        assert_eq!(at(70_005), Some(7_000));
        assert_eq!(at(70_000), Some(7_000));
        assert_eq!(at(50_000), Some(oldest));
        assert_eq!(at(49_999), None);
    }

    #[test]
    fn a_state_of_another_environment_is_told_by_its_at() {
        let parts = |text| elsewhere(text).map(|(env, rest)| (env.as_str().to_owned(), rest));
        let of = |env: &str, rest: &str| Some((env.to_owned(), rest.to_owned()));
        assert_eq!(parts("other@good"), of("other", "good"));
        assert_eq!(parts("other@12"), of("other", "12"));
        assert_eq!(parts("other@"), of("other", "@"));
        assert_eq!(parts("other@{-2}"), of("other", "@{-2}"));
        for here in ["@", "@{-2}", "good", "12", "../x@good"] {
            assert_eq!(parts(here), None, "{here}");
        }
    }
}
