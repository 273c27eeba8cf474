//! Fetching distributions without installing them: what an environment would take for these
//! requirements, as files in a folder of the user's.
//!
//! What is installed is not looked at, only the interpreter is. Each file is written beside its place
//! and renamed, so that a file of its name is whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use blast_resolver::{Inputs, resolve};
use blast_types::{DistKind, Event, PackageName, Reporter, Target};
use futures::FutureExt as _;
use futures::stream::{StreamExt as _, TryStreamExt as _};

use super::build::{Builder, Source};
use super::change::complete;
use super::error::{EngineError, at};
use super::home::Home;
use super::ingest::Artifact;
use super::lock_target::aimed_at;
use super::provider::IndexProvider;
use super::requirements::{applies, understand};
use super::resolve::{artifact, resolver_options, with_options};
use super::secrets;
use crate::ipc::protocol::{Fetch, FetchedFile, Reply};

/// Transfers at once.
const DOWNLOADS: usize = 16;

/// Resolves, downloads, and builds where a wheel is wanted and there is none.
pub(crate) async fn fetch(
    home: Arc<Home>,
    mut request: Fetch,
    reporter: Arc<dyn Reporter>,
) -> Result<Reply, EngineError> {
    secrets::separate(
        &mut request.requirements,
        &mut request.options,
        &mut request.sources,
    );
    let state = home.env(&request.env)?;
    let before = home.store.generation(state.head)?;
    let interpreter = state.record.interpreter;
    let sources = complete(&home, request.sources, &interpreter).await?;
    let index = home.caches().index.index(sources);
    let builder = Builder::new(
        &home,
        index.clone(),
        interpreter.clone(),
        &resolver_options(&request.options)?,
        &request.options.build,
        Arc::clone(&reporter),
    );
    let builder = if request.options.build.no_isolation {
        builder.within(&request.env, &before)
    } else {
        builder
    };
    let (markers, platform) = aimed_at(
        &interpreter,
        request.python.as_deref(),
        request.platform.as_ref(),
    )?;
    let target = Target::new(&markers, &platform)?;
    let asked = understand(&builder, &request.requirements.requirements).await?;
    let requirements = asked
        .iter()
        .map(|asked| asked.requirement.clone())
        .filter(|requirement| applies(requirement, &target.markers))
        .collect();
    let mut inputs: Inputs = with_options(requirements, target, &request.options, &*reporter)?;
    inputs.options.no_deps = request.no_deps;
    reporter.report(Event::Phase {
        name: "resolving".to_owned(),
    });
    let provider = Arc::new(IndexProvider::new(index.clone(), builder.clone()));
    let resolution = resolve(inputs, provider, Arc::clone(&reporter)).await?;
    std::fs::create_dir_all(&request.to).map_err(at(&request.to))?;
    let work = Arc::new(Work {
        index,
        builder,
        reporter,
        to: request.to,
        wheels: request.wheels,
    });
    let transfers: Vec<_> = resolution
        .packages
        .iter()
        .map(|package| {
            let direct = package.direct.as_ref();
            let source = direct.and_then(|url| work.builder.source(&package.name, url.raw()));
            let artifact = Artifact {
                source,
                ..artifact(&package.name, &package.file, &asked)
            };
            one(Arc::clone(&work), package.name.clone(), artifact).boxed()
        })
        .collect();
    let mut files: Vec<FetchedFile> = futures::stream::iter(transfers)
        .buffer_unordered(DOWNLOADS)
        .try_collect()
        .await?;
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Reply::Fetched { files })
}

/// What all transfers share.
struct Work {
    index: blast_index::Index,
    builder: Builder,
    reporter: Arc<dyn Reporter>,
    to: PathBuf,
    wheels: bool,
}

async fn one(
    work: Arc<Work>,
    name: PackageName,
    artifact: Artifact,
) -> Result<FetchedFile, EngineError> {
    let folder = tempfile::Builder::new()
        .prefix(".blast-")
        .tempdir_in(&work.to)
        .map_err(at(&work.to))?;
    let is_wheel = matches!(artifact.file.kind, DistKind::Wheel(_));
    let is_file = artifact.source.as_ref().is_none_or(Source::is_file);
    let (fetched, filename) = if is_file && (is_wheel || !work.wheels) {
        let path = folder.path().join("file");
        let download = work
            .index
            .download(&artifact.file, None, &path, &*work.reporter);
        let sha256 = download.await?;
        artifact.check_file(sha256, &path).await?;
        (path, artifact.file.filename.to_string())
    } else {
        let source = artifact
            .source
            .clone()
            .unwrap_or_else(|| Source::archive(Arc::clone(&artifact.file)));
        if let Some(sha256) = work.builder.sha256(&source).await? {
            artifact
                .check_source(sha256, &work.builder, &source)
                .await?;
        }
        let built = work.builder.wheel(source).await?;
        let filename = built
            .path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let path = folder.path().join("file");
        tokio::fs::copy(&built.path, &path)
            .await
            .map_err(at(&path))?;
        (path, filename)
    };
    let path = place(&fetched, &work.to, &filename)?;
    Ok(FetchedFile { name, path })
}

/// Gives a file its name, which came from outside.
fn place(from: &Path, folder: &Path, filename: &str) -> Result<PathBuf, EngineError> {
    let name = Path::new(filename).file_name().unwrap_or_default();
    let path = folder.join(name);
    std::fs::rename(from, &path).map_err(at(&path))?;
    Ok(path)
}
