//! Version constraints of Poetry, and the tilde and star of others, as PEP 440 has them.
//!
//! Source: "Dependency specification" of Poetry's documentation.

use blast_types::{Version, versions};

/// Specifiers of PEP 440; empty: any version.
///
/// # Errors
/// What PEP 440 cannot say (`||`), and what is no constraint.
pub(super) fn specifiers(text: &str) -> Result<String, String> {
    if text.contains('|') {
        return Err("PEP 440 has no `or` between versions".to_owned());
    }
    let mut members = Vec::new();
    for part in text.split(',') {
        // `>=1 <2` and `>= 1`: a word that ends in an operator belongs to the next.
        let mut open = String::new();
        for word in part.split_whitespace() {
            open += word;
            if !open.ends_with(['=', '<', '>', '~', '^', '!']) {
                members.extend(one(&std::mem::take(&mut open))?);
            }
        }
        if !open.is_empty() {
            return Err(format!(
                "`{}` is no version constraint",
                open.escape_debug()
            ));
        }
    }
    let joined = members.join(",");
    versions::specifiers(&joined).map_err(|error| error.to_string())?;
    Ok(joined)
}

fn one(word: &str) -> Result<Vec<String>, String> {
    if word == "*" {
        return Ok(Vec::new());
    }
    if let Some(rest) = word.strip_prefix('^') {
        let version = version(rest)?;
        let release = version.release();
        // The first part that is not zero may not change; without one, the last that is given.
        let kept = release.iter().position(|part| *part != 0);
        return Ok(span(&version, kept.unwrap_or(release.len() - 1)));
    }
    if let Some(rest) = word.strip_prefix('~').filter(|rest| !rest.starts_with('=')) {
        let version = version(rest)?;
        return Ok(span(&version, usize::from(version.release().len() > 1)));
    }
    let is_operator = |c: char| matches!(c, '=' | '<' | '>' | '!' | '~');
    let (operator, rest) = word.split_at(word.len() - word.trim_start_matches(is_operator).len());
    let operator = match operator {
        "" | "=" => "==",
        other => other,
    };
    if rest == "*" && operator == "==" {
        return Ok(Vec::new());
    }
    Ok(vec![format!("{operator}{rest}")])
}

fn version(text: &str) -> Result<Version, String> {
    // `^1.*` is `^1`.
    versions::version(text.trim_end_matches(".*")).map_err(|error| error.to_string())
}

/// From a version up to the next change of one part of it, by position.
fn span(from: &Version, part: usize) -> Vec<String> {
    let mut upper: Vec<u64> = from.release().iter().take(part + 1).copied().collect();
    if let Some(last) = upper.last_mut() {
        *last = last.saturating_add(1);
    }
    let upper = Version::new(upper);
    let epoch = match from.epoch() {
        0 => String::new(),
        epoch => format!("{epoch}!"),
    };
    vec![format!(">={from}"), format!("<{epoch}{upper}")]
}

/// Constraints on the Python as a marker; empty: any Python.
pub(super) fn python_marker(text: &str) -> Result<String, String> {
    let specifiers = specifiers(text)?;
    let mut all = Vec::new();
    for member in specifiers.split(',').filter(|member| !member.is_empty()) {
        let end = member.len() - member.trim_start_matches(['=', '<', '>', '!', '~']).len();
        let (operator, version) = member.split_at(end);
        let parts = version.split('.').count();
        // `python_version` has two parts: it says the same only of whole minor versions.
        let variable = match operator {
            ">=" | "<" if parts <= 2 => "python_version",
            _ => "python_full_version",
        };
        all.push(format!("{variable} {operator} '{version}'"));
    }
    Ok(all.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carets_tildes_and_stars_become_spans() {
        for (poetry, pep440) in [
            ("^1.2.3", ">=1.2.3,<2"),
            ("^1.2", ">=1.2,<2"),
            ("^1", ">=1,<2"),
            ("^0.2.3", ">=0.2.3,<0.3"),
            ("^0.0.3", ">=0.0.3,<0.0.4"),
            ("^0.0", ">=0.0,<0.1"),
            ("^0", ">=0,<1"),
            ("^1.0a1", ">=1.0a1,<2"),
            ("~1.2.3", ">=1.2.3,<1.3"),
            ("~1.2", ">=1.2,<1.3"),
            ("~1", ">=1,<2"),
            ("~=1.2", "~=1.2"),
            ("*", ""),
            ("1.2.*", "==1.2.*"),
            ("1.2.3", "==1.2.3"),
            ("=1.2", "==1.2"),
            (">= 1.2, < 2", ">=1.2,<2"),
            (">=1.2 <2,!=1.5", ">=1.2,<2,!=1.5"),
        ] {
            assert_eq!(specifiers(poetry).as_deref(), Ok(pep440), "{poetry}");
        }
        for wrong in [
            "^1 || ^2",
            "^",
            "^x",
            ">=",
            "1 2 x y",
            "^99999999999999999999",
        ] {
            assert!(specifiers(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pythons_become_markers() {
        assert_eq!(
            python_marker("^3.8").expect("valid"),
            "python_version >= '3.8' and python_version < '4'"
        );
        assert_eq!(
            python_marker(">=3.8.1").expect("valid"),
            "python_full_version >= '3.8.1'"
        );
        assert_eq!(python_marker("*").expect("valid"), "");
    }
}
