//! The lock inside an image: what other tools need to make the same environment from an index.

use blast_resolver::lock::{Location, Lock, LockedFile, LockedPackage, LockedSource};
use blast_types::{DirectUrl, Interpreter, MarkerTree, versions};

use super::description::Carried;
use crate::engine::error::EngineError;
use crate::engine::lock_target::environment_of;

/// The lock of these packages, as text.
pub(super) fn text(packages: &[Carried], interpreter: &Interpreter) -> Result<String, EngineError> {
    let lock = Lock {
        environments: vec![environment_of(&interpreter.markers)?],
        created_by: "blast".to_owned(),
        packages: packages.iter().map(locked).collect(),
        ..Lock::default()
    };
    Ok(lock.to_string())
}

fn locked(carried: &Carried) -> LockedPackage {
    let Carried {
        package, record, ..
    } = carried;
    let requires_python = record.requires_python.as_deref();
    let source = source(carried);
    LockedPackage {
        name: package.name.clone(),
        version: (!source.is_folder()).then(|| package.version.clone()),
        marker: MarkerTree::TRUE,
        requires_python: requires_python.and_then(|text| versions::specifiers(text).ok()),
        dependencies: Vec::new(),
        index: package.artifact.index.clone(),
        source,
        known: None,
    }
}

fn source(carried: &Carried) -> LockedSource {
    let artifact = &carried.package.artifact;
    let direct = carried.package.direct_url.as_ref();
    let location = artifact
        .url
        .clone()
        .map_or_else(|| Location::Path(artifact.filename.clone()), Location::Url);
    let hashes = artifact
        .sha256
        .iter()
        .map(|sha256| ("sha256".to_owned(), sha256.to_hex()));
    let file = LockedFile {
        name: artifact.filename.clone(),
        location,
        upload_time_ms: None,
        size: None,
        hashes: hashes.collect(),
    };
    match direct {
        Some(DirectUrl {
            url,
            vcs_info: Some(info),
            subdirectory,
            ..
        }) => LockedSource::Vcs {
            kind: info.vcs.clone(),
            location: Location::Url(url.clone()),
            requested_revision: info.requested_revision.clone(),
            commit_id: info.commit_id.clone(),
            subdirectory: subdirectory.clone(),
        },
        Some(DirectUrl {
            url,
            dir_info: Some(_),
            subdirectory,
            ..
        }) => LockedSource::Directory {
            path: url.strip_prefix("file://").unwrap_or(url).to_owned(),
            editable: false,
            subdirectory: subdirectory.clone(),
        },
        Some(DirectUrl { subdirectory, .. }) => LockedSource::Archive {
            file,
            subdirectory: subdirectory.clone(),
        },
        None if artifact.built.is_some() => LockedSource::Files {
            wheels: Vec::new(),
            sdist: Some(file),
        },
        None => LockedSource::Files {
            wheels: vec![file],
            sdist: None,
        },
    }
}
