//! Following a lock (PEP 751): the plan that it states. No index is asked.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;

use blast_resolver::lock::{
    Artifact as Locked, Location, Lock, LockedFile, LockedPackage, LockedSource,
};
use blast_types::{
    ArchiveInfo, CoreMetadata, DirectUrl, DistFile, ExtraName, FileHash, GroupName, MetadataAt,
    Sha256, VersionOrUrl, Yanked,
};

use super::build::Source;
use super::change::Job;
use super::error::EngineError;
use super::foreign_lock;
use super::ingest::Artifact;
use super::lock::requirement_of;
use super::lock_paths::beside;
use super::plan::{Plan, Planned};
use super::requirements::understand;
use crate::ipc::protocol::{RequirementLine, ResolveOptions};

/// The plan that follows a lock exactly. No index is asked: the lock says where everything is. One
/// that was made for another platform is followed as far as it fits, unless `only_locked`.
pub(super) async fn sync_lock(
    job: &Job,
    (path, text): (&Path, &str),
    extras: &[String],
    groups: &[String],
    (default_groups, only_locked): (bool, bool),
    options: &ResolveOptions,
) -> Result<Plan, EngineError> {
    let unusable = |source: Box<dyn std::error::Error + Send + Sync>| EngineError::Lock {
        path: path.to_owned(),
        source,
    };
    let lock = Lock::parse(text).map_err(|error| unusable(error.into()))?;
    if let Some(news) = &lock.passed_over {
        job.reporter.warn(format!("{}: {news}", path.display()));
    }
    let extras: Vec<ExtraName> = extras
        .iter()
        .map(|name| ExtraName::from_str(name).map_err(|error| unusable(error.into())))
        .collect::<Result<_, _>>()?;
    let mut groups: Vec<GroupName> = groups
        .iter()
        .map(|name| GroupName::from_str(name).map_err(|error| unusable(error.into())))
        .collect::<Result<_, _>>()?;
    if default_groups {
        groups.extend_from_slice(&lock.default_groups);
    }
    let target = job.state.record.interpreter.target()?;
    let selected = match lock.select(&target, &extras, Some(&groups)) {
        Err(why) if !only_locked && foreign_lock::is_foreign(&why) => {
            let parts = (extras.as_slice(), groups.as_slice());
            return foreign_lock::adapt(job, (path, &lock), target, parts, options, &why).await;
        }
        selected => selected.map_err(|error| unusable(error.into()))?,
    };
    let depended: BTreeSet<_> = lock
        .packages
        .iter()
        .flat_map(|package| &package.dependencies)
        .collect();
    let mut packages = Vec::with_capacity(selected.len());
    for chosen in selected {
        let package = chosen.package;
        // A lock does not tell what was asked for by name: what nothing depends on was.
        let requested = !depended.contains(&package.name);
        let source = sources(path, package).map_err(unusable)?;
        packages.push(match (chosen.artifact, source) {
            (_, Some(source)) => of_sources(job, package, source, requested).await?,
            (Locked::Wheel(file) | Locked::Sdist(file) | Locked::Archive(file), None) => {
                planned(path, package, file, requested).map_err(unusable)?
            }
            (Locked::Directory | Locked::Vcs, None) => {
                let name = &package.name;
                return Err(unusable(format!("{name} comes from nowhere").into()));
            }
        });
    }
    let requirements = packages.iter().filter_map(requirement_of).collect();
    Ok(Plan {
        requirements,
        packages,
        lock: Some(Sha256::of(text.as_bytes())),
    })
}

/// Adds the project that a lock is of, unless the lock has it itself. What it needs is the lock's
/// business.
pub(super) async fn add_project(
    job: &Job,
    plan: &mut Plan,
    line: RequirementLine,
) -> Result<(), EngineError> {
    for asked in understand(&job.builder, &[line]).await? {
        let requirement = asked.requirement;
        let Some(VersionOrUrl::Url(url)) = &requirement.version_or_url else {
            continue;
        };
        if plan
            .packages
            .iter()
            .any(|planned| planned.name == requirement.name)
        {
            continue;
        }
        let Some(source) = job.builder.source(&requirement.name, url.raw()) else {
            continue;
        };
        let metadata = job.builder.metadata(source.clone()).await?;
        plan.requirements.push(requirement.to_string());
        plan.packages
            .push(from_sources(job, &metadata, source, true));
    }
    Ok(())
}

fn from_sources(job: &Job, metadata: &CoreMetadata, source: Source, requested: bool) -> Planned {
    let file = source.file(&metadata.name, &metadata.version);
    Planned {
        name: metadata.name.clone(),
        version: metadata.version.clone(),
        direct_url: Some(job.builder.direct_url(&source)),
        artifact: Artifact {
            source: Some(source),
            ..Artifact::of_file(Arc::new(file))
        },
        index: None,
        requested,
        extras: Vec::new(),
    }
}

pub(super) type Wrong = Box<dyn std::error::Error + Send + Sync>;

/// Where what a lock names is; `is_it` tells of a path whether it is there. Of a path and a URL, the
/// path is used if so.
fn url_of(
    lock: &Path,
    location: &Location,
    is_it: impl FnOnce(&Path) -> bool,
) -> Result<String, Wrong> {
    let path = match location {
        Location::Url(url) => return Ok(url.clone()),
        Location::Path(path) => beside(lock, path)?,
        Location::Either { path, url } => match beside(lock, path) {
            Ok(path) if is_it(&path) => path,
            _ => return Ok(url.clone()),
        },
    };
    let url = url::Url::from_file_path(&path);
    let url = url.map_err(|()| format!("{} is no path", path.display()))?;
    Ok(url.into())
}

/// Where a locked file is.
fn url_of_file(lock: &Path, file: &LockedFile, hash: &FileHash) -> Result<String, Wrong> {
    // Looked at once more when it is used, as every file is.
    let is_it = |path: &Path| {
        let read = || path.is_file().then(|| fs::read(path).ok())?;
        let bytes = tokio::task::block_in_place(read);
        bytes.is_some_and(|bytes| hash.is_of(&bytes))
    };
    url_of(lock, &file.location, is_it)
}

/// The sources of a locked package, where they are more than a file whose name says what it is.
pub(super) fn sources(lock: &Path, package: &LockedPackage) -> Result<Option<Source>, Wrong> {
    let of_text = |text: &str, editable| {
        let url = url::Url::parse(text)?;
        Source::of_url(Some(&package.name), &url, editable).map_err(Wrong::from)
    };
    let with = |text: String, subdirectory: &Option<String>| match subdirectory {
        Some(folder) => format!("{text}#subdirectory={folder}"),
        None => text,
    };
    match &package.source {
        LockedSource::Files { .. } => Ok(None),
        LockedSource::Archive { file, subdirectory } => {
            let hash = hash_of(file)?;
            let url = url_of_file(lock, file, &hash)?;
            match of_text(&with(url, subdirectory), false)? {
                Some(Source::Archive {
                    file: archive,
                    named,
                    subdirectory,
                }) if !named || subdirectory.is_some() => Ok(Some(Source::Archive {
                    file: Arc::new(DistFile {
                        size: file.size,
                        sha256: hash.sha256(),
                        other_hash: other(&hash),
                        ..(*archive).clone()
                    }),
                    named,
                    subdirectory,
                })),
                _ => Ok(None),
            }
        }
        LockedSource::Directory {
            path,
            editable,
            subdirectory,
        } => {
            let mut path = beside(lock, path)?;
            if let Some(folder) = subdirectory {
                path.push(folder);
            }
            let editable = *editable;
            Ok(Some(Source::Directory { path, editable }))
        }
        LockedSource::Vcs { kind, .. } if kind != "git" => {
            Err(format!("{} comes from {kind}, which is not known", package.name).into())
        }
        LockedSource::Vcs {
            location,
            commit_id,
            subdirectory,
            ..
        } => {
            let url = url_of(lock, location, Path::is_dir)?;
            let text = format!("git+{url}@{commit_id}");
            of_text(&with(text, subdirectory), false)
        }
    }
}

/// Plans what must be looked into.
async fn of_sources(
    job: &Job,
    package: &LockedPackage,
    source: Source,
    requested: bool,
) -> Result<Planned, EngineError> {
    let metadata = job.builder.metadata(source.clone()).await?;
    if metadata.name != package.name {
        return Err(EngineError::OtherSources {
            place: source.url(),
            expected: package.name.clone(),
            found: metadata.name.clone(),
        });
    }
    Ok(from_sources(job, &metadata, source, requested))
}

/// The hash that vouches for a locked file.
fn hash_of(file: &LockedFile) -> Result<FileHash, Wrong> {
    if let Some(hash) = file.hash() {
        return Ok(hash);
    }
    // Every one is no good; which is why is told of the first.
    let first = file.hashes.iter().next();
    Err(
        match first.map(|(name, digits)| FileHash::new(name, digits)) {
            Some(Err(error)) => format!("{}: {error}", file.name).into(),
            _ => format!("{} has no hash", file.name).into(),
        },
    )
}

/// The same where it is not a SHA-256.
fn other(hash: &FileHash) -> Option<Box<FileHash>> {
    hash.sha256().is_none().then(|| Box::new(hash.clone()))
}

pub(super) fn planned(
    lock: &Path,
    package: &LockedPackage,
    file: &LockedFile,
    requested: bool,
) -> Result<Planned, Wrong> {
    let hash = hash_of(file)?;
    let found = blast_index::simple::classify(&file.name, Some(&package.name));
    let Some((_, kind)) = found else {
        return Err(format!("{} is no file of {}", file.name, package.name).into());
    };
    let url = url_of_file(lock, file, &hash)?;
    let direct = matches!(package.source, LockedSource::Archive { .. });
    let file = DistFile {
        filename: file.name.as_str().into(),
        kind,
        url: url.as_str().into(),
        sha256: hash.sha256(),
        other_hash: other(&hash),
        size: file.size,
        requires_python: package.requires_python.clone(),
        yanked: Yanked::No,
        upload_time_ms: file.upload_time_ms,
        metadata: MetadataAt::Inside,
    };
    let stated = blast_index::simple::version_of(&file).clone();
    Ok(Planned {
        name: package.name.clone(),
        version: package.version.clone().unwrap_or(stated),
        artifact: Artifact {
            // The other kinds are looked at while the file comes.
            allowed: hash.sha256().map(FileHash::from).into_iter().collect(),
            stated_by: lock.display().to_string(),
            ..Artifact::of_file(Arc::new(file))
        },
        index: package.index.clone(),
        direct_url: direct.then(|| DirectUrl {
            url: blast_index::bare(&url),
            archive_info: Some(ArchiveInfo::default()),
            dir_info: None,
            vcs_info: None,
            subdirectory: None,
        }),
        requested,
        extras: Vec::new(),
    })
}
