//! Locks (PEP 751): resolving into one without touching an environment, and following one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;

use blast_index::Sources;
use blast_resolver::lock::{
    Artifact as Locked, Location, Lock, LockedFile, LockedPackage, LockedSource,
};
use blast_resolver::universal::{self, Question, Universal};
use blast_resolver::{Inputs, Statistics, Upgrade, resolve};
use blast_types::{
    ArchiveInfo, CoreMetadata, DirectUrl, DistFile, EnvName, Event, ExtraName, GroupName,
    Interpreter, MarkerTree, MarkerVariables, MetadataAt, PackageName, Reporter, Requirement,
    Sha256, Target, Version, VersionOrUrl, VersionSpecifiers, Yanked,
};

use super::build::{Builder, Source};
use super::change::{Job, Plan, Planned, complete};
use super::environment::find_interpreter;
use super::error::{EngineError, at};
use super::foreign_lock;
use super::home::Home;
use super::ingest::Artifact;
use super::lock_paths::{beside, relate};
use super::provider::IndexProvider;
use super::requirements::{merged, understand};
use super::resolve::with_options;
use super::secrets;
use crate::interpreter::FindError;
use crate::ipc::protocol::{
    Effort, ForkView, LockChoices, LockRequest, PackageChangeView, Reply, RequirementLine,
    ResolveOptions,
};

/// Resolves and answers with the text of a lock.
pub(crate) async fn lock(
    home: Arc<Home>,
    mut request: LockRequest,
    reporter: Arc<dyn Reporter>,
) -> Result<Reply, EngineError> {
    secrets::separate(
        &mut request.requirements,
        &mut request.options,
        &mut request.sources,
    );
    let generation = request
        .env
        .as_ref()
        .map(|env| installed(&home, env))
        .transpose()?;
    let (interpreter, python) = {
        let (home, request) = (Arc::clone(&home), request.clone());
        tokio::task::spawn_blocking(move || target_of(&home, &request)).await??
    };
    let (markers, platform) = match &request.platform {
        None => (python, interpreter.platform.clone()),
        Some(named) => (named.markers(&python), named.platform()),
    };
    let sources = complete(&home, request.sources.clone(), &interpreter).await?;
    let asked_sources = sources.clone();
    let index = home.caches().index.index(sources);
    let builder = Builder::new(
        &home,
        index.clone(),
        interpreter.clone(),
        &super::resolve::resolver_options(&request.options)?,
        &request.options.build,
        Arc::clone(&reporter),
    );
    let builder = match (&request.env, &generation) {
        (Some(env), Some(generation)) if request.options.build.no_isolation => {
            builder.within(env, generation)
        }
        _ if request.options.build.no_isolation => return Err(EngineError::NothingToBuildIn),
        _ => builder,
    };
    let asked = understand(&builder, &request.requirements.requirements).await?;
    let requirements: Vec<Requirement> = if request.of_env {
        let direct = generation
            .as_ref()
            .map(|generation| generation.requirements.as_slice());
        merged(direct.unwrap_or_default(), &[])?
    } else {
        asked.into_iter().map(|asked| asked.requirement).collect()
    };
    let previous = request
        .previous
        .as_deref()
        .and_then(|text| Lock::parse(text).ok());
    let target = Target::new(&markers, &platform)?;
    let inputs = Inputs {
        upgrade: if request.upgrade {
            Upgrade::All
        } else {
            Upgrade::None
        },
        ..with_options(requirements, target, &request.options, &*reporter)?
    };
    reporter.report(Event::Phase {
        name: "resolving".to_owned(),
    });
    let before = versions(previous.as_ref());
    let known = previous
        .clone()
        .map(|lock| from_these(lock, &asked_sources));
    let provider = Arc::new(IndexProvider::new(index, builder));
    if request.universal {
        let requires_python = match &request.requires_python {
            Some(text) => text.clone(),
            None => format!(">={}", asked_python(request.python.as_deref(), &markers)),
        };
        let question = Question {
            inputs,
            requires_python: Some(specifiers(&requires_python)?),
            previous: known,
        };
        let answer = universal::resolve(question, provider, reporter).await?;
        return universally(&answer, request.choices, request.output.as_deref(), &before);
    }
    let mut preferences: BTreeMap<PackageName, Version> = BTreeMap::new();
    if let Some(generation) = &generation {
        let packages = generation.packages.iter();
        preferences.extend(packages.map(|package| (package.name.clone(), package.version.clone())));
    }
    for package in previous.iter().flat_map(|lock| &lock.packages) {
        if let Some(version) = &package.version {
            preferences.insert(package.name.clone(), version.clone());
        }
    }
    let inputs = Inputs {
        preferences,
        ..inputs
    };
    let resolution = resolve(inputs, provider, reporter).await?;
    let mut lock = Lock::new(&resolution, None)?;
    lock.environments = vec![environment_of(&markers)?];
    state_paths(&mut lock, request.output.as_deref())?;
    Ok(locked(&lock, &before, Vec::new(), resolution.statistics))
}

/// The lock of an answer for every environment.
fn universally(
    answer: &Universal,
    choices: Option<LockChoices>,
    output: Option<&Path>,
    before: &BTreeMap<PackageName, String>,
) -> Result<Reply, EngineError> {
    let mut lock = answer.lock(choices.map(|choices| universal::Choices {
        extras: choices.extras,
        groups: choices.groups,
        default_groups: choices.default_groups,
        limits: choices.limits,
    }))?;
    let forks = answer.forks.iter().map(|fork| ForkView {
        environments: fork.marker.try_to_string(),
        because: fork.because.clone(),
    });
    state_paths(&mut lock, output)?;
    Ok(locked(&lock, before, forks.collect(), answer.statistics))
}

/// Paths as the lock's file is to state them; a lock without a file names folders where they are.
fn state_paths(lock: &mut Lock, output: Option<&Path>) -> Result<(), EngineError> {
    match output {
        Some(output) => relate(lock, output).map_err(at(output)),
        None => Ok(()),
    }
}

fn locked(
    lock: &Lock,
    before: &BTreeMap<PackageName, String>,
    forks: Vec<ForkView>,
    statistics: Statistics,
) -> Reply {
    Reply::Locked {
        text: lock.to_string(),
        packages: lock.packages.len(),
        changes: changes(before, &versions(Some(lock))),
        forks,
        effort: Effort {
            projects: statistics.projects_fetched,
            versions: statistics.metadata_fetched,
        },
    }
}

fn specifiers(text: &str) -> Result<VersionSpecifiers, EngineError> {
    blast_types::versions::specifiers(text).map_err(|error| EngineError::BadRequirement {
        text: text.to_owned(),
        origin: " (requires-python)".to_owned(),
        reason: error.to_string(),
    })
}

/// The lower bound where no project says which Pythons it is for: the one asked for, without a
/// patch number unless that was given.
fn asked_python(wanted: Option<&str>, markers: &MarkerVariables) -> String {
    wanted.and_then(plain_version).map_or_else(
        || markers.python_version.clone(),
        |version| version.to_string(),
    )
}

/// The lock, its knowledge of packages from elsewhere than these sources forgotten: a lock must
/// not keep an index alive that nobody names any more.
fn from_these(mut lock: Lock, sources: &Sources) -> Lock {
    let mut indexes: Vec<String> = sources
        .indexes
        .iter()
        .map(|index| {
            let mut shown = index.url.without_credentials();
            // As the pages of the index name it; fails only for URLs that cannot have a user.
            let _ = shown.set_username(index.url.as_url().username());
            shown.to_string()
        })
        .collect();
    indexes.push(sources.find_links.join(" "));
    for package in &mut lock.packages {
        if !indexes
            .iter()
            .any(|index| Some(index) == package.index.as_ref())
        {
            package.known = None;
        }
    }
    lock
}

fn installed(home: &Home, env: &EnvName) -> Result<Arc<blast_store::Generation>, EngineError> {
    Ok(home.store.generation(home.env(env)?.head)?)
}

/// The interpreter to lock for, and the marker values of the Python asked for. A version that is
/// not installed is locked for all the same, on the platform of an interpreter that is.
fn target_of(
    home: &Home,
    request: &LockRequest,
) -> Result<(Interpreter, MarkerVariables), EngineError> {
    if let (Some(env), None) = (&request.env, &request.python) {
        let interpreter = home.env(env)?.record.interpreter;
        let markers = interpreter.markers.clone();
        return Ok((interpreter, markers));
    }
    let wanted = request.python.as_deref();
    let version = wanted.and_then(plain_version);
    let found = find_interpreter(
        home,
        wanted,
        request.requires_python.as_deref(),
        &request.search,
    );
    let interpreter = match (found, &version) {
        (Err(EngineError::Interpreter(FindError::NotFound { .. })), version)
            if version.is_some() || request.universal =>
        {
            find_interpreter(home, None, None, &request.search)?
        }
        (found, _) => found?,
    };
    let markers = match version {
        Some(version) => of_version(&interpreter.markers, &version),
        None => interpreter.markers.clone(),
    };
    Ok((interpreter, markers))
}

/// `3.12` or `3.12.1`, of a CPython that environments could be made for.
fn plain_version(text: &str) -> Option<Version> {
    let version = blast_types::versions::version(text).ok()?;
    let release = version.release().to_vec();
    let supported = matches!(*release, [3, 8..=14] | [3, 8..=14, _]);
    supported.then_some(version)
}

/// The same platform with another Python. A version without a patch number stands for all of
/// them, so it is resolved for the first: what fits that fits the later ones.
fn of_version(markers: &MarkerVariables, version: &Version) -> MarkerVariables {
    let release = version.release();
    let short = format!("{}.{}", release[0], release[1]);
    let full = if release.len() > 2 {
        version.to_string()
    } else {
        format!("{short}.0")
    };
    MarkerVariables {
        python_version: short,
        implementation_version: full.clone(),
        python_full_version: full,
        ..markers.clone()
    }
}

/// What the lock is for, as PEP 751 states it: one kind of Python on one platform.
pub(super) fn environment_of(markers: &MarkerVariables) -> Result<MarkerTree, EngineError> {
    let text = format!(
        "python_version == '{}' and implementation_name == '{}' and sys_platform == '{}' and \
         platform_machine == '{}'",
        markers.python_version,
        markers.implementation_name,
        markers.sys_platform,
        markers.platform_machine,
    );
    blast_types::pep508::marker(&text).map_err(|error| EngineError::Bug(format!("{text}: {error}")))
}

/// The version of each package; where it depends on the environment, all.
fn versions(lock: Option<&Lock>) -> BTreeMap<PackageName, String> {
    let mut found = BTreeMap::<PackageName, BTreeSet<&Version>>::new();
    for package in lock.into_iter().flat_map(|lock| &lock.packages) {
        let versions = found.entry(package.name.clone()).or_default();
        versions.extend(&package.version);
    }
    found
        .into_iter()
        .map(|(name, versions)| {
            let versions: Vec<_> = versions.into_iter().map(ToString::to_string).collect();
            (name, versions.join(", "))
        })
        .collect()
}

fn changes(
    before: &BTreeMap<PackageName, String>,
    after: &BTreeMap<PackageName, String>,
) -> Vec<PackageChangeView> {
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .filter(|name| before.get(name) != after.get(name))
        .map(|name| PackageChangeView {
            name: name.to_string(),
            before: before.get(name).cloned(),
            after: after.get(name).cloned(),
        })
        .collect()
}

/// What was asked for by name, as a requirement on just this.
pub(super) fn requirement_of(planned: &Planned) -> Option<String> {
    let Planned { name, version, .. } = planned;
    planned
        .requested
        .then(|| match (&planned.artifact.source, &planned.direct_url) {
            (Some(source), _) => format!("{name} @ {}", source.url()),
            (None, Some(direct)) => format!("{name} @ {}", direct.url),
            (None, None) => format!("{name}=={version}"),
        })
}

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

/// Where a locked file is.
fn url_of(lock: &Path, location: &Location) -> Result<String, Wrong> {
    match location {
        Location::Url(url) => Ok(url.clone()),
        Location::Path(relative) => {
            let file = beside(lock, relative)?;
            let url = url::Url::from_file_path(&file);
            Ok(url
                .map_err(|()| format!("{} is no path", file.display()))?
                .into())
        }
    }
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
            let url = url_of(lock, &file.location)?;
            match of_text(&with(url, subdirectory), false)? {
                Some(Source::Archive {
                    file: archive,
                    named,
                    subdirectory,
                }) if !named || subdirectory.is_some() => Ok(Some(Source::Archive {
                    file: Arc::new(DistFile {
                        sha256: Some(sha256_of(file)?),
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
            let text = format!("git+{}@{commit_id}", url_of(lock, location)?);
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

fn sha256_of(file: &LockedFile) -> Result<Sha256, Wrong> {
    let digits = file.hashes.get("sha256");
    Ok(digits
        .ok_or_else(|| format!("{} has no SHA-256", file.name))?
        .parse::<Sha256>()?)
}

pub(super) fn planned(
    lock: &Path,
    package: &LockedPackage,
    file: &LockedFile,
    requested: bool,
) -> Result<Planned, Wrong> {
    let sha256 = sha256_of(file)?;
    let found = blast_index::simple::classify(&file.name, Some(&package.name));
    let Some((_, kind)) = found else {
        return Err(format!("{} is no file of {}", file.name, package.name).into());
    };
    let url = url_of(lock, &file.location)?;
    let direct = matches!(package.source, LockedSource::Archive { .. });
    let file = DistFile {
        filename: file.name.as_str().into(),
        kind,
        url: url.as_str().into(),
        sha256: Some(sha256),
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
            allowed: vec![sha256],
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_supported_pythons_are_locked_for_without_being_installed() {
        for text in ["3.8", "3.14", "3.12.4"] {
            assert!(plain_version(text).is_some(), "{text}");
        }
        for text in ["3", "3.7", "3.99", "2.7", "4.1", "cpython", "3.12.1.2"] {
            assert!(plain_version(text).is_none(), "{text}");
        }
    }

    #[test]
    fn changes_are_by_name_and_leave_out_what_stayed() {
        let side = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, version)| (name.parse().expect("valid"), (*version).to_owned()))
                .collect::<BTreeMap<PackageName, String>>()
        };
        let found = changes(
            &side(&[("a", "1"), ("b", "1"), ("c", "1")]),
            &side(&[("a", "1"), ("b", "2"), ("d", "1")]),
        );
        let short: Vec<_> = found
            .iter()
            .map(|c| (c.name.as_str(), c.before.as_deref(), c.after.as_deref()))
            .collect();
        assert_eq!(
            short,
            [
                ("b", Some("1"), Some("2")),
                ("c", Some("1"), None),
                ("d", None, Some("1"))
            ]
        );
    }
}
