//! A lock as a requirements file, or as a `pylock.toml` without what only blast reads.
//!
//! A requirements file cannot say "with this extra": the choice of extras and groups is made when
//! it is written, and what is left of the markers stands behind each line.

use std::fmt::Write as _;

use blast_resolver::lock::{Location, Lock, LockedFile, LockedPackage, LockedSource};
use blast_types::{ExtraName, GroupName, MarkerTree, pep508, versions};

use super::requirement::git_url;

/// Algorithms that pip takes hashes of.
const ALGORITHMS: [&str; 3] = ["sha256", "sha384", "sha512"];

/// What of a lock is wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chosen {
    /// Extras.
    pub(crate) extras: Vec<ExtraName>,
    /// Groups.
    pub(crate) groups: Vec<GroupName>,
}

/// A requirements file.
#[derive(Debug)]
pub(crate) struct Exported {
    /// The file.
    pub(crate) text: String,
    /// Packages in it.
    pub(crate) packages: usize,
    /// Packages in it that have no hash: pip then takes no hash of any, unless told to.
    pub(crate) without_hash: Vec<String>,
}

/// The lock as a requirements file of pip, with hashes and markers.
pub(crate) fn requirements(lock: &Lock, chosen: &Chosen) -> Exported {
    let mut text = String::from("# From a pylock.toml, by `blast lock --export requirements`.\n");
    if let Some(pythons) = &lock.requires_python {
        let pythons = versions::specifiers_text(pythons);
        let _ = writeln!(text, "# For Python {pythons}.");
    }
    let given = given(lock, chosen);
    let mut exported = Exported {
        text,
        packages: 0,
        without_hash: Vec::new(),
    };
    let mut packages: Vec<_> = lock.packages.iter().collect();
    packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    for package in packages {
        let marker = package.marker.and(given);
        if marker.is_false() {
            continue;
        }
        let marker = package.marker.restrict(given);
        add(package, marker, &mut exported);
    }
    exported
}

/// What is known of the lists of PEP 751 once the choice is made.
fn given(lock: &Lock, chosen: &Chosen) -> MarkerTree {
    let known = |name: &str, list: &str, is_in: bool| {
        let sign = if is_in { "in" } else { "not in" };
        pep508::marker(&format!("'{name}' {sign} {list}")).unwrap_or(MarkerTree::TRUE)
    };
    let extras = lock.extras.iter();
    let extras = extras.map(|name| known(name.as_ref(), "extras", chosen.extras.contains(name)));
    let groups = lock.dependency_groups.iter().map(|name| {
        let is_in = chosen.groups.contains(name);
        known(name.as_ref(), "dependency_groups", is_in)
    });
    extras.chain(groups).fold(MarkerTree::TRUE, MarkerTree::and)
}

fn add(package: &LockedPackage, marker: MarkerTree, exported: &mut Exported) {
    let mut line = package.name.to_string();
    let extras = package.known.as_ref().map(|known| &known.extras);
    if let Some(extras) = extras.filter(|extras| !extras.is_empty()) {
        let extras: Vec<_> = extras.iter().map(ToString::to_string).collect();
        let _ = write!(line, "[{}]", extras.join(","));
    }
    let mut files: Vec<&LockedFile> = Vec::new();
    match &package.source {
        LockedSource::Files { wheels, sdist } => {
            if let Some(version) = &package.version {
                let _ = write!(line, "=={version}");
            }
            files.extend(wheels.iter().chain(sdist));
        }
        LockedSource::Archive { file, subdirectory } => {
            let at = place(&file.location);
            let _ = write!(line, " @ {at}");
            if let Some(folder) = subdirectory {
                let _ = write!(line, "#subdirectory={folder}");
            }
            files.push(file);
        }
        LockedSource::Vcs {
            location,
            commit_id,
            subdirectory,
            ..
        } => {
            let url = git_url(place(location), Some(commit_id), subdirectory.as_deref());
            let _ = write!(line, " @ {url}");
        }
        // pip knows the name from the folder, and takes no name before a path.
        LockedSource::Directory { path, editable, .. } => {
            let editable = if *editable { "-e " } else { "" };
            let relative = if path.starts_with(['/', '.']) {
                ""
            } else {
                "./"
            };
            line = format!("{editable}{relative}{path}");
        }
    }
    if let Some(marker) = marker.try_to_string() {
        let _ = write!(line, " ; {marker}");
    }
    let mut hashes: Vec<String> = Vec::new();
    for file in files {
        for (algorithm, digest) in &file.hashes {
            if ALGORITHMS.contains(&algorithm.as_str()) {
                hashes.push(format!("{algorithm}:{digest}"));
            }
        }
    }
    hashes.sort();
    hashes.dedup();
    if hashes.is_empty() {
        exported.without_hash.push(package.name.to_string());
    }
    for hash in hashes {
        let _ = write!(line, " \\\n    --hash={hash}");
    }
    exported.packages += 1;
    exported.text += &line;
    exported.text.push('\n');
}

fn place(location: &Location) -> &str {
    match location {
        Location::Url(text) | Location::Path(text) | Location::Either { url: text, .. } => text,
    }
}

/// The lock as PEP 751 has it, without the tables that only blast reads.
pub(crate) fn pylock(mut lock: Lock) -> String {
    lock.made_from = None;
    for package in &mut lock.packages {
        package.known = None;
    }
    lock.to_string()
}
