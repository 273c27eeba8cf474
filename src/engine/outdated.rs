//! Which installed packages have newer versions, and what keeps them where they are.

use std::collections::HashMap;
use std::sync::Arc;

use blast_index::{Index, IndexError};
use blast_resolver::{PrereleaseMode, Selector};
use blast_store::Package;
use blast_types::{
    DistKind, Event, PackageName, ProjectFiles, Reporter, Version, VersionSpecifiers, versions,
};
use futures::stream::{StreamExt as _, TryStreamExt as _};

use super::change::complete;
use super::error::EngineError;
use super::graph::graph;
use super::home::Home;
use super::resolve::{PAGES, resolver_options};
use crate::ipc::packages::{DependencyGraph, Need, OutdatedPackage};
use crate::ipc::protocol::{OutdatedRequest, Reply};

/// Looks at the index page of every package that came from an index.
pub(crate) async fn outdated(
    home: Arc<Home>,
    request: OutdatedRequest,
    reporter: Arc<dyn Reporter>,
) -> Result<Reply, EngineError> {
    let OutdatedRequest {
        env,
        options,
        sources,
    } = request;
    let state = home.env(&env)?;
    let generation = home.store.generation(state.head)?;
    let interpreter = state.record.interpreter;
    let sources = complete(&home, sources, &interpreter).await?;
    let index = home.caches().index.index(sources);
    let graph = {
        let (home, env) = (Arc::clone(&home), env.clone());
        tokio::task::spawn_blocking(move || graph(&home, &env)).await??
    };
    let limits = Limits::new(&graph);
    let selector = Selector::new(interpreter.target()?, resolver_options(&options)?);
    reporter.report(Event::Phase {
        name: "looking for newer versions".to_owned(),
    });
    let questions: Vec<_> = generation
        .packages
        .iter()
        .filter(|package| package.direct_url.is_none())
        .map(|package| page(index.clone(), package.clone()))
        .collect();
    let pages: Vec<_> = futures::stream::iter(questions)
        .buffered(PAGES)
        .try_collect()
        .await?;
    let packages = pages
        .iter()
        .filter_map(|(package, files)| {
            let files = files.as_ref()?;
            let versions = usable(package, files, &selector, options.prereleases);
            limits.judge(package, &versions)
        })
        .collect();
    Ok(Reply::Outdated { packages })
}

/// The page of a package; nothing where the index does not know it.
async fn page(
    index: Index,
    package: Package,
) -> Result<(Package, Option<Arc<ProjectFiles>>), EngineError> {
    match index.project(&package.name).await {
        Ok(files) => Ok((package, Some(files))),
        Err(IndexError::NotFound { .. }) => Ok((package, None)),
        Err(error) => Err(error.into()),
    }
}

/// The versions that could be installed in the place of the present one, and whether as a wheel.
fn usable<'a>(
    package: &Package,
    files: &'a ProjectFiles,
    selector: &Selector,
    prereleases: PrereleaseMode,
) -> Vec<(&'a Version, bool)> {
    let with_prereleases = package.version.any_prerelease() || prereleases == PrereleaseMode::Allow;
    let versions = files.versions.iter();
    versions
        .filter(|entry| entry.version > package.version)
        .filter(|entry| with_prereleases || !entry.version.any_prerelease())
        .filter_map(|entry| {
            let best = selector.best(&package.name, &entry.files).ok()?;
            let is_wheel = matches!(best.kind, DistKind::Wheel(_));
            (!best.yanked.is_yanked()).then_some((&entry.version, is_wheel))
        })
        .collect()
}

/// Which versions the requirements of an environment allow.
struct Limits<'a>(HashMap<&'a PackageName, Vec<Limit<'a>>>);

struct Limit<'a> {
    /// Who requires; nobody: the user.
    by: Option<&'a PackageName>,
    specifiers: VersionSpecifiers,
}

impl<'a> Limits<'a> {
    fn new(graph: &'a DependencyGraph) -> Self {
        let asked = graph.requirements.iter().map(|need| (None, need));
        let required = graph.packages.iter().flat_map(|package| {
            let needs = package.requires.iter();
            needs.map(|need| (Some(&package.name), need))
        });
        let mut limits: HashMap<_, Vec<_>> = HashMap::new();
        for (
            by,
            Need {
                name, specifier, ..
            },
        ) in asked.chain(required)
        {
            if let Ok(specifiers) = versions::specifiers(specifier) {
                limits
                    .entry(name)
                    .or_default()
                    .push(Limit { by, specifiers });
            }
        }
        Self(limits)
    }

    /// What to say of a package that has these newer versions.
    fn judge(&self, package: &Package, versions: &[(&Version, bool)]) -> Option<OutdatedPackage> {
        let (newest, newest_is_wheel) = *versions.iter().max()?;
        let limits = self.0.get(&package.name).map_or(&[][..], Vec::as_slice);
        let is_allowed = |version: &Version| {
            limits
                .iter()
                .all(|limit| limit.specifiers.contains(version))
        };
        let allowed = versions.iter().map(|(version, _)| *version);
        let allowed = allowed.filter(|version| is_allowed(version)).max();
        let mut held_by: Vec<String> = limits
            .iter()
            .filter(|limit| !limit.specifiers.contains(newest))
            .map(|limit| {
                let specifiers = limit.specifiers.to_string().replace(", ", ",");
                match limit.by {
                    Some(name) => format!("{name} requires {specifiers}"),
                    None => format!("you asked for {specifiers}"),
                }
            })
            .collect();
        held_by.dedup();
        Some(OutdatedPackage {
            name: package.name.clone(),
            version: package.version.to_string(),
            allowed: allowed
                .map_or(&package.version, |version| version)
                .to_string(),
            newest: newest.to_string(),
            newest_is_wheel,
            held_by,
        })
    }
}
