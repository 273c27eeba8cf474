//! File names of distributions (PEP 427, 625).

use std::collections::BTreeSet;
use std::str::FromStr as _;

use uv_distribution_filename::{SourceDistExtension, SourceDistFilename, WheelFilename};
use uv_normalize::PackageName;

use crate::versions::{SyntaxError, quoted, version};

/// Reads the name of a wheel. Tags mean the same in any case (PEP 425 writes them small).
///
/// # Errors
/// The text is no such name; beyond what the library refuses, a set of tags must have no empty
/// member (`py3.-none-any`), a Python's tag begins with a letter, and the project's name has no
/// run of underscores.
pub fn wheel(text: &str) -> Result<WheelFilename, SyntaxError> {
    let no_wheel = || SyntaxError::new(format!("{} is no name of a wheel", quoted(text)));
    let text = &with_small_tags(text);
    let parsed = WheelFilename::from_str(text).map_err(|_| no_wheel())?;
    let name = text.split('-').next().unwrap_or_default();
    let odd = |[pythons, abis, platforms]: [Vec<&str>; 3]| {
        let starts = |tag: &&str| tag.starts_with(|c: char| c.is_alphabetic() || c == '_');
        !pythons.iter().all(starts) || abis.iter().chain(&platforms).any(|tag| tag.is_empty())
    };
    if name.contains("__") || tag_sets(text).is_none_or(odd) {
        return Err(no_wheel());
    }
    // Numbers that the library takes and that cannot be compared are refused there.
    version(&parsed.version.to_string())?;
    Ok(parsed)
}

fn with_small_tags(text: &str) -> String {
    let Some(name) = text.strip_suffix(".whl") else {
        return text.to_owned();
    };
    let tags = name.rsplitn(4, '-').take(3).map(str::len).sum::<usize>() + 2;
    match name.len().checked_sub(tags) {
        Some(at) => format!("{}{}.whl", &name[..at], name[at..].to_lowercase()),
        None => text.to_owned(),
    }
}

/// The three sets of tags in a wheel's name: Pythons, ABIs, platforms.
fn tag_sets(filename: &str) -> Option<[Vec<&str>; 3]> {
    let mut parts = filename.strip_suffix(".whl")?.rsplit('-');
    let mut set = || Some(parts.next()?.split('.').collect());
    let (platforms, abis, pythons) = (set()?, set()?, set()?);
    Some([pythons, abis, platforms])
}

/// All tags that a wheel's name stands for, known or not: `py2.py3-none-any` for two.
pub fn tags(wheel: &WheelFilename) -> BTreeSet<String> {
    let mut tags = BTreeSet::new();
    let name = wheel.to_string();
    let Some([pythons, abis, platforms]) = tag_sets(&name) else {
        return tags;
    };
    for python in &pythons {
        for abi in &abis {
            for platform in &platforms {
                tags.insert(format!("{python}-{abi}-{platform}"));
            }
        }
    }
    tags
}

/// Reads the name of a source distribution, of a project where one is given. Without it, the name
/// ends at the last `-`.
///
/// # Errors
/// The text is no such name, or that of another project.
pub fn sdist(text: &str, project: Option<&PackageName>) -> Result<SourceDistFilename, SyntaxError> {
    let no_sdist = || {
        SyntaxError::new(format!(
            "{} is no name of a source distribution",
            quoted(text)
        ))
    };
    let extension = SourceDistExtension::from_path(text).map_err(|_| no_sdist())?;
    let parsed = match project {
        Some(project) => SourceDistFilename::parse(text, extension, project),
        None => SourceDistFilename::parsed_normalized_filename(text),
    };
    let parsed = parsed.map_err(|_| no_sdist())?;
    version(&parsed.version.to_string())?;
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_multiplied_out() {
        let wheel = wheel("a_b-1.0-2x-py2.py3-none.abi3-any.whl").expect("valid");
        let tags: Vec<_> = tags(&wheel).into_iter().collect();
        assert_eq!(
            tags,
            [
                "py2-abi3-any",
                "py2-none-any",
                "py3-abi3-any",
                "py3-none-any"
            ]
        );
    }

    #[test]
    fn tags_are_known_in_any_case() {
        let wheel = wheel("A_b-1.0RC1-CP311-None-ANY.whl").expect("valid");
        assert_eq!(
            tags(&wheel).into_iter().collect::<Vec<_>>(),
            ["cp311-none-any"]
        );
        assert_eq!(wheel.version.to_string(), "1.0rc1");
        assert!(super::wheel("é-É.whl").is_err());
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for text in [
            "a-1.0-py3-none-any.zip",
            "a-1.0-py3-none.whl",
            "a-1.0-py3.-none-any.whl",
            "a-1.0-py3-none-.any.whl",
            "a-1.0--none-any.whl",
            "a-1.0-x-py3-none-any.whl",
            "a#b-1.0-py3-none-any.whl",
            "a-1.0-3-none-any.whl",
            "a__b-1.0-py3-none-any.whl",
            "a-18446744073709551614.0-py3-none-any.whl",
            "-1.0-py3-none-any.whl",
        ] {
            assert!(wheel(text).is_err(), "{text}");
        }
        for text in [
            "a.tar.gz",
            "a-x.tar.gz",
            "a-1.0.xz",
            "-1.0.zip",
            ".tar.gz",
            "",
        ] {
            assert!(sdist(text, None).is_err(), "{text}");
        }
    }
}
