//! What programs wrote into a writable area, read from the upper directory of an overlay
//! (Documentation/filesystems/overlayfs.rst of the kernel): a file there was written, a character
//! device 0:0 stands for what was removed, and a directory that is marked opaque hides what was below
//! it. Bytecode caches are no history and are passed over. Of plain files the same is found by comparing ([`super::drift`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// Attributes that mark a directory as opaque: of overlays that root mounted, and others.
const OPAQUE: [&str; 2] = ["trusted.overlay.opaque", "user.overlay.opaque"];

/// A file or link that was written.
#[derive(Debug, Clone)]
pub(super) struct Written {
    /// Where its bytes are.
    pub(super) source: PathBuf,
    /// Permission bits.
    pub(super) mode: u32,
    /// Modification time, in seconds since the epoch.
    pub(super) mtime: i64,
    /// Size in bytes.
    pub(super) size: u64,
    /// Where it leads, if it is a link.
    pub(super) target: Option<String>,
}

impl Written {
    /// The file or link at a path; none of anything else, and of a link that leads to no text.
    pub(super) fn of(path: PathBuf) -> io::Result<Option<Self>> {
        let meta = path.symlink_metadata()?;
        let target = if meta.is_symlink() {
            let Some(target) = fs::read_link(&path)?.to_str().map(str::to_owned) else {
                return Ok(None);
            };
            Some(target)
        } else if meta.is_file() {
            None
        } else {
            return Ok(None);
        };
        Ok(Some(Self {
            mode: meta.mode() & 0o777,
            mtime: meta.mtime(),
            size: meta.size(),
            target,
            source: path,
        }))
    }
}

/// How a prefix was changed. Paths are relative to it.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// Files and links that are new or changed.
    pub(super) written: BTreeMap<String, Written>,
    /// Files and directories, with all in them, that were removed before anything was written.
    pub(super) removed: BTreeSet<String>,
    /// What cannot be part of an environment: sockets, names that are no text.
    pub(super) unfit: Vec<PathBuf>,
}

impl Difference {
    /// Reads an upper directory.
    pub(super) fn read(upper: &Path) -> io::Result<Self> {
        let mut difference = Self::default();
        difference.folder(upper, "")?;
        Ok(difference)
    }

    /// Whether what was at this path is gone, by itself or with a directory on the way.
    pub(super) fn is_removed(&self, path: &str) -> bool {
        let mut at = Some(path);
        while let Some(place) = at {
            if self.removed.contains(place) {
                return true;
            }
            at = place.rsplit_once('/').map(|(parent, _)| parent);
        }
        false
    }

    fn folder(&mut self, folder: &Path, below: &str) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                self.unfit.push(path);
                continue;
            };
            if name == "__pycache__" {
                continue;
            }
            let place = if below.is_empty() {
                name.to_owned()
            } else {
                format!("{below}/{name}")
            };
            let meta = path.symlink_metadata()?;
            self.entry(path, place, &meta)?;
        }
        Ok(())
    }

    fn entry(&mut self, path: PathBuf, place: String, meta: &Metadata) -> io::Result<()> {
        let kind = meta.file_type();
        if kind.is_dir() {
            if is_opaque(&path)? {
                self.removed.insert(place.clone());
            }
            return self.folder(&path, &place);
        }
        if kind.is_char_device() && meta.rdev() == 0 {
            self.removed.insert(place);
            return Ok(());
        }
        match Written::of(path.clone())? {
            Some(written) => drop(self.written.insert(place, written)),
            None => self.unfit.push(path),
        }
        Ok(())
    }
}

fn is_opaque(folder: &Path) -> io::Result<bool> {
    let mut value = [0_u8; 8];
    for name in OPAQUE {
        match rustix::fs::lgetxattr(folder, name, &mut value[..]) {
            Ok(length) if value[..length] == *b"y" => return Ok(true),
            Ok(_) | Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_links_and_nothing_of_caches_are_read() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let root = folder.path();
        fs::create_dir_all(root.join("lib/__pycache__")).expect("made");
        fs::write(root.join("lib/a.py"), "x").expect("written");
        fs::write(root.join("lib/__pycache__/a.pyc"), "x").expect("written");
        symlink("a.py", root.join("lib/b")).expect("linked");
        let found = Difference::read(root).expect("readable");
        let paths: Vec<_> = found.written.keys().map(String::as_str).collect();
        assert_eq!(paths, ["lib/a.py", "lib/b"]);
        assert_eq!(found.written["lib/b"].target.as_deref(), Some("a.py"));
        assert!(found.removed.is_empty() && found.unfit.is_empty());
    }

    #[test]
    fn what_is_below_a_removed_directory_is_removed() {
        let difference = Difference {
            removed: ["lib/x".to_owned()].into(),
            ..Difference::default()
        };
        assert!(difference.is_removed("lib/x") && difference.is_removed("lib/x/y/z"));
        assert!(!difference.is_removed("lib") && !difference.is_removed("lib/xy"));
    }
}
