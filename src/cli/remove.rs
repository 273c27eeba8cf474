//! `blast remove`: take packages out of an environment.

use super::change;
use super::context::Context;
use super::options::{DryRunOption, EnvOption, SourceOptions};
use super::sources;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{Action, Change, Request, ResolveOptions};

/// Remove packages and what only they needed
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Packages to remove
    #[arg(value_name = "PACKAGE", required = true)]
    packages: Vec<String>,
    #[command(flatten)]
    env: EnvOption,
    #[command(flatten)]
    dry_run: DryRunOption,
    #[command(flatten)]
    sources: SourceOptions,
}

/// Runs the command.
pub(super) fn run(args: Args, context: &Context) -> Result<Exit, Error> {
    let change = Change {
        env: context.env(&args.env)?,
        action: Action::Remove {
            packages: args.packages,
        },
        options: ResolveOptions::default(),
        sources: sources::compute(context, &args.sources, &sources::FromFiles::default())?,
        no_bytecode: false,
        dry_run: args.dry_run.dry_run,
    };
    change::ask(
        context,
        Request::Change(Box::new(change)),
        &args.env,
        "blast revert",
    )
}
