//! One level's say: the settings that a file, the variables or the command line make.

use std::path::PathBuf;

use super::Origin;

/// One level's say.
#[derive(Debug, Clone, Default)]
pub(super) struct Level {
    pub(super) values: Vec<(Key, Vec<Value>, Origin)>,
    /// Whether its lists add to those below.
    pub(super) adds: bool,
    /// What its relative paths are relative to.
    pub(super) base: PathBuf,
}

impl Level {
    /// Notes what is said of a setting, unless that is nothing.
    pub(super) fn put(&mut self, key: Key, values: Vec<Value>, origin: Origin) {
        if !values.is_empty() {
            self.values.push((key, values, origin));
        }
    }
}

/// A value as it stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Value {
    pub(super) text: String,
    /// The name that an index was given.
    pub(super) name: Option<String>,
    /// Whether an index answers only for packages that are pinned to it.
    pub(super) explicit: bool,
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self {
            text,
            ..Self::default()
        }
    }
}

/// A value with its origin and what its paths are relative to.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) value: Value,
    pub(super) origin: Origin,
    pub(super) base: PathBuf,
}

impl Said {
    pub(super) fn text(&self) -> &str {
        &self.value.text
    }
}

/// The settings there are, by pip's names and, where pip has none, by ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Key {
    IndexUrl,
    ExtraIndexUrl,
    FindLinks,
    NoIndex,
    IndexStrategy,
    KeyringProvider,
    TrustedHost,
    Cert,
    ClientCert,
    Proxy,
    Timeout,
    Retries,
    Offline,
    BackgroundRefresh,
    RefreshTtl,
    RefreshIdle,
}

impl Key {
    /// Those that pip knows too.
    pub(super) const PIP: [Self; 11] = [
        Self::IndexUrl,
        Self::ExtraIndexUrl,
        Self::FindLinks,
        Self::NoIndex,
        Self::KeyringProvider,
        Self::TrustedHost,
        Self::Cert,
        Self::ClientCert,
        Self::Proxy,
        Self::Timeout,
        Self::Retries,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::IndexUrl => "index-url",
            Self::ExtraIndexUrl => "extra-index-url",
            Self::FindLinks => "find-links",
            Self::NoIndex => "no-index",
            Self::IndexStrategy => "index-strategy",
            Self::KeyringProvider => "keyring-provider",
            Self::TrustedHost => "trusted-host",
            Self::Cert => "cert",
            Self::ClientCert => "client-cert",
            Self::Proxy => "proxy",
            Self::Timeout => "timeout",
            Self::Retries => "retries",
            Self::Offline => "offline",
            Self::BackgroundRefresh => "background-refresh",
            Self::RefreshTtl => "refresh-ttl",
            Self::RefreshIdle => "refresh-idle",
        }
    }

    /// The values in a text of pip's: lists are divided by white space.
    pub(super) fn values(self, text: &str) -> Vec<Value> {
        if self.is_list() {
            text.split_whitespace()
                .map(|word| word.to_owned().into())
                .collect()
        } else {
            vec![text.trim().to_owned().into()]
        }
    }

    pub(super) fn is_list(self) -> bool {
        matches!(
            self,
            Self::ExtraIndexUrl | Self::FindLinks | Self::TrustedHost
        )
    }

    /// Whether what a higher level says goes before what lower ones say: the first index that has
    /// a project answers for it, so the nearest must be asked first.
    pub(super) fn nearest_first(self) -> bool {
        self == Self::ExtraIndexUrl
    }
}
