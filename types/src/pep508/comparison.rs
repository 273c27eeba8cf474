//! What one comparison of a marker means, by the rules of the dependency specifiers page and of
//! `packaging`, put in terms of the marker library.
//!
//! - `python_version`, `python_full_version`, `implementation_version` and `platform_release`
//!   compare as versions where the other side makes a specifier; else as texts.
//! - Texts know equality and `in`. `<=` and `>=` mean equality, `<` and `>` are false.
//! - What has no meaning at all is false.
//! - The variable may stand on the right: `'3.8' <= python_version`.
//!
//! Three simplifications, each of which the library forces: the releases of a kernel or system
//! (`platform_release`) are ordered as texts; `in` with a Python version asks for the versions
//! that the text can hold; pre-releases of Python count as their release.

use std::str::FromStr as _;

use uv_normalize::{ExtraName, GroupName};
use uv_pep440::{Operator, Version};
use uv_pep508::MarkerTree;

use crate::versions::{specifier, version};

/// A marker variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variable {
    PythonVersion,
    PythonFullVersion,
    ImplementationVersion,
    PlatformRelease,
    Extra,
    /// `extras` and `dependency_groups` of lock files (PEP 751).
    Extras,
    Groups,
    OsName,
    SysPlatform,
    PlatformSystem,
    PlatformVersion,
    PlatformMachine,
    PythonImplementation,
    ImplementationName,
}

impl Variable {
    pub(super) const ALL: [Self; 14] = [
        Self::PythonVersion,
        Self::PythonFullVersion,
        Self::ImplementationVersion,
        Self::PlatformRelease,
        Self::Extra,
        Self::Extras,
        Self::Groups,
        Self::OsName,
        Self::SysPlatform,
        Self::PlatformSystem,
        Self::PlatformVersion,
        Self::PlatformMachine,
        Self::PythonImplementation,
        Self::ImplementationName,
    ];

    /// The name, then the spellings of older days (PEP 345).
    pub(super) fn names(self) -> &'static [&'static str] {
        match self {
            Self::PythonVersion => &["python_version"],
            Self::PythonFullVersion => &["python_full_version"],
            Self::ImplementationVersion => &["implementation_version"],
            Self::PlatformRelease => &["platform_release"],
            Self::Extra => &["extra"],
            Self::Extras => &["extras"],
            Self::Groups => &["dependency_groups"],
            Self::OsName => &["os_name", "os.name"],
            Self::SysPlatform => &["sys_platform", "sys.platform"],
            Self::PlatformSystem => &["platform_system"],
            Self::PlatformVersion => &["platform_version", "platform.version"],
            Self::PlatformMachine => &["platform_machine", "platform.machine"],
            Self::PythonImplementation => &[
                "platform_python_implementation",
                "platform.python_implementation",
                "python_implementation",
            ],
            Self::ImplementationName => &["implementation_name"],
        }
    }

    fn name(self) -> &'static str {
        self.names()[0]
    }
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operand {
    Variable(Variable),
    Text(String),
}

/// How two sides are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Is(Operator),
    In,
    NotIn,
}

impl Sign {
    /// Longest first.
    pub(super) const COMPARING: [(&'static str, Self); 8] = [
        ("===", Self::Is(Operator::ExactEqual)),
        ("==", Self::Is(Operator::Equal)),
        ("~=", Self::Is(Operator::TildeEqual)),
        ("!=", Self::Is(Operator::NotEqual)),
        ("<=", Self::Is(Operator::LessThanEqual)),
        (">=", Self::Is(Operator::GreaterThanEqual)),
        ("<", Self::Is(Operator::LessThan)),
        (">", Self::Is(Operator::GreaterThan)),
    ];
}

/// A comparison of two sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Comparison {
    pub(super) left: Operand,
    pub(super) sign: Sign,
    pub(super) right: Operand,
}

impl Comparison {
    /// What it means.
    pub(super) fn tree(&self) -> MarkerTree {
        match (&self.left, &self.right) {
            (Operand::Variable(left), Operand::Text(right)) => {
                variable_first(*left, self.sign, right)
            }
            // The name on the right is taken as text, as `packaging` does.
            (Operand::Variable(left), Operand::Variable(right)) => {
                variable_first(*left, self.sign, right.name())
            }
            (Operand::Text(left), Operand::Variable(right)) => text_first(left, self.sign, *right),
            (Operand::Text(_), Operand::Text(_)) => MarkerTree::FALSE,
        }
    }
}

fn always(holds: bool) -> MarkerTree {
    if holds {
        MarkerTree::TRUE
    } else {
        MarkerTree::FALSE
    }
}

/// Hands a comparison that it knows to the library.
fn library(text: &str) -> MarkerTree {
    MarkerTree::from_str(text).unwrap_or(MarkerTree::FALSE)
}

/// `variable sign text` for the library. It writes texts between single quotes and has no escapes,
/// so a single quote must not get there; no value of any variable holds one.
fn plain(variable: Variable, sign: &str, text: &str) -> MarkerTree {
    let name = variable.name();
    if !text.contains('\'') {
        library(&format!("{name} {sign} '{text}'"))
    } else if matches!(sign, "in" | "not in") {
        // The other quote keeps apart what this one did.
        library(&format!("{name} {sign} '{}'", text.replace('\'', "\"")))
    } else {
        always(sign == "!=")
    }
}

fn negated_if(tree: MarkerTree, negated: bool) -> MarkerTree {
    if negated { tree.negate() } else { tree }
}

fn variable_first(variable: Variable, sign: Sign, text: &str) -> MarkerTree {
    match variable {
        // A set cannot stand on the left.
        Variable::Extras | Variable::Groups => MarkerTree::FALSE,
        Variable::Extra => match sign {
            Sign::Is(operator) => extra(operator, text),
            // Without extras the empty text is looked for, which is in every text.
            Sign::In => MarkerTree::TRUE,
            Sign::NotIn => MarkerTree::FALSE,
        },
        Variable::PythonVersion | Variable::PythonFullVersion | Variable::ImplementationVersion => {
            match sign {
                Sign::Is(operator) => version_first(variable, operator, text),
                Sign::In | Sign::NotIn => {
                    negated_if(version_within(variable, text), sign == Sign::NotIn)
                }
            }
        }
        Variable::PlatformRelease => match sign {
            Sign::Is(operator) => release_first(operator, text),
            Sign::In => plain(variable, "in", text),
            Sign::NotIn => plain(variable, "not in", text),
        },
        _ => match sign {
            Sign::Is(operator) => as_texts(variable, operator, text),
            Sign::In => plain(variable, "in", text),
            Sign::NotIn => plain(variable, "not in", text),
        },
    }
}

fn text_first(text: &str, sign: Sign, variable: Variable) -> MarkerTree {
    match (variable, sign) {
        (Variable::Extras, sign) => member(variable, sign, text, ExtraName::from_str(text).ok()),
        (Variable::Groups, sign) => member(variable, sign, text, GroupName::from_str(text).ok()),
        (Variable::Extra, Sign::Is(operator)) => extra(operator, text),
        // An extra whose name holds the text: for all that is known, the one of that name.
        (Variable::Extra, Sign::In) => extra(Operator::Equal, text),
        (Variable::Extra, Sign::NotIn) => extra(Operator::NotEqual, text),
        (
            Variable::PythonVersion | Variable::PythonFullVersion | Variable::ImplementationVersion,
            Sign::Is(operator),
        ) => version_last(text, operator, variable),
        (
            Variable::PythonVersion | Variable::PythonFullVersion | Variable::ImplementationVersion,
            Sign::In | Sign::NotIn,
        ) => negated_if(version_holding(variable, text), sign == Sign::NotIn),
        (Variable::PlatformRelease, Sign::Is(operator)) => {
            if version(text).is_err() {
                // Compared with a version, which the value may be, it is nothing.
                return if operator == Operator::Equal {
                    release_is(text)
                } else {
                    MarkerTree::FALSE
                };
            }
            match operator {
                Operator::TildeEqual => MarkerTree::FALSE,
                _ => release_first(turned(operator), text),
            }
        }
        (_, Sign::Is(operator)) => as_texts(variable, operator, text),
        (_, Sign::In | Sign::NotIn) => {
            let holds = if text.contains('\'') {
                MarkerTree::FALSE
            } else {
                library(&format!("'{text}' in {}", variable.name()))
            };
            negated_if(holds, sign == Sign::NotIn)
        }
    }
}

/// The operator with its sides changed over.
fn turned(operator: Operator) -> Operator {
    match operator {
        Operator::LessThan => Operator::GreaterThan,
        Operator::LessThanEqual => Operator::GreaterThanEqual,
        Operator::GreaterThan => Operator::LessThan,
        Operator::GreaterThanEqual => Operator::LessThanEqual,
        other => other,
    }
}

fn as_texts(variable: Variable, operator: Operator, text: &str) -> MarkerTree {
    match operator {
        Operator::Equal | Operator::LessThanEqual | Operator::GreaterThanEqual => {
            plain(variable, "==", text)
        }
        Operator::NotEqual => plain(variable, "!=", text),
        _ => MarkerTree::FALSE,
    }
}

fn extra(operator: Operator, text: &str) -> MarkerTree {
    let equal = match operator {
        Operator::Equal | Operator::LessThanEqual | Operator::GreaterThanEqual => true,
        Operator::NotEqual => false,
        _ => return MarkerTree::FALSE,
    };
    match ExtraName::from_str(text) {
        Ok(name) => negated_if(library(&format!("extra == '{name}'")), !equal),
        // No extra is called so; the empty name stands for none.
        Err(_) => always(equal == text.is_empty()),
    }
}

/// `text sign extras` and the like.
fn member(
    variable: Variable,
    sign: Sign,
    text: &str,
    name: Option<impl std::fmt::Display>,
) -> MarkerTree {
    let negated = match sign {
        Sign::In => false,
        Sign::NotIn => true,
        // A text is never equal to a set.
        Sign::Is(operator) => return always(operator == Operator::NotEqual),
    };
    debug_assert!(!text.is_empty() || name.is_none());
    let Some(name) = name else {
        return always(negated);
    };
    negated_if(
        library(&format!("'{name}' in {}", variable.name())),
        negated,
    )
}

/// `python_version >= '3.8'`: versions where operator and text make a specifier.
fn version_first(variable: Variable, operator: Operator, text: &str) -> MarkerTree {
    let sign = operator.to_string();
    let name = variable.name();
    match specifier(&format!("{sign}{text}")) {
        Ok(_) if operator == Operator::ExactEqual => spelt(variable, text.trim()),
        // No value has an epoch, so it lies before all that do.
        Ok(specifier) if specifier.version().epoch() > 0 => always(matches!(
            operator,
            Operator::LessThan | Operator::LessThanEqual | Operator::NotEqual
        )),
        // No value has a local part.
        Ok(specifier) if specifier.version().is_local() => always(operator == Operator::NotEqual),
        Ok(specifier) if is_before_release(specifier.version()) => {
            beside_release(variable, operator, specifier.version())
        }
        // So the library writes what is never true, and does not know it again.
        Ok(specifier)
            if operator == Operator::LessThan
                && specifier.version().release().iter().all(|part| *part == 0) =>
        {
            MarkerTree::FALSE
        }
        Ok(_) => library(&format!("{name} {sign} '{}'", text.trim())),
        // As text, it differs from every version.
        Err(_) => always(operator == Operator::NotEqual),
    }
}

/// Whether a version is a pre-release of the release that its numbers name.
fn is_before_release(version: &Version) -> bool {
    version.any_prerelease() && version.post().is_none()
}

/// `python_full_version <= '3.11.0a6'`: values count as releases, so none is a pre-release, and
/// one lies on this side of it or on that as it does of the release. The library looks at the
/// numbers alone, and would have 3.11.0 be that pre-release.
fn beside_release(variable: Variable, operator: Operator, version: &Version) -> MarkerTree {
    let sign = match operator {
        Operator::LessThan | Operator::LessThanEqual => Operator::LessThan,
        Operator::GreaterThan | Operator::GreaterThanEqual => Operator::GreaterThanEqual,
        Operator::TildeEqual => Operator::TildeEqual,
        other => return always(matches!(other, Operator::NotEqual | Operator::NotEqualStar)),
    };
    version_first(variable, sign, &version.only_release().to_string())
}

/// `python_version === '3.8'`: the value is this text, which a value can be.
fn spelt(variable: Variable, text: &str) -> MarkerTree {
    let parts = if variable == Variable::PythonVersion {
        2
    } else {
        3
    };
    match version(text) {
        Ok(version)
            if version.release().len() == parts
                && is_release(text)
                && version.to_string() == text =>
        {
            plain(variable, "==", text)
        }
        _ => MarkerTree::FALSE,
    }
}

/// `'3.8' <= python_version`: a specifier with the variable's value admits the text.
fn version_last(text: &str, operator: Operator, variable: Variable) -> MarkerTree {
    let Ok(version) = version(text) else {
        return MarkerTree::FALSE;
    };
    if version.epoch() > 0 {
        let after = matches!(
            operator,
            Operator::GreaterThan | Operator::GreaterThanEqual | Operator::NotEqual
        );
        return always(after);
    }
    // The values are specifiers here, and those without a local part do not look at one.
    let version = version.without_local();
    let text = match operator {
        Operator::ExactEqual => return spelt(variable, text),
        // `<` takes no pre-release of its version, `>` no post-release.
        Operator::LessThan if is_before_release(&version) => version.only_release().to_string(),
        Operator::GreaterThan if version.is_post() => version.only_release().to_string(),
        _ => version.to_string(),
    };
    match operator {
        Operator::TildeEqual => {
            // The value is at most the text, and equal in all parts but its own last one.
            let parts = if variable == Variable::PythonVersion {
                1
            } else {
                2
            };
            let stem: Vec<String> = (0..parts)
                .map(|at| version.release().get(at).copied().unwrap_or(0).to_string())
                .collect();
            let stem = stem.join(".");
            version_first(variable, Operator::LessThanEqual, &text).and(version_first(
                variable,
                Operator::Equal,
                &format!("{stem}.*"),
            ))
        }
        _ => version_first(variable, turned(operator), &text),
    }
}

/// Minor versions of Python that were and may be.
fn minors() -> impl Iterator<Item = (u64, u64)> {
    let two = (0..8).map(|minor| (2, minor));
    two.chain((0..100).map(|minor| (3, minor)))
}

/// `python_version in '3.8 3.9'`: the value is a part of the text.
fn version_within(variable: Variable, text: &str) -> MarkerTree {
    if variable == Variable::PythonVersion {
        let found = minors()
            .map(|(major, minor)| format!("{major}.{minor}"))
            .filter(|value| text.contains(value.as_str()));
        return any_of(variable, found);
    }
    // Whole versions that stand in the text apart from each other.
    let belongs = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+');
    let found = text
        .split(|c: char| !belongs(c))
        .filter(|part| part.len() <= 20 && is_release(part))
        .take(100)
        .map(str::to_owned);
    any_of(variable, found)
}

/// Whether a text is a version of nothing but numbers; others the library cannot show.
fn is_release(text: &str) -> bool {
    version(text).is_ok_and(|version| version == version.only_release())
}

/// `'3.' in python_version`: the value holds the text.
fn version_holding(variable: Variable, text: &str) -> MarkerTree {
    if text.is_empty() {
        return MarkerTree::TRUE;
    }
    if variable == Variable::PythonVersion {
        let found = minors()
            .map(|(major, minor)| format!("{major}.{minor}"))
            .filter(|value| value.contains(text));
        return any_of(variable, found);
    }
    let whole = match version(text) {
        Ok(_) => version_first(variable, Operator::Equal, text),
        Err(_) => MarkerTree::FALSE,
    };
    // What lies between two dots cannot be said of all versions; the first two numbers can.
    let found = minors().filter(|(major, minor)| format!("{major}.{minor}.").contains(text));
    found.fold(whole, |tree, (major, minor)| {
        tree.or(version_first(
            variable,
            Operator::Equal,
            &format!("{major}.{minor}.*"),
        ))
    })
}

fn any_of(variable: Variable, values: impl Iterator<Item = String>) -> MarkerTree {
    let values: Vec<String> = values.collect();
    if values.is_empty() {
        return MarkerTree::FALSE;
    }
    library(&format!("{} in '{}'", variable.name(), values.join(" ")))
}

/// `platform_release >= '20'`. The library orders the releases as texts and writes bounds wherever
/// an order and an equality meet. A bound must be read again, which it is as a version only; so
/// nothing but versions is ever put in order.
fn release_first(operator: Operator, text: &str) -> MarkerTree {
    let variable = Variable::PlatformRelease;
    let sign = operator.to_string();
    if specifier(&format!("{sign}{text}")).is_err() {
        return match operator {
            Operator::Equal | Operator::LessThanEqual | Operator::GreaterThanEqual => {
                release_is(text)
            }
            Operator::NotEqual => release_is(text).negate(),
            _ => MarkerTree::FALSE,
        };
    }
    let text = text.trim();
    match operator {
        Operator::ExactEqual => release_is(text),
        Operator::TildeEqual => {
            let stem = text.rsplit_once('.').map_or(text, |(stem, _)| stem);
            plain(variable, ">=", text).and(begins_with(stem))
        }
        Operator::Equal | Operator::NotEqual => {
            let equal = match text.strip_suffix(".*") {
                Some(stem) => begins_with(stem),
                None => release_is(text),
            };
            negated_if(equal, operator == Operator::NotEqual)
        }
        _ => plain(variable, &sign, text),
    }
}

/// Whether a text can be a bound: `<` with it is read as a version.
fn is_bound(text: &str) -> bool {
    text.trim() == text && specifier(&format!("<{text}")).is_ok()
}

/// The release is this text. Of one that can be no bound it is said without an order: each is a
/// part of the other.
fn release_is(text: &str) -> MarkerTree {
    let variable = Variable::PlatformRelease;
    if text.contains('\'') {
        MarkerTree::FALSE
    } else if is_bound(text) {
        plain(variable, "==", text)
    } else {
        let holds = library(&format!("'{text}' in {}", variable.name()));
        plain(variable, "in", text).and(holds)
    }
}

/// Releases that are `stem` or continue it behind a dot with a digit, or with what a version can
/// have there; `rev` is the last of that.
fn begins_with(stem: &str) -> MarkerTree {
    let variable = Variable::PlatformRelease;
    let whole = release_is(stem);
    let (first, last) = (format!("{stem}.0"), format!("{stem}.rev9"));
    if !is_bound(&first) || !is_bound(&last) {
        return whole;
    }
    plain(variable, ">=", &first)
        .and(plain(variable, "<=", &last))
        .or(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_of_the_library() {
        for variable in Variable::ALL {
            for name in variable.names() {
                let text = match variable {
                    Variable::Extras | Variable::Groups => format!("'a' in {name}"),
                    _ => format!("{name} == '1'"),
                };
                assert!(MarkerTree::from_str(&text).is_ok(), "{text}");
            }
        }
    }
}
