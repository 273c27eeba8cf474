//! `pip --log FILE`: what is told, added to a file with the time, as pip writes it.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use jiff::Zoned;

use crate::error::Error;

/// The file, open at its end.
pub(super) struct Log {
    path: PathBuf,
    file: RefCell<File>,
}

impl Log {
    /// Opens the file; makes it, and the folder that it is in, where they are missing.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |error| Error::io("write", path, &error);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self {
            path: path.to_owned(),
            file: RefCell::new(file.map_err(failed)?),
        })
    }

    /// Adds a text, each line with the time.
    pub(super) fn add(&self, text: &str) -> Result<(), Error> {
        let time = Zoned::now().strftime("%Y-%m-%dT%H:%M:%S,%3f");
        let lines = text.lines().map(|line| format!("{time} {line}\n"));
        let lines = lines.collect::<Vec<_>>().concat();
        let written = self.file.borrow_mut().write_all(lines.as_bytes());
        written.map_err(|error| Error::io("write", &self.path, &error))
    }
}
