//! Environment variables: `PIP_*`, `BLAST_*`, and those that all network programs share.

use crate::sources::Sources;

use super::answer::{absolute, parse_proxy};
use super::level::{Key, Level};
use super::{ConfigError, Origin, Setting, Surroundings};

/// pip's variables; each option of pip's has one.
const PIP: [(&str, Key); 11] = [
    ("PIP_INDEX_URL", Key::IndexUrl),
    ("PIP_EXTRA_INDEX_URL", Key::ExtraIndexUrl),
    ("PIP_FIND_LINKS", Key::FindLinks),
    ("PIP_NO_INDEX", Key::NoIndex),
    ("PIP_KEYRING_PROVIDER", Key::KeyringProvider),
    ("PIP_TRUSTED_HOST", Key::TrustedHost),
    ("PIP_CERT", Key::Cert),
    ("PIP_CLIENT_CERT", Key::ClientCert),
    ("PIP_PROXY", Key::Proxy),
    ("PIP_DEFAULT_TIMEOUT", Key::Timeout),
    ("PIP_RETRIES", Key::Retries),
];

const BLAST: [(&str, Key); 10] = [
    ("BLAST_INDEX_URL", Key::IndexUrl),
    ("BLAST_EXTRA_INDEX_URL", Key::ExtraIndexUrl),
    ("BLAST_FIND_LINKS", Key::FindLinks),
    ("BLAST_NO_INDEX", Key::NoIndex),
    ("BLAST_INDEX_STRATEGY", Key::IndexStrategy),
    ("BLAST_KEYRING_PROVIDER", Key::KeyringProvider),
    ("BLAST_OFFLINE", Key::Offline),
    ("BLAST_BACKGROUND_REFRESH", Key::BackgroundRefresh),
    ("BLAST_REFRESH_TTL", Key::RefreshTtl),
    ("BLAST_REFRESH_IDLE", Key::RefreshIdle),
];

pub(super) fn pip(around: &Surroundings) -> Level {
    let mut level = of(&PIP, around, false);
    // The option's own name, which pip takes too.
    let timeout = of(&[("PIP_TIMEOUT", Key::Timeout)], around, false);
    level.values.extend(timeout.values);
    level
}

pub(super) fn blast(around: &Surroundings) -> Level {
    of(&BLAST, around, true)
}

/// An empty variable counts as not set, as it does for pip.
fn of(names: &[(&str, Key)], around: &Surroundings, adds: bool) -> Level {
    let mut level = Level {
        adds,
        base: around.cwd.clone(),
        ..Level::default()
    };
    for (name, key) in names {
        let Some(value) = around
            .variables
            .get(*name)
            .filter(|value| !value.trim().is_empty())
        else {
            continue;
        };
        let origin = Origin::Variable((*name).to_owned());
        level.put(*key, key.values(value), origin);
    }
    level
}

/// Settings that are not pip's own: certificates, proxies, netrc. They serve where nothing of
/// pip's or ours speaks.
pub(super) fn fill_in(
    sources: &mut Sources,
    around: &Surroundings,
    settings: &mut Vec<Setting>,
) -> Result<(), ConfigError> {
    let path = |text: &str| absolute(text.as_ref(), &around.cwd, around.home.as_deref());
    let mut note = |key: &str, value: String, origin| {
        settings.push(Setting {
            key: key.to_owned(),
            value,
            origin,
        });
    };
    if sources.cert.is_none()
        && let Some((text, origin)) = first(around, &CERTIFICATES)
    {
        sources.cert = Some(path(&text));
        note("cert", text, origin);
    }
    if sources.proxy.http.is_none() && sources.proxy.https.is_none() {
        for (slot, names) in [
            (&mut sources.proxy.http, &HTTP_PROXIES),
            (&mut sources.proxy.https, &HTTPS_PROXIES),
        ] {
            let Some((text, origin)) = first(around, names) else {
                continue;
            };
            let error = |source| ConfigError::Url {
                key: "proxy",
                origin: origin.clone(),
                source,
            };
            let proxy = parse_proxy(&text).map_err(error)?;
            note("proxy", proxy.to_string(), origin);
            *slot = Some(proxy);
        }
    }
    if let Some((text, origin)) = first(around, &["no_proxy", "NO_PROXY"]) {
        note("no-proxy", text.clone(), origin);
        sources.proxy.no_proxy = Some(text);
    }
    if let Some((text, origin)) = first(around, &["NETRC"]) {
        sources.netrc = Some(path(&text));
        note("netrc", text, origin);
    } else {
        let at_home = around.home.as_ref().map(|home| home.join(".netrc"));
        sources.netrc = at_home.filter(|path| path.is_file());
    }
    Ok(())
}

const CERTIFICATES: [&str; 4] = [
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];
const HTTP_PROXIES: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
const HTTPS_PROXIES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

/// The first of these variables that says something.
fn first(around: &Surroundings, names: &[&str]) -> Option<(String, Origin)> {
    names.iter().find_map(|name| {
        let value = around
            .variables
            .get(*name)
            .filter(|value| !value.trim().is_empty())?;
        Some((value.clone(), Origin::Variable((*name).to_owned())))
    })
}
