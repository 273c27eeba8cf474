//! Why the daemon cannot start.

use std::io;
use std::path::PathBuf;

use crate::ipc::instance::InstanceError;
use crate::ipc::paths::PlaceError;

/// See the module's documentation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DaemonError {
    /// The runtime directory is unusable.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A file of the runtime directory is.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// The socket cannot be opened.
    #[error("cannot listen on {path}")]
    Listen {
        /// It.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The holder does not answer.
    #[error("cannot speak with the holder at {path}")]
    Holder {
        /// Its socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Threads, timers or signals are not to be had.
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
}
