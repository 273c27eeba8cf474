//! Where the resolver's questions meet the index client.

use std::collections::HashMap;
use std::sync::Arc;

use blast_index::{Index, IndexError};
use blast_resolver::{DirectDist, Provider, ProviderError};
use blast_types::{
    CoreMetadata, DistFile, DistKind, Hint as _, PackageName, ProjectFiles, VerbatimUrl,
    VersionFiles,
};
use futures::FutureExt as _;
use futures::future::BoxFuture;

/// Answers from the index.
#[derive(Clone)]
pub(crate) struct IndexProvider {
    index: Index,
}

impl IndexProvider {
    /// Over this index.
    pub(crate) fn new(index: Index) -> Self {
        Self { index }
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
        let index = self.index.clone();
        async move {
            if matches!(file.kind, DistKind::Sdist(_)) {
                return Err(ProviderError::NeedsBuild);
            }
            index.metadata(&file).await.map_err(provider_error)
        }
        .boxed()
    }

    fn direct(
        &self,
        name: &PackageName,
        url: &VerbatimUrl,
    ) -> BoxFuture<'static, Result<DirectDist, ProviderError>> {
        let (index, name, url) = (self.index.clone(), name.clone(), url.clone());
        async move {
            let file = Arc::new(direct_file(&name, &url)?);
            let metadata = index.metadata(&file).await.map_err(provider_error)?;
            Ok(DirectDist { file, metadata })
        }
        .boxed()
    }
}

/// The wheel that a direct reference names.
pub(crate) fn direct_file(
    name: &PackageName,
    url: &VerbatimUrl,
) -> Result<DistFile, ProviderError> {
    let file = blast_index::file_at(url.raw(), Some(name)).ok_or_else(|| {
        ProviderError::Invalid(format!("{} names no wheel of {name}", url.raw().path()))
    })?;
    match file.kind {
        DistKind::Wheel(_) => Ok(file),
        DistKind::Sdist(_) => Err(ProviderError::NeedsBuild),
    }
}

fn provider_error(error: IndexError) -> ProviderError {
    match error {
        IndexError::NotFound { .. } => ProviderError::NotFound,
        IndexError::Offline { .. } => ProviderError::NotCached,
        IndexError::NeedsBuild { .. } => ProviderError::NeedsBuild,
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
        self.below.direct(name, url)
    }
}
