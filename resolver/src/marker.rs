//! What is no marker, as one: `Requires-Python`, the tags of wheels, a target.
//!
//! Sources: PEP 425, 600 and 656 for tags; PEP 508 for the variables.

use std::ops::Bound;

use blast_types::{ExtraName, MarkerTree, Target, Version, VersionSpecifiers, pep508};
use uv_pep440::release_specifiers_to_ranges;
use version_ranges::Ranges;

/// The newest Python 3 that exists; an upper bound beyond it says nothing that anybody has tried.
const NEWEST_MINOR: u64 = 14;

/// A marker that is written in this file.
fn marker(text: &str) -> MarkerTree {
    pep508::marker(text).unwrap_or(MarkerTree::FALSE)
}

/// What is left of a marker once the extras that are asked for are known.
pub(crate) fn with_extras(marker: MarkerTree, extras: &[ExtraName]) -> MarkerTree {
    marker
        .simplify_extras_with(|extra| extras.contains(extra))
        .simplify_not_extras_with(|_| true)
}

/// The project's own `requires-python`, exactly.
pub(crate) fn of_project_python(specifiers: &VersionSpecifiers) -> MarkerTree {
    of_ranges(&release_specifiers_to_ranges(specifiers.clone()))
}

/// Which Pythons a distribution's `Requires-Python` means.
///
/// The lower bound counts exactly. Above it whole minor versions count: a gap such as `!=3.9.7`
/// splits nothing, and an upper bound beyond the newest Python is no bound.
pub(crate) fn of_requires_python(specifiers: &VersionSpecifiers) -> MarkerTree {
    let stated = release_specifiers_to_ranges(specifiers.clone());
    let minor = |minor: u64| Version::new([3, minor]);
    let mut meant = Ranges::empty();
    let old = Ranges::strictly_lower_than(minor(0)).intersection(&stated);
    if !old.is_empty() {
        meant = Ranges::strictly_lower_than(minor(0));
    }
    let mut reaches_newest = false;
    for number in 0..=NEWEST_MINOR {
        let segment = Ranges::between(minor(number), minor(number + 1));
        let part = segment.intersection(&stated);
        if let Some((low, _)) = part.iter().next() {
            let from = from(low);
            meant = meant.union(&from.intersection(&segment));
        }
        reaches_newest = !part.is_empty();
    }
    let future = Ranges::higher_than(minor(NEWEST_MINOR + 1));
    if reaches_newest {
        meant = meant.union(&future);
    } else if let Some((low, _)) = future.intersection(&stated).iter().next() {
        meant = meant.union(&from(low));
    }
    of_ranges(&meant)
}

fn from(low: Bound<&Version>) -> Ranges<Version> {
    Ranges::from_range_bounds::<_, Version>((low.cloned(), Bound::Unbounded))
}

fn of_ranges(ranges: &Ranges<Version>) -> MarkerTree {
    let mut any = MarkerTree::FALSE;
    for (low, high) in ranges.iter() {
        let mut all = MarkerTree::TRUE;
        let bounds = [
            match low {
                Bound::Unbounded => None,
                Bound::Included(version) => Some((">=", version)),
                Bound::Excluded(version) => Some((">", version)),
            },
            match high {
                Bound::Unbounded => None,
                Bound::Included(version) => Some(("<=", version)),
                Bound::Excluded(version) => Some(("<", version)),
            },
        ];
        for (operator, version) in bounds.into_iter().flatten() {
            let version = version.only_release();
            all = all.and(marker(&format!(
                "python_full_version {operator} '{version}'"
            )));
        }
        any = any.or(all);
    }
    any
}

/// How new a Python a marker admits: the greater, the newer.
pub(crate) fn newest_minor(region: MarkerTree) -> u64 {
    let admits = |number: &u64| {
        let low = Version::new([3, *number]);
        let segment = if *number > NEWEST_MINOR {
            Ranges::higher_than(low)
        } else {
            Ranges::between(low, Version::new([3, number + 1]))
        };
        !region.is_disjoint(of_ranges(&segment))
    };
    (0..=NEWEST_MINOR + 1).rev().find(admits).unwrap_or(0)
}

/// The environments that are like a target: its platform, implementation and minor Python.
pub(crate) fn of_target(target: &Target) -> MarkerTree {
    let markers = &target.markers;
    marker(&format!(
        "sys_platform == '{}' and platform_machine == '{}' and platform_python_implementation == \
         '{}' and python_version == '{}'",
        markers.sys_platform(),
        markers.platform_machine(),
        markers.platform_python_implementation(),
        markers.python_version(),
    ))
}

/// The part of a wheel's name that says where it fits: `cp39-cp39-win_amd64`.
pub(crate) fn tags_of(filename: &str) -> String {
    let stem = filename.strip_suffix(".whl").unwrap_or(filename);
    let mut parts: Vec<&str> = stem.rsplitn(4, '-').take(3).collect();
    parts.reverse();
    parts.join("-")
}

/// Where a wheel with these tags can be installed, as far as markers can tell: they know neither
/// the C library's version nor a free-threaded build.
pub(crate) fn of_tags(tags: &str) -> MarkerTree {
    let mut parts = tags.split('-');
    let (Some(pythons), Some(abis), Some(platforms)) = (parts.next(), parts.next(), parts.next())
    else {
        return MarkerTree::FALSE;
    };
    let any = |texts: &str, meaning: &dyn Fn(&str) -> MarkerTree| {
        texts
            .split('.')
            .map(meaning)
            .fold(MarkerTree::FALSE, MarkerTree::or)
    };
    let stable = abis.split('.').any(|abi| abi == "abi3");
    any(pythons, &|tag| of_python_tag(tag, stable)).and(any(platforms, &of_platform_tag))
}

fn of_python_tag(tag: &str, stable: bool) -> MarkerTree {
    let Some(digits) = tag.get(2..) else {
        return MarkerTree::FALSE;
    };
    let version = match digits.split_at_checked(1) {
        Some(("3", "")) => None,
        Some(("3", minor)) => match minor.parse::<u64>() {
            Ok(minor) => Some(minor),
            Err(_) => return MarkerTree::FALSE,
        },
        _ => return MarkerTree::FALSE,
    };
    let later = |minor| of_ranges(&Ranges::higher_than(Version::new([3, minor])));
    let exactly = |minor| {
        let bounds = [minor, minor + 1].map(|minor| Version::new([3, minor]));
        let [low, high] = bounds;
        of_ranges(&Ranges::between(low, high))
    };
    match (tag.get(..2), version) {
        (Some("py"), None) => MarkerTree::TRUE,
        (Some("py"), Some(minor)) => later(minor),
        (Some("cp"), None) => marker("platform_python_implementation == 'CPython'"),
        (Some("cp"), Some(minor)) => {
            let versions = if stable { later(minor) } else { exactly(minor) };
            versions.and(marker("platform_python_implementation == 'CPython'"))
        }
        (Some("pp"), Some(minor)) => {
            exactly(minor).and(marker("platform_python_implementation == 'PyPy'"))
        }
        _ => MarkerTree::FALSE,
    }
}

fn of_platform_tag(tag: &str) -> MarkerTree {
    let on = |system: &str, machines: &[&str]| {
        let any = machines
            .iter()
            .map(|machine| marker(&format!("platform_machine == '{machine}'")))
            .fold(MarkerTree::FALSE, MarkerTree::or);
        any.and(marker(&format!("sys_platform == '{system}'")))
    };
    match tag {
        "any" => return MarkerTree::TRUE,
        "win32" => return on("win32", &["x86", "AMD64"]),
        "win_amd64" => return on("win32", &["AMD64", "x86_64"]),
        "win_arm64" => return on("win32", &["ARM64", "arm64"]),
        _ => {}
    }
    if let Some(rest) = tag.strip_prefix("macosx_") {
        return match rest.splitn(3, '_').nth(2) {
            Some("universal2") => on("darwin", &["x86_64", "arm64"]),
            Some("intel") => on("darwin", &["x86_64"]),
            Some(machine) => on("darwin", &[machine]),
            None => MarkerTree::FALSE,
        };
    }
    if tag.contains("linux") {
        const MACHINES: [&str; 10] = [
            "x86_64",
            "aarch64",
            "i686",
            "armv7l",
            "armv6l",
            "ppc64le",
            "ppc64",
            "s390x",
            "riscv64",
            "loongarch64",
        ];
        let machine = MACHINES
            .iter()
            .find(|machine| tag.ends_with(&format!("_{machine}")));
        return machine.map_or(MarkerTree::FALSE, |machine| on("linux", &[machine]));
    }
    MarkerTree::FALSE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pythons(specifiers: &str) -> String {
        of_requires_python(&specifiers.parse().unwrap())
            .try_to_string()
            .unwrap_or_else(|| "any".to_owned())
    }

    #[test]
    fn lower_bounds_count_exactly_and_gaps_do_not() {
        assert_eq!(pythons(">=3.8.1"), "python_full_version >= '3.8.1'");
        assert_eq!(pythons(">=3.9,!=3.9.7"), "python_full_version >= '3.9'");
        assert_eq!(
            pythons(">=2.7, !=3.0.*, !=3.1.*"),
            "python_full_version < '3' or python_full_version >= '3.2'"
        );
    }

    #[test]
    fn upper_bounds_count_where_there_is_such_a_python() {
        assert_eq!(pythons(">=3.9,<4"), "python_full_version >= '3.9'");
        assert_eq!(
            pythons(">=3.9,<3.13"),
            "python_full_version >= '3.9' and python_full_version < '3.13'"
        );
        assert_eq!(
            pythons(">=3.9,<=3.12"),
            "python_full_version >= '3.9' and python_full_version < '3.13'"
        );
    }

    #[test]
    fn tags_are_the_last_three_parts_of_a_wheel_name() {
        assert_eq!(
            tags_of("a_b-1.0-2-cp39-cp39-win_amd64.whl"),
            "cp39-cp39-win_amd64"
        );
        assert_eq!(tags_of("x.whl"), "x");
    }

    #[test]
    fn wheels_are_told_by_python_and_platform() {
        let of = |tags: &str| of_tags(tags).try_to_string();
        assert_eq!(of("py3-none-any"), None);
        assert_eq!(of("py2.py3-none-any"), None);
        let text = of("cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64").unwrap();
        assert!(text.contains("python_full_version >= '3.9'"), "{text}");
        assert!(text.contains("platform_machine == 'x86_64'"), "{text}");
        assert!(text.contains("sys_platform == 'linux'"), "{text}");
        assert!(of_tags("py2-none-any").is_false());
        assert!(of_tags("nonsense").is_false());
        let apart = of_tags("cp312-cp312-win_amd64");
        assert!(apart.is_disjoint(of_tags("cp312-cp312-macosx_11_0_arm64")));
        assert!(apart.is_disjoint(of_tags("cp311-cp311-win_amd64")));
    }

    #[test]
    fn the_newest_python_of_a_region_is_found() {
        assert_eq!(newest_minor(MarkerTree::TRUE), NEWEST_MINOR + 1);
        assert_eq!(newest_minor(marker("python_version < '3.10'")), 9);
    }
}
