//! `blast pip PREFIX …`: what the shim of pip in an environment (`engine/pip_shim.rs`) hands over. Speaks
//! as pip does, in words, last lines and exit statuses, so that people and programs that call pip
//! need not know; carries commands out as blast's own do, each change as one operation.
//!
//! pip's data and talk both go to stdout, warnings and errors to stderr. Exit statuses: 0 done, 1 an
//! error or the answer is no, 2 usage, or blast itself failed; 23 nothing found, where pip has it so.
//!
//! Options come from the command line, `PIP_*` variables and pip's files, as with pip. An option that is
//! not among those of [`arguments`] is refused on the command line and passed over elsewhere. `BLAST_PIP=real` runs pip itself ([`real`]).

mod about;
mod arguments;
mod cache;
mod config;
mod fetch;
mod freeze;
mod groups;
mod install;
mod installed;
mod list;
mod lock;
mod log;
mod real;
mod report;
mod show;
mod stopping;
mod uninstall;
mod variables;
mod versions;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use blast_index::Sources;
use blast_index::config::pip_options;
use blast_types::EnvName;
use clap::{CommandFactory as _, FromArgMatches as _};

use super::context::Context;
use super::options::SourceOptions;
use super::sources::{self, FromFiles};
use crate::env_vars;
use crate::error::{Error, Kind};
use crate::exit_code::Exit;
use crate::ipc::protocol::{Place, Reply, Request};
use crate::launcher;
use crate::ui::{Level, Printer};
use arguments::{Bars, Command, General, IndexCommand, Pip, Visible};

/// The hidden command by which the shim calls.
pub(crate) const COMMAND: &str = "pip";

/// The release of pip whose options are understood, as the shim says it too.
const VERSION: &str = "26.1";

/// The environment that a command of pip's is for.
struct Target {
    context: Context,
    env: EnvName,
    place: OnceCell<Place>,
    quiet: bool,
    /// `--log`.
    log: Option<log::Log>,
    /// `--timeout` and `--retries`.
    timeout_s: Option<u64>,
    retries: Option<u32>,
}

impl Target {
    /// Where packages come from, and how long that is waited for.
    fn sources(&self, options: &SourceOptions, files: &FromFiles) -> Result<Sources, Error> {
        let mut sources = sources::compute(&self.context, options, files)?;
        if let Some(seconds) = self.timeout_s {
            sources.timeout_s = seconds;
        }
        if let Some(retries) = self.retries {
            sources.retries = retries;
        }
        Ok(sources)
    }

    fn place(&self) -> Result<&Place, Error> {
        if let Some(place) = self.place.get() {
            return Ok(place);
        }
        let request = Request::Enter {
            env: self.env.clone(),
            pin: false,
        };
        let Reply::Entered { place } = self.context.ask(request)? else {
            return Err(Error::unexpected_reply());
        };
        Ok(self.place.get_or_init(|| place))
    }

    /// Absolute path of site-packages.
    fn site(&self) -> Result<PathBuf, Error> {
        let place = self.place()?;
        Ok(place.prefix.join(&place.site_packages))
    }

    /// The marker values (PEP 508) of its interpreter.
    fn markers(&self) -> Result<BTreeMap<String, String>, Error> {
        let env = self.env.clone();
        match self.context.ask(Request::Markers { env })? {
            Reply::Markers { markers } => Ok(markers),
            _ => Err(Error::unexpected_reply()),
        }
    }

    fn installed(&self) -> Result<Vec<installed::Distribution>, Error> {
        installed::all(&self.site()?)
    }

    /// What a command that reads is asked to look at.
    fn visible(&self, visible: &Visible) -> Result<Vec<installed::Distribution>, Error> {
        if visible.is_all() {
            return self.installed();
        }
        let mut found = Vec::new();
        for folder in &visible.path {
            let folder = self.context.cwd()?.join(folder);
            if folder.is_dir() {
                found.extend(installed::all(&folder)?);
            }
        }
        found.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(found)
    }

    /// What pip tells on stdout unless it is quiet.
    fn tell(&self, line: impl AsRef<str>) -> Result<(), Error> {
        if let Some(log) = &self.log {
            log.add(line.as_ref())?;
        }
        if self.quiet {
            return Ok(());
        }
        self.context.printer.data(&format!("{}\n", line.as_ref()))
    }
}

/// Carries out `blast pip PREFIX …`. Errors are shown here.
pub(crate) fn main(words: &[OsString]) -> Exit {
    let [_, _, prefix, typed @ ..] = words else {
        let error = Error::usage("this is what `pip` in an environment calls: use that")
            .hint("`blast run -- pip …` runs it in an environment");
        return super::fail(plain(), &error);
    };
    match carry_out(Path::new(prefix), typed) {
        Ok(exit) => exit,
        Err(error) => fail(plain(), &error),
    }
}

/// What prints before the options are known.
fn plain() -> Printer {
    Printer::new(Level::Normal, None)
}

fn carry_out(prefix: &Path, typed: &[OsString]) -> Result<Exit, Error> {
    let (home, env) = launcher::owner_of(prefix).ok_or_else(|| {
        Error::usage(format!(
            "{} is no environment that can be changed",
            prefix.display()
        ))
        .hint("a program that runs with `--pin` sees one state for life: run pip without it")
    })?;
    let mut history = vec!["pip".to_owned()];
    history.extend(typed.iter().map(|word| word.to_string_lossy().into_owned()));
    // As pip does: settings are read before options are.
    let isolated = typed.iter().any(|word| word == "--isolated");
    let target = |printer, (home, env)| Target {
        context: Context::new(printer, history)
            .at_home(home)
            .isolated(isolated),
        env,
        place: OnceCell::new(),
        quiet: false,
        log: None,
        timeout_s: None,
        retries: None,
    };
    if std::env::var_os(env_vars::BLAST_PIP).is_some_and(|value| value == "real") {
        return real::run(typed, &target(plain(), (home, env)));
    }
    let spelled = std::iter::once(OsString::from("pip")).chain(typed.iter().cloned());
    let command = Pip::command();
    let spelled: Vec<_> = spelled.collect();
    let named = variables::command_of(&command, &spelled).map(str::to_owned);
    let said = match named.as_deref() {
        Some(name) => {
            let context = Context::new(plain(), Vec::new()).isolated(isolated);
            let around = sources::surroundings(&context)?;
            pip_options(&around, name).map_err(|error| sources::unusable(&error))?
        }
        None => BTreeMap::new(),
    };
    let words = variables::added(&command, spelled, |option| {
        said.get(option).map(|said| said.value.clone())
    });
    let matches = match command.try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(stopped) => return stopping::exit(&stopped, named.as_deref()),
    };
    let pip = Pip::from_arg_matches(&matches).map_err(|error| Error::usage(error.to_string()))?;
    let general = &pip.general;
    let owner = match &general.python {
        Some(python) => owner_of_python(python)?,
        None => (home, env),
    };
    let target = target(printer(general), owner);
    let target = Target {
        quiet: general.quiet > 0 && !general.debug,
        log: general.log.as_deref().map(log::Log::open).transpose()?,
        timeout_s: general.reach.timeout.map(whole_seconds).transpose()?,
        retries: general.reach.retries,
        ..target
    };
    if let Some(log) = &target.log {
        log.add(&target.context.command().join(" "))?;
    }
    let done = dispatch(pip, &target);
    if let (Some(log), Err(error)) = (&target.log, &done) {
        log.add(&format!("ERROR: {}", error.message))?;
    }
    done
}

/// How to speak.
fn printer(general: &General) -> Printer {
    let level = match (general.quiet, general.verbose) {
        _ if general.debug => Level::Debug,
        (0, 0) => Level::Normal,
        (0, 1) => Level::Verbose,
        (0, _) => Level::Debug,
        _ => Level::Quiet,
    };
    let color = general.no_color.then_some(anstream::ColorChoice::Never);
    let printer = Printer::new(level, color);
    let draws = match general.progress_bar {
        Bars::On => true,
        Bars::Off => false,
        // A notebook runs its commands in a terminal and keeps all that is drawn there.
        Bars::Auto => std::env::var_os(env_vars::JPY_PARENT_PID).is_none(),
    };
    if draws {
        printer
    } else {
        printer.without_bars()
    }
}

/// `--python`: the environment of an interpreter, or in a folder.
fn owner_of_python(python: &Path) -> Result<(PathBuf, EnvName), Error> {
    let path = std::path::absolute(python).map_err(|error| Error::io("find", python, &error))?;
    let prefix = if path.is_dir() {
        Some(&*path)
    } else {
        path.parent().and_then(Path::parent)
    };
    prefix.and_then(launcher::owner_of).ok_or_else(|| {
        Error::no(format!(
            "{} is no environment of blast, nor an interpreter of one",
            python.display()
        ))
        .hint("`blast envs` lists them; the pip of another one looks after that")
    })
}

/// Seconds with a fraction, as pip takes them, rounded up.
fn whole_seconds(seconds: f64) -> Result<u64, Error> {
    let duration = Duration::try_from_secs_f64(seconds).ok();
    let whole = duration.map(|time| time.as_secs() + u64::from(time.subsec_nanos() > 0));
    whole
        .filter(|seconds| *seconds > 0)
        .ok_or_else(|| Error::usage("--timeout takes a number of seconds that is more than none"))
}

fn dispatch(pip: Pip, target: &Target) -> Result<Exit, Error> {
    if pip.general.version {
        return about::version(target);
    }
    let Some(command) = pip.command else {
        return help(None);
    };
    match command {
        Command::Install(args) => install::run(&args, target),
        Command::Uninstall(args) => uninstall::run(&args, pip.general.no_input, target),
        Command::Freeze(args) => freeze::run(&args, target),
        Command::List(args) => list::run(&args, pip.general.verbose > 0, target),
        Command::Show(args) => show::run(&args, pip.general.verbose > 0, target),
        Command::Check => show::check(target),
        Command::Inspect(args) => show::inspect(&args, target),
        Command::Download(args) => fetch::run(&args.fetch, Some(&args.aim), target),
        Command::Wheel(args) => fetch::run(&args, None, target),
        Command::Lock(args) => lock::run(&args, target),
        Command::Index(args) => {
            let IndexCommand::Versions(args) = args.command;
            versions::run(&args, target)
        }
        Command::Hash(args) => about::hash(&args, target),
        Command::Cache(args) => cache::run(&args, target),
        Command::Config(args) => config::run(&args, target),
        Command::Search(args) => Err(about::search(&args)),
        Command::Completion(args) => about::completion(&args, target),
        Command::Debug => about::debug(target),
        Command::Help { command } => help(command.as_deref()),
    }
}

fn help(command: Option<&str>) -> Result<Exit, Error> {
    let mut pip = Pip::command();
    pip.build();
    let mut shown = match command {
        None => pip,
        Some(name) => pip
            .find_subcommand(name)
            .cloned()
            .ok_or_else(|| Error::no(format!("unknown command \"{name}\"")))?,
    };
    Printer::new(Level::Normal, None).data(&shown.render_help().ansi().to_string())?;
    Ok(Exit::Ok)
}

/// Shows an error as pip does. A requirement that makes no sense is an error like any other there.
fn fail(printer: Printer, error: &Error) -> Exit {
    if error.kind == Kind::BrokenPipe {
        return Exit::Ok;
    }
    printer.say(format!("ERROR: {}", error.message));
    for cause in &error.causes {
        printer.say(format!("  caused by: {cause}"));
    }
    for hint in &error.hints {
        printer.say(format!("  hint: {hint}"));
    }
    if let Some(line) = error.conflict.as_deref().and_then(no_distribution) {
        printer.say(format!("ERROR: {line}"));
    }
    error.kind.exit()
}

/// pip's last line where nothing can be chosen.
fn no_distribution(explanation: &serde_json::Value) -> Option<String> {
    let steps = explanation["steps"].as_array()?;
    let of_kind = |kind: &str| steps.iter().find(|step| step["kind"] == kind);
    let of_single = || match of_kind("asked")?["requirements"].as_array()?.as_slice() {
        [only] => only.as_str(),
        _ => None,
    };
    let missing = match (of_kind("not-found"), of_kind("none-in-range")) {
        (Some(step), _) => step["package"].as_str(),
        (None, Some(step)) => step["requirement"].as_str().or_else(of_single),
        (None, None) if of_kind("unusable").is_some() => of_single(),
        (None, None) => None,
    };
    Some(match missing {
        Some(what) => format!("No matching distribution found for {what}"),
        None => "ResolutionImpossible: no versions fit together".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_line_names_what_is_missing() {
        let last = |steps| no_distribution(&json!({ "steps": steps }));
        let asked = json!({"kind": "asked", "requirements": ["a>9"]});
        for (steps, line) in [
            (
                json!([asked, {"kind": "not-found", "package": "a"}]),
                "No matching distribution found for a",
            ),
            (
                json!([asked, {"kind": "none-in-range", "package": "a", "requirement": "a>9"}]),
                "No matching distribution found for a>9",
            ),
            (
                json!([asked, {"kind": "unusable", "package": "a"}]),
                "No matching distribution found for a>9",
            ),
            (
                json!([asked, {"kind": "depends", "package": "a"}]),
                "ResolutionImpossible: no versions fit together",
            ),
        ] {
            assert_eq!(last(steps).as_deref(), Some(line));
        }
        assert_eq!(no_distribution(&json!({})), None);
    }
}
