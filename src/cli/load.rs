//! `blast load`: go to a snapshot.

use blast_types::SnapshotName;

use super::change;
use super::context::Context;
use super::options::{DryRunOption, EnvOption};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{Move, MoveTarget, Request};

/// Return to a snapshot
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name of the snapshot (`blast save --list` shows them)
    name: SnapshotName,
    #[command(flatten)]
    env: EnvOption,
    #[command(flatten)]
    dry_run: DryRunOption,
}

/// Runs the command.
pub(super) fn run(args: Args, context: &Context) -> Result<Exit, Error> {
    let env = context.env(&args.env)?;
    let target = MoveTarget::Snapshot { name: args.name };
    let request = Request::Move(Move {
        env,
        target,
        dry_run: args.dry_run.dry_run,
    });
    change::ask(context, request, &args.env, "blast revert")
}
