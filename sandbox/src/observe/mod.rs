//! Writing down what a program reaches for and does not get, where no wall of ours is asked: a path that is not there, a
//! network that leads nowhere.
//!
//! Namespaces keep these things away, silently; a program gets the error that it would get of any system without them. So that
//! its user learns what it wanted, a few system calls are looked at from outside before they happen ([`calls`]). Looking decides
//! nothing, is not needed by any wall, and where the kernel has no such filter, nothing is written down.
//!
//! ```text
//! files      open(2) and its kin, at level strict: a path that this host has and the sandbox does not, or that is
//!            to be written and is read only there. Of the system's places only what not everybody may read.
//! network    connect(2), sendto(2) and questions about names, where nobody may be talked to at all
//! ```

mod calls;
mod judge;

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use calls::Named;
use judge::Judge;
use nix::errno::Errno;
use nix::unistd::Pid;

use crate::audit::Kind;
use crate::plan::{Observed, Plan};
use crate::sys::{Listener, listen_to_calls};

/// So many things are told of one program, and no more.
const MOST: usize = 1000;

/// Something that a program reached for and did not get.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// What kind of thing.
    pub kind: Kind,
    /// The thing: a path, or `HOST[:PORT]`.
    pub target: String,
    /// Why it did not get it.
    pub rule: &'static str,
    /// What to write after `blast allow` so that it gets it, where that helps.
    pub allow: Option<String>,
}

/// Has this process and all that it becomes observed; what is sent outside for that. Nothing, where nothing is to
/// be observed.
///
/// # Errors
/// Those of seccomp(2).
pub(crate) fn begin(observed: Observed) -> io::Result<Option<OwnedFd>> {
    if observed == Observed::default() {
        return Ok(None);
    }
    listen_to_calls(&calls::filter(observed)).map(Some)
}

/// The outside's end.
#[derive(Debug)]
pub(crate) struct Observer {
    listener: Listener,
    judge: Judge,
    told: HashSet<Attempt>,
    /// Names were asked for, by whom nobody saw which.
    names: bool,
}

impl Observer {
    pub(crate) fn new(plan: &Plan, listener: OwnedFd) -> Self {
        Self {
            listener: Listener::new(listener),
            judge: Judge::new(plan),
            told: HashSet::new(),
            names: false,
        }
    }

    /// Looks at the next call and lets it go on. What it reached for, each thing once.
    ///
    /// # Errors
    /// If there will be no more.
    pub(crate) fn look(&mut self) -> io::Result<Vec<Attempt>> {
        let call = match self.listener.next() {
            // It was killed meanwhile.
            Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => {
                return Ok(Vec::new());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Vec::new()),
            call => call?,
        };
        let process = Pid::from_raw(call.process.cast_signed());
        let mut attempts = Vec::new();
        for named in calls::named(&call) {
            match named {
                Named::File(opened) => attempts.extend(self.judge.file(process, &opened)),
                Named::Address(to) if !judge::is_its_own(process, to) => {
                    attempts.push(address(to));
                }
                Named::Address(_) => {}
                Named::Host(name) => {
                    self.names = false;
                    attempts.push(host(&name));
                }
                Named::Names => self.names = true,
            }
        }
        // Now: what was looked at was that of a process that waits.
        let gone = self.listener.let_go(&call);
        attempts.retain(|attempt| self.told.len() < MOST && self.told.insert(attempt.clone()));
        match gone {
            Err(error) if error.raw_os_error() != Some(Errno::ENOENT as i32) => Err(error),
            _ => Ok(attempts),
        }
    }

    /// What is known only when all is over.
    pub(crate) fn end(self) -> Option<Attempt> {
        self.names.then(|| Attempt {
            kind: Kind::Net,
            target: "a name".to_owned(),
            rule: "nobody may be talked to, nor asked for names",
            allow: None,
        })
    }
}

impl AsFd for Observer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

const NOBODY: &str = "nobody may be talked to";

fn address(to: SocketAddr) -> Attempt {
    let nowhere = |ip: IpAddr| ip.is_unspecified() || ip.is_multicast();
    Attempt {
        kind: Kind::Net,
        target: to.to_string(),
        rule: NOBODY,
        allow: (to.port() != 0 && !nowhere(to.ip())).then(|| format!("net {to}")),
    }
}

fn host(name: &str) -> Attempt {
    Attempt {
        kind: Kind::Net,
        target: name.to_owned(),
        rule: NOBODY,
        allow: Some(format!("net {name}")),
    }
}
