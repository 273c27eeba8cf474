//! Carrying a plan out: the part outside.
//!
//! ```text
//! caller      stays outside, passes signals on, gets the program's end; takes the cgroup down
//! └─ init     process 1 of the sandbox: makes its namespaces, mounts and network (first user namespace),
//!    │        starts the program, then has no privilege, reaps, and ends when the program does
//!    └─ program   in a second user namespace, for which all mounts are locked: no root inside can
//!                 take one away; without capabilities, with the filter of system calls
//! ```
//!
//! When init ends, in whatever way, the kernel ends every process inside. Init ends when the caller
//! does. So nothing outlives its sandbox, and all that a sandbox is made of goes with it, but the
//! directory of its cgroup if the caller is killed (see [`crate::cgroups`]).
//!
//! Where programs follow one another, the sandbox is kept ([`keep`]) and entered ([`fn@enter`]).

mod enter;
mod identity;
mod init;
mod keep;
mod message;
mod mounts;
mod network;
mod observed;
mod program;
mod segments;
mod standard;
mod sums;
mod untouched;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, Signal, kill, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, pipe2};

pub use enter::enter;
pub use identity::unmapped;
use init::Work;
pub use keep::{DOOR_DESCRIPTORS, Door, Held, NAMESPACES};
pub use message::{Failure, Stage};
use message::{Message, Speaker};
use observed::Window;
use segments::Segments;
use sums::Sums;
pub use sums::{Excess, Used};

use crate::cgroups::Group;
use crate::net::packet_pair;
use crate::observe::Attempt;
use crate::plan::{Network, Plan};
use crate::sys::{Fork, OneThread, fork_into};

/// A program and its arguments. Without a slash it is looked for on the `PATH` of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The program.
    pub name: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With this status.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

/// What happens round a program in its sandbox.
pub trait Watch {
    /// Called with the number of process 1 before anything runs in its namespaces, and with its cgroups.
    fn begun(&mut self, init: Pid, groups: &[PathBuf]) {
        let (_, _) = (init, groups);
    }

    /// The network shall be filtered: starts a filter with what comes through `channel`
    /// ([`crate::net::Sockets::receive`]), which says there whether it runs ([`crate::net::answer`]).
    ///
    /// # Errors
    /// If there is no filter. Then nothing runs.
    fn filter(&mut self, channel: OwnedFd) -> io::Result<()> {
        drop(channel);
        Err(io::Error::other("nothing filters the network"))
    }

    /// A descriptor whose end, or whose first byte, is the end of the sandbox.
    fn until(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// A limit that is kept by looking at it was passed, so a process inside is ended, or all are.
    fn exceeded(&mut self, excess: Excess) {
        let _ = excess;
    }

    /// The program reached for something that it does not get. Told once for each thing.
    fn denied(&mut self, attempt: &Attempt) {
        let _ = attempt;
    }

    /// The sandbox that was entered has something to say on the lease; whether it may say more.
    fn told(&mut self) -> bool {
        false
    }
}

/// Somebody who wants to know nothing.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

impl Watch for Nobody {}

/// Signals that are passed on. Those that a fault of ours would raise are not among them.
const PASSED: &[Signal] = &[
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGWINCH,
    Signal::SIGCONT,
    Signal::SIGTSTP,
];

/// Runs a program to its end in the sandbox of a plan, which is made for it. Standard input, output and error are the
/// caller's; no other descriptor is. This process must have one thread, and is left with its signals
/// as they were.
///
/// # Errors
/// If the sandbox cannot be made as planned or the program cannot be started. Then nothing ran.
pub fn run(plan: &Plan, program: &Program, watch: &mut dyn Watch) -> Result<End, Failure> {
    // From here on no signal is lost: they wait until somebody can pass them on.
    let signals = Signals::hold().map_err(|error| Failure::new(Stage::Namespaces, error))?;
    let (looks, shows) =
        observed::pair(plan).map_err(|error| Failure::new(Stage::Filter, error))?;
    let (listed, lists) =
        segments::pair(plan).map_err(|error| Failure::new(Stage::Limits, error))?;
    let work = Work::Program {
        program,
        shows,
        lists,
        signals: signals.before,
    };
    let begun = begin(plan, work, watch)?;
    let Begun {
        init,
        mut gone,
        group,
        listens,
    } = begun;
    let mut window = Window::new(plan, looks);
    let outside = Outside {
        init,
        lease: None,
        signals: &signals,
        sums: Sums::new(init, plan.watched, Segments::new(listed)),
    };
    let outcome = outside.listen(listens, &mut window, watch);
    window.close(watch);
    gone.reap();
    drop(group);
    outcome
}

/// A sandbox whose process 1 was started. Dropped, it ends, and then its cgroups go.
#[derive(Debug)]
struct Begun {
    init: Pid,
    gone: Reaper,
    group: Group,
    listens: File,
}

/// Starts process 1 of a sandbox.
fn begin(plan: &Plan, work: Work<'_>, watch: &mut dyn Watch) -> Result<Begun, Failure> {
    let failed = |stage| move |error: Errno| Failure::new(stage, error);
    let thread = OneThread::check().map_err(|error| Failure::new(Stage::Namespaces, error))?;
    let group = Group::make(&plan.cgroups, &plan.group)
        .map_err(|error| Failure::new(Stage::Cgroup, error))?;
    let (listens, speaks) = pipe2(OFlag::O_CLOEXEC).map_err(failed(Stage::Namespaces))?;
    let (waits, goes) = pipe2(OFlag::O_CLOEXEC).map_err(failed(Stage::Namespaces))?;
    let mut namespaces = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    match plan.network {
        Network::Nothing | Network::Filtered(_) => namespaces |= CloneFlags::CLONE_NEWNET,
        Network::Host => {}
    }
    let (ours, its) = match plan.network {
        Network::Filtered(_) => {
            let pair = packet_pair();
            pair.map(|(ours, its)| (Some(ours), Some(its)))
                .map_err(failed(Stage::Network))?
        }
        Network::Nothing | Network::Host => (None, None),
    };
    let owned = identity::mapped(plan, thread)
        .map_err(|error| Failure::new(Stage::Identity, error))?
        .trees;
    let init = match fork_into(thread, namespaces) {
        Ok(Fork::Child) => {
            drop((ours, goes));
            let begins = init::Begins {
                waits,
                channel: its,
                owned,
            };
            init::live(plan, work, Speaker::new(speaks), begins, thread)
        }
        Ok(Fork::Parent(init)) => init,
        Err(error) => return Err(Failure::new(Stage::Namespaces, error)),
    };
    drop((speaks, waits, its, work, owned));
    let gone = Reaper::of(init);
    identity::name_both(plan, init).map_err(|error| Failure::new(Stage::Identity, error))?;
    group
        .add(init)
        .map_err(|error| Failure::new(Stage::Cgroup, error))?;
    if let Some(channel) = ours {
        watch
            .filter(channel)
            .map_err(|error| Failure::new(Stage::Network, error))?;
    }
    watch.begun(init, group.folders());
    // If it is gone already, it says why.
    File::from(goes).write_all(b"!").unwrap_or_default();
    Ok(Begun {
        init,
        gone,
        group,
        listens: listens.into(),
    })
}

/// Who waits for the end of a program.
struct Outside<'a> {
    /// Whose end is the program's.
    init: Pid,
    /// Of the sandbox that was entered.
    lease: Option<BorrowedFd<'a>>,
    signals: &'a Signals,
    /// What is limited by looking at it.
    sums: Option<Sums>,
}

impl Outside<'_> {
    /// Waits, passing signals on meanwhile.
    fn listen(
        mut self,
        mut pipe: File,
        window: &mut Window<'_>,
        watch: &mut dyn Watch,
    ) -> Result<End, Failure> {
        let mut heard = Vec::new();
        let mut chunk = [0; 4096];
        let mut ending = false;
        loop {
            if let Some(excess) = self.sums.as_mut().and_then(Sums::look) {
                watch.exceeded(excess);
                if excess.victim.is_none() {
                    self.sums = None;
                }
                kill(excess.victim.unwrap_or(self.init), Signal::SIGKILL).unwrap_or_default();
            }
            let until = watch.until().filter(|_| !ending);
            let arrived = self.signals.arrived.as_fd();
            // Where there is none, one that is polled already, for nothing.
            let [until, shown, lease] = [until, window.as_fd(), self.lease].map(|other| {
                other.map_or_else(
                    || PollFd::new(arrived, PollFlags::empty()),
                    |other| PollFd::new(other, PollFlags::POLLIN),
                )
            });
            let mut ready = [
                PollFd::new(pipe.as_fd(), PollFlags::POLLIN),
                PollFd::new(arrived, PollFlags::POLLIN),
                until,
                shown,
                lease,
            ];
            let pause = match &self.sums {
                Some(_) => PollTimeout::try_from(sums::PAUSE).unwrap_or(PollTimeout::NONE),
                None => PollTimeout::NONE,
            };
            match poll(&mut ready, pause) {
                Err(Errno::EINTR) => continue,
                polled => polled.map_err(|error| Failure::new(Stage::Program, error))?,
            };
            let looks = ready[3].revents().unwrap_or(PollFlags::POLLHUP);
            let [said, signalled, ended, shown, told] =
                ready.map(|ready| ready.any().unwrap_or(true));
            if looks.contains(PollFlags::POLLIN) {
                window.look(watch);
            } else if shown {
                // Whoever was observed is gone; another look would wait for ever.
                std::mem::replace(window, Window::Closed).close(watch);
            }
            if ended {
                ending = true;
                kill(self.init, Signal::SIGKILL).unwrap_or_default();
            }
            if told && !watch.told() {
                self.lease = None;
            }
            if signalled {
                self.signals.pass_on(self.init);
            }
            if said {
                match pipe.read(&mut chunk) {
                    Ok(0) => break,
                    Ok(count) => heard.extend(chunk.iter().take(count)),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(Failure::new(Stage::Program, error)),
                }
            }
        }
        let mut end = None;
        for line in heard.split(|byte| *byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(Message::Failed(failure)) => return Err(failure),
                Ok(Message::Exited(status)) => end = Some(End::Exited(status)),
                Ok(Message::Killed(signal)) => end = Some(End::Killed(signal)),
                Ok(Message::Made(_)) | Err(_) => {}
            }
        }
        // Process 1 is killed by who kills all (the kernel, short of memory): so was the program.
        Ok(end.unwrap_or(End::Killed(Signal::SIGKILL as i32)))
    }
}

/// Reaps init, and kills it first if this is dropped before its time.
#[derive(Debug)]
struct Reaper(Option<Pid>);

impl Reaper {
    fn of(init: Pid) -> Self {
        Self(Some(init))
    }

    fn reap(&mut self) {
        if let Some(init) = self.0.take() {
            while waitpid(init, None::<WaitPidFlag>) == Err(Errno::EINTR) {}
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        if let Some(init) = self.0 {
            kill(init, Signal::SIGKILL).unwrap_or_default();
            self.reap();
        }
    }
}

/// Signals, held back and read as they come; let go when this is dropped.
struct Signals {
    before: SigSet,
    arrived: SignalFd,
}

impl Signals {
    fn hold() -> Result<Self, Errno> {
        let set: SigSet = PASSED.iter().copied().collect();
        let before = set.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK)?;
        let arrived = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { before, arrived })
    }

    fn pass_on(&self, init: Pid) {
        while let Ok(Some(info)) = self.arrived.read_signal() {
            let number = i32::try_from(info.ssi_signo).unwrap_or_default();
            let Ok(signal) = Signal::try_from(number) else {
                continue;
            };
            kill(init, signal).unwrap_or_default();
            if signal == Signal::SIGTSTP {
                // The program stops; so do we, so that a shell sees it.
                raise(Signal::SIGSTOP).unwrap_or_default();
            }
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.before.thread_set_mask().unwrap_or_default();
    }
}
