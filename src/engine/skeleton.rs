//! What an environment is while the view is not mounted.
//!
//! Under the mount point, on disk, each environment has a small directory: a valid `pyvenv.cfg`
//! for tools that only read, and `bin/python` as a link to our own executable, which mounts the
//! view and runs itself again through it. So `.venv/bin/python` works after a reboot. All access
//! goes through a descriptor of the directory that was opened before anything was mounted over it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use blast_store::EnvState;
use blast_types::EnvName;
use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};

use super::error::{EngineError, at};
use super::generated;

/// The directories of all environments below the mount point.
#[derive(Debug)]
pub(crate) struct Skeletons {
    below: File,
    live: PathBuf,
}

impl Skeletons {
    /// Takes hold of the directory; nothing may be mounted there yet.
    pub(crate) fn open(live: &Path) -> Result<Self, EngineError> {
        let below = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_DIRECTORY.bits())
            .open(live)
            .map_err(at(live))?;
        Ok(Self {
            below,
            live: live.to_owned(),
        })
    }

    /// Takes the directory from who kept it while something was mounted there.
    pub(crate) fn at(below: OwnedFd, live: &Path) -> Self {
        Self {
            below: File::from(below),
            live: live.to_owned(),
        }
    }

    /// Another name of the directory, for who keeps it.
    pub(crate) fn below(&self) -> io::Result<OwnedFd> {
        self.below.as_fd().try_clone_to_owned()
    }

    /// The environments that have a skeleton.
    pub(crate) fn names(&self) -> Result<Vec<EnvName>, EngineError> {
        let list = || -> io::Result<Vec<EnvName>> {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            let mut folder = Dir::openat(self.below.as_fd(), ".", flags, Mode::empty())?;
            let mut names = Vec::new();
            for entry in folder.iter() {
                let entry = entry?;
                let name = entry.file_name().to_str().ok();
                names.extend(name.and_then(|name| name.parse::<EnvName>().ok()));
            }
            Ok(names)
        };
        list().map_err(at(&self.live))
    }

    /// Writes (or renews) the skeleton of one environment. One that is there as plain files needs
    /// none.
    pub(crate) fn make(&self, state: &EnvState) -> Result<(), EngineError> {
        let record = &state.record;
        if self.is_link(record.name.as_str()) {
            return Ok(()); // what is behind it belongs to a generation
        }
        let prefix = self.live.join(record.name.as_str());
        let blast = std::env::current_exe().map_err(at("/proc/self/exe"))?;
        let spec = generated::Spec::of(record, &prefix, &blast);
        let (major, minor) = record.interpreter.version();
        let activation = generated::activation_files(&spec)?;
        let write = || -> io::Result<()> {
            let name = record.name.as_str();
            self.folder(name)?;
            self.file(
                &format!("{name}/pyvenv.cfg"),
                generated::pyvenv_cfg(&spec).as_bytes(),
            )?;
            self.folder(&format!("{name}/bin"))?;
            for (file, content) in &activation {
                self.file(&format!("{name}/bin/{file}"), content.as_bytes())?;
            }
            self.link(&format!("{name}/bin/python"), &blast)?;
            for alias in [format!("python{major}"), format!("python{major}.{minor}")] {
                self.link(&format!("{name}/bin/{alias}"), Path::new("python"))?;
            }
            Ok(())
        };
        write().map_err(at(&prefix))
    }

    /// Deletes the skeleton of one environment, if there is one.
    pub(crate) fn remove(&self, env: &EnvName) -> Result<(), EngineError> {
        self.remove_tree(Path::new(env.as_str()))
            .map_err(at(self.live.join(env.as_str())))
    }

    fn is_link(&self, path: &str) -> bool {
        let stat = fstatat(self.below.as_fd(), path, AtFlags::AT_SYMLINK_NOFOLLOW);
        stat.is_ok_and(|stat| {
            SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFLNK
        })
    }

    fn folder(&self, path: &str) -> io::Result<()> {
        match mkdirat(self.below.as_fd(), path, Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(nix::Error::EEXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn file(&self, path: &str, content: &[u8]) -> io::Result<()> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_NOFOLLOW;
        let opened = openat(
            self.below.as_fd(),
            path,
            flags | OFlag::O_CLOEXEC,
            Mode::from_bits_truncate(0o644),
        )?;
        File::from(opened).write_all(content)
    }

    fn link(&self, path: &str, target: &Path) -> io::Result<()> {
        match unlinkat(self.below.as_fd(), path, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(nix::Error::ENOENT) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(symlinkat(target, self.below.as_fd(), path)?)
    }

    /// Two levels are all that a skeleton has; links are removed, never followed.
    fn remove_tree(&self, path: &Path) -> io::Result<()> {
        let stat = match fstatat(self.below.as_fd(), path, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(nix::Error::ENOENT) => return Ok(()),
            other => other?,
        };
        if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFDIR {
            return Ok(unlinkat(
                self.below.as_fd(),
                path,
                UnlinkatFlags::NoRemoveDir,
            )?);
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut folder = Dir::openat(self.below.as_fd(), path, flags, Mode::empty())?;
        for entry in folder.iter() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                use std::os::unix::ffi::OsStrExt as _;
                self.remove_tree(&path.join(std::ffi::OsStr::from_bytes(name)))?;
            }
        }
        Ok(unlinkat(
            self.below.as_fd(),
            path,
            UnlinkatFlags::RemoveDir,
        )?)
    }
}
