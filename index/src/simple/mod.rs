//! Project pages of the simple API: bytes in, [`ProjectFiles`] out. JSON (PEP 691, 700, 714, 792)
//! and HTML (PEP 503, 592, 658, 714, and the upload times some caches add) yield the same
//! links, which this module turns into files: names that are no wheel or sdist of the project
//! are left out, relative URLs are resolved, versions sorted. Pure; a page of 4000 files takes
//! milliseconds, so callers keep it off the runtime's threads.

mod html;
mod json;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Once};

use blast_types::{
    DistFile, DistKind, Elsewhere, FileHash, MetadataAt, PackageName, ProjectFiles, QUARANTINED,
    Sha256, Version, VersionFiles, VersionSpecifiers, Yanked, filename, versions,
};
use url::Url;

use crate::url::{filename_of, without_credentials};

/// What is sent as `Accept`: JSON first. The versioned HTML type matters too: some caching
/// indexes send upload times only to clients that take it.
pub(crate) const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, \
    application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

/// The minor version of the API that is known here, of major version 1 (PEP 792).
const KNOWN_MINOR: u64 = 4;

/// Looks at the version of the API that a page states (PEP 629). A later minor version is said
/// in the log, once.
fn check_version(stated: &str) -> Result<(), PageError> {
    static SAID: Once = Once::new();
    let (major, minor) = stated
        .trim()
        .split_once('.')
        .unwrap_or((stated.trim(), "0"));
    if major != "1" {
        return Err(PageError::Version(stated.to_owned()));
    }
    if minor.parse().is_ok_and(|minor: u64| minor > KNOWN_MINOR) {
        SAID.call_once(|| {
            tracing::warn!(
                stated,
                "an index speaks a later version of its API than 1.{KNOWN_MINOR}; what is new in it is passed over"
            );
        });
    }
    Ok(())
}

/// Why a page is no index page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The JSON form is damaged.
    #[error("the JSON is not that of a project page")]
    Json(#[from] serde_json::Error),
    /// A major version of the API that is not known.
    #[error("version {0} of the index API is not known")]
    Version(String),
    /// Neither HTML nor JSON.
    #[error("content of type `{0}` is neither HTML nor JSON")]
    ContentType(String),
    /// The page's own address makes no base for its links.
    #[error("the page's address is no base for links")]
    Base(#[from] url::ParseError),
}

/// One file as a page tells of it.
#[derive(Debug, Default)]
struct Link<'a> {
    /// Absolute or relative, perhaps with a hash as fragment.
    url: Cow<'a, str>,
    /// Where it is stated apart from the URL.
    filename: Option<Cow<'a, str>>,
    sha256: Option<Sha256>,
    /// The best of other kinds, where there is no SHA-256.
    other_hash: Option<FileHash>,
    size: Option<u64>,
    requires_python: Option<Cow<'a, str>>,
    yanked: Yanked,
    upload_time: Option<Cow<'a, str>>,
    metadata: MetadataAt,
}

/// Everything a page tells.
#[derive(Debug, Default)]
struct Listing<'a> {
    /// `<base href>`.
    base: Option<Cow<'a, str>>,
    status: Option<String>,
    elsewhere: Elsewhere,
    links: Vec<Link<'a>>,
}

/// Reads the page of one project. `url` is where the page came from, `index` how the index is
/// shown to people (without credentials).
pub fn parse_project(
    body: &[u8],
    content_type: Option<&str>,
    url: &Url,
    index: Arc<str>,
    name: &PackageName,
) -> Result<ProjectFiles, PageError> {
    with_links(body, content_type, |page| {
        let files = files(&page, url, Some(name))?;
        let status = page.status.filter(|status| status != "active");
        // An index must not offer what it quarantines (PEP 792); one that mirrors another may.
        let offered = |_: &_| status.as_deref() != Some(QUARANTINED);
        let files = files.into_iter().filter(offered);
        let files = files.map(|(_, file)| file).collect();
        Ok(ProjectFiles {
            name: name.clone(),
            index,
            versions: group(files),
            status,
            elsewhere: page.elsewhere,
            parts: Vec::new(),
        })
    })
}

/// Reads a page of links to files of any projects.
pub fn parse_link_page(
    body: &[u8],
    content_type: Option<&str>,
    url: &Url,
) -> Result<Vec<(PackageName, Arc<DistFile>)>, PageError> {
    with_links(body, content_type, |page| files(&page, url, None))
}

fn with_links<T>(
    body: &[u8],
    content_type: Option<&str>,
    use_links: impl FnOnce(Listing<'_>) -> Result<T, PageError>,
) -> Result<T, PageError> {
    let kind = content_type
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    let looks_like_json = || body.trim_ascii_start().starts_with(b"{");
    match kind.to_ascii_lowercase().as_str() {
        "application/vnd.pypi.simple.v1+json" | "application/json" => use_links(json::links(body)?),
        "" | "text/plain" | "application/octet-stream" if looks_like_json() => {
            use_links(json::links(body)?)
        }
        "application/vnd.pypi.simple.v1+html"
        | "text/html"
        | "application/xhtml+xml"
        | ""
        | "text/plain"
        | "application/octet-stream" => {
            let text = String::from_utf8_lossy(body);
            use_links(html::links(&text)?)
        }
        other => Err(PageError::ContentType(other.to_owned())),
    }
}

fn files(
    page: &Listing<'_>,
    url: &Url,
    project: Option<&PackageName>,
) -> Result<Vec<(PackageName, Arc<DistFile>)>, PageError> {
    let mut base = without_credentials(url);
    if let Some(href) = &page.base {
        base = base.join(href)?;
    }
    let mut builder = Builder {
        base,
        // The page decides, not the base that it may name.
        local: url.scheme() == "file",
        specifiers: HashMap::new(),
    };
    let named = |link| builder.file(link, project);
    Ok(page.links.iter().filter_map(named).collect())
}

/// Turns links into files. Pages repeat few `Requires-Python` texts thousands of times, so each is
/// parsed once.
struct Builder<'a> {
    base: Url,
    /// Whether the page is a local file, and so may point to others.
    local: bool,
    specifiers: HashMap<&'a str, Option<VersionSpecifiers>>,
}

impl<'a> Builder<'a> {
    fn file(
        &mut self,
        link: &'a Link<'_>,
        project: Option<&PackageName>,
    ) -> Option<(PackageName, Arc<DistFile>)> {
        let (address, fragment) = link.url.split_once('#').unwrap_or((&link.url, ""));
        let filename = match &link.filename {
            Some(name) => name.to_string(),
            None => filename_of(address),
        };
        let (name, kind) = classify(&filename, project)?;
        let url = self.absolute(address)?;
        let sha256 = link.sha256.or_else(|| hash_in(fragment));
        let other_hash = match sha256 {
            Some(_) => None,
            None => link.other_hash.clone().or_else(|| other_hash_in(fragment)),
        };
        let requires_python = link.requires_python.as_deref().and_then(|text| {
            self.specifiers
                .entry(text)
                .or_insert_with(|| versions::specifiers(text).ok())
                .clone()
        });
        let file = DistFile {
            filename: filename.into(),
            kind,
            url: url.into(),
            sha256,
            size: link.size,
            requires_python,
            yanked: link.yanked.clone(),
            other_hash: other_hash.map(Box::new),
            upload_time_ms: link.upload_time.as_deref().and_then(upload_time_ms),
            metadata: link.metadata,
        };
        Some((name, Arc::new(file)))
    }

    /// An index on the network must not point into the local file system.
    fn absolute(&self, address: &str) -> Option<String> {
        let is_http = |text: &str| text.starts_with("https://") || text.starts_with("http://");
        if is_http(address) {
            // Parsed again, and checked, when the file is fetched.
            return Some(address.to_owned());
        }
        let mut url = self.base.join(address).ok()?;
        url.set_fragment(None);
        let allowed = match url.scheme() {
            "http" | "https" => true,
            "file" => self.local,
            _ => false,
        };
        allowed.then(|| url.into())
    }
}

/// What a file name says, if it is a wheel or sdist (of `project`, where one is given) and one
/// plain path component.
pub fn classify(name: &str, project: Option<&PackageName>) -> Option<(PackageName, DistKind)> {
    if name.contains(['/', '\\']) || name.contains(char::is_control) {
        return None;
    }
    let (_, extension) = name.rsplit_once('.')?;
    if extension == "whl" {
        let wheel = filename::wheel(name).ok()?;
        let name = wheel.name.clone();
        return (project.is_none_or(|wanted| *wanted == name))
            .then(|| (name, DistKind::Wheel(Box::new(wheel))));
    }
    let sdist = filename::sdist(name, project).ok()?;
    Some((sdist.name.clone(), DistKind::Sdist(Box::new(sdist))))
}

/// The version that a file's name states.
pub fn version_of(file: &DistFile) -> &Version {
    match &file.kind {
        DistKind::Wheel(wheel) => &wheel.version,
        DistKind::Sdist(sdist) => &sdist.version,
    }
}

/// Files by version, ascending; within a version in the given order.
pub(crate) fn group(mut files: Vec<Arc<DistFile>>) -> Vec<VersionFiles> {
    files.sort_by(|a, b| version_of(a).cmp(version_of(b)));
    let mut versions: Vec<VersionFiles> = Vec::new();
    for file in files {
        match versions.last_mut() {
            Some(last) if last.version == *version_of(&file) => last.files.push(file),
            _ => {
                let version = version_of(&file).clone();
                versions.push(VersionFiles {
                    version,
                    files: vec![file],
                });
            }
        }
    }
    versions
}

/// `sha256=…` among the parts of a fragment.
pub(crate) fn hash_in(fragment: &str) -> Option<Sha256> {
    fragment
        .split('&')
        .find_map(|part| part.strip_prefix("sha256="))?
        .parse()
        .ok()
}

/// The best hash of another kind among the parts of a fragment.
pub fn other_hash_in(fragment: &str) -> Option<FileHash> {
    FileHash::best(fragment.split('&').filter_map(|part| part.split_once('=')))
}

fn upload_time_ms(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(at.as_millisecond());
    }
    // PEP 700 wants a `Z`, which some servers leave out; they mean UTC all the same.
    let civil = text.parse::<jiff::civil::DateTime>().ok()?;
    Some(
        civil
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()?
            .timestamp()
            .as_millisecond(),
    )
}

/// The value of `core-metadata` in HTML: `true`, `false`, or a hash. One that is not SHA-256 cannot be checked, and what
/// cannot be checked is not read.
fn metadata_attribute(value: &str) -> MetadataAt {
    match value.trim() {
        "false" => MetadataAt::Inside,
        other if other.contains('=') && !other.starts_with("sha256=") => MetadataAt::Inside,
        other => MetadataAt::Beside(
            other
                .strip_prefix("sha256=")
                .and_then(|hex| hex.parse().ok()),
        ),
    }
}

#[cfg(test)]
mod tests;
