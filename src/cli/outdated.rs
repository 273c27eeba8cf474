//! `blast outdated`: what has newer versions, and what keeps it where it is.

use blast_types::EnvName;
use serde::Serialize;

use super::context::Context;
use super::options::{EnvOption, JsonOption, SourceOptions};
use super::requirements::Gathered;
use super::resolution::{self, ResolverOptions};
use super::sources;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::packages::OutdatedPackage;
use crate::ipc::protocol::{OutdatedRequest, Reply, Request};
use crate::ui::table::Table;

/// List packages of which there is a newer version
///
/// "Allowed" is the newest version that the requirements of the environment admit one by one;
/// `blast update` goes there where they can all be met together.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    env: EnvOption,
    #[command(flatten)]
    newer: Newer,
    #[command(flatten)]
    json: JsonOption,
}

/// What counts as newer.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Newer {
    #[command(flatten)]
    resolver: ResolverOptions,
    #[command(flatten)]
    sources: SourceOptions,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    environment: &'a EnvName,
    packages: &'a [OutdatedPackage],
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    show(
        &context.env(&args.env)?,
        &args.newer,
        args.json.json,
        context,
    )
}

/// Asks and shows; `blast list --outdated` does too.
pub(super) fn show(
    env: &EnvName,
    newer: &Newer,
    json: bool,
    context: &Context,
) -> Result<Exit, Error> {
    let limits = Gathered::default().limited_by(&newer.resolver, context)?;
    let request = OutdatedRequest {
        env: env.clone(),
        options: resolution::compute(context, &newer.resolver, &limits.options)?,
        sources: sources::compute(context, &newer.sources, &limits.sources)?,
    };
    let Reply::Outdated { packages } = context.ask(Request::Outdated(Box::new(request)))? else {
        return Err(Error::unexpected_reply());
    };
    if json {
        context.printer.json(&Document {
            environment: env,
            packages: &packages,
        })?;
    } else if packages.is_empty() {
        context.printer.say(format!(
            "every package of environment {env} has its newest version"
        ));
    } else {
        context.printer.data(&render(&packages))?;
        if packages
            .iter()
            .any(|package| package.allowed != package.version)
        {
            context.printer.say(format!(
                "`blast update --env {env}` takes what is allowed, under the same options"
            ));
        }
    }
    Ok(Exit::Ok)
}

fn render(packages: &[OutdatedPackage]) -> String {
    let is_held = packages.iter().any(|package| !package.held_by.is_empty());
    let mut heading = vec!["Package", "Version", "Allowed", "Newest"];
    if is_held {
        heading.push("Held by");
    }
    let mut table = Table::new(&heading);
    for package in packages {
        table.row([
            package.name.to_string(),
            package.version.clone(),
            package.allowed.clone(),
            package.newest.clone(),
            package.held_by.join(", "),
        ]);
    }
    table.render()
}
