//! The commands: one module each, holding its arguments (`Args`) and what it does (`run`).
//!
//! A command reads what only the client knows (arguments, files, variables, the working
//! directory), asks the daemon one thing or two, and shows the answer through [`crate::ui`].
//! Nothing here opens the store, resolves or connects to an index. What several commands share:
//! [`options`] (arguments), [`context`] (printer, client, surroundings), [`select`] (which
//! environment is meant), [`project`] (`pyproject.toml`), [`project_files`] (changing
//! it and what follows it), [`inline`] (what scripts say of themselves), [`policy`] (what a sandbox gives), [`requirements`] and [`sources`] (what
//! to get from where), [`resolution`] (how to choose), [`change`] (changing an environment and
//! saying what changed); [`deferred`] keeps the start of all of them short.

mod add;
mod allow;
mod audit;
mod blame;
mod build_flags;
mod bytecode;
mod cache;
mod change;
mod check;
mod clean;
mod completions;
mod config;
mod context;
pub(crate) mod daemon;
mod debug;
mod deferred;
mod diff;
mod doctor;
mod envs;
mod export;
mod hook;
mod image;
mod init;
mod inline;
mod install;
mod intent;
mod json_errors;
mod kill;
mod list;
mod load;
mod lock;
mod log;
mod materialise;
mod moment;
mod naming;
mod options;
mod outdated;
pub(crate) mod pip;
mod pip_settings;
mod policy;
mod project;
mod project_files;
mod python;
mod redo;
mod remove;
mod requirements;
mod resolution;
mod revert;
mod run;
mod sandbox;
mod save;
mod select;
mod show;
mod sources;
mod start;
mod status;
mod sync;
mod tool_table;
mod tree;
mod update;
mod venv_link;
mod view;
mod welcome;
mod whole_file;
mod why;

use std::ffi::OsString;
use std::io::Write as _;

use clap::{Parser, Subcommand};

use crate::error::{Error, Kind};
use crate::exit_code::Exit;
use crate::ui::Printer;
use context::Context;
use deferred::Deferred;
use options::Global;

/// Python environments as views over one immutable store: install, undo and share in milliseconds
#[derive(Debug, Parser)]
#[command(
    name = "blast",
    version,
    max_term_width = 100,
    propagate_version = false
)]
#[command(after_help = "Run `blast COMMAND --help` for the options of a command.")]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Start(Deferred<start::Args>),
    Add(Deferred<add::Args>),
    Install(Deferred<install::Args>),
    Update(Deferred<update::Args>),
    #[command(visible_alias = "uninstall")]
    Remove(Deferred<remove::Args>),
    Sync(Deferred<sync::Args>),
    Init(Deferred<init::Args>),
    Lock(Deferred<lock::Args>),
    List(Deferred<list::Args>),
    Tree(Deferred<tree::Args>),
    Why(Deferred<why::Args>),
    Outdated(Deferred<outdated::Args>),
    Status(Deferred<status::Args>),
    Run(Deferred<run::Args>),
    Revert(Deferred<revert::Args>),
    Redo(Deferred<redo::Args>),
    Log(Deferred<log::Args>),
    Show(Deferred<show::Args>),
    Blame(Deferred<blame::Args>),
    Diff(Deferred<diff::Args>),
    Save(Deferred<save::Args>),
    Load(Deferred<load::Args>),
    Image(Deferred<image::Args>),
    Envs(Deferred<envs::Args>),
    Materialise(Deferred<materialise::Args>),
    Allow(Deferred<allow::Args>),
    Audit(Deferred<audit::Args>),
    Config(Deferred<config::Args>),
    Check(Deferred<check::Args>),
    Clean(Deferred<clean::Args>),
    Cache(Deferred<cache::Args>),
    Kill(Deferred<kill::Args>),
    Daemon(Deferred<daemon::Args>),
    Doctor(Deferred<doctor::Args>),
    Python(Deferred<python::Args>),
    Completions(Deferred<completions::Args>),
    Hook(Deferred<hook::Args>),
    #[command(hide = true)]
    View(Deferred<view::Args>),
    #[command(hide = true)]
    Debug(Deferred<debug::Args>),
}

pub(crate) use self::run::enter;

/// Carries out a command line, its first word being our own name. Errors are shown here.
pub(crate) fn main(words: &[OsString]) -> Exit {
    let typed = words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let quick = deferred::described_late(|| Cli::try_parse_from(words));
    let cli = match quick.or_else(|_| Cli::try_parse_from(words)) {
        Ok(cli) => cli,
        Err(stopped) => return parsing_stopped(&stopped),
    };
    let printer = cli.global.printer();
    let context = Context::new(printer, typed);
    match dispatch(cli.command, &context) {
        Ok(exit) => exit,
        Err(error) => fail(printer, &error),
    }
}

/// Shows an error and says how the program ends.
pub(crate) fn fail(printer: Printer, error: &Error) -> Exit {
    printer.error(error);
    error.kind.exit()
}

fn dispatch(command: Option<Command>, context: &Context) -> Result<Exit, Error> {
    let Some(command) = command else {
        return welcome::run(context);
    };
    intent::settle(context);
    match command {
        Command::Start(args) => start::run(args.0, context),
        Command::Add(args) => add::run(args.0, context),
        Command::Install(args) => install::run(&args.0, context),
        Command::Update(args) => update::run(&args.0, context),
        Command::Remove(args) => remove::run(args.0, context),
        Command::Sync(args) => sync::run(&args.0, context),
        Command::Init(args) => init::run(&args.0, context),
        Command::Lock(args) => lock::run(&args.0, context),
        Command::List(args) => list::run(&args.0, context),
        Command::Tree(args) => tree::run(&args.0, context),
        Command::Why(args) => why::run(&args.0, context),
        Command::Outdated(args) => outdated::run(&args.0, context),
        Command::Status(args) => status::run(&args.0, context),
        Command::Run(args) => run::run(&args.0, context),
        Command::Revert(args) => revert::run(args.0, context),
        Command::Redo(args) => redo::run(&args.0, context),
        Command::Log(args) => log::run(&args.0, context),
        Command::Show(args) => show::run(args.0, context),
        Command::Blame(args) => blame::run(args.0, context),
        Command::Diff(args) => diff::run(args.0, context),
        Command::Save(args) => save::run(args.0, context),
        Command::Load(args) => load::run(args.0, context),
        Command::Image(args) => image::run(args.0, context),
        Command::Envs(args) => envs::run(args.0, context),
        Command::Materialise(args) => materialise::run(&args.0, context),
        Command::Allow(args) => allow::run(&args.0, context),
        Command::Audit(args) => audit::run(&args.0, context),
        Command::Config(args) => config::run(&args.0, context),
        Command::Check(args) => check::run(&args.0, context),
        Command::Clean(args) => clean::run(&args.0, context),
        Command::Cache(args) => cache::run(args.0, context),
        Command::Kill(args) => kill::run(&args.0, context),
        Command::Daemon(args) => daemon::run(&args.0, context),
        Command::Doctor(args) => doctor::run(&args.0, context),
        Command::Python(args) => python::run(&args.0, context),
        Command::Completions(args) => completions::run(&args.0, context),
        Command::Hook(args) => hook::run(&args.0, context),
        Command::View(args) => view::run(&args.0, context),
        Command::Debug(args) => debug::run(&args.0, context),
    }
}

/// Help and version go to stdout and are a success; a usage error goes to stderr.
fn parsing_stopped(stopped: &clap::Error) -> Exit {
    let text = stopped.render();
    if stopped.use_stderr() {
        // Nobody is left to tell when stderr is gone.
        write!(anstream::stderr(), "{}", text.ansi()).unwrap_or_default();
        Exit::Error
    } else {
        match write!(anstream::stdout(), "{}", text.ansi()) {
            Ok(()) => Exit::Ok,
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Kind::BrokenPipe.exit(),
            Err(_) => Exit::Error,
        }
    }
}

#[cfg(test)]
#[path = "parsing_tests.rs"]
mod tests;
