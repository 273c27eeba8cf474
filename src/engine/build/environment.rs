//! Build environments: what a backend runs in. Each is a generation like any other, of the packages
//! that its build requirements resolve to, shown in the view under a name made from what it holds;
//! but no environment of the user, so collection may take it when nothing is built in it.
//!
//! Equal requirements make equal generations, so making one a second time finds everything there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use blast_resolver::{Inputs, resolve};
use blast_store::{EnvRecord, Generation, InterpreterRef, Kept, Package};
use blast_types::{EnvName, Interpreter, Reporter, Requirement};

use super::super::error::{EngineError, at};
use super::super::generated;
use super::super::home::Home;
use super::super::ingest::{Artifact, Ingest, ingest};
use super::super::plan::Planned;
use super::super::provider::IndexProvider;
use super::super::resolve::parsed;
use super::Builder;

/// Where programs are looked for, after the environment's own, by who has no `PATH`.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a backend runs in. Programs in it go on working for as long as [`Shown`] lives.
#[derive(Debug)]
pub(super) struct BuildEnvironment {
    pub(super) prefix: PathBuf,
    /// Its base interpreter.
    pub(super) interpreter: PathBuf,
    /// None for an environment of the user's.
    shown: Option<Arc<Shown>>,
    /// `name==version` and layer of each package, sorted by name.
    pub(super) holds: Vec<String>,
}

/// Keeps a build environment in the view and in the store.
#[derive(Debug)]
pub(super) struct Shown {
    home: Arc<Home>,
    name: EnvName,
    _kept: Kept,
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.home.hide_build(&self.name);
    }
}

impl BuildEnvironment {
    /// Its Python.
    pub(super) fn python(&self) -> PathBuf {
        self.prefix.join("bin/python")
    }

    /// The variables of programs in it, those of the user among them.
    pub(super) fn variables(&self, user: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut variables = user.clone();
        let path = user.get("PATH").map_or(SYSTEM_PATH, String::as_str);
        let bin = self.prefix.join("bin");
        variables.insert("PATH".to_owned(), format!("{}:{path}", bin.display()));
        for (name, value) in [
            // What is in the user's own site-packages is no business of a build.
            ("PYTHONNOUSERSITE", "1"),
            // Sources are built where they are: they stay clean, and what is built from them too.
            ("PYTHONDONTWRITEBYTECODE", "1"),
            // What cannot be encoded would be an error of the backend's.
            ("PYTHONIOENCODING", "utf-8:backslashreplace"),
        ] {
            variables.insert(name.to_owned(), value.to_owned());
        }
        variables
    }

    /// To be held by whoever runs a program in it.
    pub(super) fn shown(&self) -> Option<Arc<Shown>> {
        self.shown.clone()
    }

    /// An environment of the user's, as it is. Blocks.
    pub(super) fn of_user(
        home: &Home,
        env: &EnvName,
        interpreter: &Interpreter,
        holds: &[String],
        reporter: &dyn Reporter,
    ) -> Result<Self, EngineError> {
        home.enter(env, false, reporter)?;
        Ok(Self {
            prefix: home.prefix(env),
            interpreter: interpreter.executable.clone(),
            shown: None,
            holds: holds.to_vec(),
        })
    }

    /// An environment with these packages and what they need.
    pub(super) async fn prepare(
        builder: &Builder,
        requirements: Vec<Requirement>,
    ) -> Result<Self, EngineError> {
        let shared = &builder.shared;
        let inputs = Inputs {
            constraints: parsed(&shared.constraints, "a constraint")?,
            options: shared.options.clone(),
            ..Inputs::new(requirements, shared.interpreter.target()?)
        };
        let provider = IndexProvider::new(shared.index.clone(), builder.clone());
        let resolution = resolve(inputs, Arc::new(provider), Arc::clone(&shared.reporter)).await?;
        let planned: Vec<_> = resolution
            .packages
            .iter()
            .map(|package| Planned {
                name: package.name.clone(),
                version: package.version.clone(),
                artifact: Artifact::of_file(Arc::clone(&package.file)),
                index: Some(package.index.to_string()),
                direct_url: None,
                requested: package.requested,
                extras: package.extras.iter().cloned().collect(),
            })
            .collect();
        let downloads = shared.caches.index.wheels_dir();
        std::fs::create_dir_all(&downloads).map_err(at(&downloads))?;
        let staging = Arc::new(shared.home.store.stage()?);
        let work = Ingest {
            store: Arc::clone(&shared.home.store),
            staging: Arc::clone(&staging),
            index: shared.index.clone(),
            builder: builder.clone(),
            downloads,
            scheme: shared.interpreter.scheme.clone(),
            reporter: Arc::clone(&shared.reporter),
            anew: false,
        };
        let artifacts = planned.iter().map(|planned| planned.artifact.clone());
        let ingested = ingest(Arc::new(work), artifacts.collect()).await?;
        let shared = Arc::clone(shared);
        tokio::task::spawn_blocking(move || {
            let mut packages: Vec<_> = planned
                .into_iter()
                .zip(&ingested)
                .map(|(planned, ingested)| planned.installed(ingested))
                .collect();
            packages.sort_by(|a, b| a.name.cmp(&b.name));
            let holds = holds(&packages);
            let record = record_of(&shared.interpreter, &holds)?;
            let prefix = shared.home.prefix(&record.name);
            let blast = std::env::current_exe().map_err(at("/proc/self/exe"))?;
            let spec = generated::Spec::of(&record, &prefix, &blast).entered();
            let read_blob = |blob| Ok(staging.read_blob(blob)?);
            let records = ingested.iter().map(|ingested| &*ingested.record);
            let layer = generated::layer(&spec, packages.iter().zip(records), &read_blob)?;
            let generation = Generation {
                interpreter: InterpreterRef::from(&record.interpreter),
                prefix: prefix.clone(),
                generated: staging.layer(layer)?,
                packages,
                captured: Vec::new(),
                requirements: Vec::new(),
                lock: None,
                policy: None,
            };
            let staging = Arc::into_inner(staging)
                .ok_or_else(|| EngineError::Bug("something still stages".to_owned()))?;
            let kept = shared.home.store.keep(&generation, staging)?;
            for ingested in &ingested {
                if let Some(key) = &ingested.fresh {
                    shared.home.store.put_wheel(key, &ingested.record)?;
                }
            }
            shared
                .home
                .show_build(&record.name, &generation, kept.generation())?;
            let shown = Shown {
                home: Arc::clone(&shared.home),
                name: record.name,
                _kept: kept,
            };
            Ok(Self {
                prefix,
                interpreter: shared.interpreter.executable.clone(),
                shown: Some(Arc::new(shown)),
                holds,
            })
        })
        .await?
    }
}

/// Name, version and layer of each package.
pub(super) fn holds(packages: &[Package]) -> Vec<String> {
    let lines = packages.iter();
    lines
        .map(|package| format!("{}=={} {}", package.name, package.version, package.layer))
        .collect()
}

/// The record that an environment of the user would have; the name says what it holds.
fn record_of(interpreter: &Interpreter, holds: &[String]) -> Result<EnvRecord, EngineError> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(interpreter.executable.as_os_str().as_encoded_bytes());
    for line in holds {
        hasher.update(b"\n").update(line.as_bytes());
    }
    let digits = hasher.finalize().to_hex();
    let name: EnvName = format!("_build-{}", &digits[..20])
        .parse()
        .map_err(|error| EngineError::Bug(format!("{error}")))?;
    Ok(EnvRecord {
        name,
        project: None,
        variables: BTreeMap::new(),
        interpreter: interpreter.clone(),
        created_ms: 0,
    })
}
