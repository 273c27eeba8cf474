//! Why no interpreter was found, and what to do about it.

use std::io;
use std::path::PathBuf;

use blast_types::Hint;

use super::SUPPORTED;
use super::probe::ProbeError;
use super::request::RequestError;

/// Why there is no interpreter.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FindError {
    /// Nothing fits.
    #[error("found no {wanted}")]
    NotFound {
        /// What was wanted, in words.
        wanted: String,
        /// What there is instead: version and path, one each.
        found: Vec<String>,
    },
    /// There is nothing at the path that was given.
    #[error("there is no Python at {}", path.display())]
    NoSuchPath {
        /// The path.
        path: PathBuf,
    },
    /// The one that was chosen is of a kind that is not supported.
    #[error("{} is {implementation} {version}, and environments are made for {SUPPORTED}", path.display())]
    Unsupported {
        /// The executable.
        path: PathBuf,
        /// `sys.implementation.name`.
        implementation: String,
        /// Its version.
        version: String,
    },
    /// The one that was chosen is not one that the project can use.
    #[error("{} is Python {version}, and the project requires {constraint}", path.display())]
    Constraint {
        /// The executable.
        path: PathBuf,
        /// Its version.
        version: String,
        /// `requires-python`.
        constraint: String,
    },
    /// The one that was chosen does not work.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// A `.python-version` names a program that those who write the file could have written too.
    #[error("{} names {}, which programs of the project can change", file.display(), path.display())]
    Inside {
        /// The program, or the directory of an environment.
        path: PathBuf,
        /// The file.
        file: PathBuf,
    },
    /// `.python-version` is there but cannot be read as text.
    #[error("cannot read {}", path.display())]
    VersionFile {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A line of `.python-version` means nothing.
    #[error("{} asks for a Python that cannot be", path.display())]
    VersionLine {
        /// The file.
        path: PathBuf,
        /// What is wrong with the line.
        source: RequestError,
    },
}

impl Hint for FindError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::NotFound { found, .. } if found.is_empty() => vec![
                "no Python was found on this machine: install one, or name it with \
                 `--python /path/to/python`"
                    .to_owned(),
            ],
            Self::NotFound { found, .. } => vec![
                format!("found: {}", found.join(", ")),
                format!(
                    "environments are made for {SUPPORTED}; `blast python list` shows what can be \
                     asked for with `--python`"
                ),
            ],
            Self::NoSuchPath { .. } | Self::Unsupported { .. } | Self::Constraint { .. } => {
                vec!["`blast python list` shows what can be asked for with `--python`".to_owned()]
            }
            Self::Inside { path, .. } => vec![
                "it is not asked what it is, since that would run it outside of every sandbox"
                    .to_owned(),
                format!("if it is yours: `--python {}`", path.display()),
            ],
            Self::VersionFile { path, .. } | Self::VersionLine { path, .. } => {
                vec![format!(
                    "`--python VERSION` takes precedence over {}",
                    path.display()
                )]
            }
            Self::Probe(_) => Vec::new(),
        }
    }
}
