//! Snapshots: names for generations. A name is one record, whatever the environment holds.

use blast_store::{OperationDraft, OperationKind};
use blast_types::{EnvName, GenerationId, SnapshotName};

use super::change::Asker;
use super::error::EngineError;
use super::home::{Home, now_ms};
use super::target::find_snapshot;
use crate::ipc::protocol::SnapshotView;

/// The generation that a snapshot names.
pub(crate) fn named(
    home: &Home,
    env: &EnvName,
    name: &SnapshotName,
) -> Result<GenerationId, EngineError> {
    find_snapshot(home, env, name)?
        .map(|snapshot| snapshot.generation)
        .ok_or_else(|| EngineError::NoSnapshot {
            name: name.to_string(),
            env: env.clone(),
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
    let replaced = find_snapshot(home, env, &name)?.map(|snapshot| snapshot.generation);
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
        replaced: replaced.filter(|id| *id != state.head),
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
        replaced: None,
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
