//! Arguments of commands that nobody typed are not worth describing.
//!
//! To describe all commands with all their options takes longer than most commands take. So a line is first
//! parsed with only the names of the commands known and the options of the one that is meant
//! ([`described_late`]); what that does not understand, and what asks for help, is parsed anew with everything
//! known, so that messages, suggestions and lists of commands are whole.

use std::cell::Cell;

use clap::{ArgMatches, Args, Command, FromArgMatches};

thread_local! {
    static LATE: Cell<bool> = const { Cell::new(false) };
}

/// Does `parse` with the options of a command described only when its name was seen.
pub(super) fn described_late<T>(parse: impl FnOnce() -> T) -> T {
    LATE.set(true);
    let parsed = parse();
    LATE.set(false);
    parsed
}

/// The arguments of a command.
#[derive(Debug)]
pub(super) struct Deferred<A>(pub(super) A);

impl<A: Args> Args for Deferred<A> {
    fn augment_args(command: Command) -> Command {
        if LATE.get() {
            command.defer(A::augment_args)
        } else {
            A::augment_args(command)
        }
    }

    fn augment_args_for_update(command: Command) -> Command {
        A::augment_args_for_update(command)
    }
}

impl<A: FromArgMatches> FromArgMatches for Deferred<A> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        A::from_arg_matches(matches).map(Self)
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, clap::Error> {
        A::from_arg_matches_mut(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}
