//! What a written prefix means for a generation: each change belongs to a distribution that came, went
//! or was edited, or to nobody.
//!
//! - A metadata folder that was written whole is a distribution that came; it takes the place of a
//!   package of its name.
//! - A package whose metadata is gone went.
//! - Another change of a package's file is an edit: the package gets a layer of its own, with a record
//!   that is true of it, and keeps it until another version takes its place.
//! - What is left is nobody's and goes to the captured layer, of which there is one.
//!
//! What the generated layer holds is written anew for each generation, so changes of it are lost, and
//! told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::sync::Arc;

use blast_index::wheel::{RecordHash, RecordRow, record};
use blast_store::{EntryKind, Generation, Layer, LayerBuilder, Package, WheelKey, WheelRecord};
use blast_types::{LayerId, PackageName, Requirement, Sha256, VersionOrUrl, pep508};

use super::distribution::{Captured, Content, Parts, Workshop, metadata_folders};
use super::upper::{Difference, Written};
use crate::engine::error::{EngineError, at};
use crate::engine::generated::relative;
use crate::engine::requirements::merged;

/// What a generation becomes.
pub(super) struct Outcome {
    /// Packages with their records, by name.
    pub(super) packages: Vec<(Package, Arc<WheelRecord>)>,
    /// What the store does not know yet.
    pub(super) fresh: Vec<(WheelKey, Arc<WheelRecord>)>,
    /// The captured layer.
    pub(super) captured: Vec<LayerId>,
    /// Direct requirements.
    pub(super) requirements: Vec<String>,
    /// Paths whose change is lost.
    pub(super) lost: Vec<String>,
}

/// A generation and what it is made of.
pub(super) struct Before<'a> {
    pub(super) generation: &'a Generation,
    pub(super) records: HashMap<PackageName, Arc<WheelRecord>>,
    /// The layers of the packages, in their order.
    pub(super) layers: Vec<Arc<Layer>>,
    pub(super) generated: Arc<Layer>,
    pub(super) captured: Vec<Arc<Layer>>,
}

/// Works out what a difference means.
pub(super) fn apply(
    before: &Before<'_>,
    difference: &Difference,
    workshop: &Workshop<'_>,
) -> Result<Outcome, EngineError> {
    let mut taken = BTreeSet::new();
    let mut came: BTreeMap<PackageName, Captured> = BTreeMap::new();
    for folder in metadata_folders(difference, workshop.interpreter) {
        let captured = workshop.distribution(&folder, difference, &mut taken)?;
        came.insert(captured.package.name.clone(), captured);
    }
    let mut outcome = Outcome {
        packages: Vec::new(),
        fresh: Vec::new(),
        captured: Vec::new(),
        requirements: Vec::new(),
        lost: Vec::new(),
    };
    let mut went = BTreeSet::new();
    for (package, layer) in before.generation.packages.iter().zip(&before.layers) {
        let record = before
            .records
            .get(&package.name)
            .ok_or_else(|| EngineError::Bug(format!("the record of {} is lost", package.name)))?;
        if came.contains_key(&package.name) {
            continue;
        }
        if difference.is_removed(&format!("{}/METADATA", record.dist_info)) {
            went.insert(package.name.clone());
            continue;
        }
        let edited = edited(package, record, layer, difference, &mut taken, workshop)?;
        let (package, record) = match edited {
            None => (package.clone(), Arc::clone(record)),
            Some(edited) => {
                outcome.fresh.push((edited.key, Arc::clone(&edited.record)));
                (edited.package, edited.record)
            }
        };
        outcome.packages.push((package, record));
    }
    outcome.requirements = requirements(before, &came, &went)?;
    for (_, captured) in came {
        outcome
            .fresh
            .push((captured.key, Arc::clone(&captured.record)));
        outcome.packages.push((captured.package, captured.record));
    }
    outcome
        .packages
        .sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    let rest = difference
        .written
        .iter()
        .filter(|(path, _)| !taken.contains(*path));
    let (lost, nobodys): (Vec<_>, Vec<_>) = rest.partition(|(path, _)| is_generated(before, path));
    outcome.captured = captured_layer(before, difference, &nobodys, workshop)?;
    for (path, file) in lost {
        if !is_same(&before.generated, path, file)? {
            outcome.lost.push(path.clone());
        }
    }
    Ok(outcome)
}

fn is_generated(before: &Before<'_>, path: &str) -> bool {
    before.generated.find(path).is_some() || path.starts_with(".blast/")
}

/// Whether a written file is what the layer has at its path.
fn is_same(layer: &Layer, path: &str, file: &Written) -> Result<bool, EngineError> {
    let Some(entry) = layer.find(path).and_then(|index| layer.get(index)) else {
        return Ok(false);
    };
    let is_executable = |mode: u32| mode & 0o100 != 0;
    if let EntryKind::Symlink { target } = entry.kind {
        return Ok(file.target.as_ref().is_some_and(|t| t.as_bytes() == target));
    }
    if file.target.is_some()
        || file.size != entry.size
        || is_executable(file.mode) != is_executable(entry.mode)
    {
        return Ok(false);
    }
    let bytes = fs::read(&file.source).map_err(at(&file.source))?;
    Ok(match entry.kind {
        EntryKind::Inline { bytes: there } => there == bytes,
        EntryKind::File { blob } => blast_types::BlobId::of(&bytes) == blob,
        _ => false,
    })
}

/// A package with the changes of its files; none where there are none.
fn edited(
    package: &Package,
    record: &Arc<WheelRecord>,
    layer: &Layer,
    difference: &Difference,
    taken: &mut BTreeSet<String>,
    workshop: &Workshop<'_>,
) -> Result<Option<Captured>, EngineError> {
    let own_record = format!("{}/RECORD", record.dist_info);
    let (mut changed, mut removed) = (BTreeMap::new(), BTreeSet::new());
    for (index, entry) in layer.entries() {
        if entry.kind.is_dir() {
            continue;
        }
        let path = layer.path(index);
        if path == own_record {
            taken.insert(path);
            continue;
        }
        if let Some(file) = difference.written.get(&path) {
            if !is_same(layer, &path, file)? {
                changed.insert(path.clone(), file);
            }
            taken.insert(path);
        } else if difference.is_removed(&path) {
            removed.insert(path);
        }
    }
    if changed.is_empty() && removed.is_empty() {
        return Ok(None);
    }
    let mut content = Content {
        python_scripts: record.python_scripts.clone(),
        rows: rows(record, workshop)?,
        ..Content::default()
    };
    let named: BTreeMap<String, &String> = changed
        .keys()
        .chain(&removed)
        .map(|path| (relative(&record.dist_info, path), path))
        .collect();
    content.rows.retain_mut(|row| match named.get(&row.path) {
        None => true,
        Some(path) => changed.get(*path).is_some_and(|file| {
            row.size = Some(file.size);
            row.hash = None; // set below, where reading may fail
            true
        }),
    });
    for row in &mut content.rows {
        if let Some(file) = named.get(&row.path).and_then(|path| changed.get(*path)) {
            let bytes = fs::read(&file.source).map_err(at(&file.source))?;
            row.hash = Some(RecordHash::Sha256(Sha256::of(&bytes)));
        }
    }
    for (index, entry) in layer.entries() {
        let path = layer.path(index);
        if entry.kind.is_dir() || path == own_record || removed.contains(&path) {
            continue;
        }
        content.files += 1;
        if let Some(file) = changed.get(&path) {
            workshop.add(&mut content.builder, &path, file)?;
            content.bytes += file.size;
        } else {
            copy(layer, index, &path, &mut content.builder)?;
            content.bytes += entry.size;
        }
    }
    let parts = Parts {
        name: record.name.clone(),
        version: record.version.clone(),
        dist_info: record.dist_info.clone(),
        scripts: record.scripts.clone(),
        requires_dist: record.requires_dist.clone(),
        requires_python: record.requires_python.clone(),
        provides_extra: record.provides_extra.clone(),
    };
    let (record, key) = workshop.finish(content, parts)?;
    let mut package = package.clone();
    package.layer = record.layer;
    package.artifact.built = Some(key.sha256);
    package.artifact.captured = true;
    package.scheme.clone_from(&key.scheme);
    Ok(Some(Captured {
        package,
        record,
        key,
    }))
}

/// The rows of a package's own record, as its layer has them.
fn rows(wheel: &WheelRecord, workshop: &Workshop<'_>) -> Result<Vec<RecordRow>, EngineError> {
    let bytes = workshop.staging.read_blob(wheel.record_blob)?;
    record::parse(&bytes).map_err(|error| EngineError::CapturedMetadata {
        folder: wheel.dist_info.clone(),
        reason: error.to_string(),
    })
}

/// Takes an entry over to another layer.
pub(in crate::engine) fn copy(
    layer: &Layer,
    index: blast_store::EntryIndex,
    path: &str,
    builder: &mut LayerBuilder,
) -> Result<(), EngineError> {
    let failed = |source| EngineError::Layer {
        what: path.to_owned(),
        source,
    };
    let entry = layer.entry(index);
    let (mode, mtime) = (entry.mode, entry.mtime);
    match entry.kind {
        EntryKind::Dir { .. } => builder.dir(path),
        EntryKind::File { blob } => builder.file(path, mode, mtime, blob, entry.size),
        EntryKind::Inline { bytes } => builder.inline(path, mode, mtime, bytes),
        EntryKind::Extended {
            blob,
            base_size,
            tail,
        } => builder.extended(path, mode, mtime, blob, base_size, tail.to_vec()),
        EntryKind::Symlink { target } => builder.symlink(path, &String::from_utf8_lossy(target)),
        EntryKind::Damaged => {
            return Err(EngineError::Bug(format!("{path} is damaged in its layer")));
        }
    }
    .map_err(failed)
}

/// What nobody owns: what was captured before, as far as it is still there, and what is new.
fn captured_layer(
    before: &Before<'_>,
    difference: &Difference,
    nobodys: &[(&String, &Written)],
    workshop: &Workshop<'_>,
) -> Result<Vec<LayerId>, EngineError> {
    let mut builder = LayerBuilder::new();
    let mut is_empty = true;
    let mut is_touched = !nobodys.is_empty();
    let written: BTreeSet<&str> = nobodys.iter().map(|(path, _)| path.as_str()).collect();
    for layer in &before.captured {
        for (index, entry) in layer.entries() {
            let path = layer.path(index);
            if entry.kind.is_dir() || written.contains(path.as_str()) {
                continue;
            }
            if difference.is_removed(&path) {
                is_touched = true;
                continue;
            }
            is_empty = false;
            copy(layer, index, &path, &mut builder)?;
        }
    }
    if !is_touched {
        return Ok(before.generation.captured.clone());
    }
    for (path, file) in nobodys {
        is_empty = false;
        workshop.add(&mut builder, path, file)?;
    }
    if is_empty {
        return Ok(Vec::new());
    }
    Ok(vec![workshop.staging.layer(builder)?])
}

/// The direct requirements afterwards: without what went, with what came and is needed by nobody else
/// or was asked for by name.
fn requirements(
    before: &Before<'_>,
    came: &BTreeMap<PackageName, Captured>,
    went: &BTreeSet<PackageName>,
) -> Result<Vec<String>, EngineError> {
    let mut kept = merged(&before.generation.requirements, &[])?;
    kept.retain(|requirement| !went.contains(&requirement.name));
    let needed: BTreeSet<PackageName> = before
        .records
        .values()
        .chain(came.values().map(|captured| &captured.record))
        .flat_map(|record| &record.requires_dist)
        .filter_map(|text| Some(pep508::requirement(text).ok()?.name))
        .collect();
    let mut texts: Vec<String> = Vec::new();
    for requirement in &kept {
        let holds = came
            .get(&requirement.name)
            .is_none_or(|captured| is_met(requirement, &captured.package));
        if holds {
            texts.push(requirement.to_string());
        }
    }
    for (name, captured) in came {
        let package = &captured.package;
        let is_there = kept
            .iter()
            .any(|requirement| requirement.name == *name && is_met(requirement, package));
        if !is_there && (package.requested || !needed.contains(name)) {
            texts.push(match &package.direct_url {
                Some(direct) => format!("{name} @ {}", direct.url),
                None => name.to_string(),
            });
        }
    }
    Ok(texts)
}

fn is_met(requirement: &Requirement, package: &Package) -> bool {
    match &requirement.version_or_url {
        None => package.direct_url.is_none(),
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => {
            package.direct_url.is_none() && specifiers.contains(&package.version)
        }
        Some(VersionOrUrl::Url(url)) => package
            .direct_url
            .as_ref()
            .is_some_and(|direct| direct.url == url.raw().as_str()),
    }
}
