//! The system calls that have no safe form: all `unsafe` of this crate.
#![expect(
    unsafe_code,
    reason = "clone(2), close_range(2), mount_setattr(2), keyctl(2) and seccomp_unotify(2) have no safe form in nix"
)]

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sched::CloneFlags;
use nix::unistd::Pid;
use seccompiler::sock_filter;

/// What a process is after [`fork_into`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fork {
    /// The one that asked; the new one has this number.
    Parent(Pid),
    /// The new one.
    Child,
}

/// That this process has one thread, which it keeps to. A child that is a copy of the calling thread alone
/// would find a lock that another thread held locked for ever.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OneThread(());

impl OneThread {
    /// Looks.
    ///
    /// # Errors
    /// `EBUSY` if there is more than one thread; else those of reading `/proc/self/task`.
    pub(crate) fn check() -> io::Result<Self> {
        if std::fs::read_dir("/proc/self/task")?.count() != 1 {
            return Err(Errno::EBUSY.into());
        }
        Ok(Self(()))
    }
}

/// fork(2) into new namespaces, or none.
///
/// # Errors
/// Those of clone(2).
pub(crate) fn fork_into(_: OneThread, namespaces: CloneFlags) -> io::Result<Fork> {
    let flags = libc::c_long::from(namespaces.bits() | libc::SIGCHLD);
    let zero: libc::c_long = 0;
    // SAFETY: without CLONE_VM and with no stack given this is fork(2), whose child has a copy of
    // all memory. There is one thread, as the first argument says, so the child may go on as any process may.
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

/// Shows the files of the mount at this descriptor, which is nowhere yet, and of those below it, under the owners that a
/// user namespace says (`MOUNT_ATTR_IDMAP`, Linux 5.12), and lets nothing that is mounted elsewhere come there.
///
/// # Errors
/// Those of `mount_setattr(2)`: `EINVAL` where the file system cannot, `EPERM` for who has no right over it.
pub(crate) fn map_owners(at: impl AsFd, owners: BorrowedFd<'_>) -> io::Result<()> {
    const MAPPED: u64 = 0x0010_0000;
    let number = u64::try_from(owners.as_raw_fd()).map_err(io::Error::other)?;
    let attributes = MountAttributes {
        set: MAPPED,
        clear: 0,
        propagation: libc::MS_PRIVATE,
        user_namespace: number,
    };
    // SAFETY: the path is a C string, and the attributes live until the call returns and are as long
    // as is said.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            at.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
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

/// Loads a filter for this process and what it becomes, whose questions come through the descriptor
/// (`seccomp_unotify(2)`). Needs `no_new_privs`.
///
/// # Errors
/// Those of seccomp(2); `EBUSY` if there is such a filter already.
pub(crate) fn listen_to_calls(filter: &[sock_filter]) -> io::Result<OwnedFd> {
    /// `struct sock_fprog` of `linux/filter.h`.
    #[repr(C)]
    struct Program {
        length: u16,
        filter: *const sock_filter,
    }
    let program = Program {
        length: u16::try_from(filter.len()).map_err(io::Error::other)?,
        filter: filter.as_ptr(),
    };
    // SAFETY: the program and its instructions live until the call returns, and are as long as is said.
    let number = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    };
    let number = i32::try_from(Errno::result(number)?).map_err(io::Error::other)?;
    // SAFETY: the kernel made this descriptor for us just now.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A system call that waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    id: u64,
    /// The thread that makes it, as we number it.
    pub(crate) process: u32,
    /// Which it is.
    pub(crate) number: i32,
    /// With what.
    pub(crate) arguments: [u64; 6],
}

/// `struct seccomp_notif` and `struct seccomp_notif_resp` of `linux/seccomp.h`, with room for what kernels to come may add.
#[repr(C)]
#[derive(Clone, Copy)]
union Packet {
    question: libc::seccomp_notif,
    answer: libc::seccomp_notif_resp,
    room: [u64; 64],
}

/// Where the questions of a filter come from.
#[derive(Debug)]
pub(crate) struct Listener(OwnedFd);

impl Listener {
    /// By what [`listen_to_calls`] gave.
    pub(crate) fn new(descriptor: OwnedFd) -> Self {
        // `SECCOMP_IOCTL_NOTIF_SET_FLAGS`, `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP` (Linux 6.6): both sides take turns on one
        // processor, and nobody has to be woken on another. Older kernels refuse, and are slower.
        const SET_FLAGS: libc::c_ulong = 0x4008_2104;
        const SAME_PROCESSOR: libc::c_ulong = 1;
        // SAFETY: no memory of ours is given.
        unsafe { libc::ioctl(descriptor.as_raw_fd(), SET_FLAGS as _, SAME_PROCESSOR) };
        Self(descriptor)
    }

    /// Waits for the next call.
    ///
    /// # Errors
    /// `ENOENT` if its thread was killed meanwhile, `EINTR`, or that there will be none.
    pub(crate) fn next(&self) -> io::Result<Call> {
        let mut packet = Packet { room: [0; 64] };
        // SAFETY: the packet is zeroed, as it must be, and larger than what any kernel writes.
        let done = unsafe {
            libc::ioctl(
                self.0.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_RECV as _,
                &raw mut packet,
            )
        };
        Errno::result(done)?;
        // SAFETY: all of it was zeroed or written by the kernel, and every pattern of bits is a question.
        let question = unsafe { packet.question };
        Ok(Call {
            id: question.id,
            process: question.pid,
            number: question.data.nr,
            arguments: question.data.args,
        })
    }

    /// Lets a call go on as if nobody had looked.
    ///
    /// # Errors
    /// `ENOENT` if its thread was killed meanwhile.
    pub(crate) fn let_go(&self, call: &Call) -> io::Result<()> {
        let mut packet = Packet { room: [0; 64] };
        packet.answer = libc::seccomp_notif_resp {
            id: call.id,
            val: 0,
            error: 0,
            // `SECCOMP_USER_NOTIF_FLAG_CONTINUE`
            flags: 1,
        };
        // SAFETY: the kernel reads an answer from a packet that holds one.
        let done = unsafe {
            libc::ioctl(
                self.0.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_SEND as _,
                &raw mut packet,
            )
        };
        Errno::result(done)?;
        Ok(())
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Closes all descriptors above 2 but these (`close_range(2)`, Linux 5.9).
///
/// # Errors
/// Those of `close_range(2)`.
pub(crate) fn close_others(kept: &[i32]) -> io::Result<()> {
    let mut kept: Vec<u32> = kept
        .iter()
        .filter_map(|number| u32::try_from(*number).ok())
        .filter(|number| *number > 2)
        .collect();
    kept.sort_unstable();
    let mut first = 3;
    for last in kept.iter().copied().chain([u32::MAX]) {
        if first < last {
            let last = if last == u32::MAX { last } else { last - 1 };
            let zero: libc::c_uint = 0;
            // SAFETY: no memory is given. Who owns one of these descriptors is in a process that this
            // one is a copy of, or is never used again: every caller goes on with `kept` alone.
            let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, zero) };
            Errno::result(done)?;
        }
        first = last.saturating_add(1);
    }
    Ok(())
}
