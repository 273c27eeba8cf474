//! What is said to the holder of a sandbox, and by it: packets ([`crate::ipc::packets`]).
//!
//! Both ends are of one build: the name of a sandbox has the executable in it ([`super::name`]).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use blast_sandbox::net::Way;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ipc::packets::{self, Packet, Patience};
pub(super) use crate::ipc::packets::{listen_at, peer};

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
        /// How programs come to the filter of its network.
        way: Way,
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

/// Connects to who listens at this path, who must be of this user; `None` where nobody does.
pub(super) fn connect_to(path: &Path) -> io::Result<Option<OwnedFd>> {
    Ok(packets::connect_to(path)?.filter(|socket| peer(socket).is_some()))
}

/// Sends a message. Who does not read what it is told does not stop who tells it.
pub(super) fn send(
    socket: impl AsFd,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    packets::send(socket, message, descriptors, Patience::Refuse)
}

/// Waits for a message; none if nothing will come any more, or something that is no message.
pub(super) fn receive<T: DeserializeOwned>(
    socket: impl AsFd,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    Ok(match packets::receive(socket)? {
        Packet::Message(message, descriptors) => Some((message, descriptors)),
        Packet::Nonsense | Packet::End => None,
    })
}
