//! Environment variables: `PIP_*`, `BLAST_*`, and those that all network programs share.

use crate::sources::Sources;

use super::{ConfigError, Key, Level, Origin, Setting, Surroundings, absolute, parse_proxy};

/// pip's variables; each option of pip's has one.
const PIP: [(&str, Key); 10] = [
    ("PIP_INDEX_URL", Key::IndexUrl),
    ("PIP_EXTRA_INDEX_URL", Key::ExtraIndexUrl),
    ("PIP_FIND_LINKS", Key::FindLinks),
    ("PIP_NO_INDEX", Key::NoIndex),
    ("PIP_TRUSTED_HOST", Key::TrustedHost),
    ("PIP_CERT", Key::Cert),
    ("PIP_CLIENT_CERT", Key::ClientCert),
    ("PIP_PROXY", Key::Proxy),
    ("PIP_DEFAULT_TIMEOUT", Key::Timeout),
    ("PIP_RETRIES", Key::Retries),
];

const BLAST: [(&str, Key); 4] = [
    ("BLAST_INDEX_URL", Key::IndexUrl),
    ("BLAST_EXTRA_INDEX_URL", Key::ExtraIndexUrl),
    ("BLAST_FIND_LINKS", Key::FindLinks),
    ("BLAST_OFFLINE", Key::Offline),
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
        values: Vec::new(),
        adds,
        base: around.cwd.clone(),
    };
    for (name, key) in names {
        let Some(value) = around
            .variables
            .get(*name)
            .filter(|value| !value.trim().is_empty())
        else {
            continue;
        };
        let texts = match key.is_list() {
            true => value.split_whitespace().map(str::to_owned).collect(),
            false => vec![value.trim().to_owned()],
        };
        level
            .values
            .push((*key, texts, Origin::Variable((*name).to_owned())));
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
    let mut first = |key: &str, names: &[&str]| {
        let found = names.iter().find_map(|name| {
            let value = around
                .variables
                .get(*name)
                .filter(|value| !value.trim().is_empty())?;
            Some((value.clone(), Origin::Variable((*name).to_owned())))
        });
        if let Some((value, origin)) = &found {
            let value = parse_proxy(value)
                .ok()
                .filter(|_| key == "proxy")
                .map_or_else(|| value.clone(), |proxy| proxy.to_string());
            settings.push(Setting {
                key: key.to_owned(),
                value,
                origin: origin.clone(),
            });
        }
        found
    };
    if sources.cert.is_none() {
        let names = [
            "REQUESTS_CA_BUNDLE",
            "CURL_CA_BUNDLE",
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
        ];
        if let Some((path, _)) = first("cert", &names) {
            sources.cert = Some(absolute(path.as_ref(), &around.cwd, around.home.as_deref()));
        }
    }
    if sources.proxy.http.is_none() && sources.proxy.https.is_none() {
        for (slot, names) in [
            (
                &mut sources.proxy.http,
                &["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"],
            ),
            (
                &mut sources.proxy.https,
                &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
            ),
        ] {
            if let Some((text, origin)) = first("proxy", names) {
                let error = |source| ConfigError::Url {
                    key: "proxy",
                    origin,
                    source,
                };
                *slot = Some(parse_proxy(&text).map_err(error)?);
            }
        }
    }
    sources.proxy.no_proxy = first("no-proxy", &["no_proxy", "NO_PROXY"]).map(|(text, _)| text);
    let home_netrc = || Some(around.home.as_ref()?.join(".netrc")).filter(|path| path.is_file());
    sources.netrc = match first("netrc", &["NETRC"]) {
        Some((path, _)) => Some(absolute(path.as_ref(), &around.cwd, around.home.as_deref())),
        None => home_netrc(),
    };
    Ok(())
}
