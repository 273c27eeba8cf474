//! Why sources are refused. Every message names the archive or tree and, where there is one, the
//! member.

use std::io;
use std::path::PathBuf;

use crate::metadata::MetadataError;

/// Sources that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SdistError {
    /// The archive cannot be read, or its form is not known.
    #[error("{archive} is no archive of sources that can be read")]
    Archive {
        /// File name.
        archive: String,
        /// What the reader said.
        source: io::Error,
    },
    /// A member that no honest archive has.
    #[error("{archive}, member `{}`: {problem}", member.escape_debug())]
    Member {
        /// File name.
        archive: String,
        /// The member's name.
        member: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// More than any honest archive holds.
    #[error("{archive} unpacks to more than {limit}")]
    TooLarge {
        /// File name.
        archive: String,
        /// Bytes or members, in words.
        limit: String,
    },
    /// The disk failed, not the archive.
    #[error("cannot write {}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file of the tree cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Where.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// `pyproject.toml` says something that cannot be used.
    #[error("{} cannot be used: {reason}", path.display())]
    Pyproject {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// `PKG-INFO` cannot be used.
    #[error("{} cannot be used", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: MetadataError,
    },
    /// Neither `pyproject.toml` nor `setup.py`.
    #[error("{} is no Python project: it has neither pyproject.toml nor setup.py", path.display())]
    NoProject {
        /// The folder.
        path: PathBuf,
    },
}
