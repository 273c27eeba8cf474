//! Captured writes: what a program wrote into an environment becomes an operation like any other.
//!
//! The program sees the environment through an overlay (`src/overlay.rs`) whose upper directory is an
//! area of its own, so that neither the tree nor anybody else's view of it changes meanwhile. When it
//! has ended, the area is read ([`upper`]), its changes are told apart by whom they belong to
//! ([`mod@apply`]), moved onto a state that others made meanwhile ([`merge`]), and a generation is published whose operation has the program's command line.
//!
//! ```text
//! upper/<env>/<number>/       one area; belongs to whoever has its `lock` locked
//!   upper/  work/             as overlayfs needs them
//!   lock                      locked (flock) by the command for as long as the program runs
//!   kept                      there if the changes could not be taken: nobody removes it unasked
//! ```

mod apply;
mod distribution;
mod drift;
mod merge;
mod upper;

use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use blast_store::failpoint::{self, Point};
use blast_store::{Generation, OperationDraft, OperationKind, WheelKey};
use blast_types::{EnvName, Reporter};

use super::change::Asker;
use super::error::{EngineError, at};
use super::home::{Home, now_ms};
use super::{generated, overtaken, views};
use crate::ipc::protocol::{Area, Capture, Changed};
pub(super) use apply::copy;
use apply::{Before, Outcome, apply};
use distribution::Workshop;
pub(crate) use drift::settle;
use upper::Difference;

/// Where areas are, below the home.
pub(super) const AREAS: &str = "upper";

/// Makes an area for the writes of one program. Blocks.
pub(crate) fn begin(
    home: &Home,
    env: &EnvName,
    reporter: &dyn Reporter,
) -> Result<Area, EngineError> {
    let place = home.enter(env, false, reporter)?;
    // The tree itself: an overlay covers it, and the environment's link leads there.
    let tree = home.enter(env, true, reporter)?.prefix;
    let areas = home.store.home().join(AREAS).join(env.as_str());
    fs::create_dir_all(&areas).map_err(at(&areas))?;
    clear(&areas);
    let folder = unused(&areas)?;
    for name in ["", "upper", "work"] {
        let path = folder.join(name);
        let made = fs::DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(&path);
        made.map_err(at(&path))?;
    }
    // A prefix that programs may enter, as the one below it.
    let upper = folder.join("upper");
    fs::set_permissions(&upper, Permissions::from_mode(0o755)).map_err(at(&upper))?;
    let lock = folder.join("lock");
    File::create(&lock).map_err(at(&lock))?;
    Ok(Area {
        generation: place.generation,
        place,
        tree,
        folder,
    })
}

/// A name that no area has.
fn unused(areas: &Path) -> Result<PathBuf, EngineError> {
    let made = tempfile::Builder::new()
        .prefix("")
        .rand_bytes(8)
        .tempdir_in(areas);
    Ok(made.map_err(at(areas))?.keep())
}

/// Removes areas whose command died: their lock is free, and nobody kept them.
fn clear(areas: &Path) {
    for area in fs::read_dir(areas).into_iter().flatten().flatten() {
        let folder = area.path();
        let is_free = File::open(folder.join("lock")).is_ok_and(|lock| lock.try_lock().is_ok());
        if is_free && !folder.join("kept").exists() {
            remove(&folder);
        }
    }
}

/// Removes an area. overlayfs leaves a folder in `work` that cannot be entered.
fn remove(folder: &Path) {
    let inner = folder.join("work/work");
    if inner.exists() {
        fs::set_permissions(&inner, Permissions::from_mode(0o700)).unwrap_or_default();
    }
    if let Err(error) = fs::remove_dir_all(folder) {
        tracing::warn!(%error, folder = %folder.display(), "an area of writes is left");
    }
}

/// Takes what was written into an area, or throws it away.
pub(crate) async fn capture(
    home: Arc<Home>,
    request: Capture,
    asker: Asker,
    reporter: Arc<dyn Reporter>,
) -> Result<Changed, EngineError> {
    let turn = home.turn(&request.env).await;
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let folder = area(&home, &request)?;
        if request.discard {
            let found = Difference::read(&folder.join("upper")).map_err(at(&folder))?;
            remove(&folder);
            return Ok(unchanged(&home, &request, found.written.len()));
        }
        match capture_now(&home, &request, &folder, asker, &*reporter) {
            Ok(changed) => {
                failpoint::hit(Point::CaptureRemove).map_err(at(&folder))?;
                remove(&folder);
                Ok(changed)
            }
            Err(error) => {
                if let Err(also) = File::create(folder.join("kept")) {
                    tracing::warn!(error = %also, "an area cannot be marked");
                }
                reporter.warn(format!("what was written is kept in {}", folder.display()));
                Err(error)
            }
        }
    })
    .await?
}

/// The area that a request names; nothing outside the areas of its environment.
fn area(home: &Home, request: &Capture) -> Result<PathBuf, EngineError> {
    let areas = home.store.home().join(AREAS).join(request.env.as_str());
    let is_ours = request.folder.parent() == Some(&areas) && request.folder.is_dir();
    if is_ours {
        Ok(request.folder.clone())
    } else {
        Err(EngineError::NoArea(request.folder.clone()))
    }
}

fn unchanged(home: &Home, request: &Capture, discarded: usize) -> Changed {
    let packages = home
        .env(&request.env)
        .and_then(|state| Ok(home.store.generation(state.head)?.packages.len()));
    Changed {
        operation: None,
        generation: Some(request.generation),
        dry_run: false,
        changes: Vec::new(),
        packages: packages.unwrap_or(0),
        took_ms: 0.0,
        summary: (discarded > 0).then(|| format!("discarded {discarded} written files")),
        origins: Vec::new(),
    }
}

fn capture_now(
    home: &Home,
    request: &Capture,
    folder: &Path,
    asker: Asker,
    reporter: &dyn Reporter,
) -> Result<Changed, EngineError> {
    failpoint::hit(Point::CaptureRead).map_err(at(folder))?;
    let difference = Difference::read(&folder.join("upper")).map_err(at(folder))?;
    let note = None;
    take(home, request, &difference, asker, note, reporter)
}

/// Makes an operation of a difference to the generation that the request names, if it is one.
fn take(
    home: &Home,
    request: &Capture,
    difference: &Difference,
    asker: Asker,
    note: Option<String>,
    reporter: &dyn Reporter,
) -> Result<Changed, EngineError> {
    let (started, started_ms) = (Instant::now(), now_ms());
    let folder = &request.folder;
    let state = home.env(&request.env)?;
    let transaction = home.store.begin(&request.env)?;
    // What the program saw.
    let base = home.store.generation(request.generation)?;
    let generation = Arc::clone(transaction.generation());
    let record = &state.record;
    let prefix = home.prefix(&record.name);
    let seen = before(home, &base)?;
    let staging = home.store.stage()?;
    let outcome = {
        let workshop = Workshop {
            staging: &staging,
            interpreter: &record.interpreter,
            prefix: &prefix.to_string_lossy(),
        };
        apply(&seen, difference, &workshop)?
    };
    let outcome = if state.head == request.generation {
        outcome
    } else {
        let now = before(home, &generation)?;
        merge::onto(&base, outcome, &generation, |name| {
            now.records.get(name).map(Arc::clone)
        })
        .map_err(|contested| overtaken::refuse(home, &state, request, contested))?
    };
    let Outcome {
        packages,
        fresh,
        captured,
        requirements,
        lost,
    } = outcome;
    let is_same = packages
        .iter()
        .map(|(package, _)| package)
        .eq(&generation.packages)
        && captured == generation.captured
        && requirements == generation.requirements;
    // Of plain files, what is no change stays where it is: nothing is lost.
    if !(is_same && note.is_some()) {
        tell_left_out(difference, &lost, reporter);
    }
    if is_same {
        return Ok(unchanged(home, request, 0));
    }
    let blast = std::env::current_exe().map_err(at("/proc/self/exe"))?;
    let pip = home.caches().shims.stage(&record.interpreter, &staging)?;
    let spec = generated::Spec::of(record, &prefix, &blast).with_pip(&pip);
    let read_blob = |blob| Ok(staging.read_blob(blob)?);
    let pairs = packages
        .iter()
        .map(|(package, record)| (package, &**record));
    let layer = generated::layer(&spec, pairs, &read_blob)?;
    let after = Generation {
        generated: staging.layer(layer)?,
        packages: packages.into_iter().map(|(package, _)| package).collect(),
        captured,
        requirements,
        lock: None,
        ..(*generation).clone()
    };
    let mut unpublished = transaction.write(&after, staging)?;
    let held = home.prepare(&record.name, &mut unpublished)?;
    for (key, record) in fresh {
        unpublished.remember(key, record);
    }
    let draft = OperationDraft {
        kind: OperationKind::Capture,
        command: request.command.clone(),
        who: asker.who,
        started_ms,
        note,
    };
    failpoint::hit(Point::CapturePublish).map_err(at(folder))?;
    let operation = unpublished.publish(draft, now_ms())?;
    home.swap(&record.name, operation.after)?;
    drop(held);
    let after = home.store.generation(operation.after)?;
    home.compile(&after)?;
    Ok(Changed {
        operation: Some(operation.id.0),
        generation: Some(operation.after),
        changes: views::changes_between(Some(&generation), &after),
        packages: after.packages.len(),
        took_ms: started.elapsed().as_secs_f64() * 1000.0,
        summary: Some(format!(
            "captured what `{}` wrote",
            request.command.join(" ")
        )),
        ..Changed::default()
    })
}

/// What of a difference becomes part of nothing.
fn tell_left_out(difference: &Difference, lost: &[String], reporter: &dyn Reporter) {
    for path in &difference.unfit {
        reporter.warn(format!(
            "{} cannot be part of an environment",
            path.display()
        ));
    }
    if !lost.is_empty() {
        reporter.warn(format!(
            "blast writes these files anew for each state, so changes of them are lost: {}",
            lost.join(", ")
        ));
    }
}

fn before<'a>(home: &Home, generation: &'a Generation) -> Result<Before<'a>, EngineError> {
    let mut records = HashMap::new();
    let mut layers = Vec::new();
    for package in &generation.packages {
        layers.push(home.store.layer(package.layer)?);
        let lost = || EngineError::Bug(format!("the record of {} is lost", package.name));
        let key = WheelKey {
            sha256: package.artifact.wheel().ok_or_else(lost)?,
            scheme: package.scheme.clone(),
        };
        let record = home.store.wheel(&key)?.ok_or_else(lost)?;
        records.insert(package.name.clone(), record);
    }
    let captured = generation.captured.iter().map(|id| home.store.layer(*id));
    Ok(Before {
        generation,
        records,
        layers,
        generated: home.store.layer(generation.generated)?,
        captured: captured.collect::<Result<_, _>>()?,
    })
}
