//! What a mount needs to outlive the process that serves it, and how the next one begins.
//!
//! As long as any process has the descriptor of the connection, the kernel keeps the mount, and
//! requests wait. So somebody holds a [`Handover`] for as long as the mount lives; when the process that
//! serves it died, the next one takes it from there:
//!
//! 1. a session of fuser's is begun on one end of a socket pair, into whose other end the request is
//!    written with which the kernel once opened the conversation ([`Offer`]);
//! 2. the descriptor of the connection is put in the socket's place;
//! 3. the kernel is told to send again what the dead process had read and not answered.
//!
//! The last needs kernel 6.9. Without it those requests would wait for ever, so there the mount is not
//! taken over; it is replaced.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use fuser::{Config, InitFlags, KernelConfig, Session};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::write;
use serde::{Deserialize, Serialize};

use crate::fuse::Adapter;
use crate::mount::{self, MountError};
use crate::sys;

/// `FUSE_INIT`.
const INIT: u32 = 26;
/// Sizes of `struct fuse_in_header` and `struct fuse_init_in`.
const HEADER: usize = 40;
const BODY: usize = 64;
/// What fuser only passes back to the kernel, which has settled it long ago.
const READ_AHEAD: u32 = 128 * 1024;

/// What the kernel offered when the mount was made.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Version of the kernel's protocol.
    pub version: (u32, u32),
    /// Its capabilities, the `FUSE_*` flags of `FUSE_INIT`.
    pub flags: u64,
}

impl Offer {
    /// What this session was offered.
    pub(crate) fn of(config: &KernelConfig) -> Self {
        let version = config.kernel_abi();
        Self {
            version: (version.0, version.1),
            flags: config.capabilities().bits(),
        }
    }

    /// Whether the kernel can send requests again, so that a mount can change hands.
    pub fn can_resend(&self) -> bool {
        InitFlags::from_bits_retain(self.flags).contains(InitFlags::FUSE_HAS_RESEND)
    }

    /// The request that said so.
    fn request(&self) -> Vec<u8> {
        let flags = self.flags | InitFlags::FUSE_INIT_EXT.bits();
        let mut request = Vec::with_capacity(HEADER + BODY);
        for word in [(HEADER + BODY) as u32, INIT] {
            request.extend_from_slice(&word.to_ne_bytes());
        }
        request.extend_from_slice(&1_u64.to_ne_bytes()); // the request's number
        request.resize(HEADER, 0);
        let body = [
            self.version.0,
            self.version.1,
            READ_AHEAD,
            flags as u32,
            (flags >> 32) as u32,
        ];
        for word in body {
            request.extend_from_slice(&word.to_ne_bytes());
        }
        request.resize(HEADER + BODY, 0);
        request
    }
}

/// What there is to know of a mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountRecord {
    /// The mount point, with nothing left to resolve.
    pub path: PathBuf,
    /// `major:minor` of the file system, to tell it from another at the same path.
    pub device: String,
    /// What the kernel offered.
    pub offer: Offer,
    /// How often it was taken over so far.
    pub takeovers: u32,
}

/// A mount in the hands of nobody, or of one process more than serves it.
#[derive(Debug)]
pub struct Handover {
    /// The descriptor of the connection.
    pub device: OwnedFd,
    /// What belongs to it.
    pub record: MountRecord,
}

impl Handover {
    /// Gives the mount up: takes it out of the directory tree if it is still there, and lets go of the
    /// connection. Programs that wait for an answer get `ENOTCONN` once nobody else has it either.
    ///
    /// # Errors
    ///
    /// [`MountError::Unmount`] where the system refuses.
    pub fn abandon(self) -> Result<(), MountError> {
        if is_mounted(&self.record.path, &self.record.device)? {
            mount::detach(&self.record.path)?;
        }
        Ok(())
    }
}

/// Whether the mount with this device is the one at this path.
pub(crate) fn is_mounted(path: &Path, device: &str) -> Result<bool, MountError> {
    Ok(mount::mounted_at(path)?.is_some_and(|mount| mount.device == device))
}

/// A session that goes on where another process stopped. Nothing is read from the device yet.
pub(crate) fn session(
    adapter: Adapter,
    handover: &Handover,
    config: &Config,
) -> io::Result<Session<Adapter>> {
    let (kernel, session) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?;
    write(&kernel, &handover.record.offer.request())?;
    let session = Session::from_fd(adapter, session, config.acl, config.clone())?;
    sys::put_in_place(handover.device.as_fd(), session.as_fd())?;
    Ok(session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_has_the_kernels_layout() {
        let offer = Offer {
            version: (7, 45),
            flags: 0x0123_4567_0000_0001,
        };
        let request = offer.request();
        assert_eq!(request.len(), HEADER + BODY);
        let word = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().unwrap());
        assert_eq!((word(0), word(4)), ((HEADER + BODY) as u32, INIT));
        assert_eq!((word(40), word(44)), (7, 45));
        assert_eq!(word(52), 1 | InitFlags::FUSE_INIT_EXT.bits() as u32);
        assert_eq!(word(56), 0x0123_4567);
    }

    #[test]
    fn only_a_kernel_that_says_so_can_resend() {
        let offer = |flags| Offer {
            version: (7, 40),
            flags,
        };
        assert!(offer(InitFlags::FUSE_HAS_RESEND.bits()).can_resend());
        assert!(!offer(!InitFlags::FUSE_HAS_RESEND.bits()).can_resend());
    }
}
