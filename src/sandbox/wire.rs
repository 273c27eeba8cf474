//! What is said to the holder of a sandbox, and by it: packets of JSON on a socket that keeps packets apart.
//!
//! Both ends are of one build: the name of a sandbox has the executable in it ([`super::name`]).

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use blast_sandbox::DOOR_DESCRIPTORS;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, connect,
    listen, recvmsg, sendmsg, socket_with, sockopt,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Most bytes of a packet.
const LONGEST: usize = 64 << 10;
const BACKLOG: i32 = 64;

/// To the holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case")]
pub(super) enum Asked {
    /// A program shall run inside; answered by [`Told::Open`] or the end of the connection, which lasts for as long as the
    /// program.
    Enter {
        /// Its words, for the log.
        command: Vec<String>,
    },
    /// The program has ended; answered by [`Told::Left`] after what is still to be told.
    Leave,
    /// Nobody will come any more: end when the last program has. Answered by [`Told::Left`] if there are programs.
    Retire,
    /// End at once, and with it all programs. Answered by the end of the connection.
    End,
    /// What there is; answered by [`Told::Report`].
    Report,
}

/// From the holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case")]
pub(super) enum Told {
    /// Come in; the descriptors of the namespaces are beside.
    Open {
        /// The cgroups of the sandbox.
        groups: Vec<PathBuf>,
    },
    /// A line for the program's user.
    Line {
        /// It.
        line: String,
    },
    /// That was all.
    Left,
    /// The state; the descriptors of the namespaces are beside.
    Report {
        /// Process 1 of the sandbox.
        init: i32,
        /// The process of the filter of its network.
        filter: Option<u32>,
        /// Its cgroups.
        groups: Vec<PathBuf>,
        /// How many programs were put into it and run.
        programs: usize,
    },
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

/// Listens at this path.
pub(super) fn listen_at(path: &Path) -> io::Result<OwnedFd> {
    let socket = new_socket()?;
    let (_folder, address) = address(path)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Connects to who listens at this path, who must be of this user; `None` where nobody does.
pub(super) fn connect_to(path: &Path) -> io::Result<Option<OwnedFd>> {
    let socket = new_socket()?;
    let (_folder, address) = match address(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    match connect(&socket, &address) {
        Ok(()) => Ok(is_ours(&socket).then_some(socket)),
        Err(error) => match io::Error::from(error) {
            error if error.kind() == io::ErrorKind::NotFound => Ok(None),
            error if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
            error => Err(error),
        },
    }
}

fn new_socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    Ok(socket_with(family, kind, flags, None)?)
}

/// Whether the other end is of this user.
pub(super) fn is_ours(socket: impl AsFd) -> bool {
    let ours = nix::unistd::Uid::effective().as_raw();
    sockopt::socket_peercred(socket).is_ok_and(|peer| peer.uid.as_raw() == ours)
}

/// Sends a message.
pub(super) fn send(
    socket: impl AsFd,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    if text.len() > LONGEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DOOR_DESCRIPTORS))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // Who does not read what it is told must not stop who tells it.
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(socket, &[IoSlice::new(&text)], &mut beside, flags)?;
    Ok(())
}

/// Waits for a message; none if nothing will come any more, or something that is no message.
pub(super) fn receive<T: DeserializeOwned>(
    socket: impl AsFd,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut text = vec![0; LONGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DOOR_DESCRIPTORS))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut into = [IoSliceMut::new(&mut text)];
        match recvmsg(&socket, &mut into, &mut beside, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
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
    Ok(serde_json::from_slice(text)
        .ok()
        .map(|message| (message, descriptors)))
}
