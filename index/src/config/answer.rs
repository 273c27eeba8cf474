//! From what was said at each level to the value that is used.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;

use super::level::{Key, Said};
use super::table::{PackageSource, ProjectSettings};
use super::{ConfigError, Origin, Setting};
use crate::sources::{IndexSource, IndexStrategy, Proxies, Refresh, Sources};
use crate::url::{RedactedUrl, UrlError, file_url};

/// Turns what was said into [`Sources`], noting what was used.
pub(super) struct Answer {
    pub(super) said: BTreeMap<Key, Vec<Said>>,
    pub(super) settings: Vec<Setting>,
    pub(super) home: Option<PathBuf>,
    /// `$PATH`, for the keyring program.
    pub(super) program_path: String,
}

impl Answer {
    pub(super) fn sources(&mut self) -> Result<Sources, ConfigError> {
        let defaults = Sources::default();
        let no_index = self.flag(Key::NoIndex)?;
        let main = self.urls(Key::IndexUrl)?;
        let mut indexes = self.urls(Key::ExtraIndexUrl)?;
        let default_from_interpreter = main.is_empty() && !no_index;
        // Extra indexes first: what is private must not be shadowed by what is public.
        indexes.extend(main);
        let mut seen = HashSet::new();
        // One that has a name stays even where its URL stands elsewhere too: it may be pinned to.
        indexes.retain(|index| seen.insert(index.url.clone()) || index.name.is_some());
        Ok(Sources {
            indexes: if no_index { Vec::new() } else { indexes },
            default_from_interpreter,
            find_links: self.find_links()?,
            no_index,
            pins: BTreeMap::new(),
            strategy: self.strategy()?,
            keyring: self.keyring()?,
            refresh: self.refresh()?,
            logins: Vec::new(),
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

    /// Pins packages to indexes, as a table asks for it. An index that a higher level put another
    /// one in the place of still answers for what is pinned to it.
    pub(super) fn pin(
        &mut self,
        sources: &mut Sources,
        table: &ProjectSettings,
        origin: &Origin,
    ) -> Result<(), ConfigError> {
        for (package, source) in &table.sources {
            let index = match source {
                PackageSource::Index(index) => index,
                PackageSource::Path { path, .. } => {
                    if matches!(origin, Origin::UserConfig(_)) {
                        return Err(ConfigError::PathOfUser {
                            package: package.clone(),
                            origin: origin.clone(),
                        });
                    }
                    self.settings.push(Setting {
                        key: "sources".to_owned(),
                        value: format!("{package} from {path}"),
                        origin: origin.clone(),
                    });
                    continue;
                }
            };
            let is_meant = |name: &Option<String>| name.as_ref() == Some(index);
            if !sources.indexes.iter().any(|index| is_meant(&index.name)) {
                let Some(named) = table.index.iter().find(|index| is_meant(&index.name)) else {
                    return Err(ConfigError::UnknownIndex {
                        package: package.clone(),
                        index: index.clone(),
                        origin: origin.clone(),
                    });
                };
                let url = self.url(Key::IndexUrl, &named.url, &table.root, origin)?;
                if !sources.no_index {
                    sources.indexes.push(IndexSource {
                        name: named.name.clone(),
                        explicit: true,
                        ..IndexSource::of(url)
                    });
                }
            }
            self.settings.push(Setting {
                key: "sources".to_owned(),
                value: format!("{package} from {index}"),
                origin: origin.clone(),
            });
            sources.pins.insert(package.clone(), index.clone());
        }
        Ok(())
    }

    fn strategy(&mut self) -> Result<IndexStrategy, ConfigError> {
        let Some(said) = self.take(Key::IndexStrategy).pop() else {
            return Ok(IndexStrategy::default());
        };
        let strategy = match said.text() {
            "first-index" => IndexStrategy::FirstIndex,
            "unsafe-best-match" => IndexStrategy::UnsafeBestMatch,
            _ => {
                let wanted = "strategy: use first-index or unsafe-best-match";
                return Err(value_error(Key::IndexStrategy, said, wanted));
            }
        };
        self.note(Key::IndexStrategy, &said.value.text, said.origin);
        Ok(strategy)
    }

    /// The keyring program, where credentials are to be asked of one. `auto` and `import` are
    /// pip's other words: both use a keyring if there is one.
    fn keyring(&mut self) -> Result<Option<PathBuf>, ConfigError> {
        let Some(said) = self.take(Key::KeyringProvider).pop() else {
            return Ok(None);
        };
        let (wanted, needed) = match said.text() {
            "disabled" => (false, false),
            "subprocess" => (true, true),
            "auto" | "import" => (true, false),
            _ => {
                let wanted = "provider: use subprocess or disabled";
                return Err(value_error(Key::KeyringProvider, said, wanted));
            }
        };
        let found = wanted
            .then(|| program("keyring", &self.program_path))
            .flatten();
        if needed && found.is_none() {
            return Err(ConfigError::NoKeyring {
                origin: said.origin,
            });
        }
        self.note(Key::KeyringProvider, &said.value.text, said.origin);
        Ok(found)
    }

    fn refresh(&mut self) -> Result<Refresh, ConfigError> {
        let defaults = Refresh::default();
        let enabled = self.said.contains_key(&Key::BackgroundRefresh);
        Ok(Refresh {
            enabled: if enabled {
                self.flag(Key::BackgroundRefresh)?
            } else {
                defaults.enabled
            },
            ttl_s: self.number(Key::RefreshTtl)?.unwrap_or(defaults.ttl_s),
            idle_s: self.number(Key::RefreshIdle)?.unwrap_or(defaults.idle_s),
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
            let url = self.url(key, said.text(), &said.base, &said.origin)?;
            let shown = match &said.value.name {
                Some(name) => format!("{url} named {name}"),
                None => url.to_string(),
            };
            self.note(key, shown, said.origin);
            indexes.push(IndexSource {
                url,
                name: said.value.name,
                explicit: said.value.explicit,
            });
        }
        Ok(indexes)
    }

    /// A URL; pip takes a directory tree for an index too.
    fn url(
        &self,
        key: Key,
        text: &str,
        base: &Path,
        origin: &Origin,
    ) -> Result<RedactedUrl, ConfigError> {
        let parsed = if text.contains("://") {
            text.parse()
        } else {
            let folder = absolute(Path::new(text), base, self.home.as_deref());
            if !folder.is_dir() {
                return Err(ConfigError::Value {
                    key: key.name(),
                    origin: origin.clone(),
                    value: text.to_owned(),
                    wanted: "URL and no directory that exists",
                });
            }
            file_url(&folder).map(RedactedUrl::from)
        };
        parsed.map_err(|source| url_error(key, origin, source))
    }

    fn find_links(&mut self) -> Result<Vec<String>, ConfigError> {
        let mut links: Vec<String> = Vec::new();
        for said in self.take(Key::FindLinks) {
            let (link, shown) = if said.text().contains("://") {
                let url: RedactedUrl = said
                    .text()
                    .parse()
                    .map_err(|source| url_error(Key::FindLinks, &said.origin, source))?;
                (said.value.text.clone(), url.to_string())
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
            self.note(key, &one.value.text, one.origin.clone());
        }
        said.into_iter().map(|said| said.value.text).collect()
    }

    fn path(&mut self, key: Key) -> Option<PathBuf> {
        let said = self.take(key).pop()?;
        let path = self.absolute(&said);
        self.note(key, path.display(), said.origin);
        Some(path)
    }

    fn proxies(&mut self) -> Result<Proxies, ConfigError> {
        let Some(said) = self.take(Key::Proxy).pop() else {
            return Ok(Proxies::default());
        };
        let proxy = parse_proxy(said.text())
            .map_err(|source| url_error(Key::Proxy, &said.origin, source))?;
        self.note(Key::Proxy, &proxy, said.origin);
        Ok(Proxies {
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
        let whole = said.text().split('.').next().unwrap_or_default();
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
        let value = match said.text().trim().to_ascii_lowercase().as_str() {
            "y" | "yes" | "t" | "true" | "on" | "1" => true,
            "n" | "no" | "f" | "false" | "off" | "0" | "" => false,
            _ => return Err(value_error(key, said, "yes or no")),
        };
        self.note(key, value, said.origin);
        Ok(value)
    }

    fn absolute(&self, said: &Said) -> PathBuf {
        absolute(Path::new(said.text()), &said.base, self.home.as_deref())
    }
}

/// `~` stands for the home directory, and the rest is relative to `base`.
pub(super) fn absolute(path: &Path, base: &Path, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => base.join(path),
    }
}

/// The first executable file of this name in the directories of `path`.
fn program(name: &str, path: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    path.split(':')
        .map(|directory| Path::new(directory).join(name))
        .filter(|file| file.is_absolute())
        .find(|file| {
            std::fs::metadata(file)
                .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        })
}

/// Proxies are often written without a scheme, and may be SOCKS ones.
pub(super) fn parse_proxy(text: &str) -> Result<RedactedUrl, UrlError> {
    let text = text.trim();
    let url = if text.contains("://") {
        Url::parse(text)?
    } else {
        Url::parse(&format!("http://{text}"))?
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
        value: said.value.text,
        wanted,
    }
}
