//! Carrying out the mounts of a plan: an empty root in memory, what is seen put onto it, then it becomes
//! the root and the host's is let go.
//!
//! Places of the host are opened before anything is covered, without following links (openat2(2)), and
//! mounted by descriptor: who moves a path meanwhile changes nothing. Where something is mounted is
//! looked up in the new root alone, and is made only in memory, never on a file system of the host.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, SFlag, fstat, fstatat, mkdirat};
use nix::unistd::{
    Gid, Uid, UnlinkatFlags, chdir, fchdir, fchownat, pivot_root, symlinkat, unlinkat,
};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::message::{Failure, Stage};
use super::untouched::Untouched;
use crate::plan::{Access, Mount, Owner, Plan, Scratch, Writes};
use crate::sys::{MountFlags, restrict_mount};

/// Where the new root is made: a directory of every system, which it covers only in our namespace.
const BASE: &str = "/tmp";
const EMPTY: &str = ".empty";
/// What an area for writes has for an overlay.
const AREA: [&str; 2] = ["upper", "work"];
/// Where secrets of the system are; other places of it are large, and nobody keeps secrets there.
const CLOSED_BELOW: &str = "/etc";
const SCRATCH: &str = ".scratch";
/// Its directories, in which files come and go.
const TRANSIENT: [&str; 4] = [TMP, VAR, SHM, HOME];
const TMP: &str = "tmp";
const VAR: &str = "var";
const SHM: &str = "shm";
const HOME: &str = "home";
const PLAIN: MountFlags = MountFlags::NO_SET_ID.and(MountFlags::NO_DEVICES);
const SEALED: MountFlags = PLAIN.and(MountFlags::READ_ONLY);

/// Carries out all mounts and enters the new root.
/// `owned` are trees that are shown in place of what is there.
pub(super) fn carry_out(
    plan: &Plan,
    owned: &BTreeMap<PathBuf, OwnedFd>,
) -> Result<Untouched, Failure> {
    let failed = |error: Errno| Failure::new(Stage::Namespaces, error);
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )
    .map_err(failed)?;
    let sources = sources(&plan.mounts)?;
    let mut root = Root::make(plan)?;
    for step in &plan.mounts {
        root.step(step, &sources, owned)?;
    }
    drop(sources);
    root.enter()
}

/// The host's places, opened.
fn sources(mounts: &[Mount]) -> Result<BTreeMap<PathBuf, OwnedFd>, Failure> {
    let mut sources = BTreeMap::new();
    for step in mounts {
        let (at, source, optional) = match step {
            Mount::Bind { at, optional, .. } => (at, at, *optional),
            Mount::Elsewhere { at, source, .. } => (at, source, false),
            Mount::View { at, writes, .. } => {
                if let Writes::Area(area) = writes {
                    for part in AREA.map(|part| area.join(part)) {
                        sources.insert(part.clone(), source(&part)?);
                    }
                }
                (at, at, false)
            }
            _ => continue,
        };
        match self::source(source) {
            Ok(opened) => {
                sources.insert(at.clone(), opened);
            }
            Err(failure) if optional && failure.is_absence() => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(sources)
}

/// A place of the host, without following links.
fn source(path: &Path) -> Result<OwnedFd, Failure> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    openat2(AT_FDCWD, path, how).map_err(|error| Failure::at(Stage::Mounts, path, error))
}

/// The new root while it is made.
struct Root {
    top: OwnedFd,
    scratch: OwnedFd,
    /// Devices of what is in our memory: there directories may be made.
    ours: BTreeSet<u64>,
    /// What is made read only at the end.
    open: Vec<PathBuf>,
    views: usize,
}

/// The path of a descriptor.
fn by_number(descriptor: impl AsFd) -> PathBuf {
    format!("/proc/self/fd/{}", descriptor.as_fd().as_raw_fd()).into()
}

impl Root {
    fn make(plan: &Plan) -> Result<Self, Failure> {
        let failed = |error: Errno| Failure::at(Stage::Mounts, Path::new(BASE), error);
        memory(Path::new(BASE), "size=8m,mode=0755")
            .map_err(|error| Failure::at(Stage::Namespaces, Path::new(BASE), error))?;
        let root = directory(BASE).map_err(failed)?;
        mkdirat(&root, SCRATCH, Mode::S_IRWXU).map_err(failed)?;
        let empty = openat(
            &root,
            EMPTY,
            OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )
        .map_err(failed)?;
        drop(empty);
        let at = Path::new(BASE).join(SCRATCH);
        let size = plan
            .scratch_bytes
            .map_or_else(String::new, |bytes| format!("size={bytes},"));
        memory(&at, &format!("{size}mode=0700")).map_err(failed)?;
        let scratch = directory(&at).map_err(failed)?;
        let mut ours = BTreeSet::new();
        for descriptor in [&root, &scratch] {
            ours.insert(fstat(descriptor).map_err(failed)?.st_dev);
        }
        for (name, mode) in [(TMP, 0o1777), (VAR, 0o1777), (SHM, 0o1777), (HOME, 0o700)] {
            mkdirat(&scratch, name, Mode::S_IRWXU).map_err(failed)?;
            nix::sys::stat::fchmodat(
                &scratch,
                name,
                Mode::from_bits_truncate(mode),
                nix::sys::stat::FchmodatFlags::FollowSymlink,
            )
            .map_err(failed)?;
        }
        let (user, group) = (Uid::from_raw(plan.ids.uid), Gid::from_raw(plan.ids.gid));
        let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
        fchownat(&scratch, HOME, Some(user), Some(group), flags).map_err(failed)?;
        Ok(Self {
            top: root,
            scratch,
            ours,
            open: Vec::new(),
            views: 0,
        })
    }

    fn step(
        &mut self,
        step: &Mount,
        sources: &BTreeMap<PathBuf, OwnedFd>,
        owned: &BTreeMap<PathBuf, OwnedFd>,
    ) -> Result<(), Failure> {
        let stage = match step {
            Mount::Processes { .. } => Stage::Processes,
            Mount::View { .. } => Stage::Overlay,
            _ => Stage::Mounts,
        };
        self.try_step(step, sources, owned)
            .map_err(|error| Failure::at(stage, step.at(), error))
    }

    fn try_step(
        &mut self,
        step: &Mount,
        sources: &BTreeMap<PathBuf, OwnedFd>,
        owned: &BTreeMap<PathBuf, OwnedFd>,
    ) -> io::Result<()> {
        match step {
            Mount::Bind {
                at,
                access,
                directory,
                optional,
                owner,
            } => {
                let Some(source) = sources.get(at) else {
                    return Ok(());
                };
                let placed = match self.place(at, *directory) {
                    Err(Errno::EROFS) if *optional => return Ok(()),
                    placed => placed?,
                };
                let tree = owned.get(at);
                self.show(at, *access, source, tree, &placed)?;
                if *owner == Owner::Nobody && tree.is_none() && at.starts_with(CLOSED_BELOW) {
                    self.hide_closed(at)?;
                }
                Ok(())
            }
            Mount::Elsewhere {
                at,
                access,
                directory,
                ..
            } => {
                let source = sources.get(at).ok_or(Errno::ENOENT)?;
                let placed = self.place(at, *directory)?;
                let tree = owned.get(at);
                self.show(at, *access, source, tree, &placed)
            }
            Mount::Link { at, target } => self.link(at, target),
            Mount::Scratch { at, part } => {
                let name = match part {
                    Scratch::Temporary => TMP,
                    Scratch::VarTemporary => VAR,
                    Scratch::Home => HOME,
                    Scratch::SharedMemory => SHM,
                };
                let source = openat(&self.scratch, name, PATH_ONLY, Mode::empty())?;
                let placed = self.place(at, true)?;
                bind(&source, &placed)?;
                restrict_mount(self.at(at)?, PLAIN, false)
            }
            Mount::View { at, python, writes } => self.view(at, python.as_ref(), writes, sources),
            Mount::Processes { at, only } => {
                let placed = self.place(at, true)?;
                // Process 1 is not looked into, by who is root either, so it is not shown (proc(5)).
                let options = if *only {
                    "hidepid=4,subset=pid"
                } else {
                    "hidepid=4"
                };
                let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
                mount(
                    Some("proc"),
                    &by_number(&placed),
                    Some("proc"),
                    flags,
                    Some(options),
                )?;
                Ok(())
            }
            Mount::Terminals { at } => {
                let placed = self.place(at, true)?;
                let options = "newinstance,ptmxmode=0666,mode=0620";
                let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
                mount(
                    Some("devpts"),
                    &by_number(&placed),
                    Some("devpts"),
                    flags,
                    Some(options),
                )?;
                Ok(())
            }
            Mount::Frozen { at } => match self.at(at) {
                Err(Errno::ENOENT) => Ok(()),
                found => {
                    let found = found?;
                    bind(&found, &self.at(at)?)?;
                    restrict_mount(self.at(at)?, SEALED, true)
                }
            },
            Mount::Pinned { at } => {
                let link = self.at(at)?;
                if fstat(&link)?.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFLNK.bits() {
                    // It was one when this was planned.
                    return Err(Errno::ESTALE.into());
                }
                let flags = OpenTreeFlags::OPEN_TREE_CLONE
                    | OpenTreeFlags::OPEN_TREE_CLOEXEC
                    | OpenTreeFlags::AT_EMPTY_PATH;
                put(&open_tree(&link, "", flags)?, &link)
            }
            Mount::Hidden { at, directory } => self.hide(at, *directory),
        }
    }

    /// Shows a place of the host, or a tree that was made of it.
    fn show(
        &self,
        at: &Path,
        access: Access,
        source: &OwnedFd,
        tree: Option<&OwnedFd>,
        placed: &OwnedFd,
    ) -> io::Result<()> {
        match tree {
            Some(tree) => put(tree, placed)?,
            None => bind(source, placed)?,
        }
        let flags = match access {
            Access::Read => SEALED,
            Access::Write => PLAIN,
            Access::Device => MountFlags::NO_SET_ID.and(MountFlags::NO_PROGRAMS),
        };
        restrict_mount(self.at(at)?, flags, true)
    }

    /// Hides what not everybody may read, of a place whose owner the program is.
    fn hide_closed(&mut self, at: &Path) -> io::Result<()> {
        let place = match self.at(at) {
            // Somebody outside removed it just now.
            Err(Errno::ENOENT) => return Ok(()),
            place => place?,
        };
        let meta = fstat(&place)?;
        let kind = meta.st_mode & SFlag::S_IFMT.bits();
        let is_directory = kind == SFlag::S_IFDIR.bits();
        let mut needed = Mode::S_IROTH;
        if is_directory {
            needed |= Mode::S_IXOTH;
        }
        if kind != SFlag::S_IFLNK.bits() && meta.st_mode & needed.bits() != needed.bits() {
            return self.hide(at, is_directory);
        }
        if is_directory {
            for entry in fs::read_dir(by_number(&place))? {
                self.hide_closed(&at.join(entry?.file_name()))?;
            }
        }
        Ok(())
    }

    fn hide(&mut self, at: &Path, directory: bool) -> io::Result<()> {
        let placed = match self.at(at) {
            // What is not there is hidden.
            Err(Errno::ENOENT) => return Ok(()),
            placed => placed?,
        };
        // What is in our memory is hidden already.
        if self.ours.contains(&fstat(&placed)?.st_dev) {
            return Ok(());
        }
        if directory {
            memory(&by_number(&placed), "size=64k,mode=0555")?;
            self.ours.insert(fstat(self.at(at)?)?.st_dev);
            self.open.push(at.to_owned());
            return Ok(());
        }
        let empty = openat(&self.top, EMPTY, PATH_ONLY, Mode::empty())?;
        bind(&empty, &placed)?;
        restrict_mount(self.at(at)?, SEALED, false)
    }

    /// The tree of an environment, with files above it that take what is written. Above it is also its `python`: outside,
    /// that is what leads into a sandbox, inside the interpreter itself. Where what is written stays, it lies between the two,
    /// and so is nobody's writing.
    fn view(
        &mut self,
        at: &Path,
        python: Option<&(PathBuf, PathBuf)>,
        writes: &Writes,
        sources: &BTreeMap<PathBuf, OwnedFd>,
    ) -> io::Result<()> {
        let source = |path: &Path| sources.get(path).ok_or(Errno::ENOENT);
        let lower = by_number(source(at)?);
        let placed = self.place(at, true)?;
        let view = self.views;
        self.views += 1;
        let made = |name: &str| {
            let name = format!("{name}{view}");
            mkdirat(
                &self.scratch,
                name.as_str(),
                Mode::from_bits_truncate(0o755),
            )?;
            openat(&self.scratch, name.as_str(), PATH_ONLY, Mode::empty())
        };
        let own = made("own")?;
        if let Some((path, target)) = python {
            for folder in path.ancestors().skip(1).collect::<Vec<_>>().iter().rev() {
                if !folder.as_os_str().is_empty() {
                    mkdirat(&own, *folder, Mode::from_bits_truncate(0o755))?;
                }
            }
            symlinkat(target, &own, path)?;
        }
        let (lower, work) = (lower.display(), made("work")?);
        let both = format!("lowerdir={}:{lower}", by_number(&own).display());
        let above = |upper: PathBuf, work: PathBuf| {
            format!("upperdir={},workdir={}", upper.display(), work.display())
        };
        let options = match writes {
            Writes::Private => {
                let above = above(by_number(&own), by_number(&work));
                format!("lowerdir={lower},{above},userxattr")
            }
            Writes::Area(area) => {
                let [upper, work] = AREA.map(|part| source(&area.join(part)).map(by_number));
                format!("{both},{},userxattr", above(upper?, work?))
            }
            Writes::Denied => format!("{both},userxattr"),
        };
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOATIME;
        mount(
            Some("overlay"),
            &by_number(&placed),
            Some("overlay"),
            flags,
            Some(options.as_str()),
        )?;
        if let Some((path, _)) = python {
            // The first who looks has the upper directory marked; that shall be nobody's doing.
            fstatat(&self.at(at)?, path, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        }
        Ok(())
    }

    fn link(&self, at: &Path, target: &Path) -> io::Result<()> {
        let (Some(parent), Some(name)) = (at.parent(), at.file_name()) else {
            return Ok(());
        };
        let parent = self.place(parent, true)?;
        if !self.ours.contains(&fstat(&parent)?.st_dev) {
            return Ok(());
        }
        match symlinkat(target, &parent, name) {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What is at a path of the new root, the topmost mount there.
    fn at(&self, at: &Path) -> Result<OwnedFd, Errno> {
        let inside = at.strip_prefix("/").unwrap_or(at);
        if inside.as_os_str().is_empty() {
            return self.top.try_clone().map_err(|_| Errno::EMFILE);
        }
        let how = OpenHow::new()
            .flags(PATH_ONLY | OFlag::O_NOFOLLOW)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_SYMLINKS);
        openat2(self.top.as_fd(), inside, how)
    }

    /// The same, made if it is not there and would be in our memory; else `EROFS`.
    fn place(&self, at: &Path, directory: bool) -> Result<OwnedFd, Errno> {
        match self.at(at) {
            Err(Errno::ENOENT) => {}
            found => return found,
        }
        let (Some(parent), Some(name)) = (at.parent(), at.file_name()) else {
            return Err(Errno::ENOENT);
        };
        let parent: OwnedFd = self.place(parent, true)?;
        if !self.ours.contains(&fstat(&parent)?.st_dev) {
            return Err(Errno::EROFS);
        }
        if directory {
            mkdirat(&parent, name, Mode::from_bits_truncate(0o755))?;
        } else {
            let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
            drop(openat(
                &parent,
                name,
                flags,
                Mode::from_bits_truncate(0o444),
            )?);
        }
        self.at(at)
    }

    /// Seals what is ours, and makes it the root of this process.
    fn enter(self) -> Result<Untouched, Failure> {
        let failed = |error: io::Error| Failure::new(Stage::Mounts, error);
        let scratch = Path::new(BASE).join(SCRATCH);
        umount2(&scratch, MntFlags::MNT_DETACH).map_err(|error| failed(error.into()))?;
        let gone = unlinkat(&self.top, SCRATCH, UnlinkatFlags::RemoveDir)
            .and_then(|()| unlinkat(&self.top, EMPTY, UnlinkatFlags::NoRemoveDir));
        gone.map_err(|error| failed(error.into()))?;
        for at in &self.open {
            let top = self.at(at).map_err(|error| failed(error.into()))?;
            restrict_mount(top, SEALED, false).map_err(failed)?;
        }
        restrict_mount(&self.top, SEALED, false).map_err(failed)?;
        let entered = fchdir(&self.top)
            // The old root is put over the new one and let go at once (pivot_root(2), NOTES).
            .and_then(|()| pivot_root(".", "."))
            .and_then(|()| umount2(".", MntFlags::MNT_DETACH))
            .and_then(|()| chdir("/"));
        entered
            .and_then(|()| Untouched::of(self.scratch, &TRANSIENT))
            .map_err(|error| failed(error.into()))
    }
}

const PATH_ONLY: OFlag = OFlag::O_PATH.union(OFlag::O_CLOEXEC);

fn directory(path: impl AsRef<Path>) -> Result<OwnedFd, Errno> {
    open(path.as_ref(), PATH_ONLY | OFlag::O_DIRECTORY, Mode::empty())
}

/// Mounts an empty file system in memory. Times of reading are not kept: on a mount that is read only they cannot be,
/// and each walk over a link that is due for one leaves the fast way for its whole rest (`pick_link()` of the kernel's
/// `fs/namei.c`). That way goes over the link of an environment with every file of it.
fn memory(at: &Path, options: &str) -> Result<(), Errno> {
    mount(
        Some("tmpfs"),
        at,
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOATIME,
        Some(options),
    )
}

/// Puts a tree that is nowhere yet (`open_tree(2)`) to where the other leads.
fn put(tree: &OwnedFd, placed: &OwnedFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", placed, "", flags)?;
    Ok(())
}

/// Shows what is at one descriptor at the other as well, with all that is mounted below it.
fn bind(source: &OwnedFd, placed: &OwnedFd) -> io::Result<()> {
    mount(
        Some(&by_number(source)),
        &by_number(placed),
        None::<&str>,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        None::<&str>,
    )?;
    Ok(())
}
