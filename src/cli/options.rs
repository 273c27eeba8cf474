//! Arguments that several commands share.

use std::path::PathBuf;

use blast_types::EnvName;
use clap::{ArgAction, Args, ValueEnum};
use serde::Serialize;

use crate::ui::{Level, Printer};

/// How to speak; goes before or after the command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output options")]
pub(super) struct Global {
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say more; twice, all there is to say
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Use colour (default: on a terminal, unless `NO_COLOR` is set)
    #[arg(long, global = true, value_name = "WHEN")]
    color: Option<When>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

impl Global {
    /// The printer that was asked for.
    pub(super) fn printer(&self) -> Printer {
        let level = match (self.quiet, self.verbose) {
            (true, _) => Level::Quiet,
            (false, 0) => Level::Normal,
            (false, 1) => Level::Verbose,
            (false, _) => Level::Debug,
        };
        let color = self.color.map(|when| match when {
            When::Auto => anstream::ColorChoice::Auto,
            When::Always => anstream::ColorChoice::Always,
            When::Never => anstream::ColorChoice::Never,
        });
        Printer::new(level, color)
    }
}

/// Which environment.
#[derive(Debug, Args)]
pub(super) struct EnvOption {
    /// Use this environment (default: the active one, else that of the project here)
    #[arg(long = "env", value_name = "NAME")]
    pub(super) env: Option<EnvName>,
}

/// For commands that tell something.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct JsonOption {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// For commands that tell something of one environment.
#[derive(Debug, Args)]
pub(super) struct TellingOptions {
    #[command(flatten)]
    pub(super) env: EnvOption,
    #[command(flatten)]
    pub(super) json: JsonOption,
}

/// Something of one environment, as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Told<'a, T> {
    pub(super) environment: &'a EnvName,
    #[serde(flatten)]
    pub(super) what: &'a T,
}

/// For commands that change.
#[derive(Debug, Args)]
pub(super) struct DryRunOption {
    /// Only print what would change
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// Where packages come from; overrides variables, `[tool.blast]` and pip's settings.
#[derive(Debug, Default, Clone, Args)]
#[command(next_help_heading = "Index options")]
pub(super) struct SourceOptions {
    /// Take packages from this index instead of the default one
    #[arg(short, long, value_name = "URL")]
    pub(super) index_url: Option<String>,
    /// Ask this index too, before the default one
    #[arg(long, value_name = "URL")]
    pub(super) extra_index_url: Vec<String>,
    /// Look for files in this directory or page as well
    #[arg(short, long, value_name = "PATH|URL")]
    pub(super) find_links: Vec<String>,
    /// Ask no index, only what `--find-links` names
    #[arg(long)]
    pub(super) no_index: bool,
    /// Use nothing but caches and local files
    #[arg(long)]
    pub(super) offline: bool,
    /// What to do where several indexes have a package (default: first-index)
    #[arg(long, value_name = "STRATEGY")]
    pub(super) index_strategy: Option<Strategy>,
    /// Whether to ask the program `keyring` for credentials (default: disabled)
    #[arg(long, value_name = "PROVIDER")]
    pub(super) keyring_provider: Option<Keyring>,
    /// Do not check the certificates of this host
    #[arg(long, value_name = "HOST")]
    pub(super) trusted_host: Vec<String>,
    /// Trust the certificates of this PEM file instead of the platform's
    #[arg(long, value_name = "PATH")]
    pub(super) cert: Option<String>,
    /// Show servers the certificate of this PEM file, which holds its key too
    #[arg(long, value_name = "PATH")]
    pub(super) client_cert: Option<String>,
    /// Reach all servers through this proxy
    #[arg(long, value_name = "URL")]
    pub(super) proxy: Option<String>,
}

/// `--index-strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Strategy {
    FirstIndex,
    UnsafeBestMatch,
}

/// `--keyring-provider`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Keyring {
    Disabled,
    Subprocess,
}

/// What to get.
#[derive(Debug, Default, Clone, Args)]
pub(super) struct RequirementOptions {
    /// Requirements (`flask`, `"flask>=3"`, `pkg[extra]`), or paths or URLs of wheels, source
    /// distributions, folders and repositories (`git+https://…`)
    #[arg(value_name = "REQUIREMENT")]
    pub(super) requirements: Vec<String>,
    /// Take the requirements of this file as well (`-` reads the standard input)
    #[arg(
        short,
        long = "requirements",
        visible_alias = "requirement",
        value_name = "FILE"
    )]
    pub(super) requirement_files: Vec<PathBuf>,
    /// Install the project in this folder so that changes of its sources are seen at once
    #[arg(short, long, value_name = "PATH")]
    pub(super) editable: Vec<String>,
}

impl RequirementOptions {
    /// Whether nothing was asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.requirements.is_empty()
            && self.requirement_files.is_empty()
            && self.editable.is_empty()
    }
}
