//! What a folder of sources holds, as a short text: equal texts, equal outcome of a build.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::BuildError;

/// The files that decide what an editable install looks like; all else is read where it is.
const DECISIVE: &[&str] = &["pyproject.toml", "setup.cfg", "setup.py"];

/// Folders that hold no sources.
const PASSED_OVER: &[&str] = &[
    ".git",
    ".hg",
    ".nox",
    ".svn",
    ".tox",
    ".venv",
    "__pycache__",
    "node_modules",
];

/// Names a project to be installed in editable form: where it is and what its settings are.
pub(super) fn of_project(folder: &Path) -> Result<String, BuildError> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(folder.as_os_str().as_bytes());
    for name in DECISIVE {
        let path = folder.join(name);
        match fs::read(&path) {
            Ok(bytes) => {
                hasher.update(b"\0").update(name.as_bytes());
                hasher.update(blake3::hash(&bytes).as_bytes());
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(BuildError::io("read", path)(error)),
        }
    }
    Ok(format!("project {}", hasher.finalize().to_hex()))
}

/// Names a folder by names, sizes and times of its files.
pub(super) fn of_tree(folder: &Path) -> Result<String, BuildError> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(folder.as_os_str().as_bytes());
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let listed = fs::read_dir(&folder).map_err(BuildError::io("read", &folder))?;
        let mut paths: Vec<_> = listed
            .map(|entry| Ok(entry.map_err(BuildError::io("read", &folder))?.path()))
            .collect::<Result<_, BuildError>>()?;
        paths.sort();
        for path in paths {
            let found = fs::symlink_metadata(&path).map_err(BuildError::io("read", &path))?;
            hasher.update(b"\0").update(path.as_os_str().as_bytes());
            if !found.is_dir() {
                for number in [
                    found.mtime(),
                    found.mtime_nsec(),
                    found.size().cast_signed(),
                ] {
                    hasher.update(&number.to_le_bytes());
                }
            } else if !PASSED_OVER.iter().any(|name| path.ends_with(name)) {
                folders.push(path);
            }
        }
    }
    Ok(format!("folder {}", hasher.finalize().to_hex()))
}
