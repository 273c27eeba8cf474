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
    let mut hints = Vec::new();
    for fact in facts {
        let hint = match fact {
            Fact::Unusable { package, versions, why } => {
                unusable(solver, package.as_ref(), &versions.words, why)
            }
            Fact::NotFound { package } => Some(format!(
                "check the spelling of `{package}`, and whether the index in use has it"
            )),
            Fact::NotCached { .. } => Some("try again without --offline".to_owned()),
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
        Reason::Python { needs, has } => other_python(needs, has).map(|python| {
            format!("{versions} would be usable with another Python: try --python {python}")
        }),
        Reason::Tags(_) => {
            let tags = solver.policy().tags();
            let (major, minor) = tags.python_version();
            Some(format!(
                "`{package}` has neither a wheel for Python {major}.{minor} on this platform nor a \
                 source distribution: another Python version may have one"
            ))
        }
        Reason::NeedsBuild => Some(format!(
            "allow versions of `{package}` that have a wheel for this Python and platform, or try \
             another Python version"
        )),
        Reason::Yanked(_) => {
            Some(format!("a withdrawn version is used where `{package}==VERSION` pins it"))
        }
        Reason::Prerelease => Some(format!("allow pre-releases to use {versions}")),
        Reason::TooNew => Some(format!("a later --exclude-newer would admit {versions}")),
        Reason::NoUploadTime => Some(
            "this index states no upload times, so that --exclude-newer excludes everything"
                .to_owned(),
        ),
        Reason::Constraint(text) => Some(format!("relax or drop the constraint `{text}`")),
        Reason::OnlyBinary | Reason::NoBinary => {
            Some(format!("lift --only-binary or --no-binary for `{package}`"))
        }
        Reason::NoFiles
        | Reason::OtherUrl
        | Reason::Metadata(_)
        | Reason::RequiresItself(_) => None,
    }
}

/// The Python version nearest to the present one that a specifier admits.
fn other_python(needs: &str, has: &str) -> Option<String> {
    let specifiers = VersionSpecifiers::from_str(needs).ok()?;
    let has = Version::from_str(has).ok()?;
    let present = has.release().get(1).copied()?;
    PYTHONS
        .filter(|minor| specifiers.contains(&Version::new([3, *minor, 99])))
        .min_by_key(|minor| minor.abs_diff(present))
        .map(|minor| format!("3.{minor}"))
}

#[cfg(test)]
mod tests {
    use super::other_python;

    #[test]
    fn the_nearest_python_that_fits_is_proposed() {
        assert_eq!(other_python(">=3.10", "3.9.2").as_deref(), Some("3.10"));
        assert_eq!(other_python("<3.12", "3.13.0").as_deref(), Some("3.11"));
        assert_eq!(other_python(">=3.30", "3.12.0"), None);
    }
}
