//! From requirements to plans, by way of the resolver.
//!
//! Two short cuts keep the common cases independent of the index's size. Adding to an environment
//! is first solved with everything installed held fixed, from the store's own records; only if
//! that has no solution is everything opened up. And a list of pins is taken as it stands.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use blast_resolver::{
    DirectDist, Inputs, NameFilter, Options, Provider, Resolution, ResolveError, Selector, Upgrade,
    resolve,
};
use blast_store::{Package, WheelRecord};
use blast_types::{
    CoreMetadata, DirectUrl, DistFile, DistKind, Event, MetadataAt, PackageName, Reporter,
    Requirement, Target, Version, VersionOrUrl, Yanked, pep508, versions,
};
use futures::FutureExt as _;
use futures::stream::{StreamExt as _, TryStreamExt as _};

use super::change::{Job, Plan, Planned, requested_names};
use super::error::EngineError;
use super::ingest::Artifact;
use super::provider::{IndexProvider, InstalledFirst, direct_file};
use super::requirements::{
    Asked, applies, merged, package_name, parse, pinned_version, understand,
};
use crate::ipc::protocol::{RequirementSet, ResolveOptions};

/// Project pages asked for at once.
pub(super) const PAGES: usize = 50;

/// Adds requirements to those that an environment has.
pub(super) async fn install(
    job: &Job,
    asked: &[Asked],
    options: &ResolveOptions,
    upgrade: bool,
    no_deps: bool,
) -> Result<Plan, EngineError> {
    let markers = job.state.record.interpreter.markers.environment()?;
    let added: Vec<_> = asked
        .iter()
        .map(|asked| asked.requirement.clone())
        .filter(|requirement| {
            let applies = applies(requirement, &markers);
            if !applies {
                job.reporter
                    .warn(format!("{requirement} does not apply to this interpreter"));
            }
            applies
        })
        .collect();
    let requirements = merged(&job.before.requirements, &added)?;
    let upgrade = if upgrade {
        Upgrade::Only(requested_names(&added).into_iter().collect())
    } else {
        Upgrade::None
    };
    let mut inputs = inputs(job, requirements, options)?;
    inputs.options.no_deps = no_deps;
    let is_upgrade = !matches!(upgrade, Upgrade::None);
    inputs.upgrade = upgrade;
    if no_deps {
        return without_dependencies(job, inputs, &added, asked).await;
    }
    if !is_upgrade && let Some(plan) = with_installed_fixed(job, &inputs, &added, asked).await? {
        return Ok(plan);
    }
    let texts = texts(&inputs.requirements);
    let resolution = solve(job, inputs, Arc::new(job.provider())).await?;
    Ok(plan_of(job, &resolution, texts, asked))
}

/// Brings packages (none named: all) to the newest versions that the requirements allow.
pub(super) async fn update(
    job: &Job,
    names: Vec<PackageName>,
    options: &ResolveOptions,
) -> Result<Plan, EngineError> {
    for name in &names {
        if job.before.package(name).is_none() {
            let env = job.state.record.name.clone();
            return Err(EngineError::NotInstalled {
                package: name.clone(),
                env,
            });
        }
    }
    let mut inputs = inputs(job, merged(&job.before.requirements, &[])?, options)?;
    inputs.upgrade = if names.is_empty() {
        Upgrade::All
    } else {
        Upgrade::Only(names.into_iter().collect())
    };
    let texts = texts(&inputs.requirements);
    let resolution = solve(job, inputs, Arc::new(job.provider())).await?;
    Ok(plan_of(job, &resolution, texts, &[]))
}

/// Exactly these requirements and what they need; a list in which every line is a pin is taken
/// to be complete, unless there are constraints or overrides to hold it against.
pub(super) async fn sync_requirements(
    job: &Job,
    set: &RequirementSet,
    options: &ResolveOptions,
) -> Result<Plan, EngineError> {
    let asked = understand(&job.builder, &set.requirements).await?;
    let markers = job.state.record.interpreter.markers.environment()?;
    let asked: Vec<_> = asked
        .into_iter()
        .filter(|asked| applies(&asked.requirement, &markers))
        .filter(|asked| !options.excludes.contains(&asked.requirement.name))
        .collect();
    let is_pinned = |asked: &Asked| {
        pinned_version(&asked.requirement).is_some()
            || matches!(
                &asked.requirement.version_or_url,
                Some(VersionOrUrl::Url(url)) if blast_index::file_at(url.raw(), None)
                    .is_some_and(|file| matches!(file.kind, DistKind::Wheel(_)))
            )
    };
    let is_limited = !options.constraints.is_empty() || !options.overrides.is_empty();
    if !is_limited && asked.iter().all(is_pinned) {
        return pinned(job, &asked, resolver_options(options)?).await;
    }
    let requirements = asked
        .iter()
        .map(|asked| asked.requirement.clone())
        .collect();
    let inputs = inputs(job, requirements, options)?;
    let texts = texts(&inputs.requirements);
    let resolution = solve(job, inputs, Arc::new(job.provider())).await?;
    Ok(plan_of(job, &resolution, texts, &asked))
}

/// Solves, with the job's progress.
/// The plan of what these inputs lead to.
pub(super) async fn solved(job: &Job, inputs: Inputs) -> Result<Plan, EngineError> {
    let texts = texts(&inputs.requirements);
    let resolution = solve(job, inputs, Arc::new(job.provider())).await?;
    Ok(plan_of(job, &resolution, texts, &[]))
}

async fn solve(
    job: &Job,
    inputs: Inputs,
    provider: Arc<dyn Provider>,
) -> Result<Resolution, ResolveError> {
    job.reporter.report(Event::Phase {
        name: "resolving".to_owned(),
    });
    resolve(inputs, provider, Arc::clone(&job.reporter)).await
}

fn inputs(
    job: &Job,
    requirements: Vec<Requirement>,
    options: &ResolveOptions,
) -> Result<Inputs, EngineError> {
    let preferences = job
        .before
        .packages
        .iter()
        .map(|package| (package.name.clone(), package.version.clone()))
        .collect();
    let target = job.state.record.interpreter.target()?;
    Ok(Inputs {
        preferences,
        ..with_options(requirements, target, options, &*job.reporter)?
    })
}

/// What to resolve, under the user's options.
pub(super) fn with_options(
    requirements: Vec<Requirement>,
    target: Target,
    options: &ResolveOptions,
    reporter: &dyn Reporter,
) -> Result<Inputs, EngineError> {
    let parsed = |texts: &[String], what| {
        let requirements = texts.iter().map(|text| parse(text, Some(what)));
        requirements.collect::<Result<Vec<_>, _>>()
    };
    for requirement in &requirements {
        if options.excludes.contains(&requirement.name) {
            reporter.warn(format!(
                "`{requirement}` is asked for and excluded: it is left out"
            ));
        }
    }
    Ok(Inputs {
        constraints: parsed(&options.constraints, "a constraint")?,
        overrides: parsed(&options.overrides, "an override")?,
        excludes: options.excludes.clone(),
        options: resolver_options(options)?,
        ..Inputs::new(requirements, target)
    })
}

/// The user's options in the resolver's terms.
pub(super) fn resolver_options(options: &ResolveOptions) -> Result<Options, EngineError> {
    Ok(Options {
        prereleases: options.prereleases,
        resolution: options.resolution,
        exclude_newer: options.exclude_newer,
        exclude_newer_package: options.exclude_newer_package.clone(),
        no_binary: name_filter(&options.no_binary)?,
        only_binary: name_filter(&options.only_binary)?,
        no_deps: false,
    })
}

/// Names as pip reads them: `:all:` is every package, `:none:` forgets what stands before it.
fn name_filter(names: &[String]) -> Result<NameFilter, EngineError> {
    let mut filter = NameFilter::None;
    for name in names {
        match name.as_str() {
            ":all:" => filter = NameFilter::All,
            ":none:" => filter = NameFilter::None,
            name => filter.insert(package_name(name)?),
        }
    }
    Ok(filter)
}

fn texts(requirements: &[Requirement]) -> Vec<String> {
    requirements.iter().map(ToString::to_string).collect()
}

/// Solves with every installed package held at its version, unless the additions speak of it.
async fn with_installed_fixed(
    job: &Job,
    inputs: &Inputs,
    added: &[Requirement],
    asked: &[Asked],
) -> Result<Option<Plan>, EngineError> {
    let moving = requested_names(added);
    let (mut installed, mut direct) = (HashMap::new(), HashMap::new());
    for package in &job.before.packages {
        // What came from a URL is asked for by that URL and answered as such.
        if moving.contains(&package.name) && !satisfied(added, package) {
            continue;
        }
        let record = job.home.store.wheel(&wheel_key(package)?)?;
        let Some(record) = record else { continue };
        let metadata = Arc::new(metadata_of(&record));
        let file = Artifact::installed(package, Some(&record))?.file;
        if let Some(from) = &package.direct_url {
            let dist = DirectDist {
                file: Arc::clone(&file),
                metadata: Arc::clone(&metadata),
                locked: None,
            };
            direct.insert(package.name.clone(), (from.url.clone(), dist));
        }
        let project = InstalledFirst::project_of(
            &metadata,
            Arc::unwrap_or_clone(file),
            package.artifact.index.as_deref(),
        );
        installed.insert(package.name.clone(), (Arc::new(project), metadata));
    }
    let provider = InstalledFirst {
        installed,
        direct,
        below: job.provider(),
    };
    let mut fixed = inputs.clone();
    // No limit of time takes away what is there.
    let limits = &mut fixed.options.exclude_newer_package;
    limits.extend(provider.installed.keys().map(|name| (name.clone(), None)));
    match solve(job, fixed, Arc::new(provider)).await {
        Ok(resolution) => {
            let mut plan = plan_of(job, &resolution, texts(&inputs.requirements), asked);
            for planned in &mut plan.packages {
                if moving.contains(&planned.name) && planned.artifact.source.is_some() {
                    continue; // named anew: looked at anew
                }
                if let Some(package) = job.before.package(&planned.name)
                    && package.version == planned.version
                    && planned.artifact.file.sha256 == package.artifact.sha256
                {
                    let requested = planned.requested;
                    let extras = std::mem::take(&mut planned.extras);
                    *planned = Planned {
                        requested,
                        extras,
                        ..job.keep(package)?
                    };
                }
            }
            Ok(Some(plan))
        }
        // No solution around what is installed: open everything up.
        Err(ResolveError::NoSolution(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether what is installed already is what was asked for.
fn satisfied(added: &[Requirement], package: &Package) -> bool {
    added
        .iter()
        .filter(|requirement| requirement.name == package.name)
        .all(|requirement| match &requirement.version_or_url {
            None => true,
            Some(VersionOrUrl::VersionSpecifier(specifiers)) => {
                package.direct_url.is_none() && specifiers.contains(&package.version)
            }
            Some(VersionOrUrl::Url(_)) => false,
        })
}

fn wheel_key(package: &Package) -> Result<blast_store::WheelKey, EngineError> {
    let sha256 = package
        .artifact
        .wheel()
        .ok_or_else(|| EngineError::Bug(format!("{} has no hash", package.name)))?;
    Ok(blast_store::WheelKey {
        sha256,
        scheme: package.scheme.clone(),
    })
}

/// The metadata of an installed distribution, as its wheel stated it.
fn metadata_of(record: &WheelRecord) -> CoreMetadata {
    CoreMetadata {
        name: record.name.clone(),
        version: record.version.clone(),
        requires_dist: record
            .requires_dist
            .iter()
            .filter_map(|text| pep508::requirement(text).ok())
            .collect(),
        requires_python: record
            .requires_python
            .as_ref()
            .and_then(|text| versions::specifiers(text).ok()),
        provides_extra: record.provides_extra.clone(),
    }
}

/// `--no-deps`: what is installed stays, and only what was named is chosen.
async fn without_dependencies(
    job: &Job,
    mut inputs: Inputs,
    added: &[Requirement],
    asked: &[Asked],
) -> Result<Plan, EngineError> {
    let all = texts(&inputs.requirements);
    inputs.requirements = added.to_vec();
    let resolution = solve(job, inputs, Arc::new(job.provider())).await?;
    let mut plan = plan_of(job, &resolution, all, asked);
    let named: BTreeSet<_> = plan
        .packages
        .iter()
        .map(|planned| planned.name.clone())
        .collect();
    for package in &job.before.packages {
        if !named.contains(&package.name) {
            plan.packages.push(job.keep(package)?);
        }
    }
    Ok(plan)
}

fn plan_of(job: &Job, resolution: &Resolution, requirements: Vec<String>, asked: &[Asked]) -> Plan {
    let packages = resolution
        .packages
        .iter()
        .map(|package| {
            let direct = package.direct.as_ref();
            let source = direct.and_then(|url| job.builder.source(&package.name, url.raw()));
            Planned {
                name: package.name.clone(),
                version: package.version.clone(),
                index: direct.is_none().then(|| package.index.to_string()),
                direct_url: direct.map(|_| match &source {
                    Some(source) => job.builder.direct_url(source),
                    None => direct_url(&package.file),
                }),
                artifact: Artifact {
                    source,
                    ..artifact(&package.name, &package.file, asked)
                },
                requested: package.requested,
                extras: package.extras.iter().cloned().collect(),
            }
        })
        .collect();
    Plan {
        requirements,
        packages,
        lock: None,
    }
}

/// A file, with the hashes that its requirement states.
pub(super) fn artifact(name: &PackageName, file: &Arc<DistFile>, asked: &[Asked]) -> Artifact {
    let stated = asked
        .iter()
        .find(|asked| asked.requirement.name == *name && !asked.hashes.is_empty());
    Artifact {
        file: Arc::clone(file),
        allowed: stated.map(|asked| asked.hashes.clone()).unwrap_or_default(),
        stated_by: stated
            .and_then(|asked| asked.origin.clone())
            .unwrap_or_else(|| "its requirement".to_owned()),
        built: None,
        scheme: None,
        source: None,
    }
}

/// PEP 610, for a wheel; its hash is added once it is known.
fn direct_url(file: &DistFile) -> DirectUrl {
    DirectUrl {
        url: blast_index::bare(&file.url),
        archive_info: Some(blast_types::ArchiveInfo::default()),
        dir_info: None,
        vcs_info: None,
        subdirectory: None,
    }
}

/// Pins as they stand: no dependency is added, what is missing among them is said.
async fn pinned(job: &Job, asked: &[Asked], options: Options) -> Result<Plan, EngineError> {
    let selector = Selector::new(job.state.record.interpreter.target()?, options);
    let mut seen = BTreeMap::new();
    for one in asked {
        if let Some(earlier) = seen.insert(&one.requirement.name, &one.requirement)
            && earlier.version_or_url != one.requirement.version_or_url
        {
            return Err(EngineError::TwoPins {
                package: one.requirement.name.clone(),
                pins: [earlier.to_string(), one.requirement.to_string()],
            });
        }
    }
    let pins: Vec<_> = asked
        .iter()
        .map(|one| pin(job, one, &selector).boxed())
        .collect();
    let mut packages: Vec<Planned> = futures::stream::iter(pins)
        .buffered(PAGES)
        .try_collect()
        .await?;
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    packages.dedup_by(|a, b| a.name == b.name);
    let requirements = asked
        .iter()
        .map(|asked| asked.requirement.to_string())
        .collect();
    Ok(Plan {
        requirements,
        packages,
        lock: None,
    })
}

async fn pin(job: &Job, asked: &Asked, selector: &Selector) -> Result<Planned, EngineError> {
    let name = &asked.requirement.name;
    let extras = asked.requirement.extras.to_vec();
    if let Some(VersionOrUrl::Url(url)) = &asked.requirement.version_or_url {
        let file = direct_file(name, url)
            .map(Arc::new)
            .map_err(|_| EngineError::NoDistribution(asked.requirement.to_string()))?;
        return Ok(Planned {
            name: name.clone(),
            version: blast_index::simple::version_of(&file).clone(),
            artifact: artifact(name, &file, std::slice::from_ref(asked)),
            index: None,
            direct_url: Some(direct_url(&file)),
            requested: true,
            extras,
        });
    }
    let version = pinned_version(&asked.requirement)
        .ok_or_else(|| EngineError::Bug(format!("{} is no pin", asked.requirement)))?;
    if let Some(package) = job.before.package(name)
        && package.version == version
        && package.direct_url.is_none()
        && hashes_allow(asked, package)
    {
        return Ok(Planned {
            requested: true,
            extras,
            ..job.keep(package)?
        });
    }
    let files = job.index.project(name).await?;
    let found = files.version(&version).or_else(|| {
        // `==1.0` admits `1.0+local` as well (PEP 440).
        files.versions.iter().rev().find(|candidate| {
            candidate.version.is_local() && candidate.version.clone().without_local() == version
        })
    });
    let Some(found) = found else {
        return Err(EngineError::NoVersion {
            package: name.clone(),
            version: version.to_string(),
            near: near(&files.versions, &version),
        });
    };
    let file = selector
        .best(name, &found.files)
        .map_err(|reason| EngineError::NoWheel {
            package: name.clone(),
            version: version.to_string(),
            target: job.target_in_words(),
            reason: reason.to_string(),
        })?;
    Ok(Planned {
        name: name.clone(),
        version: found.version.clone(),
        artifact: artifact(name, &file, std::slice::from_ref(asked)),
        index: Some(files.index_of(&file).to_string()),
        direct_url: None,
        requested: true,
        extras,
    })
}

fn hashes_allow(asked: &Asked, package: &Package) -> bool {
    asked.hashes.is_empty()
        || package
            .artifact
            .sha256
            .is_some_and(|sha256| asked.hashes.contains(&sha256))
}

/// Up to three versions around one that is not there.
fn near(versions: &[blast_types::VersionFiles], wanted: &Version) -> Vec<String> {
    let at = versions.partition_point(|candidate| candidate.version < *wanted);
    let from = at.saturating_sub(2);
    versions
        .iter()
        .skip(from)
        .take(3)
        .map(|candidate| candidate.version.to_string())
        .collect()
}

impl Artifact {
    /// The artifact that an installed package came from, as a file.
    pub(crate) fn installed(
        package: &Package,
        record: Option<&WheelRecord>,
    ) -> Result<Self, EngineError> {
        let filename = &package.artifact.filename;
        let (_, kind) = blast_index::simple::classify(filename, Some(&package.name))
            .ok_or_else(|| EngineError::Bug(format!("{filename} is no distribution")))?;
        Ok(Self {
            file: Arc::new(DistFile {
                filename: filename.as_str().into(),
                kind,
                url: package.artifact.url.as_deref().unwrap_or_default().into(),
                sha256: package.artifact.sha256,
                size: None,
                requires_python: record
                    .and_then(|record| record.requires_python.as_ref())
                    .and_then(|text| versions::specifiers(text).ok()),
                yanked: Yanked::No,
                upload_time_ms: None,
                metadata: MetadataAt::Inside,
            }),
            allowed: Vec::new(),
            stated_by: String::new(),
            built: package.artifact.built,
            scheme: Some(package.scheme.clone()),
            source: None,
        })
    }
}

impl Job {
    /// Answers the resolver.
    fn provider(&self) -> IndexProvider {
        IndexProvider::new(self.index.clone(), self.builder.clone())
    }

    /// `CPython 3.12 on linux x86_64`.
    pub(crate) fn target_in_words(&self) -> String {
        let markers = &self.state.record.interpreter.markers;
        format!(
            "{} {} on {} {}",
            markers.platform_python_implementation,
            markers.python_version,
            markers.sys_platform,
            markers.platform_machine
        )
    }
}
