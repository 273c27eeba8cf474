//! Where packages come from, as one value: what the command line computes (see
//! [`crate::config`]), sends to the daemon, and what an [`crate::Index`] is made of.

use std::collections::BTreeMap;
use std::path::PathBuf;

use blast_types::PackageName;
use serde::{Deserialize, Serialize};

use crate::url::RedactedUrl;

/// Everything that decides which index answers and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sources {
    /// Indexes in the order in which they are asked. The first that has a project answers for it,
    /// so that no public index can shadow a private one. Extra indexes stand before the main one.
    pub indexes: Vec<IndexSource>,
    /// The name of the one index that a package may come from.
    pub pins: BTreeMap<PackageName, String>,
    /// What happens where several indexes have a project.
    pub strategy: IndexStrategy,
    /// Nobody named a main index: the one that the interpreter's pip would use goes last, see
    /// [`Sources::set_default_index`].
    pub default_from_interpreter: bool,
    /// Directories, `file:` URLs or HTML pages with links to distributions. Paths are absolute.
    pub find_links: Vec<String>,
    /// Ask no index, only `find_links`.
    pub no_index: bool,
    /// Hosts (`host` or `host:port`) whose certificates are not checked.
    pub trusted_hosts: Vec<String>,
    /// PEM bundle used instead of the platform's certificates.
    pub cert: Option<PathBuf>,
    /// PEM file with a client certificate and its key.
    pub client_cert: Option<PathBuf>,
    /// Proxies.
    pub proxy: Proxies,
    /// URLs with credentials for their hosts that were given beside the indexes, as in a
    /// requirement that is a URL.
    pub logins: Vec<RedactedUrl>,
    /// The keyring program to ask for credentials, where one is to be asked.
    pub keyring: Option<PathBuf>,
    /// Netrc file with credentials, where there is one.
    pub netrc: Option<PathBuf>,
    /// Seconds without an answer after which a connection counts as dead.
    pub timeout_s: u64,
    /// How often a failed request is repeated.
    pub retries: u32,
    /// Use nothing but caches and local files.
    pub offline: bool,
    /// What an idle daemon keeps up to date.
    pub refresh: Refresh,
}

/// One index of the simple API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexSource {
    /// Root of the index; the page of a project is `URL/NAME/`.
    pub url: RedactedUrl,
    /// What [`Sources::pins`] calls it.
    #[serde(default)]
    pub name: Option<String>,
    /// It answers only for what is pinned to it.
    #[serde(default)]
    pub explicit: bool,
}

impl IndexSource {
    /// An index without a name, for all packages.
    pub fn of(url: RedactedUrl) -> Self {
        Self {
            url,
            name: None,
            explicit: false,
        }
    }
}

/// What happens where several indexes have a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IndexStrategy {
    /// The first that has it answers for it.
    #[default]
    FirstIndex,
    /// The versions of all are candidates, as for pip. Whoever can publish on any of the indexes
    /// can so stand in for a project of another (dependency confusion).
    UnsafeBestMatch,
}

/// What an idle daemon keeps up to date of the pages that environments use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refresh {
    /// Whether it does.
    pub enabled: bool,
    /// Pages that were confirmed within so many seconds are left alone.
    pub ttl_s: u64,
    /// It begins so many seconds after the last request.
    pub idle_s: u64,
}

impl Default for Refresh {
    fn default() -> Self {
        Self {
            enabled: true,
            ttl_s: 3600,
            idle_s: 60,
        }
    }
}

/// Proxies by the scheme of the request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Proxies {
    /// For `http` requests.
    pub http: Option<RedactedUrl>,
    /// For `https` requests.
    pub https: Option<RedactedUrl>,
    /// Comma-separated hosts that are reached directly, as in `NO_PROXY`.
    pub no_proxy: Option<String>,
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            indexes: Vec::new(),
            pins: BTreeMap::new(),
            strategy: IndexStrategy::default(),
            default_from_interpreter: false,
            find_links: Vec::new(),
            no_index: false,
            trusted_hosts: Vec::new(),
            cert: None,
            client_cert: None,
            proxy: Proxies::default(),
            logins: Vec::new(),
            keyring: None,
            netrc: None,
            timeout_s: 30,
            retries: 3,
            offline: false,
            refresh: Refresh::default(),
        }
    }
}

impl Sources {
    /// Sources with one index and nothing else.
    pub fn of_index(url: RedactedUrl) -> Self {
        Self {
            indexes: vec![IndexSource::of(url)],
            ..Self::default()
        }
    }

    /// Fills in the interpreter's own default as the main index, where it is wanted.
    pub fn set_default_index(&mut self, url: RedactedUrl) {
        if std::mem::take(&mut self.default_from_interpreter) {
            self.indexes.push(IndexSource::of(url));
        }
    }

    /// Whether [`Sources::set_default_index`] still has to be called before an index is asked.
    pub fn needs_default_index(&self) -> bool {
        self.default_from_interpreter && !self.no_index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_index_goes_last_and_only_where_wanted() {
        let url: RedactedUrl = "https://index.example/simple/".parse().expect("valid");
        let extra: RedactedUrl = "http://127.0.0.1:9/simple/".parse().expect("valid");
        let mut sources = Sources::of_index(extra.clone());
        sources.set_default_index(url.clone());
        assert_eq!(sources.indexes.len(), 1);
        sources.default_from_interpreter = true;
        assert!(sources.needs_default_index());
        sources.set_default_index(url.clone());
        let urls: Vec<_> = sources.indexes.iter().map(|index| &index.url).collect();
        assert_eq!(urls, [&extra, &url]);
        assert!(!sources.needs_default_index());
    }

    #[test]
    fn the_wire_form_keeps_credentials_and_defaults() {
        let sources = Sources::of_index("https://u:p@index.example/".parse().expect("valid"));
        let json = serde_json::to_string(&sources).expect("plain data");
        assert_eq!(
            serde_json::from_str::<Sources>(&json).expect("round trip"),
            sources
        );
        assert_eq!(
            serde_json::from_str::<Sources>("{}").expect("defaults"),
            Sources::default()
        );
    }
}
