//! URLs that may hold credentials. [`RedactedUrl`] is the only form in which a URL reaches an
//! error or a terminal: its `Display` and `Debug` hide the password, and a lone user name too,
//! because tokens are often sent as one. Serialisation keeps the whole URL: it goes over the
//! daemon's private socket.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use url::Url;

/// Text that is no URL this crate can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It cannot be parsed. The text is not repeated: it may hold a password.
    #[error("not a valid URL: {0}")]
    Syntax(#[from] url::ParseError),
    /// It is a URL of a kind that no index has.
    #[error("URLs of scheme `{0}` are not supported: use https, http or file")]
    Scheme(String),
    /// A `file` URL that names no path on this machine.
    #[error("the file URL names no local path")]
    NotLocal,
}

/// A URL whose text forms hide credentials.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RedactedUrl(Url);

impl RedactedUrl {
    /// The URL itself, credentials included.
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// The same URL without user name, password and fragment.
    pub fn without_credentials(&self) -> Url {
        without_credentials(&self.0)
    }
}

impl From<Url> for RedactedUrl {
    fn from(url: Url) -> Self {
        Self(url)
    }
}

impl FromStr for RedactedUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let url = Url::parse(text.trim())?;
        match url.scheme() {
            "http" | "https" | "file" => Ok(Self(url)),
            other => Err(UrlError::Scheme(other.to_owned())),
        }
    }
}

impl fmt::Display for RedactedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.password().is_none() && self.0.username().is_empty() {
            return f.write_str(self.0.as_str());
        }
        let mut shown = self.0.clone();
        // Both fail only for URLs that cannot hold credentials, and this one holds some.
        let hidden = if self.0.password().is_some() {
            shown.set_password(Some("****"))
        } else {
            shown.set_username("****")
        };
        match hidden {
            Ok(()) => f.write_str(shown.as_str()),
            Err(()) => f.write_str("<URL with credentials>"),
        }
    }
}

impl fmt::Debug for RedactedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// The URL of a [`blast_types::DistFile`] as it may be kept: without credentials (PEP 610).
pub fn bare(text: &str) -> String {
    Url::parse(text).map_or_else(
        |_| "<unreadable URL>".to_owned(),
        |url| without_credentials(&url).into(),
    )
}

/// Takes the credentials of all http and https URLs out of a text, and gives back the URLs (up to
/// the path) that they are for. Other schemes keep theirs: `git@` in an SSH URL is no secret, and
/// git reads what it needs from the URL.
pub fn take_logins(text: &str) -> (String, Vec<RedactedUrl>) {
    let (mut bare, mut taken) = (String::with_capacity(text.len()), Vec::new());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        bare.push_str(before);
        rest = after;
        let in_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        let scheme = before[..at].trim_end_matches(in_scheme).len();
        if !matches!(&before[scheme..], "http://" | "https://") {
            continue;
        }
        let ends = |c: char| c.is_whitespace() || "/?#'\"".contains(c);
        let authority = &after[..after.find(ends).unwrap_or(after.len())];
        let url = format!("{}{authority}/", &before[scheme..]).parse();
        if let (Some(end), Ok(url)) = (authority.rfind('@'), url) {
            taken.push(url);
            rest = &after[end + 1..];
        }
    }
    (bare + rest, taken)
}

pub(crate) fn without_credentials(url: &Url) -> Url {
    let mut bare = url.clone();
    if !bare.cannot_be_a_base() && bare.has_host() {
        // Cannot fail: the URL has a host. For `file` URLs there is nothing to remove.
        _ = bare.set_username("");
        _ = bare.set_password(None);
    }
    bare.set_fragment(None);
    bare
}

/// The path of a `file` URL.
pub(crate) fn local_path(url: &Url) -> Result<PathBuf, UrlError> {
    url.to_file_path().map_err(|()| UrlError::NotLocal)
}

/// The `file` URL of an absolute path.
pub(crate) fn file_url(path: &Path) -> Result<Url, UrlError> {
    Url::from_file_path(path).map_err(|()| UrlError::NotLocal)
}

/// The last component of a URL's path, percent-decoded: the file name that PEP 503 means.
pub(crate) fn filename_of(url: &str) -> String {
    let path = url.split(['#', '?']).next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    percent_decode_str(last).decode_utf8_lossy().into_owned()
}

/// The project page below an index: `INDEX/NAME/`.
pub(crate) fn project_page(index: &Url, name: &blast_types::PackageName) -> Url {
    let mut page = without_credentials(index);
    let path = format!("{}/{name}/", page.path().trim_end_matches('/'));
    page.set_path(&path);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_hidden_in_text_and_kept_in_the_value() {
        let url: RedactedUrl = "https://me:secret@index.example/simple/"
            .parse()
            .expect("valid");
        assert_eq!(url.to_string(), "https://me:****@index.example/simple/");
        assert!(!format!("{url:?}").contains("secret"));
        assert_eq!(url.as_url().password(), Some("secret"));
        assert_eq!(
            url.without_credentials().as_str(),
            "https://index.example/simple/"
        );
        let token: RedactedUrl = "https://token@index.example/".parse().expect("valid");
        assert_eq!(token.to_string(), "https://****@index.example/");
    }

    #[test]
    fn logins_are_taken_out_of_requirements() {
        let (bare, taken) = take_logins("demo @ https://me:s3cret@h:1/demo.whl ; a == 'b'");
        assert_eq!(bare, "demo @ https://h:1/demo.whl ; a == 'b'");
        assert_eq!(taken[0].as_url().as_str(), "https://me:s3cret@h:1/");
        for kept in [
            "flask>=3",
            "a @ git+ssh://git@h/a.git",
            "a @ git+https://t:p@h/a.git",
        ] {
            assert_eq!(take_logins(kept), (kept.to_owned(), Vec::new()));
        }
    }

    #[test]
    fn foreign_schemes_and_nonsense_are_refused() {
        assert!(matches!(
            "ftp://index.example/".parse::<RedactedUrl>(),
            Err(UrlError::Scheme(_))
        ));
        assert!(matches!(
            "/simple".parse::<RedactedUrl>(),
            Err(UrlError::Syntax(_))
        ));
    }

    #[test]
    fn names_and_pages_come_out_of_paths() {
        assert_eq!(
            filename_of("https://h/a%2Bb-1.0.tar.gz#sha256=00"),
            "a+b-1.0.tar.gz"
        );
        let name = "flask".parse().expect("a name");
        for index in [
            "http://u:p@127.0.0.1:1/simple",
            "http://127.0.0.1:1/simple/",
        ] {
            let index = Url::parse(index).expect("valid");
            assert_eq!(
                project_page(&index, &name).as_str(),
                "http://127.0.0.1:1/simple/flask/"
            );
        }
    }
}
