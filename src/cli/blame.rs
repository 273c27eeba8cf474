//! `blast blame`: where a version comes from.

use jiff::tz::TimeZone;

use super::context::Context;
use super::options::{TellingOptions, Told};
use crate::command_line::command_line;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{Blame, Reply, Request};
use crate::ui::table::Table;
use crate::ui::units;

/// Show which operation brought a package in its version, and which the versions before
///
/// Newest first. `blast show NUMBER` tells all of an operation, `blast revert NUMBER` goes back to
/// the state after it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The package
    #[arg(value_name = "PACKAGE")]
    package: String,
    #[command(flatten)]
    of: TellingOptions,
}

/// Runs the command.
pub(super) fn run(args: Args, context: &Context) -> Result<Exit, Error> {
    let env = context.env(&args.of.env)?;
    let request = Request::Blame {
        env: env.clone(),
        package: args.package,
    };
    let Reply::Blame(blame) = context.ask(request)? else {
        return Err(Error::unexpected_reply());
    };
    if args.of.json.json {
        context.printer.json(&Told {
            environment: &env,
            what: &blame,
        })?;
        return Ok(Exit::Ok);
    }
    context.printer.data(&render(&blame, &TimeZone::system()))?;
    for line in remarks(&blame) {
        context.printer.say(line);
    }
    Ok(Exit::Ok)
}

fn render(blame: &Blame, zone: &TimeZone) -> String {
    let mut table = Table::new(&["Version", "Before", "Id", "When", "Who", "What", "Command"]);
    let version = |version: Option<&String>| version.map_or("-", String::as_str).to_owned();
    for operation in &blame.operations {
        let change = operation.changes.first();
        table.row([
            version(change.and_then(|change| change.after.as_ref())),
            version(change.and_then(|change| change.before.as_ref())),
            operation.id.to_string(),
            units::time(operation.at_ms, zone),
            operation.who.clone(),
            operation.summary.clone(),
            command_line(&operation.command),
        ]);
    }
    table.render()
}

/// What the table does not say.
fn remarks(blame: &Blame) -> Vec<String> {
    let package = &blame.package;
    let mut said = Vec::new();
    match (&blame.version, blame.operations.first()) {
        (None, _) => said.push(format!("{package} is not installed now")),
        (Some(version), None) => said.push(format!(
            "{package} {version} was there before the oldest operation that is kept"
        )),
        (Some(version), Some(newest)) => {
            if let Some(origin) = blame.origin.filter(|origin| *origin != newest.id) {
                said.push(format!(
                    "operation {} went back to {version}, which operation {origin} had brought",
                    newest.id
                ));
            }
        }
    }
    if !blame.complete && !blame.operations.is_empty() {
        said.push("older operations are not kept any more".to_owned());
    }
    said
}
