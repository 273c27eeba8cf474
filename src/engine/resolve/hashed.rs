//! Who states a hash of one requirement wants to know the bytes of everything that comes: then each
//! package that is not there yet must have one, dependencies too, as with pip.

use std::collections::BTreeMap;

use blast_types::{FileHash, PackageName};

use crate::engine::build::Source;
use crate::engine::change::Job;
use crate::engine::error::EngineError;
use crate::engine::plan::{Plan, Planned};
use crate::engine::requirements::Asked;

/// The hashes that were stated, by package.
pub(super) fn stated(asked: &[Asked]) -> BTreeMap<PackageName, Vec<FileHash>> {
    let mut stated = BTreeMap::<_, Vec<_>>::new();
    for asked in asked.iter().filter(|asked| !asked.hashes.is_empty()) {
        let of = stated.entry(asked.requirement.name.clone()).or_default();
        of.extend(asked.hashes.iter().cloned());
    }
    stated
}

/// Refuses a plan that would bring something of which no hash was stated, where one was of others.
///
/// # Errors
/// [`EngineError::Unhashed`] names all of it.
pub(in crate::engine) fn all_hashed(
    job: &Job,
    asked: &[Asked],
    plan: &Plan,
) -> Result<(), EngineError> {
    if asked.iter().all(|asked| asked.hashes.is_empty()) {
        return Ok(());
    }
    let comes = |planned: &&Planned| {
        let here = job.before.package(&planned.name);
        here.is_none_or(|here| here.version != planned.version)
    };
    let packages: Vec<String> = (plan.packages.iter())
        .filter(comes)
        .filter(|planned| !is_vouched_for(planned))
        .map(|planned| format!("{} {}", planned.name, planned.version))
        .collect();
    if packages.is_empty() {
        Ok(())
    } else {
        Err(EngineError::Unhashed { packages })
    }
}

/// Whether somebody stated what its bytes are. A folder has none, nor has a commit, which names what
/// it holds; both come only where they are named themselves.
fn is_vouched_for(planned: &Planned) -> bool {
    let artifact = &planned.artifact;
    let is_file = matches!(artifact.source, None | Some(Source::Archive { .. }));
    let by_url = planned.direct_url.is_some()
        && (artifact.file.sha256.is_some() || artifact.file.other_hash.is_some());
    !artifact.allowed.is_empty() || by_url || !is_file
}
