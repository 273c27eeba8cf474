//! A package index on loopback.
//!
//! It serves the simple API as HTML and JSON (PEP 503, 691, 700, 592, 658/714), files with ranges
//! and validators, writes down every request, and fails in the ways that indexes fail, on demand.
//!
//! One thread accepts, one serves each connection; all share [`State`] behind one lock, which is
//! never held while bytes go over the wire.

mod pages;
mod server;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::sdist::SdistSpec;
use crate::wheel::WheelSpec;

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This status in place of the answer.
    Status(u16),
    /// The connection ends before any answer.
    Hangup,
    /// The connection ends in the middle of the body.
    CloseMidBody,
    /// The answer comes so much later.
    Slow(Duration),
    /// The answer comes once [`LocalIndex::heal`] was called.
    Held,
    /// The body's bytes are not those that were published.
    WrongBytes,
}

/// The forms in which pages are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// HTML, whatever is asked for.
    Html,
    /// JSON to who accepts it, else HTML.
    Negotiated,
}

/// One request that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// `GET` or `HEAD`.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The range asked for.
    pub range: Option<String>,
    /// The status answered; 0 where the connection was dropped.
    pub status: u16,
}

/// One file of a project and what the index says of it.
#[derive(Debug, Clone)]
pub struct Release {
    pub(crate) project: String,
    pub(crate) filename: String,
    pub(crate) bytes: Arc<Vec<u8>>,
    pub(crate) metadata: Option<String>,
    pub(crate) sha256: Option<String>,
    pub(crate) requires_python: Option<String>,
    pub(crate) yanked: Option<String>,
    pub(crate) uploaded: Option<String>,
}

impl Release {
    /// A wheel, announced with its hash and a metadata file beside it.
    pub fn of(wheel: &WheelSpec) -> Self {
        Self {
            metadata: Some(wheel.metadata()),
            ..Self::raw(wheel.name(), &wheel.filename(), wheel.bytes())
        }
    }

    /// A source distribution, announced with its hash.
    pub fn sdist(sdist: &SdistSpec) -> Self {
        Self::raw(sdist.name(), &sdist.filename(), sdist.tar_gz())
    }

    /// Any file, announced with its hash and without metadata.
    pub fn raw(project: &str, filename: &str, bytes: Vec<u8>) -> Self {
        Self {
            project: normalized(project),
            filename: filename.to_owned(),
            sha256: Some(hex::encode(Sha256::digest(&bytes))),
            bytes: Arc::new(bytes),
            metadata: None,
            requires_python: None,
            yanked: None,
            uploaded: None,
        }
    }

    /// Without a metadata file beside it.
    #[must_use]
    pub fn without_metadata(mut self) -> Self {
        self.metadata = None;
        self
    }

    /// Announced with this hash, true or not; `None`: with none.
    #[must_use]
    pub fn hash(mut self, sha256: Option<&str>) -> Self {
        self.sha256 = sha256.map(str::to_owned);
        self
    }

    /// Announced for these Pythons only.
    #[must_use]
    pub fn requires_python(mut self, range: &str) -> Self {
        self.requires_python = Some(range.to_owned());
        self
    }

    /// Taken back, for this reason.
    #[must_use]
    pub fn yanked(mut self, reason: &str) -> Self {
        self.yanked = Some(reason.to_owned());
        self
    }

    /// Uploaded at this time (RFC 3339).
    #[must_use]
    pub fn uploaded(mut self, time: &str) -> Self {
        self.uploaded = Some(time.to_owned());
        self
    }
}

/// What the threads share.
#[derive(Debug)]
struct State {
    projects: BTreeMap<String, Vec<Release>>,
    hits: Vec<Hit>,
    faults: Vec<Rule>,
    format: Format,
    ranges: bool,
    cache_control: Option<String>,
    /// The `Authorization` without which everything is refused.
    authorization: Option<String>,
    connections: Vec<TcpStream>,
    stopped: bool,
}

/// A fault, the start of the paths it holds for, and how often still.
#[derive(Debug)]
struct Rule {
    path: String,
    fault: Fault,
    times: usize,
}

/// See the module's documentation. Dropping it stops it.
#[derive(Debug)]
pub struct LocalIndex {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    acceptor: Option<JoinHandle<()>>,
}

impl LocalIndex {
    /// An index with nothing in it.
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let state = Arc::new(Mutex::new(State {
            projects: BTreeMap::new(),
            hits: Vec::new(),
            faults: Vec::new(),
            format: Format::Negotiated,
            ranges: true,
            cache_control: Some("max-age=600".to_owned()),
            authorization: None,
            connections: Vec::new(),
            stopped: false,
        }));
        let shared = Arc::clone(&state);
        let acceptor = std::thread::spawn(move || server::accept(&listener, &shared));
        Self {
            address,
            state,
            acceptor: Some(acceptor),
        }
    }

    /// An index with these wheels.
    pub fn with(wheels: impl IntoIterator<Item = WheelSpec>) -> Self {
        let index = Self::start();
        for wheel in wheels {
            index.add(&wheel);
        }
        index
    }

    /// Publishes a wheel with all that a good index says of it.
    pub fn add(&self, wheel: &WheelSpec) {
        self.publish(Release::of(wheel));
    }

    /// Publishes a file; a file of the same name is replaced.
    pub fn publish(&self, release: Release) {
        let mut state = self.state();
        let files = state.projects.entry(release.project.clone()).or_default();
        files.retain(|file| file.filename != release.filename);
        files.push(release);
    }

    /// The address to give to `--index-url`.
    pub fn url(&self) -> String {
        format!("http://{}/simple/", self.address)
    }

    /// The address of a published file.
    pub fn file_url(&self, filename: &str) -> String {
        format!("http://{}/files/{filename}", self.address)
    }

    /// Lets the next `times` requests for paths that start like this fail.
    pub fn fault(&self, path: &str, fault: Fault, times: usize) {
        self.state().faults.push(Rule {
            path: path.to_owned(),
            fault,
            times,
        });
    }

    /// Lets every request for paths that start like this fail.
    pub fn always(&self, path: &str, fault: Fault) {
        self.fault(path, fault, usize::MAX);
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// Chooses the form of pages.
    pub fn set_format(&self, format: Format) {
        self.state().format = format;
    }

    /// Chooses whether ranges are served.
    pub fn set_ranges(&self, on: bool) {
        self.state().ranges = on;
    }

    /// Chooses the `Cache-Control` of pages.
    pub fn set_cache_control(&self, value: Option<&str>) {
        self.state().cache_control = value.map(str::to_owned);
    }

    /// Refuses (401) whoever does not come as this user.
    pub fn require_login(&self, user: &str, password: &str) {
        use base64::Engine as _;
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        self.state().authorization = Some(format!("Basic {pair}"));
    }

    /// All requests so far.
    pub fn hits(&self) -> Vec<Hit> {
        self.state().hits.clone()
    }

    /// How many requests had a path that starts like this.
    pub fn count(&self, path: &str) -> usize {
        self.state()
            .hits
            .iter()
            .filter(|hit| hit.path.starts_with(path))
            .count()
    }

    /// Forgets the requests so far.
    pub fn forget_hits(&self) {
        self.state().hits.clear();
    }

    /// Goes down: the port refuses connections from now on.
    pub fn stop(&mut self) {
        let connections = {
            let mut state = self.state();
            state.stopped = true;
            std::mem::take(&mut state.connections)
        };
        for connection in connections {
            // An error means that the client has hung up already.
            drop(connection.shutdown(std::net::Shutdown::Both));
        }
        if let Some(acceptor) = self.acceptor.take() {
            // The acceptor waits for a connection; this one tells it to look at `stopped`.
            drop(TcpStream::connect(self.address));
            acceptor.join().expect("the acceptor does not panic");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for LocalIndex {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A thread that panicked with the lock has failed its test already; others may go on.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// PEP 503's normal form.
fn normalized(name: &str) -> String {
    let mut normal = String::new();
    for part in name.split(['-', '_', '.']).filter(|part| !part.is_empty()) {
        if !normal.is_empty() {
            normal.push('-');
        }
        normal.push_str(&part.to_ascii_lowercase());
    }
    normal
}
