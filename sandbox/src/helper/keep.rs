//! A sandbox that is kept for programs to come, so that none waits for one to be made.
//!
//! ```text
//! holder      outside, without privilege: has the sandbox's namespaces open and hands them to callers
//! └─ init     process 1: gave up all privilege once the sandbox was made; reaps, tidies when it is told to
//! ```
//!
//! Who is handed a [`Door`] and is its owner may go in ([`fn@super::enter`]). When the last program has ended, the
//! holder has it tidied ([`Held::tidy`]): what programs left running is killed, and a sandbox in which anything else
//! was left is taken down, so that each program finds one as if it were new. It ends with its holder.
//!
//! Sources: setns(2), `pid_namespaces(7)`, `user_namespaces(7)`.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsFd as _, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::init::{Made, Work};
use super::message::{Failure, Message, Speaker, Stage};
use super::{Begun, Watch, begin, program};
use crate::net::{Way, packet_pair};
use crate::plan::Plan;
use crate::sys::close_others;

/// The namespaces of a sandbox by their names in `/proc/self/ns`, in the order in which they are entered: the user
/// namespace gives the right to enter the others (setns(2)).
pub const NAMESPACES: [&str; 7] = ["user", "cgroup", "ipc", "uts", "net", "pid", "mnt"];
/// Lists of what programs may leave in an IPC namespace (`sysvipc(7)`); each has one line of headings.
const LEFT_OVER: [&str; 3] = ["shm", "sem", "msg"];
/// How often, and how long between, processes that were killed are waited for.
const TRIES: u32 = 200;
const PACE: Duration = Duration::from_millis(2);

const TIDY: &[u8] = b"t";
const AS_NEW: &[u8] = b"+";
const SPOILT: &[u8] = b"-";

/// What leads into a sandbox.
#[derive(Debug)]
pub struct Door {
    /// The namespaces, in the order of entering.
    pub namespaces: Vec<OwnedFd>,
    /// The cgroups that programs are put into.
    pub groups: Vec<PathBuf>,
    /// How programs come to the filter of its network.
    pub way: Way,
}

/// How many namespaces a [`Door`] has.
pub const DOOR_DESCRIPTORS: usize = NAMESPACES.len();

/// A sandbox that is kept by this process, and ends when this is dropped.
#[derive(Debug)]
pub struct Held {
    begun: Begun,
    talk: OwnedFd,
    namespaces: Vec<OwnedFd>,
    way: Way,
}

impl Held {
    /// Makes the sandbox of a plan. This process must have one thread.
    ///
    /// # Errors
    /// If it cannot be made as planned. Then nothing is left of it.
    pub fn make(plan: &Plan, watch: &mut dyn Watch) -> Result<Self, Failure> {
        let (ours, its) = packet_pair().map_err(|error| Failure::new(Stage::Namespaces, error))?;
        let mut begun = begin(plan, Work::Keep(its), watch)?;
        let mut said = Vec::new();
        let mut chunk = [0; 4096];
        while !said.contains(&b'\n') {
            match begun.listens.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => said.extend(chunk.iter().take(count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::new(Stage::Namespaces, error)),
            }
        }
        let line = said.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let way = match serde_json::from_slice(line) {
            Ok(Message::Made(way)) => way,
            Ok(Message::Failed(failure)) => return Err(failure),
            _ => return Err(lost()),
        };
        let namespaces = take(&ours).map_err(|error| Failure::new(Stage::Namespaces, error))?;
        if namespaces.len() != DOOR_DESCRIPTORS {
            return Err(lost());
        }
        Ok(Self {
            begun,
            talk: ours,
            namespaces,
            way,
        })
    }

    /// Its process 1.
    pub fn init(&self) -> Pid {
        self.begun.init
    }

    /// Its namespaces, in the order of entering.
    pub fn namespaces(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.namespaces.iter().map(OwnedFd::as_fd)
    }

    /// Its cgroups.
    pub fn groups(&self) -> &[PathBuf] {
        self.begun.group.folders()
    }

    /// How programs come to the filter of its network.
    pub fn way(&self) -> Way {
        self.way
    }

    /// Readable when process 1 is gone.
    pub fn end(&self) -> BorrowedFd<'_> {
        self.talk.as_fd()
    }

    /// Kills what programs left running; whether the sandbox is as it was when it was made.
    pub fn tidy(&self) -> bool {
        let mut answer = [0; 1];
        rustix::io::write(&self.talk, TIDY).is_ok()
            && rustix::io::read(&self.talk, &mut answer) == Ok(1)
            && answer == AS_NEW
    }
}

fn lost() -> Failure {
    let error = io::Error::other("its first process ended without a word");
    Failure::new(Stage::Namespaces, error)
}

fn take(from: &OwnedFd) -> io::Result<Vec<OwnedFd>> {
    let mut space =
        [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DOOR_DESCRIPTORS))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut into = [io::IoSliceMut::new(&mut byte)];
    loop {
        match recvmsg(from, &mut into, &mut beside, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            other => {
                other?;
                break;
            }
        }
    }
    let mut taken = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            taken.extend(rights);
        }
    }
    Ok(taken)
}

/// What process 1 opens before it leaves the host's `/proc`.
pub(super) struct Inside {
    namespaces: Vec<File>,
    lists: Vec<File>,
}

impl Inside {
    /// This process', which has its namespaces.
    pub(super) fn open() -> io::Result<Self> {
        let namespace = |name| {
            // Of pid namespaces, its own is the one that its children are in.
            File::open(format!("/proc/self/ns/{name}"))
        };
        let list = |name| match File::open(format!("/proc/sysvipc/{name}")) {
            // A kernel without System V IPC.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            opened => Some(opened),
        };
        Ok(Self {
            namespaces: NAMESPACES
                .into_iter()
                .map(namespace)
                .collect::<Result<_, _>>()?,
            lists: LEFT_OVER
                .into_iter()
                .filter_map(list)
                .collect::<Result<_, _>>()?,
        })
    }

    fn give(&self, to: &OwnedFd) -> io::Result<()> {
        let descriptors: Vec<_> = self.namespaces.iter().map(File::as_fd).collect();
        let mut space =
            [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DOOR_DESCRIPTORS))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        if !beside.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let text = [io::IoSlice::new(b"!")];
        sendmsg(to, &text, &mut beside, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

/// What process 1 does for the rest of its life.
pub(super) fn live(made: Made, talk: &OwnedFd, speaker: &mut Speaker) -> Result<Message, Failure> {
    let at = |stage| move |error: io::Error| Failure::new(stage, error);
    let Made {
        mut scratch,
        inside,
        way,
    } = made;
    let Some(inside) = inside else {
        return Err(lost());
    };
    inside.give(talk).map_err(at(Stage::Namespaces))?;
    drop(inside.namespaces);
    let mut lists = inside.lists;
    let arrived = children().map_err(|error| Failure::new(Stage::Privileges, error))?;
    // Nobody inside looks into this process: it holds memory of the caller.
    prctl::set_dumpable(false).map_err(|error| Failure::new(Stage::Privileges, error))?;
    program::give_up_capabilities()?;
    let mut kept = vec![
        speaker.number(),
        talk.as_raw_fd(),
        arrived.as_fd().as_raw_fd(),
    ];
    kept.extend(lists.iter().map(AsRawFd::as_raw_fd));
    kept.extend(scratch.descriptors());
    close_others(&kept).map_err(at(Stage::Privileges))?;
    speaker.say(&Message::Made(way));
    let mut order = [0; 1];
    loop {
        let mut ready = [
            PollFd::new(talk.as_fd(), PollFlags::POLLIN),
            PollFd::new(arrived.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut ready, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            polled => polled.map_err(|error| Failure::new(Stage::Program, error))?,
        };
        let [asked, died] = ready.map(|ready| ready.any().unwrap_or(true));
        if died {
            while let Ok(Some(_)) = arrived.read_signal() {}
            reap();
        }
        if asked {
            match rustix::io::read(talk, &mut order) {
                Ok(1) if order == TIDY => {}
                _ => return Ok(Message::Exited(0)),
            }
            let as_new = end_all() && scratch.is_so_still() && lists.iter_mut().all(is_empty);
            let answer = if as_new { AS_NEW } else { SPOILT };
            // A holder that is gone is told nothing.
            rustix::io::write(talk, answer).unwrap_or_default();
        }
    }
}

/// The end of children, as something to read.
fn children() -> Result<SignalFd, Errno> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGCHLD);
    set.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

fn reap() {
    while !matches!(
        waitpid(None, Some(WaitPidFlag::WNOHANG)),
        Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD)
    ) {}
}

/// Ends every process inside but this one; whether none is left.
fn end_all() -> bool {
    let all = Pid::from_raw(-1);
    for attempt in 0..TRIES {
        reap();
        // No process but this one (kill(2)): those that are dead but not reaped count.
        if kill(all, Signal::SIGKILL) == Err(Errno::ESRCH) {
            return true;
        }
        if attempt > 0 {
            thread::sleep(PACE);
        }
    }
    false
}

fn is_empty(list: &mut File) -> bool {
    let mut text = String::new();
    list.rewind().is_ok() && list.read_to_string(&mut text).is_ok() && text.lines().count() <= 1
}
