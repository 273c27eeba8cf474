//! `blast remove`: take packages out of an environment.

use super::context::Context;
use super::options::{DryRunOption, EnvOption, SourceOptions};
use super::sources;
use super::{add, change, project};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{Action, Change, Request, ResolveOptions};

/// Remove packages and what only they needed
///
/// In a project, from its own environment, what is among the dependencies of `pyproject.toml` is
/// taken out there too, and `pylock.toml` renewed if there is one.
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
    let env = context.env(&args.env)?;
    let of_project = add::without(&args.packages, &env, &args.sources, context)?;
    let change = Change {
        env,
        action: Action::Remove {
            packages: args.packages,
        },
        options: ResolveOptions::default(),
        sources: sources::compute(context, &args.sources, &sources::FromFiles::default())?,
        no_bytecode: false,
        dry_run: args.dry_run.dry_run,
    };
    if let Some((files, after, taken)) = of_project {
        let dry_run = change.dry_run;
        let how = (dry_run, args.env.env.as_ref());
        let done = files.replaced_by(&after, Some(change), dry_run, context)?;
        done.report(&after, how, context)?;
        let (file, taken) = (project::FILE, taken.join(" "));
        context.printer.say(if dry_run {
            format!("would take {taken} out of the dependencies in {file}")
        } else {
            format!("took {taken} out of the dependencies in {file}; `blast add {taken}` puts it back there")
        });
        return Ok(Exit::Ok);
    }
    change::ask(
        context,
        Request::Change(Box::new(change)),
        &args.env,
        "blast revert",
    )
}
