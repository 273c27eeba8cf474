//! `blast audit`: what programs in sandboxes reached for, and what was decided.

use std::thread;
use std::time::Duration;

use blast_sandbox::audit::log::Log;
use blast_sandbox::audit::suggest::{Suggestion, suggest};
use blast_sandbox::audit::{Decision, Entry};
use blast_types::EnvName;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::context::Context;
use super::options::JsonOption;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ui::table::Table;
use crate::ui::units;

/// How often the log is looked at while it is followed.
const PAUSE: Duration = Duration::from_millis(200);

/// Show what programs in sandboxes reached for, and what was decided
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only what was denied
    #[arg(long)]
    denied: bool,
    /// Only this environment
    #[arg(long, value_name = "NAME")]
    env: Option<EnvName>,
    /// Show at most so many lines, the last ones
    #[arg(short = 'n', long = "limit", value_name = "NUMBER")]
    limit: Option<usize>,
    /// Go on showing what is decided, until interrupted
    #[arg(long, conflicts_with_all = ["suggest", "limit"])]
    follow: bool,
    /// Show the commands that would have allowed what was denied
    #[arg(long, conflicts_with_all = ["denied", "limit"])]
    suggest: bool,
    #[command(flatten)]
    json: JsonOption,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    entries: &'a [&'a Entry],
}

#[derive(Debug, Serialize)]
struct Suggestions {
    suggestions: Vec<Suggestion>,
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    let log = Log::new(&context.places()?.home);
    let failed = |error: std::io::Error| Error::io("read", &log.path(), &error);
    if args.follow {
        return follow(args, context, &log);
    }
    let all = log.read().map_err(failed)?;
    let of_env = |entry: &&Entry| {
        let wanted = args.env.as_ref().map(EnvName::as_str);
        wanted.is_none_or(|wanted| entry.who.environment == wanted)
    };
    if args.suggest {
        let suggestions = suggest(all.iter().filter(of_env));
        if args.json.json {
            context.printer.json(&Suggestions { suggestions })?;
        } else {
            let lines = suggestions.iter().map(|each| format!("{}\n", each.allow));
            context.printer.data(&lines.collect::<String>())?;
        }
        return Ok(Exit::Ok);
    }
    let mut entries: Vec<&Entry> = all.iter().filter(|entry| is_wanted(args, entry)).collect();
    let surplus = entries
        .len()
        .saturating_sub(args.limit.unwrap_or(usize::MAX));
    entries.drain(..surplus);
    if args.json.json {
        context.printer.json(&Document { entries: &entries })?;
        return Ok(Exit::Ok);
    }
    context
        .printer
        .data(&render(&entries, &TimeZone::system()))?;
    if entries.is_empty() {
        context
            .printer
            .say("the audit log has nothing of that kind");
    }
    Ok(Exit::Ok)
}

fn is_wanted(args: &Args, entry: &Entry) -> bool {
    let wanted = args.env.as_ref().map(EnvName::as_str);
    wanted.is_none_or(|wanted| entry.who.environment == wanted)
        && (!args.denied || entry.decision == Decision::Denied)
}

/// Lines as they come: of text, or of JSON, one each.
fn follow(args: &Args, context: &Context, log: &Log) -> Result<Exit, Error> {
    let failed = |error: std::io::Error| Error::io("read", &log.path(), &error);
    let zone = TimeZone::system();
    let mut follower = log.follow().map_err(failed)?;
    loop {
        for entry in follower.news().map_err(failed)? {
            if !is_wanted(args, &entry) {
                continue;
            }
            let line = if args.json.json {
                serde_json::to_string(&entry)
                    .map_err(|error| Error::internal("cannot write JSON").caused_by(&error))?
            } else {
                cells(&entry, &zone).join("  ")
            };
            context.printer.data(&format!("{line}\n"))?;
        }
        thread::sleep(PAUSE);
    }
}

fn render(entries: &[&Entry], zone: &TimeZone) -> String {
    let mut table = Table::new(&["When", "Environment", "Decision", "What", "Passed", "Rule"]);
    for entry in entries {
        table.row(cells(entry, zone));
    }
    table.render()
}

fn cells(entry: &Entry, zone: &TimeZone) -> [String; 6] {
    let decision = match entry.decision {
        Decision::Allowed => "allowed",
        Decision::Denied => "denied",
        Decision::Failed => "failed",
    };
    let passed = entry.traffic.map(|traffic| {
        format!(
            "{} out, {} in",
            units::bytes(traffic.sent_bytes),
            units::bytes(traffic.received_bytes)
        )
    });
    // What a program asks for is its own words: none of them shall steer the terminal.
    [
        units::time(i64::try_from(entry.at_ms).unwrap_or(i64::MAX), zone),
        entry.who.environment.clone(),
        decision.to_owned(),
        format!("{} {}", entry.kind, entry.target),
        passed.unwrap_or_default(),
        entry.rule.clone(),
    ]
    .map(|cell| cell.replace(char::is_control, "?"))
}
