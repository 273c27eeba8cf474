//! A bare `blast`: on a terminal, what to do next from here; elsewhere, the help.

use clap::CommandFactory as _;

use super::context::Context;
use super::select::{self, Selection};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ui::{Printer, style};

/// Runs the command.
pub(super) fn run(context: &Context) -> Result<Exit, Error> {
    let text = if Printer::stdout_is_terminal() {
        render(&select::select(&context.surroundings()?)?)
    } else {
        super::Cli::command().render_help().to_string()
    };
    context.printer.data(&text)?;
    Ok(Exit::Ok)
}

/// What to do next. Says nothing that would need the daemon.
fn render(selection: &Selection) -> String {
    let (state, steps): (String, &[(&str, &str)]) = match selection {
        Selection::Env(name) => (
            format!("environment {name} is meant here"),
            &[
                ("blast install flask", "add a package"),
                ("blast run -- python", "run something in it"),
                ("blast list", "see what it holds"),
                (
                    "blast log",
                    "see its history; `blast revert` undoes the last step",
                ),
            ],
        ),
        Selection::Project(root) => (
            format!("the project {} has no environment yet", root.display()),
            &[(
                "eval \"$(blast start)\"",
                "make one from pyproject.toml, link it as .venv and activate it",
            )],
        ),
        Selection::Nothing => (
            "no environment is active, and there is no project here".to_owned(),
            &[
                (
                    "eval \"$(blast start demo)\"",
                    "make an environment and activate it",
                ),
                ("blast install flask --env demo", "add a package"),
                ("blast envs", "list all environments"),
            ],
        ),
    };
    let mut lines = vec![state, String::new()];
    let wide = steps
        .iter()
        .map(|(command, _)| command.len())
        .max()
        .unwrap_or(0);
    for (command, meaning) in steps {
        let gap = " ".repeat(wide - command.len());
        lines.push(format!("  {}{gap}  {meaning}", style::strong(command)));
    }
    lines.push(String::new());
    lines.push("`blast --help` lists all commands, `blast doctor` checks this machine".to_owned());
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    #[test]
    fn the_next_step_depends_on_where_one_stands() {
        let shown = |selection: &Selection| strip_str(&render(selection)).to_string();
        insta::assert_snapshot!(shown(&Selection::Project("/src/app".into())), @r#"
        the project /src/app has no environment yet

          eval "$(blast start)"  make one from pyproject.toml, link it as .venv and activate it

        `blast --help` lists all commands, `blast doctor` checks this machine
        "#);
        insta::assert_snapshot!(shown(&Selection::Nothing), @r#"
        no environment is active, and there is no project here

          eval "$(blast start demo)"      make an environment and activate it
          blast install flask --env demo  add a package
          blast envs                      list all environments

        `blast --help` lists all commands, `blast doctor` checks this machine
        "#);
        let active = shown(&Selection::Env("demo".parse().expect("valid")));
        assert!(active.contains("blast revert"), "{active}");
    }
}
