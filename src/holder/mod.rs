//! The holder: a process without logic that keeps mounts alive while no daemon serves them.
//!
//! The kernel keeps a FUSE mount for as long as anybody has the descriptor of its connection, and
//! requests wait meanwhile. The holder has it, together with a record that only daemons understand, and
//! does three things: it gives all it holds to the daemon that says hello; when that daemon dies, it
//! starts another at once ([`revival`]), since a program that waits for the view runs no command of ours;
//! and it ends when there is nothing to hold and no daemon. It has one thread, opens no store,
//! reads no setting and never touches the view.
//!
//! It is started by the first daemon that has a mount ([`link`], the daemon's half of the conversation, [`wire`]),
//! outlives it, and is of that daemon's build until it ends.

mod link;
mod revival;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SocketFlags, accept_with};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

pub(crate) use self::link::Link;
use self::revival::Revival;
use self::wire::{Message, Packet, peer, receive, send};
use crate::error::Error;
use crate::ipc::instance::{Instance, InstanceError};
use crate::ipc::paths::Places;

/// How long a holder waits for its first daemon.
const FIRST_HELLO: Duration = Duration::from_secs(20);
/// How long a holder that was told to end may take.
const END_LIMIT: Duration = Duration::from_secs(5);
/// How long a daemon may live on without its connection.
const DYING_LIMIT: Duration = Duration::from_secs(1);

/// One mount that is held.
#[derive(Debug)]
struct Held {
    record: serde_json::Value,
    descriptors: Vec<OwnedFd>,
}

#[derive(Debug)]
struct Holder {
    listener: OwnedFd,
    held: BTreeMap<String, Held>,
    /// The connection of the daemon that said hello.
    daemon: Option<OwnedFd>,
    /// Connections that have not said what they are.
    guests: Vec<OwnedFd>,
    /// How a daemon is started; known from the first hello on.
    command: Vec<String>,
    leaving: bool,
    /// The daemon that was started last, and a descriptor that tells of its end.
    child: Option<(Child, OwnedFd)>,
    revival: Revival,
    told_to_end: bool,
}

/// Holds until there is nothing to hold. Returns at once where another holder of this user is alive.
pub(crate) fn run(places: &Places) -> Result<(), InstanceError> {
    let Some(instance) = Instance::claim(places.holder_lock(), places.holder_socket(), None)?
    else {
        return Ok(());
    };
    let path = places.holder_socket();
    let listener = wire::listen_at(&path).map_err(|source| InstanceError { path, source })?;
    let mut holder = Holder {
        listener,
        held: BTreeMap::new(),
        daemon: None,
        guests: Vec::new(),
        command: Vec::new(),
        leaving: false,
        child: None,
        revival: Revival::default(),
        told_to_end: false,
    };
    let first = Instant::now() + FIRST_HELLO;
    while holder.is_needed(first) {
        holder.wait(first);
        holder.start_daemon_if_due();
    }
    holder.end_unborn();
    // Who waits for us to hang up finds no file any more.
    drop(instance);
    drop(holder);
    Ok(())
}

impl Holder {
    fn is_needed(&self, first: Instant) -> bool {
        if self.told_to_end || (self.revival.is_hopeless() && self.daemon.is_none()) {
            return false;
        }
        if self.command.is_empty() {
            return Instant::now() < first;
        }
        self.daemon.is_some() || !self.held.is_empty()
    }

    /// Waits until something happens and does what it asks for.
    fn wait(&mut self, first: Instant) {
        let until = if self.command.is_empty() {
            Some(first)
        } else {
            self.revival.due()
        };
        let timeout = until.map(|until| {
            let left = until.saturating_duration_since(Instant::now());
            Timespec {
                tv_sec: left.as_secs().cast_signed(),
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        let (mut came, mut daemon_spoke, mut child_ended) = (false, false, false);
        let mut spoke = Vec::new();
        {
            let watch = |descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN);
            let child = self.child.as_ref().map(|(_, end)| end.as_fd());
            let daemon = self.daemon.as_ref().map(|daemon| daemon.as_fd());
            let mut watched = vec![watch(self.listener.as_fd())];
            watched.extend(daemon.map(watch));
            watched.extend(child.map(watch));
            watched.extend(self.guests.iter().map(|guest| watch(guest.as_fd())));
            if poll(&mut watched, timeout.as_ref()).is_err() {
                return; // a signal: look again
            }
            let mut happened = watched.iter().map(|entry| !entry.revents().is_empty());
            came |= happened.next() == Some(true);
            if daemon.is_some() {
                daemon_spoke |= happened.next() == Some(true);
            }
            if child.is_some() {
                child_ended |= happened.next() == Some(true);
            }
            spoke.extend(happened);
        }
        if daemon_spoke {
            self.hear_daemon();
        }
        if child_ended {
            self.bury();
        }
        let guests = std::mem::take(&mut self.guests);
        for (position, guest) in guests.into_iter().enumerate() {
            if spoke.get(position) == Some(&true) {
                self.hear_guest(guest);
            } else {
                self.guests.push(guest);
            }
        }
        if came && let Ok(guest) = accept_with(&self.listener, SocketFlags::CLOEXEC) {
            // Nobody else may have our descriptors.
            if peer(&guest).is_some() {
                self.guests.push(guest);
            }
        }
    }

    fn hear_daemon(&mut self) {
        let Some(daemon) = &self.daemon else { return };
        match receive(daemon) {
            Ok(Packet::Message(Message::Keep { name, record }, descriptors)) => {
                if descriptors.len() == wire::DESCRIPTORS {
                    let held = Held {
                        record,
                        descriptors,
                    };
                    self.held.insert(name, held);
                }
            }
            Ok(Packet::Message(Message::Release { name }, _)) => {
                self.held.remove(&name);
            }
            Ok(Packet::Message(Message::Leave, _)) => self.leaving = true,
            Ok(Packet::Message(..) | Packet::Nonsense) => {}
            Ok(Packet::End) | Err(_) => {
                self.daemon = None;
                let leaving = std::mem::take(&mut self.leaving);
                self.revival.gone(Instant::now(), leaving);
            }
        }
    }

    fn hear_guest(&mut self, guest: OwnedFd) {
        match receive(&guest) {
            Ok(Packet::Message(Message::Hello { command }, _)) if !command.is_empty() => {
                self.command = command;
                self.leaving = false;
                if self.tell_all(&guest).is_ok() {
                    self.revival.serving(Instant::now());
                    self.daemon = Some(guest);
                }
            }
            Ok(Packet::Message(Message::End, _)) => {
                self.told_to_end = true;
                self.guests.push(guest); // its end is our answer
            }
            Ok(Packet::Message(..) | Packet::Nonsense | Packet::End) | Err(_) => {}
        }
    }

    fn tell_all(&self, daemon: &OwnedFd) -> io::Result<()> {
        for (name, held) in &self.held {
            let message = Message::Keep {
                name: name.clone(),
                record: held.record.clone(),
            };
            let descriptors: Vec<_> = held.descriptors.iter().map(|one| one.as_fd()).collect();
            send(daemon, &message, &descriptors)?;
        }
        send(daemon, &Message::All, &[])
    }

    fn start_daemon_if_due(&mut self) {
        let due = self.revival.due().is_some_and(|due| due <= Instant::now());
        if !due || self.held.is_empty() || self.revival.is_hopeless() {
            return;
        }
        self.see_off();
        self.revival.starting();
        let [program, words @ ..] = self.command.as_slice() else {
            return;
        };
        // Its words go where ours go: into the log.
        let started = Command::new(program)
            .args(words)
            .current_dir("/")
            .stdin(Stdio::null())
            .spawn();
        let watched = started.and_then(|child| {
            let end = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
            Ok((child, end))
        });
        match watched {
            Ok(child) => self.child = Some(child),
            Err(error) => {
                tracing::error!(%error, program, "a daemon cannot be started");
                self.revival.start_failed(Instant::now());
            }
        }
    }

    /// The daemon that was started has ended.
    fn bury(&mut self) {
        let status = self.child.take().map(|(mut child, _)| child.wait());
        match &status {
            Some(Ok(status)) => tracing::warn!(%status, "a daemon ended"),
            Some(Err(error)) => tracing::warn!(%error, "a daemon ended"),
            None => {}
        }
        // With a connection, that is what tells of its end.
        if self.daemon.is_none() && self.revival.due().is_none() {
            if matches!(&status, Some(Ok(status)) if status.success()) {
                self.revival.found_another(Instant::now());
            } else {
                self.revival.start_failed(Instant::now());
            }
        }
        let signal = status
            .and_then(Result::ok)
            .and_then(|status| status.signal());
        if signal == Some(Signal::SIGKILL as i32) {
            self.revival.killed();
        }
    }

    /// Waits for the end of a daemon whose connection has ended: that comes a moment earlier.
    fn see_off(&mut self) {
        let Some((child, end)) = &mut self.child else {
            return;
        };
        if !closes_within(end, DYING_LIMIT)
            && let Err(error) = child.kill()
        {
            tracing::debug!(%error, "a daemon that left cannot be ended");
        }
        self.bury();
    }

    /// Ends a daemon that was started and has not said hello: it would find nobody.
    fn end_unborn(&mut self) {
        if self.daemon.is_some() {
            return;
        }
        if let Some((mut child, _)) = self.child.take()
            && child.kill().is_ok()
            && let Err(error) = child.wait()
        {
            tracing::debug!(%error, "a daemon cannot be waited for");
        }
    }
}

/// The process number of the holder, if there is one.
pub(crate) fn process(places: &Places) -> Option<u32> {
    let socket = wire::connect_to(&places.holder_socket()).ok().flatten()?;
    peer(&socket)
}

/// Has the holder let go of all mounts and end; `false` where there is none. Returns when it has
/// ended.
pub(crate) fn end(places: &Places) -> Result<bool, Error> {
    let path = places.holder_socket();
    let failed = |error: io::Error| Error::io("reach the holder at", &path, &error);
    let Some(socket) = wire::connect_to(&path).map_err(failed)? else {
        return Ok(false);
    };
    let Some(pid) = peer(&socket) else {
        return Err(Error::internal(format!(
            "the socket {} belongs to another user",
            path.display()
        )));
    };
    // One that has ended meanwhile is what was wanted.
    if send(&socket, &Message::End, &[]).is_ok() && !closes_within(&socket, END_LIMIT) {
        let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
        kill(pid, Signal::SIGKILL).map_err(|error| {
            Error::internal(format!("cannot end the holder (process {pid})")).caused_by(&error)
        })?;
        closes_within(&socket, END_LIMIT);
    }
    Ok(true)
}

/// Waits for the holder to end by itself, as it does when nothing is left.
pub(crate) fn wait_for_end(places: &Places) {
    if let Ok(Some(socket)) = wire::connect_to(&places.holder_socket()) {
        closes_within(&socket, END_LIMIT);
    }
}

fn closes_within(socket: &OwnedFd, limit: Duration) -> bool {
    let timeout = Timespec {
        tv_sec: limit.as_secs().cast_signed(),
        tv_nsec: 0,
    };
    let mut watched = [PollFd::new(socket, PollFlags::IN)];
    matches!(poll(&mut watched, Some(&timeout)), Ok(1))
}
