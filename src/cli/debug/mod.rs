//! `blast debug`: looking at the parts of blast from outside. Not for people's daily work, so not
//! in `--help`.

mod answers;
mod vectors;

use clap::Subcommand;

use super::context::Context;
use crate::error::Error;
use crate::exit_code::Exit;

/// Look at the parts of blast from outside
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Vectors(vectors::Args),
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    match &args.command {
        Command::Vectors(args) => vectors::run(args, context),
    }
}
