//! The grammar of requirements: a name, extras, and versions or a URL, perhaps with a marker.

use std::str::FromStr as _;

use uv_normalize::{ExtraName, PackageName};
use uv_pep440::{VersionSpecifier, VersionSpecifiers};
use uv_pep508::{MarkerTree, VerbatimUrl, VersionOrUrl};

use super::marker::read_marker;
use super::scanner::Scanner;
use crate::Requirement;
use crate::versions::{SyntaxError, is_space, operator, quoted, specifier};

/// Reads a requirement such as `rich[jupyter]>=13,<15; python_version >= "3.9"` or
/// `demo @ https://host/demo.whl`. The URL is taken as it stands.
///
/// # Errors
/// The text is no requirement of PEP 508, or its URL is not absolute.
pub fn requirement(text: &str) -> Result<Requirement, SyntaxError> {
    let mut scanner = Scanner::new(text);
    scanner.spaces();
    let name = scanner
        .identifier()
        .ok_or_else(|| SyntaxError::new(format!("{} begins with no package name", quoted(text))))?;
    let name = PackageName::from_str(name)
        .map_err(|_| SyntaxError::new(format!("{} is no package name", quoted(name))))?;
    scanner.spaces();
    let extras = extras(&mut scanner)?;
    scanner.spaces();
    let (version_or_url, may_end) = if scanner.eat("@") {
        (
            Some(VersionOrUrl::Url(url(&mut scanner)?)),
            scanner.spaces(),
        )
    } else {
        let specifiers = specifiers(&mut scanner)?;
        scanner.spaces();
        let found = (!specifiers.is_empty()).then(|| VersionOrUrl::VersionSpecifier(specifiers));
        (found, true)
    };
    let marker = if may_end && scanner.eat(";") {
        read_marker(&mut scanner)?
    } else {
        MarkerTree::TRUE
    };
    scanner.spaces();
    if !scanner.is_at_end() {
        let sign = scanner.take_while(|c| matches!(c, '=' | '<' | '>' | '!' | '~'));
        return Err(SyntaxError::new(if sign.is_empty() {
            let rest = quoted(scanner.rest());
            format!("{rest} behind it belongs to no requirement")
        } else {
            format!("no such comparison operator \"{sign}\", must be one of ~= == != <= >= < > ===")
        }));
    }
    Ok(Requirement {
        name,
        extras: extras.into(),
        version_or_url,
        marker,
        origin: None,
    })
}

fn extras(scanner: &mut Scanner<'_>) -> Result<Vec<ExtraName>, SyntaxError> {
    let mut extras = Vec::new();
    if !scanner.eat("[") {
        return Ok(extras);
    }
    scanner.spaces();
    while let Some(name) = scanner.identifier() {
        let name = ExtraName::from_str(name)
            .map_err(|_| SyntaxError::new(format!("{} is no name of an extra", quoted(name))))?;
        if !extras.contains(&name) {
            extras.push(name);
        }
        scanner.spaces();
        if !scanner.eat(",") {
            break;
        }
        scanner.spaces();
        if !scanner.peek().is_some_and(|c| c.is_ascii_alphanumeric()) {
            return Err(SyntaxError::new("behind the comma an extra is missing"));
        }
    }
    if scanner.eat("]") {
        Ok(extras)
    } else {
        let rest = quoted(scanner.rest());
        Err(SyntaxError::new(format!(
            "the extras do not end with `]` but with {rest}"
        )))
    }
}

/// The address behind `@`, up to the next space.
fn url(scanner: &mut Scanner<'_>) -> Result<VerbatimUrl, SyntaxError> {
    scanner.spaces();
    let given = scanner.take_while(|c| !matches!(c, ' ' | '\t'));
    if given.is_empty() {
        return Err(SyntaxError::new("behind `@` a URL is missing"));
    }
    VerbatimUrl::parse_url(given)
        .or_else(|error| VerbatimUrl::parse_url(path_for_port(given).ok_or(error)?))
        .map(|url| url.with_given(given))
        // The library's words could repeat a password.
        .map_err(|_| SyntaxError::new("what stands behind `@` is no absolute URL"))
}

/// `git+ssh://git@host:owner/project`, as people write it after the short form of `ssh`, with the
/// path where the port would be; its meaning is that with a slash.
fn path_for_port(given: &str) -> Option<String> {
    let (scheme, rest) = given.split_once("://")?;
    let (host, path) = rest.split_once(':')?;
    let is_short = scheme.ends_with("ssh")
        && !host.contains('/')
        && path.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    is_short.then(|| format!("{scheme}://{host}/{path}"))
}

/// Version specifiers, perhaps in brackets; none is fine.
fn specifiers(scanner: &mut Scanner<'_>) -> Result<VersionSpecifiers, SyntaxError> {
    let in_brackets = scanner.eat("(");
    scanner.spaces();
    let mut found: Vec<VersionSpecifier> = Vec::new();
    while operator(scanner.rest()).is_some() {
        let text = scanner.rest();
        scanner.take_while(|c| matches!(c, '=' | '<' | '>' | '!' | '~'));
        scanner.take_while(is_space);
        let ends = |c: char| is_space(c) || matches!(c, ',' | ';' | ')');
        scanner.take_while(|c| !ends(c));
        let length = text.len() - scanner.rest().len();
        found.push(specifier(&text[..length])?);
        scanner.spaces();
        if !scanner.eat(",") {
            break;
        }
        scanner.spaces();
    }
    scanner.spaces();
    if in_brackets && !scanner.eat(")") {
        let rest = quoted(scanner.rest());
        return Err(SyntaxError::new(format!(
            "the versions do not end with `)` but with {rest}"
        )));
    }
    Ok(found.into_iter().collect())
}
