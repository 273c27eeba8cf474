//! Where state lives and where client and daemon meet.
//!
//! Home and cache follow the XDG base directories, each with an override of its own. The runtime
//! directory holds the socket and pid file of the one daemon of this user:
//!
//! ```text
//! $XDG_RUNTIME_DIR/blast/          0700
//!   daemon.sock                    0600
//!   daemon.pid                     process number and newline, kept true
//!   daemon.lock, holder.lock       held for the life of the daemon, of the holder
//!   holder.sock                    where the daemon finds the holder
//!   start.lock                     held while a client starts the daemon
//! ```
//!
//! Without `XDG_RUNTIME_DIR` it is `/run/user/<uid>/blast` where that exists, else a directory
//! `blast-<uid>` in the temporary directory. In all cases it must be ours alone (owner and mode are
//! checked, links are not followed), so that nobody else can stand in for the daemon.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use crate::env_vars;

/// Where the state of one user is.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// `$BLAST_HOME`, else `$XDG_DATA_HOME/blast`, else `~/.local/share/blast`.
    pub(crate) home: PathBuf,
    /// `$BLAST_CACHE`, else `$XDG_CACHE_HOME/blast`, else `~/.cache/blast`.
    pub(crate) cache: PathBuf,
    /// See the module's documentation.
    pub(crate) runtime: PathBuf,
}

/// Why places cannot be told or used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    /// No home directory.
    #[error("neither `{0}` nor `HOME` is set, so there is no place for {1}")]
    NoHome(&'static str, &'static str),
    /// The runtime directory belongs to somebody else or is open to others.
    #[error("{path} is not a directory that belongs to this user alone")]
    NotPrivate {
        /// It.
        path: PathBuf,
    },
    /// The runtime directory cannot be made.
    #[error("cannot make {path}")]
    Io {
        /// It.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Places {
    /// From variables, looked up by `var` (in a program: `std::env::var_os`).
    pub(crate) fn new(var: impl Fn(&str) -> Option<OsString>) -> Result<Self, PlaceError> {
        let set = |name: &str| {
            var(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let under_home = |own: &'static str, xdg: &str, below: &str, what: &'static str| {
            if let Some(path) = set(own) {
                return std::path::absolute(&path)
                    .map_err(|source| PlaceError::Io { path, source });
            }
            set(xdg)
                .filter(|path| path.is_absolute())
                .or_else(|| Some(set("HOME")?.join(below)))
                .map(|path| path.join("blast"))
                .ok_or(PlaceError::NoHome(own, what))
        };
        let uid = Uid::effective();
        let runtime = set(env_vars::XDG_RUNTIME_DIR)
            .filter(|path| path.is_absolute())
            .map_or_else(
                || {
                    let user = PathBuf::from(format!("/run/user/{uid}"));
                    if fs::metadata(&user).is_ok_and(|meta| meta.uid() == uid.as_raw()) {
                        user.join("blast")
                    } else {
                        std::env::temp_dir().join(format!("blast-{uid}"))
                    }
                },
                |path| path.join("blast"),
            );
        Ok(Self {
            home: under_home("BLAST_HOME", "XDG_DATA_HOME", ".local/share", "the store")?,
            cache: under_home("BLAST_CACHE", "XDG_CACHE_HOME", ".cache", "the cache")?,
            runtime,
        })
    }

    /// The directory in which environments appear.
    pub(crate) fn live(&self) -> PathBuf {
        self.home.join("live")
    }

    /// The daemon's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.runtime.join("daemon.sock")
    }

    /// The daemon's process number.
    pub(crate) fn pid_file(&self) -> PathBuf {
        self.runtime.join("daemon.pid")
    }

    /// Held for the life of the daemon.
    pub(crate) fn daemon_lock(&self) -> PathBuf {
        self.runtime.join("daemon.lock")
    }

    /// The holder's socket.
    pub(crate) fn holder_socket(&self) -> PathBuf {
        self.runtime.join("holder.sock")
    }

    /// Held for the life of the holder.
    pub(crate) fn holder_lock(&self) -> PathBuf {
        self.runtime.join("holder.lock")
    }

    /// Held while a client starts the daemon.
    pub(crate) fn start_lock(&self) -> PathBuf {
        self.runtime.join("start.lock")
    }

    /// What the daemon says when nobody listens.
    pub(crate) fn log_file(&self) -> PathBuf {
        self.runtime.join("daemon.log")
    }

    /// Makes the runtime directory, or checks that the one there is ours alone.
    pub(crate) fn ensure_runtime(&self) -> Result<(), PlaceError> {
        ensure_private(&self.runtime)
    }
}

fn ensure_private(path: &Path) -> Result<(), PlaceError> {
    let io = |source| PlaceError::Io {
        path: path.to_owned(),
        source,
    };
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let meta = fs::symlink_metadata(path).map_err(io)?;
            let ours = meta.is_dir() && meta.uid() == Uid::effective().as_raw();
            if !ours {
                return Err(PlaceError::NotPrivate {
                    path: path.to_owned(),
                });
            }
            if meta.permissions().mode() & 0o077 != 0 {
                fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(io)?;
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().ok_or_else(|| io(error))?;
            fs::DirBuilder::new()
                .mode(0o700)
                .recursive(true)
                .create(parent)
                .map_err(io)?;
            fs::DirBuilder::new().mode(0o700).create(path).map_err(io)
        }
        Err(error) => Err(io(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(vars: &[(&str, &str)]) -> Result<Places, PlaceError> {
        let vars: std::collections::HashMap<_, _> = vars
            .iter()
            .map(|(k, v)| ((*k).to_owned(), OsString::from(v)))
            .collect();
        Places::new(|name| vars.get(name).cloned())
    }

    #[test]
    fn own_variables_win_over_xdg_and_home() {
        let all = [
            ("HOME", "/h"),
            ("XDG_DATA_HOME", "/d"),
            ("XDG_CACHE_HOME", "/c"),
            ("XDG_RUNTIME_DIR", "/r"),
            ("BLAST_HOME", "/b"),
        ];
        let found = places(&all).expect("all set");
        assert_eq!(found.home, Path::new("/b"));
        assert_eq!(found.cache, Path::new("/c/blast"));
        assert_eq!(found.socket(), Path::new("/r/blast/daemon.sock"));
        let found = places(&all[..4]).expect("all set");
        assert_eq!(found.live(), Path::new("/d/blast/live"));
        let found = places(&all[..1]).expect("home set");
        assert_eq!(found.home, Path::new("/h/.local/share/blast"));
    }

    #[test]
    fn without_any_home_the_missing_variable_is_named() {
        let error = places(&[]).expect_err("nothing is set").to_string();
        assert!(error.contains("BLAST_HOME"), "{error}");
    }

    #[test]
    fn a_runtime_directory_open_to_others_is_closed() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let path = folder.path().join("blast");
        fs::create_dir(&path).expect("made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("opened");
        ensure_private(&path).expect("ours");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_link_in_place_of_the_runtime_directory_is_refused() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let path = folder.path().join("blast");
        std::os::unix::fs::symlink(folder.path(), &path).expect("linked");
        assert!(matches!(
            ensure_private(&path),
            Err(PlaceError::NotPrivate { .. })
        ));
    }
}
