//! How what is observed comes outside: the program, when all else is done, sends the listener of its filter through a pair
//! of sockets.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;

use super::Watch;
use crate::net::{packet_pair, receive_descriptor, send_descriptor};
use crate::observe::{Observer, begin};
use crate::plan::{Observed, Plan};

/// Both ends, where something is to be observed: the outside's, and the program's.
pub(super) fn pair(plan: &Plan) -> Result<(Option<OwnedFd>, Option<OwnedFd>), Errno> {
    if plan.observed == Observed::default() {
        return Ok((None, None));
    }
    let pair = packet_pair();
    pair.map(|(looks, shows)| (Some(looks), Some(shows)))
}

/// Has this process observed from now on. Where that cannot be, nothing is: no wall depends on it.
pub(super) fn show(plan: &Plan, shows: &OwnedFd) {
    if let Ok(Some(listener)) = begin(plan.observed) {
        // If nobody is there any more, this process is about to end too.
        send_descriptor(shows, &listener).unwrap_or_default();
    }
}

/// What the outside looks through.
pub(super) enum Window<'a> {
    /// Nothing is seen, or nothing any more.
    Closed,
    /// The program has not shown itself yet.
    Waiting(&'a Plan, OwnedFd),
    /// It has.
    Open(Observer),
}

impl<'a> Window<'a> {
    pub(super) fn new(plan: &'a Plan, looks: Option<OwnedFd>) -> Self {
        looks.map_or(Self::Closed, |looks| Self::Waiting(plan, looks))
    }

    /// What is to be waited for.
    pub(super) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Closed => None,
            Self::Waiting(_, looks) => Some(looks.as_fd()),
            Self::Open(observer) => Some(observer.as_fd()),
        }
    }

    /// Takes in what came.
    pub(super) fn look(&mut self, watch: &mut dyn Watch) {
        match self {
            Self::Closed => {}
            Self::Waiting(plan, looks) => {
                *self = match receive_descriptor(looks) {
                    Ok(listener) => Self::Open(Observer::new(plan, listener)),
                    Err(_) => Self::Closed,
                };
            }
            Self::Open(observer) => match observer.look() {
                Ok(attempts) => attempts.iter().for_each(|attempt| watch.denied(attempt)),
                // All whom it observed are gone.
                Err(_) => std::mem::replace(self, Self::Closed).close(watch),
            },
        }
    }

    /// Tells what is left to tell.
    pub(super) fn close(self, watch: &mut dyn Watch) {
        if let Self::Open(observer) = self
            && let Some(attempt) = observer.end()
        {
            watch.denied(&attempt);
        }
    }
}
