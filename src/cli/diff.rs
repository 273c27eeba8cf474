//! `blast diff`: what differs between two states.

use blast_types::{EnvName, GenerationId};
use serde::Serialize;

use super::context::Context;
use super::options::TellingOptions;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{FileChange, FileChangeView, PackageChangeView, Reply, Request};
use crate::ui::{changes, units};

/// Show what differs between two states of an environment
///
/// A state is the number of an operation, a snapshot, a generation, or `@{-N}` for N operations
/// ago; `OTHER@STATE` is one of another environment, `OTHER@` its present one.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The older state (default: before the last operation)
    #[arg(value_name = "FROM")]
    from: Option<String>,
    /// The newer state (default: the present one)
    #[arg(value_name = "TO")]
    to: Option<String>,
    /// Also list the files that differ
    #[arg(long)]
    files: bool,
    #[command(flatten)]
    of: TellingOptions,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    environment: &'a EnvName,
    from: GenerationId,
    to: GenerationId,
    changes: &'a [PackageChangeView],
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<&'a [FileChangeView]>,
}

/// Runs the command.
pub(super) fn run(args: Args, context: &Context) -> Result<Exit, Error> {
    let env = context.env(&args.of.env)?;
    let request = Request::Diff {
        env: env.clone(),
        from: args.from,
        to: args.to,
        files: args.files,
    };
    let Reply::Diff {
        from,
        to,
        changes,
        files,
    } = context.ask(request)?
    else {
        return Err(Error::unexpected_reply());
    };
    if args.of.json.json {
        context.printer.json(&Document {
            environment: &env,
            from,
            to,
            changes: &changes,
            files: args.files.then_some(&*files),
        })?;
        return Ok(Exit::Ok);
    }
    if changes.is_empty() {
        context.printer.say("no package differs");
    } else {
        context
            .printer
            .data(&(changes::lines(&changes).join("\n") + "\n"))?;
    }
    let lines: Vec<_> = files.iter().map(line).collect();
    context.printer.data(&lines.concat())?;
    if !changes.is_empty() {
        let (from, to) = (from.to_string(), to.to_string());
        context.printer.detail(format!(
            "from {} to {}",
            units::short(&from),
            units::short(&to)
        ));
    }
    Ok(Exit::Ok)
}

fn line(file: &FileChangeView) -> String {
    let sign = match file.change {
        FileChange::Added => '+',
        FileChange::Removed => '-',
        FileChange::Changed => '~',
    };
    format!("{sign} {}\n", file.path)
}
