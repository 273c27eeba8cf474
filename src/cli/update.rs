//! `blast update`: newest versions of what is installed.

use super::bytecode::{Bytecode, BytecodeOptions};
use super::change;
use super::context::Context;
use super::options::{DryRunOption, EnvOption, JsonOption, SourceOptions};
use super::requirements::Gathered;
use super::resolution::{self, ResolverOptions};
use super::{json_errors, sources};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{Action, Change, Request};

/// Take the newest versions that the requirements of an environment admit
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Packages to update (default: all)
    #[arg(value_name = "PACKAGE")]
    packages: Vec<String>,
    #[command(flatten)]
    env: EnvOption,
    #[command(flatten)]
    dry_run: DryRunOption,
    #[command(flatten)]
    json: JsonOption,
    #[command(flatten)]
    resolver: ResolverOptions,
    #[command(flatten)]
    sources: SourceOptions,
    #[command(flatten)]
    bytecode: BytecodeOptions,
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    json_errors::shown(update(args, context), args.json, context)
}

fn update(args: &Args, context: &Context) -> Result<Exit, Error> {
    let limits = Gathered::default().limited_by(&args.resolver, context)?;
    let env = context.env(&args.env)?;
    let bytecode = args.bytecode.choose(context)?;
    let change = Change {
        env: env.clone(),
        action: Action::Update {
            packages: args.packages.clone(),
        },
        options: resolution::compute(context, &args.resolver, &limits.options)?,
        sources: sources::compute(context, &args.sources, &limits.sources)?,
        no_bytecode: bytecode == Bytecode::Off,
        origins: false,
        dry_run: args.dry_run.dry_run,
    };
    let exit = change::ask(
        context,
        Request::Change(Box::new(change)),
        (&args.env, &args.json),
        "blast revert",
    )?;
    if !args.dry_run.dry_run {
        bytecode.await_for(env, context)?;
    }
    Ok(exit)
}
