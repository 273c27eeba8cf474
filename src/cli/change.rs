//! Changing an environment, and saying what changed.

use blast_types::EnvName;

use super::context::Context;
use super::options::{EnvOption, JsonOption};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{Changed, Reply, Request};
use crate::ui::changes;

/// Asks for a change and reports it, as JSON if that was asked for. `undo` is the command that takes
/// it back.
pub(super) fn ask(
    context: &Context,
    request: Request,
    (env, json): (&EnvOption, &JsonOption),
    undo: &str,
) -> Result<Exit, Error> {
    match context.ask(request)? {
        Reply::Changed(changed) if json.json => context.printer.json(&changed).map(|()| Exit::Ok),
        Reply::Changed(changed) => report(context, &changed, env.env.as_ref(), undo),
        _ => Err(Error::unexpected_reply()),
    }
}

/// Says what changed: what a dry run would do is the answer and goes to stdout, what was done is
/// talk. `named` is the environment if the user had to name it.
pub(super) fn report(
    context: &Context,
    changed: &Changed,
    named: Option<&EnvName>,
    undo: &str,
) -> Result<Exit, Error> {
    let printer = context.printer;
    let lines = changes::lines(&changed.changes);
    if changed.dry_run && !lines.is_empty() {
        printer.data(&(lines.join("\n") + "\n"))?;
    }
    if let Some(summary) = &changed.summary {
        printer.say(summary);
    }
    if !changed.dry_run {
        for line in lines {
            printer.say(line);
        }
    }
    let undo = named.map_or_else(|| undo.to_owned(), |env| format!("{undo} --env {env}"));
    printer.say(changes::closing(changed, &undo));
    if let Some(generation) = changed.generation {
        printer.debug(format!("generation {generation}"));
    }
    Ok(Exit::Ok)
}
