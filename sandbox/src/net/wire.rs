//! Handing the sockets of a namespace to the filter: one packet, a line of JSON with their roles and the
//! descriptors beside it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use super::inside::{Role, Setup, Sockets, set_up};
use super::way::Way;

/// The most descriptors of one packet (`SCM_MAX_FD` of the kernel is 253).
const DESCRIPTORS: usize = 250;

/// The most bytes of the line.
const LINE_BYTES: usize = 16 << 10;

/// The most sockets for connections into the namespace.
pub(crate) const INWARD: usize = 128;

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    roles: Vec<Role>,
    transparent: Result<(), String>,
}

/// Sets the namespace of this thread up, hands its sockets to the filter at the other end and waits until that
/// takes connections; how programs come to it. See [`set_up`].
///
/// # Errors
/// If there is no filter, or it does not start. Then nothing passes.
pub fn lead_out(setup: &Setup, channel: impl AsFd) -> io::Result<Way> {
    let sockets = set_up(setup).map_err(io::Error::other)?;
    sockets.send(&channel)?;
    let way = sockets.way();
    drop(sockets);
    let mut text = vec![0; LINE_BYTES];
    let length = rustix::io::retry_on_intr(|| rustix::io::read(&channel, &mut text))?;
    let text = text.get(..length).unwrap_or_default();
    if text.is_empty() {
        return Err(io::Error::other("the filter of the network ended"));
    }
    let answer: Result<(), String> = serde_json::from_slice(text)?;
    answer.map_err(io::Error::other)?;
    Ok(way)
}

/// Tells the namespace whether the filter runs.
///
/// # Errors
/// If nobody is there.
pub fn answer(channel: impl AsFd, outcome: &Result<(), String>) -> io::Result<()> {
    rustix::io::write(channel, &serde_json::to_vec(outcome)?)?;
    Ok(())
}

impl Sockets {
    fn way(&self) -> Way {
        if self.transparent.is_ok() {
            Way::Led
        } else {
            Way::Proxy
        }
    }

    /// Hands them to whoever is at the other end of a socket pair of the kind `SOCK_SEQPACKET`.
    ///
    /// # Errors
    /// If nobody is there.
    pub fn send(&self, to: impl AsFd) -> io::Result<()> {
        let (roles, descriptors): (Vec<_>, Vec<BorrowedFd<'_>>) = self
            .all
            .iter()
            .map(|(role, socket)| (*role, socket.as_fd()))
            .unzip();
        let line = serde_json::to_vec(&Line {
            roles,
            transparent: self.transparent.clone(),
        })?;
        send(to, &line, &descriptors)
    }

    /// Takes them from the other end; waits until they come.
    ///
    /// # Errors
    /// If the other end closes before, or sends something else.
    pub fn receive(from: impl AsFd) -> io::Result<Self> {
        let mut text = vec![0; LINE_BYTES];
        let (length, sockets) = receive(from, &mut text)?;
        let line: Line = serde_json::from_slice(text.get(..length).unwrap_or_default())?;
        if line.roles.len() != sockets.len() {
            return Err(io::Error::other("sockets of the namespace are missing"));
        }
        Ok(Self {
            all: line.roles.into_iter().zip(sockets).collect(),
            transparent: line.transparent,
        })
    }
}

/// Two ends for packets with descriptors (`SOCK_SEQPACKET` of unix(7)), which no program inherits.
pub(crate) fn packet_pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
}

/// Hands one descriptor to whoever is at the other end of a socket pair of the kind `SOCK_SEQPACKET`.
pub(crate) fn send_descriptor(to: impl AsFd, descriptor: impl AsFd) -> io::Result<()> {
    send(to, b"!", &[descriptor.as_fd()])
}

/// Takes it from the other end; waits until it comes.
pub(crate) fn receive_descriptor(from: impl AsFd) -> io::Result<OwnedFd> {
    let (_, descriptors) = receive(from, &mut [0])?;
    let first = descriptors.into_iter().next();
    first.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn send(to: impl AsFd, text: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other(
            "there are too many sockets for one packet",
        ));
    }
    sendmsg(to, &[IoSlice::new(text)], &mut beside, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive(from: impl AsFd, text: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut into = [IoSliceMut::new(text)];
    let received = loop {
        match recvmsg(&from, &mut into, &mut beside, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    let mut descriptors: Vec<OwnedFd> = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((received.bytes, descriptors))
}
