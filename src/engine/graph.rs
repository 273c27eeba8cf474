//! Who requires whom in an environment, by the metadata of what is installed.

use std::sync::Arc;

use blast_store::{Generation, Package, WheelKey, WheelRecord};
use blast_types::{EnvName, ExtraName, MarkerEnvironment, Requirement, VersionOrUrl, pep508};

use super::error::EngineError;
use super::home::Home;
use super::requirements::parse;
use crate::ipc::packages::{DependencyGraph, GraphPackage, Need};

/// The graph of an environment's head. Blocks.
pub(crate) fn graph(home: &Home, name: &EnvName) -> Result<DependencyGraph, EngineError> {
    let state = home.env(name)?;
    let generation = home.store.generation(state.head)?;
    let markers = state.record.interpreter.markers.environment()?;
    let mut graph = DependencyGraph::default();
    for text in &generation.requirements {
        let requirement = parse(text, None)?;
        if requirement.evaluate_markers(&markers, &[]) {
            graph.requirements.push(need(&requirement));
        }
    }
    for package in &generation.packages {
        graph.packages.push(GraphPackage {
            name: package.name.clone(),
            version: package.version.to_string(),
            requested: package.requested,
            requires: requires(home, package, &generation, &markers)?,
        });
    }
    Ok(graph)
}

fn requires(
    home: &Home,
    package: &Package,
    generation: &Generation,
    markers: &MarkerEnvironment,
) -> Result<Vec<Need>, EngineError> {
    let mut needs: Vec<Need> = Vec::new();
    for requirement in stated(home, package)? {
        let applies = requirement.evaluate_markers(markers, &package.extras);
        // A package may name itself to put extras together.
        if !applies || requirement.name == package.name {
            continue;
        }
        let need = need(&requirement);
        // An extra often repeats what the package requires anyway.
        if !needs.contains(&need) {
            needs.push(need);
        }
    }
    // An optional requirement that is not installed was left out on purpose (`--no-deps`,
    // excludes); it stays in the graph, so that it can be told.
    needs.sort_by(|a, b| a.name.cmp(&b.name));
    let is_there = |need: &Need| generation.package(&need.name).is_some();
    needs.sort_by_key(|need| !is_there(need));
    Ok(needs)
}

/// The requirements that a package's metadata states; none where its record is gone.
fn stated(home: &Home, package: &Package) -> Result<Vec<Requirement>, EngineError> {
    let record: Option<Arc<WheelRecord>> = match package.artifact.sha256 {
        None => None,
        Some(sha256) => home.store.wheel(&WheelKey {
            sha256,
            scheme: package.scheme.clone(),
        })?,
    };
    let texts = record.iter().flat_map(|record| &record.requires_dist);
    Ok(texts
        .filter_map(|text| pep508::requirement(text).ok())
        .collect())
}

fn need(requirement: &Requirement) -> Need {
    Need {
        name: requirement.name.clone(),
        extras: requirement
            .extras
            .iter()
            .map(ExtraName::to_string)
            .collect(),
        specifier: match &requirement.version_or_url {
            None => String::new(),
            Some(VersionOrUrl::VersionSpecifier(specifiers)) => {
                specifiers.to_string().replace(", ", ",")
            }
            Some(VersionOrUrl::Url(url)) => format!("@ {}", url.raw()),
        },
    }
}
