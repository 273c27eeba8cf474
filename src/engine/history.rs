//! Moving between generations: revert, redo, snapshots, and looking back.
//!
//! Every move is one new operation over objects that are all there already: it costs one durable
//! write, whatever the size of the environment or the length of its history.

use std::sync::Arc;

use blast_store::{EnvState, Operation, OperationDraft, OperationId, OperationKind, StoreError};
use blast_types::{EnvName, GenerationId, SnapshotName};

use super::change::Asker;
use super::error::EngineError;
use super::home::{Home, now_ms};
use super::{undo, views};
use crate::ipc::protocol::{Changed, Move, MoveTarget, OperationView, Reply, SnapshotView};

/// Carries out one move.
pub(crate) async fn go(home: Arc<Home>, to: Move, asker: Asker) -> Result<Changed, EngineError> {
    let _turn = home.turn(&to.env).await;
    tokio::task::spawn_blocking(move || go_now(&home, &to, asker)).await?
}

fn go_now(home: &Home, to: &Move, asker: Asker) -> Result<Changed, EngineError> {
    let (started, started_ms) = (std::time::Instant::now(), now_ms());
    let state = home.env(&to.env)?;
    let (kind, target, summary) = destination(home, &state, to)?;
    let before = home.store.generation(state.head)?;
    let after = home.store.generation(target)?;
    let is_there =
        target == state.head && !matches!(to.target, MoveTarget::Undo | MoveTarget::Redo);
    let mut changed = Changed {
        operation: None,
        generation: Some(target),
        dry_run: to.dry_run,
        changes: views::changes_between(Some(&before), &after),
        packages: after.packages.len(),
        took_ms: 0.0,
        summary: Some(summary),
    };
    if !to.dry_run && !is_there {
        let draft = OperationDraft {
            kind,
            command: asker.command,
            who: asker.who,
            started_ms,
            note: None,
        };
        let mut unpublished = home.store.begin(&to.env)?.select(target)?;
        let held = home.prepare(&to.env, &mut unpublished)?;
        let operation = unpublished.publish(draft, now_ms())?;
        home.swap(&to.env, operation.after)?;
        drop(held);
        changed.operation = Some(operation.id.0);
    }
    changed.took_ms = started.elapsed().as_secs_f64() * 1000.0;
    Ok(changed)
}

fn destination(
    home: &Home,
    state: &EnvState,
    to: &Move,
) -> Result<(OperationKind, GenerationId, String), EngineError> {
    let env = &state.record.name;
    let say = |did: &'static str, would: &'static str| if to.dry_run { would } else { did };
    Ok(match &to.target {
        MoveTarget::Undo => {
            let did = say("undid", "would undo");
            let (undone, to) = undoable(home, state)?.ok_or_else(|| EngineError::NothingTo {
                verb: "undo",
                env: env.clone(),
            })?;
            let summary = format!(
                "{did} operation {} ({})",
                undone.id,
                views::summary(&undone)
            );
            (OperationKind::Undo { of: undone.id }, to, summary)
        }
        MoveTarget::Redo => {
            let did = say("took back", "would take back");
            let (undo, to) = redoable(home, state)?.ok_or_else(|| EngineError::NothingTo {
                verb: "redo",
                env: env.clone(),
            })?;
            let summary = format!("{did} operation {} ({})", undo.id, views::summary(&undo));
            (OperationKind::Redo { of: undo.id }, to, summary)
        }
        MoveTarget::Snapshot { name } => {
            let snapshot = snapshot(home, env, name)?;
            let kind = OperationKind::Load {
                snapshot: name.clone(),
            };
            (
                kind,
                snapshot,
                format!("{} the snapshot {name}", say("loaded", "would load")),
            )
        }
        MoveTarget::Named { target } => {
            let to = resolve_state(home, state, target)?;
            (
                OperationKind::Revert { to },
                to,
                format!("{} to {target}", say("reverted", "would revert")),
            )
        }
    })
}

/// The operation that an undo would take back, and the state before it.
pub(crate) fn undoable(
    home: &Home,
    state: &EnvState,
) -> Result<Option<(Operation, GenerationId)>, EngineError> {
    let read = |id| operation(home, &state.record.name, id);
    let found = undo::undo_candidate(&read, state.operation)?;
    Ok(found.and_then(|operation| {
        let before = operation.before?;
        Some((operation, before))
    }))
}

/// The undo that a redo would take back, and the state before it.
pub(crate) fn redoable(
    home: &Home,
    state: &EnvState,
) -> Result<Option<(Operation, GenerationId)>, EngineError> {
    let read = |id| operation(home, &state.record.name, id);
    let found = undo::redo_candidate(&read, state.operation)?;
    Ok(found.and_then(|operation| {
        let before = operation.before?;
        Some((operation, before))
    }))
}

fn snapshot(home: &Home, env: &EnvName, name: &SnapshotName) -> Result<GenerationId, EngineError> {
    find_snapshot(home, env, name)?
        .map(|snapshot| snapshot.generation)
        .ok_or_else(|| EngineError::NoSnapshot {
            name: name.to_string(),
            env: env.clone(),
        })
}

/// One operation, or `None` where the history does not have it (any more).
pub(crate) fn operation(
    home: &Home,
    env: &EnvName,
    id: OperationId,
) -> Result<Option<Operation>, StoreError> {
    match home.store.operation(env, id) {
        Err(StoreError::NoSuchOperation { .. }) => Ok(None),
        found => found.map(Some),
    }
}

fn find_snapshot(
    home: &Home,
    env: &EnvName,
    name: &SnapshotName,
) -> Result<Option<blast_store::Snapshot>, StoreError> {
    match home.store.snapshot(env, name) {
        Err(StoreError::NoSuchSnapshot { .. }) => Ok(None),
        found => found.map(Some),
    }
}

/// A state by the number of the operation after which it was, `@{-N}` (so many operations before
/// the head), a snapshot's name, or the beginning of a generation's name.
pub(crate) fn resolve_state(
    home: &Home,
    state: &EnvState,
    target: &str,
) -> Result<GenerationId, EngineError> {
    let env = &state.record.name;
    let unknown = || EngineError::NoSuchState {
        target: target.to_owned(),
        env: env.clone(),
    };
    let after = |id: OperationId| -> Result<GenerationId, EngineError> {
        Ok(operation(home, env, id)?.ok_or_else(unknown)?.after)
    };
    let back = target
        .strip_prefix("@{-")
        .and_then(|rest| rest.strip_suffix('}'));
    if let Some(steps) = back.and_then(|steps| steps.parse::<u64>().ok()) {
        return after(OperationId(
            state.operation.0.checked_sub(steps).ok_or_else(unknown)?,
        ));
    }
    if let Ok(name) = target.parse::<SnapshotName>()
        && let Some(snapshot) = find_snapshot(home, env, &name)?
    {
        return Ok(snapshot.generation);
    }
    if let Ok(number) = target.parse::<u64>()
        && let Some(operation) = operation(home, env, OperationId(number))?
    {
        return Ok(operation.after);
    }
    by_prefix(home, env, target)?.ok_or_else(unknown)
}

/// The one generation of the history whose name begins so; `None` where several do.
fn by_prefix(
    home: &Home,
    env: &EnvName,
    prefix: &str,
) -> Result<Option<GenerationId>, EngineError> {
    if prefix.len() < 4 || !prefix.chars().all(|digit| digit.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let prefix = prefix.to_ascii_lowercase();
    let mut found = None;
    for operation in home.store.operations(env)? {
        let after = operation?.after;
        if after.to_hex().starts_with(&prefix) {
            match found {
                Some(other) if other != after => return Ok(None),
                _ => found = Some(after),
            }
        }
    }
    Ok(found)
}

/// The history, newest first. Blocks.
pub(crate) fn log(
    home: &Home,
    env: &EnvName,
    limit: Option<usize>,
) -> Result<Vec<OperationView>, EngineError> {
    let state = home.env(env)?;
    home.store
        .operations(env)?
        .take(limit.unwrap_or(usize::MAX))
        .map(|operation| Ok(views::operation(&operation?, &state)))
        .collect()
}

/// What differs between two states. Blocks.
pub(crate) fn diff(
    home: &Home,
    env: &EnvName,
    from: Option<&str>,
    to: Option<&str>,
) -> Result<Reply, EngineError> {
    let state = home.env(env)?;
    let to = to.map_or(Ok(state.head), |target| resolve_state(home, &state, target))?;
    let from = if let Some(target) = from {
        resolve_state(home, &state, target)?
    } else {
        let head = operation(home, env, state.operation)?;
        head.and_then(|operation| operation.before)
            .unwrap_or(state.head)
    };
    let (old, new) = (home.store.generation(from)?, home.store.generation(to)?);
    Ok(Reply::Diff {
        from,
        to,
        changes: views::changes_between(Some(&old), &new),
    })
}

/// Gives the head a name. Blocks.
pub(crate) fn save(
    home: &Home,
    env: &EnvName,
    name: Option<SnapshotName>,
    dry_run: bool,
    asker: Asker,
) -> Result<Vec<SnapshotView>, EngineError> {
    let state = home.env(env)?;
    let at_ms = now_ms();
    let name = name.map_or_else(|| free_name(home, env, at_ms), Ok)?;
    if !dry_run {
        let draft = draft_of(
            asker,
            at_ms,
            OperationKind::Save {
                snapshot: name.clone(),
                generation: state.head,
            },
        );
        home.store
            .save_snapshot(env, name.clone(), state.head, draft, at_ms)?;
    }
    let packages = home.store.generation(state.head)?.packages.len();
    Ok(vec![SnapshotView {
        name,
        generation: state.head,
        at_ms,
        packages,
    }])
}

/// A name made from the time, `2026-11-21T03.12.05`, numbered where it is taken.
fn free_name(home: &Home, env: &EnvName, at_ms: i64) -> Result<SnapshotName, EngineError> {
    let time = jiff::Timestamp::from_millisecond(at_ms).unwrap_or_default();
    let base = time.strftime("%Y-%m-%dT%H.%M.%S").to_string();
    let candidates = std::iter::once(base.clone()).chain((2..).map(|n| format!("{base}-{n}")));
    for candidate in candidates {
        let name: SnapshotName = candidate
            .parse()
            .map_err(|error| EngineError::Bug(format!("{error}")))?;
        if find_snapshot(home, env, &name)?.is_none() {
            return Ok(name);
        }
    }
    Err(EngineError::Bug("no name is free".to_owned()))
}

/// Forgets a snapshot; what it named stays as long as the history names it. Blocks.
pub(crate) fn delete_snapshot(
    home: &Home,
    env: &EnvName,
    name: &SnapshotName,
    dry_run: bool,
    asker: Asker,
) -> Result<Vec<SnapshotView>, EngineError> {
    home.env(env)?;
    let found = find_snapshot(home, env, name)?.ok_or_else(|| EngineError::NoSnapshot {
        name: name.to_string(),
        env: env.clone(),
    })?;
    let view = snapshot_view(home, &found)?;
    if !dry_run {
        let kind = OperationKind::DeleteSnapshot {
            snapshot: name.clone(),
            generation: found.generation,
        };
        let at_ms = now_ms();
        home.store
            .delete_snapshot(env, name, draft_of(asker, at_ms, kind), at_ms)?;
    }
    Ok(vec![view])
}

/// All snapshots. Blocks.
pub(crate) fn snapshots(home: &Home, env: &EnvName) -> Result<Vec<SnapshotView>, EngineError> {
    home.env(env)?;
    home.store
        .snapshots(env)?
        .iter()
        .map(|snapshot| snapshot_view(home, snapshot))
        .collect()
}

fn snapshot_view(
    home: &Home,
    snapshot: &blast_store::Snapshot,
) -> Result<SnapshotView, EngineError> {
    Ok(SnapshotView {
        name: snapshot.name.clone(),
        generation: snapshot.generation,
        at_ms: snapshot.created_ms,
        packages: home.store.generation(snapshot.generation)?.packages.len(),
    })
}

fn draft_of(asker: Asker, started_ms: i64, kind: OperationKind) -> OperationDraft {
    OperationDraft {
        kind,
        command: asker.command,
        who: asker.who,
        started_ms,
        note: None,
    }
}
