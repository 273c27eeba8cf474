//! `blast run`: run a command in an environment.
//!
//! The command takes the place of this process, so signals, terminal and exit status are its own; in a
//! sandbox ([`super::sandbox`]), and where what it writes is looked after ([`writing`]), this process waits
//! outside, passes signals on and ends as the command did.

mod entry;
mod script;
mod shim;
pub(super) mod writing;

pub(crate) use self::entry::enter;

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use blast_sandbox::{Level, plan};

use self::writing::Writer;
use super::context::Context;
use super::options::EnvOption;
use super::sandbox::{self, Inside, Outcome, SandboxOptions};
use super::venv_link;
use crate::activation::TOOLS;
use crate::env_vars;
use crate::error::{Error, Kind};
use crate::exit_code::Exit;
use crate::ipc::protocol::{Place, Reply, Request, Writes};
use crate::namespace;
use blast_types::EnvName;

/// Run a command in an environment, without activating it
///
/// A script (`blast run script.py`) is run by the environment's Python. One that says what it needs, in a block
/// `# /// script` (PEP 723), gets an environment of its own that holds just that, unless `--env` names another.
///
/// The exit status is the command's own; 127 if it is not found, 126 if it cannot be executed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The command is a Python script, whatever its name ends in
    #[arg(short, long)]
    script: bool,
    /// Show the command the present state for its whole life, whatever happens to the environment
    #[arg(long)]
    pin: bool,
    /// What becomes of what the command writes into the environment: `capture` makes an operation of
    /// it, `discard` throws it away, `deny` forbids it
    #[arg(
        long,
        value_name = "WHAT",
        hide_possible_values = true,
        conflicts_with = "pin"
    )]
    writes: Option<Writes>,
    /// Use this environment (default: the active one, else that of the project here); with `=`, give the
    /// command this variable
    #[arg(long = "env", value_name = "NAME|VARIABLE=VALUE", value_parser = word)]
    env: Vec<Word>,
    /// The command and its arguments
    #[arg(value_name = "COMMAND", required = true)]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
    #[command(flatten)]
    sandbox: SandboxOptions,
}

/// What `--env` says: no name of an environment has a `=`.
#[derive(Debug, Clone)]
enum Word {
    Name(EnvName),
    Variable(String, String),
}

fn word(text: &str) -> Result<Word, String> {
    match text.split_once('=') {
        Some(("", _)) => Err("a variable has a name".to_owned()),
        Some((name, value)) => Ok(Word::Variable(name.to_owned(), value.to_owned())),
        None => {
            let name = text.parse::<EnvName>();
            name.map(Word::Name).map_err(|error| error.to_string())
        }
    }
}

impl Args {
    /// The environment, and variables that the command is given.
    fn named(&self) -> Result<(EnvOption, BTreeMap<String, String>), Error> {
        let mut env = None;
        let mut given = BTreeMap::new();
        for word in &self.env {
            match word {
                Word::Name(_) if env.is_some() => {
                    return Err(Error::usage("a command runs in one environment").hint(
                        "`--env NAME` once, and `--env VARIABLE=VALUE` as often as you like",
                    ));
                }
                Word::Name(name) => env = Some(name.clone()),
                Word::Variable(name, value) => {
                    given.insert(name.clone(), value.clone());
                }
            }
        }
        Ok((EnvOption { env }, given))
    }
}

/// Runs the command. Returns only if that fails.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    let (named, given) = args.named()?;
    let script = script::named(args, context)?;
    let of_its_own = match (&script, &named.env) {
        (Some(script), None) => script.environment(context)?,
        _ => None,
    };
    let env = of_its_own.map_or_else(|| context.env(&named), Ok)?;
    let command = script.map_or_else(|| args.command.clone(), script::Script::command);
    let writes = match args.writes {
        None if !args.pin => context.settings()?.writes,
        given => given,
    };
    let request = Request::Enter {
        env: env.clone(),
        pin: args.pin,
    };
    let Reply::Entered { place } = context.ask(request)? else {
        return Err(Error::unexpected_reply());
    };
    let prefix = if args.pin {
        place.prefix.clone()
    } else {
        visible_prefix(context, &place)?
    };
    let [program, arguments @ ..] = command.as_slice() else {
        return Err(Error::usage("no command to run"));
    };
    namespace::follow(&place)?;
    let variables = variables(&place, &prefix)?;
    if let Some(arguments) = shim::call(&prefix, &command) {
        return pip(&place, arguments, &given);
    }
    let merged = sandbox::policy(&args.sandbox, &given, context, &place)?;
    // Looking after writes is asked for by name, so it goes without a sandbox that nobody asked for.
    let merged = merged.filter(|merged| writes.is_none() || sandbox::is_asked_for(merged));
    if let Some(writes) = writes {
        let looked_after = Writer {
            env: &env,
            command: &command,
            shown: words(&command),
            writes,
            given: &given,
            kept: merged.as_ref().map(|merged| (&args.sandbox, merged)),
        };
        return looked_after.run(context);
    }
    if let Some(merged) = merged {
        let inside = Inside {
            place: &place,
            variables: variables.clone(),
            writes: plan::Writes::Private,
            command: &command,
        };
        match sandbox::run(&args.sandbox, &merged, context, inside)? {
            Outcome::Ended(end) => return Ok(sandbox::exit(end)),
            Outcome::NotStarted(failed) => return Err(not_run(program, &failed, &place)),
            Outcome::NoSandbox => {}
        }
    }
    let failed = Command::new(program)
        .args(arguments)
        .env_remove(env_vars::PYTHONHOME)
        // The environment's own Python would enter one otherwise.
        .env(env_vars::BLAST_SANDBOX, Level::None.as_str())
        .envs(variables)
        .envs(given)
        .exec();
    Err(not_run(program, &failed, &place))
}

/// Carries out what the shim of pip was asked for.
fn pip(
    place: &Place,
    arguments: Vec<OsString>,
    given: &BTreeMap<String, String>,
) -> Result<Exit, Error> {
    let prefix = place.prefix.clone().into_os_string();
    let mut words = vec!["blast".into(), crate::cli::pip::COMMAND.into(), prefix];
    words.extend(arguments);
    if given.is_empty() {
        return Ok(crate::cli::pip::main(&words));
    }
    let (name, words) = words.split_first().ok_or_else(Error::unexpected_reply)?;
    let failed = Command::new("/proc/self/exe")
        .arg0(name)
        .args(words)
        .envs(given)
        .exec();
    Err(not_run(name, &failed, place))
}

/// A command line as the history has it.
fn words(command: &[OsString]) -> Vec<String> {
    let words = command
        .iter()
        .map(|word| word.to_string_lossy().into_owned());
    words.collect()
}

/// The same as activation exports; kept apart because no shell limits what it can be.
fn variables(place: &Place, prefix: &Path) -> Result<BTreeMap<OsString, OsString>, Error> {
    let path = path_with(prefix, env::var_os(env_vars::PATH))?;
    let prompt = format!("blast:{}", place.env);
    let own = place.variables.iter();
    let mut variables: BTreeMap<OsString, OsString> = own
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    variables.insert(env_vars::VIRTUAL_ENV.into(), prefix.into());
    variables.insert(env_vars::VIRTUAL_ENV_PROMPT.into(), prompt.into());
    variables.insert(env_vars::BLAST_ENV.into(), place.env.as_str().into());
    variables.insert(env_vars::PATH.into(), path);
    Ok(variables)
}

/// The environment's prefix as its user knows it: the project's `.venv` if it leads here.
pub(super) fn visible_prefix(context: &Context, place: &Place) -> Result<PathBuf, Error> {
    let live = context.places()?.live();
    Ok(place
        .project
        .as_deref()
        .filter(|project| venv_link::leads_to(project, &place.env, &live))
        .map_or_else(|| place.prefix.clone(), venv_link::path))
}

fn path_with(prefix: &Path, path: Option<OsString>) -> Result<OsString, Error> {
    let ours = [prefix.join("bin"), prefix.join(TOOLS)];
    let rest = path.unwrap_or_default();
    let rest = env::split_paths(&rest).filter(|entry| !ours.contains(entry));
    env::join_paths(ours.iter().cloned().chain(rest)).map_err(|error| {
        Error::internal("the place of the environment does not fit into `PATH`").caused_by(&error)
    })
}

fn not_run(program: &OsStr, error: &io::Error, place: &Place) -> Error {
    let name = program.to_string_lossy();
    if error.kind() == io::ErrorKind::NotFound {
        let has_slash = name.contains('/');
        let missing = Error::new(
            Kind::CommandNotFound,
            format!("cannot find the command `{name}`"),
        );
        if has_slash && Path::new(program).exists() {
            return missing.hint("the file is there, but not the interpreter its first line names");
        }
        if !has_slash && script::is_named_so(program) {
            return missing.hint(format!(
                "there is no script of that name here, and no such program in environment {}",
                place.env
            ));
        }
        return missing.hint(format!(
            "environment {} has no such program: `blast install` the package that brings it",
            place.env
        ));
    }
    Error::new(
        Kind::CommandNotExecutable,
        format!("cannot execute `{name}`"),
    )
    .caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_comes_first_on_the_path_and_once() {
        let path = path_with(
            Path::new("/live/demo"),
            Some("/usr/bin:/live/demo/bin:/bin".into()),
        );
        assert_eq!(
            path.expect("fits"),
            "/live/demo/bin:/live/demo/.blast/bin:/usr/bin:/bin"
        );
        assert!(path_with(Path::new("/li:ve"), None).is_err());
    }

    #[test]
    fn what_is_missing_and_what_is_no_program_have_their_statuses() {
        let place = Place {
            env: "demo".parse().expect("valid"),
            prefix: "/live/demo".into(),
            project: None,
            variables: std::collections::BTreeMap::new(),
            python: "3.12.1".into(),
            interpreter: "/usr/bin/python3".into(),
            site_packages: "lib/python3.12/site-packages".into(),
            generation: "ab".repeat(32).parse().expect("a digest"),
            sources: Vec::new(),
            mode: "view".into(),
            namespace: None,
        };
        let of = |kind| {
            not_run(OsStr::new("x"), &io::Error::from(kind), &place)
                .kind
                .exit()
                .status()
        };
        assert_eq!(of(io::ErrorKind::NotFound), 127);
        assert_eq!(of(io::ErrorKind::PermissionDenied), 126);
    }
}
