//! The holder of one sandbox: a process with one thread that made it, lets programs in and takes it down.
//!
//! When the last program has ended, the sandbox is tidied; one in which anything was left is taken down
//! and made anew at once, before anybody asks. It ends after [`IDLE`] without a program, when it is told to, or when the
//! sandbox cannot be made any more. With it ends the sandbox, whatever it died of.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::PathBuf;

use blast_sandbox::{Failure, Held, Watch};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::setsid;
use rustix::net::{SocketFlags, accept_with};

use super::wire::{Asked, Told, listen_at, peer, receive, send};
use super::{COMMAND, Order};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::filter;

/// How long a sandbox is kept in which nothing runs, in milliseconds.
const IDLE: u32 = 10 * 60 * 1000;
/// Longest line of the filter that is passed on whole.
const LONGEST_LINE: usize = 4096;

/// The path at which a holder shall listen, where a process is meant to be one.
pub(crate) fn role(words: &[OsString]) -> Option<PathBuf> {
    match words {
        [_, command, path, _env] if command == COMMAND => Some(path.into()),
        _ => None,
    }
}

/// Plays the role to its end: the order comes on standard input, and on standard output goes whether the sandbox is there.
pub(crate) fn run(path: PathBuf) -> Result<Exit, Error> {
    let mut text = Vec::new();
    let read = io::stdin().read_to_end(&mut text);
    let order: Order = read
        .map_err(|error| Error::internal("no order").caused_by(&error))
        .and_then(|_| {
            serde_json::from_slice(&text)
                .map_err(|error| Error::internal("no order").caused_by(&error))
        })?;
    // What a terminal sends is not meant for it. It leads no group yet, so this cannot fail.
    setsid().unwrap_or_else(|_| nix::unistd::Pid::this());
    let begun = Holder::begin(order, path);
    let outcome = begun.as_ref().map(|_| ()).map_err(Clone::clone);
    let mut answer = serde_json::to_vec(&outcome).unwrap_or_default();
    answer.push(b'\n');
    io::stdout().write_all(&answer).unwrap_or_default();
    let nothing = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null");
    if let Ok(nothing) = nothing {
        nix::unistd::dup2_stdout(&nothing).unwrap_or_default();
    }
    if let Ok(mut holder) = begun {
        holder.serve();
    }
    Ok(Exit::Ok)
}

/// A sandbox and the filter of its network, which ends after it.
struct Room {
    held: Held,
    filter: Option<Filtering>,
}

struct Filtering {
    running: filter::Running,
    /// What it has to say to the user.
    says: OwnedFd,
    begun: Vec<u8>,
}

struct Holder {
    order: Order,
    path: PathBuf,
    listener: OwnedFd,
    room: Option<Room>,
    /// Connections, and whether a program runs for them.
    guests: BTreeMap<i32, (OwnedFd, bool)>,
    /// Nobody new is waited for.
    retired: bool,
    told_to_end: bool,
}

/// Starts the filter.
struct Starter<'a> {
    order: &'a Order,
    filter: Option<Filtering>,
}

impl Watch for Starter<'_> {
    fn filter(&mut self, channel: OwnedFd) -> io::Result<()> {
        let order = filter::Order {
            config: self.order.config.clone(),
            home: self.order.home.clone(),
        };
        let (says, speaks) = io::pipe()?;
        let running = filter::start(&order, channel, speaks.into())?;
        self.filter = Some(Filtering {
            running,
            says: says.into(),
            begun: Vec::new(),
        });
        Ok(())
    }
}

impl Room {
    fn make(order: &Order) -> Result<Self, Failure> {
        let mut starter = Starter {
            order,
            filter: None,
        };
        let held = Held::make(&order.plan, &mut starter)?;
        Ok(Self {
            held,
            filter: starter.filter,
        })
    }
}

impl Holder {
    fn begin(order: Order, path: PathBuf) -> Result<Self, Failure> {
        let room = Room::make(&order)?;
        let listener =
            listen_at(&path).map_err(|error| Failure::new(blast_sandbox::Stage::Holder, error))?;
        Ok(Self {
            order,
            path,
            listener,
            room: Some(room),
            guests: BTreeMap::new(),
            retired: false,
            told_to_end: false,
        })
    }

    fn programs(&self) -> usize {
        self.guests.values().filter(|(_, inside)| *inside).count()
    }

    fn serve(&mut self) {
        while !self.told_to_end {
            if self.retired && self.programs() == 0 {
                break;
            }
            match self.wait() {
                Ok(true) => {}
                // Nothing for a long time, or something that cannot be mended.
                Ok(false) | Err(_) => break,
            }
        }
        fs::remove_file(&self.path).unwrap_or_default();
        self.room = None;
        // Who waits for the end sees it now.
        self.guests.clear();
    }

    /// Waits for something and does it; whether anything was to be done.
    fn wait(&mut self) -> Result<bool, Errno> {
        let Some(room) = &self.room else {
            return Ok(false);
        };
        // What it says before anybody is inside is for the first who comes.
        let hearers = self.programs();
        let says = (room.filter.as_ref().filter(|_| hearers > 0)).map(|filter| filter.says.as_fd());
        let mut ready = vec![
            PollFd::new(self.listener.as_fd(), PollFlags::POLLIN),
            PollFd::new(room.held.end(), PollFlags::POLLIN),
        ];
        ready.extend(
            self.guests
                .values()
                .map(|(guest, _)| PollFd::new(guest.as_fd(), PollFlags::POLLIN)),
        );
        ready.extend(says.map(|says| PollFd::new(says, PollFlags::POLLIN)));
        let limit = if hearers == 0 {
            PollTimeout::try_from(IDLE).unwrap_or(PollTimeout::NONE)
        } else {
            PollTimeout::NONE
        };
        match poll(&mut ready, limit) {
            Err(Errno::EINTR) => return Ok(true),
            Ok(0) => return Ok(false),
            polled => polled?,
        };
        let mut ready = ready.iter().map(|ready| ready.any().unwrap_or(true));
        let mut next = || ready.next().unwrap_or(false);
        let (comes, ended) = (next(), next());
        let speak: Vec<i32> = self
            .guests
            .keys()
            .copied()
            .filter(|_| next())
            .collect::<Vec<_>>();
        let filtered = next();
        if ended {
            return Ok(false);
        }
        if filtered {
            self.pass_on();
        }
        let before = self.programs();
        for guest in speak {
            self.hear(guest);
        }
        if before > 0 && self.programs() == 0 {
            self.tidy();
        }
        if comes {
            self.accept();
        }
        Ok(true)
    }

    fn accept(&mut self) {
        if let Ok(guest) = accept_with(&self.listener, SocketFlags::CLOEXEC)
            && peer(&guest).is_some()
        {
            self.guests.insert(guest.as_raw_fd(), (guest, false));
        }
    }

    fn hear(&mut self, number: i32) {
        let Some((guest, inside)) = self.guests.get_mut(&number) else {
            return;
        };
        let Ok(Some((asked, _))) = receive(&*guest) else {
            self.guests.remove(&number);
            return;
        };
        let Some(room) = &mut self.room else { return };
        match asked {
            Asked::Enter { command } => {
                if let Some(filter) = &mut room.filter {
                    filter.running.speaks_for(&command);
                }
                let open = Told::Open {
                    groups: room.held.groups().to_vec(),
                    way: room.held.way(),
                };
                let namespaces: Vec<_> = room.held.namespaces().collect();
                *inside = true;
                if send(&*guest, &open, &namespaces).is_err() {
                    self.guests.remove(&number);
                }
            }
            Asked::Leave => {
                self.pass_on();
                if let Some((guest, _)) = self.guests.remove(&number) {
                    // Who does not wait for it is gone.
                    send(guest, &Told::Left, &[]).unwrap_or_default();
                }
            }
            Asked::Retire => {
                self.retired = true;
                // Otherwise the end of the connection says that it is done.
                if self.programs() > 0
                    && let Some((guest, _)) = self.guests.remove(&number)
                {
                    send(guest, &Told::Left, &[]).unwrap_or_default();
                }
            }
            Asked::End => self.told_to_end = true,
            Asked::Report => {
                let programs = self.guests.values().filter(|(_, inside)| *inside).count();
                let report = Told::Report {
                    init: room.held.init().as_raw(),
                    filter: room.filter.as_ref().map(|filter| filter.running.process()),
                    groups: room.held.groups().to_vec(),
                    programs,
                };
                let namespaces: Vec<_> = room.held.namespaces().collect();
                if let Some((guest, _)) = self.guests.get(&number) {
                    send(guest, &report, &namespaces).unwrap_or_default();
                }
            }
        }
    }

    /// Tells all programs' users what the filter has to say.
    fn pass_on(&mut self) {
        let filter = self.room.as_mut().and_then(|room| room.filter.as_mut());
        let Some(filter) = filter else { return };
        let mut chunk = [0; LONGEST_LINE];
        while is_readable(&filter.says) {
            let read = rustix::io::read(&filter.says, &mut chunk).unwrap_or(0);
            if read == 0 {
                break;
            }
            filter.begun.extend(chunk.iter().take(read));
        }
        while let Some(end) = filter.begun.iter().position(|byte| *byte == b'\n') {
            let rest = filter.begun.split_off(end + 1);
            let line = std::mem::replace(&mut filter.begun, rest);
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            for (guest, inside) in self.guests.values() {
                if *inside {
                    let line = line.clone();
                    send(guest, &Told::Line { line }, &[]).unwrap_or_default();
                }
            }
        }
    }

    /// After the last program: nothing of it stays.
    fn tidy(&mut self) {
        // A port of this host is for who runs something there.
        if !self.order.config.network.publish.is_empty() {
            self.retired = true;
        }
        let is_as_new = self.room.as_ref().is_some_and(|room| room.held.tidy());
        if !is_as_new {
            self.room = None;
            if !self.retired {
                self.room = Room::make(&self.order).ok();
            }
        }
    }
}

fn is_readable(pipe: &OwnedFd) -> bool {
    let mut ready = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
    let flags = PollFlags::POLLIN;
    poll(&mut ready, PollTimeout::ZERO) == Ok(1)
        && ready
            .iter()
            .any(|ready| ready.revents().is_some_and(|seen| seen.contains(flags)))
}
