//! What goes wrong between an index and a verified file. URLs appear only in redacted form.
//! Whether an error is about one file (the version is unusable) or about the index as a whole is
//! [`IndexError::is_about_one_file`]: a resolver goes on after the first and stops at the second.

use std::io;
use std::path::PathBuf;

use blast_types::{FileHash, Hint, PackageName, Sha256, Version};

use crate::metadata::MetadataError;
use crate::simple::PageError;
use crate::url::{RedactedUrl, UrlError};
use crate::wheel::WheelError;

/// Why an index, a file of it or a local source could not be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// No index and no link page has the project.
    #[error("no package named `{name}` was found{}", asked(searched))]
    NotFound {
        /// The project.
        name: PackageName,
        /// What was asked, redacted.
        searched: Vec<String>,
    },
    /// PEP 708: pages that do not confirm what one of them says.
    #[error(
        "the pages of `{name}` do not agree that they are of one project: {}",
        listed(pages)
    )]
    Disagreement {
        /// The project.
        name: PackageName,
        /// Where it was found.
        pages: Vec<RedactedUrl>,
    },
    /// There is nothing to ask.
    #[error("there is no index to look for `{name}` in")]
    NoIndex {
        /// The project.
        name: PackageName,
    },
    /// Needed from the network, but the network is not to be used.
    #[error("{url} is not in the cache and the network is not to be used")]
    Offline {
        /// What was needed.
        url: RedactedUrl,
    },
    /// 401 or 403.
    #[error("access to {url} was refused (HTTP {status})")]
    Refused {
        /// What was asked for.
        url: RedactedUrl,
        /// The status code.
        status: u16,
    },
    /// Any other status that is no answer.
    #[error("{url} answered HTTP {status}")]
    Status {
        /// What was asked for.
        url: RedactedUrl,
        /// The status code.
        status: u16,
    },
    /// No connection came about.
    #[error("cannot reach {url}: {failure}")]
    Connect {
        /// What was asked for.
        url: RedactedUrl,
        /// What kind of failure it was.
        failure: ConnectFailure,
        /// The cause.
        source: reqwest::Error,
    },
    /// The answer broke off.
    #[error("the answer from {url} broke off")]
    Body {
        /// What was asked for.
        url: RedactedUrl,
        /// The cause.
        source: reqwest::Error,
    },
    /// A redirect that leads nowhere good.
    #[error("{url} redirects {reason}")]
    Redirect {
        /// The URL that redirected.
        url: RedactedUrl,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// More bytes than any such answer has.
    #[error("the answer from {url} is larger than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        url: RedactedUrl,
        /// The limit in bytes.
        limit: u64,
    },
    /// A page that is no index page.
    #[error("{url} is not a page of a package index")]
    Page {
        /// The page.
        url: RedactedUrl,
        /// What is wrong with it.
        source: PageError,
    },
    /// A URL that cannot be used.
    #[error("`{what}` cannot be used")]
    Url {
        /// What the URL is of, without the URL.
        what: String,
        /// The cause.
        source: UrlError,
    },
    /// A source distribution whose metadata only a build can tell.
    #[error("the metadata of {file} is known only after building it")]
    NeedsBuild {
        /// The file.
        file: String,
    },
    /// Metadata that cannot be read.
    #[error("the metadata of {file} cannot be used")]
    Metadata {
        /// The file.
        file: String,
        /// What is wrong with it.
        source: MetadataError,
    },
    /// Metadata of something else than the file's name says.
    #[error("the metadata of {file} is that of {name} {version}")]
    MetadataDisagrees {
        /// The file.
        file: String,
        /// The name in the metadata.
        name: PackageName,
        /// The version in the metadata.
        version: Version,
    },
    /// Bytes other than those that the index or the lock promised.
    #[error("{file} has SHA-256 {actual}, but {expected} was promised")]
    HashMismatch {
        /// The file, `.metadata` included.
        file: String,
        /// What was promised.
        expected: Sha256,
        /// What came.
        actual: Sha256,
    },
    /// The same, of a promise in another algorithm.
    #[error("{file} has {actual}, but {expected} was promised")]
    OtherHashMismatch {
        /// The file.
        file: String,
        /// What was promised.
        expected: FileHash,
        /// What came.
        actual: FileHash,
    },
    /// More or fewer bytes than promised.
    #[error("{file} has {actual} bytes, but {expected} were promised")]
    SizeMismatch {
        /// The file.
        file: String,
        /// What was promised.
        expected: u64,
        /// What came.
        actual: u64,
    },
    /// The index and the lock promise different bytes for one file.
    #[error("the index states SHA-256 {stated} for {file}, but {expected} is required")]
    HashConflict {
        /// The file.
        file: String,
        /// What the index states.
        stated: Sha256,
        /// What the lock or the user requires.
        expected: Sha256,
    },
    /// A wheel that cannot be read.
    #[error(transparent)]
    Wheel(#[from] WheelError),
    /// A local file or directory failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was being done, as an infinitive.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Certificates or proxies that cannot be used.
    #[error("the {setting} setting cannot be used")]
    Setting {
        /// Which one.
        setting: &'static str,
        /// The cause.
        source: reqwest::Error,
    },
    /// Work on a background thread was cut off, as happens when the daemon goes down.
    #[error("the work was interrupted")]
    Interrupted,
}

/// Why no connection came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectFailure {
    /// The host name has no address.
    Dns,
    /// Nobody listens there.
    ConnectionRefused,
    /// No answer in time.
    Timeout,
    /// The certificate or the handshake failed.
    Tls,
    /// Anything else.
    Other,
}

impl std::fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Dns => "the host name cannot be resolved",
            Self::ConnectionRefused => "the connection was refused",
            Self::Timeout => "no answer in time",
            Self::Tls => "the secure connection failed",
            Self::Other => "the connection failed",
        })
    }
}

fn asked(searched: &[String]) -> String {
    if searched.is_empty() {
        String::new()
    } else {
        format!(" in {}", searched.join(", "))
    }
}

fn listed(pages: &[RedactedUrl]) -> String {
    let pages: Vec<_> = pages.iter().map(ToString::to_string).collect();
    pages.join(", ")
}

impl ConnectFailure {
    /// What kind of failure this is. The libraries below wrap it several times over and give no
    /// kind of their own for names and certificates, so that their text has to serve there.
    pub(crate) fn of(error: &reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::Timeout;
        }
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(cause) = next {
            if let Some(io) = cause.downcast_ref::<io::Error>() {
                match io.kind() {
                    io::ErrorKind::ConnectionRefused => return Self::ConnectionRefused,
                    io::ErrorKind::TimedOut => return Self::Timeout,
                    _ => {}
                }
            }
            let text = cause.to_string().to_ascii_lowercase();
            if text.contains("dns error") || text.contains("failed to lookup address") {
                return Self::Dns;
            }
            if text.contains("certificate") || text.contains("handshake") || text.contains("tls") {
                return Self::Tls;
            }
            next = cause.source();
        }
        Self::Other
    }
}

impl IndexError {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// Whether only this file or version is unusable, so that others may be tried.
    ///
    /// A 404 of [`crate::Index::metadata`] or [`crate::Index::download`] is that of a file: the
    /// page lists it, but it is gone.
    pub fn is_about_one_file(&self) -> bool {
        matches!(
            self,
            Self::NeedsBuild { .. }
                | Self::Status {
                    status: 404 | 410,
                    ..
                }
                | Self::Metadata { .. }
                | Self::MetadataDisagrees { .. }
                | Self::HashMismatch { .. }
                | Self::OtherHashMismatch { .. }
                | Self::SizeMismatch { .. }
                | Self::HashConflict { .. }
                | Self::Wheel(_)
        )
    }
}

impl Hint for IndexError {
    fn hints(&self) -> Vec<String> {
        let text = match self {
            Self::NotFound { .. } => "check the spelling, or name another index with --index-url",
            Self::Disagreement { .. } => {
                "say which index it comes from: `[tool.blast.sources]` pins a package to one"
            }
            Self::NoIndex { .. } => {
                "name one with --index-url or --find-links, or leave out --no-index"
            }
            Self::Offline { .. } => "repeat the command once without --offline",
            Self::Refused { .. } => {
                "put credentials for this host into ~/.netrc or into the index URL, or let \
                 `keyring` tell them: --keyring-provider subprocess"
            }
            Self::Status { status: 500.., .. } => {
                "the index has a problem of its own: try again later or use --offline"
            }
            Self::Connect { failure, .. } => match failure {
                ConnectFailure::Dns => {
                    "check the spelling of the host, the network, or use --offline"
                }
                ConnectFailure::ConnectionRefused => {
                    "check host and port of the index URL, and that the server runs"
                }
                ConnectFailure::Timeout => {
                    "check the network and HTTPS_PROXY, or raise PIP_DEFAULT_TIMEOUT"
                }
                ConnectFailure::Tls => {
                    "name your certificates with SSL_CERT_FILE, or add the host to PIP_TRUSTED_HOST"
                }
                ConnectFailure::Other => "check the network and HTTPS_PROXY, or use --offline",
            },
            Self::Page { .. } => "an index URL usually ends in /simple/",
            Self::HashMismatch { .. }
            | Self::OtherHashMismatch { .. }
            | Self::SizeMismatch { .. } => {
                "try again; if it stays, do not trust this index or the file"
            }
            Self::HashConflict { .. } => "the file was replaced: make a new lock if you trust it",
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "free some disk space, for instance with `blast clean`"
            }
            Self::Setting { .. } => "check PIP_CERT, SSL_CERT_FILE and the proxy settings",
            _ => return Vec::new(),
        };
        vec![text.to_owned()]
    }
}
