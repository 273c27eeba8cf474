//! Options that go before or after each command.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};

use crate::cli::options::Keyring;

/// What goes before or after each command.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of pip's")]
#[derive(Debug, Args)]
#[command(next_help_heading = "General options")]
pub(in crate::cli::pip) struct General {
    /// Say more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(in crate::cli::pip) verbose: u8,
    /// Say less
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(in crate::cli::pip) quiet: u8,
    /// Show the version and exit
    #[arg(short = 'V', long)]
    pub(in crate::cli::pip) version: bool,
    /// Use no colour
    #[arg(long, global = true)]
    pub(in crate::cli::pip) no_color: bool,
    /// Ask nothing
    #[arg(long, global = true)]
    pub(in crate::cli::pip) no_input: bool,
    /// Show bars (`on`) or none (`off`); `auto`: on a terminal that is not part of a notebook
    #[arg(long, global = true, value_name = "TYPE", default_value = "auto")]
    pub(in crate::cli::pip) progress_bar: Bars,
    /// Say everything
    #[arg(long, global = true)]
    pub(in crate::cli::pip) debug: bool,
    /// Heed neither `PIP_*` variables nor the user's own file of settings
    #[arg(long, global = true)]
    pub(in crate::cli::pip) isolated: bool,
    /// Look after the environment of this interpreter, or in this folder
    #[arg(long, global = true, value_name = "PYTHON")]
    pub(in crate::cli::pip) python: Option<PathBuf>,
    /// Add what is told to this file, with the time
    #[arg(
        long,
        visible_alias = "log-file",
        alias = "local-log",
        global = true,
        value_name = "FILE"
    )]
    pub(in crate::cli::pip) log: Option<PathBuf>,
    #[command(flatten)]
    fulfilled: Fulfilled,
    #[command(flatten)]
    pub(in crate::cli::pip) reach: Reach,
}

/// `--progress-bar`. `raw` is for programs that draw themselves, which is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli::pip) enum Bars {
    Auto,
    On,
    Off,
}

/// What is so in any case.
#[derive(Debug, Args)]
struct Fulfilled {
    /// No newer pip is looked for in any case
    #[arg(long, global = true)]
    disable_pip_version_check: bool,
    /// It is one in any case
    #[arg(long, alias = "require-venv", global = true)]
    require_virtualenv: bool,
    /// There is none in any case
    #[arg(long, global = true, hide = true)]
    no_python_version_warning: bool,
    /// Nothing that exists is in the way of a change
    #[arg(long, global = true, value_name = "ACTION")]
    exists_action: Vec<Exists>,
    /// Those that there are work in any case
    #[arg(
        long,
        global = true,
        value_name = "FEATURE",
        hide_possible_values = true
    )]
    use_feature: Vec<Feature>,
}

/// `--exists-action`: switch, ignore, wipe, backup, abort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Exists {
    S,
    I,
    W,
    B,
    A,
}

/// `--use-feature`: what is so here without being asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Feature {
    /// The platform's certificates are trusted.
    Truststore,
    /// Metadata is read without fetching whole wheels.
    FastDeps,
    /// Constraints do not reach into builds by way of a variable.
    BuildConstraint,
}

/// How the network is reached, and how long it is waited for. Those that
/// [`SourceOptions`](crate::cli::options::SourceOptions) has too carry its names: where a command has those, they get
/// what stands before the command; the others reach nothing.
#[derive(Debug, Args)]
pub(in crate::cli::pip) struct Reach {
    /// Taken, without effect: packages are kept once for all environments
    #[arg(long, global = true)]
    no_cache_dir: bool,
    /// Taken, without effect: the cache is blast's own, and `BLAST_CACHE` moves it
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        conflicts_with = "no_cache_dir"
    )]
    cache_dir: Option<PathBuf>,
    /// Do not check the certificates of this host
    #[arg(long, global = true, value_name = "HOST")]
    trusted_host: Vec<String>,
    /// Trust the certificates of this PEM file instead of the platform's
    #[arg(long, global = true, value_name = "PATH")]
    cert: Option<String>,
    /// Show servers the certificate of this PEM file, which holds its key too
    #[arg(long, global = true, value_name = "PATH")]
    client_cert: Option<String>,
    /// Reach all servers through this proxy
    #[arg(long, global = true, value_name = "URL")]
    proxy: Option<String>,
    /// Whether to ask the program `keyring` for credentials (default: disabled)
    #[arg(long, global = true, value_name = "PROVIDER")]
    keyring_provider: Option<Keyring>,
    /// Give up an answer of an index after so many seconds
    #[arg(
        long,
        visible_alias = "default-timeout",
        global = true,
        value_name = "SEC"
    )]
    pub(in crate::cli::pip) timeout: Option<f64>,
    /// Ask an index so often again
    #[arg(long, global = true, value_name = "N")]
    pub(in crate::cli::pip) retries: Option<u32>,
    /// A transfer that broke off is tried again like any other: `--retries` says how often
    #[arg(long, global = true, value_name = "N", hide = true)]
    resume_retries: Option<u32>,
}
