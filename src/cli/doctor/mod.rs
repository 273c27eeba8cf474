//! `blast doctor`: what of this machine, this user and this directory blast can and cannot use.
//!
//! Works without the daemon, since what keeps it from starting is what one wants to know. Each
//! check is a value ([`Check`]); those of the host are in [`host`], of our own state in [`state`],
//! of what packages and interpreters come from in [`origins`].

mod host;
mod origins;
mod state;

use serde::Serialize;

use super::context::Context;
use super::options::{JsonOption, SourceOptions};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ui::{style, units};

/// Check what this machine offers and say how to mend what is missing
///
/// The exit status is 1 if something is missing that blast cannot do without.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    json: JsonOption,
    #[command(flatten)]
    sources: SourceOptions,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    /// As it should be.
    Ok,
    /// Something does not work that one can do without.
    Warn,
    /// Blast cannot work like this.
    Fail,
}

/// The result of looking at one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    message: String,
    /// The way out; empty where all is well.
    hints: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    checks: &'a [Check],
}

impl Check {
    fn new(name: &'static str, verdict: Verdict, message: impl Into<String>) -> Self {
        Self {
            name,
            verdict,
            message: message.into(),
            hints: Vec::new(),
        }
    }

    fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self::new(name, Verdict::Ok, message)
    }

    fn warn(name: &'static str, message: impl Into<String>) -> Self {
        Self::new(name, Verdict::Warn, message)
    }

    fn fail(name: &'static str, message: impl Into<String>) -> Self {
        Self::new(name, Verdict::Fail, message)
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    let mut checks = host::checks(context.settings()?.view, context.places().ok());
    checks.extend(state::checks(context)?);
    checks.extend(origins::checks(context, &args.sources)?);
    if args.json.json {
        context.printer.json(&Document { checks: &checks })?;
    } else {
        context.printer.data(&render(&checks))?;
    }
    let count = |verdict| {
        checks
            .iter()
            .filter(|check| check.verdict == verdict)
            .count()
    };
    match (count(Verdict::Fail), count(Verdict::Warn)) {
        (0, 0) => context.printer.say("all is well"),
        (0, warnings) => {
            context.printer.say(format!(
                "usable, with {}",
                units::count(warnings, "warning")
            ));
        }
        (failures, _) => {
            context
                .printer
                .say(format!("{} to mend", units::count(failures, "thing")));
            return Ok(Exit::No);
        }
    }
    Ok(Exit::Ok)
}

fn render(checks: &[Check]) -> String {
    let wide = checks
        .iter()
        .map(|check| check.name.len())
        .max()
        .unwrap_or(0);
    let mut lines = Vec::new();
    for check in checks {
        let verdict = match check.verdict {
            Verdict::Ok => style::good("ok  "),
            Verdict::Warn => style::careful("warn"),
            Verdict::Fail => style::bad("fail"),
        };
        let name = check.name;
        lines.push(format!("{verdict}  {name:<wide$}  {}\n", check.message));
        let margin = " ".repeat(wide + 8);
        for hint in &check.hints {
            lines.push(format!("{margin}{} {hint}\n", style::hint("hint:")));
        }
    }
    lines.concat()
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    #[test]
    fn a_check_that_failed_shows_the_way_out() {
        let checks = [
            Check::ok("store", "/home/blast"),
            Check::fail("fuse", "/dev/fuse does not exist").hint("modprobe fuse"),
        ];
        insta::assert_snapshot!(strip_str(&render(&checks)).to_string(), @r"
        ok    store  /home/blast
        fail  fuse   /dev/fuse does not exist
                     hint: modprobe fuse
        ");
    }
}
