//! Answers of interpreters, kept.
//!
//! ```text
//! $BLAST_CACHE/interpreters-v2/
//!   <blake3 of the path>.json         the answer (`Stored<Answer>`)
//!   <blake3 of the path>.index.json   its pip's default index (`Stored<String>`)
//! ```
//!
//! An entry counts as long as the file that the path leads to is the same one, unchanged, on the
//! same running kernel (whose release is among the markers). Anything else, also an entry that
//! cannot be read, means to ask again. Entries are replaced whole, by rename; losing one costs a
//! probe, so a write that fails is only logged.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use blast_types::Interpreter;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::base;
use super::probe::{Answer, ProbeError, ask_default_index, probe};

/// Folder below the cache directory. The number changes with the form of the entries and with what
/// the probe asks.
const BUCKET: &str = "interpreters-v2";

/// What interpreters said of themselves, remembered across runs.
#[derive(Debug, Clone)]
pub(crate) struct ProbeCache {
    dir: PathBuf,
    host: String,
}

/// A value, and of which file on which host it is true.
#[derive(Serialize, Deserialize)]
struct Stored<T> {
    identity: Identity,
    value: T,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    path: PathBuf,
    resolved: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    mtime_ns: i128,
    host: String,
}

impl ProbeCache {
    /// The cache below `cache`, blast's cache directory. Nothing is read or made yet, save the
    /// kernel's release.
    pub(crate) fn new(cache: &Path) -> Self {
        let host = ["/proc/sys/kernel/osrelease", "/proc/sys/kernel/version"]
            .map(|path| fs::read_to_string(path).unwrap_or_default())
            .concat();
        Self {
            dir: cache.join(BUCKET),
            host,
        }
    }

    /// What the interpreter at `path` is, or the one behind it if `path` belongs to an environment.
    pub(super) fn inspect(&self, path: &Path) -> Result<Answer, ProbeError> {
        self.inspect_through(path, true)
    }

    /// The same, if nothing has to be run for it.
    pub(super) fn remembered(&self, path: &Path) -> Option<Answer> {
        let path = base::resolve(path).ok()?;
        self.load(&self.entry(&path, "json"), &self.identity(&path).ok()?)
    }

    /// The index that this interpreter's pip asks when nobody configured one; `None` if neither an
    /// installed pip nor a bundled one says.
    pub(crate) fn default_index(&self, interpreter: &Interpreter) -> Option<String> {
        let path = &interpreter.executable;
        let identity = self.identity(path).ok()?;
        let entry = self.entry(path, "index.json");
        if let Some(url) = self.load(&entry, &identity) {
            return Some(url);
        }
        // That there is none is not remembered: pip may be installed at any time.
        let url = ask_default_index(interpreter)?;
        self.save(&entry, identity, &url);
        Some(url)
    }

    fn inspect_through(&self, path: &Path, wrappers: bool) -> Result<Answer, ProbeError> {
        let path = base::resolve(path).map_err(|source| ProbeError::Base {
            path: path.to_path_buf(),
            source,
        })?;
        let identity = self.identity(&path).map_err(|source| ProbeError::Stat {
            path: path.clone(),
            source,
        })?;
        let entry = self.entry(&path, "json");
        if let Some(answer) = self.load(&entry, &identity) {
            return Ok(answer);
        }
        let answer = probe(&path)?;
        if let Answer::Known(interpreter) = &answer {
            let real =
                base::resolve(&interpreter.executable).map_err(|source| ProbeError::Base {
                    path: path.clone(),
                    source,
                })?;
            if fs::canonicalize(&real).ok().as_ref() != Some(&identity.resolved) {
                // A wrapper (a version manager's shim, say) chose another program. It may choose
                // differently tomorrow, so only the answer of its choice is worth keeping.
                return if wrappers && real != path {
                    self.inspect_through(&real, false)
                } else {
                    Ok(answer)
                };
            }
        }
        self.save(&entry, identity, &answer);
        Ok(answer)
    }

    fn identity(&self, path: &Path) -> io::Result<Identity> {
        let metadata = fs::metadata(path)?;
        Ok(Identity {
            path: path.to_path_buf(),
            resolved: fs::canonicalize(path)?,
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            mtime_ns: i128::from(metadata.mtime()) * 1_000_000_000
                + i128::from(metadata.mtime_nsec()),
            host: self.host.clone(),
        })
    }

    fn entry(&self, path: &Path, extension: &str) -> PathBuf {
        let name = blake3::hash(path.as_os_str().as_bytes()).to_hex();
        self.dir.join(format!("{name}.{extension}"))
    }

    #[expect(clippy::unused_self, reason = "the pair of `save`")]
    fn load<T: DeserializeOwned>(&self, entry: &Path, identity: &Identity) -> Option<T> {
        let bytes = fs::read(entry).ok()?;
        match serde_json::from_slice::<Stored<T>>(&bytes) {
            Ok(stored) => (stored.identity == *identity).then_some(stored.value),
            Err(error) => {
                tracing::debug!(entry = %entry.display(), %error, "a kept answer is damaged");
                None
            }
        }
    }

    fn save<T: Serialize>(&self, entry: &Path, identity: Identity, value: &T) {
        let write = || -> io::Result<()> {
            fs::create_dir_all(&self.dir)?;
            let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
            file.write_all(&serde_json::to_vec(&Stored { identity, value })?)?;
            file.persist(entry)?;
            Ok(())
        };
        if let Err(error) = write() {
            tracing::debug!(entry = %entry.display(), %error, "an answer could not be kept");
        }
    }
}
