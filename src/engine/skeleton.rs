//! What an environment is while the view is not mounted.
//!
//! Under the mount point, on disk, each environment has a small directory: a valid `pyvenv.cfg`
//! for tools that only read, `bin/python` as a link to our own executable, which mounts the view and
//! runs the same path again through it, and for every program of the environment a link to that. So
//! `.venv/bin/python` and `.venv/bin/TOOL` work after a reboot. All access goes through a descriptor
//! of the directory that was opened before anything was mounted over it.
//!
//! A link that leads nowhere says which generation the whole was written for last, and by which version: where
//! that is right nothing else need be read.
//!
//! Concurrency: whoever reads a head and writes what follows from it does so under [`Skeletons::turn`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use blast_store::{EntryKind, EnvState, Layer};
use blast_types::EnvName;
use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{Mode, SFlag, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};

use super::error::{EngineError, at};
use super::generated;
use super::home::lock;

/// The directories of all environments below the mount point.
#[derive(Debug)]
pub(crate) struct Skeletons {
    below: File,
    live: PathBuf,
    turn: Mutex<()>,
}

/// Where links to programs lead: to the link beside them that leads to our own executable.
pub(crate) const PROGRAM_TARGET: &str = "python";

/// The link whose target says what a skeleton was written for.
const WRITTEN_FOR: &str = ".written-for";

/// The programs in the scripts folder of these layers, lowest first: whatever can be executed. Costs
/// a look-up for each layer and a step for each program.
pub(super) fn programs(layers: &[Arc<Layer>], scripts: &str) -> BTreeSet<String> {
    let mut found = BTreeMap::new();
    for layer in layers {
        let Some(folder) = layer.find(scripts) else {
            continue;
        };
        for entry in layer.children(folder).filter_map(|child| layer.get(child)) {
            let runs = match entry.kind {
                EntryKind::Dir { .. } | EntryKind::Damaged => false,
                EntryKind::Symlink { .. } => true,
                _ => entry.mode & 0o111 != 0,
            };
            if let Ok(name) = std::str::from_utf8(entry.name) {
                found.insert(name.to_owned(), runs);
            }
        }
    }
    let runs = found.into_iter().filter(|(_, runs)| *runs);
    runs.map(|(name, _)| name).collect()
}

/// What [`WRITTEN_FOR`] says of a skeleton that is as it should be.
fn written_for(state: &EnvState) -> String {
    format!("{}-{}", state.head, env!("CARGO_PKG_VERSION"))
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
            turn: Mutex::default(),
        })
    }

    /// Takes the directory from who kept it while something was mounted there.
    pub(crate) fn at(below: OwnedFd, live: &Path) -> Self {
        Self {
            below: File::from(below),
            live: live.to_owned(),
            turn: Mutex::default(),
        }
    }

    /// The right to write skeletons; held until dropped.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        lock(&self.turn)
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

    /// Writes (or renews) the skeleton of one environment with these programs. One that is there as
    /// plain files needs none.
    pub(crate) fn make(
        &self,
        state: &EnvState,
        programs: &BTreeSet<String>,
    ) -> Result<(), EngineError> {
        let record = &state.record;
        if self.is_link(record.name.as_str()) {
            return Ok(()); // what is behind it belongs to a generation
        }
        let prefix = self.live.join(record.name.as_str());
        let blast = std::env::current_exe().map_err(at("/proc/self/exe"))?;
        let spec = generated::Spec::of(record, &prefix, &blast);
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
            self.link(&format!("{name}/bin/{PROGRAM_TARGET}"), &blast)?;
            self.programs(state, programs)
        };
        write().map_err(at(&prefix))
    }

    /// Brings the links to programs up to date: those that are there stay, so that it costs little
    /// where little changed.
    pub(crate) fn renew(
        &self,
        state: &EnvState,
        programs: &BTreeSet<String>,
    ) -> Result<(), EngineError> {
        let record = &state.record;
        let name = record.name.as_str();
        if self.is_link(&format!("{name}/bin/{PROGRAM_TARGET}")) && !self.is_link(name) {
            return self
                .programs(state, programs)
                .map_err(at(self.live.join(name)));
        }
        self.make(state, programs)
    }

    /// Whether the skeleton was written, wholly and by this version, for what the environment is now. Reads
    /// one link.
    pub(crate) fn is_of(&self, state: &EnvState) -> bool {
        let path = format!("{}/{WRITTEN_FOR}", state.record.name);
        let target = readlinkat(self.below.as_fd(), path.as_str());
        target.is_ok_and(|target| target == *written_for(state))
    }

    fn programs(&self, state: &EnvState, programs: &BTreeSet<String>) -> io::Result<()> {
        let record = &state.record;
        let (major, minor) = record.interpreter.version();
        let mut wanted = programs.clone();
        wanted.extend([format!("python{major}"), format!("python{major}.{minor}")]);
        wanted.remove(PROGRAM_TARGET);
        let bin = format!("{}/bin", record.name);
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut folder = Dir::openat(self.below.as_fd(), bin.as_str(), flags, Mode::empty())?;
        let mut needless = Vec::new();
        for entry in folder.iter() {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{bin}/{name}");
            if name != PROGRAM_TARGET && !wanted.remove(&name) && self.is_link(&path) {
                needless.push(path);
            }
        }
        for path in needless {
            unlinkat(
                self.below.as_fd(),
                path.as_str(),
                UnlinkatFlags::NoRemoveDir,
            )?;
        }
        for name in wanted {
            self.link(&format!("{bin}/{name}"), Path::new(PROGRAM_TARGET))?;
        }
        // Last, as it says that all is there.
        let path = format!("{}/{WRITTEN_FOR}", record.name);
        self.link(&path, Path::new(&written_for(state)))
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

    /// Whoever reads the file meanwhile sees the old or the new one, whole.
    fn file(&self, path: &str, content: &[u8]) -> io::Result<()> {
        let open = |path: &str, flags| {
            let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let mode = Mode::from_bits_truncate(0o644);
            openat(self.below.as_fd(), path, flags, mode).map(File::from)
        };
        if let Ok(mut file) = open(path, OFlag::O_RDONLY) {
            let mut there = Vec::new();
            if file.read_to_end(&mut there).is_ok() && there == content {
                return Ok(());
            }
        }
        let new = format!("{path}.new");
        open(&new, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC)?.write_all(content)?;
        Ok(renameat(
            self.below.as_fd(),
            new.as_str(),
            self.below.as_fd(),
            path,
        )?)
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
