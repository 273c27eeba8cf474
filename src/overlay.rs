//! The process that gives one program an environment that it can write to, or not even write to.
//!
//! It makes a mount namespace of its own (in a user namespace, for who is not root), covers the
//! environment's tree there with an overlay whose upper directory is an area of `engine/capture`, and
//! becomes the program. Nobody else sees the overlay, and it ends with the program. It has one
//! thread, as the kernel asks of who changes namespaces (unshare(2)).
//!
//! Sources: `mount_namespaces(7)`, `user_namespaces(7)`, the kernel's overlayfs.rst.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;
use nix::unistd::{Gid, Uid};

use crate::error::{Error, Kind};
use crate::exit_code::Exit;

/// The hidden command under which it starts: `blast overlay-step TREE AREA PROGRAM ARGUMENT…`; without
/// an area (`-`) the tree is made read-only.
pub(crate) const COMMAND: &str = "overlay-step";

/// What the program is to see.
struct Plan {
    tree: PathBuf,
    area: Option<PathBuf>,
}

/// Covers the tree and becomes the program. Returns only if that fails.
pub(crate) fn run(words: &[OsString]) -> Result<Exit, Error> {
    let [_, _, tree, area, program, arguments @ ..] = words else {
        return Err(Error::usage("this is not meant for people"));
    };
    let plan = Plan {
        tree: tree.into(),
        area: (area != "-").then(|| area.into()),
    };
    let cwd = std::env::current_dir().ok();
    plan.carry_out().map_err(|error| {
        Error::internal("the environment cannot be covered for writing")
            .caused_by(&error)
            .hint("this host may not let its users make namespaces: `blast doctor` says more")
    })?;
    let mut command = Command::new(program);
    command.args(arguments);
    if let Some(cwd) = cwd {
        // By its path, which may lead into the overlay now.
        command.current_dir(cwd);
    }
    let failed = command.exec();
    let kind = if failed.kind() == io::ErrorKind::NotFound {
        Kind::CommandNotFound
    } else {
        Kind::CommandNotExecutable
    };
    let name = program.to_string_lossy();
    Err(Error::new(kind, format!("cannot run the command `{name}`")).caused_by(&failed))
}

impl Plan {
    fn carry_out(&self) -> io::Result<()> {
        let in_user_namespace = separate()?;
        // What is mounted here stays here.
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
        match &self.area {
            Some(area) => self.cover(area, in_user_namespace),
            None => self.protect(),
        }
    }

    /// The area is given by descriptors, whose names need no escapes in an option.
    fn cover(&self, area: &Path, in_user_namespace: bool) -> io::Result<()> {
        let open = |path: &Path| File::open(path);
        let lower = open(&self.tree)?;
        let (upper, work) = (open(&area.join("upper"))?, open(&area.join("work"))?);
        let own = if in_user_namespace {
            ",userxattr"
        } else {
            ",redirect_dir=off,metacopy=off"
        };
        let options = format!(
            "lowerdir=/proc/self/fd/{},upperdir=/proc/self/fd/{},workdir=/proc/self/fd/{}{own}",
            lower.as_raw_fd(),
            upper.as_raw_fd(),
            work.as_raw_fd()
        );
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        let overlay = Some("overlay");
        Ok(mount(
            overlay,
            &self.tree,
            overlay,
            flags,
            Some(options.as_str()),
        )?)
    }

    fn protect(&self) -> io::Result<()> {
        let none = None::<&str>;
        mount(Some(&self.tree), &self.tree, none, MsFlags::MS_BIND, none)?;
        let flags = MsFlags::MS_REMOUNT
            | MsFlags::MS_BIND
            | MsFlags::MS_RDONLY
            | MsFlags::MS_NOSUID
            | MsFlags::MS_NODEV;
        Ok(mount(none, &self.tree, none, flags, none)?)
    }
}

/// Makes a mount namespace; true if it took a user namespace to do so.
#[expect(
    clippy::disallowed_methods,
    reason = "this process has one thread and is there for this"
)]
fn separate() -> io::Result<bool> {
    let (uid, gid) = (Uid::effective(), Gid::effective());
    if uid.is_root() && nix::sched::unshare(CloneFlags::CLONE_NEWNS).is_ok() {
        return Ok(false);
    }
    nix::sched::unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
    // The same user there as here; groups cannot be changed without privilege (`user_namespaces(7)`).
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("{uid} {uid} 1"))?;
    write("/proc/self/gid_map", &format!("{gid} {gid} 1"))?;
    Ok(true)
}

fn write(path: &str, text: &str) -> io::Result<()> {
    fs::write(path, text)
}
