//! Versions and version specifiers (PEP 440), read the way `packaging` reads them.
//!
//! Whatever text from a file or an index is to become a [`Version`] or [`VersionSpecifiers`] goes
//! through here. The library behind both reads most of it right; what it refuses or would stumble
//! over is settled before it is asked: empty members of a set are left out, `===` takes any text,
//! and of numbers at the end of the number space, whose successor is needed for a range and does not
//! exist, none is in a version. In a specifier they mean the largest number that one can have:
//! `<99999999999999999999` is said by people who want no limit.

use std::borrow::Cow;
use std::str::FromStr as _;

use uv_pep440::{Operator, Version, VersionPattern, VersionSpecifier, VersionSpecifiers};

/// Why a text is no version, specifier, marker or requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct SyntaxError {
    why: String,
}

impl SyntaxError {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self { why: why.into() }
    }
}

/// The largest number that a part of a version may have: of each one more must exist. The library
/// itself goes one further.
const LARGEST: u64 = u64::MAX - 2;

/// What, with the text in hexadecimal behind it, stands for a `===` whose text no version has. No
/// file can have it, since [`version`] refuses the number.
const ARBITRARY: &str = "18446744073709551614!0+x";

/// White space as Python's `str.strip` and `\s` understand it.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// Shows a text of unknown origin within a message.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 80;
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("`{}`", shown.escape_debug())
}

/// Reads a version.
///
/// # Errors
/// The text is no version of PEP 440, or holds a number of 64 bits or more.
pub fn version(text: &str) -> Result<Version, SyntaxError> {
    let parsed = Version::from_str(text.trim_matches(is_space))
        .map_err(|_| SyntaxError::new(format!("{} is no version", quoted(text))))?;
    if is_too_large(&parsed) {
        return Err(SyntaxError::new(format!(
            "the version {} holds too large a number",
            quoted(text)
        )));
    }
    Ok(parsed)
}

fn is_too_large(version: &Version) -> bool {
    let beyond = |number: u64| number > LARGEST;
    version.release().iter().copied().any(beyond)
        || [version.post(), version.dev(), Some(version.epoch())]
            .into_iter()
            .flatten()
            .chain(version.pre().map(|pre| pre.number))
            .any(beyond)
}

/// Reads a set of specifiers such as `>=1,<2`; the empty text is the set that admits everything.
///
/// # Errors
/// A member is no specifier of PEP 440.
pub fn specifiers(text: &str) -> Result<VersionSpecifiers, SyntaxError> {
    text.split(',')
        .map(|member| member.trim_matches(is_space))
        .filter(|member| !member.is_empty())
        .map(specifier)
        .collect()
}

/// Longest first, so that no operator is taken for the beginning of another.
const OPERATORS: [(&str, Operator); 8] = [
    ("===", Operator::ExactEqual),
    ("==", Operator::Equal),
    ("~=", Operator::TildeEqual),
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessThanEqual),
    (">=", Operator::GreaterThanEqual),
    ("<", Operator::LessThan),
    (">", Operator::GreaterThan),
];

/// Splits the operator off a specifier.
pub(crate) fn operator(text: &str) -> Option<(Operator, &str)> {
    OPERATORS
        .iter()
        .find_map(|(sign, operator)| Some((*operator, text.strip_prefix(sign)?)))
}

/// Reads one specifier without white space around it.
pub(crate) fn specifier(text: &str) -> Result<VersionSpecifier, SyntaxError> {
    let bad = || SyntaxError::new(format!("{} is no version specifier", quoted(text)));
    let (operator, rest) = operator(text).ok_or_else(bad)?;
    let rest = rest.trim_matches(is_space);
    if operator == Operator::ExactEqual {
        if rest.contains(|c: char| is_space(c) || matches!(c, ';' | ')')) {
            return Err(bad());
        }
        // It compares texts, and a version's text is its normal form.
        let exact = version(rest)
            .ok()
            .filter(|version| version.to_string() == rest.to_lowercase())
            .unwrap_or_else(|| arbitrary(rest));
        return VersionSpecifier::from_version(operator, exact).map_err(|_| bad());
    }
    let rest = without_larger_numbers(rest);
    let pattern = VersionPattern::from_str(&rest).map_err(|_| bad())?;
    VersionSpecifier::from_pattern(operator, pattern).map_err(|_| bad())
}

/// The text with the largest number in place of all that are larger.
fn without_larger_numbers(text: &str) -> Cow<'_, str> {
    // Shorter ones hold none.
    if text.len() < 19 {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let number = &rest[at..];
        let length = number.bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = number.split_at(length);
        shown.push_str(&rest[..at]);
        match number.parse::<u64>() {
            Ok(fits) if fits <= LARGEST => shown.push_str(number),
            _ => shown.push_str(&LARGEST.to_string()),
        }
        rest = behind;
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

/// The version that stands for a text that is none, behind `===`.
fn arbitrary(text: &str) -> Version {
    // What stands for a text stands for it when it is read again.
    if text.starts_with(ARBITRARY)
        && let Ok(version) = Version::from_str(text)
    {
        return version;
    }
    let text = format!("{ARBITRARY}{}", hex::encode(text));
    Version::from_str(&text).expect("an epoch, a number and a local part are a version")
}

/// The text behind a `===` that is no version.
fn arbitrary_text(specifier: &VersionSpecifier) -> Option<String> {
    if specifier.version().epoch() <= LARGEST {
        return None;
    }
    let version = specifier.version().to_string();
    let text = hex::decode(version.strip_prefix(ARBITRARY)?).ok()?;
    String::from_utf8(text).ok()
}

/// Specifiers as text that [`specifiers`] reads back: members by version, separated by commas.
pub fn specifiers_text(specifiers: &VersionSpecifiers) -> String {
    let member = |specifier: &VersionSpecifier| match arbitrary_text(specifier) {
        Some(text) => format!("==={text}"),
        None => specifier.to_string(),
    };
    specifiers.iter().map(member).collect::<Vec<_>>().join(", ")
}
