//! Moving between generations: revert, redo, loading snapshots, and looking back.
//!
//! Every move is one new operation over objects that are all there already: it costs one durable
//! write, whatever the size of the environment or the length of its history.

use std::sync::Arc;

use blast_store::{EnvState, Operation, OperationDraft, OperationId, OperationKind, StoreError};
use blast_types::{EnvName, GenerationId};

use super::at_once::at_once;
use super::change::Asker;
use super::error::EngineError;
use super::home::{Home, now_ms};
use super::{carry, file_diff, snapshots, target, undo, views};
use crate::ipc::protocol::{Changed, Move, MoveTarget, OperationDetail, OperationView, Reply};

/// Carries out one move.
pub(crate) async fn go(home: Arc<Home>, to: Move, asker: Asker) -> Result<Changed, EngineError> {
    let _turn = home.turn(&to.env).await;
    at_once(|| go_now(&home, &to, asker))
}

fn go_now(home: &Home, to: &Move, asker: Asker) -> Result<Changed, EngineError> {
    let (started, started_ms) = (std::time::Instant::now(), now_ms());
    let state = home.env(&to.env)?;
    let (kind, target, summary) = destination(home, &state, to)?;
    let before = home.store.generation(state.head)?;
    let after = home.store.generation(target)?;
    let lender = match &to.target {
        MoveTarget::Snapshot { from, .. } => from.as_ref().filter(|from| **from != to.env),
        _ => None,
    };
    let is_there = match (&to.target, lender) {
        (MoveTarget::Undo | MoveTarget::Redo, _) => false,
        (_, Some(_)) => carry::same(&before, &after),
        (_, None) => target == state.head,
    };
    let mut changed = Changed {
        operation: None,
        generation: Some(target),
        dry_run: to.dry_run,
        changes: views::changes_between(Some(&before), &after),
        packages: after.packages.len(),
        took_ms: 0.0,
        summary: Some(summary),
        origins: Vec::new(),
    };
    if !to.dry_run && !is_there {
        let note = (lender.is_some() && !after.captured.is_empty())
            .then(|| "what other tools wrote there came along as it was".to_owned());
        let draft = OperationDraft {
            kind,
            command: asker.command,
            who: asker.who,
            started_ms,
            note,
        };
        let transaction = home.store.begin(&to.env)?;
        let mut unpublished = match lender {
            None => transaction.select(target)?,
            Some(lender) => {
                let staging = home.store.stage()?;
                let from = home.env(lender)?.record;
                let own = carry::over(home, &state.record, &from, &after, &staging)?;
                transaction.write(&own, staging)?
            }
        };
        let held = home.prepare(&to.env, &mut unpublished)?;
        let operation = unpublished.publish(draft, now_ms())?;
        home.swap(&to.env, operation.after)?;
        drop(held);
        changed.operation = Some(operation.id.0);
        changed.generation = Some(operation.after);
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
        MoveTarget::Snapshot { from, name } => {
            let from = from.clone().filter(|from| from != env);
            let owner = from.as_ref().unwrap_or(env);
            home.env(owner)?;
            let snapshot = snapshots::named(home, owner, name)?;
            let of = from.as_ref().map(|from| format!(" of {from}"));
            let of = of.unwrap_or_default();
            let summary = format!("{} the snapshot {name}{of}", say("loaded", "would load"));
            let kind = OperationKind::Load {
                snapshot: name.clone(),
                from,
            };
            (kind, snapshot, summary)
        }
        MoveTarget::Named { target } => {
            let to = target::state_named(home, state, target)?;
            (
                OperationKind::Revert { to },
                to,
                format!("{} to {target}", say("reverted", "would revert")),
            )
        }
        MoveTarget::Time { at_ms } => {
            let then = target::operation_at(home, state, *at_ms)?;
            let did = say("reverted", "would revert");
            let (id, what) = (then.id, views::summary(&then));
            let summary = format!("{did} to the state after operation {id} ({what})");
            let to = then.after;
            (OperationKind::Revert { to }, to, summary)
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

/// The undo or revert that a redo would take back, and the state before it.
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

/// One operation with all that is known of it. Blocks.
pub(crate) fn show(
    home: &Home,
    env: &EnvName,
    name: Option<&str>,
) -> Result<OperationDetail, EngineError> {
    let state = home.env(env)?;
    let found = target::operation_named(home, &state, name.unwrap_or("@"))?;
    let after = home.store.generation(found.after)?;
    let before = found.before.map(|id| home.store.generation(id));
    let before = before.transpose()?;
    let old: &[String] = before.as_ref().map_or(&[], |it| &it.requirements);
    let without = |all: &[String], other: &[String]| -> Vec<String> {
        let missing = all.iter().filter(|text| !other.contains(text));
        missing.cloned().collect()
    };
    Ok(OperationDetail {
        requirements_added: without(&after.requirements, old),
        requirements_removed: without(old, &after.requirements),
        packages: after.packages.len(),
        operation: views::operation(&found, &state),
    })
}

/// What differs between two states. Blocks.
pub(crate) fn diff(
    home: &Home,
    env: &EnvName,
    from: Option<&str>,
    to: Option<&str>,
    files: bool,
) -> Result<Reply, EngineError> {
    let state = home.env(env)?;
    let to = match to {
        Some(to) => target::anywhere(home, env, to)?.1,
        None => state.head,
    };
    let from = if let Some(from) = from {
        target::anywhere(home, env, from)?.1
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
        files: if files {
            file_diff::between(home, &old, &new)?
        } else {
            Vec::new()
        },
    })
}
