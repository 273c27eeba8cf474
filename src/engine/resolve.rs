//! From requirements to plans, by way of the resolver.
//!
//! Two short cuts keep the common cases independent of the index's size. Adding to an environment
//! is first solved with everything installed held fixed, from the store's own records; only if
//! that has no solution is everything opened up. And a list of pins is taken as it stands.

mod fixed;
mod hashed;
mod options;
mod pins;

use std::collections::BTreeSet;
use std::sync::Arc;

use blast_resolver::{Inputs, Options, Provider, Resolution, ResolveError, Upgrade, resolve};
use blast_types::{DirectUrl, DistFile, DistKind, Event, PackageName, Requirement, VersionOrUrl};

use self::fixed::with_installed_fixed;
pub(super) use self::hashed::all_hashed;
pub(super) use self::options::{parsed, resolver_options, with_options};
use self::pins::pinned;
use super::change::Job;
use super::error::EngineError;
use super::ingest::Artifact;
use super::plan::{Plan, Planned, requested_names};
use super::provider::IndexProvider;
use super::requirements::{Asked, applies, merged, pinned_version, understand};
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
    inputs.options.stated_hashes = hashed::stated(asked);
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
        let options = Options {
            stated_hashes: hashed::stated(&asked),
            ..resolver_options(options)?
        };
        let plan = pinned(job, &asked, options).await?;
        all_hashed(job, &asked, &plan)?;
        return Ok(plan);
    }
    let requirements = asked
        .iter()
        .map(|asked| asked.requirement.clone())
        .collect();
    let mut inputs = inputs(job, requirements, options)?;
    inputs.options.stated_hashes = hashed::stated(&asked);
    let texts = texts(&inputs.requirements);
    let resolution = solve(job, inputs, Arc::new(job.provider())).await?;
    let plan = plan_of(job, &resolution, texts, &asked);
    all_hashed(job, &asked, &plan)?;
    Ok(plan)
}

/// The plan of what these inputs lead to.
pub(super) async fn solved(job: &Job, inputs: Inputs) -> Result<Plan, EngineError> {
    let texts = texts(&inputs.requirements);
    let resolution = solve(job, inputs, Arc::new(job.provider())).await?;
    Ok(plan_of(job, &resolution, texts, &[]))
}

/// Solves, with the job's progress.
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

fn texts(requirements: &[Requirement]) -> Vec<String> {
    requirements.iter().map(ToString::to_string).collect()
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
