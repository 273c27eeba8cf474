//! Segments of System V (shmget(2)): memory that belongs to no process, so that no sum over processes has it. Only who is
//! in their namespace can open the list of them, and who has it open can read it from anywhere: process 1 hands it out.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsFd as _, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::net::{packet_pair, receive_descriptor, send_descriptor};
use crate::plan::Plan;

/// The list of an IPC namespace (`sysvipc(7)`): a line of headings, then one for each segment.
const LIST: &str = "/proc/sysvipc/shm";
/// The columns of what is in memory and what was moved out of it, in bytes.
const COUNTED: [&str; 2] = ["rss", "swap"];

/// Both ends, where memory is summed up: the outside's, and process 1's.
pub(super) fn pair(plan: &Plan) -> Result<(Option<OwnedFd>, Option<OwnedFd>), Errno> {
    if plan.watched.memory_bytes.is_none() {
        return Ok((None, None));
    }
    let pair = packet_pair();
    pair.map(|(looks, shows)| (Some(looks), Some(shows)))
}

/// Hands out the list of this process' namespace, while the host's `/proc` is there.
pub(super) fn show(shows: &OwnedFd) -> io::Result<()> {
    match File::open(LIST) {
        Ok(list) => send_descriptor(shows, &list),
        // A kernel without System V IPC.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The segments of a sandbox, seen from outside.
#[derive(Debug)]
pub(super) enum Segments {
    /// There is no list.
    Unknown,
    /// It has not come yet.
    Waiting(OwnedFd),
    /// It is open.
    Open(File),
}

impl Segments {
    pub(super) fn new(looks: Option<OwnedFd>) -> Self {
        looks.map_or(Self::Unknown, Self::Waiting)
    }

    /// How much memory they take now, in bytes.
    pub(super) fn bytes(&mut self) -> u64 {
        if let Self::Waiting(looks) = self {
            let mut ready = [PollFd::new(looks.as_fd(), PollFlags::POLLIN)];
            if poll(&mut ready, PollTimeout::ZERO) != Ok(1) {
                return 0;
            }
            *self = receive_descriptor(looks).map_or(Self::Unknown, |list| Self::Open(list.into()));
        }
        let Self::Open(list) = self else { return 0 };
        let mut text = String::new();
        let read = list.rewind().and_then(|()| list.read_to_string(&mut text));
        read.map_or(0, |_| sum(&text))
    }
}

fn sum(list: &str) -> u64 {
    let mut lines = list.lines();
    let headings = lines.next().unwrap_or_default().split_whitespace();
    let counted: Vec<bool> = headings.map(|name| COUNTED.contains(&name)).collect();
    let of_line = |line: &str| -> u64 {
        let values = line.split_whitespace().zip(&counted);
        let counted = values.filter(|(_, is_counted)| **is_counted);
        counted
            .filter_map(|(value, _)| value.parse::<u64>().ok())
            .sum()
    };
    lines.map(of_line).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_memory_and_what_was_moved_out_counts() {
        let list = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n\
            0          0   600              67108864   412   412      1     0     0     0     0 1700000000          0 1700000000               4096000                  8192\n\
            0          1   600                  4096   412   412      1     0     0     0     0 1700000000          0 1700000000                  4096                     0\n";
        assert_eq!(sum(list), 4_096_000 + 8192 + 4096);
        assert_eq!(sum(""), 0);
    }

    #[test]
    fn a_list_that_never_comes_says_nothing() {
        let (looks, shows) = packet_pair().expect("possible");
        let mut segments = Segments::new(Some(looks));
        assert_eq!(segments.bytes(), 0);
        drop(shows);
        assert_eq!(segments.bytes(), 0);
        assert!(matches!(segments, Segments::Unknown), "{segments:?}");
    }
}
