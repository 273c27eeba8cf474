//! Where the resolver's questions meet the index client.

use std::collections::HashMap;
use std::sync::Arc;

use blast_index::{Index, IndexError};
use blast_resolver::{DirectDist, Provider, ProviderError};
use blast_types::{
    CoreMetadata, DistFile, DistKind, Elsewhere, Hint as _, PackageName, ProjectFiles, VerbatimUrl,
    VersionFiles,
};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::build::{Builder, Source};
use super::error::EngineError;

/// Answers from the index, and from builds where only they can tell.
#[derive(Clone)]
pub(crate) struct IndexProvider {
    index: Index,
    builder: Builder,
}

impl IndexProvider {
    /// Over this index.
    pub(crate) fn new(index: Index, builder: Builder) -> Self {
        Self { index, builder }
    }
}

impl Provider for IndexProvider {
    fn project(
        &self,
        name: &PackageName,
    ) -> BoxFuture<'static, Result<Arc<ProjectFiles>, ProviderError>> {
        let (index, name) = (self.index.clone(), name.clone());
        async move { index.project(&name).await.map_err(provider_error) }.boxed()
    }

    fn metadata(
        &self,
        file: Arc<DistFile>,
    ) -> BoxFuture<'static, Result<Arc<CoreMetadata>, ProviderError>> {
        metadata(self.index.clone(), self.builder.clone(), file).boxed()
    }

    fn direct(
        &self,
        name: &PackageName,
        url: &VerbatimUrl,
    ) -> BoxFuture<'static, Result<DirectDist, ProviderError>> {
        let (index, builder) = (self.index.clone(), self.builder.clone());
        let (name, url) = (name.clone(), url.clone());
        async move {
            let editable = builder.is_editable(url.raw());
            let source = Source::of_url(Some(&name), url.raw(), editable).map_err(|why| {
                let url = blast_index::bare(url.raw().as_str());
                ProviderError::Invalid(format!("{url}: {why}"))
            })?;
            if let Some(source) = source {
                return of_sources(&builder, &name, source).await;
            }
            let file = Arc::new(direct_file(&name, &url)?);
            let metadata = metadata(index, builder, Arc::clone(&file)).await?;
            Ok(DirectDist {
                file,
                metadata,
                locked: None,
            })
        }
        .boxed()
    }
}

/// What the index tells of a file; of sources, what they say or their backend does.
async fn metadata(
    index: Index,
    builder: Builder,
    file: Arc<DistFile>,
) -> Result<Arc<CoreMetadata>, ProviderError> {
    match index.metadata(&file).await {
        Err(IndexError::NeedsBuild { .. }) => {
            let metadata = builder.metadata(Source::archive(file)).await;
            metadata.map_err(build_error)
        }
        answer => answer.map_err(provider_error),
    }
}

/// Sources that a requirement names by URL.
async fn of_sources(
    builder: &Builder,
    name: &PackageName,
    source: Source,
) -> Result<DirectDist, ProviderError> {
    let metadata = builder
        .metadata(source.clone())
        .await
        .map_err(build_error)?;
    if metadata.name != *name {
        let found = &metadata.name;
        return Err(ProviderError::Invalid(format!("it is {found}, not {name}")));
    }
    let mut file = source.file(name, &metadata.version);
    file.sha256 = builder.sha256(&source).await.map_err(build_error)?;
    Ok(DirectDist {
        locked: source.locked(builder.known_commit(&source).as_deref(), &file),
        file: Arc::new(file),
        metadata,
    })
}

/// The wheel that a direct reference names.
pub(crate) fn direct_file(
    name: &PackageName,
    url: &VerbatimUrl,
) -> Result<DistFile, ProviderError> {
    blast_index::file_at(url.raw(), Some(name)).ok_or_else(|| {
        let path = url.raw().path();
        ProviderError::Invalid(format!("{path} names no distribution of {name}"))
    })
}

/// Sources that are no good can be passed over; a build that fails is for the user to look at,
/// rather than to have older and older versions built.
fn build_error(error: EngineError) -> ProviderError {
    match error {
        EngineError::Index(error) => provider_error(error),
        EngineError::Build { source, .. } if source.is_about_sources() => {
            ProviderError::Invalid(chain(&*source))
        }
        error => ProviderError::Unavailable {
            message: chain(&error),
            hints: error.hints(),
        },
    }
}

fn provider_error(error: IndexError) -> ProviderError {
    match error {
        IndexError::NotFound { .. } => ProviderError::NotFound,
        IndexError::Offline { .. } => ProviderError::NotCached,
        error if error.is_about_one_file() => ProviderError::Invalid(chain(&error)),
        error => ProviderError::Unavailable {
            message: chain(&error),
            hints: error.hints(),
        },
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

/// What is installed, as the only thing there is of it; all else from below. Solving against it
/// first means that adding a package asks the index about nothing but the addition.
pub(crate) struct InstalledFirst {
    /// By name: one version, one file.
    pub(crate) installed: HashMap<PackageName, (Arc<ProjectFiles>, Arc<CoreMetadata>)>,
    /// The packages that came from a URL, with that URL.
    pub(crate) direct: HashMap<PackageName, (String, DirectDist)>,
    /// Answers for all other packages.
    pub(crate) below: IndexProvider,
}

impl InstalledFirst {
    /// The one file of an installed package as a project of its own.
    pub(crate) fn project_of(
        metadata: &CoreMetadata,
        file: DistFile,
        index: Option<&str>,
    ) -> ProjectFiles {
        ProjectFiles {
            name: metadata.name.clone(),
            index: index.unwrap_or_default().into(),
            versions: vec![VersionFiles {
                version: metadata.version.clone(),
                files: vec![Arc::new(file)],
            }],
            status: None,
            elsewhere: Elsewhere::default(),
            parts: Vec::new(),
        }
    }
}

impl Provider for InstalledFirst {
    fn project(
        &self,
        name: &PackageName,
    ) -> BoxFuture<'static, Result<Arc<ProjectFiles>, ProviderError>> {
        match self.installed.get(name) {
            Some((files, _)) => futures::future::ready(Ok(Arc::clone(files))).boxed(),
            None => self.below.project(name),
        }
    }

    fn metadata(
        &self,
        file: Arc<DistFile>,
    ) -> BoxFuture<'static, Result<Arc<CoreMetadata>, ProviderError>> {
        let name = match &file.kind {
            DistKind::Wheel(wheel) => &wheel.name,
            DistKind::Sdist(sdist) => &sdist.name,
        };
        match self.installed.get(name) {
            Some((_, metadata)) => futures::future::ready(Ok(Arc::clone(metadata))).boxed(),
            None => self.below.metadata(file),
        }
    }

    fn direct(
        &self,
        name: &PackageName,
        url: &VerbatimUrl,
    ) -> BoxFuture<'static, Result<DirectDist, ProviderError>> {
        let source = Source::of_url(Some(name), url.raw(), false).ok().flatten();
        let place = match source {
            Some(source) => source.direct_url(None).url,
            None => blast_index::bare(url.raw().as_str()),
        };
        match self.direct.get(name) {
            Some((from, dist)) if *from == place => {
                futures::future::ready(Ok(dist.clone())).boxed()
            }
            _ => self.below.direct(name, url),
        }
    }
}
