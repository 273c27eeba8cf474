//! `blast install`: add requirements to an environment.

use super::change;
use super::context::Context;
use super::options::{DryRunOption, EnvOption, RequirementOptions, SourceOptions};
use super::resolution::{self, ResolverOptions};
use super::{requirements, sources};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{Action, Change, Request};

/// Install packages and what they need
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    wanted: RequirementOptions,
    /// Take the newest versions, also of what is installed
    #[arg(short = 'U', long)]
    upgrade: bool,
    /// Install the packages named and nothing they need
    #[arg(long)]
    no_deps: bool,
    #[command(flatten)]
    env: EnvOption,
    #[command(flatten)]
    dry_run: DryRunOption,
    #[command(flatten)]
    resolver: ResolverOptions,
    #[command(flatten)]
    sources: SourceOptions,
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    if args.wanted.is_empty() {
        return Err(Error::usage("nothing to install")
            .hint("name packages: `blast install flask`")
            .hint("or a file: `blast install -r requirements.txt`"));
    }
    let env = context.env(&args.env)?;
    let wanted = requirements::gather(&args.wanted, context.cwd()?)?
        .limited_by(&args.resolver, context.cwd()?)?;
    let change = Change {
        env,
        options: resolution::compute(context, &args.resolver, &wanted.options)?,
        sources: sources::compute(context, &args.sources, &wanted.sources)?,
        action: Action::Install {
            requirements: wanted.set,
            upgrade: args.upgrade,
            no_deps: args.no_deps,
        },
        dry_run: args.dry_run.dry_run,
    };
    change::ask(context, Request::Change(change), &args.env, "blast revert")
}
