//! `blast config`: the policy that holds here, and where each line of it is written.

use blast_sandbox::policy::merge::Line;
use serde::Serialize;

use super::context::Context;
use super::options::JsonOption;
use super::policy;
use super::project::Project;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ui::table::Table;

/// Show the policy of the sandbox here, and where each line of it is written
///
/// It is merged from `[sandbox]` of `/etc/blast/config.toml` and of your `blast/config.toml`, and
/// `[tool.blast.sandbox]` of the project's `pyproject.toml`: what is allowed adds up, a denial or a
/// limit holds whoever says it, and of two the stricter.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    json: JsonOption,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    level: &'static str,
    sandbox: &'a [Line],
    files: Vec<File>,
}

#[derive(Debug, Serialize)]
struct File {
    path: String,
    exists: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    let project = Project::root_of(context.cwd()?);
    let mut merged = policy::merged(project.as_deref(), None)?;
    let of_builds = policy::of_builds(project.as_deref())?;
    merged.lines.extend(of_builds.lines);
    let files = policy::files(project.as_deref())
        .into_iter()
        .map(|file| File {
            exists: file.path.exists(),
            path: file.path.display().to_string(),
        });
    if args.json.json {
        context.printer.json(&Document {
            level: merged.policy.level.as_str(),
            sandbox: &merged.lines,
            files: files.collect(),
        })?;
        return Ok(Exit::Ok);
    }
    context.printer.data(&render(&merged.lines))?;
    if merged.lines.is_empty() {
        context
            .printer
            .say("no file says anything about the sandbox; looked for:");
        for file in files {
            context.printer.say(format!("  {}", file.path));
        }
    }
    Ok(Exit::Ok)
}

fn render(lines: &[Line]) -> String {
    let mut table = Table::new(&["Key", "Value", "Written in", "Holds"]);
    for line in lines {
        let holds = match &line.overruled_by {
            Some(by) => format!("no, overruled by {by}"),
            None => "yes".to_owned(),
        };
        table.row([
            line.key.clone(),
            line.value.clone(),
            line.origin.to_string(),
            holds,
        ]);
    }
    table.render()
}
