//! `blast python`: interpreters.

use clap::Subcommand;
use serde::Serialize;

use super::context::Context;
use super::options::JsonOption;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{PythonView, Reply, Request};
use crate::ui::table::Table;

/// Show the Python interpreters of this machine
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the interpreters that environments can be made of, the preferred one first
    List(JsonOption),
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    pythons: &'a [PythonView],
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    let Command::List(json) = &args.command;
    let search = Context::python_search(context.cwd()?);
    let Reply::Pythons { pythons } = context.ask(Request::Pythons { search })? else {
        return Err(Error::unexpected_reply());
    };
    if json.json {
        context.printer.json(&Document { pythons: &pythons })?;
    } else {
        context.printer.data(&render(&pythons))?;
    }
    if pythons.iter().any(|python| python.unusable.is_none()) {
        Ok(Exit::Ok)
    } else {
        context
            .printer
            .say("no usable interpreter found: install CPython 3.8 to 3.14");
        Ok(Exit::No)
    }
}

fn render(pythons: &[PythonView]) -> String {
    let mut table = Table::new(&["Version", "Path", "Found by"]);
    for python in pythons {
        let version = if python.implementation == "cpython" {
            python.version.clone()
        } else {
            format!("{} {}", python.implementation, python.version)
                .trim()
                .to_owned()
        };
        let source = match &python.unusable {
            Some(reason) => format!("{} (not usable: {reason})", python.source),
            None => python.source.clone(),
        };
        table.row([version, python.path.display().to_string(), source]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    fn python(version: &str, implementation: &str, unusable: Option<&str>) -> PythonView {
        PythonView {
            version: version.into(),
            implementation: implementation.into(),
            path: "/bin/python3".into(),
            source: "PATH".into(),
            unusable: unusable.map(Into::into),
        }
    }

    #[test]
    fn an_unusable_interpreter_says_why() {
        let all = [
            python("3.12.1", "cpython", None),
            python("3.10", "pypy", Some("no CPython")),
        ];
        insta::assert_snapshot!(strip_str(&render(&all)).to_string(), @r"
        Version    Path          Found by
        3.12.1     /bin/python3  PATH
        pypy 3.10  /bin/python3  PATH (not usable: no CPython)
        ");
    }
}
