//! Being the only process of a kind of this user, and leaving no file behind.
//!
//! A lock file is held by `flock` for the life of the process; whoever holds it may remove a socket that an
//! earlier process left. The pid file is written by rename, so that it is never half a number, and
//! removed at the end.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

/// A file of the runtime directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {path}")]
pub(crate) struct InstanceError {
    /// It.
    pub(crate) path: PathBuf,
    /// Why.
    pub(crate) source: io::Error,
}

/// The claim to be the only one; dropping it removes socket and pid file.
#[derive(Debug)]
pub(crate) struct Instance {
    files: Vec<PathBuf>,
    lock: Option<Flock<File>>,
}

impl Instance {
    /// Claims the place, or `None` where a living process has it.
    pub(crate) fn claim(
        lock: PathBuf,
        socket: PathBuf,
        pid_file: Option<PathBuf>,
    ) -> Result<Option<Self>, InstanceError> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock)
            .map_err(|source| InstanceError { path: lock, source })?;
        let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else {
            return Ok(None);
        };
        match fs::remove_file(&socket) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                let path = socket;
                return Err(InstanceError { path, source });
            }
            _ => {}
        }
        if let Some(path) = &pid_file {
            write_pid(path).map_err(|source| InstanceError {
                path: path.clone(),
                source,
            })?;
        }
        Ok(Some(Self {
            files: std::iter::once(socket).chain(pid_file).collect(),
            lock: Some(lock),
        }))
    }

    /// Removes the files, and stays the only one until the process is gone to its last thread.
    pub(crate) fn leave(mut self) {
        std::mem::forget(self.lock.take());
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

fn write_pid(path: &Path) -> io::Result<()> {
    let temporary = path.with_extension("pid.new");
    let mut file = File::create(&temporary)?;
    writeln!(file, "{}", std::process::id())?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_claim_fails_while_the_first_lives_and_files_go_with_it() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let path = |name: &str| folder.path().join(name);
        let claim =
            || Instance::claim(path("lock"), path("socket"), Some(path("pid"))).expect("writable");
        let first = claim().expect("free");
        let pid = fs::read_to_string(path("pid")).expect("written");
        assert_eq!(pid.trim(), std::process::id().to_string());
        assert!(claim().is_none());
        drop(first);
        assert!(!path("pid").exists());
        let last = claim().expect("free again");
        last.leave();
        assert!(!path("pid").exists());
        assert!(claim().is_none(), "until the process is gone");
    }
}
