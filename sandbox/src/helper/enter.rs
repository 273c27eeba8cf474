//! Putting one program into a sandbox that is kept.
//!
//! ```text
//! caller     stays outside, passes signals on, gets the program's end
//! └─ usher   enters the sandbox's namespaces, starts the program, then has no privilege, and ends with it
//!    └─ program   in a user namespace of its own, for which all mounts are locked
//! ```
//!
//! The usher is not seen inside: its own process number is of the host's. It ends with the caller, and the
//! program with it. The lease is open for as long as one of the three may still do something, so that whoever
//! sees it close knows that nobody comes in any more.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid, pipe2, setpgid};

use super::init::{Launch, end, wait};
use super::keep::Door;
use super::message::{Failure, Message, Speaker, Stage};
use super::observed::{self, Window};
use super::{End, Outside, Program, Reaper, Signals, Watch, identity};
use crate::plan::Plan;
use crate::sys::{Fork, OneThread, close_others, fork_into};

/// Runs a program to its end in the sandbox that this door leads into, which was made by the same plan. Standard
/// input, output and error are the caller's; no other descriptor is. This process must have one thread, and is left
/// with its signals as they were.
///
/// # Errors
/// If the sandbox cannot be entered or the program cannot be started. Then nothing ran.
pub fn enter(
    plan: &Plan,
    program: &Program,
    door: &Door,
    lease: BorrowedFd<'_>,
    watch: &mut dyn Watch,
) -> Result<End, Failure> {
    let failed = |stage| move |error: Errno| Failure::new(stage, error);
    let thread = OneThread::check().map_err(|error| Failure::new(Stage::Namespaces, error))?;
    let (listens, speaks) = pipe2(OFlag::O_CLOEXEC).map_err(failed(Stage::Namespaces))?;
    let signals = Signals::hold().map_err(failed(Stage::Namespaces))?;
    let caller = Pid::this();
    let (looks, shows) = observed::pair(plan).map_err(failed(Stage::Filter))?;
    let usher = match fork_into(thread, CloneFlags::empty()) {
        Ok(Fork::Child) => {
            drop(looks);
            let mut speaker = Speaker::new(speaks);
            let kept = [lease.as_raw_fd()];
            let outcome = go_in(plan, caller, door, lease, shows.as_ref(), &speaker)
                .and_then(|groups| {
                    let launch = Launch {
                        plan,
                        program,
                        way: door.way,
                        shows,
                        groups,
                        kept: &kept,
                        signals: signals.before,
                    };
                    launch.start(&mut speaker, thread)
                })
                .and_then(|child| wait(child).map_err(failed(Stage::Program)));
            speaker.say(&outcome.unwrap_or_else(Message::Failed));
            end(0)
        }
        Ok(Fork::Parent(usher)) => usher,
        Err(error) => return Err(Failure::new(Stage::Namespaces, error)),
    };
    drop(shows);
    drop(speaks);
    let mut gone = Reaper::of(usher);
    let mut window = Window::new(plan, looks);
    let outside = Outside {
        init: usher,
        lease: Some(lease),
        signals: &signals,
        sums: None,
    };
    let outcome = outside.listen(File::from(listens), &mut window, watch);
    window.close(watch);
    gone.reap();
    outcome
}

/// Enters; what is left open beside the standard descriptors is the speaker's, the lease, where the program shows itself, and the groups'.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the sandbox's helper, which has one thread"
)]
fn go_in(
    plan: &Plan,
    caller: Pid,
    door: &Door,
    lease: BorrowedFd<'_>,
    shows: Option<&OwnedFd>,
    speaker: &Speaker,
) -> Result<Vec<File>, Failure> {
    let at = |stage| move |error: Errno| Failure::new(stage, error);
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(at(Stage::Namespaces))?;
    if getppid() != caller {
        return Err(Failure::new(Stage::Namespaces, Errno::ESRCH));
    }
    // What a terminal sends comes by the caller, once.
    setpgid(Pid::from_raw(0), Pid::from_raw(0)).map_err(at(Stage::Namespaces))?;
    let mut kept = vec![speaker.number(), lease.as_raw_fd()];
    kept.extend(door.namespaces.iter().chain(shows).map(AsRawFd::as_raw_fd));
    close_others(&kept).map_err(|error| Failure::new(Stage::Privileges, error))?;
    let mut groups = Vec::new();
    for folder in &door.groups {
        let path = folder.join("cgroup.procs");
        let opened = OpenOptions::new().write(true).open(&path);
        groups.push(opened.map_err(|error| Failure::at(Stage::Cgroup, &path, error))?);
    }
    for namespace in &door.namespaces {
        nix::sched::setns(namespace, CloneFlags::empty()).map_err(at(Stage::Namespaces))?;
    }
    identity::become_user(plan, || getppid() == caller)?;
    Ok(groups)
}
