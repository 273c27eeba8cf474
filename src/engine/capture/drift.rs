//! What programs wrote into environments that are plain files, though nobody looked after them.
//!
//! Such a tree can be written to by its path. The next request that looks at the environment, or changes it,
//! finds that by comparing, waits until the files rest, and does first what the user wants of writes: takes
//! them as an operation of their own, or has the tree written anew. Who wrote is not known, so the
//! operation has no command line.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use blast_fs::plain::Drift;
use blast_store::EnvState;
use blast_types::{EnvName, GenerationId, Reporter};

use super::take;
use super::upper::{Difference, Written};
use crate::engine::change::Asker;
use crate::engine::error::{EngineError, at};
use crate::engine::home::Home;
use crate::ipc::protocol::{Capture, Writes};

/// A program whose last write is so long ago is done.
const REST: Duration = Duration::from_millis(500);

/// One that goes on for longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the history says of such an operation.
const NOTE: &str = "written by programs into the plain files of the environment";

/// Deals with what programs wrote into an environment, where it is plain files.
pub(crate) async fn settle(
    home: &Arc<Home>,
    env: &EnvName,
    writes: Option<Writes>,
    asker: &Asker,
    reporter: &Arc<dyn Reporter>,
) -> Result<(), EngineError> {
    if !home.files.is_any_shown() {
        return Ok(());
    }
    let began = Instant::now();
    loop {
        let (work, name) = (Arc::clone(home), env.clone());
        let found = tokio::task::spawn_blocking(move || work.files.drift(&name)).await??;
        let Some((_, drift)) = found.filter(|(_, drift)| !drift.is_empty()) else {
            return Ok(());
        };
        let age = |at: SystemTime| at.elapsed().unwrap_or_default();
        let rest = drift
            .newest()
            .and_then(|newest| REST.checked_sub(age(newest)));
        match rest {
            Some(rest) if began.elapsed() < PATIENCE => tokio::time::sleep(rest).await,
            _ => break,
        }
    }
    let turn = home.turn(env).await;
    let (home, env) = (Arc::clone(home), env.clone());
    let (asker, reporter) = (asker.clone(), Arc::clone(reporter));
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        settle_now(&home, &env, writes, asker, &*reporter)
    })
    .await?
}

fn settle_now(
    home: &Home,
    env: &EnvName,
    writes: Option<Writes>,
    asker: Asker,
    reporter: &dyn Reporter,
) -> Result<(), EngineError> {
    let found = home.files.drift(env)?;
    let Some((generation, drift)) = found.filter(|(_, drift)| !drift.is_empty()) else {
        return Ok(());
    };
    // What a build goes on in is nobody's environment.
    let Some(state) = home.store.env(env)? else {
        return Ok(());
    };
    if let Some(refused @ (Writes::Discard | Writes::Deny)) = writes {
        home.files.renew(generation)?;
        home.files.retire_in_background();
        let how = match refused {
            Writes::Deny => "must not be written to",
            _ => "is to forget what is written",
        };
        let count = drift.written.len() + drift.removed.len();
        reporter.warn(format!(
            "environment {env} {how}: what programs did to {count} of its files is taken back"
        ));
        return Ok(());
    }
    home.files.note(generation, drift.clone());
    let captured = capture(home, &state, generation, &drift, asker, reporter);
    if captured.is_err() {
        home.files.forget_note(generation);
    }
    captured
}

fn capture(
    home: &Home,
    state: &EnvState,
    generation: GenerationId,
    drift: &Drift,
    asker: Asker,
    reporter: &dyn Reporter,
) -> Result<(), EngineError> {
    let env = &state.record.name;
    let tree = home.files.tree_path(generation);
    let difference = difference(drift, &home.files.tree(generation))?;
    let request = Capture {
        env: env.clone(),
        folder: tree,
        generation,
        command: Vec::new(),
        discard: false,
    };
    let changed = take(
        home,
        &request,
        &difference,
        asker,
        Some(NOTE.to_owned()),
        reporter,
    )?;
    if let Some(id) = changed.operation {
        reporter.warn(format!(
            "programs wrote into the files of environment {env}: operation {id} has it now, and `blast revert` \
             takes it back"
        ));
    } else if state.head != generation {
        // It is in the history, and its link is not there yet.
        home.swap_files(env)?;
    } else {
        // Files that blast writes itself: they stay as they are until the next change.
        home.files.forget_note(generation);
    }
    home.files.retire_in_background();
    Ok(())
}

/// The same as the upper directory of an overlay has it.
fn difference(drift: &Drift, tree: &Path) -> Result<Difference, EngineError> {
    let mut difference = Difference::default();
    let text = |path: &PathBuf| path.to_str().map(str::to_owned);
    for path in drift.written.keys() {
        let source = tree.join(path);
        match (
            text(path),
            Written::of(source.clone()).map_err(at(&source))?,
        ) {
            (Some(name), Some(written)) => drop(difference.written.insert(name, written)),
            _ => difference.unfit.push(path.clone()),
        }
    }
    difference.removed = drift.removed.iter().filter_map(text).collect();
    Ok(difference)
}
