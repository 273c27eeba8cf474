//! Arguments of the commands that install nothing.

use std::path::PathBuf;

use blast_types::HashAlgorithm;
use clap::{Args, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::Visible;
use crate::cli::options::{RequirementOptions, SourceOptions};
use crate::cli::resolution::ResolverOptions;

/// `pip inspect`.
#[derive(Debug, Args)]
pub(in crate::cli::pip) struct Inspect {
    #[command(flatten)]
    pub(in crate::cli::pip) visible: Visible,
}

/// `pip hash`.
#[derive(Debug, Args)]
pub(in crate::cli::pip) struct Hash {
    /// Files
    #[arg(value_name = "FILE", required = true)]
    pub(in crate::cli::pip) files: Vec<PathBuf>,
    /// Which hash: sha256, sha384 or sha512
    #[arg(short, long, value_name = "ALGORITHM", default_value = "sha256")]
    pub(in crate::cli::pip) algorithm: Algorithm,
}

/// `--algorithm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli::pip) enum Algorithm {
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    /// What computes it.
    pub(in crate::cli::pip) fn kind(self) -> HashAlgorithm {
        match self {
            Self::Sha256 => HashAlgorithm::Sha256,
            Self::Sha384 => HashAlgorithm::Sha384,
            Self::Sha512 => HashAlgorithm::Sha512,
        }
    }
}

/// `pip lock`.
#[derive(Debug, Args)]
pub(in crate::cli::pip) struct Lock {
    #[command(flatten)]
    pub(in crate::cli::pip) wanted: RequirementOptions,
    /// Take this dependency group too, of the project here or of that `pyproject.toml`
    #[arg(long, value_name = "[PATH:]GROUP")]
    pub(in crate::cli::pip) group: Vec<String>,
    /// Take the versions of this file for whatever a build needs
    #[arg(long, visible_alias = "build-constraints", value_name = "FILE")]
    pub(in crate::cli::pip) build_constraint: Vec<PathBuf>,
    /// Where to write it; `-`: the standard output
    #[arg(short, long, value_name = "FILE", default_value = "pylock.toml")]
    pub(in crate::cli::pip) output: PathBuf,
    /// Builds always follow PEP 517
    #[arg(long)]
    use_pep517: bool,
    #[command(flatten)]
    pub(in crate::cli::pip) resolver: ResolverOptions,
    #[command(flatten)]
    pub(in crate::cli::pip) sources: SourceOptions,
}

/// `pip index`.
#[derive(Debug, Args)]
pub(in crate::cli::pip) struct Index {
    #[command(subcommand)]
    pub(in crate::cli::pip) command: IndexCommand,
}

/// The commands of `pip index`.
#[derive(Debug, Subcommand)]
pub(in crate::cli::pip) enum IndexCommand {
    /// List the versions of a package that could be installed
    Versions(Box<Versions>),
}

/// `pip index versions`.
#[derive(Debug, Args)]
pub(in crate::cli::pip) struct Versions {
    /// Of this package
    #[arg(value_name = "PACKAGE")]
    pub(in crate::cli::pip) package: String,
    /// Print JSON
    #[arg(long)]
    pub(in crate::cli::pip) json: bool,
    #[command(flatten)]
    pub(in crate::cli::pip) resolver: ResolverOptions,
    #[command(flatten)]
    pub(in crate::cli::pip) sources: SourceOptions,
}

/// `pip search`.
#[derive(Debug, Args)]
pub(in crate::cli::pip) struct Search {
    /// Words
    #[arg(value_name = "QUERY")]
    pub(in crate::cli::pip) query: Vec<String>,
}

/// `pip completion`.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of pip's")]
#[derive(Debug, Args)]
pub(in crate::cli::pip) struct Completion {
    /// For bash
    #[arg(short, long)]
    bash: bool,
    /// For zsh
    #[arg(short, long, conflicts_with = "bash")]
    zsh: bool,
    /// For fish
    #[arg(short, long, conflicts_with_all = ["bash", "zsh"])]
    fish: bool,
    /// For PowerShell
    #[arg(short, long, conflicts_with_all = ["bash", "zsh", "fish"])]
    powershell: bool,
}

impl Completion {
    /// The one that was named.
    pub(in crate::cli::pip) fn shell(&self) -> Option<Shell> {
        let named = [
            (self.bash, Shell::Bash),
            (self.zsh, Shell::Zsh),
            (self.fish, Shell::Fish),
            (self.powershell, Shell::PowerShell),
        ];
        named
            .into_iter()
            .find_map(|(named, shell)| named.then_some(shell))
    }
}

/// `pip cache`.
#[derive(Debug, Args)]
pub(in crate::cli::pip) struct Cache {
    #[command(subcommand)]
    pub(in crate::cli::pip) command: CacheCommand,
}

/// The commands of `pip cache`.
#[derive(Debug, Subcommand)]
pub(in crate::cli::pip) enum CacheCommand {
    /// Print where it is
    Dir,
    /// Say what is in it
    Info,
    /// List the wheels that were built here
    List {
        /// Those whose name matches (`numpy`, `numpy-1.*`)
        pattern: Option<String>,
        /// How to print: human or abspath
        #[arg(long, value_name = "FORMAT", default_value = "human")]
        format: CacheFormat,
    },
    /// Remove wheels that were built here
    Remove {
        /// Those whose name matches (`numpy`, `numpy-1.*`)
        pattern: String,
    },
    /// Remove wheels that were built here, and what indexes answered
    Purge,
}

/// `--format` of `pip cache list`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli::pip) enum CacheFormat {
    Human,
    Abspath,
}

/// `pip config`.
#[derive(Debug, Args)]
pub(in crate::cli::pip) struct Config {
    #[command(flatten)]
    pub(in crate::cli::pip) scope: Scope,
    /// The editor of `edit` (default: that of the variables `VISUAL` and `EDITOR`)
    #[arg(long, global = true)]
    pub(in crate::cli::pip) editor: Option<String>,
    #[command(subcommand)]
    pub(in crate::cli::pip) command: ConfigCommand,
}

/// Whose file is meant.
#[derive(Debug, Clone, Copy, Args)]
pub(in crate::cli::pip) struct Scope {
    /// The file of the machine
    #[arg(long, global = true)]
    pub(in crate::cli::pip) global: bool,
    /// The file of the user, which is changed unless another is named
    #[arg(long, global = true)]
    pub(in crate::cli::pip) user: bool,
    /// The file of the environment, which has none
    #[arg(long, global = true)]
    pub(in crate::cli::pip) site: bool,
}

/// The commands of `pip config`.
#[derive(Debug, Subcommand)]
pub(in crate::cli::pip) enum ConfigCommand {
    /// List the settings that say where packages come from, or those of one file
    List,
    /// Print one of them
    Get {
        /// `global.index-url`, say
        name: String,
    },
    /// Set one in a file
    Set {
        /// `global.index-url`, say
        name: String,
        /// Its value
        value: String,
    },
    /// Take one out of a file
    Unset {
        /// `global.index-url`, say
        name: String,
    },
    /// Open a file in an editor
    Edit,
    /// List the files, and what each of them says
    Debug,
}
