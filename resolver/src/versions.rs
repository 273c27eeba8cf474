//! Which versions a set of specifiers admits. Pre-releases are no matter here: whether they are
//! wanted is the policy's business.

use blast_types::{Version, VersionSpecifiers};
use uv_pep440::Operator;
use version_ranges::Ranges;

/// The range of the versions that specifiers admit; that of `===` holds all spellings of a
/// version, see [`admits_spelling`].
pub(crate) fn range(specifiers: &VersionSpecifiers) -> Ranges<Version> {
    Ranges::from(specifiers.clone())
}

/// Whether there is a `===` among specifiers.
pub(crate) fn asks_for_spelling(specifiers: &VersionSpecifiers) -> bool {
    specifiers
        .iter()
        .any(|specifier| *specifier.operator() == Operator::ExactEqual)
}

/// Whether a version, whose range was looked at already, is spelt as the `===` among the
/// specifiers want it.
pub(crate) fn admits_spelling(specifiers: &VersionSpecifiers, version: &Version) -> bool {
    let mut exact = specifiers
        .iter()
        .filter(|specifier| *specifier.operator() == Operator::ExactEqual);
    exact.all(|specifier| specifier.contains(version))
}

/// Whether the resolver may choose a version by these specifiers.
pub fn admits(specifiers: &VersionSpecifiers, version: &Version) -> bool {
    range(specifiers).contains(version) && admits_spelling(specifiers, version)
}
