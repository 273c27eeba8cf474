//! Mounting as a normal user where the set-user-id helper is missing: in a user namespace and a mount
//! namespace of our own (`user_namespaces(7)`, `mount_namespaces(7)`).
//!
//! The process that serves the view [enters](enter) them while it has one thread, and keeps the one
//! capability that mount(2) and umount(2) need there; the user and group are who they were. Whoever it
//! starts is inside too, without the capability, but for those to whom it is [lent](lending). Programs
//! elsewhere do not see the mount. A process of the same user, who owns the user namespace, may
//! [`join()`]: it then has the mounts of outside, which go on arriving, and the view; the next
//! execve(2) takes its capabilities away. Inside, no other user exists: files of others seem to be nobody's,
//! and set-user-id programs do not change the user.
//!
//! The namespaces and their mounts live as long as any process is inside.

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::fstat;
use nix::unistd::{fchdir, getegid, geteuid};
use rustix::process::Pid;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    configure_capability_in_ambient_set, set_capabilities,
};

use crate::mount::DEVICE;

/// What mount(2), umount(2) and setns(2) ask for.
const MOUNTING: CapabilitySet = CapabilitySet::SYS_ADMIN;

/// Why there is no view in a namespace.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// The kernel, or a rule of this host, has none for us.
    #[error("no user namespace can be made")]
    Refused(#[source] io::Error),
    /// There is one, but it is not fit for use.
    #[error("the user namespace that was made cannot be set up")]
    Unusable(#[source] io::Error),
    /// There is one, and mounting in it is refused.
    #[error("mounting in a user namespace is refused")]
    Mount(#[source] io::Error),
    /// The namespaces of a process cannot be joined.
    #[error("the namespaces of process {process} cannot be entered")]
    Join {
        /// The process.
        process: u32,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Puts this process, which must have one thread, into a new user namespace and mount namespace.
///
/// # Errors
///
/// [`NamespaceError::Refused`], with nothing changed, or [`NamespaceError::Unusable`], after which
/// the process should end.
#[expect(
    clippy::disallowed_methods,
    reason = "for processes with one thread, as is said above"
)]
pub fn enter() -> Result<(), NamespaceError> {
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)
        .map_err(|errno| NamespaceError::Refused(errno.into()))?;
    // Without privilege a group can be mapped only once nobody can drop groups any more.
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("{user} {user} 1")),
        ("gid_map", format!("{group} {group} 1")),
    ] {
        fs::write(format!("/proc/self/{file}"), text).map_err(NamespaceError::Unusable)?;
    }
    keep_mounting_only().map_err(NamespaceError::Unusable)
}

/// Whether what [`enter`] is for would work: enters, and mounts something that nobody serves. The
/// process, which must have one thread, should end then, and all of it with the process.
///
/// # Errors
///
/// The first step that is refused.
pub fn attempt() -> Result<(), NamespaceError> {
    enter()?;
    let device = File::options().read(true).write(true).open(DEVICE);
    let device = device.map_err(NamespaceError::Mount)?;
    let options = format!(
        "fd={},rootmode=40000,user_id={},group_id={}",
        device.as_raw_fd(),
        geteuid(),
        getegid()
    );
    mount(
        Some("blast-attempt"),
        &env::temp_dir(),
        Some("fuse"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_RDONLY,
        Some(options.as_str()),
    )
    .map_err(|errno| NamespaceError::Mount(errno.into()))
}

/// Puts this process, which must have one thread, into the user namespace and mount namespace of another,
/// and back into its directory there. Does nothing where it is in them already.
///
/// # Errors
///
/// [`NamespaceError::Join`].
pub fn join(process: u32) -> Result<(), NamespaceError> {
    enter_those_of(process).map_err(|source| NamespaceError::Join { process, source })
}

/// [`join`], to serve a view there.
///
/// # Errors
///
/// [`NamespaceError::Join`].
pub fn join_to_mount(process: u32) -> Result<(), NamespaceError> {
    enter_those_of(process)
        .and_then(|()| keep_mounting_only())
        .map_err(|source| NamespaceError::Join { process, source })
}

#[expect(
    clippy::disallowed_methods,
    reason = "for processes with one thread, as those who call say"
)]
fn enter_those_of(process: u32) -> io::Result<()> {
    let user = File::open(format!("/proc/{process}/ns/user"))?;
    let mounts = File::open(format!("/proc/{process}/ns/mnt"))?;
    if is_own(&mounts, "mnt")? {
        return Ok(());
    }
    let (named, here) = (env::current_dir(), File::open("."));
    if !is_own(&user, "user")? {
        setns(&user, CloneFlags::CLONE_NEWUSER)?;
    }
    setns(&mounts, CloneFlags::CLONE_NEWNS)?;
    // That went to the root. By name, as the directory that was open is of the mounts outside.
    if let Ok(named) = named
        && env::set_current_dir(&named).is_ok()
    {
        return Ok(());
    }
    // It has no name any more, or cannot be seen.
    if let Ok(here) = here {
        fchdir(&here)?;
    }
    Ok(())
}

/// Whether two processes, of which one is this, have the same mounts.
///
/// # Errors
///
/// Where the other is gone, or is another user's.
pub fn is_shared_with(process: u32) -> io::Result<bool> {
    is_own(&File::open(format!("/proc/{process}/ns/mnt"))?, "mnt")
}

fn is_own(namespace: &File, kind: &str) -> io::Result<bool> {
    let (other, own) = (
        fstat(namespace)?,
        fs::metadata(format!("/proc/self/ns/{kind}"))?,
    );
    Ok((other.st_dev, other.st_ino) == (own.dev(), own.ino()))
}

/// Whether this process is no root and may mount all the same: it is inside.
pub fn is_inside() -> bool {
    !geteuid().is_root() && can_mount(None)
}

/// Whether another process may mount where it is.
pub fn is_mounter(process: u32) -> bool {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    process.is_some() && can_mount(process)
}

fn can_mount(process: Option<Pid>) -> bool {
    capabilities(process).is_ok_and(|sets| sets.effective.contains(MOUNTING))
}

/// Lends the right to mount to what is started meanwhile by this thread, where it is inside: a process
/// that does not come from [`enter`] cannot get it back. What has it [keeps it](keep_lent) or passes it on.
pub fn lending<T>(start: impl FnOnce() -> T) -> T {
    let lent = is_inside() && configure_capability_in_ambient_set(MOUNTING, true).is_ok();
    let started = start();
    if lent && let Err(error) = configure_capability_in_ambient_set(MOUNTING, false) {
        tracing::warn!(%error, "what is started from now on may mount too");
    }
    started
}

/// Keeps what was lent, and from now on passes it to nobody.
///
/// # Errors
///
/// What prctl(2) says.
pub fn keep_lent() -> io::Result<()> {
    if is_inside() {
        clear_ambient_capability_set()?;
    }
    Ok(())
}

/// All other capabilities would let this process, as its own user, go round the modes of files.
fn keep_mounting_only() -> io::Result<()> {
    let sets = CapabilitySets {
        effective: MOUNTING,
        permitted: MOUNTING,
        inheritable: MOUNTING,
    };
    Ok(set_capabilities(None, sets)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joining_ones_own_namespaces_changes_nothing() {
        let before = env::current_dir().unwrap();
        join(std::process::id()).unwrap();
        assert_eq!(env::current_dir().unwrap(), before);
        assert!(is_shared_with(std::process::id()).unwrap());
    }

    #[test]
    fn a_process_that_is_gone_is_named() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let error = join(child.id()).unwrap_err().to_string();
        assert!(error.contains(&child.id().to_string()), "{error}");
        assert!(!is_mounter(child.id()));
    }

    #[test]
    fn what_is_started_meanwhile_is_what_comes_back() {
        assert_eq!(lending(|| 42), 42);
        keep_lent().unwrap();
    }
}
