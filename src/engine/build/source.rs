//! Where sources come from: an archive, a folder of the user's, a repository.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use blast_resolver::lock::{Location, LockedFile, LockedSource};
use blast_types::{
    ArchiveInfo, DirInfo, DirectUrl, DistFile, DistKind, MetadataAt, PackageName,
    SourceDistExtension, SourceDistFilename, VcsInfo, Version, Yanked,
};
use url::Url;

/// Sources to build.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// A source distribution, or another archive of sources.
    Archive {
        /// The archive.
        file: Arc<DistFile>,
        /// Whether its name says project and version.
        named: bool,
        /// The project's folder in it.
        subdirectory: Option<String>,
    },
    /// A folder, built where it is.
    Directory {
        /// Its absolute path.
        path: PathBuf,
        /// Whether what is installed leads back to it (PEP 660).
        editable: bool,
    },
    /// A commit of a repository.
    Git(GitSource),
}

/// What a `git+…` URL names.
#[derive(Debug, Clone)]
pub(crate) struct GitSource {
    /// The repository, without `git+`; may hold credentials.
    pub(crate) repository: Url,
    /// Branch, tag or commit; nothing: what the repository's `HEAD` is.
    pub(crate) reference: Option<String>,
    /// The project's folder in it.
    pub(crate) subdirectory: Option<String>,
}

impl Source {
    /// A source distribution of an index.
    pub(crate) fn archive(file: Arc<DistFile>) -> Self {
        Self::Archive {
            file,
            named: true,
            subdirectory: None,
        }
    }

    /// What a URL in a requirement names; `None`: a wheel.
    ///
    /// # Errors
    /// Why the URL names no sources, in words.
    pub(crate) fn of_url(
        name: Option<&PackageName>,
        url: &Url,
        editable: bool,
    ) -> Result<Option<Self>, String> {
        if let Some(scheme) = url.scheme().strip_prefix("git+") {
            return GitSource::of_url(url, scheme).map(|git| Some(Self::Git(git)));
        }
        if url.scheme().contains('+') {
            return Err(format!(
                "`{}` is no kind of repository that is known",
                url.scheme()
            ));
        }
        if url.scheme() == "file" {
            let path = url
                .to_file_path()
                .map_err(|()| "it is no path".to_owned())?;
            if path.is_dir() {
                let path = match fragment(url, "subdirectory") {
                    Some(folder) => path.join(inside(&folder)?),
                    None => path,
                };
                return Ok(Some(Self::Directory { path, editable }));
            }
        }
        if editable {
            return Err("only a folder can be installed in editable form".to_owned());
        }
        let subdirectory = fragment(url, "subdirectory");
        if let Some(folder) = &subdirectory {
            inside(folder)?;
        }
        let (file, named) = match blast_index::file_at(url, name) {
            Some(file) if matches!(file.kind, DistKind::Wheel(_)) => return Ok(None),
            Some(file) => (file, true),
            None if Path::new(url.path())
                .extension()
                .is_some_and(|end| end == "whl") =>
            {
                return Err("it is no wheel of that project".to_owned());
            }
            None => (unnamed(url), false),
        };
        Ok(Some(Self::Archive {
            file: Arc::new(file),
            named,
            subdirectory,
        }))
    }

    /// The URL by which a requirement would name it; without credentials.
    pub(crate) fn url(&self) -> String {
        let (mut url, subdirectory) = match self {
            Self::Archive {
                file, subdirectory, ..
            } => (blast_index::bare(&file.url), subdirectory.as_deref()),
            Self::Directory { .. } => (self.direct_url(None).url, None),
            Self::Git(git) => {
                let reference = git.reference.as_ref().map(|name| format!("@{name}"));
                let url = format!("git+{}{}", git.bare(), reference.unwrap_or_default());
                (url, git.subdirectory.as_deref())
            }
        };
        if let Some(folder) = subdirectory {
            url.push_str("#subdirectory=");
            url.push_str(folder);
        }
        url
    }

    /// Whether it is one file, with a hash.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self, Self::Archive { .. })
    }

    /// Whether it is to be installed in editable form.
    pub(super) fn is_editable(&self) -> bool {
        matches!(self, Self::Directory { editable: true, .. })
    }

    /// How a lock states it, where that is more than a file.
    pub(crate) fn locked(
        &self,
        commit: Option<&str>,
        file: &DistFile,
    ) -> Option<Box<LockedSource>> {
        Some(Box::new(match self {
            Self::Archive {
                subdirectory: None, ..
            } => return None,
            Self::Archive { subdirectory, .. } => LockedSource::Archive {
                file: LockedFile::new(file)?,
                subdirectory: subdirectory.clone(),
            },
            Self::Directory { path, editable } => LockedSource::Directory {
                path: path.display().to_string(),
                editable: *editable,
                subdirectory: None,
            },
            Self::Git(git) => LockedSource::Vcs {
                kind: "git".to_owned(),
                location: Location::Url(git.bare()),
                requested_revision: git.reference.clone(),
                commit_id: commit.unwrap_or_default().to_owned(),
                subdirectory: git.subdirectory.clone(),
            },
        }))
    }

    /// How messages call it.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Archive { file, .. } => match self.promised() {
                Some((name, version)) => format!("{name} {version}"),
                None => blast_index::bare(&file.url),
            },
            Self::Directory { path, .. } => path.display().to_string(),
            Self::Git(git) => git.to_string(),
        }
    }

    /// What the sources are said to be.
    pub(super) fn promised(&self) -> Option<(&PackageName, &Version)> {
        match self {
            Self::Archive { file, named, .. } => match &file.kind {
                DistKind::Sdist(sdist) if *named => Some((&sdist.name, &sdist.version)),
                _ => None,
            },
            Self::Directory { .. } | Self::Git(_) => None,
        }
    }

    /// PEP 610; the hash of an archive is added once it is known.
    pub(crate) fn direct_url(&self, commit: Option<&str>) -> DirectUrl {
        let plain = |url: String| DirectUrl {
            url,
            archive_info: None,
            dir_info: None,
            vcs_info: None,
            subdirectory: None,
        };
        match self {
            Self::Archive {
                file, subdirectory, ..
            } => DirectUrl {
                archive_info: Some(ArchiveInfo::default()),
                subdirectory: subdirectory.clone(),
                ..plain(blast_index::bare(&file.url))
            },
            Self::Directory { path, editable } => DirectUrl {
                dir_info: Some(DirInfo {
                    editable: *editable,
                }),
                ..plain(
                    Url::from_file_path(path)
                        .map_or_else(|()| path.display().to_string(), String::from),
                )
            },
            Self::Git(git) => DirectUrl {
                vcs_info: Some(VcsInfo {
                    vcs: "git".to_owned(),
                    requested_revision: git.reference.clone(),
                    commit_id: commit.unwrap_or_default().to_owned(),
                }),
                subdirectory: git.subdirectory.clone(),
                ..plain(git.bare())
            },
        }
    }

    /// The sources as a file of this project and version, for whoever asks for files. For an
    /// archive it is that.
    pub(crate) fn file(&self, name: &PackageName, version: &Version) -> DistFile {
        let sdist = SourceDistFilename {
            name: name.clone(),
            version: version.clone(),
            extension: SourceDistExtension::TarGz,
        };
        match self {
            Self::Archive {
                file, named: false, ..
            } => DistFile {
                filename: sdist.to_string().into(),
                kind: DistKind::Sdist(Box::new(sdist)),
                ..(**file).clone()
            },
            Self::Archive { file, .. } => (**file).clone(),
            Self::Directory { .. } | Self::Git(_) => DistFile {
                filename: sdist.to_string().into(),
                kind: DistKind::Sdist(Box::new(sdist)),
                ..file_of(&self.direct_url(None).url)
            },
        }
    }
}

impl GitSource {
    fn of_url(url: &Url, scheme: &str) -> Result<Self, String> {
        if !matches!(scheme, "https" | "http" | "ssh" | "git" | "file") {
            return Err(format!("git is not asked over `{scheme}`"));
        }
        let rest = url.as_str().strip_prefix("git+").unwrap_or_default();
        let mut repository = Url::parse(rest).map_err(|error| error.to_string())?;
        repository.set_fragment(None);
        let path = repository.path().to_owned();
        let reference = match path.rsplit_once('@') {
            Some((path, reference)) => {
                repository.set_path(path);
                Some(decoded(reference))
            }
            None => None,
        };
        if let Some(reference) = &reference
            && (reference.is_empty()
                || reference.starts_with('-')
                || reference.contains(char::is_whitespace)
                || reference.contains(':'))
        {
            return Err(format!("`{}` is no revision", reference.escape_debug()));
        }
        let subdirectory = fragment(url, "subdirectory");
        if let Some(folder) = &subdirectory {
            inside(folder)?;
        }
        Ok(Self {
            repository,
            reference,
            subdirectory,
        })
    }
}

impl GitSource {
    /// The repository's URL as it may be kept. `git@` in front of a host is no secret.
    fn bare(&self) -> String {
        if matches!(self.repository.scheme(), "http" | "https") {
            blast_index::bare(self.repository.as_str())
        } else {
            let mut url = self.repository.clone();
            // Fails only for URLs without a host, and those have no password.
            _ = url.set_password(None);
            url.into()
        }
    }
}

impl std::fmt::Display for GitSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "git+{}", self.bare())?;
        match &self.reference {
            Some(reference) => write!(f, "@{reference}"),
            None => Ok(()),
        }
    }
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

/// The value of `key=…` in a URL's fragment.
fn fragment(url: &Url, key: &str) -> Option<String> {
    let parts = url.fragment()?.split('&');
    parts
        .filter_map(|part| part.split_once('='))
        .find(|(found, _)| *found == key)
        .map(|(_, value)| decoded(value))
}

/// A folder that stays inside whatever it is in.
fn inside(folder: &str) -> Result<&Path, String> {
    let path = Path::new(folder);
    let stays = path.components().all(|part| {
        matches!(
            part,
            std::path::Component::Normal(_) | std::path::Component::CurDir
        )
    });
    if stays && !folder.is_empty() {
        Ok(path)
    } else {
        Err(format!(
            "the subdirectory `{}` leads out of it",
            folder.escape_debug()
        ))
    }
}

/// A file whose name does not say what it is, such as the archive of a branch.
fn unnamed(url: &Url) -> DistFile {
    let mut plain = url.clone();
    plain.set_fragment(None);
    let sha256 = fragment(url, "sha256").and_then(|digits| digits.parse().ok());
    let other_hash = || blast_index::simple::other_hash_in(url.fragment().unwrap_or_default());
    DistFile {
        sha256,
        other_hash: sha256.is_none().then(other_hash).flatten().map(Box::new),
        ..file_of(plain.as_str())
    }
}

fn file_of(url: &str) -> DistFile {
    let last = url.split(['?', '#']).next().unwrap_or_default();
    let last = last.rsplit('/').next().unwrap_or_default();
    DistFile {
        filename: decoded(last).into(),
        kind: DistKind::Sdist(Box::new(SourceDistFilename {
            name: "archive".parse().expect("it is a plain name"),
            version: Version::new([0]),
            extension: SourceDistExtension::TarGz,
        })),
        url: url.into(),
        sha256: None,
        size: None,
        requires_python: None,
        yanked: Yanked::No,
        other_hash: None,
        upload_time_ms: None,
        metadata: MetadataAt::Inside,
    }
}
