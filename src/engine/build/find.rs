//! Finding sources: fetching archives, reading folders, telling commits, and where they can be built.

use super::{Builder, IRRELEVANT, blocking, digest};
use std::path::PathBuf;
use std::sync::Arc;

use blast_index::sdist::{Limits, SourceTree, unpack};
use blast_types::{DistFile, Event, Sha256};

use super::source::{GitSource, Source};

use super::cache::{Cache, Inputs};
use super::error::{BuildError, Failed};
use super::git::Repository;
use super::hooks::Workshop;
use crate::engine::error::{EngineError, at};
use crate::engine::home::lock;

/// Sources that were found, and the name of what comes of them.
pub(super) struct Found {
    pub(super) key: String,
    place: Place,
}

pub(super) enum Place {
    Archive(PathBuf),
    Folder(PathBuf),
    Commit(String),
}

impl Builder {
    pub(super) fn key(&self, source: &Source, sources: String) -> String {
        let mut variables = self.shared.variables.clone();
        variables.retain(|name, _| !IRRELEVANT.contains(&name.as_str()));
        let inputs = Inputs {
            sources,
            subdirectory: match source {
                Source::Archive { subdirectory, .. } => subdirectory.as_deref(),
                Source::Directory { .. } => None,
                Source::Git(git) => git.subdirectory.as_deref(),
            },
            editable: source.is_editable(),
            within: match &self.shared.within {
                Some((_, holds)) => holds,
                None => &[],
            },
            settings: &self.shared.settings,
            constraints: &self.shared.constraints,
            variables: &variables,
        };
        Cache::key(&self.shared.interpreter, &inputs)
    }

    pub(super) async fn find(&self, source: &Source) -> Result<Found, Failed> {
        let (sources, place) = match source {
            Source::Archive { file, .. } => {
                let (archive, sha256) = self.fetch(file).await?;
                (sha256.to_hex(), Place::Archive(archive))
            }
            Source::Directory { path, editable } => {
                let (folder, editable) = (path.clone(), *editable);
                let digest = blocking(move || {
                    if editable {
                        digest::of_project(&folder)
                    } else {
                        digest::of_tree(&folder)
                    }
                });
                (digest.await?, Place::Folder(path.clone()))
            }
            Source::Git(git) => {
                let commit = self.commit(git).await?;
                (commit.clone(), Place::Commit(commit))
            }
        };
        Ok(Found {
            key: self.key(source, sources),
            place,
        })
    }

    /// The commit that a revision means: found out once in a command.
    pub(super) async fn commit(&self, git: &GitSource) -> Result<String, Failed> {
        let name = git.to_string();
        let known = lock(&self.shared.commits).get(&name).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        self.shared.reporter.report(Event::Phase {
            name: "fetching".to_owned(),
        });
        let repository = self.repository(git)?;
        let commit = repository
            .commit(self.shared.index.sources().offline)
            .await?;
        lock(&self.shared.commits).insert(name, commit.clone());
        Ok(commit)
    }

    pub(super) fn repository<'a>(&self, git: &'a GitSource) -> Result<Repository<'a>, BuildError> {
        let mut variables = self.shared.git_variables.clone();
        for name in IRRELEVANT {
            if let Some(value) = self.shared.variables.get(*name) {
                variables.insert((*name).to_owned(), value.clone());
            }
        }
        Repository::new(git, &self.shared.caches.path, &variables)
    }

    /// The archive, verified, in the cache.
    pub(super) async fn fetch(&self, file: &DistFile) -> Result<(PathBuf, Sha256), Failed> {
        let cache = &self.shared.cache;
        if let Some(sha256) = file.sha256 {
            let kept = cache.sdist(sha256);
            let path = kept.clone();
            let whole = move || Ok(std::fs::read(&path).is_ok_and(|b| Sha256::of(&b) == sha256));
            if blocking(whole).await? {
                return Ok((kept, sha256));
            }
        }
        let folder = cache.sdists()?;
        let temporary = tempfile::NamedTempFile::new_in(folder).map_err(at(folder))?;
        let shared = &self.shared;
        let sha256 = shared
            .index
            .download(file, None, temporary.path(), &*shared.reporter)
            .await
            .map_err(EngineError::from)?;
        let kept = cache.sdist(sha256);
        let kept_as = temporary.persist(&kept);
        kept_as.map_err(|error| at(&kept)(error.error))?;
        Ok((kept, sha256))
    }

    /// The sources where they can be built.
    pub(super) async fn workshop(
        &self,
        source: &Source,
        found: &Found,
    ) -> Result<Workshop, Failed> {
        let (cache, label) = (self.shared.cache.clone(), source.label());
        let named = label.clone();
        let (folder, log) = blocking(move || Ok((cache.workshop()?, cache.log(&named)?))).await?;
        let into = folder.path().join("sources");
        let mut reads = Vec::new();
        let root = match (source, &found.place) {
            (
                Source::Archive {
                    file, subdirectory, ..
                },
                Place::Archive(archive),
            ) => {
                let (archive, name) = (archive.clone(), file.filename.to_string());
                let root = blocking(move || {
                    std::fs::create_dir(&into).map_err(BuildError::io("make", &into))?;
                    Ok(unpack(&archive, &name, &into, Limits::default())?)
                })
                .await?;
                root.join(subdirectory.as_deref().unwrap_or_default())
            }
            (Source::Git(git), Place::Commit(commit)) => {
                let repository = self.repository(git)?;
                repository.check_out(commit, &into).await?;
                reads.push(repository.copy().to_owned());
                into.join(git.subdirectory.as_deref().unwrap_or_default())
            }
            (_, Place::Folder(path)) => path.clone(),
            _ => return Err(EngineError::Bug("sources are elsewhere".to_owned()).into()),
        };
        let tree = blocking(move || Ok(SourceTree::open(&root)?)).await?;
        let shared = &self.shared;
        Ok(Workshop::new(
            Arc::new(folder),
            tree,
            shared.settings.clone(),
            shared.variables.clone(),
            Arc::clone(&shared.gate),
            log,
            shared.confiner.of(&label, reads),
        )?)
    }
}
