//! A list of pins, taken as it stands.

use super::{PAGES, artifact, direct_url};
use std::collections::BTreeMap;
use std::sync::Arc;

use blast_resolver::{Options, Selector};
use blast_store::Package;
use blast_types::{Version, VersionOrUrl};
use futures::FutureExt as _;
use futures::stream::{StreamExt as _, TryStreamExt as _};

use crate::engine::change::Job;
use crate::engine::error::EngineError;
use crate::engine::plan::{Plan, Planned};
use crate::engine::provider::direct_file;
use crate::engine::requirements::{Asked, pinned_version};

/// Pins as they stand: no dependency is added, what is missing among them is said.
pub(super) async fn pinned(
    job: &Job,
    asked: &[Asked],
    options: Options,
) -> Result<Plan, EngineError> {
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

pub(super) fn hashes_allow(asked: &Asked, package: &Package) -> bool {
    asked.hashes.is_empty()
        || package
            .artifact
            .sha256
            .is_some_and(|sha256| asked.hashes.contains(&sha256.into()))
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
