//! [`Index::project`]: the page of a project from memory, else from disk, else from the server,
//! and links from find-links merged in. A project that is pinned to an index comes from there and
//! from nowhere else; others come from the first index that has them, or from all of them if the
//! strategy says so; and from those that are of the same project by their own word (PEP 708).
//!
//! A remembered page serves while it is fresh by its HTTP headers, and within the command that
//! saw it validated in any case; so a page that must not be used unasked costs one request per
//! command. Absence is remembered within a command only. Requests for one page wait for each
//! other.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use blast_types::{DistFile, Elsewhere, PackageName, ProjectFiles};
use reqwest::header::{
    ACCEPT, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, LAST_MODIFIED,
};
use url::Url;

use crate::cache::{DiskCache, Head, Stored};
use crate::client::{Page, status_error};
use crate::error::IndexError;
use crate::find_links::read_folder;
use crate::freshness::{Freshness, now_ms};
use crate::index::{Index, IndexInner};
use crate::locations::{Located, belong_together, contradict, names};
use crate::refresh::Refreshed;
use crate::simple::{self, group};
use crate::sources::{IndexSource, IndexStrategy};
use crate::transport::blocking;
use crate::url::{local_path, project_page, without_credentials};

/// The largest page that is read.
pub(crate) const PAGE_LIMIT: u64 = 256 << 20;
/// Bodies up to this size are parsed at once; for larger ones a thread switch is cheaper than
/// keeping the runtime waiting.
const PARSE_INLINE: usize = 16 << 10;

/// A project on an index; the user name is part of it, since servers may show each user another
/// page.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PageKey {
    index: String,
    name: PackageName,
}

/// A page in memory.
#[derive(Debug, Clone)]
pub(crate) struct Remembered {
    /// `None`: the index does not have the project.
    files: Option<Arc<ProjectFiles>>,
    fresh_until_ms: u64,
    /// The command that last saw it validated.
    command: u64,
}

impl Index {
    /// Everything the sources offer of a project: the first index that has it, and find-links.
    ///
    /// # Errors
    /// [`IndexError::NotFound`] where nobody has the project; anything else means that a source
    /// did not answer, and then no other source is asked in its place.
    pub async fn project(&self, name: &PackageName) -> Result<Arc<ProjectFiles>, IndexError> {
        let inner = &self.0;
        let alone = inner.sources.pins.contains_key(name) || inner.sources.find_links.is_empty();
        if alone && inner.sources.strategy == IndexStrategy::FirstIndex {
            return inner
                .indexed(name)
                .await?
                .ok_or_else(|| inner.not_found(name));
        }
        let known = inner
            .merged
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let links = async {
            let all = if alone {
                None
            } else {
                Some(inner.links().await?)
            };
            Ok(all.and_then(|links| links.files.get(name)))
        };
        let (found, indexed) = futures::join!(links, inner.indexed(name));
        let found: Result<_, IndexError> = found;
        let found = found?.map(Vec::as_slice).unwrap_or_default();
        let merged = match indexed? {
            Some(indexed) if found.is_empty() => indexed,
            Some(indexed) => Arc::new(merge(&indexed, found)),
            None if found.is_empty() => return Err(inner.not_found(name)),
            None => Arc::new(ProjectFiles {
                name: name.clone(),
                index: inner.sources.find_links.join(" ").into(),
                versions: group(found.to_vec()),
                status: None,
                elsewhere: Elsewhere::default(),
                parts: Vec::new(),
            }),
        };
        let mut known = inner.merged.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(name.clone(), Arc::clone(&merged));
        Ok(merged)
    }
}

/// Local files first within a version; a file that both name counts once.
fn merge(indexed: &ProjectFiles, found: &[Arc<DistFile>]) -> ProjectFiles {
    let of_index = indexed.versions.iter().flat_map(|version| &version.files);
    let new = of_index.filter(|file| !found.iter().any(|local| local.filename == file.filename));
    let files = found.iter().chain(new).cloned().collect();
    ProjectFiles {
        versions: group(files),
        ..indexed.clone()
    }
}

/// What several indexes offer, as one page. Of files with the same name that of the first index
/// counts.
fn combine(parts: Vec<Arc<ProjectFiles>>) -> Option<Arc<ProjectFiles>> {
    let [first, _, ..] = parts.as_slice() else {
        return parts.into_iter().next();
    };
    let mut seen = HashSet::new();
    let files = parts
        .iter()
        .flat_map(|part| part.versions.iter().flat_map(|version| &version.files))
        .filter(|file| seen.insert(file.filename.clone()))
        .cloned()
        .collect();
    Some(Arc::new(ProjectFiles {
        versions: group(files),
        parts: parts.clone(),
        ..ProjectFiles::clone(first)
    }))
}

impl IndexInner {
    fn not_found(&self, name: &PackageName) -> IndexError {
        let indexes = self.asked(name).map(|index| index.url.to_string());
        let searched: Vec<_> = indexes
            .chain(self.sources.find_links.iter().map(|link| {
                link.parse::<crate::url::RedactedUrl>()
                    .map_or_else(|_| link.clone(), |l| l.to_string())
            }))
            .collect();
        let name = name.clone();
        if searched.is_empty() {
            IndexError::NoIndex { name }
        } else {
            IndexError::NotFound { name, searched }
        }
    }

    /// The indexes that may answer for a project, in their order.
    pub(crate) fn asked<'a>(
        &'a self,
        name: &'a PackageName,
    ) -> impl Iterator<Item = &'a IndexSource> {
        let pin = self.sources.pins.get(name);
        let all = if self.sources.no_index {
            &[]
        } else {
            self.sources.indexes.as_slice()
        };
        all.iter().filter(move |index| match pin {
            Some(pin) => index.name.as_ref() == Some(pin),
            None => !index.explicit,
        })
    }

    async fn indexed(&self, name: &PackageName) -> Result<Option<Arc<ProjectFiles>>, IndexError> {
        if self.sources.strategy == IndexStrategy::UnsafeBestMatch {
            let pages = self.asked(name).map(|index| self.located(index, name));
            let pages = futures::future::try_join_all(pages).await?;
            let pages: Vec<Located> = pages.into_iter().flatten().collect();
            if contradict(&pages) {
                return Err(IndexError::Disagreement {
                    name: name.clone(),
                    pages: pages.into_iter().map(|(url, _)| url.into()).collect(),
                });
            }
            return Ok(combine(pages.into_iter().map(|(_, page)| page).collect()));
        }
        for index in self.asked(name) {
            if let Some(page) = self.page_of(index, name).await? {
                if page.elsewhere == Elsewhere::default() {
                    return Ok(Some(page));
                }
                let url = project_page(&index.url.without_credentials(), name);
                // Rare, and large.
                return Box::pin(self.with_named((url, page), name)).await.map(Some);
            }
        }
        Ok(None)
    }

    /// The page with those of later indexes that it names and that belong to it.
    async fn with_named(
        &self,
        first: Located,
        name: &PackageName,
    ) -> Result<Arc<ProjectFiles>, IndexError> {
        let named = self
            .asked(name)
            .filter(|index| {
                names(
                    &first,
                    &project_page(&index.url.without_credentials(), name),
                )
            })
            .map(|index| self.located(index, name));
        let others = futures::future::try_join_all(named).await?;
        let mut pages = vec![first];
        pages.extend(others.into_iter().flatten());
        if !belong_together(&pages) {
            let index = &pages[0].1.index;
            tracing::warn!(%name, %index, "another index does not confirm that it has the same project");
            pages.truncate(1);
        }
        let parts = pages.into_iter().map(|(_, page)| page).collect();
        combine(parts).ok_or_else(|| self.not_found(name))
    }

    async fn located(
        &self,
        index: &IndexSource,
        name: &PackageName,
    ) -> Result<Option<Located>, IndexError> {
        let url = project_page(&index.url.without_credentials(), name);
        let page = self.page_of(index, name).await?;
        Ok(page.map(|page| (url, page)))
    }

    pub(crate) async fn page_of(
        &self,
        index: &IndexSource,
        name: &PackageName,
    ) -> Result<Option<Arc<ProjectFiles>>, IndexError> {
        let mut shown = index.url.without_credentials();
        let page = project_page(&shown, name);
        if page.scheme() == "file" {
            return self.local_page(&page, &shown, name).await;
        }
        // Fails only for URLs without a host, and those were refused when they were parsed.
        _ = shown.set_username(index.url.as_url().username());
        let key = PageKey {
            index: shown.into(),
            name: name.clone(),
        };
        if let Some(hit) = self.remembered(&key) {
            return Ok(hit.files);
        }
        let _flight = self.shared.page_flights.board(&key).await;
        if let Some(hit) = self.remembered(&key) {
            return Ok(hit.files);
        }
        let label = Arc::from(without_credentials(index.url.as_url()).as_str());
        let request = PageRequest {
            page,
            label,
            name: name.clone(),
            older_than: None,
        };
        let fetched = self.fetch_page(&key, request).await?;
        let weight = fetched.files.as_deref().map_or(64, weight);
        self.shared.pages.insert(key, fetched.clone(), weight);
        Ok(fetched.files)
    }

    /// Brings the page of one index up to date; whether the index has the project.
    pub(crate) async fn refresh_page(
        &self,
        index: &IndexSource,
        name: &PackageName,
        older_than: Duration,
    ) -> Result<Refreshed, IndexError> {
        let mut shown = index.url.without_credentials();
        let page = project_page(&shown, name);
        if page.scheme() == "file" {
            let found = self.local_page(&page, &shown, name).await?.is_some();
            return Ok(if found {
                Refreshed::Recent
            } else {
                Refreshed::Missing
            });
        }
        let label = Arc::from(shown.as_str());
        // See `page_of`.
        _ = shown.set_username(index.url.as_url().username());
        let key = PageKey {
            index: shown.into(),
            name: name.clone(),
        };
        let _flight = self.shared.page_flights.board(&key).await;
        let path = self.shared.disk.project_page(&key.index, name.as_ref());
        let load = async || {
            let path = path.clone();
            blocking(move || DiskCache::load(&path)).await
        };
        let before = load().await?;
        if before
            .as_ref()
            .is_some_and(|page| page.is_younger_than(older_than))
        {
            return Ok(Refreshed::Recent);
        }
        let request = PageRequest {
            page,
            label,
            name: name.clone(),
            older_than: Some(older_than),
        };
        let fetched = self.fetch_page(&key, request).await?;
        let weight = fetched.files.as_deref().map_or(64, weight);
        let found = fetched.files.is_some();
        self.shared.pages.insert(key, fetched, weight);
        let body = |stored: Option<Stored>| stored.map(|stored| stored.body);
        Ok(match found {
            false => Refreshed::Missing,
            true if body(before) == body(load().await?) => Refreshed::Confirmed,
            true => Refreshed::Changed,
        })
    }

    fn remembered(&self, key: &PageKey) -> Option<Remembered> {
        let hit = self.shared.pages.get(key)?;
        let serves = hit.command >= self.command
            || hit.files.is_some() && (self.fetcher.offline || now_ms() < hit.fresh_until_ms);
        serves.then_some(hit)
    }

    async fn fetch_page(
        &self,
        key: &PageKey,
        request: PageRequest,
    ) -> Result<Remembered, IndexError> {
        let path = self.shared.disk.project_page(&key.index, key.name.as_ref());
        let stored = {
            let path = path.clone();
            blocking(move || DiskCache::load(&path)).await?
        };
        let remember = |files, fresh_until_ms| Remembered {
            files: Some(files),
            fresh_until_ms,
            command: self.command,
        };
        if let Some(stored) = &stored
            && (self.fetcher.offline || request.is_served_by(stored))
        {
            let until = stored.head.freshness.until(stored.validated_ms);
            // A stored page that cannot be parsed (by a newer version of blast, say) is fetched.
            if let Ok(files) = request.parse_stored(stored.clone()).await? {
                return Ok(remember(files, until));
            }
        }
        if let Some(error) = self.offline_error(request.page.clone()) {
            return Err(error);
        }
        let answer = self
            .fetcher
            .page(&request.page, &question(stored.as_ref()), PAGE_LIMIT)
            .await?;
        let freshness = Freshness::of(&answer.headers);
        let until = freshness.until(now_ms());
        match (answer.status.as_u16(), stored) {
            (304, Some(stored)) => {
                self.fetcher.tally.confirmed.fetch_add(1, Ordering::Relaxed);
                self.confirm(&path, &stored, freshness).await?;
                let old = self.shared.pages.get(key).and_then(|hit| hit.files);
                let files = match old {
                    Some(files) => files,
                    None => request
                        .parse_stored(stored)
                        .await?
                        .map_err(|e| request.error(e))?,
                };
                Ok(remember(files, until))
            }
            (200, _) => {
                let files = self.take(path, freshness, answer, &request).await?;
                Ok(remember(files, until))
            }
            (404 | 410, _) => Ok(Remembered {
                files: None,
                fresh_until_ms: 0,
                command: self.command,
            }),
            _ => Err(status_error(answer.status, &answer.url)),
        }
    }

    /// Parses a new page, and keeps it on disk if it is one.
    async fn take(
        &self,
        path: PathBuf,
        freshness: Freshness,
        answer: Page,
        request: &PageRequest,
    ) -> Result<Arc<ProjectFiles>, IndexError> {
        let head = head_of(&answer, freshness);
        let stored = Stored {
            head,
            body: answer.body,
            validated_ms: now_ms(),
        };
        let files = request
            .parse_stored(stored.clone())
            .await?
            .map_err(|e| request.error(e))?;
        if !freshness.no_store {
            let disk = self.shared.disk.clone();
            let kept = blocking(move || disk.store(&path, &stored.head, &stored.body)).await?;
            self.note(kept);
        }
        Ok(files)
    }

    async fn confirm(
        &self,
        path: &std::path::Path,
        stored: &Stored,
        freshness: Freshness,
    ) -> Result<(), IndexError> {
        let disk = self.shared.disk.clone();
        let path = path.to_owned();
        let mut stored = stored.clone();
        let noted = blocking(move || {
            if stored.head.freshness == freshness {
                return DiskCache::touch(&path);
            }
            stored.head.freshness = freshness;
            disk.store(&path, &stored.head, &stored.body)
        })
        .await?;
        self.note(noted);
        Ok(())
    }

    /// A project directory of an index that is a directory tree.
    async fn local_page(
        &self,
        page: &Url,
        index: &Url,
        name: &PackageName,
    ) -> Result<Option<Arc<ProjectFiles>>, IndexError> {
        let what = || IndexError::Url {
            what: index.to_string(),
            source: crate::UrlError::NotLocal,
        };
        let directory = local_path(page).map_err(|_| what())?;
        let file = directory.join("index.html");
        let body = blocking({
            let file = file.clone();
            move || std::fs::read(file)
        })
        .await?;
        let body = match body {
            Ok(body) => body,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return self.local_folder(directory, index, name).await;
            }
            Err(error) => return Err(IndexError::io("read", file)(error)),
        };
        let label = Arc::from(index.as_str());
        let files = simple::parse_project(&body, Some("text/html"), page, label, name);
        let error = |source| IndexError::Page {
            url: page.clone().into(),
            source,
        };
        Ok(Some(Arc::new(files.map_err(error)?)))
    }

    /// A project directory without a page: the distributions that lie in it.
    async fn local_folder(
        &self,
        directory: PathBuf,
        index: &Url,
        name: &PackageName,
    ) -> Result<Option<Arc<ProjectFiles>>, IndexError> {
        let found = blocking(move || read_folder(&directory)).await??;
        let files: Vec<_> = found
            .into_iter()
            .flatten()
            .filter(|(project, _)| project == name)
            .map(|(_, file)| file)
            .collect();
        Ok((!files.is_empty()).then(|| {
            Arc::new(ProjectFiles {
                name: name.clone(),
                index: index.as_str().into(),
                versions: group(files),
                status: None,
                elsewhere: Elsewhere::default(),
                parts: Vec::new(),
            })
        }))
    }
}

/// What it takes to read one page.
#[derive(Debug, Clone)]
struct PageRequest {
    page: Url,
    label: Arc<str>,
    name: PackageName,
    /// Ask the server again if the page was confirmed longer ago than this, fresh or not.
    older_than: Option<Duration>,
}

impl PageRequest {
    /// Whether a stored page needs no question.
    fn is_served_by(&self, stored: &Stored) -> bool {
        match self.older_than {
            None => stored.is_fresh(),
            Some(age) => stored.is_younger_than(age),
        }
    }

    async fn parse_stored(
        &self,
        stored: Stored,
    ) -> Result<Result<Arc<ProjectFiles>, simple::PageError>, IndexError> {
        let this = self.clone();
        let large = stored.body.len() > PARSE_INLINE;
        let parse = move || {
            let url = Url::parse(&stored.head.url)?;
            let kind = stored.head.content_type.as_deref();
            simple::parse_project(&stored.body, kind, &url, this.label, &this.name).map(Arc::new)
        };
        if large {
            blocking(parse).await
        } else {
            Ok(parse())
        }
    }

    fn error(&self, source: simple::PageError) -> IndexError {
        IndexError::Page {
            url: self.page.clone().into(),
            source,
        }
    }
}

/// Headers of the request for a page of which `stored` is known.
pub(crate) fn question(stored: Option<&Stored>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static(simple::ACCEPT));
    let mut put = |name: HeaderName, value: Option<&String>| {
        if let Some(value) = value.and_then(|text| HeaderValue::from_str(text).ok()) {
            headers.insert(name, value);
        }
    };
    if let Some(stored) = stored {
        put(IF_NONE_MATCH, stored.head.etag.as_ref());
        put(IF_MODIFIED_SINCE, stored.head.last_modified.as_ref());
    }
    headers
}

pub(crate) fn head_of(answer: &Page, freshness: Freshness) -> Head {
    Head {
        url: without_credentials(&answer.url).into(),
        content_type: answer.text(CONTENT_TYPE),
        etag: answer.text(ETAG),
        last_modified: answer.text(LAST_MODIFIED),
        freshness,
    }
}

/// About how many bytes a page takes in memory.
fn weight(files: &ProjectFiles) -> usize {
    let count: usize = files
        .versions
        .iter()
        .map(|version| version.files.len())
        .sum();
    256 + files.versions.len() * 64 + count * 700
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simple::version_of;

    #[test]
    fn local_files_come_first_and_count_once() {
        let parse = |names: &[&str]| {
            let body = names
                .iter()
                .map(|name| format!("<a href='{name}'></a>"))
                .collect::<Vec<_>>()
                .concat();
            let url = Url::parse("http://127.0.0.1:1/simple/demo/").expect("valid");
            let name = "demo".parse().expect("a name");
            simple::parse_project(body.as_bytes(), None, &url, "index".into(), &name)
                .expect("a page")
        };
        let indexed = parse(&["demo-1.0.tar.gz", "demo-1.0-py3-none-any.whl"]);
        let local = parse(&["demo-1.0-py3-none-any.whl", "demo-2.0.tar.gz"]);
        let found: Vec<_> = local
            .versions
            .iter()
            .flat_map(|version| version.files.clone())
            .collect();
        let merged = merge(&indexed, &found);
        let shown: Vec<_> = merged
            .versions
            .iter()
            .flat_map(|version| &version.files)
            .map(|file| format!("{} {}", version_of(file), file.filename))
            .collect();
        assert_eq!(
            shown,
            [
                "1.0 demo-1.0-py3-none-any.whl",
                "1.0 demo-1.0.tar.gz",
                "2.0 demo-2.0.tar.gz"
            ]
        );
    }
}
