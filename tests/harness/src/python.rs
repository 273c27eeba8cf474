//! The interpreter that sandboxes put on their PATH.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A Python of the host that blast supports.
#[derive(Debug, Clone)]
pub struct HostPython {
    /// The executable, with no shim in between.
    pub executable: PathBuf,
    /// Its folder, which becomes the first of PATH.
    pub bin: PathBuf,
    /// Full version, such as `3.12.1`.
    pub version: String,
}

/// Minor versions in the order in which tests want them.
const MINORS: [u32; 7] = [12, 13, 11, 14, 10, 9, 8];

impl HostPython {
    /// The interpreter that `BLAST_TEST_PYTHON` names, else one of pyenv, else the system's.
    ///
    /// `for_all` restricts the search to interpreters that every user can read: pyenv often lies
    /// in a home that is closed.
    ///
    /// # Panics
    /// If the host has none.
    pub fn find(for_all: bool) -> Self {
        candidates(for_all)
            .into_iter()
            .find_map(|candidate| Self::probe(&candidate))
            .expect("the host has a CPython 3.8 or later with python3 in its folder")
    }

    /// All supported interpreters found by the same search, one per minor version.
    pub fn all() -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        for python in candidates(false)
            .iter()
            .filter_map(|candidate| Self::probe(candidate))
        {
            if !found.iter().any(|other| other.minor() == python.minor()) {
                found.push(python);
            }
        }
        found
    }

    /// `3.12`.
    pub fn minor(&self) -> &str {
        self.version
            .rsplit_once('.')
            .map_or(&self.version, |(minor, _)| minor)
    }

    fn probe(executable: &Path) -> Option<Self> {
        let output = Command::new(executable)
            .args([
                "-I",
                "-c",
                "import sys; print('%d.%d.%d' % sys.version_info[:3])",
            ])
            .output()
            .ok()?;
        let version = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
        let supported = parts.next()?? == 3 && (8..=14).contains(&parts.next()??);
        let bin = executable.parent()?.to_owned();
        (output.status.success() && supported && bin.join("python3").exists()).then(|| Self {
            executable: executable.to_owned(),
            bin,
            version,
        })
    }
}

fn candidates(for_all: bool) -> Vec<PathBuf> {
    if let Some(chosen) = env::var_os("BLAST_TEST_PYTHON").filter(|path| !path.is_empty()) {
        return vec![PathBuf::from(chosen)];
    }
    let mut found = Vec::new();
    if !for_all {
        let pyenv = env::var_os("PYENV_ROOT")
            .map(PathBuf::from)
            .or_else(home_pyenv);
        if let Some(versions) = pyenv.map(|root| root.join("versions")) {
            found.extend(
                MINORS
                    .iter()
                    .flat_map(|minor| pyenv_versions(&versions, *minor)),
            );
        }
    }
    for folder in ["/usr/local/bin", "/usr/bin"] {
        found.extend(
            MINORS
                .iter()
                .map(|minor| Path::new(folder).join(format!("python3.{minor}"))),
        );
    }
    found.retain(|path| path.exists());
    found
}

fn home_pyenv() -> Option<PathBuf> {
    env::var_os("HOME").map(|home: OsString| PathBuf::from(home).join(".pyenv"))
}

fn pyenv_versions(versions: &Path, minor: u32) -> Vec<PathBuf> {
    let Ok(folders) = fs::read_dir(versions) else {
        return Vec::new();
    };
    let prefix = format!("3.{minor}.");
    let mut found: Vec<PathBuf> = folders
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with(&prefix))
        })
        .map(|path| path.join(format!("bin/python3.{minor}")))
        .collect();
    found.sort();
    found
}
