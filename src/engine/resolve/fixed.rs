//! Adding to an environment with everything installed held fixed: no index is asked for what is there.

use super::{plan_of, solve, texts};
use std::collections::HashMap;
use std::sync::Arc;

use blast_resolver::{DirectDist, Inputs, ResolveError};
use blast_store::{Package, WheelRecord};
use blast_types::{CoreMetadata, Requirement, VersionOrUrl, pep508, versions};

use crate::engine::change::Job;
use crate::engine::error::EngineError;
use crate::engine::ingest::Artifact;
use crate::engine::plan::{Plan, Planned, requested_names};
use crate::engine::provider::InstalledFirst;
use crate::engine::requirements::Asked;

/// Solves with every installed package held at its version, unless the additions speak of it.
pub(super) async fn with_installed_fixed(
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
pub(super) fn satisfied(added: &[Requirement], package: &Package) -> bool {
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
