//! The command line of pip: its commands and options, by pip's names. Options that blast has too are
//! the same types as in its own commands.

mod aside;
mod general;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(super) use self::aside::{
    Cache, CacheCommand, CacheFormat, Completion, Config, ConfigCommand, Hash, Index, IndexCommand,
    Inspect, Lock, Scope, Search, Versions,
};
pub(super) use self::general::{Bars, General};
use super::super::options::{RequirementOptions, SourceOptions};
use super::super::resolution::ResolverOptions;

/// pip of this environment: each command is carried out by blast
#[derive(Debug, Parser)]
#[command(
    name = "pip",
    disable_help_subcommand = true,
    args_override_self = true,
    max_term_width = 100
)]
#[command(
    after_help = "`blast revert` takes back what an install or uninstall did. \
    `BLAST_PIP=real` runs pip itself."
)]
pub(super) struct Pip {
    #[command(flatten)]
    pub(super) general: General,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Install packages
    Install(Box<Install>),
    /// Uninstall packages
    Uninstall(Uninstall),
    /// Print installed packages as requirements
    Freeze(Freeze),
    /// List installed packages
    List(Box<List>),
    /// Show what installed packages are
    Show(Show),
    /// Say whether installed packages have what they require
    Check,
    /// Download packages
    Download(Box<Download>),
    /// Make wheels of packages
    Wheel(Box<Fetch>),
    /// Describe the environment as JSON
    Inspect(Inspect),
    /// Lock packages for this interpreter and platform (PEP 751)
    Lock(Box<Lock>),
    /// Ask indexes
    Index(Index),
    /// Print hashes of files
    Hash(Hash),
    /// Look at the cache, or empty it
    Cache(Cache),
    /// Look at the settings of pip, or change them
    Config(Config),
    /// Refused: no index answers searches any more
    Search(Search),
    /// Print a completion script for a shell
    Completion(Completion),
    /// Show what this pip is and what fits its interpreter
    Debug,
    /// Show help
    Help {
        /// For this command
        command: Option<String>,
    },
}

/// How packages are chosen, which several commands share.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of pip's")]
#[derive(Debug, Args)]
pub(super) struct Choice {
    /// Without what the packages need
    #[arg(long, visible_alias = "no-dependencies")]
    pub(super) no_deps: bool,
    /// Take this dependency group too, of the project here or of that `pyproject.toml`
    #[arg(long, value_name = "[PATH:]GROUP")]
    pub(super) group: Vec<String>,
    /// Take the versions of this file for whatever a build needs
    #[arg(long, visible_alias = "build-constraints", value_name = "FILE")]
    pub(super) build_constraint: Vec<PathBuf>,
    /// Refuse requirements without a hash
    #[arg(long)]
    pub(super) require_hashes: bool,
    /// Wheels are preferred in any case, of equal versions
    #[arg(long)]
    pub(super) prefer_binary: bool,
    /// Builds always follow PEP 517
    #[arg(long)]
    use_pep517: bool,
    /// Sources of repositories are built and not kept, so they need no place
    #[arg(
        long,
        aliases = ["source", "source-dir", "source-directory"],
        value_name = "DIR",
        hide = true
    )]
    src: Option<PathBuf>,
    #[command(flatten)]
    pub(super) resolver: ResolverOptions,
    #[command(flatten)]
    pub(super) sources: SourceOptions,
}

/// `pip install`.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of pip's")]
#[derive(Debug, Args)]
pub(super) struct Install {
    #[command(flatten)]
    pub(super) wanted: RequirementOptions,
    /// Take the newest versions
    #[arg(short = 'U', long)]
    pub(super) upgrade: bool,
    /// Which dependencies to upgrade as well: only-if-needed
    #[arg(long, value_name = "STRATEGY")]
    pub(super) upgrade_strategy: Option<UpgradeStrategy>,
    /// Choose as if nothing were installed
    #[arg(long)]
    pub(super) force_reinstall: bool,
    /// Choose as if nothing were installed
    #[arg(short = 'I', long)]
    pub(super) ignore_installed: bool,
    /// Only print what would be installed
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Write what was installed, or would be, as JSON to this file; `-`: to the standard output
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<PathBuf>,
    /// Compile no bytecode beforehand
    #[arg(long)]
    pub(super) no_compile: bool,
    /// Bytecode is compiled in any case, in the background
    #[arg(long, conflicts_with = "no_compile")]
    compile: bool,
    #[command(flatten)]
    pub(super) elsewhere: Elsewhere,
    #[command(flatten)]
    fulfilled: FulfilledByInstall,
    #[command(flatten)]
    pub(super) choice: Choice,
}

/// Places that are no environment.
#[derive(Debug, Args)]
pub(super) struct Elsewhere {
    /// Refused: an environment does not see it
    #[arg(long)]
    pub(super) user: bool,
    /// It is so in any case
    #[arg(long, overrides_with = "user", hide = true)]
    no_user: bool,
    /// Install into this folder, which is new or empty, and leave the environment as it is
    #[arg(short, long, value_name = "DIR")]
    pub(super) target: Option<PathBuf>,
    /// Install below this folder, which is new or empty, as into an environment's: `bin`, `lib` and the others
    #[arg(long, value_name = "DIR", conflicts_with = "target")]
    pub(super) prefix: Option<PathBuf>,
    /// Put all that below this folder, as the root of another system
    #[arg(long, value_name = "DIR", conflicts_with = "target")]
    pub(super) root: Option<PathBuf>,
}

/// What is so in any case.
#[derive(Debug, Args)]
struct FulfilledByInstall {
    /// Environments are no system
    #[arg(long)]
    break_system_packages: bool,
    /// Scripts are on the `PATH` of an environment
    #[arg(long)]
    no_warn_script_location: bool,
    /// There are none: conflicts are not installed
    #[arg(long)]
    no_warn_conflicts: bool,
    /// Nothing is warned of
    #[arg(long, value_name = "ACTION")]
    root_user_action: Option<String>,
}

/// `--upgrade-strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum UpgradeStrategy {
    OnlyIfNeeded,
    Eager,
}

/// `pip uninstall`.
#[derive(Debug, Args)]
pub(super) struct Uninstall {
    /// Packages
    #[arg(value_name = "PACKAGE")]
    pub(super) packages: Vec<String>,
    /// Those of this file as well
    #[arg(short, long = "requirement", value_name = "FILE")]
    pub(super) requirement_files: Vec<PathBuf>,
    /// Do not ask
    #[arg(short, long)]
    pub(super) yes: bool,
    /// Nothing is warned of
    #[arg(long, value_name = "ACTION")]
    root_user_action: Option<String>,
    /// Environments are no system
    #[arg(long)]
    break_system_packages: bool,
}

/// `pip freeze`.
#[derive(Debug, Args)]
pub(super) struct Freeze {
    /// Also pip, setuptools, wheel
    #[arg(long)]
    pub(super) all: bool,
    /// Leave this package out
    #[arg(long, value_name = "PACKAGE")]
    pub(super) exclude: Vec<String>,
    /// Leave editable projects out
    #[arg(long)]
    pub(super) exclude_editable: bool,
    /// Keep the order and the comments of this file
    #[arg(short, long = "requirement", value_name = "FILE")]
    pub(super) requirement_files: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) visible: Visible,
}

/// Where installed packages are looked for.
#[derive(Debug, Args)]
pub(super) struct Visible {
    /// There is nothing else in any case
    #[arg(short, long)]
    local: bool,
    /// Only those of the user, of which an environment sees none
    #[arg(long)]
    pub(super) user: bool,
    /// Only those in this folder, as `install --target` made one
    #[arg(long, value_name = "DIR", conflicts_with = "user")]
    pub(super) path: Vec<PathBuf>,
}

impl Visible {
    /// Whether all that the environment has is meant.
    pub(super) fn is_all(&self) -> bool {
        !self.user && self.path.is_empty()
    }
}

/// `pip list`.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of pip's")]
#[derive(Debug, Args)]
pub(super) struct List {
    /// Only those of which there is a newer version
    #[arg(short, long)]
    pub(super) outdated: bool,
    /// Only those that have their newest version
    #[arg(short, long, conflicts_with = "outdated")]
    pub(super) uptodate: bool,
    /// Only editable projects
    #[arg(short, long)]
    pub(super) editable: bool,
    /// Leave editable projects out
    #[arg(long, conflicts_with = "editable")]
    pub(super) exclude_editable: bool,
    /// They are there in any case
    #[arg(long)]
    include_editable: bool,
    /// Only what no other package requires
    #[arg(long, conflicts_with = "path")]
    pub(super) not_required: bool,
    /// How to print: columns, freeze or json
    #[arg(long, value_name = "FORMAT", default_value = "columns")]
    pub(super) format: Format,
    /// Leave this package out
    #[arg(long, value_name = "PACKAGE")]
    pub(super) exclude: Vec<String>,
    #[command(flatten)]
    pub(super) visible: Visible,
    /// Look at pre-releases too
    #[arg(long)]
    pub(super) pre: bool,
    #[command(flatten)]
    pub(super) sources: SourceOptions,
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Columns,
    Freeze,
    Json,
}

/// `pip show`.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// Packages
    #[arg(value_name = "PACKAGE")]
    pub(super) packages: Vec<String>,
    /// Also their files
    #[arg(short, long)]
    pub(super) files: bool,
}

/// `pip download` and `pip wheel`.
#[derive(Debug, Args)]
pub(super) struct Fetch {
    #[command(flatten)]
    pub(super) wanted: RequirementOptions,
    /// Where to (default: here)
    #[arg(
        short,
        long,
        visible_short_alias = 'w',
        visible_aliases = ["destination-dir", "destination-directory", "wheel-dir"],
        value_name = "DIR",
        default_value = "."
    )]
    pub(super) dest: PathBuf,
    #[command(flatten)]
    pub(super) choice: Choice,
}

/// `pip download`.
#[derive(Debug, Args)]
pub(super) struct Download {
    #[command(flatten)]
    pub(super) fetch: Fetch,
    #[command(flatten)]
    pub(super) aim: Aim,
}

/// What distributions are for, where not for the environment's interpreter.
#[derive(Debug, Args)]
pub(super) struct Aim {
    /// For this platform: `manylinux2014_x86_64`, `win_amd64`, `macosx_13_0_arm64`; of several for one machine the newest
    #[arg(long, value_name = "TAG")]
    pub(super) platform: Vec<String>,
    /// For this Python: `3.12`, `312` or `3.12.1`
    #[arg(long, value_name = "VERSION")]
    pub(super) python_version: Option<String>,
    /// For this implementation: `cp`, the only one
    #[arg(long, value_name = "NAME")]
    pub(super) implementation: Option<String>,
    /// For this ABI: that of the Python, as `cp312`; `abi3` and `none` are meant with it
    #[arg(long, value_name = "ABI")]
    pub(super) abi: Vec<String>,
}
