//! The system calls that have no safe form: all `unsafe` of this crate.
#![expect(
    unsafe_code,
    reason = "clone(2), mount_setattr(2) and keyctl(2) have no safe form in nix"
)]

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

use nix::errno::Errno;
use nix::libc;
use nix::sched::CloneFlags;
use nix::unistd::Pid;

/// What a process is after [`fork_into`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fork {
    /// The one that asked; the new one has this number.
    Parent(Pid),
    /// The new one.
    Child,
}

/// fork(2) into new namespaces. The process must have one thread: the child is a copy of the calling
/// thread alone, and a lock that another thread held would stay locked for ever.
///
/// # Errors
/// `EBUSY` if there is more than one thread; else those of clone(2).
pub(crate) fn fork_into(namespaces: CloneFlags) -> io::Result<Fork> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(Errno::EBUSY.into());
    }
    let flags = libc::c_long::from(namespaces.bits() | libc::SIGCHLD);
    let zero: libc::c_long = 0;
    // SAFETY: without CLONE_VM and with no stack given this is fork(2), whose child has a copy of
    // all memory. There is one thread, so the child may go on as any process may.
    let number = unsafe { libc::syscall(libc::SYS_clone, flags, zero, zero, zero, zero) };
    match Errno::result(number)? {
        0 => Ok(Fork::Child),
        number => i32::try_from(number)
            .map(|number| Fork::Parent(Pid::from_raw(number)))
            .map_err(io::Error::other),
    }
}

/// What a mount forbids (`MOUNT_ATTR_*` of `linux/mount.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MountFlags(u64);

impl MountFlags {
    /// Changes.
    pub(crate) const READ_ONLY: Self = Self(0x1);
    /// Programs that change who runs them.
    pub(crate) const NO_SET_ID: Self = Self(0x2);
    /// Devices.
    pub(crate) const NO_DEVICES: Self = Self(0x4);
    /// Programs.
    pub(crate) const NO_PROGRAMS: Self = Self(0x8);

    /// Both.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// `struct mount_attr` of `mount_setattr(2)`.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Adds flags to the mount at this descriptor, and to those below it if `all` (Linux 5.12).
///
/// # Errors
/// Those of `mount_setattr(2)`.
pub(crate) fn restrict_mount(at: impl AsFd, flags: MountFlags, all: bool) -> io::Result<()> {
    let attributes = MountAttributes {
        set: flags.0,
        clear: 0,
        propagation: 0,
        user_namespace: 0,
    };
    let how = libc::AT_EMPTY_PATH | if all { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string, and the attributes live until the call returns and are as long
    // as is said.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            at.as_fd().as_raw_fd(),
            c"".as_ptr(),
            how,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    Errno::result(done)?;
    Ok(())
}

/// Leaves the session keyring for an empty one (keyctl(2), `KEYCTL_JOIN_SESSION_KEYRING`).
///
/// # Errors
/// Those of keyctl(2); `ENOSYS` where the kernel has no keys.
pub(crate) fn drop_keyring() -> io::Result<()> {
    const JOIN: libc::c_long = 1;
    // SAFETY: a null name asks for an anonymous keyring; no memory of ours is given.
    let done = unsafe { libc::syscall(libc::SYS_keyctl, JOIN, std::ptr::null::<libc::c_char>()) };
    Errno::result(done)?;
    Ok(())
}
