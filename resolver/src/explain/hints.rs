//! Ways out of a conflict, from its facts.

use std::str::FromStr as _;

use blast_types::{Version, VersionSpecifiers};

use super::Fact;
use crate::reason::Reason;
use crate::solver::Solver;

/// Minor versions of Python 3 that a hint may propose.
const PYTHONS: std::ops::RangeInclusive<u64> = 8..=14;

/// Hints for these facts, without repetition.
pub(super) fn hints(solver: &Solver<'_>, facts: &[Fact]) -> Vec<String> {
    let mut hints = Vec::from_iter(other_python(facts));
    for fact in facts {
        let hint = match fact {
            Fact::NotFound { package } => Some(format!(
                "check the spelling of `{package}`, and whether the index in use has it"
            )),
            Fact::NotCached { .. }
            | Fact::Unusable {
                why: Reason::NotCached,
                ..
            } => Some("try again without --offline".to_owned()),
            Fact::Unusable {
                package,
                versions,
                why,
            } => unusable(solver, package.as_ref(), &versions.words, why),
            Fact::Asked { .. }
            | Fact::Depends { .. }
            | Fact::DependsVariously { .. }
            | Fact::NoneInRange { .. } => None,
        };
        if let Some(hint) = hint
            && !hints.contains(&hint)
        {
            hints.push(hint);
        }
    }
    hints
}

fn unusable(solver: &Solver<'_>, package: &str, versions: &str, why: &Reason) -> Option<String> {
    match why {
        Reason::Tags(_) => {
            let tags = solver.policy().tags();
            let (major, minor) = tags.python_version();
            Some(format!(
                "`{package}` has neither a wheel for Python {major}.{minor} on this platform nor a \
                 source distribution: another Python version may have one"
            ))
        }
        Reason::Yanked(_) => Some(format!(
            "a withdrawn version is used where `{package}==VERSION` pins it"
        )),
        Reason::Prerelease => Some(format!("allow pre-releases to use {versions}")),
        Reason::TooNew => Some(format!("a later --exclude-newer would admit {versions}")),
        Reason::NoUploadTime => Some(format!(
            "the index does not say when it was uploaded: `--exclude-newer-package \
             {package}=false` exempts it"
        )),
        Reason::Constraint(text) => Some(format!("relax or drop the constraint `{text}`")),
        Reason::OnlyBinary | Reason::NoBinary => {
            Some(format!("lift --only-binary or --no-binary for `{package}`"))
        }
        Reason::NoFiles
        | Reason::Python { .. }
        | Reason::NotCached
        | Reason::OtherUrl
        | Reason::Metadata(_)
        | Reason::RequiresItself(_) => None,
    }
}

/// The other Python nearest to the present one that would admit one of the versions.
fn other_python(facts: &[Fact]) -> Option<String> {
    let proposals = facts.iter().filter_map(|fact| match fact {
        Fact::Unusable {
            versions,
            why: Reason::Python { needs, has },
            ..
        } => {
            let (distance, minor) = nearest(needs, has)?;
            Some((distance, minor, &versions.words))
        }
        _ => None,
    });
    let (_, minor, words) = proposals.min_by_key(|(distance, ..)| *distance)?;
    Some(format!(
        "{words} would be usable with another Python: try --python 3.{minor}"
    ))
}

/// The nearest other minor version of Python 3 that a specifier admits, and how far it is.
fn nearest(needs: &str, has: &str) -> Option<(u64, u64)> {
    let specifiers = VersionSpecifiers::from_str(needs).ok()?;
    let has = Version::from_str(has).ok()?;
    let present = has.release().get(1).copied()?;
    // The last patch release: a lower bound within a minor version is met by then.
    PYTHONS
        .filter(|minor| *minor != present)
        .filter(|minor| specifiers.contains(&Version::new([3, *minor, 99])))
        .map(|minor| (minor.abs_diff(present), minor))
        .min()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_python_that_fits_is_proposed() {
        assert_eq!(nearest(">=3.10", "3.9.2"), Some((1, 10)));
        assert_eq!(nearest("<3.12", "3.13.0"), Some((2, 11)));
        assert_eq!(nearest(">=3.30", "3.12.0"), None);
        assert_eq!(nearest("no specifier", "3.12.0"), None);
    }
}
