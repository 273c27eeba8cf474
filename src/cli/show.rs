//! `blast show`: one operation of the history.

use jiff::tz::TimeZone;

use super::context::Context;
use super::options::{TellingOptions, Told};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{OperationDetail, Reply, Request};
use crate::ui::{operations, units};

/// Show one operation: who did it, when, by what command, and all that it changed
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Its number, or `@{-N}` for N operations ago (default: the newest)
    operation: Option<String>,
    #[command(flatten)]
    of: TellingOptions,
}

/// Runs the command.
pub(super) fn run(args: Args, context: &Context) -> Result<Exit, Error> {
    let env = context.env(&args.of.env)?;
    let request = Request::Show {
        env: env.clone(),
        operation: args.operation,
    };
    let Reply::Operation { detail } = context.ask(request)? else {
        return Err(Error::unexpected_reply());
    };
    if args.of.json.json {
        context.printer.json(&Told {
            environment: &env,
            what: &detail,
        })?;
    } else {
        context
            .printer
            .data(&render(&detail, &TimeZone::system()))?;
    }
    Ok(Exit::Ok)
}

fn render(detail: &OperationDetail, zone: &TimeZone) -> String {
    let lists = [
        ('+', &detail.requirements_added),
        ('-', &detail.requirements_removed),
    ];
    let mut lines: Vec<_> = lists
        .into_iter()
        .flat_map(|(sign, list)| {
            list.iter()
                .map(move |requirement| format!("   {sign} asked for: {requirement}\n"))
        })
        .collect();
    let packages = units::count(detail.packages, "package");
    lines.push(format!("   {packages} afterwards\n"));
    operations::whole(&detail.operation, zone) + &lines.concat()
}
