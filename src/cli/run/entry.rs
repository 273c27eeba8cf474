//! The Python of an environment, run by its path from outside ([`crate::launcher`]): as `blast run` does it, but without a
//! word of its own to the program, whose variables are its caller's.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::Path;

use blast_sandbox::plan::Writes;

use super::{not_run, pip, shim};
use crate::cli::context::Context;
use crate::cli::sandbox::{self, Inside, Outcome, SandboxOptions};
use crate::env_vars;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{Place, Reply, Request};
use crate::launcher::{self, Owner};
use crate::namespace;
use crate::ui::Printer;

/// Runs it. Errors are shown here.
pub(crate) fn enter(printer: Printer, program: &Path, arguments: &[OsString]) -> Exit {
    run(printer, program, arguments).unwrap_or_else(|error| crate::cli::fail(printer, &error))
}

fn run(printer: Printer, program: &Path, arguments: &[OsString]) -> Result<Exit, Error> {
    let (home, env, program) = match launcher::owner_of_program(program)? {
        Owner::Environment(home, env, program) => (home, env, program),
        Owner::Interpreter(interpreter) => {
            return Err(launcher::become_interpreter(
                &interpreter,
                program,
                arguments,
            ));
        }
    };
    if sandbox::is_none_for_all()? {
        // Whatever its project says, so nobody needs to be asked for that.
        let interpreter = launcher::interpreter_of(&program)?;
        return Err(launcher::become_interpreter(
            &interpreter,
            &program,
            arguments,
        ));
    }
    let mut command = vec![program.clone().into_os_string()];
    command.extend_from_slice(arguments);
    let typed = command
        .iter()
        .map(|word| word.to_string_lossy().into_owned());
    let context = Context::new(printer, typed.collect()).at_home(home);
    let request = Request::Enter { env, pin: false };
    let Reply::Entered { place } = context.ask(request)? else {
        return Err(Error::unexpected_reply());
    };
    namespace::follow(&place)?;
    if let Some(arguments) = shim::call(&place.prefix, &command) {
        return pip(&place, arguments, &BTreeMap::new());
    }
    let plain =
        |place: &Place| launcher::become_interpreter(&place.interpreter, &program, arguments);
    let options = SandboxOptions::default();
    let Some(merged) = sandbox::policy(&options, &BTreeMap::new(), &context, &place)? else {
        return Err(plain(&place));
    };
    let inside = Inside {
        place: &place,
        variables: variables(&place),
        writes: Writes::Private,
        command: &command,
    };
    match sandbox::run(&options, &merged, &context, inside)? {
        Outcome::Ended(end) => Ok(sandbox::exit(end)),
        Outcome::NotStarted(failed) => Err(not_run(program.as_os_str(), &failed, &place)),
        Outcome::NoSandbox => Err(plain(&place)),
    }
}

/// Of the caller's variables those that activation made.
fn variables(place: &Place) -> BTreeMap<OsString, OsString> {
    let names = [
        env_vars::VIRTUAL_ENV,
        env_vars::VIRTUAL_ENV_PROMPT,
        env_vars::BLAST_ENV,
    ];
    let own = place.variables.keys().map(String::as_str);
    names
        .into_iter()
        .chain(own)
        .filter_map(|name| Some((name.into(), env::var_os(name)?)))
        .collect()
}
