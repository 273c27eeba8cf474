//! HTTP answers on disk. One file per answer: a line of JSON (the head), a newline, the body.
//! The head states length and BLAKE3 of the body, so that a torn or damaged file is a miss; the
//! file's modification time says when the answer was last known to be good, so that a 304 costs
//! one `utimensat`. Files are replaced by rename and never synced: losing them costs a request.
//! Readers and writers of one file may run at once, in this and in other processes.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::freshness::{Freshness, now_ms};

/// Layout of the head; another number is a miss.
const VERSION: u32 = 1;

const TAG: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55\n\
# Everything in this directory can be fetched again.\n";

/// The cache directory.
#[derive(Debug, Clone)]
pub(crate) struct DiskCache {
    root: PathBuf,
}

/// What is known of an answer beside its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// Where the answer came from in the end, without credentials; relative links start there.
    pub(crate) url: String,
    pub(crate) content_type: Option<String>,
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: Option<String>,
    pub(crate) freshness: Freshness,
}

#[derive(Serialize, Deserialize)]
struct OnDisk {
    version: u32,
    #[serde(flatten)]
    head: Head,
    length: usize,
    blake3: String,
}

/// An answer read back.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) head: Head,
    pub(crate) body: Bytes,
    /// When it was last known to be good.
    pub(crate) validated_ms: u64,
}

impl Stored {
    pub(crate) fn is_fresh(&self) -> bool {
        // A time in the future is a clock set back: do not trust it.
        let now = now_ms();
        self.validated_ms <= now && now < self.head.freshness.until(self.validated_ms)
    }
}

impl Stored {
    /// Whether it was known to be good at most so long ago.
    pub(crate) fn is_younger_than(&self, age: Duration) -> bool {
        let now = now_ms();
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        self.validated_ms <= now && now - self.validated_ms < age
    }
}

impl DiskCache {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A directory for archives in flight, made on first use.
    pub(crate) fn wheels(&self) -> PathBuf {
        self.root.join("wheels-v1")
    }

    pub(crate) fn project_page(&self, index: &str, name: &str) -> PathBuf {
        self.root.join("simple-v1").join(key(&[index])).join(name)
    }

    pub(crate) fn link_page(&self, url: &str) -> PathBuf {
        self.root.join("simple-v1/pages").join(key(&[url]))
    }

    pub(crate) fn metadata(&self, parts: &[&str]) -> PathBuf {
        let key = key(parts);
        self.root
            .join("metadata-v1")
            .join(&key[..2])
            .join(&key[2..])
    }

    /// The answer at `path`; anything but a whole and healthy one is a miss.
    pub(crate) fn load(path: &Path) -> Option<Stored> {
        let mut bytes = fs::read(path).ok()?;
        let end = bytes.iter().position(|&byte| byte == b'\n')?;
        let stored: OnDisk = serde_json::from_slice(&bytes[..end]).ok()?;
        let body = Bytes::from(bytes.split_off(end + 1));
        let healthy = stored.version == VERSION
            && stored.length == body.len()
            && blake3::hash(&body).to_hex().as_str() == stored.blake3;
        if !healthy {
            tracing::debug!(path = %path.display(), "damaged cache entry");
            return None;
        }
        let modified = fs::metadata(path).and_then(|data| data.modified()).ok()?;
        let validated_ms = modified.duration_since(UNIX_EPOCH).ok()?.as_millis() as u64;
        Some(Stored {
            head: stored.head,
            body,
            validated_ms,
        })
    }

    /// Keeps an answer that arrived just now.
    pub(crate) fn store(&self, path: &Path, head: &Head, body: &[u8]) -> io::Result<()> {
        let on_disk = OnDisk {
            version: VERSION,
            head: head.clone(),
            length: body.len(),
            blake3: blake3::hash(body).to_hex().to_string(),
        };
        let mut first = serde_json::to_vec(&on_disk)?;
        first.push(b'\n');
        let directory = path.parent().unwrap_or(&self.root);
        self.prepare(directory)?;
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(&first)?;
        file.write_all(body)?;
        file.persist(path)?;
        Ok(())
    }

    /// Notes that the answer at `path` was confirmed just now.
    pub(crate) fn touch(path: &Path) -> io::Result<()> {
        File::options()
            .write(true)
            .open(path)?
            .set_modified(UNIX_EPOCH + Duration::from_millis(now_ms()))
    }

    /// Makes `directory` and marks the cache as one, so that backups leave it out.
    pub(crate) fn prepare(&self, directory: &Path) -> io::Result<()> {
        if directory.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(directory)?;
        let tag = self.root.join("CACHEDIR.TAG");
        match File::options().write(true).create_new(true).open(tag) {
            Ok(mut file) => file.write_all(TAG),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// A file name for these parts; hashed because they hold slashes and, at times, user names.
fn key(parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            url: "http://127.0.0.1:1/simple/a/".to_owned(),
            content_type: Some("text/html".to_owned()),
            etag: Some("\"x\"".to_owned()),
            last_modified: None,
            freshness: Freshness {
                fresh_for_ms: 1_000_000,
                no_store: false,
            },
        }
    }

    #[test]
    fn round_trip_and_freshness() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = DiskCache::new(dir.path());
        let path = cache.project_page("http://127.0.0.1:1/simple/", "a");
        cache.store(&path, &head(), b"line\nline").expect("stored");
        let stored = DiskCache::load(&path).expect("a hit");
        assert_eq!(
            (stored.head.clone(), &stored.body[..]),
            (head(), &b"line\nline"[..])
        );
        assert!(stored.is_fresh());
        let tag = fs::read(dir.path().join("CACHEDIR.TAG")).expect("tagged");
        assert!(tag.starts_with(b"Signature: 8a477f597d28d172789f06886806bc55"));

        let file = File::options().write(true).open(&path).expect("there");
        file.set_modified(UNIX_EPOCH + Duration::from_secs(5))
            .expect("set");
        assert!(!DiskCache::load(&path).expect("a hit").is_fresh());
        DiskCache::touch(&path).expect("touched");
        assert!(DiskCache::load(&path).expect("a hit").is_fresh());
    }

    #[test]
    fn damage_of_any_kind_is_a_miss() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = DiskCache::new(dir.path());
        let path = cache.link_page("http://127.0.0.1:1/links");
        cache.store(&path, &head(), b"body").expect("stored");
        let whole = fs::read(&path).expect("there");
        for damaged in [
            &whole[..whole.len() - 1],
            b"",
            b"\n",
            b"{}\nbody",
            &[0xff; 40],
        ] {
            fs::write(&path, damaged).expect("written");
            assert!(DiskCache::load(&path).is_none(), "{damaged:?}");
        }
        let mut flipped = whole.clone();
        *flipped.last_mut().expect("not empty") ^= 1;
        fs::write(&path, flipped).expect("written");
        assert!(DiskCache::load(&path).is_none());
    }

    #[test]
    fn keys_do_not_run_together() {
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
    }
}
