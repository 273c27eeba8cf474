//! Why a wheel is refused. Every message names the wheel and, where there is one, the member.

use std::io;

use blast_types::{PackageName, Version};
use zip::result::ZipError;

use super::record::RecordError;
use crate::metadata::MetadataError;

/// A wheel that cannot be used, by name.
#[derive(Debug, thiserror::Error)]
#[error("wheel {wheel}{}: {problem}", member.as_ref().map(|m| format!(", member `{}`", m.escape_debug())).unwrap_or_default())]
pub struct WheelError {
    /// File name of the wheel.
    pub wheel: String,
    /// The member at fault, where it is one.
    pub member: Option<String>,
    /// What is wrong.
    #[source]
    pub problem: WheelProblem,
}

/// What is wrong with a wheel or a member of it.
#[derive(Debug, thiserror::Error)]
pub enum WheelProblem {
    /// The file cannot be read.
    #[error("cannot be read")]
    Io(#[source] io::Error),
    /// The file is no zip archive, is truncated, or its headers contradict one another.
    #[error("damaged archive ({0})")]
    Archive(String),
    /// A name that would leave the folder it is unpacked into, or that no file can have.
    #[error("unsafe name ({0})")]
    UnsafeName(&'static str),
    /// Two members, or a member and a folder, with one name.
    #[error("the name occurs twice")]
    Duplicate,
    /// A member under a password.
    #[error("encrypted")]
    Encrypted,
    /// Sizes that no honest wheel has.
    #[error("too large: {0}")]
    TooLarge(String),
    /// A member that unpacks to more or fewer bytes than the archive says.
    #[error("unpacks to {actual} bytes or more, but {declared} were declared")]
    Size {
        /// What the archive says.
        declared: u64,
        /// What came out before reading stopped.
        actual: u64,
    },
    /// No `.dist-info` folder for this name and version, or more than one.
    #[error("{0}")]
    DistInfo(String),
    /// A file that every wheel has is missing.
    #[error("the file is missing")]
    Missing,
    /// `WHEEL` says something that cannot be used.
    #[error("{0}")]
    WheelFile(String),
    /// `METADATA` cannot be used.
    #[error("{0}")]
    Metadata(#[from] MetadataError),
    /// `METADATA` is that of something else.
    #[error("is that of {name} {version}")]
    Disagrees {
        /// The name it states.
        name: PackageName,
        /// The version it states.
        version: Version,
    },
    /// `RECORD` cannot be read.
    #[error("{0}")]
    Record(#[from] RecordError),
    /// A member that `RECORD` does not list.
    #[error("not listed in RECORD")]
    NotRecorded,
    /// A member that `RECORD` lists without a hash, or with one that proves nothing.
    #[error("listed in RECORD without a SHA-256, SHA-384 or SHA-512 hash")]
    NotHashed,
    /// A member that `RECORD` lists twice, not in the same way.
    #[error("RECORD lists it twice, with different content")]
    RecordedTwice,
    /// Content other than `RECORD` says.
    #[error("its content is not what RECORD says")]
    HashMismatch,
    /// A size other than `RECORD` says.
    #[error("has {actual} bytes, but RECORD says {recorded}")]
    RecordedSize {
        /// What `RECORD` says.
        recorded: u64,
        /// What the archive declares.
        actual: u64,
    },
    /// An entry point that is no script.
    #[error("{0}")]
    EntryPoint(String),
    /// A folder of `.data` that is no install scheme.
    #[error("`{0}` is no known install scheme")]
    Scheme(String),
    /// The place where a member's bytes should go failed, not the wheel.
    #[error("cannot write its content")]
    Sink(#[source] io::Error),
}

impl WheelError {
    pub(crate) fn new(wheel: &str, member: Option<&str>, problem: WheelProblem) -> Self {
        Self {
            wheel: wheel.to_owned(),
            member: member.map(str::to_owned),
            problem,
        }
    }

    pub(crate) fn archive(wheel: &str, error: ZipError) -> Self {
        Self::new(wheel, None, WheelProblem::zip(error))
    }
}

impl WheelProblem {
    pub(crate) fn zip(error: ZipError) -> Self {
        match error {
            ZipError::Io(error) => Self::of_io(error),
            other => Self::Archive(other.to_string()),
        }
    }

    /// The zip reader reports damaged data as I/O errors of its own making; those of the
    /// operating system have a number.
    pub(crate) fn of_io(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(_) => Self::Io(error),
            None => Self::Archive(error.to_string()),
        }
    }
}
