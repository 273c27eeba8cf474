//! From artifacts to layers: download, verify, unpack into blobs, describe as a layer.
//!
//! Wheels that the store knows under the interpreter's scheme cost one look-up. The others are
//! downloaded in parallel, each is verified whole before a byte of it is unpacked (the index crate
//! does both), and its members are hashed and staged in parallel. Nothing is visible in the store
//! until the [`Staging`] that all share is published, so a wheel that turns out bad at its last
//! member leaves nothing behind.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use blast_index::{Destination as _, Index};
use blast_store::failpoint::{self, Point};
use blast_store::{Package, Staging, Store, StoreError, WheelKey, WheelRecord};
use blast_types::{
    DistFile, DistKind, Event, FileHash, MetadataAt, Reporter, SchemePaths, Sha256, WheelFilename,
    Yanked, versions,
};
use futures::stream::{StreamExt as _, TryStreamExt as _};
use futures::{FutureExt as _, TryFutureExt as _};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::build::{Builder, Source};
use super::error::{EngineError, at};
use super::home::lock;
use super::landing::Landing;
use super::unpack::wheel_to_layer;

/// Transfers at once.
const DOWNLOADS: usize = 16;

/// So much is unpacked before it is written out in the background, beside further unpacking: what
/// is left for the commit is then a small rest.
const WRITE_OUT: u64 = 48 << 20;

/// One artifact that an environment shall hold.
#[derive(Debug, Clone)]
pub(crate) struct Artifact {
    /// The file.
    pub(crate) file: Arc<DistFile>,
    /// Hashes that a lock or `--hash` allows; empty: what the index says is enough.
    pub(crate) allowed: Vec<FileHash>,
    /// Who stated `allowed`.
    pub(crate) stated_by: String,
    /// SHA-256 of the wheel that was built from it, where it is installed and no wheel.
    pub(crate) built: Option<Sha256>,
    /// Under which scheme the store knows what it became, where it is installed already.
    pub(crate) scheme: Option<String>,
    /// The sources, where they are something else than a source distribution of an index.
    pub(crate) source: Option<Source>,
}

/// What an artifact became.
#[derive(Debug, Clone)]
pub(crate) struct Ingested {
    /// Its SHA-256; none for what is no file.
    pub(crate) sha256: Option<Sha256>,
    /// The name of the wheel that was built, of what is no file.
    pub(crate) filename: Option<String>,
    /// SHA-256 of the wheel that was built from it, where it is no wheel.
    pub(crate) built: Option<Sha256>,
    /// Layer and summary.
    pub(crate) record: Arc<WheelRecord>,
    /// Under which scheme the store knows the record, or shall.
    pub(crate) scheme: String,
    /// Under which name the store shall remember the record, where it does not know it yet. Its
    /// layer must be published first.
    pub(crate) fresh: Option<WheelKey>,
}

/// What a file's SHA-256 tells of hashes that somebody stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vouched {
    /// It is among them, or there are none.
    Already,
    /// They are of other algorithms.
    ByItsBytesOnly,
}

/// Everything that ingesting needs.
pub(crate) struct Ingest {
    /// The store.
    pub(crate) store: Arc<Store>,
    /// Where new objects are staged; made on first need, so that a change that brings no new
    /// artifact stages nothing.
    pub(crate) staging: Arc<Staging>,
    /// Where artifacts come from.
    pub(crate) index: Index,
    /// Makes wheels of sources.
    pub(crate) builder: Builder,
    /// Where downloads that are too big for memory are put while they are in flight.
    pub(crate) downloads: PathBuf,
    /// Install paths of the interpreter.
    pub(crate) scheme: SchemePaths,
    /// Takes progress.
    pub(crate) reporter: Arc<dyn Reporter>,
    /// Unpack also what the store knows already, as it may be damaged.
    pub(crate) anew: bool,
}

/// Names the install paths of an interpreter: layers are shared by all interpreters that agree.
pub(crate) fn scheme_key(scheme: &SchemePaths) -> String {
    let SchemePaths {
        purelib,
        platlib,
        scripts,
        data,
        headers,
    } = scheme;
    [purelib, platlib, scripts, data, headers]
        .map(String::as_str)
        .join("|")
}

/// Brings all artifacts into the store (staged), in the order given.
pub(crate) async fn ingest(
    ingest: Arc<Ingest>,
    artifacts: Vec<Artifact>,
) -> Result<Vec<Ingested>, EngineError> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let unpacking = Arc::new(Semaphore::new(cores));
    let writing = Arc::new(WriteOut::default());
    let scheme = scheme_key(&ingest.scheme);
    let mut found: Vec<Option<Ingested>> = Vec::with_capacity(artifacts.len());
    let mut missing = Vec::new();
    for (position, artifact) in artifacts.into_iter().enumerate() {
        found.push(known(&ingest, &artifact, &scheme)?);
        if found[position].is_none() {
            missing.push((position, artifact));
        }
    }
    // The largest first: what takes longest should not start last.
    missing.sort_by_key(|(_, artifact)| std::cmp::Reverse(artifact.file.size));
    let transfers: Vec<_> = missing
        .into_iter()
        .map(|(position, artifact)| {
            let (ingest, unpacking) = (Arc::clone(&ingest), Arc::clone(&unpacking));
            let writing = Arc::clone(&writing);
            let staging = Arc::clone(&ingest.staging);
            fetch(ingest, unpacking, artifact)
                .map_ok(move |ingested| {
                    writing.unpacked(ingested.record.bytes, staging);
                    (position, ingested)
                })
                .boxed()
        })
        .collect();
    let fetched: Vec<_> = futures::stream::iter(transfers)
        .buffer_unordered(DOWNLOADS)
        .try_collect()
        .await?;
    writing.finish().await?;
    for (position, ingested) in fetched {
        found[position] = Some(ingested);
    }
    found
        .into_iter()
        .map(|entry| entry.ok_or_else(|| EngineError::Bug("an artifact was passed over".into())))
        .collect()
}

fn known(
    ingest: &Ingest,
    artifact: &Artifact,
    scheme: &str,
) -> Result<Option<Ingested>, EngineError> {
    if let Some(sha256) = artifact.file.sha256
        && artifact.check(sha256)? == Vouched::ByItsBytesOnly
    {
        return Ok(None);
    }
    let source = artifact.source();
    let (mut built, mut filename) = (artifact.built, None);
    if let (Some(source), None) = (&source, built) {
        let Some((sha256, name)) = ingest.builder.built_before(source) else {
            return Ok(None);
        };
        built = Some(sha256);
        filename = Some(name).filter(|_| !source.is_file());
    }
    let Some(wheel) = built.or(artifact.file.sha256) else {
        return Ok(None);
    };
    for scheme in artifact.scheme.as_deref().into_iter().chain([scheme]) {
        let key = WheelKey {
            sha256: wheel,
            scheme: scheme.to_owned(),
        };
        if let Some(record) = ingest.store.wheel(&key)? {
            return Ok(Some(Ingested {
                sha256: artifact.file.sha256,
                filename,
                built,
                record,
                scheme: key.scheme,
                fresh: None,
            }));
        }
    }
    Ok(None)
}

async fn fetch(
    ingest: Arc<Ingest>,
    unpacking: Arc<Semaphore>,
    artifact: Artifact,
) -> Result<Ingested, EngineError> {
    failpoint::hit(Point::EngineFetch).map_err(at(&ingest.downloads))?;
    if let Some(source) = artifact.source() {
        return build(ingest, unpacking, artifact, source).await;
    }
    let DistKind::Wheel(filename) = &artifact.file.kind else {
        return Err(EngineError::Bug(format!(
            "{} is no wheel",
            artifact.file.filename
        )));
    };
    let landing = Landing::new(&ingest.downloads);
    let expected = match artifact.allowed.as_slice() {
        [only] => only.sha256(),
        _ => None,
    };
    let scheme = scheme_key(&ingest.scheme);
    let download = ingest
        .index
        .download(&artifact.file, expected, &landing, &*ingest.reporter);
    let sha256 = download.await?;
    let path = landing
        .path(artifact.file.size)
        .map_err(at(&ingest.downloads))?
        .to_owned();
    artifact.check_file(sha256, &path).await?;
    let filename = (**filename).clone();
    let (record, fresh) = unpack(ingest, unpacking, path, filename, sha256).await?;
    drop(landing);
    Ok(Ingested {
        sha256: Some(sha256),
        filename: None,
        built: None,
        record,
        scheme,
        fresh,
    })
}

/// Has a wheel made of sources. Their hash is looked at before anything of them runs.
async fn build(
    ingest: Arc<Ingest>,
    unpacking: Arc<Semaphore>,
    artifact: Artifact,
    source: Source,
) -> Result<Ingested, EngineError> {
    let sha256 = ingest.builder.sha256(&source).await?;
    if let Some(sha256) = sha256 {
        artifact
            .check_source(sha256, &ingest.builder, &source)
            .await?;
    }
    let built = ingest.builder.wheel(source).await?;
    let name = built
        .path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let scheme = scheme_key(&ingest.scheme);
    let unpacked = unpack(ingest, unpacking, built.path, built.filename, built.sha256);
    let (record, fresh) = unpacked.await?;
    Ok(Ingested {
        filename: name.filter(|_| sha256.is_none()),
        sha256,
        built: Some(built.sha256),
        record,
        scheme,
        fresh,
    })
}

/// Brings the wheel of an installed package once more and stages what it holds; `ingest` must be one
/// that works anew, with the scheme of the package.
///
/// # Errors
/// The wheel cannot be had, or what comes out of it is another layer than the package's.
pub(crate) async fn bring_again(
    ingest: Arc<Ingest>,
    package: &Package,
) -> Result<(WheelKey, Arc<WheelRecord>), EngineError> {
    let unpacking = Arc::new(Semaphore::new(1));
    let kept = package
        .artifact
        .built
        .and_then(|sha256| ingest.builder.kept(sha256));
    let (record, key) = if let Some(built) = kept {
        unpack(ingest, unpacking, built.path, built.filename, built.sha256).await?
    } else {
        if package.artifact.sha256.is_none() {
            return Err(EngineError::NotToBeHad {
                package: package.name.clone(),
            });
        }
        let artifact = Artifact::installed(package, None)?;
        let ingested = fetch(ingest, unpacking, artifact).await?;
        (ingested.record, ingested.fresh)
    };
    match key {
        Some(key) if record.layer == package.layer => Ok((key, record)),
        _ => Err(EngineError::OtherLayer {
            package: package.name.clone(),
        }),
    }
}

/// Makes a layer of a wheel, unless the store has it already under another name. With what the
/// store must learn, if so.
async fn unpack(
    ingest: Arc<Ingest>,
    unpacking: Arc<Semaphore>,
    path: PathBuf,
    filename: WheelFilename,
    sha256: Sha256,
) -> Result<(Arc<WheelRecord>, Option<WheelKey>), EngineError> {
    let key = WheelKey {
        sha256,
        scheme: scheme_key(&ingest.scheme),
    };
    if !ingest.anew
        && let Some(record) = ingest.store.wheel(&key)?
    {
        return Ok((record, None));
    }
    let _permit = unpacking
        .acquire()
        .await
        .map_err(|_| EngineError::Bug("the unpacking gate is closed".into()))?;
    let record = tokio::task::spawn_blocking(move || {
        failpoint::hit(Point::EngineUnpack).map_err(at(&path))?;
        let record = wheel_to_layer(&ingest, &path, &filename)?;
        let package = format!("{}=={}", record.name, record.version);
        ingest.reporter.report(Event::Unpacked { package });
        Ok::<_, EngineError>(record)
    })
    .await??;
    Ok((Arc::new(record), Some(key)))
}

/// Writes out in the background what was unpacked, one batch at a time.
#[derive(Default)]
struct WriteOut {
    state: Mutex<Batches>,
}

#[derive(Default)]
struct Batches {
    unwritten_bytes: u64,
    running: Option<JoinHandle<Result<(), StoreError>>>,
}

impl WriteOut {
    fn unpacked(&self, bytes: u64, staging: Arc<Staging>) {
        let mut state = lock(&self.state);
        state.unwritten_bytes += bytes;
        let is_free = state.running.as_ref().is_none_or(JoinHandle::is_finished);
        if state.unwritten_bytes >= WRITE_OUT && is_free {
            state.unwritten_bytes = 0;
            state.running = Some(tokio::task::spawn_blocking(move || staging.write_out()));
        }
    }

    /// Waits for the batch under way; whoever publishes needs the staging for himself.
    async fn finish(&self) -> Result<(), EngineError> {
        let running = lock(&self.state).running.take();
        match running {
            Some(running) => Ok(running.await??),
            None => Ok(()),
        }
    }
}

impl Artifact {
    /// This file, with whatever hash the index states.
    pub(crate) fn of_file(file: Arc<DistFile>) -> Self {
        Self {
            file,
            allowed: Vec::new(),
            stated_by: String::new(),
            built: None,
            scheme: None,
            source: None,
        }
    }

    /// What it is built from, where it is no wheel.
    fn source(&self) -> Option<Source> {
        match (&self.source, &self.file.kind) {
            (Some(source), _) => Some(source.clone()),
            (None, DistKind::Sdist(_)) => Some(Source::archive(Arc::clone(&self.file))),
            (None, DistKind::Wheel(_)) => None,
        }
    }

    /// Whether it comes from sources that are not installed as they are now.
    pub(crate) fn is_new(&self) -> bool {
        self.source.as_ref().is_some_and(|source| !source.is_file())
    }

    /// Refuses a file that whoever asked did not mean, as far as its SHA-256 tells.
    fn check(&self, sha256: Sha256) -> Result<Vouched, EngineError> {
        if self.allowed.is_empty() || self.allowed.contains(&sha256.into()) {
            return Ok(Vouched::Already);
        }
        if self.allowed.iter().all(|hash| hash.sha256().is_some()) {
            return Err(self.wrong_hash());
        }
        Ok(Vouched::ByItsBytesOnly)
    }

    /// The same of a file that is here, by whatever algorithm whoever asked used.
    pub(super) async fn check_file(&self, sha256: Sha256, path: &Path) -> Result<(), EngineError> {
        if self.check(sha256)? == Vouched::Already {
            return Ok(());
        }
        let (allowed, path) = (self.allowed.clone(), path.to_owned());
        let is_allowed = tokio::task::spawn_blocking(move || {
            let bytes = std::fs::read(&path).map_err(at(&path))?;
            Ok::<_, EngineError>(allowed.iter().any(|stated| stated.is_of(&bytes)))
        });
        if is_allowed.await?? {
            Ok(())
        } else {
            Err(self.wrong_hash())
        }
    }

    /// The same of sources, which are fetched only if their SHA-256 does not tell.
    pub(super) async fn check_source(
        &self,
        sha256: Sha256,
        builder: &Builder,
        source: &Source,
    ) -> Result<(), EngineError> {
        match self.check(sha256)? {
            Vouched::Already => Ok(()),
            Vouched::ByItsBytesOnly => match builder.archive(source).await? {
                Some(path) => self.check_file(sha256, &path).await,
                None => Err(self.wrong_hash()),
            },
        }
    }

    fn wrong_hash(&self) -> EngineError {
        EngineError::WrongHash {
            file: self.file.filename.to_string(),
            stated_by: self.stated_by.clone(),
        }
    }

    /// The artifact that an installed package came from, as a file.
    pub(crate) fn installed(
        package: &Package,
        record: Option<&WheelRecord>,
    ) -> Result<Self, EngineError> {
        let filename = &package.artifact.filename;
        let (_, kind) = blast_index::simple::classify(filename, Some(&package.name))
            .ok_or_else(|| EngineError::Bug(format!("{filename} is no distribution")))?;
        Ok(Self {
            file: Arc::new(DistFile {
                filename: filename.as_str().into(),
                kind,
                url: package.artifact.url.as_deref().unwrap_or_default().into(),
                sha256: package.artifact.sha256,
                size: None,
                requires_python: record
                    .and_then(|record| record.requires_python.as_ref())
                    .and_then(|text| versions::specifiers(text).ok()),
                yanked: Yanked::No,
                other_hash: None,
                upload_time_ms: None,
                metadata: MetadataAt::Inside,
            }),
            allowed: Vec::new(),
            stated_by: String::new(),
            built: package.artifact.built,
            scheme: Some(package.scheme.clone()),
            source: None,
        })
    }
}
