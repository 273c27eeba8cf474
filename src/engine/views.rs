//! What the engine knows, in the words of the protocol.

use std::collections::{BTreeMap, BTreeSet};

use blast_store::{
    Changes, EnvState, Generation, Operation, OperationKind, Package, PackageChange,
};
use blast_types::PackageName;

use super::plan::Plan;
use crate::ipc::protocol::{OperationView, PackageChangeView, PackageView};

/// What a plan changes. A package whose version stays and whose artifact differs has the same
/// version on both sides.
pub(crate) fn planned_changes(before: &Generation, plan: &Plan) -> Vec<PackageChangeView> {
    let old: BTreeMap<&PackageName, _> = before
        .packages
        .iter()
        .map(|package| (&package.name, package))
        .collect();
    let new: BTreeMap<&PackageName, _> = plan
        .packages
        .iter()
        .map(|planned| (&planned.name, planned))
        .collect();
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    names
        .into_iter()
        .filter_map(|name| {
            let (package, planned) = (old.get(name), new.get(name));
            if let (Some(package), Some(planned)) = (package, planned) {
                let sha256 = planned.artifact.file.sha256;
                let same_artifact = sha256.is_none() || sha256 == package.artifact.sha256;
                if package.version == planned.version && same_artifact && !planned.artifact.is_new()
                {
                    return None;
                }
            }
            Some(PackageChangeView {
                name: name.to_string(),
                before: package.map(|package| package.version.to_string()),
                after: planned.map(|planned| planned.version.to_string()),
            })
        })
        .collect()
}

/// What differs between two generations, by name.
pub(crate) fn changes_between(
    from: Option<&Generation>,
    to: &Generation,
) -> Vec<PackageChangeView> {
    changes(&Changes::between(from, to))
}

/// What differs between the packages of a generation and others, by name.
pub(crate) fn changes_to_packages(
    from: Option<&Generation>,
    to: &[Package],
) -> Vec<PackageChangeView> {
    let old = from
        .map(|from| from.packages.as_slice())
        .unwrap_or_default();
    let by_name = |packages: &[Package], name: &PackageName| {
        let found = packages.iter().find(|package| &package.name == name);
        found.map(|package| (package.version.to_string(), package.layer))
    };
    let names: BTreeSet<_> = old.iter().chain(to).map(|package| &package.name).collect();
    names
        .into_iter()
        .filter_map(|name| {
            let (before, after) = (by_name(old, name), by_name(to, name));
            (before != after).then(|| PackageChangeView {
                name: name.to_string(),
                before: before.map(|(version, _)| version),
                after: after.map(|(version, _)| version),
            })
        })
        .collect()
}

/// The store's summary of a change, by name.
pub(crate) fn changes(changes: &Changes) -> Vec<PackageChangeView> {
    let mut all: Vec<_> = changes
        .added
        .iter()
        .chain(&changes.removed)
        .chain(&changes.changed)
        .map(change)
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn change(change: &PackageChange) -> PackageChangeView {
    PackageChangeView {
        name: change.name.to_string(),
        before: change.before.as_ref().map(ToString::to_string),
        after: change.after.as_ref().map(ToString::to_string),
    }
}

/// One operation.
pub(crate) fn operation(operation: &Operation, state: &EnvState) -> OperationView {
    OperationView {
        id: operation.id.0,
        kind: kind(&operation.kind).to_owned(),
        summary: summary(operation),
        at_ms: operation.at_ms,
        duration_ms: u64::try_from(operation.duration_ms).unwrap_or(0),
        who: operation.who.clone(),
        command: operation.command.clone(),
        before: operation.before,
        after: operation.after,
        current: operation.id == state.operation,
        note: operation.note.clone(),
        changes: changes(&operation.changes),
    }
}

fn kind(kind: &OperationKind) -> &'static str {
    match kind {
        OperationKind::Create => "create",
        OperationKind::Install => "install",
        OperationKind::Update => "update",
        OperationKind::Remove => "remove",
        OperationKind::Sync => "sync",
        OperationKind::Revert { .. } => "revert",
        OperationKind::Undo { .. } => "undo",
        OperationKind::Redo { .. } => "redo",
        OperationKind::Load { .. } => "load",
        OperationKind::Save { .. } => "save",
        OperationKind::DeleteSnapshot { .. } => "delete-snapshot",
        OperationKind::Capture => "capture",
        OperationKind::LoadImage { .. } => "load-image",
    }
}

/// An operation in words: what it was, and the first packages that it touched.
pub(crate) fn summary(operation: &Operation) -> String {
    match &operation.kind {
        OperationKind::Revert { to } => format!("revert to {}", to.short()),
        OperationKind::Undo { of } => format!("undo operation {of}"),
        OperationKind::Redo { of } => format!("redo what operation {of} undid"),
        OperationKind::Load {
            snapshot,
            from: Some(env),
        } => format!("load {env}@{snapshot}"),
        OperationKind::Load {
            snapshot,
            from: None,
        } => format!("load {snapshot}"),
        OperationKind::Save { snapshot, .. } => format!("save {snapshot}"),
        OperationKind::LoadImage { image } => format!("load the image {}", image.short()),
        OperationKind::DeleteSnapshot { snapshot, .. } => format!("delete the snapshot {snapshot}"),
        other => {
            let names: Vec<_> = changes(&operation.changes)
                .into_iter()
                .map(|change| change.name)
                .collect();
            let verb = kind(other);
            match names.as_slice() {
                [] => verb.to_owned(),
                [first, second, _, _, ..] => {
                    format!("{verb} {first} {second} and {} more", names.len() - 2)
                }
                few => format!("{verb} {}", few.join(" ")),
            }
        }
    }
}

/// All packages of a generation.
pub(crate) fn packages(generation: &Generation) -> Vec<PackageView> {
    generation
        .packages
        .iter()
        .map(|package| PackageView {
            name: package.name.to_string(),
            version: package.version.to_string(),
            requested: package.requested,
            direct_url: package.direct_url.as_ref().map(|direct| direct.url.clone()),
            layer: package.layer.to_hex(),
            captured: package.artifact.captured,
        })
        .collect()
}
