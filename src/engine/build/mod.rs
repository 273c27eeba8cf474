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
mod git;
mod hooks;
mod source;
mod step;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use blast_index::Index;
use blast_index::sdist::{Limits, SourceTree, unpack};
use blast_index::wheel::WheelArchive;
use blast_resolver::{NameFilter, Options};
use blast_store::Generation;
use blast_types::{
    CoreMetadata, DirectUrl, DistFile, EnvName, Event, Interpreter, PackageName, Reporter, Sha256,
    Version, filename, pep508,
};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::Semaphore;
use url::Url;

pub(crate) use cache::Built;
pub(crate) use error::BuildError;
pub(crate) use source::{GitSource, Source};
pub(crate) use step::{COMMAND, supervise};

use super::caches::Caches;
use super::error::{EngineError, at};
use super::home::{Home, lock};
use crate::ipc::protocol::BuildOptions;
use cache::{Cache, Inputs};
use confine::Confiner;
use environment::BuildEnvironment;
use git::Repository;
use hooks::Workshop;

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
    variables: BTreeMap<String, String>,
    git_variables: BTreeMap<String, String>,
    /// The environment to build in and what it holds, where builds are not isolated from it.
    within: Option<(EnvName, Vec<String>)>,
    /// What revisions came to.
    commits: Mutex<HashMap<String, String>>,
    /// Paths of folders that are to be installed in editable form, as URLs have them.
    editable: Mutex<BTreeSet<String>>,
    /// What was built in this command.
    fresh: Mutex<BTreeSet<String>>,
    reporter: Arc<dyn Reporter>,
    confiner: Arc<Confiner>,
    /// Hooks at once.
    gate: Arc<Semaphore>,
    flights: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// Sources that were found, and the name of what comes of them.
struct Found {
    key: String,
    place: Place,
}

enum Place {
    Archive(PathBuf),
    Folder(PathBuf),
    Commit(String),
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
                variables: build.variables.clone(),
                git_variables: build.git_variables.clone(),
                within: None,
                commits: Mutex::default(),
                editable: Mutex::default(),
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

    async fn find_metadata(&self, source: &Source) -> Result<CoreMetadata, Failed> {
        let found = self.find(source).await?;
        let _flight = self.board(&found.key).await;
        if let Some(known) = self.shared.cache.metadata(&found.key) {
            return Ok(known);
        }
        let shop = self.workshop(source, &found).await?;
        let metadata = match shop.tree.metadata().map_err(BuildError::from)? {
            Some(metadata) => metadata,
            None => self.ask_backend(source, &found, &shop).await?,
        };
        source.check(&metadata.name, &metadata.version)?;
        self.shared.cache.put_metadata(&found.key, &metadata)?;
        shop.close();
        Ok(metadata)
    }

    /// Metadata by `prepare_metadata_for_build_wheel`, else by building.
    async fn ask_backend(
        &self,
        source: &Source,
        found: &Found,
        shop: &Workshop,
    ) -> Result<CoreMetadata, Failed> {
        self.building(source);
        let environment = self.environment(source, shop).await?;
        let output = shop.output("metadata")?;
        let [_, hook, _] = source.hooks();
        let Some(folder) = shop.make(&environment, hook, &output).await? else {
            let built = self.build(source, found, shop, &environment).await?;
            let archive =
                WheelArchive::open(&built.path, &built.filename).map_err(EngineError::from)?;
            return Ok(archive.metadata().clone());
        };
        let path = folder.join("METADATA");
        let bytes = std::fs::read(&path).map_err(BuildError::io("read", &path))?;
        let metadata =
            blast_index::metadata::parse(&bytes).map_err(|error| BuildError::Answer {
                hook,
                reason: error.to_string(),
            })?;
        Ok(metadata)
    }

    async fn find_wheel(&self, source: &Source) -> Result<Built, Failed> {
        let found = self.find(source).await?;
        let _flight = self.board(&found.key).await;
        let cached = {
            let (cache, key) = (self.shared.cache.clone(), found.key.clone());
            blocking(move || Ok(cache.built(&key))).await?
        };
        let changes = matches!(
            source,
            Source::Directory {
                editable: false,
                ..
            }
        );
        if let Some(built) = cached
            && (!changes || lock(&self.shared.fresh).contains(&found.key))
        {
            return Ok(built);
        }
        self.building(source);
        let shop = self.workshop(source, &found).await?;
        let environment = self.environment(source, &shop).await?;
        let built = self.build(source, &found, &shop, &environment).await?;
        shop.close();
        Ok(built)
    }

    /// Runs `build_wheel` and keeps what comes of it.
    async fn build(
        &self,
        source: &Source,
        found: &Found,
        shop: &Workshop,
        environment: &BuildEnvironment,
    ) -> Result<Built, Failed> {
        let [_, _, hook] = source.hooks();
        let output = shop.output("wheel")?;
        let wheel = shop.make(environment, hook, &output).await?;
        let nonsense = |reason: String| BuildError::Answer { hook, reason };
        let wheel = wheel.ok_or_else(|| BuildError::NoHook {
            backend: shop.system.backend.clone(),
            hook,
        })?;
        let name = wheel.file_name().unwrap_or_default().to_string_lossy();
        let filename = filename::wheel(&name)
            .map_err(|error| nonsense(format!("{name} is no name of a wheel: {error}")))?;
        source.check(&filename.name, &filename.version)?;
        let target = self
            .shared
            .interpreter
            .target()
            .map_err(EngineError::from)?;
        if !filename.is_compatible(&target.tags) {
            let wheel = name.into_owned();
            return Err(BuildError::OtherPlatform { wheel }.into());
        }
        // Refused now and not when it is installed, so that it is not kept either.
        WheelArchive::open(&wheel, &filename).map_err(EngineError::from)?;
        Ok(self
            .shared
            .cache
            .put(&found.key, &wheel, filename, &environment.holds)?)
    }

    /// The environment that the backend runs in, with all that it asks for.
    async fn environment(
        &self,
        source: &Source,
        shop: &Workshop,
    ) -> Result<BuildEnvironment, Failed> {
        if let Some((env, holds)) = self.shared.within.clone() {
            let shared = Arc::clone(&self.shared);
            let shown = tokio::task::spawn_blocking(move || {
                let (home, reporter) = (&shared.home, &*shared.reporter);
                BuildEnvironment::of_user(home, &env, &shared.interpreter, &holds, reporter)
            });
            return Ok(shown.await.map_err(EngineError::from)??);
        }
        let nested = self.serving(source)?;
        let cannot = |source: EngineError| BuildError::Requirements {
            source: Box::new(source),
        };
        let mut requires = shop.system.requires.clone();
        let first = BuildEnvironment::prepare(&nested, requires.clone());
        let first = first.await.map_err(cannot)?;
        let [hook, _, _] = source.hooks();
        let more = shop.requires(&first, hook).await?;
        if more.is_empty() {
            return Ok(first);
        }
        for text in more {
            let requirement = pep508::requirement(&text).map_err(|error| {
                let error = error.to_string();
                let reason = error.lines().next().unwrap_or_default();
                BuildError::Answer {
                    hook,
                    reason: format!("`{}` is no requirement: {reason}", text.escape_debug()),
                }
            })?;
            requires.push(requirement);
        }
        let whole = BuildEnvironment::prepare(&nested, requires);
        Ok(whole.await.map_err(cannot)?)
    }

    /// A builder for what the build of these sources needs.
    fn serving(&self, source: &Source) -> Result<Self, BuildError> {
        let label = source.label();
        let mut chain = self.chain.clone();
        let known = chain.iter().position(|served| *served == label);
        chain.push(label);
        if let Some(from) = known {
            chain.drain(..from);
            return Err(BuildError::Cycle { chain });
        }
        if chain.len() > DEEPEST {
            return Err(BuildError::Cycle { chain });
        }
        Ok(Self {
            shared: Arc::clone(&self.shared),
            chain,
        })
    }

    fn building(&self, source: &Source) {
        self.shared.reporter.report(Event::Building {
            package: source.label(),
        });
    }

    fn key(&self, source: &Source, sources: String) -> String {
        let mut variables = self.shared.variables.clone();
        variables.retain(|name, _| !IRRELEVANT.contains(&name.as_str()));
        let inputs = Inputs {
            sources,
            subdirectory: match source {
                Source::Archive { subdirectory, .. } => subdirectory.as_deref(),
                Source::Directory { .. } => None,
                Source::Git(git) => git.subdirectory.as_deref(),
            },
            editable: source.is_editable(),
            within: match &self.shared.within {
                Some((_, holds)) => holds,
                None => &[],
            },
            settings: &self.shared.settings,
            variables: &variables,
        };
        Cache::key(&self.shared.interpreter, &inputs)
    }

    async fn find(&self, source: &Source) -> Result<Found, Failed> {
        let (sources, place) = match source {
            Source::Archive { file, .. } => {
                let (archive, sha256) = self.fetch(file).await?;
                (sha256.to_hex(), Place::Archive(archive))
            }
            Source::Directory { path, editable } => {
                let (folder, editable) = (path.clone(), *editable);
                let digest = blocking(move || {
                    if editable {
                        digest::of_project(&folder)
                    } else {
                        digest::of_tree(&folder)
                    }
                });
                (digest.await?, Place::Folder(path.clone()))
            }
            Source::Git(git) => {
                let commit = self.commit(git).await?;
                (commit.clone(), Place::Commit(commit))
            }
        };
        Ok(Found {
            key: self.key(source, sources),
            place,
        })
    }

    /// The commit that a revision means: found out once in a command.
    async fn commit(&self, git: &GitSource) -> Result<String, Failed> {
        let name = git.to_string();
        let known = lock(&self.shared.commits).get(&name).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        self.shared.reporter.report(Event::Phase {
            name: "fetching".to_owned(),
        });
        let repository = self.repository(git)?;
        let commit = repository
            .commit(self.shared.index.sources().offline)
            .await?;
        lock(&self.shared.commits).insert(name, commit.clone());
        Ok(commit)
    }

    fn repository<'a>(&self, git: &'a GitSource) -> Result<Repository<'a>, BuildError> {
        let mut variables = self.shared.git_variables.clone();
        for name in IRRELEVANT {
            if let Some(value) = self.shared.variables.get(*name) {
                variables.insert((*name).to_owned(), value.clone());
            }
        }
        Repository::new(git, &self.shared.caches.path, &variables)
    }

    /// The archive, verified, in the cache.
    async fn fetch(&self, file: &DistFile) -> Result<(PathBuf, Sha256), Failed> {
        let cache = &self.shared.cache;
        if let Some(sha256) = file.sha256 {
            let kept = cache.sdist(sha256);
            let path = kept.clone();
            let whole = move || Ok(std::fs::read(&path).is_ok_and(|b| Sha256::of(&b) == sha256));
            if blocking(whole).await? {
                return Ok((kept, sha256));
            }
        }
        let folder = cache.sdists()?;
        let temporary = tempfile::NamedTempFile::new_in(folder).map_err(at(folder))?;
        let shared = &self.shared;
        let sha256 = shared
            .index
            .download(file, None, temporary.path(), &*shared.reporter)
            .await
            .map_err(EngineError::from)?;
        let kept = cache.sdist(sha256);
        let kept_as = temporary.persist(&kept);
        kept_as.map_err(|error| at(&kept)(error.error))?;
        Ok((kept, sha256))
    }

    /// The sources where they can be built.
    async fn workshop(&self, source: &Source, found: &Found) -> Result<Workshop, Failed> {
        let (cache, label) = (self.shared.cache.clone(), source.label());
        let named = label.clone();
        let (folder, log) = blocking(move || Ok((cache.workshop()?, cache.log(&named)?))).await?;
        let into = folder.path().join("sources");
        let mut reads = Vec::new();
        let root = match (source, &found.place) {
            (
                Source::Archive {
                    file, subdirectory, ..
                },
                Place::Archive(archive),
            ) => {
                let (archive, name) = (archive.clone(), file.filename.to_string());
                let root = blocking(move || {
                    std::fs::create_dir(&into).map_err(BuildError::io("make", &into))?;
                    Ok(unpack(&archive, &name, &into, Limits::default())?)
                })
                .await?;
                root.join(subdirectory.as_deref().unwrap_or_default())
            }
            (Source::Git(git), Place::Commit(commit)) => {
                let repository = self.repository(git)?;
                repository.check_out(commit, &into).await?;
                reads.push(repository.copy().to_owned());
                into.join(git.subdirectory.as_deref().unwrap_or_default())
            }
            (_, Place::Folder(path)) => path.clone(),
            _ => return Err(EngineError::Bug("sources are elsewhere".to_owned()).into()),
        };
        let tree = blocking(move || Ok(SourceTree::open(&root)?)).await?;
        let shared = &self.shared;
        Ok(Workshop::new(
            Arc::new(folder),
            tree,
            shared.settings.clone(),
            shared.variables.clone(),
            Arc::clone(&shared.gate),
            log,
            shared.confiner.of(&label, reads),
        )?)
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

/// A failure on its way to an [`EngineError`] that names what was to be built.
enum Failed {
    Build(BuildError),
    Other(EngineError),
}

impl Failed {
    fn of(self, label: &str) -> EngineError {
        match self {
            Self::Build(source) => EngineError::Build {
                what: label.to_owned(),
                source: Box::new(source),
            },
            Self::Other(error) => error,
        }
    }
}

impl From<BuildError> for Failed {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}

impl From<EngineError> for Failed {
    fn from(error: EngineError) -> Self {
        Self::Other(error)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BuildError> + Send + 'static,
) -> Result<T, Failed> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(EngineError::from)??)
}
