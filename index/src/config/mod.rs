//! Which indexes to ask and how, out of everything that may say so. Lowest first: the
//! interpreter's own default (filled in later, see [`Sources::set_default_index`]), pip's files,
//! `PIP_*`, `BLAST_*`, `[tool.blast]`, flags. A higher level replaces a single value; lists of
//! `BLAST_*` and above add to those below, while pip's own levels replace one another as they do
//! in pip.
//!
//! Input is a value ([`Surroundings`], [`ProjectSettings`], [`Flags`]); only pip's files are read
//! here, from places that the input names. Each setting remembers where it came from.

mod answer;
mod pip_conf;
mod variables;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;

use answer::Answer;
use blast_types::Hint;
use serde::{Deserialize, Serialize};

use crate::sources::Sources;
use crate::url::UrlError;

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
}

/// What `[tool.blast]` of a project says about indexes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ProjectSettings {
    /// The main index.
    pub index_url: Option<String>,
    /// Indexes asked before the main one.
    pub extra_index_url: Vec<String>,
    /// Directories and pages with links; relative paths are relative to the project.
    pub find_links: Vec<String>,
    /// Ask no index.
    pub no_index: Option<bool>,
    /// The project's root; not part of the table.
    #[serde(skip)]
    pub root: PathBuf,
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
    /// `[tool.blast]` of the project with this root.
    Project(PathBuf),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::PipConf(path) => write!(f, "{}", path.display()),
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
    /// A file of pip's that cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file of pip's that makes no sense.
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
            Self::Parse { .. } => {
                vec![
                    "correct the file, or set PIP_CONFIG_FILE=/dev/null to leave it out".to_owned(),
                ]
            }
            Self::Value { .. } | Self::Io { .. } => Vec::new(),
        }
    }
}

/// One level's say.
#[derive(Debug, Clone, Default)]
struct Level {
    values: Vec<(Key, Vec<String>, Origin)>,
    /// Whether its lists add to those below.
    adds: bool,
    /// What its relative paths are relative to.
    base: PathBuf,
}

/// The settings there are, by pip's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Key {
    IndexUrl,
    ExtraIndexUrl,
    FindLinks,
    NoIndex,
    TrustedHost,
    Cert,
    ClientCert,
    Proxy,
    Timeout,
    Retries,
    Offline,
}

impl Key {
    const ALL: [Self; 11] = [
        Self::IndexUrl,
        Self::ExtraIndexUrl,
        Self::FindLinks,
        Self::NoIndex,
        Self::TrustedHost,
        Self::Cert,
        Self::ClientCert,
        Self::Proxy,
        Self::Timeout,
        Self::Retries,
        Self::Offline,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::IndexUrl => "index-url",
            Self::ExtraIndexUrl => "extra-index-url",
            Self::FindLinks => "find-links",
            Self::NoIndex => "no-index",
            Self::TrustedHost => "trusted-host",
            Self::Cert => "cert",
            Self::ClientCert => "client-cert",
            Self::Proxy => "proxy",
            Self::Timeout => "timeout",
            Self::Retries => "retries",
            Self::Offline => "offline",
        }
    }

    /// The values in a text of pip's: lists are divided by white space.
    fn values(self, text: &str) -> Vec<String> {
        if self.is_list() {
            text.split_whitespace().map(str::to_owned).collect()
        } else {
            vec![text.trim().to_owned()]
        }
    }

    fn is_list(self) -> bool {
        matches!(
            self,
            Self::ExtraIndexUrl | Self::FindLinks | Self::TrustedHost
        )
    }
}

/// A value with its origin and what its paths are relative to.
#[derive(Debug, Clone)]
struct Said {
    text: String,
    origin: Origin,
    base: PathBuf,
}

/// Works out the sources.
pub fn resolve(
    around: &Surroundings,
    project: Option<&ProjectSettings>,
    flags: &Flags,
) -> Result<Configured, ConfigError> {
    let mut levels = pip_conf::levels(around)?;
    levels.push(variables::pip(around));
    levels.push(variables::blast(around));
    levels.extend(project.map(of_project));
    levels.push(of_flags(flags, around));
    let mut said: BTreeMap<Key, Vec<Said>> = BTreeMap::new();
    for level in levels {
        for (key, texts, origin) in level.values {
            let known = said.entry(key).or_default();
            if !(key.is_list() && level.adds) {
                known.clear();
            }
            let base = &level.base;
            known.extend(texts.into_iter().map(|text| Said {
                text,
                origin: origin.clone(),
                base: base.clone(),
            }));
        }
    }
    let mut answer = Answer {
        said,
        settings: Vec::new(),
        home: around.home.clone(),
    };
    let mut sources = answer.sources()?;
    variables::fill_in(&mut sources, around, &mut answer.settings)?;
    Ok(Configured {
        sources,
        settings: answer.settings,
    })
}

fn of_project(project: &ProjectSettings) -> Level {
    let origin = || Origin::Project(project.root.clone());
    let mut level = Level {
        values: Vec::new(),
        adds: true,
        base: project.root.clone(),
    };
    let mut put = |key, texts: Vec<String>| {
        if !texts.is_empty() {
            level.values.push((key, texts, origin()));
        }
    };
    put(Key::IndexUrl, project.index_url.iter().cloned().collect());
    put(Key::ExtraIndexUrl, project.extra_index_url.clone());
    put(Key::FindLinks, project.find_links.clone());
    put(
        Key::NoIndex,
        project.no_index.iter().map(ToString::to_string).collect(),
    );
    level
}

fn of_flags(flags: &Flags, around: &Surroundings) -> Level {
    let mut level = Level {
        values: Vec::new(),
        adds: true,
        base: around.cwd.clone(),
    };
    let mut put = |key: Key, texts: Vec<String>| {
        if !texts.is_empty() {
            level
                .values
                .push((key, texts, Origin::Flag(format!("--{}", key.name()))));
        }
    };
    put(Key::IndexUrl, flags.index_url.iter().cloned().collect());
    put(Key::ExtraIndexUrl, flags.extra_index_url.clone());
    put(Key::FindLinks, flags.find_links.clone());
    put(
        Key::NoIndex,
        flags
            .no_index
            .then(|| "true".to_owned())
            .into_iter()
            .collect(),
    );
    put(
        Key::Offline,
        flags
            .offline
            .then(|| "true".to_owned())
            .into_iter()
            .collect(),
    );
    level
}

#[cfg(test)]
mod tests;
