//! `blast check`: look for damage in the store.

use serde::Serialize;

use super::context::Context;
use super::options::JsonOption;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{FindingView, Reply, Request};
use crate::ui::{style, units};

/// Check that the store holds all that environments refer to, undamaged
///
/// The exit status is 1 if a defect is found.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Read every byte and compare its hash
    #[arg(long)]
    deep: bool,
    #[command(flatten)]
    json: JsonOption,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    deep: bool,
    objects: u64,
    bytes: u64,
    findings: &'a [FindingView],
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    let deep = args.deep;
    let Reply::Checked {
        objects,
        bytes,
        findings,
    } = context.ask(Request::Check { deep })?
    else {
        return Err(Error::unexpected_reply());
    };
    if args.json.json {
        context.printer.json(&Document {
            deep,
            objects,
            bytes,
            findings: &findings,
        })?;
    } else {
        context.printer.data(&render(&findings))?;
    }
    let looked = format!(
        "looked at {}, read {}",
        units::count(usize::try_from(objects).unwrap_or(usize::MAX), "object"),
        units::bytes(bytes)
    );
    if findings.is_empty() {
        context
            .printer
            .say(format!("{looked}: {}", style::good("all is well")));
        Ok(Exit::Ok)
    } else {
        let defects = units::count(findings.len(), "defect");
        context
            .printer
            .say(format!("{looked}: {}", style::bad(&defects)));
        Ok(Exit::No)
    }
}

fn render(findings: &[FindingView]) -> String {
    let line = |finding: &FindingView| {
        let touched = if finding.environments.is_empty() {
            String::new()
        } else {
            format!(" (touches {})", finding.environments.join(", "))
        };
        let kind = style::bad(&format!("{}:", finding.kind));
        format!("{kind} {}{touched}\n", finding.message)
    };
    findings.iter().map(line).collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    #[test]
    fn a_finding_names_kind_and_environments() {
        let finding = FindingView {
            kind: "missing-blob".into(),
            message: "blob ab of flask 3.1 is gone".into(),
            environments: vec!["demo".into(), "web".into()],
        };
        assert_eq!(
            strip_str(&render(&[finding])).to_string(),
            "missing-blob: blob ab of flask 3.1 is gone (touches demo, web)\n"
        );
    }
}
