//! Writes into an environment that changed meanwhile: what the program did to the state that it saw is
//! done to the newer one, package by package, where the two do not touch the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use blast_store::{Generation, Package, WheelRecord};
use blast_types::PackageName;

use super::apply::Outcome;

/// What a conflict about files of no package is called.
const FILES: &str = "files that no package owns";

/// Three ways to look at one thing: as it was, as we left it, as others left it. `None` where both
/// changed it differently.
fn three_way<T: PartialEq + Copy>(base: T, ours: T, theirs: T) -> Option<T> {
    if ours == base || ours == theirs {
        Some(theirs)
    } else if theirs == base {
        Some(ours)
    } else {
        None
    }
}

/// Moves an outcome, which is that of changes to `base`, onto `theirs`; else the packages that both
/// changed. `record` gives the record of a package of theirs.
pub(super) fn onto(
    base: &Generation,
    ours: Outcome,
    theirs: &Generation,
    record: impl Fn(&PackageName) -> Option<Arc<WheelRecord>>,
) -> Result<Outcome, BTreeSet<String>> {
    let by_name = |packages: &[Package]| -> BTreeMap<PackageName, Package> {
        let packages = packages.iter();
        packages
            .map(|package| (package.name.clone(), package.clone()))
            .collect()
    };
    let (was, is) = (by_name(&base.packages), by_name(&theirs.packages));
    let mut left: BTreeMap<_, _> = ours
        .packages
        .into_iter()
        .map(|(package, record)| (package.name.clone(), (package, record)))
        .collect();
    let mut contested = BTreeSet::new();
    let mut packages = Vec::new();
    let names: BTreeSet<_> = was
        .keys()
        .chain(is.keys())
        .chain(left.keys())
        .cloned()
        .collect();
    for name in names {
        let ours = left.remove(&name);
        let own = ours.as_ref().map(|(package, _)| package);
        match three_way(was.get(&name), own, is.get(&name)) {
            None => drop(contested.insert(name.to_string())),
            Some(None) => {}
            Some(Some(package)) => {
                let package = package.clone();
                let own = ours.filter(|(own, _)| *own == package);
                match own.map(|(_, record)| record).or_else(|| record(&name)) {
                    Some(record) => packages.push((package, record)),
                    None => drop(contested.insert(name.to_string())),
                }
            }
        }
    }
    let captured = three_way(&base.captured, &ours.captured, &theirs.captured).cloned();
    if captured.is_none() {
        contested.insert(FILES.to_owned());
    }
    match captured {
        Some(captured) if contested.is_empty() => Ok(Outcome {
            packages,
            captured,
            requirements: requirements(base, &ours.requirements, theirs),
            fresh: ours.fresh,
            lost: ours.lost,
        }),
        _ => Err(contested),
    }
}

/// Theirs, without what we took out and with what we added.
fn requirements(base: &Generation, ours: &[String], theirs: &Generation) -> Vec<String> {
    let stays = |line: &&String| !base.requirements.contains(line) || ours.contains(line);
    let mut lines: Vec<String> = theirs.requirements.iter().filter(stays).cloned().collect();
    for line in ours {
        if !base.requirements.contains(line) && !lines.contains(line) {
            lines.push(line.clone());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_both_changed_differently_is_contested() {
        assert_eq!(three_way(1, 1, 2), Some(2));
        assert_eq!(three_way(1, 2, 1), Some(2));
        assert_eq!(three_way(1, 2, 2), Some(2));
        assert_eq!(three_way(1, 2, 3), None);
        assert_eq!(three_way(None, Some(1), None), Some(Some(1)));
        assert_eq!(three_way(Some(1), None, Some(2)), None);
    }
}
