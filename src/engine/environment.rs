//! Environments coming, going, and being found.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use blast_store::{
    EnvRecord, EnvState, Generation, InterpreterRef, OperationDraft, OperationKind, Staging,
    StoreError,
};
use blast_types::{EnvName, Event, Interpreter, Reporter};

use super::change::Asker;
use super::error::{EngineError, at};
use super::generated;
use super::home::{Home, now_ms};
use super::{history, views};
use crate::interpreter::{self, FoundState, PythonRequest, Search};
use crate::ipc::protocol::{EnvironmentView, PackageView, PythonSearch, PythonView, Reply, Start};

/// Makes an environment unless it exists. Blocks.
pub(crate) fn start(home: &Home, start: &Start, asker: Asker) -> Result<Reply, EngineError> {
    if let Some(state) = home.store.env(&start.name)? {
        return there(home, state, start);
    }
    let started_ms = now_ms();
    let interpreter = find_interpreter(
        home,
        start.python.as_deref(),
        start.requires_python.as_deref(),
        &start.search,
    )?;
    if start.dry_run {
        return Ok(Reply::WouldStart {
            python: interpreter.markers.python_full_version,
            interpreter: interpreter.executable,
            prefix: home.prefix(&start.name),
        });
    }
    let record = EnvRecord {
        name: start.name.clone(),
        project: start.project.clone(),
        variables: start.variables.clone(),
        interpreter,
        created_ms: started_ms,
    };
    let staging = home.store.stage()?;
    let generation = empty(home, &record, &home.prefix(&record.name), &staging)?;
    let draft = OperationDraft {
        kind: OperationKind::Create,
        command: asker.command,
        who: asker.who,
        started_ms,
        note: None,
    };
    match home
        .store
        .create_env(record, &generation, staging, draft, now_ms())
    {
        Ok(_) => {}
        // Another command made it meanwhile, one that was killed perhaps and is asked for again: then it is there.
        Err(StoreError::EnvExists(_)) => return there(home, home.env(&start.name)?, start),
        Err(error) => return Err(error.into()),
    }
    let state = home.env(&start.name)?;
    home.make_skeleton(&state)?;
    home.swap(&start.name, state.head)?;
    Ok(Reply::Started {
        created: true,
        place: home.place(&state, false)?,
    })
}

/// What is answered where it exists.
fn there(home: &Home, state: EnvState, start: &Start) -> Result<Reply, EngineError> {
    let state = restart(home, state, start)?;
    Ok(Reply::Started {
        created: false,
        place: home.place(&state, false)?,
    })
}

/// The first generation of an environment, its generated layer staged.
pub(super) fn empty(
    home: &Home,
    record: &EnvRecord,
    prefix: &Path,
    staging: &Staging,
) -> Result<Generation, EngineError> {
    let blast = std::env::current_exe().map_err(at("/proc/self/exe"))?;
    let pip = home.caches().shims.stage(&record.interpreter, staging)?;
    let spec = generated::Spec::of(record, prefix, &blast).with_pip(&pip);
    let no_scripts = |_| {
        Err(EngineError::Bug(
            "an empty environment has no scripts".to_owned(),
        ))
    };
    Ok(Generation {
        interpreter: InterpreterRef::from(&record.interpreter),
        prefix: prefix.to_owned(),
        packages: Vec::new(),
        generated: staging.layer(generated::layer(&spec, [], &no_scripts)?)?,
        captured: Vec::new(),
        requirements: Vec::new(),
        lock: None,
        policy: None,
    })
}

/// `start` of an environment that exists: what is asked must fit; variables are merged.
fn restart(home: &Home, mut state: EnvState, start: &Start) -> Result<EnvState, EngineError> {
    let record = &mut state.record;
    if let (Some(theirs), Some(asked)) = (&record.project, &start.project)
        && theirs != asked
        && theirs.exists()
    {
        return Err(EngineError::OtherProject {
            name: record.name.clone(),
            project: theirs.clone(),
        });
    }
    if let Some(wanted) = &start.python {
        let found = find_interpreter(home, Some(wanted), None, &start.search)?;
        if found.markers.python_full_version != record.interpreter.markers.python_full_version {
            return Err(EngineError::OtherPython {
                name: record.name.clone(),
                has: record.interpreter.markers.python_full_version.clone(),
                wanted: wanted.clone(),
            });
        }
    }
    if start.dry_run {
        return Ok(state);
    }
    let mut changed = false;
    if start.project.is_some() && record.project != start.project {
        record.project.clone_from(&start.project);
        changed = true;
    }
    for (key, value) in &start.variables {
        changed |= record.variables.insert(key.clone(), value.clone()).as_ref() != Some(value);
    }
    if changed {
        home.store.update_env(state.record.clone())?;
    }
    home.make_skeleton(&state)?;
    Ok(state)
}

/// The interpreter that a request names. Blocks.
pub(crate) fn find_interpreter(
    home: &Home,
    request: Option<&str>,
    requires_python: Option<&str>,
    search: &PythonSearch,
) -> Result<Interpreter, EngineError> {
    let request = request.map(str::parse::<PythonRequest>).transpose()?;
    let specifiers = requires_python
        .map(|text| {
            blast_types::versions::specifiers(text).map_err(|error| EngineError::BadRequirement {
                text: text.to_owned(),
                origin: " (requires-python)".to_owned(),
                reason: error.to_string(),
            })
        })
        .transpose()?;
    let search = search_of(search);
    Ok(interpreter::find(
        request.as_ref(),
        specifiers.as_ref(),
        &search,
        &home.caches().probes,
    )?)
}

/// All interpreters there are. Blocks.
pub(crate) fn pythons(home: &Home, search: &PythonSearch) -> Vec<PythonView> {
    interpreter::find_all(&search_of(search), &home.caches().probes)
        .into_iter()
        .map(|found| {
            let (implementation, version, unusable) = match found.state {
                FoundState::Usable(usable) => {
                    let markers = usable.markers;
                    (
                        markers.implementation_name,
                        markers.python_full_version,
                        None,
                    )
                }
                FoundState::Unsupported {
                    implementation,
                    version,
                } => {
                    let why = format!("environments need {}", interpreter::SUPPORTED);
                    (implementation, version, Some(why))
                }
                FoundState::Broken(error) => {
                    (String::new(), String::new(), Some(error.to_string()))
                }
            };
            let (path, source) = (found.path, found.source.to_string());
            PythonView {
                version,
                implementation,
                path,
                source,
                unusable,
            }
        })
        .collect()
}

fn search_of(search: &PythonSearch) -> Search {
    let PythonSearch {
        path,
        cwd,
        home,
        pyenv_root,
    } = search.clone();
    Search::new(path.into(), cwd, home, pyenv_root)
}

/// Makes an environment visible and says where it is. Blocks.
pub(crate) fn enter(
    home: &Home,
    name: &EnvName,
    pin: bool,
    reporter: &dyn Reporter,
) -> Result<Reply, EngineError> {
    Ok(Reply::Entered {
        place: home.enter(name, pin, reporter)?,
    })
}

/// All environments. Blocks.
pub(crate) fn list(home: &Home) -> Result<Vec<EnvironmentView>, EngineError> {
    home.store
        .envs()?
        .iter()
        .map(|state| view(home, state))
        .collect()
}

/// The environment of the project with this root: reads no generation but its own. Blocks.
pub(crate) fn of_project(home: &Home, root: &Path) -> Result<Option<EnvironmentView>, EngineError> {
    let states = home.store.envs()?;
    let leads_there = |project: &Path| {
        let (of, here) = (project.canonicalize(), root.canonicalize());
        matches!((of, here), (Ok(of), Ok(here)) if of == here)
    };
    let find = |is_it: &dyn Fn(&Path) -> bool| {
        let is_its = |state: &&EnvState| state.record.project.as_deref().is_some_and(is_it);
        states.iter().find(is_its)
    };
    // By its very name first, as following links takes longer.
    let found = find(&|project| project == root).or_else(|| find(&leads_there));
    found.map(|state| view(home, state)).transpose()
}

/// One environment in the protocol's words.
pub(crate) fn view(home: &Home, state: &EnvState) -> Result<EnvironmentView, EngineError> {
    let generation = home.store.generation(state.head)?;
    let operation = history::operation(home, &state.record.name, state.operation)?;
    Ok(EnvironmentView {
        name: state.record.name.clone(),
        prefix: home.prefix(&state.record.name),
        project: state.record.project.clone(),
        python: state.record.interpreter.markers.python_full_version.clone(),
        packages: generation.packages.len(),
        generation: state.head,
        operation: state.operation.0,
        changed_ms: operation.map_or(state.record.created_ms, |operation| operation.at_ms),
    })
}

/// Deletes environments; all must exist.
pub(crate) async fn remove(
    home: Arc<Home>,
    names: Vec<EnvName>,
    dry_run: bool,
    asker: Asker,
) -> Result<Vec<EnvironmentView>, EngineError> {
    let mut turns = Vec::new();
    let mut sorted = names.clone();
    sorted.sort(); // in one order, so that two requests cannot wait for each other
    sorted.dedup();
    for name in &sorted {
        turns.push(home.turn(name).await);
    }
    tokio::task::spawn_blocking(move || {
        let _turns = turns;
        let states = sorted
            .iter()
            .map(|name| home.env(name))
            .collect::<Result<Vec<_>, EngineError>>()?;
        let views = states
            .iter()
            .map(|state| view(&home, state))
            .collect::<Result<Vec<_>, _>>()?;
        if dry_run {
            return Ok(views);
        }
        for state in &states {
            let name = &state.record.name;
            let draft = OperationDraft {
                kind: OperationKind::Remove,
                command: asker.command.clone(),
                who: asker.who.clone(),
                started_ms: now_ms(),
                note: None,
            };
            home.store.remove_env(name, draft, now_ms())?;
        }
        home.forget(&sorted)?;
        Ok(views)
    })
    .await?
}

/// What an environment holds. Blocks.
pub(crate) fn packages(home: &Home, name: &EnvName) -> Result<Vec<PackageView>, EngineError> {
    Ok(views::packages(
        &*home.store.generation(home.env(name)?.head)?,
    ))
}

/// The marker values of an environment's interpreter. Blocks.
pub(crate) fn markers(
    home: &Home,
    name: &EnvName,
) -> Result<BTreeMap<String, String>, EngineError> {
    let markers = home.env(name)?.record.interpreter.markers;
    let named = serde_json::to_value(markers).and_then(serde_json::from_value);
    named.map_err(|error| EngineError::Bug(format!("markers are no texts: {error}")))
}

/// Has the bytecode of an environment compiled, as far as it is missing, and waits for it.
pub(crate) async fn compile(
    home: Arc<Home>,
    env: EnvName,
    reporter: Arc<dyn Reporter>,
) -> Result<Reply, EngineError> {
    let queued = {
        let home = Arc::clone(&home);
        tokio::task::spawn_blocking(move || {
            home.compile(&*home.store.generation(home.env(&env)?.head)?)
        })
        .await??
    };
    let tell = |done, total| reporter.report(Event::Compiling { done, total });
    let modules = home.compiler.wait(&queued, tell).await;
    Ok(Reply::Compiled { modules })
}
