//! `blast list`: what an environment holds.

use blast_types::EnvName;
use serde::Serialize;

use super::context::Context;
use super::options::TellingOptions;
use super::outdated::{self, Newer};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{PackageView, Reply, Request};
use crate::ui::table::Table;

/// List the packages of an environment
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only those of which there is a newer version, as `blast outdated`
    #[arg(long)]
    outdated: bool,
    #[command(flatten)]
    of: TellingOptions,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    environment: &'a EnvName,
    packages: &'a [PackageView],
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    let env = context.env(&args.of.env)?;
    if args.outdated {
        return outdated::show(&env, &Newer::default(), args.of.json.json, context);
    }
    let Reply::Packages { packages } = context.ask(Request::List { env: env.clone() })? else {
        return Err(Error::unexpected_reply());
    };
    if args.of.json.json {
        context.printer.json(&Document {
            environment: &env,
            packages: &packages,
        })?;
    } else {
        context.printer.data(&render(&packages))?;
        if packages.is_empty() {
            context
                .printer
                .say(format!("environment {env} holds no packages"));
        }
    }
    Ok(Exit::Ok)
}

fn render(packages: &[PackageView]) -> String {
    let with_origin = packages
        .iter()
        .any(|package| package.direct_url.is_some() || package.captured);
    let heading: &[&str] = if with_origin {
        &["Package", "Version", "From"]
    } else {
        &["Package", "Version"]
    };
    let mut table = Table::new(heading);
    for package in packages {
        let captured = package.captured.then(|| "captured writes".to_owned());
        let origin = package.direct_url.clone().or(captured).unwrap_or_default();
        table.row([package.name.clone(), package.version.clone(), origin]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    fn package(name: &str, direct_url: Option<&str>) -> PackageView {
        PackageView {
            name: name.into(),
            version: "1.0".into(),
            requested: true,
            direct_url: direct_url.map(Into::into),
            layer: "0".into(),
            captured: false,
        }
    }

    #[test]
    fn origins_are_shown_where_there_are_any() {
        let plain = render(&[package("a", None)]);
        insta::assert_snapshot!(strip_str(&plain).to_string(), @r"
        Package  Version
        a        1.0
        ");
        let mixed = render(&[package("a", None), package("b", Some("file:///b.whl"))]);
        insta::assert_snapshot!(strip_str(&mixed).to_string(), @r"
        Package  Version  From
        a        1.0
        b        1.0      file:///b.whl
        ");
    }
}
