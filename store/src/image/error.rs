//! Why an image cannot be written, read or loaded.

use std::io;
use std::path::{Path, PathBuf};

use blast_types::Hint;

use crate::StoreError;

/// A failure of writing, reading or loading an image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file system refused something.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is something else.
    #[error("`{}` is no image: {reason}", path.display())]
    NotAnImage {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        reason: String,
    },
    /// Written by a blast that knows more.
    #[error("the image `{}` has {found}, which this blast does not know", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// A version, or a feature.
        found: String,
    },
    /// A part is not what the image says it is.
    #[error("the image `{}` is damaged: {part}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which part.
        part: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What the image leaves to another one is not in the store.
    #[error("the image `{}` holds only what differs, and the rest is not in the store: {}", path.display(), listed(missing))]
    NeedsBase {
        /// The file.
        path: PathBuf,
        /// What is missing, by package.
        missing: Vec<String>,
    },
    /// The content does not fit on the disk.
    #[error("the image `{}` needs {needed} bytes, and the store's disk has {free} free", path.display())]
    NoRoom {
        /// The file.
        path: PathBuf,
        /// Bytes to be written.
        needed: u64,
        /// Bytes there are.
        free: u64,
    },
    /// What cannot be part of an image.
    #[error("{what} cannot be part of an image: {reason}")]
    NotPortable {
        /// A package.
        what: String,
        /// Why.
        reason: String,
    },
    /// Nobody waits for the result any more.
    #[error("the request was cancelled")]
    Stopped,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Hint for ImageError {
    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Store(error) => return error.hints(),
            Self::NeedsBase { .. } => {
                "load the image or environment that it was built upon first \
                 (`blast image inspect` names it)"
            }
            Self::NoRoom { .. } => "make room: `blast clean` frees what nothing uses",
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "make room: `blast clean` frees what nothing uses"
            }
            Self::Damaged { .. } => {
                "nothing of it was taken over; get the file again from where it came from"
            }
            Self::Unknown { .. } => "use the newer blast that wrote it",
            Self::Io { .. }
            | Self::NotAnImage { .. }
            | Self::NotPortable { .. }
            | Self::Stopped => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}

fn listed(missing: &[String]) -> String {
    match missing {
        [first, second, third, _, ..] => {
            format!("{first}, {second}, {third} and {} more", missing.len() - 3)
        }
        few => few.join(", "),
    }
}

impl ImageError {
    /// The same of the image that a copy was made of.
    pub(super) fn of_image(self, image: &Path) -> Self {
        match self {
            Self::Damaged { part, reason, .. } => Self::Damaged {
                path: image.to_owned(),
                part,
                reason,
            },
            other => other,
        }
    }
}

/// Gives an input/output result of an image its path.
pub(super) fn at<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> ImageError + 'a {
    move |source| ImageError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}
