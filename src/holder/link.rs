//! The daemon's half: what it has the holder keep, and keeping a holder at all.
//!
//! The holder is started with the first mount. If it dies, a thread that waits for that starts another
//! and hands everything over again: only the death of both at once costs a mount.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use blast_fs::{Handover, MountRecord, namespace};
use serde::{Deserialize, Serialize};

use super::wire::{self, Message, Packet, connect_to, receive, send};
use crate::engine::{Keeper, Kept};
use crate::ipc::launch;
use crate::ipc::paths::Places;

/// How long a holder may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(5);
/// How long to wait before a holder that died is replaced, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A holder that lived longer than this died of nothing that is its own fault.
const LONG_LIFE: Duration = Duration::from_mins(1);

/// What a daemon tells its successor of a mount.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    home: PathBuf,
    cache: PathBuf,
    mount: MountRecord,
}

/// The connection to the holder, present or not.
#[derive(Debug)]
pub(crate) struct Link {
    places: Places,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    socket: Option<Arc<OwnedFd>>,
    /// The holder, where this process started it.
    child: Option<Child>,
    kept: BTreeMap<String, (Record, [OwnedFd; wire::DESCRIPTORS])>,
    /// This process is about to end: do not look after the holder any more.
    ending: bool,
}

impl Link {
    /// Greets the holder, if there is one, and takes over what it holds.
    pub(crate) fn open(places: &Places) -> io::Result<(Arc<Self>, Vec<Kept>)> {
        let link = Arc::new(Self {
            places: places.clone(),
            state: Mutex::default(),
        });
        let mut kept = Vec::new();
        if let Some(socket) = connect_to(&places.holder_socket())? {
            kept = greet(&socket)?;
            let mut state = link.state();
            state.socket = Some(Arc::new(socket));
            link.watch(&mut state)?;
        }
        Ok((link, kept))
    }

    /// This process ends, and its successor is being started.
    pub(crate) fn leave(&self) {
        let mut state = self.state();
        state.ending = true;
        if let Some(socket) = &state.socket
            && let Err(error) = send(socket, &Message::Leave, &[])
        {
            tracing::warn!(%error, "the holder does not listen");
        }
    }

    /// This process ends for good; so does the holder, when nothing is left.
    pub(crate) fn close(&self) {
        self.state().ending = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, to a new holder if need be.
    fn connected(self: &Arc<Self>, state: &mut State) -> io::Result<Arc<OwnedFd>> {
        if let Some(socket) = &state.socket {
            return Ok(Arc::clone(socket));
        }
        let socket = Arc::new(self.start(state)?);
        state.socket = Some(Arc::clone(&socket));
        self.watch(state)?;
        Ok(socket)
    }

    fn start(&self, state: &mut State) -> io::Result<OwnedFd> {
        let path = self.places.holder_socket();
        let program = launch::executable().map_err(|error| io::Error::other(error.message))?;
        let mut command = Command::new(program);
        command
            .args(launch::HOLDER)
            .current_dir("/")
            .stdin(Stdio::null());
        // The daemons that it starts will have to unmount.
        let mut child = namespace::lending(|| command.spawn())?;
        let deadline = Instant::now() + START_LIMIT;
        let socket = loop {
            if let Some(socket) = connect_to(&path)? {
                break socket;
            }
            if Instant::now() > deadline || child.try_wait()?.is_some_and(|end| !end.success()) {
                return Err(io::Error::other("the holder does not start"));
            }
            thread::sleep(Duration::from_millis(1));
        };
        state.child = Some(child);
        // It is new and holds nothing.
        greet(&socket)?;
        Ok(socket)
    }

    /// Waits in the background for the end of the holder.
    fn watch(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        let Some(socket) = state.socket.clone() else {
            return Ok(());
        };
        let link = Arc::clone(self);
        thread::Builder::new()
            .name("holder-watch".to_owned())
            .spawn(move || {
                let began = Instant::now();
                // It says nothing any more; what it might say is not for us.
                while !matches!(receive(&*socket), Ok(Packet::End) | Err(_)) {}
                drop(socket);
                link.holder_died(began.elapsed());
            })?;
        Ok(())
    }

    fn holder_died(self: &Arc<Self>, lived: Duration) {
        let mut state = self.state();
        state.socket = None;
        if let Some(mut child) = state.child.take()
            && let Err(error) = child.wait()
        {
            tracing::debug!(%error, "the holder cannot be waited for");
        }
        let mut pause = if lived > LONG_LIFE {
            Duration::ZERO
        } else {
            FIRST_PAUSE
        };
        while !state.ending && !state.kept.is_empty() && state.socket.is_none() {
            drop(state);
            thread::sleep(pause);
            pause = (pause * 4).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            state = self.state();
            if state.ending {
                return;
            }
            tracing::warn!("the holder died; another takes its place");
            if let Err(error) = self.keep_all(&mut state) {
                tracing::warn!(%error, "the mounts have no holder");
                state.socket = None;
            }
        }
    }

    fn keep_all(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        let socket = self.connected(state)?;
        for (name, (record, descriptors)) in &state.kept {
            tell(&socket, name, record, descriptors)?;
        }
        Ok(())
    }
}

impl Keeper for Arc<Link> {
    fn keep(&self, kept: Kept) {
        let name = name_of(&kept.home);
        let record = Record {
            home: kept.home,
            cache: kept.cache,
            mount: kept.handover.record,
        };
        let descriptors = [kept.handover.device, kept.below];
        let mut state = self.state();
        let told = self
            .connected(&mut state)
            .and_then(|socket| tell(&socket, &name, &record, &descriptors));
        if let Err(error) = told {
            tracing::warn!(%error, "a mount has no holder: it will not outlive this process");
        }
        state.kept.insert(name, (record, descriptors));
    }

    fn release(&self, home: &Path) {
        let name = name_of(home);
        let mut state = self.state();
        state.kept.remove(&name);
        if let Some(socket) = &state.socket
            && let Err(error) = send(socket, &Message::Release { name }, &[])
        {
            tracing::debug!(%error, "the holder does not listen");
        }
    }

    fn process(&self) -> Option<u32> {
        self.state().socket.as_ref().and_then(wire::peer)
    }
}

fn name_of(home: &Path) -> String {
    home.to_string_lossy().into_owned()
}

fn tell(
    socket: &OwnedFd,
    name: &str,
    record: &Record,
    descriptors: &[OwnedFd; wire::DESCRIPTORS],
) -> io::Result<()> {
    let message = Message::Keep {
        name: name.to_owned(),
        record: serde_json::to_value(record)?,
    };
    let [device, below] = descriptors;
    send(socket, &message, &[device.as_fd(), below.as_fd()])
}

/// Says hello, and takes what is held.
fn greet(socket: &OwnedFd) -> io::Result<Vec<Kept>> {
    let program = launch::executable().map_err(|error| io::Error::other(error.message))?;
    let words = launch::DAEMON.iter().map(|&word| word.to_owned());
    let command = std::iter::once(program.to_string_lossy().into_owned())
        .chain(words)
        .collect();
    send(socket, &Message::Hello { command }, &[])?;
    let mut all = Vec::new();
    loop {
        match receive(socket)? {
            Packet::Message(Message::Keep { name, record }, descriptors) => {
                match kept(record, descriptors) {
                    Ok(kept) => all.push(kept),
                    Err(error) => {
                        tracing::warn!(%error, name, "a mount cannot be taken over");
                        send(socket, &Message::Release { name }, &[])?;
                    }
                }
            }
            Packet::Message(Message::All, _) => return Ok(all),
            Packet::Message(..) | Packet::Nonsense => {}
            Packet::End => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn kept(record: serde_json::Value, descriptors: Vec<OwnedFd>) -> io::Result<Kept> {
    let Record { home, cache, mount } = serde_json::from_value(record)?;
    let descriptors: [OwnedFd; wire::DESCRIPTORS] = descriptors
        .try_into()
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    let [device, below] = descriptors;
    Ok(Kept {
        home,
        cache,
        below,
        handover: Handover {
            device,
            record: mount,
        },
    })
}
