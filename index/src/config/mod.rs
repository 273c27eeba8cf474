//! Which indexes to ask and how, out of everything that may say so. Lowest first: the
//! interpreter's own default (filled in later, see [`Sources::set_default_index`]), pip's files,
//! `PIP_*`, `BLAST_*`, `[tool.blast]`, flags. A higher level replaces a single value; lists of
//! `BLAST_*` and above add to those below, while pip's own levels replace one another as they do
//! in pip.
//!
//! Input is a value ([`Surroundings`], [`ProjectSettings`], [`Flags`]); only pip's files are read
//! here, from places that the input names. Each setting remembers where it came from.

mod pip_conf;
mod variables;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::sources::{IndexSource, Sources};
use crate::url::{RedactedUrl, UrlError, file_url};

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

/// Turns what was said into [`Sources`], noting what was used.
struct Answer {
    said: BTreeMap<Key, Vec<Said>>,
    settings: Vec<Setting>,
    home: Option<PathBuf>,
}

impl Answer {
    fn sources(&mut self) -> Result<Sources, ConfigError> {
        let defaults = Sources::default();
        let no_index = self.flag(Key::NoIndex)?;
        let main = self.urls(Key::IndexUrl)?;
        let mut indexes = self.urls(Key::ExtraIndexUrl)?;
        let default_from_interpreter = main.is_empty() && !no_index;
        // Extra indexes first: what is private must not be shadowed by what is public.
        indexes.extend(main);
        let mut seen = std::collections::HashSet::new();
        indexes.retain(|index| seen.insert(index.url.clone()));
        Ok(Sources {
            indexes: if no_index { Vec::new() } else { indexes },
            default_from_interpreter,
            find_links: self.find_links()?,
            no_index,
            trusted_hosts: self.texts(Key::TrustedHost),
            cert: self.path(Key::Cert),
            client_cert: self.path(Key::ClientCert),
            proxy: self.proxies()?,
            timeout_s: self.number(Key::Timeout)?.unwrap_or(defaults.timeout_s),
            retries: self.number(Key::Retries)?.unwrap_or(defaults.retries),
            offline: self.flag(Key::Offline)?,
            netrc: None,
        })
    }

    fn take(&mut self, key: Key) -> Vec<Said> {
        self.said.remove(&key).unwrap_or_default()
    }

    fn note(&mut self, key: Key, value: impl fmt::Display, origin: Origin) {
        let key = key.name().to_owned();
        self.settings.push(Setting {
            key,
            value: value.to_string(),
            origin,
        });
    }

    fn urls(&mut self, key: Key) -> Result<Vec<IndexSource>, ConfigError> {
        let mut indexes = Vec::new();
        for said in self.take(key) {
            let parsed = match said.text.contains("://") {
                true => said.text.parse(),
                // pip takes a directory tree for an index too.
                false => file_url(&self.absolute(&said)).map(RedactedUrl::from),
            };
            let url = parsed.map_err(|source| url_error(key, &said.origin, source))?;
            self.note(key, &url, said.origin);
            indexes.push(IndexSource { url });
        }
        Ok(indexes)
    }

    fn find_links(&mut self) -> Result<Vec<String>, ConfigError> {
        let mut links: Vec<String> = Vec::new();
        for said in self.take(Key::FindLinks) {
            let (link, shown) = if said.text.contains("://") {
                let url: RedactedUrl = said
                    .text
                    .parse()
                    .map_err(|source| url_error(Key::FindLinks, &said.origin, source))?;
                (said.text.clone(), url.to_string())
            } else {
                let path = self.absolute(&said).display().to_string();
                (path.clone(), path)
            };
            if !links.contains(&link) {
                self.note(Key::FindLinks, shown, said.origin);
                links.push(link);
            }
        }
        Ok(links)
    }

    fn texts(&mut self, key: Key) -> Vec<String> {
        let said = self.take(key);
        for one in &said {
            self.note(key, &one.text, one.origin.clone());
        }
        said.into_iter().map(|said| said.text).collect()
    }

    fn path(&mut self, key: Key) -> Option<PathBuf> {
        let said = self.take(key).pop()?;
        let path = self.absolute(&said);
        self.note(key, path.display(), said.origin);
        Some(path)
    }

    fn proxies(&mut self) -> Result<crate::Proxies, ConfigError> {
        let Some(said) = self.take(Key::Proxy).pop() else {
            return Ok(crate::Proxies::default());
        };
        let proxy = parse_proxy(&said.text)
            .map_err(|source| url_error(Key::Proxy, &said.origin, source))?;
        self.note(Key::Proxy, &proxy, said.origin);
        Ok(crate::Proxies {
            http: Some(proxy.clone()),
            https: Some(proxy),
            no_proxy: None,
        })
    }

    fn number<T: std::str::FromStr + fmt::Display + Copy>(
        &mut self,
        key: Key,
    ) -> Result<Option<T>, ConfigError> {
        let Some(said) = self.take(key).pop() else {
            return Ok(None);
        };
        // pip takes seconds with a fraction; whole seconds are fine enough for a time limit.
        let whole = said.text.split('.').next().unwrap_or_default();
        let Ok(number) = whole.trim().parse::<T>() else {
            return Err(value_error(key, said, "number"));
        };
        self.note(key, number, said.origin);
        Ok(Some(number))
    }

    fn flag(&mut self, key: Key) -> Result<bool, ConfigError> {
        let Some(said) = self.take(key).pop() else {
            return Ok(false);
        };
        let value = match said.text.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" | "t" | "true" | "on" | "1" => true,
            "n" | "no" | "f" | "false" | "off" | "0" | "" => false,
            _ => return Err(value_error(key, said, "yes or no")),
        };
        self.note(key, value, said.origin);
        Ok(value)
    }

    fn absolute(&self, said: &Said) -> PathBuf {
        absolute(Path::new(&said.text), &said.base, self.home.as_deref())
    }
}

/// `~` stands for the home directory, and the rest is relative to `base`.
fn absolute(path: &Path, base: &Path, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => base.join(path),
    }
}

/// Proxies are often written without a scheme, and may be SOCKS ones.
fn parse_proxy(text: &str) -> Result<RedactedUrl, UrlError> {
    let text = text.trim();
    let url = match text.contains("://") {
        true => Url::parse(text)?,
        false => Url::parse(&format!("http://{text}"))?,
    };
    match url.scheme() {
        "http" | "https" | "socks4" | "socks4a" | "socks5" | "socks5h" => Ok(url.into()),
        other => Err(UrlError::Scheme(other.to_owned())),
    }
}

fn url_error(key: Key, origin: &Origin, source: UrlError) -> ConfigError {
    ConfigError::Url {
        key: key.name(),
        origin: origin.clone(),
        source,
    }
}

fn value_error(key: Key, said: Said, wanted: &'static str) -> ConfigError {
    ConfigError::Value {
        key: key.name(),
        origin: said.origin,
        value: said.text,
        wanted,
    }
}

#[cfg(test)]
mod tests;
