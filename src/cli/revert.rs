//! `blast revert`: go back.

use super::change;
use super::context::Context;
use super::json_errors;
use super::moment::Moment;
use super::options::{DryRunOption, EnvOption, JsonOption};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{Move, MoveTarget, Request};

/// Undo the last operation, or return to an earlier state
///
/// Going back is an operation of its own: nothing is lost, and `blast redo` or another `blast
/// revert` leads forward again.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Number of an operation (the state after it), snapshot, generation, or `@{-N}` for N
    /// operations ago (default: undo the newest operation that is not undone yet)
    target: Option<String>,
    /// Return to the state that there was at this time (`2026-03-01T12:00:00Z`), at the end of
    /// that day (`2026-03-01`, `yesterday`), or so long ago (`2h`, `3 days`)
    #[arg(long, value_name = "TIME", conflicts_with = "target")]
    to: Option<Moment>,
    #[command(flatten)]
    env: EnvOption,
    #[command(flatten)]
    dry_run: DryRunOption,
    #[command(flatten)]
    json: JsonOption,
}

/// Runs the command.
pub(super) fn run(args: Args, context: &Context) -> Result<Exit, Error> {
    let json = args.json;
    json_errors::shown(revert(args, context), json, context)
}

fn revert(args: Args, context: &Context) -> Result<Exit, Error> {
    let target = match (args.target, args.to) {
        (None, None) => MoveTarget::Undo,
        (Some(target), _) => MoveTarget::Named { target },
        (None, Some(Moment(at_ms))) => MoveTarget::Time { at_ms },
    };
    let env = context.env(&args.env)?;
    let request = Request::Move(Move {
        env,
        target,
        dry_run: args.dry_run.dry_run,
    });
    change::ask(context, request, (&args.env, &args.json), "blast redo")
}
