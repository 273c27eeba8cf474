//! Names inside a wheel: which are safe, which folder is the `.dist-info`, and where a member goes.

use std::collections::HashSet;
use std::str::FromStr as _;

use blast_types::{PackageName, WheelFilename, versions};

use super::error::WheelProblem;

/// Which of an environment's folders a member is installed into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum InstallRoot {
    /// Pure modules.
    Purelib,
    /// Extension modules.
    Platlib,
    /// Scripts.
    Scripts,
    /// Headers; below it, a folder of the distribution's name.
    Headers,
    /// The prefix itself.
    Data,
}

/// Where a member is installed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InstallPath {
    /// The folder.
    pub root: InstallRoot,
    /// Path below it, `/`-separated; no component is empty, `.` or `..`.
    pub path: String,
}

/// Longest file name of Linux file systems, in bytes.
const LONGEST_NAME: usize = 255;

/// Refuses names that would leave the folder they are unpacked into, on any system, and names
/// that no file can have.
pub(crate) fn check_name(name: &str) -> Result<(), WheelProblem> {
    let refuse = |why| Err(WheelProblem::UnsafeName(why));
    if name.is_empty() {
        return refuse("it is empty");
    }
    if name.contains('\0') {
        return refuse("it holds a NUL");
    }
    if name.contains('\\') {
        return refuse("it holds a backslash");
    }
    if name.starts_with('/') {
        return refuse("it is absolute");
    }
    let bytes = name.as_bytes();
    if bytes[0].is_ascii_alphabetic() && bytes.get(1) == Some(&b':') {
        return refuse("it begins with a drive");
    }
    for part in name.strip_suffix('/').unwrap_or(name).split('/') {
        match part {
            "" => return refuse("a part of it is empty"),
            "." => return refuse("a part of it is `.`"),
            ".." => return refuse("a part of it is `..`"),
            _ if part.len() > LONGEST_NAME => return refuse("a part of it is too long"),
            _ => {}
        }
    }
    Ok(())
}

/// Finds a name that is a file twice, or a file and a folder.
pub(crate) fn find_duplicate<'a>(files: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let mut seen = HashSet::new();
    let mut folders = HashSet::new();
    for file in files.clone() {
        if !seen.insert(file) {
            return Some(file);
        }
        for (at, _) in file.rmatch_indices('/') {
            if !folders.insert(&file[..at]) {
                break;
            }
        }
    }
    files.into_iter().find(|file| folders.contains(file))
}

/// Whether a top folder is the `.dist-info` of this wheel: spelling may differ, meaning may not.
pub(crate) fn is_dist_info_of(folder: &str, wheel: &WheelFilename) -> bool {
    folder
        .strip_suffix(".dist-info")
        .is_some_and(|stem| names(stem, wheel))
}

fn names(stem: &str, wheel: &WheelFilename) -> bool {
    // A version has no hyphen in its normal form, so the last one divides.
    stem.rsplit_once('-').is_some_and(|(name, version)| {
        PackageName::from_str(name).is_ok_and(|name| name == wheel.name)
            && versions::version(version).is_ok_and(|version| version == wheel.version)
    })
}

/// The one `.dist-info` folder of a wheel.
pub(crate) fn find_dist_info<'a>(
    files: impl Iterator<Item = &'a str>,
    wheel: &WheelFilename,
) -> Result<String, WheelProblem> {
    let mut found: Option<&str> = None;
    for folder in files.filter_map(|file| Some(file.split_once('/')?.0)) {
        if !folder.ends_with(".dist-info") || found == Some(folder) {
            continue;
        }
        if let Some(other) = found {
            let text = format!("it has several .dist-info folders: `{other}` and `{folder}`");
            return Err(WheelProblem::DistInfo(text));
        }
        found = Some(folder);
    }
    let Some(folder) = found else {
        return Err(WheelProblem::DistInfo(
            "it has no .dist-info folder".to_owned(),
        ));
    };
    if is_dist_info_of(folder, wheel) {
        return Ok(folder.to_owned());
    }
    let (name, version) = (&wheel.name, &wheel.version);
    let text = format!("its folder `{folder}` is not that of {name} {version}");
    Err(WheelProblem::DistInfo(text))
}

/// Where a member goes: `.data` folders lead to their scheme, everything else to the root's.
pub(crate) fn install_path(
    name: &str,
    wheel: &WheelFilename,
    root: InstallRoot,
) -> Result<InstallPath, WheelProblem> {
    let data = name.split_once('/').filter(|(top, _)| {
        top.strip_suffix(".data")
            .is_some_and(|stem| names(stem, wheel))
    });
    let Some((_, below)) = data else {
        return Ok(InstallPath {
            root,
            path: name.to_owned(),
        });
    };
    let Some((scheme, path)) = below.split_once('/') else {
        return Err(WheelProblem::Scheme(below.to_owned()));
    };
    let root = match scheme {
        "purelib" => InstallRoot::Purelib,
        "platlib" => InstallRoot::Platlib,
        "scripts" => InstallRoot::Scripts,
        "headers" => InstallRoot::Headers,
        "data" => InstallRoot::Data,
        other => return Err(WheelProblem::Scheme(other.to_owned())),
    };
    Ok(InstallPath {
        root,
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wheel() -> WheelFilename {
        "my_demo-1.0.0-py3-none-any.whl"
            .parse()
            .expect("a wheel name")
    }

    #[test]
    fn unsafe_names_are_refused() {
        let long = "x".repeat(256);
        for name in [
            "", "/a", "../a", "a/../b", "a/..", "a\\b", "c:/a", "C:a", "a\0b", "a//b", "./a",
            "a/./b", "//", "/", &long,
        ] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for name in ["a", "a/b.py", "a/", "..a/b..", "ab:c", "ä/…", &long[1..]] {
            assert!(check_name(name).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn duplicates_are_found_between_files_and_folders() {
        let find = |names: &[&'static str]| find_duplicate(names.iter().copied());
        assert_eq!(find(&["a/b", "a/c", "b"]), None);
        assert_eq!(find(&["a/b", "a/b"]), Some("a/b"));
        assert_eq!(find(&["a", "a/b/c"]), Some("a"));
        assert_eq!(find(&["a/b/c/d", "a/b"]), Some("a/b"));
    }

    #[test]
    fn dist_info_may_be_spelled_otherwise_but_must_mean_the_same() {
        let find = |names: &[&'static str]| find_dist_info(names.iter().copied(), &wheel()).ok();
        assert_eq!(
            find(&["My.Demo-1.dist-info/X"]).as_deref(),
            Some("My.Demo-1.dist-info")
        );
        assert_eq!(find(&["a/my_demo-1.0.0.dist-info/X"]), None);
        assert_eq!(find(&["my_demo-1.0.1.dist-info/X"]), None);
        assert_eq!(find(&["demo-1.0.0.dist-info/X"]), None);
        assert_eq!(
            find(&["my_demo-1.0.0.dist-info/X", "other-1.dist-info/X"]),
            None
        );
    }

    #[test]
    fn data_folders_lead_to_their_scheme() {
        let to = |name| install_path(name, &wheel(), InstallRoot::Platlib);
        let path = to("my_demo-1.0.0.data/scripts/run").expect("known");
        assert_eq!(
            (path.root, path.path.as_str()),
            (InstallRoot::Scripts, "run")
        );
        let path = to("my_demo/x.so").expect("known");
        assert_eq!(
            (path.root, path.path.as_str()),
            (InstallRoot::Platlib, "my_demo/x.so")
        );
        assert_eq!(
            to("other.data/x").expect("a folder like any").root,
            InstallRoot::Platlib
        );
        assert!(to("my_demo-1.0.0.data/lib/x").is_err() && to("my_demo-1.0.0.data/x").is_err());
    }
}
