//! `blast check`: look for damage in the store, and mend it.

use serde::Serialize;

use super::context::Context;
use super::options::{JsonOption, SourceOptions};
use super::sources::{self, FromFiles};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{DriftView, FindingView, Reply, Request};
use crate::ui::{style, units};

/// Check that the store holds all that environments refer to, undamaged
///
/// The exit status is 1 if a defect is found, with `--repair` if one is left. What programs wrote into
/// environments is told as drift, which is no defect.
#[derive(Debug, clap::Args)]
#[command(mut_group("SourceOptions", |group| group.requires("repair")))]
pub(super) struct Args {
    /// Read every byte and compare its hash
    #[arg(long)]
    deep: bool,
    /// Read every byte, and bring back what is lost or damaged, from the index where needed
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    json: JsonOption,
    #[command(flatten)]
    sources: SourceOptions,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    deep: bool,
    objects: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    mended: Option<&'a [FindingView]>,
    findings: &'a [FindingView],
    #[serde(skip_serializing_if = "Option::is_none")]
    drift: Option<&'a [DriftView]>,
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    if args.repair {
        return repair(args, context);
    }
    let deep = args.deep;
    let Reply::Checked {
        objects,
        bytes,
        findings,
        drift,
    } = context.ask(Request::Check { deep })?
    else {
        return Err(Error::unexpected_reply());
    };
    if args.json.json {
        context.printer.json(&Document {
            deep,
            objects,
            bytes,
            mended: None,
            findings: &findings,
            drift: Some(&drift),
        })?;
    } else {
        context.printer.data(&render(&findings))?;
        for one in &drift {
            let line = format!("drift: {}: {}", one.environment, one.message);
            context.printer.say(line);
        }
    }
    let looked = looked_at(objects, bytes);
    if findings.is_empty() {
        context
            .printer
            .say(format!("{looked}: {}", style::good("all is well")));
        return Ok(Exit::Ok);
    }
    let defects = units::count(findings.len(), "defect");
    context.printer.say(format!(
        "{looked}: {}; `blast check --repair` mends what can be mended",
        style::bad(&defects)
    ));
    Ok(Exit::No)
}

fn repair(args: &Args, context: &Context) -> Result<Exit, Error> {
    let sources = sources::compute(context, &args.sources, &FromFiles::default())?;
    let Reply::Repaired {
        objects,
        bytes,
        mended,
        findings,
        in_use,
    } = context.ask(Request::Repair { sources })?
    else {
        return Err(Error::unexpected_reply());
    };
    if args.json.json {
        context.printer.json(&Document {
            deep: true,
            objects,
            bytes,
            mended: Some(&mended),
            findings: &findings,
            drift: None,
        })?;
    } else {
        context.printer.data(&render(&findings))?;
    }
    for finding in &mended {
        let kind = style::good(&format!("mended {}:", finding.kind));
        context.printer.say(format!("{kind} {}", finding.message));
    }
    if in_use && !mended.is_empty() {
        context.printer.say(
            "programs that run in an environment may have read damaged bytes: end them, then \
             `blast kill --all`, so that nothing of it is kept in memory",
        );
    }
    let looked = looked_at(objects, bytes);
    if findings.is_empty() {
        let said = if mended.is_empty() {
            "all is well".to_owned()
        } else {
            format!("all {} mended", units::count(mended.len(), "defect"))
        };
        context
            .printer
            .say(format!("{looked}: {}", style::good(&said)));
        return Ok(Exit::Ok);
    }
    let said = format!("{} left", units::count(findings.len(), "defect"));
    context
        .printer
        .say(format!("{looked}: {}", style::bad(&said)));
    Ok(Exit::No)
}

fn looked_at(objects: u64, bytes: u64) -> String {
    format!(
        "looked at {}, read {}",
        units::count(usize::try_from(objects).unwrap_or(usize::MAX), "object"),
        units::bytes(bytes)
    )
}

fn render(findings: &[FindingView]) -> String {
    let line = |finding: &FindingView| {
        let touched = if finding.environments.is_empty() {
            String::new()
        } else {
            format!(" (touches {})", finding.environments.join(", "))
        };
        let remedy = match &finding.remedy {
            Some(remedy) => format!("  {remedy}\n"),
            None => String::new(),
        };
        let kind = style::bad(&format!("{}:", finding.kind));
        format!("{kind} {}{touched}\n{remedy}", finding.message)
    };
    findings.iter().map(line).collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    #[test]
    fn a_finding_names_kind_and_environments_and_what_to_do() {
        let finding = FindingView {
            kind: "missing-blob".into(),
            message: "blob ab of flask 3.1 is gone".into(),
            environments: vec!["demo".into(), "web".into()],
            remedy: Some("fetch it".into()),
        };
        assert_eq!(
            strip_str(&render(&[finding])).to_string(),
            "missing-blob: blob ab of flask 3.1 is gone (touches demo, web)\n  fetch it\n"
        );
    }
}
