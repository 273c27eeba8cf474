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
mod install;
mod installed;
mod list;
mod lock;
mod real;
mod report;
mod show;
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
use clap::error::{ContextKind, ErrorKind};
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
use arguments::{Bars, Command, IndexCommand, Pip};

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

    /// What pip tells on stdout unless it is quiet.
    fn tell(&self, line: impl AsRef<str>) -> Result<(), Error> {
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
    let target = |level, printer| Target {
        context: Context::new(printer, history).at_home(home),
        env,
        place: OnceCell::new(),
        quiet: level == Level::Quiet,
        timeout_s: None,
        retries: None,
    };
    if std::env::var_os(env_vars::BLAST_PIP).is_some_and(|value| value == "real") {
        return real::run(typed, &target(Level::Normal, plain()));
    }
    let spelled = std::iter::once(OsString::from("pip")).chain(typed.iter().cloned());
    let command = Pip::command();
    let spelled: Vec<_> = spelled.collect();
    let said = match variables::command_of(&command, &spelled) {
        Some(name) => {
            let around = sources::surroundings(&Context::new(plain(), Vec::new()))?;
            pip_options(&around, name).map_err(|error| sources::unusable(&error))?
        }
        None => BTreeMap::new(),
    };
    let words = variables::added(&command, spelled, |option| {
        said.get(option).map(|said| said.value.clone())
    });
    let matches = match command.try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(stopped) => return parsing_stopped(&stopped),
    };
    let pip = Pip::from_arg_matches(&matches).map_err(|error| Error::usage(error.to_string()))?;
    let general = &pip.general;
    let level = match (general.quiet, general.verbose) {
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
    let printer = if draws {
        printer
    } else {
        printer.without_bars()
    };
    let target = target(level, printer);
    let target = Target {
        timeout_s: general.reach.timeout.map(whole_seconds).transpose()?,
        retries: general.reach.retries,
        ..target
    };
    dispatch(pip, &target)
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
        Command::Freeze(args) => list::freeze(&args, target),
        Command::List(args) => list::run(&args, target),
        Command::Show(args) => show::run(&args, pip.general.verbose > 0, target),
        Command::Check => show::check(target),
        Command::Inspect(_) => show::inspect(target),
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

/// Help is a success; an unknown option is told in pip's words.
fn parsing_stopped(stopped: &clap::Error) -> Result<Exit, Error> {
    let printer = Printer::new(Level::Normal, None);
    let given = |kind| stopped.get(kind).map(ToString::to_string);
    match stopped.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            printer.data(&stopped.render().ansi().to_string())?;
            return Ok(Exit::Ok);
        }
        ErrorKind::UnknownArgument => {
            let option = given(ContextKind::InvalidArg).unwrap_or_default();
            printer.say(format!(
                "\nno such option: {option}\n(this pip is blast's; `pip help` lists what it knows)"
            ));
        }
        ErrorKind::InvalidSubcommand => {
            let name = given(ContextKind::InvalidSubcommand).unwrap_or_default();
            printer.say(format!("ERROR: unknown command \"{name}\""));
            return Ok(Exit::No);
        }
        _ => printer.say(stopped.render().ansi().to_string().trim_end()),
    }
    Ok(Exit::Error)
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
    error.kind.exit()
}
