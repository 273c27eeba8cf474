//! [`Index::download`]: a file of an index, on disk and verified.
//!
//! Bytes go from the connection over a channel to one blocking thread that hashes and writes them,
//! so that neither waits for the other longer than it must. A transfer that breaks off is taken up
//! where it broke, if the server serves parts of what is certainly the same file, else from the
//! start. Nothing is reported as done before size and SHA-256 agree with every promise made.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use blast_types::{DistFile, Event, FileHash, HashAlgorithm, Hasher, Reporter, Sha256};
use bytes::Bytes;
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderValue, IF_RANGE};
use reqwest::{Method, StatusCode};
use sha2::Digest as _;
use tokio::sync::mpsc;
use url::Url;

use crate::client::{Reply, raw_bytes, status_error};
use crate::error::IndexError;
use crate::index::{Index, IndexInner};
use crate::remote_metadata::parse_content_range;
use crate::transport::blocking;
use crate::url::{RedactedUrl, local_path};

/// Pieces on their way to the disk; bounds memory where the disk is slower than the network.
const PIECES: usize = 32;
/// Progress is reported no more often than this.
const REPORT_EVERY: Duration = Duration::from_millis(80);

/// The URL of a file, checked: it came out of an index page.
pub(crate) fn file_url_of(file: &DistFile) -> Result<Url, IndexError> {
    let url: Result<RedactedUrl, _> = file.url.parse();
    url.map(|url| url.as_url().clone())
        .map_err(|source| IndexError::Url {
            what: file.filename.to_string(),
            source,
        })
}

/// Where a file goes. Asked when it is known how big the file is, so that a place may depend on it.
pub trait Destination: Sync {
    /// The path, the same at each call. `size` is in bytes: what the index or the server states.
    ///
    /// # Errors
    /// Where no place can be made.
    fn path(&self, size: Option<u64>) -> io::Result<&Path>;
}

impl Destination for Path {
    fn path(&self, _: Option<u64>) -> io::Result<&Path> {
        Ok(self)
    }
}

impl Destination for PathBuf {
    fn path(&self, _: Option<u64>) -> io::Result<&Path> {
        Ok(self)
    }
}

impl Index {
    /// Writes `file` to `dest`, which is replaced if it exists, and returns its SHA-256. It is
    /// checked against the hash (of whatever algorithm) and the size that the index states, and
    /// against `expected` (what a lock says). On an error `dest` may hold a part.
    pub async fn download(
        &self,
        file: &DistFile,
        expected: Option<Sha256>,
        dest: &(impl Destination + ?Sized),
        reporter: &dyn Reporter,
    ) -> Result<Sha256, IndexError> {
        if let (Some(stated), Some(expected)) = (file.sha256, expected)
            && stated != expected
        {
            let file = file.filename.to_string();
            return Err(IndexError::HashConflict {
                file,
                stated,
                expected,
            });
        }
        let url = file_url_of(file)?;
        let promised = file.sha256.or(expected);
        let received = if url.scheme() == "file" {
            let named = |source| IndexError::Url {
                what: file.filename.to_string(),
                source,
            };
            let from = local_path(&url).map_err(named)?;
            self.0
                .copy(from, place(dest, file, file.size)?, other_of(file))
                .await?
        } else if let Some(kept) = self.0.take_kept(file, promised, dest).await? {
            kept
        } else {
            self.0
                .transfer(file, &url, dest, promised, reporter)
                .await?
        };
        received.check(file, promised)
    }
}

fn place<'a>(
    dest: &'a (impl Destination + ?Sized),
    file: &DistFile,
    size: Option<u64>,
) -> Result<&'a Path, IndexError> {
    let name = file.filename.to_string();
    dest.path(size)
        .map_err(IndexError::io("make room for", Path::new(&name)))
}

/// What a file is hashed by besides SHA-256.
fn other_of(file: &DistFile) -> Option<HashAlgorithm> {
    file.other_hash.as_ref().map(|hash| hash.algorithm())
}

/// What is on disk now.
#[derive(Debug, Clone)]
struct Received {
    sha256: Sha256,
    /// The hash of another kind, where one was promised.
    other: Option<FileHash>,
    bytes: u64,
}

impl Received {
    fn check(self, file: &DistFile, promised: Option<Sha256>) -> Result<Sha256, IndexError> {
        let name = || file.filename.to_string();
        if let Some(expected) = file.size.filter(|size| *size != self.bytes) {
            return Err(IndexError::SizeMismatch {
                file: name(),
                expected,
                actual: self.bytes,
            });
        }
        if let (Some(expected), Some(actual)) = (&file.other_hash, &self.other)
            && **expected != *actual
        {
            return Err(IndexError::OtherHashMismatch {
                file: name(),
                expected: FileHash::clone(expected),
                actual: actual.clone(),
            });
        }
        match promised.filter(|promised| *promised != self.sha256) {
            Some(expected) => Err(IndexError::HashMismatch {
                file: name(),
                expected,
                actual: self.sha256,
            }),
            None => Ok(self.sha256),
        }
    }
}

impl IndexInner {
    async fn copy(
        &self,
        from: PathBuf,
        dest: &Path,
        other: Option<HashAlgorithm>,
    ) -> Result<Received, IndexError> {
        let dest = dest.to_owned();
        blocking(move || {
            let mut source = File::open(&from).map_err(IndexError::io("read", &from))?;
            let mut target = Target::create(dest, other)?;
            let mut buffer = vec![0; 256 << 10];
            loop {
                match source
                    .read(&mut buffer)
                    .map_err(IndexError::io("read", &from))?
                {
                    0 => return Ok(target.finish()),
                    count => target.write(&buffer[..count])?,
                }
            }
        })
        .await?
    }

    /// A wheel that was fetched whole for its metadata, see `remote_metadata`.
    async fn take_kept(
        &self,
        file: &DistFile,
        promised: Option<Sha256>,
        dest: &(impl Destination + ?Sized),
    ) -> Result<Option<Received>, IndexError> {
        let Some(sha256) = promised else {
            return Ok(None);
        };
        let kept = self.shared.disk.wheels().join(sha256.to_hex());
        let Ok(about) = std::fs::metadata(&kept) else {
            return Ok(None);
        };
        let dest = place(dest, file, Some(about.len()))?;
        let received = match self.copy(kept.clone(), dest, other_of(file)).await {
            Ok(received) => received,
            // Another process has just taken it.
            Err(IndexError::Io { source, path, .. })
                if source.kind() == io::ErrorKind::NotFound && path == kept =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        blocking(move || {
            if let Err(error) = std::fs::remove_file(&kept) {
                tracing::debug!(path = %kept.display(), %error, "kept wheel not removed");
            }
        })
        .await?;
        // A damaged one is as good as none.
        Ok((received.sha256 == sha256).then_some(received))
    }

    async fn transfer(
        &self,
        file: &DistFile,
        url: &Url,
        dest: &(impl Destination + ?Sized),
        promised: Option<Sha256>,
        reporter: &dyn Reporter,
    ) -> Result<Received, IndexError> {
        let mut progress = Progress::new(file, reporter);
        let first = self.ask(url, 0, None).await?;
        // Nothing beyond it is taken: the place was made for it.
        let size = file.size.or(first.content_length());
        let dest = place(dest, file, size)?;
        let mut sink = Sink::open(dest, other_of(file));
        let mut first = Some(first);
        let mut etag = None;
        let mut attempt = 0;
        loop {
            // Only a strong validator or a hash can say that the rest belongs to the same file.
            if sink.sent > 0 && etag.is_none() && promised.is_none() {
                sink = sink.restart(dest).await;
            }
            let reply = match first.take() {
                Some(first) => first,
                None => self.ask(url, sink.sent, etag.as_ref()).await?,
            };
            let Continuation::Usable(total) = continuation(&reply, sink.sent)? else {
                // The server cannot go on where we stand, or has another file now.
                sink = sink.restart(dest).await;
                etag = None;
                continue;
            };
            if reply.status == StatusCode::OK && sink.sent > 0 {
                sink = sink.restart(dest).await;
            }
            etag = strong_etag(&reply);
            progress.total = file.size.or(total);
            let poured = self.pour(reply, &mut sink, size, &mut progress).await;
            let more = attempt < self.fetcher.retries();
            match poured {
                Ok(()) if more && total.is_some_and(|total| sink.sent < total) => {}
                Err(IndexError::Body { .. }) if more => {}
                // What is wrong with the disk is more telling than the end of the channel.
                Ok(()) | Err(IndexError::Interrupted) => break,
                Err(error) => return Err(error),
            }
            tracing::debug!(file = %file.filename, at = sink.sent, "transfer broke off");
            self.fetcher.pause(attempt, None).await;
            attempt += 1;
        }
        let received = sink.finish().await?;
        if let Some(expected) = progress.total.filter(|total| *total != received.bytes) {
            let file = file.filename.to_string();
            return Err(IndexError::SizeMismatch {
                file,
                expected,
                actual: received.bytes,
            });
        }
        progress.finish(received.bytes);
        Ok(received)
    }

    async fn ask(
        &self,
        url: &Url,
        from: u64,
        etag: Option<&HeaderValue>,
    ) -> Result<Reply, IndexError> {
        let range = (from > 0).then(|| format!("bytes={from}-"));
        let mut headers = raw_bytes(range.as_deref());
        if let Some(etag) = etag.filter(|_| from > 0) {
            headers.insert(IF_RANGE, etag.clone());
        }
        self.fetcher.send(Method::GET, url, &headers).await
    }

    async fn pour(
        &self,
        mut reply: Reply,
        sink: &mut Sink,
        size: Option<u64>,
        progress: &mut Progress<'_>,
    ) -> Result<(), IndexError> {
        let url = reply.url.clone();
        while let Some(chunk) = reply.chunk().await? {
            let count = chunk.len() as u64;
            self.fetcher.tally.bytes.fetch_add(count, Ordering::Relaxed);
            if let Some(limit) = size.filter(|size| sink.sent + count > *size) {
                return Err(IndexError::TooLarge {
                    url: url.into(),
                    limit,
                });
            }
            sink.send(chunk).await?;
            progress.at(sink.sent);
        }
        Ok(())
    }
}

/// What an answer to a request for the rest of a file is good for.
enum Continuation {
    /// Its bytes; the whole file has this length, where it says so.
    Usable(Option<u64>),
    /// Nothing: the whole must be asked for.
    Useless,
}

fn continuation(reply: &Reply, at: u64) -> Result<Continuation, IndexError> {
    let header = reply
        .headers
        .get(CONTENT_RANGE)
        .and_then(|value| value.to_str().ok());
    match (reply.status.as_u16(), header.and_then(parse_content_range)) {
        (200, _) => Ok(Continuation::Usable(reply.content_length())),
        (206, Some((range, total))) if at > 0 && range.start == at => {
            Ok(Continuation::Usable(Some(total)))
        }
        (206 | 416, _) if at > 0 => Ok(Continuation::Useless),
        _ => Err(status_error(reply.status, &reply.url)),
    }
}

fn strong_etag(reply: &Reply) -> Option<HeaderValue> {
    reply
        .headers
        .get(ETAG)
        .filter(|tag| !tag.as_bytes().starts_with(b"W/"))
        .cloned()
}

/// A file being written and hashed.
struct Target {
    file: File,
    path: PathBuf,
    hasher: sha2::Sha256,
    other: Option<(HashAlgorithm, Hasher)>,
    bytes: u64,
}

impl Target {
    /// `other`: what it is hashed by besides SHA-256.
    fn create(path: PathBuf, other: Option<HashAlgorithm>) -> Result<Self, IndexError> {
        let file = File::create(&path).map_err(IndexError::io("write", &path))?;
        Ok(Self {
            file,
            path,
            hasher: sha2::Sha256::new(),
            other: other.map(|algorithm| (algorithm, algorithm.hasher())),
            bytes: 0,
        })
    }

    fn write(&mut self, piece: &[u8]) -> Result<(), IndexError> {
        self.hasher.update(piece);
        if let Some((_, hasher)) = &mut self.other {
            hasher.update(piece);
        }
        self.file
            .write_all(piece)
            .map_err(IndexError::io("write", &self.path))?;
        self.bytes += piece.len() as u64;
        Ok(())
    }

    fn finish(self) -> Received {
        Received {
            sha256: Sha256::from_bytes(self.hasher.finalize().into()),
            other: self
                .other
                .map(|(algorithm, hasher)| FileHash::of(algorithm, hasher)),
            bytes: self.bytes,
        }
    }
}

/// The way to a [`Target`] on a thread of its own.
struct Sink {
    pieces: mpsc::Sender<Bytes>,
    writer: tokio::task::JoinHandle<Result<Received, IndexError>>,
    /// Bytes sent on their way.
    sent: u64,
    other: Option<HashAlgorithm>,
}

impl Sink {
    fn open(dest: &Path, other: Option<HashAlgorithm>) -> Self {
        let (pieces, mut arriving) = mpsc::channel::<Bytes>(PIECES);
        let dest = dest.to_owned();
        let writer = tokio::task::spawn_blocking(move || {
            let mut target = Target::create(dest, other)?;
            while let Some(piece) = arriving.blocking_recv() {
                target.write(&piece)?;
            }
            Ok(target.finish())
        });
        Self {
            pieces,
            writer,
            sent: 0,
            other,
        }
    }

    async fn send(&mut self, piece: Bytes) -> Result<(), IndexError> {
        let count = piece.len() as u64;
        // Fails only when the writer gave up; `finish` knows why.
        self.pieces
            .send(piece)
            .await
            .map_err(|_| IndexError::Interrupted)?;
        self.sent += count;
        Ok(())
    }

    /// Starts the file again. The old writer must be done first: both write to one file.
    async fn restart(self, dest: &Path) -> Self {
        let other = self.other;
        drop(self.finish().await);
        Self::open(dest, other)
    }

    async fn finish(self) -> Result<Received, IndexError> {
        drop(self.pieces);
        match self.writer.await {
            Ok(received) => received,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(IndexError::Interrupted),
        }
    }
}

/// Reports now and then how far a transfer is.
struct Progress<'a> {
    file: &'a DistFile,
    reporter: &'a dyn Reporter,
    total: Option<u64>,
    last: Instant,
}

impl<'a> Progress<'a> {
    fn new(file: &'a DistFile, reporter: &'a dyn Reporter) -> Self {
        Self {
            file,
            reporter,
            total: file.size,
            last: Instant::now(),
        }
    }

    fn at(&mut self, done: u64) {
        if self.last.elapsed() >= REPORT_EVERY {
            self.last = Instant::now();
            self.report(done, self.total.unwrap_or(0));
        }
    }

    fn finish(&self, done: u64) {
        self.report(done, done);
    }

    fn report(&self, done: u64, total: u64) {
        self.reporter.report(Event::Download {
            file: self.file.filename.to_string(),
            done,
            total,
        });
    }
}

/// Removes what earlier runs left in `wheels-v1` and nobody took for a day.
pub(crate) fn sweep(directory: &Path) -> io::Result<()> {
    const OLD: Duration = Duration::from_hours(24);
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        // Others sweep too: what is gone meanwhile is no error.
        let age = entry
            .metadata()
            .and_then(|data| data.modified())
            .map(|at| at.elapsed());
        if matches!(age, Ok(Ok(age)) if age > OLD) {
            drop(std::fs::remove_file(entry.path()));
        }
    }
    Ok(())
}
