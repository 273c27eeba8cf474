//! `blast envs`: all environments.

use blast_store::failpoint::{self, Point};
use blast_types::EnvName;
use clap::Subcommand;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::context::Context;
use super::intent::{self, Meant, Recorded};
use super::options::{DryRunOption, JsonOption};
use super::venv_link;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{EnvironmentView, Reply, Request};
use crate::ui::table::Table;
use crate::ui::units;

/// List or delete environments
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    json: JsonOption,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the environments
    List(JsonOption),
    /// Delete environments with their history; what only they used is freed by `blast clean`
    #[command(visible_alias = "remove")]
    Rm {
        /// Environments to delete
        #[arg(value_name = "NAME", required = true)]
        names: Vec<EnvName>,
        #[command(flatten)]
        dry_run: DryRunOption,
    },
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    environments: &'a [EnvironmentView],
}

/// Runs the command.
pub(super) fn run(args: Args, context: &Context) -> Result<Exit, Error> {
    match args.command {
        None => list(args.json, context),
        Some(Command::List(json)) => list(json, context),
        Some(Command::Rm { names, dry_run }) => remove(names, dry_run.dry_run, context),
    }
}

fn list(json: JsonOption, context: &Context) -> Result<Exit, Error> {
    let environments = context.environments()?;
    if json.json {
        context.printer.json(&Document {
            environments: &environments,
        })?;
    } else {
        context
            .printer
            .data(&render(&environments, &TimeZone::system()))?;
        if environments.is_empty() {
            context
                .printer
                .say("no environments yet; `blast start NAME` makes one");
        }
    }
    Ok(Exit::Ok)
}

fn remove(names: Vec<EnvName>, dry_run: bool, context: &Context) -> Result<Exit, Error> {
    let meant = if dry_run {
        None
    } else {
        Some(Recorded::new(
            Meant::links(links(&names, context)?),
            context,
        )?)
    };
    let request = Request::RemoveEnvironments { names, dry_run };
    let answer = context.ask(request).map_err(|mut error| {
        // Who wants an environment gone does not want to hear how to make it.
        error.hints.retain(|hint| !hint.starts_with("`blast start"));
        error
    });
    let environments = match answer {
        Ok(Reply::Environments { environments }) => environments,
        Ok(_) => return Err(Error::unexpected_reply()),
        Err(error) => return Err(intent::given_up(meant, error)),
    };
    let live = context.places()?.live();
    failpoint::hit(Point::ClientLink)
        .map_err(|error| Error::io("remove links to", &live, &error))?;
    for env in &environments {
        let packages = units::count(env.packages, "package");
        if dry_run {
            context
                .printer
                .data(&format!("would delete {} ({packages})\n", env.name))?;
            continue;
        }
        context
            .printer
            .say(format!("deleted environment {} ({packages})", env.name));
        if let Some(project) = &env.project
            && let Err(error) = venv_link::remove(project, &env.name, &live)
        {
            context
                .printer
                .warn(format!("{error}: {}", error.causes.join(": ")));
        }
    }
    meant.map_or(Ok(()), Recorded::done)?;
    Ok(Exit::Ok)
}

/// The links that lead to nothing when these are gone.
fn links(names: &[EnvName], context: &Context) -> Result<Vec<intent::Link>, Error> {
    let environments = context.environments()?;
    let links = environments.iter().filter(|env| names.contains(&env.name));
    Ok(links
        .filter_map(|env| {
            Some(intent::Link {
                project: env.project.clone()?,
                env: env.name.clone(),
            })
        })
        .collect())
}

fn render(environments: &[EnvironmentView], zone: &TimeZone) -> String {
    let mut table = Table::new(&["Environment", "Python", "Packages", "Changed", "Project"]);
    for env in environments {
        table.row([
            env.name.to_string(),
            env.python.clone(),
            env.packages.to_string(),
            units::time(env.changed_ms, zone),
            env.project
                .as_ref()
                .map(|path| path.display().to_string())
                .unwrap_or_default(),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    #[test]
    fn an_environment_is_one_row() {
        let env = EnvironmentView {
            name: "demo".parse().expect("valid"),
            prefix: "/live/demo".into(),
            project: Some("/src/demo".into()),
            python: "3.12.1".into(),
            packages: 7,
            generation: "ab".repeat(32).parse().expect("a digest"),
            operation: 3,
            changed_ms: 1_782_000_000_000,
        };
        insta::assert_snapshot!(strip_str(&render(&[env], &TimeZone::UTC)).to_string(), @r"
        Environment  Python  Packages  Changed           Project
        demo         3.12.1  7         2026-06-21 00:00  /src/demo
        ");
    }
}
