//! `blast`: Python environments as views over one immutable store.
//!
//! One executable, nine roles, told apart before anything else happens: the Python or a program of an
//! environment ([`launcher`], by its own name), the daemon (hidden command
//! `daemon serve`), the [`holder`] of its mounts (`daemon hold`), the parent of a program that builds
//! (hidden command `build-step`, see [`engine::build`]), the start of a program that may write into its
//! environment ([`overlay`]), what reads ahead of programs ([`read_ahead`]), the holder of a [`sandbox`] (hidden command `hold-sandbox`) and the [`filter`] of its network
//! (hidden command `filter-network`), and the command line ([`cli`]). The command
//! line is thin: it starts in a few
//! milliseconds and asks the [`daemon`] over a Unix socket ([`ipc`]); only the daemon has a
//! runtime, opens the store and serves the view. `ARCHITECTURE.md` draws the whole.

mod activation;
mod cli;
mod command_line;
mod convert;
mod daemon;
mod engine;
mod env_vars;
mod error;
mod exit_code;
mod filter;
mod holder;
mod interpreter;
mod ipc;
mod known_keys;
mod launcher;
mod namespace;
mod overlay;
mod read_ahead;
mod sandbox;
mod settings;
mod ui;

use std::env;
use std::process::ExitCode;

use ui::{Level, Printer};

fn main() -> ExitCode {
    let words: Vec<_> = env::args_os().collect();
    let plain = Printer::new(Level::Normal, None);
    let outcome = if let Some((program, arguments)) = launcher::entered(&words) {
        return cli::enter(plain, program, arguments).into();
    } else if launcher::is_meant(words.first()) {
        launcher::run(&words)
    } else if let Some(role) = cli::daemon::role(&words) {
        cli::daemon::play(role)
    } else if words
        .get(1)
        .is_some_and(|word| word == engine::build::COMMAND)
    {
        return engine::build::supervise();
    } else if words.get(1).is_some_and(|word| word == filter::COMMAND) {
        return filter::run(plain);
    } else if let Some(path) = sandbox::holder::role(&words) {
        sandbox::holder::run(path)
    } else if words.get(1).is_some_and(|word| word == overlay::COMMAND) {
        overlay::run(&words)
    } else if (words.get(1)).is_some_and(|word| word == read_ahead::COMMAND) {
        return read_ahead::run().into();
    } else if words.get(1).is_some_and(|word| word == cli::pip::COMMAND) {
        return cli::pip::main(&words).into();
    } else {
        return cli::main(&words).into();
    };
    outcome
        .unwrap_or_else(|error| cli::fail(plain, &error))
        .into()
}
