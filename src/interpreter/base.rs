//! From an environment's `bin/python` to the interpreter it was made from, by reading
//! `pyvenv.cfg`. Nothing is run: the `python` of one of our own environments would start a sandbox.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::search::is_executable;

/// An environment made from an environment made from …: nobody goes that deep.
const MAX_DEPTH: usize = 8;

/// `pyvenv.cfg` has a handful of lines.
const MAX_CONFIG_BYTES: u64 = 64 * 1024;

/// Why an environment's base interpreter cannot be told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BaseError {
    /// `pyvenv.cfg` is there but cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The `pyvenv.cfg`.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// What `pyvenv.cfg` names is not there.
    #[error("the interpreter that {} was made from is gone", path.display())]
    Gone {
        /// The `pyvenv.cfg`.
        path: PathBuf,
    },
    /// `pyvenv.cfg` leads from environment to environment without end.
    #[error("{} leads through too many environments", path.display())]
    Endless {
        /// Where we began.
        path: PathBuf,
    },
}

/// The base interpreter behind `executable`: itself, unless it belongs to an environment.
pub(super) fn resolve(executable: &Path) -> Result<PathBuf, BaseError> {
    let mut current = executable.to_path_buf();
    for _ in 0..MAX_DEPTH {
        let Some((path, text)) = config_of(&current)? else {
            return Ok(current);
        };
        current = home_python(&text, &current).ok_or(BaseError::Gone { path })?;
    }
    Err(BaseError::Endless {
        path: executable.to_path_buf(),
    })
}

/// The `pyvenv.cfg` that the interpreter itself would go by: beside it or one folder up. Links
/// are not resolved, as it does not either.
fn config_of(executable: &Path) -> Result<Option<(PathBuf, String)>, BaseError> {
    for folder in executable.ancestors().skip(1).take(2) {
        let path = folder.join("pyvenv.cfg");
        match read(&path) {
            Ok(text) => return Ok(Some((path, text))),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) => {}
            Err(source) => return Err(BaseError::Read { path, source }),
        }
    }
    Ok(None)
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_CONFIG_BYTES)
        .read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The executable that the configuration names, the most exact key first.
fn home_python(config: &str, environment: &Path) -> Option<PathBuf> {
    let value = |wanted: &str| {
        config.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            key.trim()
                .eq_ignore_ascii_case(wanted)
                .then(|| value.trim())
        })
    };
    let mut candidates: Vec<PathBuf> = Vec::new();
    candidates.extend(value("base-executable").map(PathBuf::from));
    if let Some(home) = value("home").map(Path::new) {
        let version = value("version")
            .or_else(|| value("version_info"))
            .unwrap_or_default();
        let mut parts = version.split('.');
        if let (Some(major), Some(minor)) = (parts.next(), parts.next()) {
            candidates.push(home.join(format!("python{major}.{minor}")));
        }
        candidates.push(home.join("python3"));
        candidates.push(home.join("python"));
    }
    candidates.extend(value("executable").map(PathBuf::from));
    candidates
        .into_iter()
        .find(|path| path.is_absolute() && path != environment && is_executable(path))
}
