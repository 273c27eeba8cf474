//! `blast log`: the history of an environment.

use blast_types::EnvName;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::context::Context;
use super::options::{EnvOption, JsonOption};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{OperationView, Reply, Request};
use crate::ui::table::Table;
use crate::ui::{Level, changes, style, units};

/// Show the operations of an environment, newest first
///
/// `@` marks the present state. With `-v` each operation shows who did it, by what command, and
/// every package it changed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Show at most so many operations
    #[arg(short = 'n', long = "limit", value_name = "NUMBER")]
    limit: Option<usize>,
    #[command(flatten)]
    env: EnvOption,
    #[command(flatten)]
    json: JsonOption,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    environment: &'a EnvName,
    operations: &'a [OperationView],
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    let env = context.env(&args.env)?;
    let request = Request::Log {
        env: env.clone(),
        limit: args.limit,
    };
    let Reply::History { operations } = context.ask(request)? else {
        return Err(Error::unexpected_reply());
    };
    if args.json.json {
        context.printer.json(&Document {
            environment: &env,
            operations: &operations,
        })?;
        return Ok(Exit::Ok);
    }
    let zone = TimeZone::system();
    let text = if context.printer.level() >= Level::Verbose {
        operations
            .iter()
            .map(|operation| render_whole(operation, &zone))
            .collect()
    } else {
        render(&operations, &zone)
    };
    context.printer.data(&text)?;
    Ok(Exit::Ok)
}

fn render(operations: &[OperationView], zone: &TimeZone) -> String {
    let mut table = Table::new(&[" ", "Id", "When", "What", "Changes"]);
    for operation in operations {
        let mark = if operation.current { "@" } else { "" };
        table.row([
            mark.to_owned(),
            operation.id.to_string(),
            units::time(operation.at_ms, zone),
            operation.summary.clone(),
            changes::summary(&operation.changes),
        ]);
    }
    table.render()
}

fn render_whole(operation: &OperationView, zone: &TimeZone) -> String {
    let mark = if operation.current { "@ " } else { "" };
    let heading = format!("{mark}operation {}: {}", operation.id, operation.summary);
    let mut lines = vec![
        style::strong(&heading),
        format!(
            "   {} by {}, took {}",
            units::time(operation.at_ms, zone),
            operation.who,
            units::duration_ms(operation.duration_ms)
        ),
        format!("   {}", operation.command.join(" ")),
        style::faint(&format!("   generation {}", operation.after)),
    ];
    lines.extend(
        changes::lines(&operation.changes)
            .into_iter()
            .map(|line| format!("  {line}")),
    );
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;
    use crate::ipc::protocol::PackageChangeView;

    fn operation(id: u64, current: bool) -> OperationView {
        let generation = "ab".repeat(32).parse().expect("a digest");
        OperationView {
            id,
            kind: "install".into(),
            summary: "install flask".into(),
            at_ms: 1_782_000_000_000,
            duration_ms: 1250,
            who: "ada".into(),
            command: vec!["blast".into(), "install".into(), "flask".into()],
            before: None,
            after: generation,
            current,
            changes: vec![PackageChangeView {
                name: "flask".into(),
                before: None,
                after: Some("3.1".into()),
            }],
        }
    }

    #[test]
    fn the_present_state_is_marked() {
        let text = render(&[operation(2, true), operation(1, false)], &TimeZone::UTC);
        insta::assert_snapshot!(strip_str(&text).to_string(), @r"
           Id  When              What           Changes
        @  2   2026-06-21 00:00  install flask  +1
           1   2026-06-21 00:00  install flask  +1
        ");
    }

    #[test]
    fn the_long_form_tells_who_and_how() {
        let text = render_whole(&operation(2, true), &TimeZone::UTC);
        insta::assert_snapshot!(strip_str(&text).to_string(), @r"
        @ operation 2: install flask
           2026-06-21 00:00 by ada, took 1.2 s
           blast install flask
           generation abababababababababababababababababababababababababababababababab
           + flask==3.1
        ");
    }
}
