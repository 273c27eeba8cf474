//! [`Index::metadata`]: core metadata of a file, by the cheapest way there is.
//!
//! 1. memory, then disk: metadata of a file whose hash the index states never changes;
//! 2. `URL.metadata`, where the index says that it exists (PEP 658);
//! 3. byte ranges of the wheel, tail first: central directory, then the member;
//! 4. the whole wheel, which then waits in the cache for [`Index::download`].
//!
//! Cached metadata is filed under the address and the hash: an index can only ever speak for its
//! own files, even if it states the hash of somebody else's. Files without a hash are remembered
//! within a command only. The cache holds the headers without the description.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blast_types::{CoreMetadata, DistFile, DistKind, MetadataAt, Sha256, Silent, WheelFilename};
use reqwest::Method;
use reqwest::header::CONTENT_RANGE;
use url::Url;

use crate::cache::{DiskCache, Head};
use crate::client::{Reply, raw_bytes, status_error};
use crate::download::{file_url_of, sweep};
use crate::error::IndexError;
use crate::freshness::Freshness;
use crate::index::{Index, IndexInner};
use crate::metadata::{self, MetadataError};
use crate::ranges::{Attempt, Sparse, read_metadata};
use crate::simple::version_of;
use crate::transport::blocking;
use crate::url::{local_path, without_credentials};
use crate::wheel::{self, WheelError};

/// The largest metadata file that is read.
const METADATA_LIMIT: u64 = 32 << 20;
/// How much of a wheel's end is fetched first: most central directories, and the metadata too
/// where the `.dist-info` folder stands last, as it should.
const TAIL: u64 = 32 << 10;
/// The largest part of a wheel that is fetched for its metadata alone.
const RANGE_LIMIT: u64 = 64 << 20;
/// Rounds of fetching parts; three are enough for honest archives.
const ROUNDS: usize = 8;

/// A file whose metadata is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct MetadataKey {
    url: Box<str>,
    /// What makes the content certain: a hash; else the command that looked.
    identity: Identity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Identity {
    Hash(Sha256),
    Command(u64),
}

/// Metadata as it came, headers only.
struct Raw {
    headers: Vec<u8>,
}

impl Index {
    /// The metadata of a wheel, or of an sdist whose metadata is served beside it and promises not
    /// to change in a build.
    ///
    /// # Errors
    /// [`IndexError::NeedsBuild`] for other sdists. [`IndexError::is_about_one_file`] tells
    /// whether another file may be tried.
    pub async fn metadata(&self, file: &DistFile) -> Result<Arc<CoreMetadata>, IndexError> {
        let inner = &self.0;
        let url = file_url_of(file)?;
        let key = inner.metadata_key(file, &url);
        if let Some(known) = inner.shared.metadata.get(&key) {
            return Ok(known);
        }
        let _flight = inner.shared.metadata_flights.board(&key).await;
        if let Some(known) = inner.shared.metadata.get(&key) {
            return Ok(known);
        }
        let (parsed, weight) = inner.find_metadata(self, file, &url, &key).await?;
        let parsed = Arc::new(parsed);
        inner
            .shared
            .metadata
            .insert(key, Arc::clone(&parsed), weight);
        Ok(parsed)
    }
}

impl IndexInner {
    fn metadata_key(&self, file: &DistFile, url: &Url) -> MetadataKey {
        let stated = match file.metadata {
            MetadataAt::Beside(hash) => file.sha256.or(hash),
            MetadataAt::Inside => file.sha256,
        };
        let identity = stated.map_or(Identity::Command(self.command), Identity::Hash);
        MetadataKey {
            url: without_credentials(url).as_str().into(),
            identity,
        }
    }

    async fn find_metadata(
        &self,
        index: &Index,
        file: &DistFile,
        url: &Url,
        key: &MetadataKey,
    ) -> Result<(CoreMetadata, usize), IndexError> {
        let path = match (url.scheme(), key.identity) {
            ("http" | "https", Identity::Hash(hash)) => {
                Some(self.shared.disk.metadata(&[&key.url, &hash.to_hex()]))
            }
            _ => None,
        };
        if let Some(path) = path.clone() {
            let stored = blocking(move || DiskCache::load(&path)).await?;
            if let Some(Ok(parsed)) = stored.as_ref().map(|stored| read(file, &stored.body)) {
                let weight = stored.map_or(0, |stored| stored.body.len());
                return Ok((parsed, 256 + 4 * weight));
            }
        }
        let raw = match url.scheme() {
            "file" => local_metadata(file, url).await?,
            _ => self.remote_metadata(index, file, url).await?,
        };
        let parsed = read(file, &raw.headers)?;
        let weight = 256 + 4 * raw.headers.len();
        if let Some(path) = path {
            self.keep(url, path, raw).await?;
        }
        Ok((parsed, weight))
    }

    async fn keep(&self, url: &Url, path: PathBuf, raw: Raw) -> Result<(), IndexError> {
        let head = Head {
            url: without_credentials(url).into(),
            content_type: None,
            etag: None,
            last_modified: None,
            freshness: Freshness {
                fresh_for_ms: u64::MAX,
                no_store: false,
            },
        };
        let disk = self.shared.disk.clone();
        let kept = blocking(move || disk.store(&path, &head, &raw.headers)).await?;
        self.note(kept);
        Ok(())
    }

    async fn remote_metadata(
        &self,
        index: &Index,
        file: &DistFile,
        url: &Url,
    ) -> Result<Raw, IndexError> {
        if let MetadataAt::Beside(hash) = file.metadata
            && let Some(raw) = self.beside(file, url, hash).await?
        {
            return Ok(raw);
        }
        let DistKind::Wheel(name) = &file.kind else {
            return Err(IndexError::NeedsBuild {
                file: file.filename.to_string(),
            });
        };
        match self.by_ranges(file, url, name).await? {
            Some(raw) => Ok(raw),
            None => self.by_whole(index, file, name).await,
        }
    }

    /// `URL.metadata`; `None` where the server does not have it after all.
    async fn beside(
        &self,
        file: &DistFile,
        url: &Url,
        hash: Option<Sha256>,
    ) -> Result<Option<Raw>, IndexError> {
        let mut beside = url.clone();
        beside.set_path(&format!("{}.metadata", url.path()));
        let answer = self
            .fetcher
            .page(&beside, &reqwest::header::HeaderMap::new(), METADATA_LIMIT)
            .await?;
        match answer.status.as_u16() {
            200 => {}
            404 | 410 => return Ok(None),
            _ => return Err(status_error(answer.status, &answer.url)),
        }
        if let Some(expected) = hash {
            let actual = Sha256::of(&answer.body);
            if actual != expected {
                let file = format!("{}.metadata", file.filename);
                return Err(IndexError::HashMismatch {
                    file,
                    expected,
                    actual,
                });
            }
        }
        Ok(Some(Raw::of(&answer.body)))
    }

    /// By parts of the wheel; `None` where the server does not serve parts.
    async fn by_ranges(
        &self,
        file: &DistFile,
        url: &Url,
        name: &WheelFilename,
    ) -> Result<Option<Raw>, IndexError> {
        let headers = raw_bytes(Some(&format!("bytes=-{TAIL}")));
        let tail = self.fetcher.send(Method::GET, url, &headers).await?;
        let (length, mut sparse) = match tail.status.as_u16() {
            206 => {
                let Some((range, length)) = content_range(&tail) else {
                    return Ok(None);
                };
                let mut sparse = Sparse::new(length);
                let bytes = self.part(tail, &range).await?;
                sparse.add(range.start, bytes);
                (length, sparse)
            }
            // 416 and 501: some servers do not know the form that counts from the end.
            200 | 400 | 416 | 501 => return Ok(None),
            _ => return Err(status_error(tail.status, &tail.url)),
        };
        if file.size.is_some_and(|size| size != length) {
            let expected = file.size.unwrap_or_default();
            let file = file.filename.to_string();
            return Err(IndexError::SizeMismatch {
                file,
                expected,
                actual: length,
            });
        }
        for _ in 0..ROUNDS {
            let wanted = |directory: &str| wheel::is_dist_info_of(directory, name);
            let attempt = read_metadata(&sparse, &wanted, METADATA_LIMIT)
                .map_err(|error| WheelError::archive(&file.filename, error))?;
            let range = match attempt {
                Attempt::Done(bytes) => return Ok(Some(Raw::of(&bytes))),
                Attempt::Fetch(range) => range,
            };
            if range.end - range.start > RANGE_LIMIT {
                return Ok(None);
            }
            let header = format!("bytes={}-{}", range.start, range.end - 1);
            let reply = self
                .fetcher
                .send(Method::GET, url, &raw_bytes(Some(&header)))
                .await?;
            if reply.status.as_u16() != 206 {
                return Ok(None);
            }
            match content_range(&reply) {
                Some((got, total)) if got == range && total == length => {
                    sparse.add(range.start, self.part(reply, &range).await?);
                }
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The body of a partial answer, which must be as long as its header says.
    async fn part(&self, mut reply: Reply, range: &Range<u64>) -> Result<bytes::Bytes, IndexError> {
        let length = range.end - range.start;
        let mut bytes = bytes::BytesMut::with_capacity(length.min(1 << 20) as usize);
        while let Some(chunk) = reply.chunk().await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > length {
                break;
            }
        }
        let read = bytes.len() as u64;
        self.fetcher
            .tally
            .bytes
            .fetch_add(read, std::sync::atomic::Ordering::Relaxed);
        if read == length {
            return Ok(bytes.freeze());
        }
        let file = crate::url::RedactedUrl::from(reply.url).to_string();
        Err(IndexError::SizeMismatch {
            file,
            expected: length,
            actual: read,
        })
    }

    /// By the whole wheel, which stays in the cache, verified, for whoever installs it.
    async fn by_whole(
        &self,
        index: &Index,
        file: &DistFile,
        name: &WheelFilename,
    ) -> Result<Raw, IndexError> {
        let directory = self.shared.disk.wheels();
        let disk = self.shared.disk.clone();
        let temporary = blocking(move || {
            let made = disk.prepare(&directory).and_then(|()| {
                sweep(&directory)?;
                tempfile::Builder::new()
                    .prefix(".fetch-")
                    .tempfile_in(&directory)
            });
            made.map_err(IndexError::io("write to", directory))
        })
        .await??;
        let path = temporary.path().to_owned();
        let sha256 = index.download(file, None, &path, &Silent).await?;
        let kept = self.shared.disk.wheels().join(sha256.to_hex());
        let (filename, name) = (file.filename.clone(), name.clone());
        blocking(move || {
            let raw = wheel_metadata(&path, &filename, &name)?;
            // Another command may have kept the same file meanwhile: both are the same bytes.
            if let Err(error) = temporary.persist(&kept) {
                tracing::debug!(error = %error.error, "wheel not kept");
            }
            Ok(raw)
        })
        .await?
    }
}

impl Raw {
    fn of(bytes: &[u8]) -> Self {
        Self {
            headers: metadata::header_part(bytes).to_vec(),
        }
    }
}

/// Parses metadata and compares it with what the file's name says.
fn read(file: &DistFile, bytes: &[u8]) -> Result<CoreMetadata, IndexError> {
    let named = |source| IndexError::Metadata {
        file: file.filename.to_string(),
        source,
    };
    let (name, parsed) = match &file.kind {
        DistKind::Wheel(wheel) => (&wheel.name, metadata::parse(bytes).map_err(named)?),
        DistKind::Sdist(sdist) => {
            let needs_build = || IndexError::NeedsBuild {
                file: file.filename.to_string(),
            };
            let parsed = metadata::parse_static_sdist(bytes).map_err(named)?;
            (&sdist.name, parsed.ok_or_else(needs_build)?)
        }
    };
    if parsed.name == *name && parsed.version == *version_of(file) {
        return Ok(parsed);
    }
    let file = file.filename.to_string();
    Err(IndexError::MetadataDisagrees {
        file,
        name: parsed.name,
        version: parsed.version,
    })
}

async fn local_metadata(file: &DistFile, url: &Url) -> Result<Raw, IndexError> {
    let DistKind::Wheel(name) = &file.kind else {
        return Err(IndexError::NeedsBuild {
            file: file.filename.to_string(),
        });
    };
    let named = |source| IndexError::Url {
        what: file.filename.to_string(),
        source,
    };
    let path = local_path(url).map_err(named)?;
    let (filename, name) = (file.filename.clone(), name.clone());
    blocking(move || wheel_metadata(&path, &filename, &name)).await?
}

/// The metadata inside a wheel on disk. The rest of it is checked when it is installed.
fn wheel_metadata(path: &Path, filename: &str, name: &WheelFilename) -> Result<Raw, IndexError> {
    let io = |source| IndexError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let mut file = std::fs::File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let mut sparse = Sparse::new(length);
    let mut range = length.saturating_sub(TAIL)..length;
    for _ in 0..ROUNDS {
        file.seek(SeekFrom::Start(range.start)).map_err(io)?;
        let mut part = Vec::new();
        (&mut file)
            .take(range.end - range.start)
            .read_to_end(&mut part)
            .map_err(io)?;
        sparse.add(range.start, part.into());
        let wanted = |directory: &str| wheel::is_dist_info_of(directory, name);
        match read_metadata(&sparse, &wanted, METADATA_LIMIT)
            .map_err(|error| WheelError::archive(filename, error))?
        {
            Attempt::Done(bytes) => return Ok(Raw::of(&bytes)),
            Attempt::Fetch(next) => range = next,
        }
    }
    let source = MetadataError::Missing("Name");
    Err(IndexError::Metadata {
        file: filename.to_owned(),
        source,
    })
}

/// `Content-Range: bytes 5-9/10` as `(5..10, 10)`, if it makes sense and is not too large.
fn content_range(reply: &Reply) -> Option<(Range<u64>, u64)> {
    parse_content_range(reply.headers.get(CONTENT_RANGE)?.to_str().ok()?)
        .filter(|(range, _)| range.end - range.start <= RANGE_LIMIT)
}

pub(crate) fn parse_content_range(text: &str) -> Option<(Range<u64>, u64)> {
    let (range, total) = text
        .trim()
        .strip_prefix("bytes")?
        .trim_start()
        .split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let total: u64 = total.trim().parse().ok()?;
    let first: u64 = first.trim().parse().ok()?;
    let end = last.trim().parse::<u64>().ok()?.checked_add(1)?;
    (first < end && end <= total).then_some((first..end, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_must_make_sense() {
        assert_eq!(parse_content_range("bytes 5-9/10"), Some((5..10, 10)));
        for bad in [
            "bytes */10",
            "bytes 5-9/*",
            "bytes 9-5/10",
            "bytes 0-10/10",
            "items 0-1/2",
            "bytes 0-18446744073709551615/18446744073709551615",
            "",
        ] {
            assert_eq!(parse_content_range(bad), None, "{bad}");
        }
    }
}
