//! `blast load`: go to a snapshot.

use std::str::FromStr;

use blast_types::{EnvName, SnapshotName};

use super::change;
use super::context::Context;
use super::json_errors;
use super::options::{DryRunOption, EnvOption, JsonOption};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{Move, MoveTarget, Request};

/// Return to a snapshot, or take over what one of another environment holds
///
/// `blast load A@good --env B` gives B the packages that A has in its snapshot `good`, if both have
/// the same Python. Nothing is copied or downloaded.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name of the snapshot (`blast save --list` shows them), `OTHER@NAME` for one of another
    /// environment
    name: Named,
    #[command(flatten)]
    env: EnvOption,
    #[command(flatten)]
    dry_run: DryRunOption,
    #[command(flatten)]
    json: JsonOption,
}

/// A snapshot as it is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    from: Option<EnvName>,
    name: SnapshotName,
}

impl FromStr for Named {
    type Err = blast_types::NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (from, name) = match text.split_once('@') {
            Some((env, name)) => (Some(env.parse()?), name),
            None => (None, text),
        };
        Ok(Self {
            from,
            name: name.parse()?,
        })
    }
}

/// Runs the command.
pub(super) fn run(args: Args, context: &Context) -> Result<Exit, Error> {
    let json = args.json;
    json_errors::shown(load(args, context), json, context)
}

fn load(args: Args, context: &Context) -> Result<Exit, Error> {
    let env = context.env(&args.env)?;
    let Named { from, name } = args.name;
    let target = MoveTarget::Snapshot { from, name };
    let request = Request::Move(Move {
        env,
        target,
        dry_run: args.dry_run.dry_run,
    });
    change::ask(context, request, (&args.env, &args.json), "blast revert")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_may_be_of_another_environment() {
        let read = |text: &str| {
            let named = text.parse::<Named>().ok()?;
            let from = named.from.map(|env| env.as_str().to_owned());
            Some((from, named.name.as_str().to_owned()))
        };
        assert_eq!(read("good"), Some((None, "good".into())));
        assert_eq!(read("a@good"), Some((Some("a".into()), "good".into())));
        for bad in ["", "@good", "a@", "a@b@c", "../a@b"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
