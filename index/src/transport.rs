//! Connections. A [`Transport`] owns those for one way of reaching servers (certificates, proxies,
//! timeouts) and is shared by all commands that want that way.
//!
//! The `reqwest` clients are built on first use, and apart for plain HTTP, HTTPS and HTTPS to
//! trusted hosts: reading the platform's certificates takes longer than a warm command, so plain
//! HTTP must not pay for it. They follow no redirects and read no environment variables.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Certificate, Client, Identity, NoProxy, Proxy};
use rustls::crypto::CryptoProvider;
use tokio::sync::{OnceCell, Semaphore};
use url::Url;

use crate::error::IndexError;
use crate::sources::{Proxies, Sources};

/// Requests in flight per transport.
const PARALLEL: usize = 50;

/// What decides whether two commands can share connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Reach {
    trusted_hosts: Vec<String>,
    cert: Option<PathBuf>,
    client_cert: Option<PathBuf>,
    proxy: Proxies,
    timeout_s: u64,
    pub(crate) retries: u32,
}

impl Reach {
    pub(crate) fn of(sources: &Sources) -> Self {
        Self {
            trusted_hosts: sources.trusted_hosts.clone(),
            cert: sources.cert.clone(),
            client_cert: sources.client_cert.clone(),
            proxy: sources.proxy.clone(),
            timeout_s: sources.timeout_s.max(1),
            retries: sources.retries,
        }
    }

    fn trusts(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else {
            return false;
        };
        let port = url.port_or_known_default();
        self.trusted_hosts
            .iter()
            .any(|trusted| match trusted.rsplit_once(':') {
                Some((name, digits)) if digits.parse::<u16>().is_ok() => {
                    name == host && digits.parse::<u16>().ok() == port
                }
                _ => trusted == host,
            })
    }
}

/// Which of the clients a URL needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channel {
    Plain,
    Secure,
    Unchecked,
}

/// Connections for one [`Reach`].
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) reach: Reach,
    plain: OnceCell<Client>,
    secure: OnceCell<Client>,
    unchecked: OnceCell<Client>,
    /// Room for requests in flight.
    pub(crate) slots: Arc<Semaphore>,
}

impl Transport {
    pub(crate) fn new(reach: Reach) -> Self {
        Self {
            reach,
            plain: OnceCell::new(),
            secure: OnceCell::new(),
            unchecked: OnceCell::new(),
            slots: Arc::new(Semaphore::new(PARALLEL)),
        }
    }

    /// The client that a request to `url` needs.
    pub(crate) async fn client(&self, url: &Url) -> Result<&Client, IndexError> {
        let channel = match url.scheme() {
            "http" => Channel::Plain,
            _ if self.reach.trusts(url) => Channel::Unchecked,
            _ => Channel::Secure,
        };
        let cell = match channel {
            Channel::Plain => &self.plain,
            Channel::Secure => &self.secure,
            Channel::Unchecked => &self.unchecked,
        };
        cell.get_or_try_init(async || {
            let reach = self.reach.clone();
            blocking(move || build(&reach, channel)).await?
        })
        .await
    }
}

/// Runs blocking work; an error only when the runtime is going down.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, IndexError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => Ok(value),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(IndexError::Interrupted),
    }
}

fn build(reach: &Reach, channel: Channel) -> Result<Client, IndexError> {
    // Not the provider that reqwest brings by itself: that asks the processor for its features before `main`,
    // which a virtual machine answers slowly, and every command would wait for it.
    if CryptoProvider::get_default().is_none() {
        // Done by another thread meanwhile: as good.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
    let setting = |setting| move |source| IndexError::Setting { setting, source };
    let timeout = Duration::from_secs(reach.timeout_s);
    let mut builder = Client::builder()
        .user_agent(concat!("blast/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(timeout)
        .read_timeout(timeout)
        .no_proxy();
    let proxy = match channel {
        Channel::Plain => &reach.proxy.http,
        Channel::Secure | Channel::Unchecked => &reach.proxy.https,
    };
    if let Some(proxy) = proxy {
        let direct = reach
            .proxy
            .no_proxy
            .as_deref()
            .and_then(NoProxy::from_string);
        let proxy = Proxy::all(proxy.as_url().clone()).map_err(setting("proxy"))?;
        builder = builder.proxy(proxy.no_proxy(direct));
    }
    match channel {
        // No certificate is ever looked at, so none is loaded.
        Channel::Plain if !tls_to_proxy(reach) => builder = builder.tls_certs_only([]),
        Channel::Unchecked => builder = builder.tls_danger_accept_invalid_certs(true),
        Channel::Plain | Channel::Secure => {
            if let Some(path) = &reach.cert {
                let pem = read_pem(path)?;
                let bundle = Certificate::from_pem_bundle(&pem).map_err(setting("certificate"))?;
                if bundle.is_empty() {
                    // Nothing would be trusted, and every handshake would fail for no visible
                    // reason.
                    let empty = io::Error::new(io::ErrorKind::InvalidData, "no certificate in it");
                    return Err(IndexError::io("use", path)(empty));
                }
                builder = builder.tls_certs_only(bundle);
            }
        }
    }
    if let Some(path) = reach
        .client_cert
        .as_ref()
        .filter(|_| channel != Channel::Plain)
    {
        let identity =
            Identity::from_pem(&read_pem(path)?).map_err(setting("client certificate"))?;
        builder = builder.identity(identity);
    }
    builder.build().map_err(setting("certificate"))
}

fn tls_to_proxy(reach: &Reach) -> bool {
    reach
        .proxy
        .http
        .as_ref()
        .is_some_and(|proxy| proxy.as_url().scheme() == "https")
}

/// A PEM file, or all of a directory of them.
fn read_pem(path: &Path) -> Result<Vec<u8>, IndexError> {
    let mut pem = Vec::new();
    let mut append = |file: &Path| {
        let mut opened = std::fs::File::open(file)?;
        opened.read_to_end(&mut pem)?;
        pem.push(b'\n');
        Ok(())
    };
    if path.is_dir() {
        let entries = std::fs::read_dir(path).map_err(IndexError::io("read", path))?;
        for entry in entries.flatten().filter(|entry| entry.path().is_file()) {
            append(&entry.path()).map_err(IndexError::io("read", entry.path()))?;
        }
    } else {
        append(path).map_err(IndexError::io("read", path))?;
    }
    Ok(pem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_trusted_with_and_without_a_port() {
        let sources = Sources {
            trusted_hosts: vec!["a.example".to_owned(), "b.example:8443".to_owned()],
            ..Sources::default()
        };
        let reach = Reach::of(&sources);
        let trusts = |url: &str| reach.trusts(&Url::parse(url).expect("valid"));
        assert!(trusts("https://a.example/x") && trusts("https://a.example:444/x"));
        assert!(trusts("https://b.example:8443/"));
        assert!(!trusts("https://b.example/") && !trusts("https://c.example/"));
    }

    #[test]
    fn certificates_must_be_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ca.pem");
        let build_with = |path: &Path| {
            let cert = Some(path.to_owned());
            let reach = Reach::of(&Sources {
                cert,
                ..Sources::default()
            });
            build(&reach, Channel::Plain).expect("no certificate is needed");
            build(&reach, Channel::Secure)
                .map(|_| ())
                .expect_err("no certificates")
                .to_string()
        };
        assert_eq!(build_with(&path), format!("cannot read {}", path.display()));
        std::fs::write(&path, "nothing").expect("written");
        assert_eq!(build_with(&path), format!("cannot use {}", path.display()));
    }
}
