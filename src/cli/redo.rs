//! `blast redo`: undo an undoing.

use super::change;
use super::context::Context;
use super::json_errors;
use super::options::{DryRunOption, EnvOption, JsonOption};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{Move, MoveTarget, Request};

/// Take back the last `blast revert`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    env: EnvOption,
    #[command(flatten)]
    dry_run: DryRunOption,
    #[command(flatten)]
    json: JsonOption,
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    json_errors::shown(redo(args, context), args.json, context)
}

fn redo(args: &Args, context: &Context) -> Result<Exit, Error> {
    let env = context.env(&args.env)?;
    let request = Request::Move(Move {
        env,
        target: MoveTarget::Redo,
        dry_run: args.dry_run.dry_run,
    });
    change::ask(context, request, (&args.env, &args.json), "blast revert")
}
