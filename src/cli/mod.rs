//! The commands: one module each, holding its arguments (`Args`) and what it does (`run`).
//!
//! A command reads what only the client knows (arguments, files, variables, the working
//! directory), asks the daemon one thing or two, and shows the answer through [`crate::ui`].
//! Nothing here opens the store, resolves or connects to an index. What several commands share:
//! [`options`] (arguments), [`context`] (printer, client, surroundings), [`select`] (which
//! environment is meant), [`project`] (`pyproject.toml`), [`policy`] (what a sandbox gives), [`requirements`] and [`sources`] (what
//! to get from where), [`resolution`] (how to choose), [`change`] (changing an environment and
//! saying what changed).

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
mod diff;
mod doctor;
mod envs;
mod export;
mod hook;
mod image;
mod init;
mod install;
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
mod policy;
mod project;
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
mod why;

use std::ffi::OsString;
use std::io::Write as _;

use clap::{Parser, Subcommand};

use crate::error::{Error, Kind};
use crate::exit_code::Exit;
use crate::ui::Printer;
use context::Context;
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
    Start(start::Args),
    Add(add::Args),
    Install(install::Args),
    Update(update::Args),
    #[command(visible_alias = "uninstall")]
    Remove(remove::Args),
    Sync(sync::Args),
    Init(init::Args),
    Lock(lock::Args),
    List(list::Args),
    Tree(tree::Args),
    Why(why::Args),
    Outdated(outdated::Args),
    Status(status::Args),
    Run(run::Args),
    Revert(revert::Args),
    Redo(redo::Args),
    Log(log::Args),
    Show(show::Args),
    Blame(blame::Args),
    Diff(diff::Args),
    Save(save::Args),
    Load(load::Args),
    Image(image::Args),
    Envs(envs::Args),
    Materialise(materialise::Args),
    Allow(allow::Args),
    Audit(audit::Args),
    Config(config::Args),
    Check(check::Args),
    Clean(clean::Args),
    Cache(cache::Args),
    Kill(kill::Args),
    Daemon(daemon::Args),
    Doctor(doctor::Args),
    Python(python::Args),
    Completions(completions::Args),
    Hook(hook::Args),
    #[command(hide = true)]
    View(view::Args),
    #[command(hide = true)]
    Debug(debug::Args),
}

/// Carries out a command line, its first word being our own name. Errors are shown here.
pub(crate) fn main(words: Vec<OsString>) -> Exit {
    let typed = words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let cli = match Cli::try_parse_from(words) {
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
    match command {
        Command::Start(args) => start::run(args, context),
        Command::Add(args) => add::run(args, context),
        Command::Install(args) => install::run(&args, context),
        Command::Update(args) => update::run(&args, context),
        Command::Remove(args) => remove::run(args, context),
        Command::Sync(args) => sync::run(&args, context),
        Command::Init(args) => init::run(&args, context),
        Command::Lock(args) => lock::run(&args, context),
        Command::List(args) => list::run(&args, context),
        Command::Tree(args) => tree::run(&args, context),
        Command::Why(args) => why::run(&args, context),
        Command::Outdated(args) => outdated::run(&args, context),
        Command::Status(args) => status::run(&args, context),
        Command::Run(args) => run::run(&args, context),
        Command::Revert(args) => revert::run(args, context),
        Command::Redo(args) => redo::run(&args, context),
        Command::Log(args) => log::run(&args, context),
        Command::Show(args) => show::run(args, context),
        Command::Blame(args) => blame::run(args, context),
        Command::Diff(args) => diff::run(args, context),
        Command::Save(args) => save::run(args, context),
        Command::Load(args) => load::run(args, context),
        Command::Image(args) => image::run(args, context),
        Command::Envs(args) => envs::run(args, context),
        Command::Materialise(args) => materialise::run(&args, context),
        Command::Allow(args) => allow::run(&args, context),
        Command::Audit(args) => audit::run(&args, context),
        Command::Config(args) => config::run(&args, context),
        Command::Check(args) => check::run(&args, context),
        Command::Clean(args) => clean::run(&args, context),
        Command::Cache(args) => cache::run(args, context),
        Command::Kill(args) => kill::run(&args, context),
        Command::Daemon(args) => daemon::run(&args, context),
        Command::Doctor(args) => doctor::run(&args, context),
        Command::Python(args) => python::run(&args, context),
        Command::Completions(args) => completions::run(&args, context),
        Command::Hook(args) => hook::run(&args, context),
        Command::View(args) => view::run(&args, context),
        Command::Debug(args) => debug::run(&args, context),
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
