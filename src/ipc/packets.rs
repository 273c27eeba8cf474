//! Packets of JSON on a Unix socket that keeps packets apart (`SOCK_SEQPACKET`, unix(7)), with descriptors beside them.
//!
//! What the holder of the mount and the holders of sandboxes are told, and tell. Each has messages of its own.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use blast_sandbox::DOOR_DESCRIPTORS;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, connect,
    listen, recvmsg, sendmsg, socket_with, sockopt,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Most bytes of a packet; a record of a mount has some hundred.
const LONGEST: usize = 64 << 10;
/// Most descriptors beside one.
const MOST_DESCRIPTORS: usize = DOOR_DESCRIPTORS;
const BACKLOG: i32 = 64;

/// A packet that was received.
#[derive(Debug)]
pub(crate) enum Packet<T> {
    /// A message and its descriptors.
    Message(T, Vec<OwnedFd>),
    /// Something that is no message.
    Nonsense,
    /// Nothing will come any more.
    End,
}

/// What becomes of a packet whose receiver reads none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// It waits.
    Wait,
    /// It is an error (`EAGAIN`).
    Refuse,
}

/// Listens at this path.
pub(crate) fn listen_at(path: &Path) -> io::Result<OwnedFd> {
    let socket = new_socket()?;
    let (_folder, address) = address(path)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Connects to who listens at this path; `None` where nobody does.
pub(crate) fn connect_to(path: &Path) -> io::Result<Option<OwnedFd>> {
    let nobody = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(None),
        _ => Err(error),
    };
    let socket = new_socket()?;
    let (_folder, address) = match address(path) {
        Ok(address) => address,
        Err(error) => return nobody(error),
    };
    match connect(&socket, &address) {
        Ok(()) => Ok(Some(socket)),
        Err(error) => nobody(error.into()),
    }
}

/// A path of a socket is short (unix(7)), a runtime directory need not be: the directory goes by its descriptor.
fn address(path: &Path) -> io::Result<(File, SocketAddrUnix)> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let folder = File::open(folder)?;
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
    let address = SocketAddrUnix::new(short.join(name))?;
    Ok((folder, address))
}

fn new_socket() -> io::Result<OwnedFd> {
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    Ok(socket_with(family, kind, SocketFlags::CLOEXEC, None)?)
}

/// The process at the other end, if it is of this user.
pub(crate) fn peer(socket: impl AsFd) -> Option<u32> {
    let peer = sockopt::socket_peercred(socket).ok()?;
    let ours = peer.uid.as_raw() == nix::unistd::Uid::effective().as_raw();
    ours.then(|| peer.pid.as_raw_nonzero().get().unsigned_abs())
}

/// Sends a message.
pub(crate) fn send(
    socket: impl AsFd,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
    patience: Patience,
) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    if text.len() > LONGEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = match patience {
        Patience::Wait => SendFlags::NOSIGNAL,
        Patience::Refuse => SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
    };
    sendmsg(socket, &[IoSlice::new(&text)], &mut beside, flags)?;
    Ok(())
}

/// Receives a packet; waits for one.
pub(crate) fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Packet<T>> {
    let mut text = vec![0; LONGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
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
    let text = text.get(..received.bytes).unwrap_or_default();
    if text.is_empty() {
        return Ok(Packet::End);
    }
    let message = serde_json::from_slice(text).ok();
    Ok(message.map_or(Packet::Nonsense, |message| {
        Packet::Message(message, descriptors)
    }))
}

#[cfg(test)]
mod tests {
    use rustix::net::socketpair;

    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
        socketpair(family, kind, SocketFlags::CLOEXEC, None).expect("sockets")
    }

    #[test]
    fn a_message_brings_its_descriptors() {
        let (here, there) = pair();
        let files = ["/dev/null", "/dev/zero"].map(|path| File::open(path).expect("there"));
        let descriptors = [files[0].as_fd(), files[1].as_fd()];
        send(&here, &"come in", &descriptors, Patience::Wait).expect("sent");
        let Ok(Packet::Message(received, descriptors)) = receive::<String>(&there) else {
            panic!("a message was sent")
        };
        assert_eq!(received, "come in");
        assert_eq!(descriptors.len(), 2);
        rustix::io::write(&here, b"\xff").expect("sent");
        assert!(matches!(receive::<String>(&there), Ok(Packet::Nonsense)));
        drop(here);
        assert!(matches!(receive::<String>(&there), Ok(Packet::End)));
    }

    #[test]
    fn who_reads_nothing_stops_nobody() {
        let (here, _there) = pair();
        let line = "x".repeat(LONGEST / 2);
        let refused = (0..1000).find_map(|_| send(&here, &line, &[], Patience::Refuse).err());
        let refused = refused.expect("a socket holds no megabytes");
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_socket_may_be_deep_and_where_nobody_listens_there_is_no_connection() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let deep = folder.path().join("a".repeat(200));
        let path = deep.join("sock");
        assert!(connect_to(&path).expect("no error").is_none(), "no folder");
        std::fs::create_dir(&deep).expect("possible");
        assert!(connect_to(&path).expect("no error").is_none(), "no socket");
        let listener = listen_at(&path).expect("free");
        let there = connect_to(&path).expect("no error").expect("a listener");
        assert_eq!(peer(&there), Some(std::process::id()));
        drop(listener);
        assert!(
            connect_to(&path).expect("no error").is_none(),
            "no listener"
        );
    }
}
