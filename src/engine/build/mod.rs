//! From sources to wheels: PEP 517 builds, and metadata that only a build can tell.
//!
//! A [`Builder`] belongs to one request. It answers the resolver ([`Builder::metadata`]) and ingest
//! ([`Builder::wheel`]): from the cache ([`cache`]), else from what the sources say of themselves,
//! else by running the backend's hooks ([`hooks`]) in an environment of its own ([`environment`]).
//! What backends need is resolved and ingested as everything else is, so a build may need builds;
//! those know which ones they serve, and one that serves itself is refused.
//!
//! Code of others runs at one place only, [`step::Step::run`].
//!
//! Concurrency: of two requests for one outcome within a command the second waits for the first.
//! Builds that serve another build do not wait, since the other might wait for them; they may do
//! a thing twice, which is only slower. Dropping a future ends what it runs.

mod cache;
mod confine;
mod digest;
mod environment;
mod error;
mod find;
mod git;
mod hooks;
mod make;
mod prepared;
mod source;
mod step;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use blast_index::Index;
use blast_resolver::{NameFilter, Options};
use blast_store::Generation;
use blast_types::{
    CoreMetadata, DirectUrl, EnvName, Interpreter, PackageName, Reporter, Sha256, Version,
};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::Semaphore;
use url::Url;

pub(crate) use cache::Built;
pub(crate) use error::BuildError;
pub(crate) use source::Source;
pub(crate) use step::{COMMAND, supervise};

use super::caches::Caches;
use super::error::EngineError;
use super::home::{Home, lock};
use crate::ipc::protocol::BuildOptions;
use cache::Cache;
use confine::Confiner;
use error::Failed;
use prepared::Prepared;

/// Builds of builds of builds … beyond this are refused, whatever they are of.
const DEEPEST: usize = 16;

/// Variables of the user that decide no outcome.
const IRRELEVANT: &[&str] = &["HOME", "LANG", "LC_ALL", "PATH", "TZ"];

/// Builds for one request, see the module's documentation. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Builder {
    shared: Arc<Shared>,
    /// The builds that this one serves, the outermost first.
    chain: Vec<String>,
}

struct Shared {
    home: Arc<Home>,
    caches: Arc<Caches>,
    cache: Cache,
    index: Index,
    interpreter: Interpreter,
    /// For resolving build requirements.
    options: Options,
    settings: BTreeMap<String, Value>,
    /// Limits on build requirements.
    constraints: Vec<String>,
    variables: BTreeMap<String, String>,
    git_variables: BTreeMap<String, String>,
    /// The environment to build in and what it holds, where builds are not isolated from it.
    within: Option<(EnvName, Vec<String>)>,
    /// What revisions came to.
    commits: Mutex<HashMap<String, String>>,
    /// Paths of folders that are to be installed in editable form, as URLs have them.
    editable: Mutex<BTreeSet<String>>,
    /// Metadata whose wheel is still to be made, by key.
    prepared: Mutex<HashMap<String, Prepared>>,
    /// What was built in this command.
    fresh: Mutex<BTreeSet<String>>,
    reporter: Arc<dyn Reporter>,
    confiner: Arc<Confiner>,
    /// Hooks at once.
    gate: Arc<Semaphore>,
    flights: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Source {
    fn check(&self, name: &PackageName, version: &Version) -> Result<(), BuildError> {
        match self.promised() {
            Some(expected) if expected != (name, version) => Err(BuildError::OtherProject {
                built: format!("{name} {version}"),
                expected: format!("{} {}", expected.0, expected.1),
            }),
            _ => Ok(()),
        }
    }

    /// The hooks: requirements, metadata, wheel.
    fn hooks(&self) -> [&'static str; 3] {
        if self.is_editable() {
            [
                "get_requires_for_build_editable",
                "prepare_metadata_for_build_editable",
                "build_editable",
            ]
        } else {
            [
                "get_requires_for_build_wheel",
                "prepare_metadata_for_build_wheel",
                "build_wheel",
            ]
        }
    }
}

impl Builder {
    /// For one request.
    pub(crate) fn new(
        home: &Arc<Home>,
        index: Index,
        interpreter: Interpreter,
        options: &Options,
        build: &BuildOptions,
        reporter: Arc<dyn Reporter>,
    ) -> Self {
        let caches = home.caches();
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let options = Options {
            exclude_newer: options.exclude_newer,
            exclude_newer_package: options.exclude_newer_package.clone(),
            only_binary: options.only_binary.clone(),
            // All packages from source would mean to build the builders, without end.
            no_binary: match &options.no_binary {
                NameFilter::All => NameFilter::None,
                some => some.clone(),
            },
            ..Options::default()
        };
        Self {
            shared: Arc::new(Shared {
                home: Arc::clone(home),
                cache: Cache::new(&caches.path),
                caches,
                index,
                interpreter,
                options,
                settings: build.settings.clone(),
                constraints: build.constraints.clone(),
                variables: build.variables.clone(),
                git_variables: build.git_variables.clone(),
                within: None,
                commits: Mutex::default(),
                editable: Mutex::default(),
                prepared: Mutex::default(),
                fresh: Mutex::default(),
                confiner: Arc::new(Confiner::new(
                    &build.sandbox,
                    home.path(),
                    &home.caches().path,
                    Arc::clone(&reporter),
                )),
                reporter,
                gate: Arc::new(Semaphore::new(cores)),
                flights: Mutex::default(),
            }),
            chain: Vec::new(),
        }
    }

    /// The same with builds in an environment of the user's, as it is.
    #[must_use]
    pub(crate) fn within(mut self, env: &EnvName, generation: &Generation) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.within = Some((env.clone(), environment::holds(&generation.packages)));
        }
        self
    }

    /// What the sources would be as a wheel.
    pub(crate) fn metadata(
        &self,
        source: Source,
    ) -> BoxFuture<'static, Result<Arc<CoreMetadata>, EngineError>> {
        let this = self.clone();
        async move {
            let label = source.label();
            this.find_metadata(&source)
                .await
                .map(Arc::new)
                .map_err(|failed| failed.of(&label))
        }
        .boxed()
    }

    /// The sources as a wheel.
    pub(crate) fn wheel(&self, source: Source) -> BoxFuture<'static, Result<Built, EngineError>> {
        let this = self.clone();
        async move {
            let label = source.label();
            this.find_wheel(&source)
                .await
                .map_err(|failed| failed.of(&label))
        }
        .boxed()
    }

    /// The wheel with this hash that was built before, if the cache still has it.
    pub(crate) fn kept(&self, sha256: Sha256) -> Option<Built> {
        self.shared.cache.kept(sha256)
    }

    /// Hash and name of a wheel that was built of these sources as they are now, if that is known
    /// without fetching any. A folder that is not editable is always built anew. Blocks.
    pub(crate) fn built_before(&self, source: &Source) -> Option<(Sha256, String)> {
        let sources = match source {
            Source::Archive { file, .. } => file.sha256?.to_hex(),
            Source::Directory {
                editable: false, ..
            } => return None,
            Source::Directory { path, .. } => digest::of_project(path).ok()?,
            Source::Git(git) => lock(&self.shared.commits).get(&git.to_string())?.clone(),
        };
        self.shared.cache.built_hash(&self.key(source, sources))
    }

    /// An archive's SHA-256, fetched where it is not known; nothing for what is no file.
    pub(crate) async fn sha256(&self, source: &Source) -> Result<Option<Sha256>, EngineError> {
        let Source::Archive { file, .. } = source else {
            return Ok(None);
        };
        match file.sha256 {
            Some(sha256) => Ok(Some(sha256)),
            None => match self.fetch(file).await {
                Ok((_, sha256)) => Ok(Some(sha256)),
                Err(failed) => Err(failed.of(&source.label())),
            },
        }
    }

    /// The file of an archive, in the cache; nothing for what is no file.
    pub(crate) async fn archive(&self, source: &Source) -> Result<Option<PathBuf>, EngineError> {
        let Source::Archive { file, .. } = source else {
            return Ok(None);
        };
        match self.fetch(file).await {
            Ok((path, _)) => Ok(Some(path)),
            Err(failed) => Err(failed.of(&source.label())),
        }
    }

    /// The sources that a requirement's URL names, in the form in which they are to be installed;
    /// `None`: a wheel, or nothing that can be used.
    pub(crate) fn source(&self, name: &PackageName, url: &Url) -> Option<Source> {
        Source::of_url(Some(name), url, self.is_editable(url)).ok()?
    }

    /// PEP 610, once the sources were looked at.
    pub(crate) fn direct_url(&self, source: &Source) -> DirectUrl {
        source.direct_url(self.known_commit(source).as_deref())
    }

    /// The commit that a repository's revision came to in this command.
    pub(crate) fn known_commit(&self, source: &Source) -> Option<String> {
        let Source::Git(git) = source else {
            return None;
        };
        lock(&self.shared.commits).get(&git.to_string()).cloned()
    }

    /// Whether what is at this URL is to be installed in editable form.
    pub(crate) fn is_editable(&self, url: &Url) -> bool {
        url.scheme() == "file"
            && lock(&self.shared.editable).contains(url.path().trim_end_matches('/'))
    }

    /// Says so.
    pub(crate) fn set_editable(&self, url: &Url, editable: bool) {
        if url.scheme() == "file" {
            let path = url.path().trim_end_matches('/');
            if editable {
                lock(&self.shared.editable).insert(path.to_owned());
            } else {
                lock(&self.shared.editable).remove(path);
            }
        }
    }

    /// Waits until nobody else of this command works on the same outcome.
    async fn board(&self, key: &str) -> Option<tokio::sync::OwnedMutexGuard<()>> {
        if !self.chain.is_empty() {
            return None;
        }
        let flight = Arc::clone(
            lock(&self.shared.flights)
                .entry(key.to_owned())
                .or_default(),
        );
        Some(flight.lock_owned().await)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BuildError> + Send + 'static,
) -> Result<T, Failed> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(EngineError::from)??)
}
