//! What programs of an environment keep in `~/.cache` inside their sandboxes: a directory of its own, `programs-v1/HASH-ENV` of
//! the cache, HASH being a few digits of its home's. It is theirs alone, holds nothing that is missed, and goes with the environment.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use blast_types::EnvName;

use super::home_digits;

/// Below the cache.
const FOLDER: &str = "programs-v1";
/// How the names of those begin that are being removed.
const GONE: &str = ".gone-";

/// The caches of the programs of a home's environments.
#[derive(Debug)]
pub(crate) struct Caches {
    folder: PathBuf,
    home: String,
}

impl Caches {
    /// Those of a home, in this cache.
    pub(crate) fn of(home: &Path, cache: &Path) -> Self {
        Self {
            folder: cache.join(FOLDER),
            home: home_digits(home),
        }
    }

    /// Where the one of an environment is, if there is one.
    fn place(&self, env: &EnvName) -> PathBuf {
        self.folder.join(format!("{}-{env}", self.home))
    }

    /// The one of an environment, made if it is not there, by a path without links.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(crate) fn made(&self, env: &EnvName) -> io::Result<PathBuf> {
        let place = self.place(env);
        if !place.is_dir() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&place)?;
        }
        place.canonicalize()
    }

    /// Empties that of an environment: at once for who comes next, while its files are removed in the background.
    ///
    /// # Errors
    /// If it cannot be moved away, with its path. Then it is as before.
    pub(crate) fn forget(&self, env: &EnvName) -> io::Result<()> {
        let place = self.place(env);
        if fs::symlink_metadata(&place).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        {
            return Ok(());
        }
        let moved = tempfile::Builder::new()
            .prefix(GONE)
            .tempdir_in(&self.folder)
            .and_then(|aside| fs::rename(&place, aside.keep()));
        moved.map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", place.display()))
        })?;
        self.sweep();
        Ok(())
    }

    /// Removes what is to be removed, in the background; what a killed daemon left as well.
    fn sweep(&self) {
        let folder = self.folder.clone();
        thread::spawn(move || {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry
                    .file_name()
                    .as_encoded_bytes()
                    .starts_with(GONE.as_bytes())
                {
                    // A program that still runs may be writing there: then the next one to sweep takes the rest.
                    fs::remove_dir_all(entry.path()).unwrap_or_default();
                }
            }
        });
    }
}
