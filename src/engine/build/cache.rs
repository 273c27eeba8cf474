//! What was built before, in the cache directory:
//!
//! ```text
//! sdists-v1/<SHA-256>                archives of sources
//! builds-v1/<key>/METADATA           what the sources say of themselves, or their backend did
//! builds-v1/<key>/build.json         which of the folders beside it is the newest
//! builds-v1/<key>/<set>/NAME.whl     what came of it
//! builds-v1/logs/                    output of builds that failed
//! builds-v1/work/                    builds under way
//! ```
//!
//! A key is made from all that decides the outcome and is known beforehand: the sources' hash, the
//! interpreter, its platform, the backend's settings, limits on what it needs, the user's variables. A set is made from
//! what the build requirements resolved to. All of it can be deleted at any time; files come into
//! being by renaming, so a build that was cut off leaves nothing that would be used.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use blast_types::{CoreMetadata, Interpreter, Sha256, WheelFilename};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::BuildError;

/// Layout of `build.json`; another number is a miss.
const VERSION: u32 = 1;
/// Logs and folders of builds that were cut off go after so long.
const OLD: Duration = Duration::from_hours(7 * 24);

/// The cache of one cache directory.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    root: PathBuf,
    sdists: PathBuf,
}

/// All that decides the outcome of a build, and is known beforehand.
#[derive(Serialize)]
pub(super) struct Inputs<'a> {
    /// The sources, as a text that names their bytes.
    pub(super) sources: String,
    /// Folder of the project within them.
    pub(super) subdirectory: Option<&'a str>,
    pub(super) editable: bool,
    /// What the environment holds, where the build is not isolated from it.
    pub(super) within: &'a [String],
    pub(super) settings: &'a BTreeMap<String, Value>,
    /// Limits on what builds need. Without any, keys are those of builds that know of none.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(super) constraints: &'a [String],
    pub(super) variables: &'a BTreeMap<String, String>,
}

/// A wheel that was built.
#[derive(Debug, Clone)]
pub(crate) struct Built {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What its name says.
    pub(crate) filename: WheelFilename,
    /// Its SHA-256.
    pub(crate) sha256: Sha256,
}

#[derive(Serialize, Deserialize)]
struct Newest {
    version: u32,
    folder: String,
    wheel: String,
    sha256: Sha256,
    /// What it was built with, for people.
    with: Vec<String>,
}

impl Cache {
    pub(super) fn new(cache: &Path) -> Self {
        Self {
            root: cache.join("builds-v1"),
            sdists: cache.join("sdists-v1"),
        }
    }

    /// Names an outcome.
    pub(super) fn key(interpreter: &Interpreter, inputs: &Inputs<'_>) -> String {
        let markers = &interpreter.markers;
        let all = serde_json::json!([
            VERSION,
            inputs,
            interpreter.executable,
            interpreter.cache_tag,
            markers.implementation_name,
            markers.python_full_version,
            interpreter.platform,
        ]);
        blake3::hash(all.to_string().as_bytes()).to_hex()[..32].to_owned()
    }

    /// Where an archive of sources is kept.
    pub(super) fn sdist(&self, sha256: Sha256) -> PathBuf {
        self.sdists.join(sha256.to_hex())
    }

    /// The folder of archives, made where it is missing.
    pub(super) fn sdists(&self) -> Result<&Path, BuildError> {
        fs::create_dir_all(&self.sdists).map_err(BuildError::io("make", &self.sdists))?;
        Ok(&self.sdists)
    }

    /// A folder for one build.
    pub(super) fn workshop(&self) -> Result<tempfile::TempDir, BuildError> {
        let work = self.folder("work")?;
        sweep(&work);
        // Without links: what is given to a sandbox is known by where it really is.
        let work = fs::canonicalize(&work).map_err(BuildError::io("look at", &work))?;
        tempfile::tempdir_in(&work).map_err(BuildError::io("write to", work))
    }

    /// A log for one build, still empty.
    pub(super) fn log(&self, label: &str) -> Result<PathBuf, BuildError> {
        let logs = self.folder("logs")?;
        sweep(&logs);
        let plain: String = label
            .chars()
            .map(|c| {
                if c.is_alphanumeric() || "._-".contains(c) {
                    c
                } else {
                    '-'
                }
            })
            .collect();
        let file = tempfile::Builder::new()
            .prefix(&format!("{plain}-"))
            .suffix(".log")
            .tempfile_in(&logs)
            .map_err(BuildError::io("write to", &logs))?;
        let (_, path) = file
            .keep()
            .map_err(|error| BuildError::io("write to", &logs)(error.error))?;
        Ok(path)
    }

    /// Metadata found out before.
    pub(super) fn metadata(&self, key: &str) -> Option<CoreMetadata> {
        let bytes = fs::read(self.root.join(key).join("METADATA")).ok()?;
        blast_index::metadata::parse(&bytes).ok()
    }

    /// Keeps metadata.
    pub(super) fn put_metadata(
        &self,
        key: &str,
        metadata: &CoreMetadata,
    ) -> Result<(), BuildError> {
        write(&self.folder(key)?, "METADATA", text_of(metadata).as_bytes())
    }

    /// The wheel built before, if it is whole.
    pub(super) fn built(&self, key: &str) -> Option<Built> {
        let (newest, path) = self.newest(key)?;
        let sha256 = Sha256::of(&fs::read(&path).ok()?);
        (sha256 == newest.sha256).then_some(Built {
            filename: newest.wheel.parse().ok()?,
            path,
            sha256,
        })
    }

    /// A wheel with this hash, whatever it was built from, if it is whole.
    pub(super) fn kept(&self, sha256: Sha256) -> Option<Built> {
        let folders = fs::read_dir(&self.root).ok()?.flatten();
        let keys = folders.filter_map(|folder| folder.file_name().into_string().ok());
        let mut having =
            keys.filter(|key| self.built_hash(key).is_some_and(|(is, _)| is == sha256));
        having.find_map(|key| self.built(&key))
    }

    /// SHA-256 and name of the wheel built before; the wheel may be gone.
    pub(super) fn built_hash(&self, key: &str) -> Option<(Sha256, String)> {
        let (newest, _) = self.newest(key)?;
        Some((newest.sha256, newest.wheel))
    }

    fn newest(&self, key: &str) -> Option<(Newest, PathBuf)> {
        let folder = self.root.join(key);
        let bytes = fs::read(folder.join("build.json")).ok()?;
        let newest: Newest = serde_json::from_slice(&bytes).ok()?;
        let path = folder.join(&newest.folder).join(&newest.wheel);
        (newest.version == VERSION).then_some((newest, path))
    }

    /// Keeps a wheel that was built with `with`; it is moved here.
    pub(super) fn put(
        &self,
        key: &str,
        wheel: &Path,
        filename: WheelFilename,
        with: &[String],
    ) -> Result<Built, BuildError> {
        let bytes = fs::read(wheel).map_err(BuildError::io("read", wheel))?;
        let sha256 = Sha256::of(&bytes);
        let set = blake3::hash(with.join("\n").as_bytes()).to_hex()[..16].to_owned();
        let folder = self.folder(key)?;
        let name = wheel
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let kept = folder.join(&set);
        fs::create_dir_all(&kept).map_err(BuildError::io("make", &kept))?;
        let path = kept.join(&name);
        fs::rename(wheel, &path).map_err(BuildError::io("write", &path))?;
        let newest = Newest {
            version: VERSION,
            folder: set,
            wheel: name,
            sha256,
            with: with.to_vec(),
        };
        let text = serde_json::to_vec(&newest).unwrap_or_default();
        write(&folder, "build.json", &text)?;
        Ok(Built {
            path,
            filename,
            sha256,
        })
    }

    fn folder(&self, name: &str) -> Result<PathBuf, BuildError> {
        let folder = self.root.join(name);
        fs::create_dir_all(&folder).map_err(BuildError::io("make", &folder))?;
        Ok(folder)
    }
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), BuildError> {
    let path = folder.join(name);
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.persist(&path)?;
        Ok(())
    };
    write().map_err(BuildError::io("write", path))
}

/// Removes what is old in a folder. Others may do so at the same time.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let modified = entry.metadata().and_then(|found| found.modified());
        let age = modified.map(|at| at.elapsed().unwrap_or_default());
        if !age.is_ok_and(|age| age > OLD) {
            continue;
        }
        let path = entry.path();
        let removed = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        if let Err(error) = removed {
            tracing::debug!(path = %path.display(), %error, "not swept");
        }
    }
}

/// Metadata as a file, with what [`blast_index::metadata::parse`] reads.
fn text_of(metadata: &CoreMetadata) -> String {
    let mut lines = vec![
        "Metadata-Version: 2.1".to_owned(),
        format!("Name: {}", metadata.name),
        format!("Version: {}", metadata.version),
    ];
    if let Some(python) = &metadata.requires_python {
        lines.push(format!("Requires-Python: {python}"));
    }
    let extras = metadata.provides_extra.iter();
    lines.extend(extras.map(|extra| format!("Provides-Extra: {extra}")));
    let requires = metadata.requires_dist.iter();
    lines.extend(requires.map(|requirement| {
        format!(
            "Requires-Dist: {}",
            requirement.displayable_with_credentials()
        )
    }));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_survives_being_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::new(folder.path());
        let text = b"Name: a\nVersion: 1.0+x\nRequires-Dist: b>1; extra == 'c'\n\
                     Provides-Extra: c\nRequires-Python: >=3.8,<4\n";
        let metadata = blast_index::metadata::parse(text).expect("valid");
        cache.put_metadata("key", &metadata).expect("written");
        let kept = cache.metadata("key").expect("kept");
        assert_eq!(text_of(&kept), text_of(&metadata));
        assert_eq!(kept.requires_dist.len(), 1);
        assert!(cache.metadata("other").is_none());
    }

    #[test]
    fn a_wheel_that_was_changed_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::new(folder.path());
        let name = "a-1-py3-none-any.whl";
        let wheel = folder.path().join(name);
        fs::write(&wheel, b"content").expect("written");
        let filename = name.parse().expect("a name");
        let built = cache.put("key", &wheel, filename, &[]).expect("kept");
        assert_eq!(cache.built("key").expect("whole").sha256, built.sha256);
        fs::write(&built.path, b"other").expect("written");
        assert!(cache.built("key").is_none());
    }
}
