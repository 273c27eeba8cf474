//! Which indexes to ask and how, out of everything that may say so. Lowest first: the
//! interpreter's own default (filled in later, see [`Sources::set_default_index`]), pip's files,
//! `PIP_*`, the user's `config.toml`, `BLAST_*`, `[tool.blast]`, flags. A higher level replaces a
//! single value; lists of the user's file and above add to those below, while pip's own levels
//! replace one another as they do in pip. Of extra indexes the nearest is asked first.
//!
//! Input is a value ([`Surroundings`], [`ProjectSettings`], [`Flags`]); only pip's files and the
//! user's are read here, from places that the input names. Each setting remembers where it came from.

mod answer;
mod level;
mod pip_conf;
mod pip_options;
mod table;
mod variables;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;

use answer::Answer;
use blast_types::{Hint, PackageName};
use level::{Key, Level, Said, Value};
use serde::{Deserialize, Serialize};

use crate::sources::Sources;
use crate::url::UrlError;
pub use pip_conf::{PipFiles, pip_values};
pub use pip_options::{PipOption, pip_options};
pub use table::{NamedIndex, PackageSource, ProjectSettings};

/// The process's surroundings as far as they count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// Environment variables; those that are not Unicode are left out.
    pub variables: BTreeMap<String, String>,
    /// The user's home directory.
    pub home: Option<PathBuf>,
    /// What relative paths are relative to.
    pub cwd: PathBuf,
    /// Where the system keeps its configuration, `/etc`.
    pub etc: PathBuf,
    /// Prefix of the environment whose `pip.conf` counts, where there is one.
    pub site: Option<PathBuf>,
    /// Whether the user's own file of pip's settings is passed over.
    pub isolated: bool,
}

impl Surroundings {
    /// As pip's `--isolated` has them: without the user's own file and the `PIP_*` variables, but for the one that names
    /// a file.
    #[must_use]
    pub fn isolated(mut self) -> Self {
        let counts = |name: &str| !name.starts_with("PIP_") || name == "PIP_CONFIG_FILE";
        self.variables.retain(|name, _| counts(name));
        self.isolated = true;
        self
    }
}

/// What the command line says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flags {
    /// `--index-url`
    pub index_url: Option<String>,
    /// `--extra-index-url`
    pub extra_index_url: Vec<String>,
    /// `--find-links`
    pub find_links: Vec<String>,
    /// `--no-index`
    pub no_index: bool,
    /// `--offline`
    pub offline: bool,
    /// `--index-strategy`
    pub index_strategy: Option<String>,
    /// `--keyring-provider`
    pub keyring_provider: Option<String>,
    /// `--trusted-host`
    pub trusted_host: Vec<String>,
    /// `--cert`
    pub cert: Option<String>,
    /// `--client-cert`
    pub client_cert: Option<String>,
    /// `--proxy`
    pub proxy: Option<String>,
}

/// Where a setting came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// One of pip's files.
    PipConf(PathBuf),
    /// An environment variable.
    Variable(String),
    /// The user's own configuration file.
    UserConfig(PathBuf),
    /// `[tool.blast]` of the project with this root.
    Project(PathBuf),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::PipConf(path) | Self::UserConfig(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Project(root) => write!(f, "{}", root.join("pyproject.toml").display()),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// A setting for display.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Its name, as pip spells it.
    pub key: String,
    /// Its value, credentials hidden.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// What to use.
    pub sources: Sources,
    /// Where each part of it came from, in the order of importance.
    pub settings: Vec<Setting>,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A URL that is none.
    #[error("{key} ({origin}) cannot be used")]
    Url {
        /// The setting.
        key: &'static str,
        /// Where it came from.
        origin: Origin,
        /// The cause.
        source: UrlError,
    },
    /// A value of the wrong kind.
    #[error("{key} ({origin}) is `{value}`, which is no {wanted}")]
    Value {
        /// The setting.
        key: &'static str,
        /// Where it came from.
        origin: Origin,
        /// What it says.
        value: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// Two indexes that both are the main one.
    #[error("{origin} names two main indexes")]
    TwoMains {
        /// Where.
        origin: Origin,
    },
    /// Two indexes of one name.
    #[error("{origin} names two indexes `{name}`")]
    TwoOfOneName {
        /// The name.
        name: String,
        /// Where.
        origin: Origin,
    },
    /// An index that no package can be pinned to and that answers for no other.
    #[error("{origin} has an explicit index without a name")]
    NoName {
        /// Where.
        origin: Origin,
    },
    /// A package that shall come from an index that nobody named.
    #[error("{origin} takes `{package}` from the index `{index}`, but names none of that name")]
    UnknownIndex {
        /// The package.
        package: PackageName,
        /// The name.
        index: String,
        /// Where.
        origin: Origin,
    },
    /// A place on this machine, named for all projects.
    #[error("{origin} takes `{package}` from a path, which a project alone can say")]
    PathOfUser {
        /// The package.
        package: PackageName,
        /// Where.
        origin: Origin,
    },
    /// A keyring was asked for, but there is none.
    #[error("keyring-provider ({origin}) wants the program `keyring`, which is not on PATH")]
    NoKeyring {
        /// Where it was asked for.
        origin: Origin,
    },
    /// A file of settings that cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file of settings that makes no sense.
    #[error("cannot parse {}: {reason}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        reason: String,
    },
}

impl Hint for ConfigError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Url { key: "proxy", .. } => {
                vec!["write it like http://proxy.example:3128".to_owned()]
            }
            Self::Url { .. } => vec!["write it like https://index.example/simple/".to_owned()],
            Self::Parse { path, .. } if path.extension().is_some_and(|end| end == "toml") => {
                vec!["correct the file, or move it away".to_owned()]
            }
            Self::Parse { .. } => {
                vec![
                    "correct the file, or set PIP_CONFIG_FILE=/dev/null to leave it out".to_owned(),
                ]
            }
            Self::TwoMains { .. } => {
                vec!["keep one of `index-url` and the indexes with `default = true`".to_owned()]
            }
            Self::NoName { .. } => vec!["give it one: `name = \"internal\"`".to_owned()],
            Self::UnknownIndex { index, .. } => vec![format!(
                "add `[[tool.blast.index]]` with `name = \"{index}\"` and its `url`"
            )],
            Self::PathOfUser { package, .. } => vec![format!(
                "write it into `[tool.blast.sources]` of the project: `blast add ./{package}`"
            )],
            Self::NoKeyring { .. } => vec![
                "install it (`pip install keyring`), or use `--keyring-provider disabled`"
                    .to_owned(),
            ],
            Self::TwoOfOneName { .. } | Self::Value { .. } | Self::Io { .. } => Vec::new(),
        }
    }
}

/// Works out the sources.
pub fn resolve(
    around: &Surroundings,
    project: Option<&ProjectSettings>,
    flags: &Flags,
) -> Result<Configured, ConfigError> {
    let user = table::of_user(around)?;
    let project = project.map(|table| (table, Origin::Project(table.root.clone())));
    let tables: Vec<_> = user
        .iter()
        .map(|(table, origin)| (table, origin))
        .chain(project.iter().map(|(table, origin)| (*table, origin)))
        .collect();
    let mut levels = pip_conf::levels(around)?;
    levels.push(variables::pip(around));
    if let Some((table, origin)) = &user {
        levels.push(table::level(table, origin)?);
    }
    levels.push(variables::blast(around));
    if let Some((table, origin)) = &project {
        levels.push(table::level(table, origin)?);
    }
    levels.push(of_flags(flags, around));
    let mut answer = Answer {
        said: stacked(levels),
        settings: Vec::new(),
        home: around.home.clone(),
        program_path: around.variables.get("PATH").cloned().unwrap_or_default(),
    };
    let mut sources = answer.sources()?;
    variables::fill_in(&mut sources, around, &mut answer.settings)?;
    for (table, origin) in tables {
        answer.pin(&mut sources, table, origin)?;
    }
    Ok(Configured {
        sources,
        settings: answer.settings,
    })
}

/// What is said of each setting once higher levels have replaced or joined lower ones.
fn stacked(levels: Vec<Level>) -> BTreeMap<Key, Vec<Said>> {
    let mut said: BTreeMap<Key, Vec<Said>> = BTreeMap::new();
    for level in levels {
        for (key, values, origin) in level.values {
            let known = said.entry(key).or_default();
            if !(key.is_list() && level.adds) {
                known.clear();
            }
            let new = values.into_iter().map(|value| Said {
                value,
                origin: origin.clone(),
                base: level.base.clone(),
            });
            if key.nearest_first() {
                known.splice(..0, new);
            } else {
                known.extend(new);
            }
        }
    }
    said
}

fn of_flags(flags: &Flags, around: &Surroundings) -> Level {
    let mut level = Level {
        adds: true,
        base: around.cwd.clone(),
        ..Level::default()
    };
    let mut put = |key: Key, texts: Vec<String>| {
        let values = texts.into_iter().map(Value::from).collect();
        level.put(key, values, Origin::Flag(format!("--{}", key.name())));
    };
    let one = |text: &Option<String>| text.iter().cloned().collect();
    let switch = |on: bool| on.then(|| "true".to_owned()).into_iter().collect();
    put(Key::IndexUrl, one(&flags.index_url));
    put(Key::ExtraIndexUrl, flags.extra_index_url.clone());
    put(Key::FindLinks, flags.find_links.clone());
    put(Key::NoIndex, switch(flags.no_index));
    put(Key::IndexStrategy, one(&flags.index_strategy));
    put(Key::KeyringProvider, one(&flags.keyring_provider));
    put(Key::TrustedHost, flags.trusted_host.clone());
    put(Key::Cert, one(&flags.cert));
    put(Key::ClientCert, one(&flags.client_cert));
    put(Key::Proxy, one(&flags.proxy));
    put(Key::Offline, switch(flags.offline));
    level
}

#[cfg(test)]
mod tests;
