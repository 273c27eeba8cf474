//! `blast log`: the history of an environment.

use blast_types::EnvName;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::context::Context;
use super::options::TellingOptions;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{OperationView, Reply, Request};
use crate::ui::{Level, operations};

/// Show the operations of an environment, newest first
///
/// `@` marks the present state. With `-v` each operation shows every package it changed, as `blast
/// show` does for one.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Show at most so many operations
    #[arg(short = 'n', long = "limit", value_name = "NUMBER")]
    limit: Option<usize>,
    #[command(flatten)]
    of: TellingOptions,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    environment: &'a EnvName,
    operations: &'a [OperationView],
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    let env = context.env(&args.of.env)?;
    let request = Request::Log {
        env: env.clone(),
        limit: args.limit,
    };
    let Reply::History { operations: all } = context.ask(request)? else {
        return Err(Error::unexpected_reply());
    };
    if args.of.json.json {
        context.printer.json(&Document {
            environment: &env,
            operations: &all,
        })?;
        return Ok(Exit::Ok);
    }
    let zone = TimeZone::system();
    let text = if context.printer.level() >= Level::Verbose {
        all.iter()
            .map(|operation| operations::whole(operation, &zone))
            .collect()
    } else {
        operations::table(&all, &zone)
    };
    context.printer.data(&text)?;
    Ok(Exit::Ok)
}
