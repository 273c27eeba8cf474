//! Why an image cannot be built or loaded.

use std::path::PathBuf;

use blast_store::ImageError;
use blast_types::Hint;

use crate::interpreter::FindError;
use crate::ipc::protocol::ErrorKind;

/// What is wrong with an image, or with an environment that shall become one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageTrouble {
    /// The file, or the store.
    #[error(transparent)]
    File(#[from] ImageError),
    /// An image for another interpreter or system.
    #[error("the image {} needs {needed}; {has}", path.display())]
    Misfit {
        /// The image.
        path: PathBuf,
        /// What it needs.
        needed: String,
        /// What there is.
        has: String,
    },
    /// An image for an interpreter that is not here.
    #[error("the image {} needs {needed}, which is not to be found", path.display())]
    WithoutPython {
        /// The image.
        path: PathBuf,
        /// What it needs.
        needed: String,
        /// What the search said.
        source: Box<FindError>,
    },
    /// Packages that lead to a folder of this machine.
    #[error("editable packages cannot be part of an image: {}", packages.join(", "))]
    Editable {
        /// Names, and where they lead.
        packages: Vec<String>,
    },
}

impl ImageTrouble {
    /// Decides the exit status.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::File(
                ImageError::Io { .. }
                | ImageError::Store(_)
                | ImageError::NoRoom { .. }
                | ImageError::Stopped,
            ) => ErrorKind::Internal,
            _ => ErrorKind::No,
        }
    }
}

impl Hint for ImageTrouble {
    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::File(error) => return error.hints(),
            Self::WithoutPython { source, .. } => return source.hints(),
            Self::Misfit { .. } => {
                "`blast image load FILE --env NEW-NAME` makes an environment that fits, where such a \
                 Python is installed"
            }
            Self::Editable { .. } => {
                "install them as they are now (`blast install PATH`, without `-e`), or take them out \
                 with `blast remove`"
            }
        };
        vec![hint.to_owned()]
    }
}
