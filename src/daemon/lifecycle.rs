//! Being the only daemon of this user, and leaving no file behind.
//!
//! `daemon.lock` is held by `flock` for the life of the process; whoever holds it may remove a
//! socket that an earlier daemon left. `daemon.pid` is written by rename, so that it is never
//! half a number, and removed at the end.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;

use nix::fcntl::{Flock, FlockArg};

use crate::ipc::paths::{PlaceError, Places};

/// Why the daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DaemonError {
    /// The runtime directory is unusable.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A file of the runtime directory cannot be written.
    #[error("cannot write {path}")]
    File {
        /// It.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The socket cannot be opened.
    #[error("cannot listen on {path}")]
    Listen {
        /// It.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Threads, timers or signals are not to be had.
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
}

/// The claim to be the one daemon; dropping it removes socket and pid file.
#[derive(Debug)]
pub(crate) struct Instance {
    files: [PathBuf; 2],
    _lock: Flock<File>,
}

impl Instance {
    /// Claims the place, or `None` where a living daemon has it.
    pub(crate) fn claim(places: &Places) -> Result<Option<Self>, DaemonError> {
        let path = places.runtime.join("daemon.lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|source| DaemonError::File { path, source })?;
        let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else {
            return Ok(None);
        };
        let socket = places.socket();
        match fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(DaemonError::File {
                    path: socket,
                    source: error,
                });
            }
            _ => {}
        }
        let pid_file = places.pid_file();
        write_pid(&pid_file).map_err(|source| DaemonError::File {
            path: pid_file.clone(),
            source,
        })?;
        Ok(Some(Self {
            files: [socket, pid_file],
            _lock: lock,
        }))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        for path in &self.files {
            if let Err(error) = fs::remove_file(path) {
                tracing::debug!(path = %path.display(), %error, "cannot remove");
            }
        }
    }
}

fn write_pid(path: &std::path::Path) -> io::Result<()> {
    let temporary = path.with_extension("pid.new");
    let mut file = File::create(&temporary)?;
    writeln!(file, "{}", std::process::id())?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(root: &std::path::Path) -> Places {
        Places {
            home: root.join("home"),
            cache: root.join("cache"),
            runtime: root.to_owned(),
        }
    }

    #[test]
    fn the_second_claim_fails_while_the_first_lives_and_files_go_with_it() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let places = places(folder.path());
        let first = Instance::claim(&places).expect("writable").expect("free");
        let pid = fs::read_to_string(places.pid_file()).expect("written");
        assert_eq!(pid.trim(), std::process::id().to_string());
        assert!(Instance::claim(&places).expect("writable").is_none());
        drop(first);
        assert!(!places.pid_file().exists());
        assert!(Instance::claim(&places).expect("writable").is_some());
    }
}
