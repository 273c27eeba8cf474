//! Find-links: directories of distributions, and HTML pages that link to some. They add
//! candidates to whatever an index offers. All are read once per command, when the first project
//! is asked for; a directory that is missing is a warning, because wheel directories in pip's
//! settings often come and go, and a page that cannot be read is an error, because what it hides
//! might be the better candidate.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blast_types::{DistFile, MetadataAt, PackageName, Yanked};
use url::Url;

use crate::cache::{DiskCache, Stored};
use crate::client::status_error;
use crate::error::IndexError;
use crate::freshness::{Freshness, now_ms};
use crate::index::IndexInner;
use crate::project::{PAGE_LIMIT, head_of, question};
use crate::simple::{classify, parse_link_page};
use crate::transport::blocking;
use crate::url::{RedactedUrl, file_url, local_path};

/// What the find-links of a command hold.
#[derive(Debug, Default)]
pub(crate) struct Links {
    pub(crate) files: HashMap<PackageName, Vec<Arc<DistFile>>>,
    pub(crate) warnings: Vec<String>,
}

/// Where a find-links entry points.
enum Place {
    Local(PathBuf),
    Page(Url),
}

fn place(location: &str) -> Result<Place, IndexError> {
    let named = |source| IndexError::Url {
        what: "a find-links location".to_owned(),
        source,
    };
    if !location.contains("://") {
        return Ok(Place::Local(PathBuf::from(location)));
    }
    let url: RedactedUrl = location.parse().map_err(named)?;
    match url.as_url().scheme() {
        "file" => Ok(Place::Local(local_path(url.as_url()).map_err(named)?)),
        _ => Ok(Place::Page(url.as_url().clone())),
    }
}

impl IndexInner {
    /// The links of all find-links locations.
    pub(crate) async fn links(&self) -> Result<&Links, IndexError> {
        self.links.get_or_try_init(|| self.read_links()).await
    }

    async fn read_links(&self) -> Result<Links, IndexError> {
        let mut links = Links::default();
        for location in &self.sources.find_links {
            let found = match place(location)? {
                Place::Local(path) => match blocking(move || read_local(&path)).await?? {
                    Found::Files(files) => files,
                    Found::Nothing(path) => {
                        let path = path.display();
                        links
                            .warnings
                            .push(format!("the find-links directory {path} is missing"));
                        continue;
                    }
                },
                Place::Page(url) => self.link_page(&url).await?,
            };
            for (name, file) in found {
                links.files.entry(name).or_default().push(file);
            }
        }
        Ok(links)
    }

    async fn link_page(&self, url: &Url) -> Result<Vec<Named>, IndexError> {
        let disk = self.shared.disk.clone();
        let path = disk.link_page(url.as_str());
        let stored = {
            let path = path.clone();
            blocking(move || DiskCache::load(&path)).await?
        };
        let (stored, is_new) = match stored {
            Some(stored) if self.fetcher.offline || stored.is_fresh() => (stored, false),
            stored => {
                let headers = question(stored.as_ref());
                let answer = self.fetcher.page(url, &headers, PAGE_LIMIT).await?;
                match (answer.status.as_u16(), stored) {
                    (304, Some(stored)) => (stored, true),
                    (200, _) => {
                        let head = head_of(&answer, Freshness::of(&answer.headers));
                        (
                            Stored {
                                head,
                                body: answer.body,
                                validated_ms: now_ms(),
                            },
                            true,
                        )
                    }
                    _ => return Err(status_error(answer.status, &answer.url)),
                }
            }
        };
        let keep = is_new && !stored.head.freshness.no_store;
        let from = url.clone();
        blocking(move || {
            let error = |source| IndexError::Page {
                url: from.clone().into(),
                source,
            };
            let base = Url::parse(&stored.head.url).map_err(|bad| error(bad.into()))?;
            let kind = stored.head.content_type.as_deref();
            let files = parse_link_page(&stored.body, kind, &base).map_err(error)?;
            if keep && let Err(error) = disk.store(&path, &stored.head, &stored.body) {
                tracing::warn!(path = %path.display(), %error, "cannot write to the cache");
            }
            Ok(files)
        })
        .await?
    }
}

/// A distribution and its project.
pub(crate) type Named = (PackageName, Arc<DistFile>);

enum Found {
    Files(Vec<Named>),
    Nothing(PathBuf),
}

/// Distributions in a directory, or behind the links of a local page.
fn read_local(path: &Path) -> Result<Found, IndexError> {
    if path.is_file() {
        let url = file_url(path).map_err(|source| IndexError::Url {
            what: path.display().to_string(),
            source,
        })?;
        if let Some(found) = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| {
                let (project, kind) = classify(name, None)?;
                Some((project, Arc::new(local_file(name, kind, &url))))
            })
        {
            return Ok(Found::Files(vec![found]));
        }
        let body = std::fs::read(path).map_err(IndexError::io("read", path))?;
        let files =
            parse_link_page(&body, Some("text/html"), &url).map_err(|source| IndexError::Page {
                url: url.clone().into(),
                source,
            })?;
        return Ok(Found::Files(files));
    }
    Ok(match read_folder(path)? {
        Some(files) => Found::Files(files),
        None => Found::Nothing(path.to_owned()),
    })
}

/// The distributions in a directory, by name; `None` where there is no such directory.
pub(crate) fn read_folder(path: &Path) -> Result<Option<Vec<Named>>, IndexError> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(IndexError::io("read", path)(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(IndexError::io("read", path))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let Some((project, kind)) = classify(name, None) else {
            continue;
        };
        let Ok(url) = file_url(&entry.path()) else {
            continue;
        };
        files.push((project, Arc::new(local_file(name, kind, &url))));
    }
    // Directory order is arbitrary; answers must not be.
    files.sort_by(|(_, a), (_, b)| a.filename.cmp(&b.filename));
    Ok(Some(files))
}

fn local_file(name: &str, kind: blast_types::DistKind, url: &Url) -> DistFile {
    DistFile {
        filename: name.into(),
        kind,
        url: url.as_str().into(),
        sha256: None,
        size: None,
        requires_python: None,
        yanked: Yanked::No,
        other_hash: None,
        upload_time_ms: None,
        metadata: MetadataAt::Inside,
    }
}

/// The file behind a URL that a requirement names (`name @ URL`): a wheel or sdist of that
/// project, with the hash that the fragment states.
pub fn file_at(url: &Url, project: Option<&PackageName>) -> Option<DistFile> {
    let name = crate::url::filename_of(url.as_str());
    let (_, kind) = classify(&name, project)?;
    let mut bare = url.clone();
    bare.set_fragment(None);
    let fragment = url.fragment().unwrap_or_default();
    let sha256 = crate::simple::hash_in(fragment);
    let other_hash = match sha256 {
        Some(_) => None,
        None => crate::simple::other_hash_in(fragment).map(Box::new),
    };
    Some(DistFile {
        sha256,
        other_hash,
        ..local_file(&name, kind, &bare)
    })
}
