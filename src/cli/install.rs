//! `blast install`: add requirements to an environment.

use super::bytecode::{Bytecode, BytecodeOptions};
use super::change;
use super::context::Context;
use super::options::{DryRunOption, EnvOption, JsonOption, RequirementOptions, SourceOptions};
use super::project::{Parts, Project};
use super::resolution::{self, ResolverOptions};
use super::{json_errors, project, requirements, sources};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{Action, Change, Request, RequirementLine};

/// Install packages and what they need
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) wanted: RequirementOptions,
    /// Install this dependency group of the project here
    #[arg(long, value_name = "GROUP", value_delimiter = ',')]
    pub(super) group: Vec<String>,
    /// Take the newest versions, also of what is installed
    #[arg(short = 'U', long)]
    pub(super) upgrade: bool,
    /// Install the packages named and nothing they need
    #[arg(long)]
    pub(super) no_deps: bool,
    #[command(flatten)]
    pub(super) env: EnvOption,
    #[command(flatten)]
    pub(super) dry_run: DryRunOption,
    #[command(flatten)]
    pub(super) json: JsonOption,
    #[command(flatten)]
    pub(super) resolver: ResolverOptions,
    #[command(flatten)]
    pub(super) sources: SourceOptions,
    #[command(flatten)]
    pub(super) bytecode: BytecodeOptions,
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    json_errors::shown(install(args, context), args.json, context)
}

fn install(args: &Args, context: &Context) -> Result<Exit, Error> {
    if args.wanted.is_empty() && args.group.is_empty() {
        return Err(Error::usage("nothing to install")
            .hint("name packages: `blast install flask`")
            .hint("or a file: `blast install -r requirements.txt`"));
    }
    let env = context.env(&args.env)?;
    let mut wanted = requirements::gather(&args.wanted, context.cwd()?)?
        .limited_by(&args.resolver, context)?
        .hashed()?;
    wanted.set.requirements.extend(groups(args, context)?);
    let bytecode = args.bytecode.choose(context)?;
    let change = Change {
        env: env.clone(),
        options: resolution::compute(context, &args.resolver, &wanted.options)?,
        sources: sources::compute(context, &args.sources, &wanted.sources)?,
        action: Action::Install {
            requirements: wanted.set,
            upgrade: args.upgrade,
            no_deps: args.no_deps,
        },
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

/// What the groups hold.
fn groups(args: &Args, context: &Context) -> Result<Vec<RequirementLine>, Error> {
    if args.group.is_empty() {
        return Ok(Vec::new());
    }
    let project = Project::here(context.cwd()?)?.ok_or_else(|| {
        Error::usage(format!(
            "there is no {} here or above, and groups belong to one",
            project::FILE
        ))
    })?;
    project.requirements(&Parts {
        groups: args.group.clone(),
        default_groups: false,
        only_groups: true,
        ..Parts::default()
    })
}
