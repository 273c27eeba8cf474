//! Forks ask the same questions: each is passed on once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use blast_types::{CoreMetadata, DistFile, PackageName, ProjectFiles, VerbatimUrl};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use rustc_hash::FxHashMap;

use crate::fetch::Fetch;
use crate::provider::{DirectDist, Provider, ProviderError};

type Table<K, T> = Mutex<FxHashMap<K, Fetch<T>>>;

/// Remembers what a provider answered, or is about to.
pub(super) struct Memo {
    below: Arc<dyn Provider>,
    pages: Table<PackageName, Arc<ProjectFiles>>,
    metadata: Table<Box<str>, Arc<CoreMetadata>>,
    direct: Table<(PackageName, String), DirectDist>,
    page_count: AtomicUsize,
    metadata_count: AtomicUsize,
}

impl Memo {
    pub(super) fn new(below: Arc<dyn Provider>) -> Arc<Self> {
        Arc::new(Self {
            below,
            pages: Mutex::default(),
            metadata: Mutex::default(),
            direct: Mutex::default(),
            page_count: AtomicUsize::new(0),
            metadata_count: AtomicUsize::new(0),
        })
    }

    /// Pages and metadata files asked for.
    pub(super) fn counts(&self) -> (usize, usize) {
        (
            self.page_count.load(Ordering::Relaxed),
            self.metadata_count.load(Ordering::Relaxed),
        )
    }
}

fn once<K: Eq + std::hash::Hash, T: Clone + Send + Sync + 'static>(
    table: &Table<K, T>,
    key: K,
    count: &AtomicUsize,
    ask: impl FnOnce() -> BoxFuture<'static, Result<T, ProviderError>>,
) -> BoxFuture<'static, Result<T, ProviderError>> {
    let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
    let begin = || {
        count.fetch_add(1, Ordering::Relaxed);
        ask().shared()
    };
    table.entry(key).or_insert_with(begin).clone().boxed()
}

impl Provider for Memo {
    fn project(
        &self,
        name: &PackageName,
    ) -> BoxFuture<'static, Result<Arc<ProjectFiles>, ProviderError>> {
        once(&self.pages, name.clone(), &self.page_count, || {
            self.below.project(name)
        })
    }

    fn metadata(
        &self,
        file: Arc<DistFile>,
    ) -> BoxFuture<'static, Result<Arc<CoreMetadata>, ProviderError>> {
        let key = file.url.clone();
        once(&self.metadata, key, &self.metadata_count, || {
            self.below.metadata(file)
        })
    }

    fn direct(
        &self,
        name: &PackageName,
        url: &VerbatimUrl,
    ) -> BoxFuture<'static, Result<DirectDist, ProviderError>> {
        let key = (name.clone(), url.to_string());
        once(&self.direct, key, &self.metadata_count, || {
            self.below.direct(name, url)
        })
    }
}
