//! `blast revert`: go back.

use super::change;
use super::context::Context;
use super::options::{DryRunOption, EnvOption};
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
    #[command(flatten)]
    env: EnvOption,
    #[command(flatten)]
    dry_run: DryRunOption,
}

/// Runs the command.
pub(super) fn run(args: Args, context: &Context) -> Result<Exit, Error> {
    let (target, undo) = match args.target {
        None => (MoveTarget::Undo, "blast redo"),
        Some(target) => (MoveTarget::Named { target }, "blast revert"),
    };
    let env = context.env(&args.env)?;
    let request = Request::Move(Move {
        env,
        target,
        dry_run: args.dry_run.dry_run,
    });
    change::ask(context, request, &args.env, undo)
}
