//! Installing into a folder that is no environment: what `pip install --target`, `--prefix` and `--root` are for. With the
//! first modules lie in the folder itself, scripts and data beside them, with the others all is as below a prefix, as
//! pip has it; the scripts name the environment's interpreter.
//!
//! Packages are chosen as if nothing were installed, and come by way of the store, like any other. The folder
//! is one tree, made of what their layers have, and appears whole by one rename; one that has something in it
//! is left alone. Nothing of the environment changes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use blast_fs::TreeSpec;
use blast_store::{EntryIndex, Generation, Layer, LayerBuilder};
use blast_types::{Interpreter, Reporter};

use super::capture;
use super::change::{Job, plan};
use super::error::{EngineError, at};
use super::generated::{self, installed_entry_points};
use super::home::now_ms;
use super::materialise::{GENERATED, TREE, free, link_kind, write};
use super::{records, secrets, views};
use crate::ipc::protocol::{Action, Changed, FolderLayout, InstallTo};

/// Resolves, brings in and writes. Dropping the future cancels it, but for the writing.
pub(crate) async fn install_to(
    home: Arc<super::Home>,
    request: InstallTo,
    reporter: Arc<dyn Reporter>,
) -> Result<Changed, EngineError> {
    let began = Instant::now();
    let InstallTo {
        mut change,
        to,
        layout,
    } = request;
    if let Action::Install { requirements, .. } = &mut change.action {
        secrets::separate(requirements, &mut change.options, &mut change.sources);
    }
    let mut job = Job::begin(&home, &change, &reporter).await?;
    let empty = Generation {
        packages: Vec::new(),
        captured: Vec::new(),
        requirements: Vec::new(),
        lock: None,
        ..(*job.before).clone()
    };
    job.before = Arc::new(empty);
    let (_, mut plan) = plan(&job, change.action, &change.options).await?;
    plan.packages.sort_by(|a, b| a.name.cmp(&b.name));
    let mut changed = Changed {
        dry_run: change.dry_run,
        changes: views::planned_changes(&job.before, &plan),
        packages: plan.packages.len(),
        ..Changed::default()
    };
    if !change.dry_run {
        make_room(&home, &to)?;
        let (ingested, staging) = job.bring_in(&plan).await?;
        let work = move || {
            let written = job.write(plan, &ingested, staging)?;
            let generation = written.generation.clone();
            // Keeps everything that it consists of from being collected meanwhile.
            let kept = job.set_aside(&generation, written.staging, &ingested)?;
            put(&job, &generation, &to, layout)?;
            drop(kept);
            Ok::<_, EngineError>(())
        };
        tokio::task::spawn_blocking(work).await??;
    }
    changed.took_ms = began.elapsed().as_secs_f64() * 1000.0;
    Ok(changed)
}

/// Has a parent for the folder, and makes sure that nothing is in the folder itself.
fn make_room(home: &super::Home, to: &Path) -> Result<(), EngineError> {
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent).map_err(at(parent))?;
    }
    free(home, to).map(|_| ())
}

fn put(
    job: &Job,
    generation: &Generation,
    to: &Path,
    layout: FolderLayout,
) -> Result<(), EngineError> {
    let home = &job.home;
    let parent = free(home, to)?;
    let kind = link_kind(home, to, parent, false)?;
    let layer = generated::opened(rooted(job, generation, layout)?)?;
    let spec = TreeSpec {
        number: TREE,
        layers: vec![(GENERATED, Arc::new(layer))],
        mtime_ns: now_ms().saturating_mul(1_000_000),
        bytecode_tag: None,
    };
    write(home, &spec, to, parent, kind, &AtomicBool::new(false))?;
    Ok(())
}

/// All files of the packages as one layer. Of two files of one path the later one wins.
fn rooted(
    job: &Job,
    generation: &Generation,
    layout: FolderLayout,
) -> Result<LayerBuilder, EngineError> {
    let store = &job.home.store;
    let record = &job.state.record;
    let interpreter = &record.interpreter;
    let records = records::of_generation(store, generation)?;
    let prefix = job.home.prefix(&record.name);
    let blast = std::env::current_exe().map_err(at("/proc/self/exe"))?;
    let read_blob = |blob| Ok(store.read_blob(blob)?);
    let pairs = generation
        .packages
        .iter()
        .zip(records.iter().map(|record| &**record));
    let written = generated::layer(
        &generated::Spec::of(record, &prefix, &blast),
        pairs,
        &read_blob,
    )?;
    let written = generated::opened(written)?;
    let scripts: Vec<String> = records
        .iter()
        .flat_map(|record| {
            let entries = installed_entry_points(&record.scripts, interpreter.version());
            let entries = entries.into_iter().map(|(name, _)| name);
            entries.chain(
                record
                    .python_scripts
                    .iter()
                    .map(|script| script.name.clone()),
            )
        })
        .map(|name| format!("{}/{name}", interpreter.scheme.scripts))
        .collect();
    // What belongs to an environment and to no package stays out.
    let is_of_packages =
        |path: &String| modules(path, interpreter).is_some() || scripts.contains(path);
    let layers = generation.packages.iter();
    let layers = layers.map(|package| store.layer(package.layer));
    let mut layers: Vec<Arc<Layer>> = layers.collect::<Result<_, _>>()?;
    layers.push(Arc::new(written));
    let last = layers.len() - 1;
    let mut files: BTreeMap<String, (usize, EntryIndex)> = BTreeMap::new();
    for (number, layer) in layers.iter().enumerate() {
        for (index, entry) in layer.entries() {
            let path = layer.path(index);
            if !entry.kind.is_dir() && (number < last || is_of_packages(&path)) {
                let place = match layout {
                    FolderLayout::Modules => modules(&path, interpreter).map(str::to_owned),
                    FolderLayout::Prefix => None,
                };
                files.insert(place.unwrap_or(path), (number, index));
            }
        }
    }
    let mut builder = LayerBuilder::new();
    for (path, (number, index)) in files {
        capture::copy(&layers[number], index, &path, &mut builder)?;
    }
    Ok(builder)
}

/// What a path below site-packages is called there.
fn modules<'a>(path: &'a str, interpreter: &Interpreter) -> Option<&'a str> {
    let scheme = &interpreter.scheme;
    let below = |site: &str| path.strip_prefix(site)?.strip_prefix('/');
    below(&scheme.purelib).or_else(|| below(&scheme.platlib))
}
