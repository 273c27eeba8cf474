//! What the daemon and the holder say to each other: packets ([`crate::ipc::packets`]).
//!
//! A daemon and a holder of different builds meet whenever blast is upgraded under a mounted view, so this
//! format does not change: a message that is not known is ignored, a field that is missing has a default.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use serde::{Deserialize, Serialize};

use crate::ipc::packets::{self, Patience};
pub(super) use crate::ipc::packets::{connect_to, listen_at, peer, receive};

/// Descriptors of one mount: its connection, and the directory that it covers.
pub(super) const DESCRIPTORS: usize = 2;

/// See [`packets::Packet`].
pub(super) type Packet = packets::Packet<Message>;

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

/// Sends a message.
pub(super) fn send(
    socket: impl AsFd,
    message: &Message,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    packets::send(socket, message, descriptors, Patience::Wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_build_says_is_a_message() {
        let said = serde_json::from_str::<Message>(r#"{"say":"dance","tempo":3}"#);
        assert_eq!(said.expect("a message"), Message::Unknown);
        let kept = r#"{"say":"keep","name":"home","record":{"path":"/live"}}"#;
        let message = Message::Keep {
            name: "home".into(),
            record: serde_json::json!({"path": "/live"}),
        };
        assert_eq!(
            serde_json::from_str::<Message>(kept).expect("a message"),
            message
        );
    }
}
