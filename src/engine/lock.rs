//! Locks (PEP 751): resolving into one without touching an environment.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use blast_index::Sources;
use blast_resolver::lock::Lock;
use blast_resolver::universal::{self, Question, Universal};
use blast_resolver::{Inputs, Statistics, Upgrade, resolve};
use blast_types::{
    EnvName, Event, PackageName, Reporter, Requirement, Target, Version, VersionSpecifiers,
};

use super::build::Builder;
use super::change::complete;
use super::error::{EngineError, at};
use super::home::Home;
use super::lock_hashes;
use super::lock_paths::relate;
use super::lock_target::{asked_python, environment_of, target_of};
use super::plan::Planned;
use super::provider::IndexProvider;
use super::requirements::{merged, understand};
use super::resolve::with_options;
use super::secrets;
use crate::ipc::protocol::{Effort, ForkView, LockChoices, LockRequest, PackageChangeView, Reply};

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
    let provider = Arc::new(IndexProvider::new(index.clone(), builder));
    let downloads = home.caches().index.wheels_dir();
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
        let mut answer = universal::resolve(question, provider, reporter.clone()).await?;
        let packages = &mut answer.packages;
        lock_hashes::complete(packages, true, &index, &downloads, &*reporter).await?;
        return universally(&answer, request.choices, request.output.as_deref(), &before);
    }
    let inputs = Inputs {
        preferences: preferences(generation.as_deref(), previous.as_ref()),
        ..inputs
    };
    let mut resolution = resolve(inputs, provider, reporter.clone()).await?;
    let packages = &mut resolution.packages;
    lock_hashes::complete(packages, false, &index, &downloads, &*reporter).await?;
    let mut lock = Lock::new(&resolution, None)?;
    lock.environments = vec![environment_of(&markers)?];
    state_paths(&mut lock, request.output.as_deref())?;
    Ok(locked(&lock, &before, Vec::new(), resolution.statistics))
}

/// The versions that stay where they can: those of the lock before, else those that are installed.
fn preferences(
    installed: Option<&blast_store::Generation>,
    previous: Option<&Lock>,
) -> BTreeMap<PackageName, Version> {
    let installed = installed.into_iter().flat_map(|found| &found.packages);
    let installed = installed.map(|package| (package.name.clone(), package.version.clone()));
    let locked = previous.into_iter().flat_map(|lock| &lock.packages);
    let locked =
        locked.filter_map(|package| Some((package.name.clone(), package.version.clone()?)));
    installed.chain(locked).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

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
