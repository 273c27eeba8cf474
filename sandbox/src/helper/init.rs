//! Process 1 of a sandbox: makes it, starts the program if it is for one alone, and then only reaps.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, pipe2, sethostname, setpgid};

use super::message::{Failure, Message, Speaker, Stage};
use super::untouched::Untouched;
use super::{PASSED, Program, identity, keep, mounts, network, program, segments};
use crate::net::{Way, lead_out};
use crate::plan::{Ids, Network, Plan};
use crate::sys::{Fork, OneThread, close_others, fork_into};

/// The name of every host that a sandbox is.
const HOST_NAME: &str = "sandbox";

/// What a sandbox is made for.
pub(super) enum Work<'a> {
    /// One program, with which it ends.
    Program {
        /// What it is.
        program: &'a Program,
        /// Where it shows what is observed.
        shows: Option<OwnedFd>,
        /// Where process 1 shows which segments of memory there are.
        lists: Option<OwnedFd>,
        /// Its mask of signals.
        signals: SigSet,
    },
    /// Programs that will be put into it, as who is at the other end of this says.
    Keep(OwnedFd),
}

/// What it begins with.
pub(super) struct Begins {
    /// A byte comes here when it may begin.
    pub(super) waits: OwnedFd,
    /// To the filter of its network.
    pub(super) channel: Option<OwnedFd>,
    /// Places of the host that are shown as the program's own.
    pub(super) owned: BTreeMap<PathBuf, OwnedFd>,
}

/// All of it. Never comes back.
pub(super) fn live(
    plan: &Plan,
    work: Work<'_>,
    mut speaker: Speaker,
    begins: Begins,
    thread: OneThread,
) -> ! {
    let outcome = match work {
        Work::Program {
            program,
            shows,
            lists,
            signals,
        } => {
            make(plan, &mut speaker, begins, None, (shows.as_ref(), lists))
                // Nothing else of it is needed, and starting closes what it holds.
                .map(|made| made.way)
                .and_then(|way| {
                    let launch = Launch {
                        plan,
                        program,
                        way,
                        shows,
                        groups: Vec::new(),
                        kept: &[],
                        signals,
                    };
                    launch.start(&mut speaker, thread)
                })
                .and_then(|program| {
                    wait(program).map_err(|error| Failure::new(Stage::Program, error))
                })
        }
        Work::Keep(talk) => make(plan, &mut speaker, begins, Some(&talk), (None, None))
            .and_then(|made| keep::live(made, &talk, &mut speaker)),
    };
    speaker.say(&match outcome {
        Ok(end) => end,
        Err(failure) => Message::Failed(failure),
    });
    end(0)
}

/// Ends this process without a word of what its parent had in mind.
#[expect(
    clippy::disallowed_methods,
    reason = "a copy of its parent ends here: what that has on its stack is not its own to undo"
)]
#[expect(clippy::exit, reason = "the same")]
pub(super) fn end(status: i32) -> ! {
    std::process::exit(status)
}

/// What was made.
pub(super) struct Made {
    /// What is written into it, as it is before anything was.
    pub(super) scratch: Untouched,
    /// Where it is entered; opened only if it is kept.
    pub(super) inside: Option<keep::Inside>,
    /// How programs come to the filter of the network.
    pub(super) way: Way,
}

/// Namespaces, mounts and network, as this process' user namespace allows.
fn make(
    plan: &Plan,
    speaker: &mut Speaker,
    begins: Begins,
    talk: Option<&OwnedFd>,
    (shows, lists): (Option<&OwnedFd>, Option<OwnedFd>),
) -> Result<Made, Failure> {
    let at = |stage| move |error: Errno| Failure::new(stage, error);
    let Begins {
        waits,
        channel,
        owned,
    } = begins;
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(at(Stage::Namespaces))?;
    // The end of the pipe means that the caller is gone, perhaps before the line above.
    let mut go = File::from(waits);
    go.read_exact(&mut [0])
        .map_err(|error| Failure::new(Stage::Namespaces, error))?;
    drop(go);
    // What a terminal sends comes by the caller, once.
    setpgid(Pid::from_raw(0), Pid::from_raw(0)).map_err(at(Stage::Namespaces))?;
    let mut kept = vec![speaker.number()];
    kept.extend(
        channel
            .iter()
            .chain(talk)
            .chain(shows)
            .chain(&lists)
            .chain(owned.values())
            .map(AsRawFd::as_raw_fd),
    );
    close_others(&kept).map_err(|error| Failure::new(Stage::Privileges, error))?;
    if plan.maker.is_none() {
        be_oneself(plan.ids)?;
    }
    enter_cgroup_namespace().map_err(at(Stage::Cgroup))?;
    if let Some(highest) = plan.highest_process {
        // That of this process' pid namespace, by the host's `/proc` too.
        let path = Path::new("/proc/sys/kernel/pid_max");
        fs::write(path, highest.to_string())
            .map_err(|error| Failure::at(Stage::Limits, path, error))?;
    }
    leave_watches().map_err(|error| Failure::new(Stage::Limits, error))?;
    sethostname(HOST_NAME).map_err(at(Stage::Namespaces))?;
    let way = match (&plan.network, channel) {
        (Network::Nothing, _) => network::raise_loopback().map(|()| Way::Led),
        (Network::Filtered(setup), Some(channel)) => lead_out(setup, channel),
        (Network::Filtered(_), None) => Err(io::Error::other("nothing filters the network")),
        (Network::Host, _) => Ok(Way::Led),
    }
    .map_err(|error| Failure::new(Stage::Network, error))?;
    if let Some(lists) = lists {
        segments::show(&lists).map_err(|error| Failure::new(Stage::Limits, error))?;
    }
    let inside = talk
        .map(|_| keep::Inside::open())
        .transpose()
        .map_err(|error| Failure::new(Stage::Namespaces, error))?;
    let scratch = mounts::carry_out(plan, &owned)?;
    drop(owned);
    identity::become_user(plan, || speaker.is_heard())?;
    Ok(Made {
        scratch,
        inside,
        way,
    })
}

/// Leaves half of what a user may watch (inotify(7)) to programs outside: the number is the user's, wherever they are.
fn leave_watches() -> io::Result<()> {
    for (all, here) in [
        ("max_user_instances", "max_inotify_instances"),
        ("max_user_watches", "max_inotify_watches"),
    ] {
        let most = match fs::read_to_string(Path::new("/proc/sys/fs/inotify").join(all)) {
            Ok(most) => most.trim().parse::<u64>().unwrap_or(u64::MAX),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        // Of this process' user namespace (namespaces(7)), and so of all below it.
        let half = (most / 2).clamp(1, i32::MAX.unsigned_abs().into());
        fs::write(Path::new("/proc/sys/user").join(here), half.to_string())?;
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the sandbox's helper, which has one thread"
)]
fn enter_cgroup_namespace() -> Result<(), Errno> {
    nix::sched::unshare(CloneFlags::CLONE_NEWCGROUP)
}

/// Maps user and group, which are this process', to themselves in the user namespace that it began.
pub(super) fn be_oneself(ids: Ids) -> Result<(), Failure> {
    let write = |file: &str, text: String| {
        let path = Path::new("/proc/self").join(file);
        fs::write(&path, text).map_err(|error| Failure::at(Stage::Identity, &path, error))
    };
    // Without this no user may map a group (user_namespaces(7)).
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("{0} {0} 1", ids.uid))?;
    write("gid_map", format!("{0} {0} 1", ids.gid))
}

/// A program that is about to be started.
pub(super) struct Launch<'a> {
    /// Its sandbox.
    pub(super) plan: &'a Plan,
    /// What it is.
    pub(super) program: &'a Program,
    /// How it comes to the filter of its network.
    pub(super) way: Way,
    /// Where it shows what is observed.
    pub(super) shows: Option<OwnedFd>,
    /// Where it is put: each a `cgroup.procs`.
    pub(super) groups: Vec<File>,
    /// Descriptors that who starts it keeps, beside the speaker's.
    pub(super) kept: &'a [i32],
    /// Its mask of signals.
    pub(super) signals: SigSet,
}

impl Launch<'_> {
    /// Starts the program, and gives up all that only starting it needed.
    pub(super) fn start(self, speaker: &mut Speaker, thread: OneThread) -> Result<Pid, Failure> {
        let Self {
            plan,
            program,
            way,
            shows,
            groups,
            kept,
            signals,
        } = self;
        let (armed, arming) =
            pipe2(OFlag::O_CLOEXEC).map_err(|error| Failure::new(Stage::Lock, error))?;
        let namespaces = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS;
        match fork_into(thread, namespaces) {
            Err(error) => Err(Failure::new(Stage::Lock, error)),
            Ok(Fork::Child) => {
                drop((arming, groups));
                program::become_it(plan, (program, way), speaker, armed, shows, signals)
            }
            Ok(Fork::Parent(child)) => {
                drop((armed, shows));
                for mut group in groups {
                    write!(group, "{child}").map_err(|error| Failure::new(Stage::Cgroup, error))?;
                }
                // Nobody inside looks into this process: it holds memory of the caller.
                prctl::set_dumpable(false)
                    .map_err(|error| Failure::new(Stage::Privileges, error))?;
                program::give_up_capabilities()?;
                let mut kept = kept.to_vec();
                kept.extend([speaker.number(), arming.as_raw_fd()]);
                close_others(&kept).map_err(|error| Failure::new(Stage::Privileges, error))?;
                // One that is gone already has said why.
                File::from(arming).write_all(b"!").unwrap_or_default();
                Ok(child)
            }
        }
    }
}

/// Reaps, and passes signals on, until the program is gone.
pub(super) fn wait(program: Pid) -> Result<Message, Errno> {
    let mut set: SigSet = PASSED.iter().copied().collect();
    set.add(Signal::SIGCHLD);
    set.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let arrived = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC)?;
    loop {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(child, status)) if child == program => {
                    return Ok(Message::Exited(status));
                }
                Ok(WaitStatus::Signaled(child, signal, _)) if child == program => {
                    return Ok(Message::Killed(signal as i32));
                }
                Ok(WaitStatus::StillAlive) => break,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
        let Some(info) = arrived.read_signal()? else {
            continue;
        };
        let number = i32::try_from(info.ssi_signo).unwrap_or_default();
        match Signal::try_from(number) {
            Ok(Signal::SIGCHLD) | Err(_) => {}
            // What a terminal sends goes to all that the program started, as it does outside.
            Ok(Signal::SIGTSTP) => killpg(program, Signal::SIGSTOP).unwrap_or_default(),
            Ok(
                signal @ (Signal::SIGINT
                | Signal::SIGQUIT
                | Signal::SIGHUP
                | Signal::SIGCONT
                | Signal::SIGWINCH),
            ) => killpg(program, signal).unwrap_or_default(),
            Ok(signal) => kill(program, signal).unwrap_or_default(),
        }
    }
}
