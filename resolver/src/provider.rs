//! How the resolver asks for what it does not know. The implementation lives with whoever has a
//! network and a cache; the resolver itself opens neither file nor socket.
//!
//! Concurrency: the resolver asks for many things at once and asks for each thing once. Bounding
//! the number of connections is the provider's business. A future may be dropped at any time.

use std::sync::Arc;

use blast_types::{CoreMetadata, DistFile, PackageName, ProjectFiles, VerbatimUrl};
use futures::future::BoxFuture;

use crate::lock::LockedSource;

/// Answers what a package index and the artifacts on it say.
pub trait Provider: Send + Sync + 'static {
    /// Everything the index has of a project.
    fn project(
        &self,
        name: &PackageName,
    ) -> BoxFuture<'static, Result<Arc<ProjectFiles>, ProviderError>>;

    /// Core metadata of one file of a project.
    fn metadata(
        &self,
        file: Arc<DistFile>,
    ) -> BoxFuture<'static, Result<Arc<CoreMetadata>, ProviderError>>;

    /// The one distribution that `name @ url` means.
    fn direct(
        &self,
        name: &PackageName,
        url: &VerbatimUrl,
    ) -> BoxFuture<'static, Result<DirectDist, ProviderError>>;
}

/// A distribution that a requirement names by its URL.
#[derive(Debug, Clone)]
pub struct DirectDist {
    /// The artifact.
    pub file: Arc<DistFile>,
    /// What it says of itself.
    pub metadata: Arc<CoreMetadata>,
    /// How a lock states where it comes from, where that is more than the file.
    pub locked: Option<Box<LockedSource>>,
}

/// Why a provider has no answer. The variants differ in what the resolver does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// No index has the project: versions that need it cannot be used.
    #[error("not found on the index")]
    NotFound,
    /// Working offline, and the answer is not in the cache: as [`ProviderError::NotFound`], but
    /// the explanation says that the network was not asked.
    #[error("not in the cache, and the network is not used (offline)")]
    NotCached,
    /// The file's metadata cannot be used: another version is tried.
    #[error("unusable metadata: {0}")]
    Invalid(String),
    /// The answer could not be had at all (network, index broken): resolving ends.
    #[error("{message}")]
    Unavailable {
        /// What happened, with the place concerned (credentials removed).
        message: String,
        /// What to do about it, the most useful first.
        hints: Vec<String>,
    },
}
