//! [`Shared`] is what outlives a command; [`Index`] is one command's view of its sources. The
//! work is in `project`, `remote_metadata`, `download` and `find_links`, which add their methods
//! to [`Index`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use blast_types::{CoreMetadata, PackageName};
use tokio::sync::OnceCell;

use crate::auth::Credentials;
use crate::cache::DiskCache;
use crate::client::{Fetcher, Tally};
use crate::error::IndexError;
use crate::find_links::Links;
use crate::memory::{Bounded, Flights};
use crate::project::{PageKey, Remembered};
use crate::remote_metadata::MetadataKey;
use crate::sources::Sources;
use crate::transport::{Reach, Transport};

/// Weight of project pages kept in memory, in estimated bytes.
const PAGES_BYTES: usize = 256 << 20;
/// Weight of metadata kept in memory, in estimated bytes.
const METADATA_BYTES: usize = 64 << 20;
/// Ways of reaching servers that are kept; more than one is rare.
const TRANSPORTS: usize = 8;

/// Connections, caches and the cache directory; the daemon holds one for its lifetime. Cheap to
/// clone.
#[derive(Debug, Clone)]
pub struct Shared(Arc<SharedInner>);

#[derive(Debug)]
pub(crate) struct SharedInner {
    pub(crate) disk: DiskCache,
    pub(crate) pages: Bounded<PageKey, Remembered>,
    pub(crate) page_flights: Flights<PageKey>,
    pub(crate) metadata: Bounded<MetadataKey, Arc<CoreMetadata>>,
    pub(crate) metadata_flights: Flights<MetadataKey>,
    transports: Mutex<HashMap<Reach, Arc<Transport>>>,
    commands: AtomicU64,
}

impl Shared {
    /// Uses `cache_dir`, which is made when something is first kept in it.
    pub fn new(cache_dir: &Path) -> Self {
        Self(Arc::new(SharedInner {
            disk: DiskCache::new(cache_dir),
            pages: Bounded::new(PAGES_BYTES),
            page_flights: Flights::default(),
            metadata: Bounded::new(METADATA_BYTES),
            metadata_flights: Flights::default(),
            transports: Mutex::default(),
            commands: AtomicU64::new(1),
        }))
    }

    /// The index of one command. What must not be used without asking the server again is asked
    /// for at most once per `Index`; so make one for each command. Reads a netrc file, where
    /// `sources` names one.
    pub fn index(&self, sources: Sources) -> Index {
        let fetcher = Fetcher {
            transport: self.transport(&sources),
            credentials: Credentials::of(&sources),
            offline: sources.offline,
            tally: Tally::default(),
        };
        Index(Arc::new(IndexInner {
            shared: Arc::clone(&self.0),
            command: self.0.commands.fetch_add(1, Ordering::Relaxed),
            fetcher,
            links: OnceCell::new(),
            merged: Mutex::default(),
            sources,
        }))
    }

    /// Where archives on their way into the store are kept; the directory may not exist yet.
    pub fn wheels_dir(&self) -> PathBuf {
        self.0.disk.wheels()
    }

    /// Gives back memory and connections: to be called when no command has asked for a while.
    /// What was in memory is read from the cache directory when it is asked for again.
    pub fn rest(&self) {
        self.0.pages.clear();
        self.0.metadata.clear();
        self.0
            .transports
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn transport(&self, sources: &Sources) -> Arc<Transport> {
        let reach = Reach::of(sources);
        let mut transports = self
            .0
            .transports
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !transports.contains_key(&reach) && transports.len() >= TRANSPORTS {
            // Commands that run keep theirs; only idle connections are lost.
            transports.clear();
        }
        let new = || Arc::new(Transport::new(reach.clone()));
        Arc::clone(transports.entry(reach.clone()).or_insert_with(new))
    }
}

/// The sources of one command, asked and cached. Cheap to clone; all methods take `&self` and may
/// run at once.
#[derive(Debug, Clone)]
pub struct Index(pub(crate) Arc<IndexInner>);

#[derive(Debug)]
pub(crate) struct IndexInner {
    pub(crate) shared: Arc<SharedInner>,
    /// Number of this command: what was validated under it or later needs no question.
    pub(crate) command: u64,
    pub(crate) fetcher: Fetcher,
    pub(crate) links: OnceCell<Links>,
    pub(crate) merged: Mutex<HashMap<PackageName, Arc<blast_types::ProjectFiles>>>,
    pub(crate) sources: Sources,
}

/// What one [`Index`] did on the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Counters {
    /// Requests sent, repetitions and redirects included.
    pub requests: u64,
    /// Requests sent again after a failure.
    pub repeated: u64,
    /// Cached answers that the server confirmed as unchanged.
    pub confirmed: u64,
    /// Body bytes received.
    pub bytes: u64,
}

impl Index {
    /// An index with caches of its own.
    pub fn new(sources: Sources, cache_dir: &Path) -> Self {
        Shared::new(cache_dir).index(sources)
    }

    /// The sources that this index asks.
    pub fn sources(&self) -> &Sources {
        &self.0.sources
    }

    /// What this index did on the network until now.
    pub fn requests(&self) -> Counters {
        let tally = &self.0.fetcher.tally;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            requests: read(&tally.requests),
            repeated: read(&tally.repeated),
            confirmed: read(&tally.confirmed),
            bytes: read(&tally.bytes),
        }
    }

    /// Things that are not as configured but stop nothing, such as a missing find-links
    /// directory. Complete once a project was asked for.
    pub fn warnings(&self) -> Vec<String> {
        self.0
            .links
            .get()
            .map(|links| links.warnings.clone())
            .unwrap_or_default()
    }
}

impl IndexInner {
    /// Notes a cache that cannot be written: the command goes on, only slower next time.
    pub(crate) fn note(&self, outcome: std::io::Result<()>) {
        if let Err(error) = outcome {
            let root = self.shared.disk.root();
            tracing::warn!(root = %root.display(), %error, "cannot write to the cache");
        }
    }

    pub(crate) fn offline_error(&self, url: url::Url) -> Option<IndexError> {
        self.fetcher
            .offline
            .then(|| IndexError::Offline { url: url.into() })
    }
}
