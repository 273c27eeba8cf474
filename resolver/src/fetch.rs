//! Fetching: each page and each metadata file once, early, and in parallel.
//!
//! The search thread asks for what it needs and blocks until it is there. Tasks ahead of it ask on
//! their own for what it will need ([`crate::ahead`]).
//!
//! Concurrency: one mutex around the table of pages, held for look-ups only; futures are shared
//! between all who wait. All tasks end when the token is cancelled, which dropping the future
//! returned by [`crate::resolve`] does.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use blast_types::{CoreMetadata, PackageName, VerbatimUrl};
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::ahead::Known;
use crate::policy::{Candidate, Policy};
use crate::project::{Absence, Origin, Project, Release};
use crate::provider::{DirectDist, Provider, ProviderError};
use crate::sealed::Sealed;

/// A value in flight that several may wait for.
pub(crate) type Fetch<T> = Shared<BoxFuture<'static, Result<T, ProviderError>>>;

/// Metadata in flight.
pub(crate) type MetadataFetch = Fetch<Arc<CoreMetadata>>;

/// Whoever waited was told to stop.
#[derive(Debug)]
pub(crate) struct Cancelled;

/// The table of everything asked for.
pub(crate) struct Fetcher {
    provider: Arc<dyn Provider>,
    policy: Arc<Policy>,
    runtime: Handle,
    cancel: CancellationToken,
    pages: Mutex<FxHashMap<PackageName, Fetch<Arc<Project>>>>,
    /// What the tasks ahead of the search know.
    pub(crate) known: Mutex<Known>,
    /// Packages that come by URL: their pages are of no interest.
    by_url: FxHashSet<PackageName>,
    /// What a lock has, which is looked at before the index is asked.
    sealed: Arc<Sealed>,
    metadata_count: AtomicUsize,
    page_count: AtomicUsize,
}

impl Fetcher {
    pub(crate) fn new(
        provider: Arc<dyn Provider>,
        policy: Arc<Policy>,
        sealed: Arc<Sealed>,
        runtime: Handle,
        cancel: CancellationToken,
    ) -> Arc<Self> {
        let by_url = policy
            .pinned_urls()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        Arc::new(Self {
            provider,
            policy,
            runtime,
            cancel,
            pages: Mutex::default(),
            known: Mutex::default(),
            by_url,
            sealed,
            metadata_count: AtomicUsize::new(0),
            page_count: AtomicUsize::new(0),
        })
    }

    /// The same source of answers for another question; of what a lock has it knows nothing.
    pub(crate) fn with_policy(&self, policy: Policy) -> Arc<Self> {
        let (provider, policy) = (self.provider.clone(), Arc::new(policy));
        let (runtime, cancel) = (self.runtime.clone(), self.cancel.child_token());
        Self::new(provider, policy, Arc::default(), runtime, cancel)
    }

    /// Ends what was begun ahead and nobody waits for.
    pub(crate) fn stop(&self) {
        self.cancel.cancel();
    }

    pub(crate) fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Pages and metadata files asked for so far.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (
            self.page_count.load(Ordering::Relaxed),
            self.metadata_count.load(Ordering::Relaxed),
        )
    }

    /// Waits, on the search thread, for a value.
    pub(crate) fn wait<T: Clone>(
        &self,
        fetch: &Fetch<T>,
    ) -> Result<Result<T, ProviderError>, Cancelled> {
        if let Some(ready) = fetch.peek() {
            return Ok(ready.clone());
        }
        self.runtime
            .block_on(self.cancel.run_until_cancelled(fetch.clone()))
            .ok_or(Cancelled)
    }

    /// Lets a future run even if nobody waits for it.
    pub(crate) fn drive(&self, future: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        drop(self.runtime.spawn(async move {
            cancel.run_until_cancelled(future).await;
        }));
    }

    /// The page of a project. A project that no index has is a project without releases.
    pub(crate) fn project(&self, name: &PackageName) -> Fetch<Arc<Project>> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fetch) = pages.get(name) {
            return fetch.clone();
        }
        let fetch = if self.by_url.contains(name) {
            let empty = Arc::new(Project::absent(name.clone(), None));
            std::future::ready(Ok(empty)).boxed().shared()
        } else if let Some(sealed) = self.sealed.project(name, &self.policy.scope) {
            std::future::ready(Ok(Arc::new(sealed))).boxed().shared()
        } else {
            self.page_count.fetch_add(1, Ordering::Relaxed);
            let answer = self.provider.project(name);
            let name = name.clone();
            let page = async move {
                match answer.await {
                    Ok(files) => Ok(Arc::new(Project::from_index(files))),
                    Err(ProviderError::NotFound) => {
                        Ok(Arc::new(Project::absent(name, Some(Absence::NotFound))))
                    }
                    Err(ProviderError::NotCached) => {
                        Ok(Arc::new(Project::absent(name, Some(Absence::NotCached))))
                    }
                    Err(error) => Err(error),
                }
            };
            page.boxed().shared()
        };
        pages.insert(name.clone(), fetch.clone());
        drop(pages);
        self.drive(fetch.clone().map(drop));
        fetch
    }

    /// From now on asks the index about a project of which a lock has something.
    pub(crate) fn open(&self, name: &PackageName) {
        self.sealed.open(name);
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.remove(name);
    }

    /// The metadata of a release that is a candidate.
    pub(crate) fn metadata(&self, name: &PackageName, release: &Release) -> MetadataFetch {
        let mut begun = false;
        let fetch = release.metadata.get_or_init(|| {
            if let Origin::Url(_, dist) = &release.origin {
                return std::future::ready(Ok(dist.metadata.clone()))
                    .boxed()
                    .shared();
            }
            begun = true;
            match release.candidate(name, &self.policy) {
                Candidate::Usable { file, .. } => {
                    self.metadata_count.fetch_add(1, Ordering::Relaxed);
                    let file = self.policy.tells(file, release.origin.files());
                    self.provider.metadata(file).shared()
                }
                Candidate::Unusable(reason) => {
                    let error = ProviderError::Invalid(reason.to_string());
                    std::future::ready(Err(error)).boxed().shared()
                }
            }
        });
        if begun {
            self.drive(fetch.clone().map(drop));
        }
        fetch.clone()
    }

    /// The distribution behind a URL.
    pub(crate) fn direct(&self, name: &PackageName, url: &VerbatimUrl) -> Fetch<DirectDist> {
        self.metadata_count.fetch_add(1, Ordering::Relaxed);
        let fetch = self.provider.direct(name, url).shared();
        self.drive(fetch.clone().map(drop));
        fetch
    }
}
