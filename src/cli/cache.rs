//! `blast cache`: what was fetched from indexes and can be fetched again.

use clap::Subcommand;

use super::context::Context;
use super::options::{JsonOption, SourceOptions};
use super::sources::{self, FromFiles};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{Refreshed, Reply, Request};
use crate::ui::units;

/// Look after the cache of index pages and metadata
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print where the cache is
    Dir,
    /// Ask the indexes for newer pages of packages (default: of all that environments hold)
    Refresh(Box<RefreshArgs>),
}

#[derive(Debug, clap::Args)]
struct RefreshArgs {
    /// Packages, used or not
    #[arg(value_name = "PACKAGE")]
    packages: Vec<String>,
    /// All that environments hold, which is the default
    #[arg(long, conflicts_with = "packages")]
    all_used: bool,
    #[command(flatten)]
    json: JsonOption,
    #[command(flatten)]
    sources: SourceOptions,
}

/// Runs the command.
pub(super) fn run(args: Args, context: &Context) -> Result<Exit, Error> {
    match args.command {
        Command::Dir => {
            let path = &context.places()?.cache;
            context.printer.data(&format!("{}\n", path.display()))?;
            Ok(Exit::Ok)
        }
        Command::Refresh(args) => refresh(*args, context),
    }
}

fn refresh(args: RefreshArgs, context: &Context) -> Result<Exit, Error> {
    let request = Request::Refresh {
        packages: args.packages,
        sources: sources::compute(context, &args.sources, &FromFiles::default())?,
    };
    let Reply::Refreshed(refreshed) = context.ask(request)? else {
        return Err(Error::unexpected_reply());
    };
    if args.json.json {
        context.printer.json(&refreshed)?;
    } else {
        context.printer.say(sentence(&refreshed));
        for name in &refreshed.missing {
            context.printer.say(format!("no index has `{name}`"));
        }
    }
    Ok(if refreshed.missing.is_empty() {
        Exit::Ok
    } else {
        Exit::No
    })
}

fn sentence(refreshed: &Refreshed) -> String {
    let pages = units::count(refreshed.pages, "page");
    let (changed, unchanged) = (refreshed.changed, refreshed.unchanged);
    format!("{pages}: {changed} new or changed, {unchanged} as before")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_is_counted() {
        let refreshed = Refreshed {
            pages: 3,
            unchanged: 2,
            changed: 1,
            missing: Vec::new(),
        };
        assert_eq!(
            sentence(&refreshed),
            "3 pages: 1 new or changed, 2 as before"
        );
    }
}
