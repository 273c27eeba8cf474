//! What the inside of a sandbox says to the outside: JSON lines on a pipe, which closes when nobody is
//! left to say anything.

use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};

use crate::net::Way;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Message {
    /// The sandbox could not be made, or its program not begun; nothing ran.
    Failed(Failure),
    /// A sandbox that is kept is made, and programs come to the filter of its network so.
    Made(Way),
    /// The program exited with this status.
    Exited(i32),
    /// The program was ended by this signal.
    Killed(i32),
}

/// How far a sandbox came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Reaching who holds it.
    Holder,
    /// Making namespaces.
    Namespaces,
    /// Putting it into a cgroup.
    Cgroup,
    /// Mapping user and group.
    Identity,
    /// Its own network.
    Network,
    /// What is seen.
    Mounts,
    /// The environment, under private files (overlayfs).
    Overlay,
    /// Its own `/proc`.
    Processes,
    /// The second user namespace, which locks the mounts.
    Lock,
    /// Giving up privileges.
    Privileges,
    /// Limits of processes.
    Limits,
    /// The filter of system calls.
    Filter,
    /// Beginning the program.
    Program,
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Holder => "reaching its holder",
            Self::Namespaces => "making its namespaces",
            Self::Cgroup => "making its cgroup",
            Self::Identity => "mapping its user",
            Self::Network => "making its network",
            Self::Mounts => "mounting what it sees",
            Self::Overlay => "covering its environment by an overlayfs",
            Self::Processes => "mounting its /proc",
            Self::Lock => "locking its mounts",
            Self::Privileges => "giving up privileges",
            Self::Limits => "setting its limits",
            Self::Filter => "filtering its system calls",
            Self::Program => "starting the program",
        })
    }
}

/// Why there is no sandbox, or no program in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{stage} failed: {reason}")]
pub struct Failure {
    /// How far it came.
    pub stage: Stage,
    /// What the system said.
    pub reason: String,
    /// As a number (errno(3)), if it was the system.
    pub errno: Option<i32>,
}

impl Failure {
    /// At this stage, for this reason.
    pub fn new(stage: Stage, error: impl Into<io::Error>) -> Self {
        let error = error.into();
        Self {
            stage,
            errno: error.raw_os_error(),
            reason: error.to_string(),
        }
    }

    /// Whether it is the machine that has no sandboxes for us, so that this fails for every program. What a program could have
    /// brought about, by what it wrote where it may or by what it used up, is none of that: else it could take its sandbox
    /// away from the next.
    pub fn is_of_the_machine(&self) -> bool {
        const USED_UP: [Errno; 5] = [
            Errno::EAGAIN,
            Errno::EINTR,
            Errno::EMFILE,
            Errno::ENFILE,
            Errno::ENOMEM,
        ];
        let is_used_up = |number: i32| USED_UP.contains(&Errno::from_raw(number));
        matches!(
            self.stage,
            Stage::Namespaces | Stage::Identity | Stage::Overlay | Stage::Processes | Stage::Lock
        ) && !self.errno.is_some_and(is_used_up)
    }

    /// Whether what was to be opened is not there, or not for us.
    pub(crate) fn is_absence(&self) -> bool {
        let absent = [Errno::ENOENT, Errno::EACCES];
        self.errno
            .is_some_and(|number| absent.contains(&Errno::from_raw(number)))
    }

    /// The same for a path.
    pub(crate) fn at(stage: Stage, path: &std::path::Path, error: impl Into<io::Error>) -> Self {
        let mut failure = Self::new(stage, error);
        failure.reason = format!("{}: {}", path.display(), failure.reason);
        failure
    }
}

/// The inside's end.
#[derive(Debug)]
pub(crate) struct Speaker(File);

impl Speaker {
    pub(crate) fn new(pipe: OwnedFd) -> Self {
        Self(pipe.into())
    }

    /// Says it, if anybody still listens.
    pub(crate) fn say(&mut self, message: &Message) {
        if let Ok(mut line) = serde_json::to_vec(message) {
            line.push(b'\n');
            // One write shorter than PIPE_BUF: lines of two processes never mix.
            self.0.write_all(&line).unwrap_or_default();
        }
    }

    /// Whether anybody still listens.
    pub(crate) fn is_heard(&self) -> bool {
        use std::os::fd::AsFd as _;
        // A pipe that nobody reads has an error (poll(2)).
        let mut ends = [PollFd::new(self.0.as_fd(), PollFlags::empty())];
        poll(&mut ends, PollTimeout::ZERO) == Ok(0)
    }

    pub(crate) fn number(&self) -> i32 {
        use std::os::fd::AsRawFd as _;
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_a_program_could_have_done_is_not_the_machines() {
        let of = |stage, errno: Errno| Failure::new(stage, errno).is_of_the_machine();
        for stage in [
            Stage::Namespaces,
            Stage::Identity,
            Stage::Overlay,
            Stage::Processes,
            Stage::Lock,
        ] {
            assert!(of(stage, Errno::EPERM), "{stage}");
            assert!(of(stage, Errno::ENOSPC), "{stage}");
            for used_up in [Errno::EAGAIN, Errno::ENOMEM, Errno::EMFILE] {
                assert!(!of(stage, used_up), "{stage}");
            }
        }
        // A place of the project that was there a moment ago.
        let gone = Failure::at(Stage::Mounts, Path::new("/p/.git"), Errno::ENOENT);
        assert!(!gone.is_of_the_machine());
        for stage in [Stage::Holder, Stage::Network, Stage::Filter, Stage::Limits] {
            assert!(!of(stage, Errno::EPERM), "{stage}");
        }
    }
}
