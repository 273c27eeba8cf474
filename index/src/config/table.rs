//! What a TOML table says of indexes: `[tool.blast]` of a project, and the user's own
//! `$XDG_CONFIG_HOME/blast/config.toml`, which has the same keys at its top.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use blast_types::PackageName;
use serde::{Deserialize, Serialize};

use super::level::{Key, Level, Value};
use super::{ConfigError, Origin, Surroundings};

/// What `[tool.blast]` says about indexes. Keys that other parts of blast read are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ProjectSettings {
    /// The main index.
    pub index_url: Option<String>,
    /// Indexes asked before the main one.
    pub extra_index_url: Vec<String>,
    /// Indexes with a name, asked in this order before `extra_index_url`.
    pub index: Vec<NamedIndex>,
    /// Where a package comes from: one index, or a place on this machine.
    pub sources: BTreeMap<PackageName, PackageSource>,
    /// Directories and pages with links; relative paths are relative to the project.
    pub find_links: Vec<String>,
    /// Ask no index.
    pub no_index: Option<bool>,
    /// `first-index` or `unsafe-best-match`.
    pub index_strategy: Option<String>,
    /// `disabled` or `subprocess`.
    pub keyring_provider: Option<String>,
    /// Hosts whose certificates are not checked.
    pub trusted_host: Vec<String>,
    /// PEM bundle used instead of the platform's certificates.
    pub cert: Option<String>,
    /// PEM file with a client certificate and its key.
    pub client_cert: Option<String>,
    /// Proxy for all requests.
    pub proxy: Option<String>,
    /// Whether an idle daemon asks again for old pages of what environments use.
    pub background_refresh: Option<bool>,
    /// How old such a page must be, in seconds.
    pub refresh_ttl: Option<u64>,
    /// How long the daemon must be idle for that, in seconds.
    pub refresh_idle: Option<u64>,
    /// The project's root; not part of the table.
    #[serde(skip)]
    pub root: PathBuf,
}

/// One `[[tool.blast.index]]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedIndex {
    /// What `sources` calls it.
    #[serde(default)]
    pub name: Option<String>,
    /// Root of the index, or a directory.
    pub url: String,
    /// It answers only for packages that `sources` pins to it.
    #[serde(default)]
    pub explicit: bool,
    /// It is the main index, asked last.
    #[serde(default)]
    pub default: bool,
}

/// One entry of `[tool.blast.sources]`: where a package comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenSource", into = "WrittenSource")]
pub enum PackageSource {
    /// The index of this name, and no other.
    Index(String),
    /// A project or an archive on this machine, which is for the project that says so alone.
    Path {
        /// Relative to the project.
        path: String,
        /// Install it in editable form.
        editable: bool,
    },
}

/// The same as it is written.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenSource {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    editable: Option<bool>,
}

impl TryFrom<WrittenSource> for PackageSource {
    type Error = &'static str;

    fn try_from(written: WrittenSource) -> Result<Self, Self::Error> {
        match (written.index, written.path, written.editable) {
            (Some(index), None, None) => Ok(Self::Index(index)),
            (None, Some(path), editable) => Ok(Self::Path {
                path,
                editable: editable.unwrap_or(false),
            }),
            _ => {
                Err("a source is `{ index = \"NAME\" }` or `{ path = \"PATH\", editable = true }`")
            }
        }
    }
}

impl From<PackageSource> for WrittenSource {
    fn from(source: PackageSource) -> Self {
        match source {
            PackageSource::Index(index) => Self {
                index: Some(index),
                ..Self::default()
            },
            PackageSource::Path { path, editable } => Self {
                path: Some(path),
                editable: editable.then_some(true),
                ..Self::default()
            },
        }
    }
}

/// The user's own file, which need not exist.
pub(super) fn of_user(
    around: &Surroundings,
) -> Result<Option<(ProjectSettings, Origin)>, ConfigError> {
    let set = |name: &str| around.variables.get(name).filter(|value| !value.is_empty());
    let config = set("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(around.home.as_ref()?.join(".config")));
    let Some(root) = config.map(|config| config.join("blast")) else {
        return Ok(None);
    };
    let path = root.join("config.toml");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(source) => return Err(ConfigError::Io { path, source }),
    };
    let table: ProjectSettings =
        toml::from_str(&text).map_err(|error: toml::de::Error| ConfigError::Parse {
            path: path.clone(),
            reason: error.message().to_owned(),
        })?;
    Ok(Some((
        ProjectSettings { root, ..table },
        Origin::UserConfig(path),
    )))
}

/// The table as a level.
pub(super) fn level(table: &ProjectSettings, origin: &Origin) -> Result<Level, ConfigError> {
    let mut mains = table.index.iter().filter(|index| index.default);
    let main = mains.next();
    if main.is_some() && (mains.next().is_some() || table.index_url.is_some()) {
        return Err(ConfigError::TwoMains {
            origin: origin.clone(),
        });
    }
    for (at, index) in table.index.iter().enumerate() {
        let twice = |other: &NamedIndex| other.name.is_some() && other.name == index.name;
        if table.index[..at].iter().any(twice) {
            return Err(ConfigError::TwoOfOneName {
                name: index.name.clone().unwrap_or_default(),
                origin: origin.clone(),
            });
        }
        if index.explicit && index.name.is_none() {
            return Err(ConfigError::NoName {
                origin: origin.clone(),
            });
        }
    }
    let mut level = Level {
        adds: true,
        base: table.root.clone(),
        ..Level::default()
    };
    let mut put = |key, values: Vec<Value>| level.put(key, values, origin.clone());
    let one = |text: &Option<String>| text.iter().cloned().map(Value::from).collect();
    let all = |texts: &[String]| texts.iter().cloned().map(Value::from).collect();
    put(
        Key::IndexUrl,
        main.map(value)
            .into_iter()
            .chain(one_of(table.index_url.as_ref()))
            .collect(),
    );
    let named = table.index.iter().filter(|index| !index.default).map(value);
    put(
        Key::ExtraIndexUrl,
        named
            .chain(table.extra_index_url.iter().cloned().map(Value::from))
            .collect(),
    );
    put(Key::FindLinks, all(&table.find_links));
    put(Key::TrustedHost, all(&table.trusted_host));
    put(Key::NoIndex, shown(table.no_index.as_ref()));
    put(Key::IndexStrategy, one(&table.index_strategy));
    put(Key::KeyringProvider, one(&table.keyring_provider));
    put(Key::Cert, one(&table.cert));
    put(Key::ClientCert, one(&table.client_cert));
    put(Key::Proxy, one(&table.proxy));
    put(
        Key::BackgroundRefresh,
        shown(table.background_refresh.as_ref()),
    );
    put(Key::RefreshTtl, shown(table.refresh_ttl.as_ref()));
    put(Key::RefreshIdle, shown(table.refresh_idle.as_ref()));
    Ok(level)
}

fn one_of(text: Option<&String>) -> Option<Value> {
    text.cloned().map(Value::from)
}

fn shown(value: Option<&impl ToString>) -> Vec<Value> {
    value.iter().map(|value| value.to_string().into()).collect()
}

fn value(index: &NamedIndex) -> Value {
    Value {
        text: index.url.clone(),
        name: index.name.clone(),
        explicit: index.explicit,
    }
}
