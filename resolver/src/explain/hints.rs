//! Ways out of a conflict, from its facts.

use blast_types::{PackageName, Version, versions};
use jiff::{Timestamp, ToSpan as _};

use super::remedy::{Remedy, RemedyKind};
use super::trial::Trial;
use super::{Fact, Versions, bounds};
use crate::inputs::PrereleaseMode;
use crate::reason::Reason;
use crate::solver::Solver;

/// Minor versions of Python 3 that a hint may propose.
const PYTHONS: std::ops::RangeInclusive<u64> = 8..=14;

/// Ways out for these facts, without repetition, the most promising first.
pub(super) fn remedies(solver: &Solver<'_>, facts: &[Fact]) -> Vec<Remedy> {
    let mut remedies = Vec::from_iter(other_python(facts));
    if solver.policy().scope.as_region().is_some() {
        // A region has Pythons of its own, and its trial would be the same again.
        for remedy in &mut remedies {
            remedy.trials.clear();
        }
    }
    remedies.extend(bounds::remedies(solver, facts));
    for fact in facts {
        let remedy = match fact {
            Fact::NotFound { package } => {
                let text = format!(
                    "check the spelling of `{package}`, and whether the index in use has it"
                );
                Some(Remedy::new(RemedyKind::Index, package.as_ref(), text))
            }
            Fact::NotCached { package } => Some(online(package.as_ref())),
            Fact::Unusable {
                package,
                versions,
                why,
            } => unusable(solver, package.as_ref(), versions, why),
            Fact::Asked { .. }
            | Fact::Depends { .. }
            | Fact::DependsVariously { .. }
            | Fact::NoneInRange { .. }
            | Fact::Quarantined { .. } => None,
        };
        if let Some(remedy) = remedy
            && !remedies.iter().any(|known| known.text == remedy.text)
        {
            remedies.push(remedy);
        }
    }
    remedies
}

fn online(package: &str) -> Remedy {
    let text = "try again without --offline".to_owned();
    Remedy::new(RemedyKind::Option, package, text).option("--offline")
}

fn unusable(
    solver: &Solver<'_>,
    package: &str,
    versions: &Versions,
    why: &Reason,
) -> Option<Remedy> {
    let words = &versions.words;
    let name: Option<PackageName> = package.parse().ok();
    let remedy = |kind, text| Remedy::new(kind, package, text).range(versions.range.clone());
    Some(match why {
        Reason::Tags(_) => {
            let (major, minor) = solver.policy().tags().python_version();
            remedy(
                RemedyKind::Platform,
                format!(
                    "`{package}` has neither a wheel for Python {major}.{minor} on this platform \
                     nor a source distribution: another Python version may have one"
                ),
            )
        }
        Reason::Yanked(_) => remedy(
            RemedyKind::Pin,
            format!("a withdrawn version is used where `{package}==VERSION` pins it"),
        ),
        Reason::Prerelease => {
            let (mode, option) = match solver.policy().inputs.options.prereleases {
                // Another mode is what excludes them; the mildest one that does not is proposed.
                PrereleaseMode::Disallow | PrereleaseMode::Explicit => {
                    (PrereleaseMode::IfNecessary, "--prerelease if-necessary")
                }
                PrereleaseMode::IfNecessary | PrereleaseMode::Allow => {
                    (PrereleaseMode::Allow, "--prerelease allow")
                }
            };
            remedy(
                RemedyKind::Prerelease,
                format!("`{option}` would admit {words}"),
            )
            .option(option)
            .tried_by([Trial::Prereleases(mode)])
        }
        Reason::TooNew => too_new(solver, package, versions)?,
        Reason::NoUploadTime => {
            let option = format!("--exclude-newer-package {package}=false");
            remedy(
                RemedyKind::Date,
                format!("the index does not say when it was uploaded: `{option}` exempts it"),
            )
            .option(option)
            .tried_by(name.map(|name| Trial::Uploaded(name, None)))
        }
        Reason::Constraint(text) => Remedy::new(
            RemedyKind::Constraint,
            package,
            format!("relax or drop the constraint `{text}`"),
        )
        .range(text.clone())
        .tried_by(name.map(Trial::Unconstrained)),
        Reason::OnlyBinary | Reason::NoBinary => {
            let option = if *why == Reason::NoBinary {
                "--no-binary"
            } else {
                "--only-binary"
            };
            remedy(
                RemedyKind::Option,
                format!("drop `{option}` for `{package}`"),
            )
            .option(option)
            .tried_by(name.map(Trial::AnyFiles))
        }
        Reason::NotCached => online(package),
        Reason::NoFiles
        | Reason::Python { .. }
        | Reason::OtherUrl
        | Reason::Metadata(_)
        | Reason::RequiresItself(_) => return None,
    })
}

/// The day from which on one of these versions would be taken.
fn too_new(solver: &Solver<'_>, package: &str, versions: &Versions) -> Option<Remedy> {
    let name = package.parse().ok()?;
    let project = solver.known(&name)?;
    let policy = solver.policy();
    let concerned = versions::specifiers(&versions.range).ok()?;
    let oldest = project
        .members(&pubgrub::VersionSet::full())
        .filter(|rank| concerned.contains(project.version(*rank)))
        .map(|rank| project.release(rank))
        .filter(|release| release.reason(&name, policy) == Some(Reason::TooNew))
        .filter_map(|release| {
            let files = release.origin.files().iter();
            let uploaded = files.filter_map(|file| file.upload_time_ms).min()?;
            Some((uploaded, release.version.clone()))
        })
        .min()?;
    let uploaded = Timestamp::from_millisecond(oldest.0).ok()?;
    // The day after is later than the upload in every time zone.
    let later = uploaded.to_zoned(jiff::tz::TimeZone::UTC);
    let day = later.date().checked_add(1.day()).ok()?;
    let end = later.checked_add(2.days()).ok()?.timestamp();
    let option = format!("--exclude-newer-package {package}={day}");
    let text = format!("`{option}` would admit {package} {}", oldest.1);
    Some(
        Remedy::new(RemedyKind::Date, package, text)
            .range(format!("=={}", oldest.1))
            .option(option)
            .tried_by([Trial::Uploaded(name, Some(end.as_millisecond()))]),
    )
}

/// The other Python nearest to the present one that would admit one of the versions.
fn other_python(facts: &[Fact]) -> Option<Remedy> {
    let proposals = facts.iter().filter_map(|fact| match fact {
        Fact::Unusable {
            package,
            versions,
            why: Reason::Python { needs, has },
        } => {
            let (distance, minor) = nearest(needs, has)?;
            Some((distance, minor, package, versions))
        }
        _ => None,
    });
    let (_, minor, package, versions) = proposals.min_by_key(|(distance, ..)| *distance)?;
    let text = format!(
        "{} would be usable with another Python: try --python 3.{minor}",
        versions.words
    );
    Some(
        Remedy::new(RemedyKind::Python, package.as_ref(), text)
            .range(versions.range.clone())
            .option(format!("--python 3.{minor}"))
            .tried_by(u8::try_from(minor).ok().map(Trial::Python)),
    )
}

/// The nearest other minor version of Python 3 that a specifier admits, and how far it is.
fn nearest(needs: &str, has: &str) -> Option<(u64, u64)> {
    let specifiers = versions::specifiers(needs).ok()?;
    let has = versions::version(has).ok()?;
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
