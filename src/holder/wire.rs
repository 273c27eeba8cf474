//! What the daemon and the holder say to each other: packets of JSON on a socket that keeps packets
//! apart, with descriptors beside them.
//!
//! A daemon and a holder of different builds meet whenever blast is upgraded under a mounted view, so this
//! format does not change: a message that is not known is ignored, a field that is missing has a default.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, connect,
    listen, recvmsg, sendmsg, socket_with, sockopt,
};
use serde::{Deserialize, Serialize};

/// Most bytes of a packet; a record of a mount has some hundred.
const LONGEST: usize = 64 << 10;
/// Descriptors of one mount: its connection, and the directory that it covers.
pub(super) const DESCRIPTORS: usize = 2;
const BACKLOG: i32 = 16;

/// A message, in either direction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case")]
pub(super) enum Message {
    /// Daemon: it is me who serves from now on. Answered by a [`Message::Keep`] for each mount that
    /// is held, and a [`Message::All`].
    Hello {
        /// The command that starts a daemon like me.
        command: Vec<String>,
    },
    /// Keep this mount, in place of what was kept under the same name; two descriptors come with it.
    Keep {
        /// Its name.
        name: String,
        /// Whatever the next daemon needs to know.
        record: serde_json::Value,
    },
    /// Holder: that was all.
    All,
    /// Daemon: the mount is gone, let go of it.
    Release {
        /// Its name.
        name: String,
    },
    /// Daemon: I end, and somebody starts my successor.
    Leave,
    /// Command line: let go of everything and end.
    End,
    /// Of another build.
    #[serde(other)]
    Unknown,
}

/// A packet that was received.
#[derive(Debug)]
pub(super) enum Packet {
    /// A message and its descriptors.
    Message(Message, Vec<OwnedFd>),
    /// Something that is no message.
    Nonsense,
    /// Nothing will come any more.
    End,
}

/// Listens at this path, for this user alone.
pub(super) fn listen_at(path: &Path) -> io::Result<OwnedFd> {
    let socket = new_socket()?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Connects to who listens at this path; `None` where nobody does.
pub(super) fn connect_to(path: &Path) -> io::Result<Option<OwnedFd>> {
    let socket = new_socket()?;
    match connect(&socket, &SocketAddrUnix::new(path)?) {
        Ok(()) => Ok(Some(socket)),
        Err(error) => match io::Error::from(error) {
            error if error.kind() == io::ErrorKind::NotFound => Ok(None),
            error if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
            error => Err(error),
        },
    }
}

fn new_socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    Ok(socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        flags,
        None,
    )?)
}

/// The process at the other end, if it is of this user.
pub(super) fn peer(socket: impl AsFd) -> Option<u32> {
    let peer = sockopt::socket_peercred(socket).ok()?;
    let ours = peer.uid.as_raw() == nix::unistd::Uid::effective().as_raw();
    ours.then(|| peer.pid.as_raw_nonzero().get().unsigned_abs())
}

/// Sends a message.
pub(super) fn send(
    socket: impl AsFd,
    message: &Message,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    if text.len() > LONGEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = SendFlags::NOSIGNAL;
    sendmsg(socket, &[IoSlice::new(&text)], &mut beside, flags)?;
    Ok(())
}

/// Receives a packet; waits for one.
pub(super) fn receive(socket: impl AsFd) -> io::Result<Packet> {
    let mut text = vec![0; LONGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut into = [IoSliceMut::new(&mut text)];
        match recvmsg(&socket, &mut into, &mut beside, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::CONNRESET) => return Ok(Packet::End),
            other => break other?,
        }
    };
    let mut descriptors = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if received.bytes == 0 {
        return Ok(Packet::End);
    }
    Ok(
        serde_json::from_slice(&text[..received.bytes]).map_or(Packet::Nonsense, |message| {
            Packet::Message(message, descriptors)
        }),
    )
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd as _;

    use rustix::net::socketpair;

    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        let flags = SocketFlags::CLOEXEC;
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).expect("sockets")
    }

    #[test]
    fn a_message_brings_its_descriptors() {
        let (here, there) = pair();
        let (one, two) = (File::open("/dev/null"), File::open("/dev/zero"));
        let files = [one.expect("there"), two.expect("there")];
        let message = Message::Keep {
            name: "home".into(),
            record: serde_json::json!({"path": "/live"}),
        };
        send(&here, &message, &[files[0].as_fd(), files[1].as_fd()]).expect("sent");
        let Ok(Packet::Message(received, descriptors)) = receive(&there) else {
            panic!("a message was sent")
        };
        assert_eq!(received, message);
        assert_eq!(descriptors.len(), DESCRIPTORS);
        drop(here);
        assert!(matches!(receive(&there), Ok(Packet::End)));
    }

    #[test]
    fn what_another_build_says_is_told_from_nonsense() {
        let (here, there) = pair();
        rustix::io::write(&here, br#"{"say":"dance","tempo":3}"#).expect("sent");
        assert!(matches!(
            receive(&there),
            Ok(Packet::Message(Message::Unknown, _))
        ));
        rustix::io::write(&here, b"\xff").expect("sent");
        assert!(matches!(receive(&there), Ok(Packet::Nonsense)));
    }

    #[test]
    fn where_nobody_listens_there_is_no_connection() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let path = folder.path().join("sock");
        assert!(connect_to(&path).expect("no error").is_none());
        drop(listen_at(&path).expect("free"));
        assert!(connect_to(&path).expect("no error").is_none());
    }
}
