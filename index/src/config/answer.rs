//! From what was said at each level to the value that is used.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;

use super::{ConfigError, Key, Origin, Said, Setting};
use crate::sources::{IndexSource, Proxies, Sources};
use crate::url::{RedactedUrl, UrlError, file_url};

/// Turns what was said into [`Sources`], noting what was used.
pub(super) struct Answer {
    pub(super) said: BTreeMap<Key, Vec<Said>>,
    pub(super) settings: Vec<Setting>,
    pub(super) home: Option<PathBuf>,
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
            let parsed = if said.text.contains("://") {
                said.text.parse()
            } else {
                // pip takes a directory tree for an index too.
                let folder = self.absolute(&said);
                if !folder.is_dir() {
                    return Err(value_error(key, said, "URL and no directory that exists"));
                }
                file_url(&folder).map(RedactedUrl::from)
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

    fn proxies(&mut self) -> Result<Proxies, ConfigError> {
        let Some(said) = self.take(Key::Proxy).pop() else {
            return Ok(Proxies::default());
        };
        let proxy = parse_proxy(&said.text)
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
pub(super) fn absolute(path: &Path, base: &Path, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => base.join(path),
    }
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
        value: said.text,
        wanted,
    }
}
