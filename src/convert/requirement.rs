//! Requirements of PEP 508 made of parts. Each part is read by itself first, so that no part can
//! pass for another.

use std::fmt::Write as _;
use std::str::FromStr as _;

use blast_types::{ExtraName, PackageName, pep508, versions};
use url::Url;

use super::ConvertError;
use super::node::Node;

/// What a requirement is made of.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) extras: Vec<String>,
    /// Specifiers of PEP 440; empty: any version.
    pub(super) versions: String,
    /// Where it comes from, in place of `versions`.
    pub(super) url: Option<String>,
    /// All must hold.
    pub(super) markers: Vec<String>,
}

impl Wanted {
    /// The requirement in its normal form; `at` is where it stands.
    pub(super) fn text(&self, at: &Node<'_>) -> Result<String, ConvertError> {
        let mut text = PackageName::from_str(&self.name)
            .map_err(|error| at.problem(error))?
            .to_string();
        if !self.extras.is_empty() {
            let extras = self.extras.iter().map(|extra| ExtraName::from_str(extra));
            let extras: Result<Vec<_>, _> = extras.collect();
            let extras = extras.map_err(|error| at.problem(error))?;
            let extras: Vec<_> = extras.iter().map(ToString::to_string).collect();
            let _ = write!(text, "[{}]", extras.join(","));
        }
        if let Some(url) = &self.url {
            // Not shown: who wrote it may have put credentials into it.
            Url::parse(url).map_err(|error| at.problem(format!("its URL is none: {error}")))?;
            let _ = write!(text, " @ {url}");
        } else {
            let specifiers =
                versions::specifiers(&self.versions).map_err(|error| at.problem(error))?;
            text += &versions::specifiers_text(&specifiers).replace(", ", ",");
        }
        let mut all = blast_types::MarkerTree::TRUE;
        for marker in &self.markers {
            all = all.and(pep508::marker(marker).map_err(|error| at.problem(error))?);
        }
        if let Some(marker) = all.try_to_string() {
            let _ = write!(text, " ; {marker}");
        }
        let requirement = pep508::requirement(&text).map_err(|error| at.problem(error))?;
        Ok(requirement.displayable_with_credentials().to_string())
    }
}

/// The URL of a commit, as PEP 508 has it: `git+https://host/repo@revision#subdirectory=folder`.
pub(super) fn git_url(repository: &str, revision: Option<&str>, folder: Option<&str>) -> String {
    let repository = repository.strip_prefix("git+").unwrap_or(repository);
    let mut url = if repository.contains("://") {
        format!("git+{repository}")
    } else {
        // The short form of ssh: `git@host:path`.
        format!("git+ssh://{}", repository.replacen(':', "/", 1))
    };
    if let Some(revision) = revision {
        let _ = write!(url, "@{revision}");
    }
    if let Some(folder) = folder {
        let _ = write!(url, "#subdirectory={folder}");
    }
    url
}

/// A URL without credentials, and whether it had some. The name before the `@` of ssh is none.
pub(super) fn without_credentials(url: &str) -> (String, bool) {
    let Ok(mut parsed) = Url::parse(url) else {
        return (url.to_owned(), false);
    };
    let is_ssh = parsed.scheme().ends_with("ssh") && parsed.password().is_none();
    if is_ssh || (parsed.username().is_empty() && parsed.password().is_none()) {
        return (url.to_owned(), false);
    }
    // Both fail only for URLs that cannot have credentials.
    let _ = parsed.set_username("");
    let _ = parsed.set_password(None);
    (parsed.to_string(), true)
}

/// Whether a source's name is the one that Pipenv and Poetry give to the index which everybody
/// has who says nothing.
pub(super) fn is_default_index(name: &str) -> bool {
    name.eq_ignore_ascii_case("pypi")
}

/// Reason for what lies on this machine.
pub(super) const LOCAL: &str =
    "a path holds on one machine only; add it here with `blast install -e PATH`";

/// Reason for hashes.
pub(super) const HASHES: &str = "`blast lock` writes them, for all files of a version";

/// Reason for credentials.
pub(super) const CREDENTIALS: &str =
    "credentials have no place in a project; use netrc or a keyring (docs/indexes.md)";

/// Reason for URLs with variables in them.
pub(super) const VARIABLE: &str = "it holds a variable, which is not replaced in pyproject.toml";
