//! The descriptor of a mount's connection to the kernel, and the notifications that fuser has not
//! or whose answer it keeps to itself. Formats: `include/uapi/linux/fuse.h`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::unistd::write;

use crate::node::Ino;

/// `FUSE_NOTIFY_INVAL_INODE`.
const INVALIDATE_INODE: i32 = 2;
/// `FUSE_NOTIFY_RESEND`, kernel 6.9.
const RESEND: i32 = 7;
/// Size of `struct fuse_out_header`.
const HEADER: usize = 16;

/// A name of ours for the device that a session reads from and writes to.
#[derive(Debug)]
pub(crate) struct Connection(OwnedFd);

impl Connection {
    /// The connection behind this descriptor.
    pub(crate) fn new(device: OwnedFd) -> Self {
        Self(device)
    }

    /// Another name of the same connection, which lives on as long as any has.
    pub(crate) fn device(&self) -> io::Result<OwnedFd> {
        self.0.try_clone()
    }

    /// Has the kernel send again whatever was read from the connection and not answered.
    pub(crate) fn resend(&self) -> io::Result<()> {
        Ok(self.notify(RESEND, &[])?)
    }

    /// Whether the kernel knows this node now: somebody uses it, or it is cached. Its attributes
    /// are asked for again at the next need.
    pub(crate) fn knows(&self, node: Ino) -> bool {
        // No pages: the offset is negative.
        let told = self.notify(INVALIDATE_INODE, &[node.0, (-1_i64).cast_unsigned(), 0]);
        // Anything else than "no such node" may be said of a node that is there.
        told != Err(Errno::ENOENT) && told != Err(Errno::ENOTCONN)
    }

    fn notify(&self, code: i32, words: &[u64]) -> nix::Result<()> {
        let length = HEADER + size_of_val(words);
        let mut message = Vec::with_capacity(length);
        message.extend_from_slice(&(length as u32).to_ne_bytes());
        message.extend_from_slice(&code.to_ne_bytes());
        message.extend_from_slice(&0_u64.to_ne_bytes()); // no request: a notification
        for word in words {
            message.extend_from_slice(&word.to_ne_bytes());
        }
        write(&self.0, &message).map(drop)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
