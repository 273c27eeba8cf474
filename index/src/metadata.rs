//! Core metadata (`METADATA`, `PKG-INFO`): the headers that resolving and installing need. The
//! format is that of e-mail headers. The body is a description and is not looked at; odd bytes,
//! unknown headers and unreadable `Requires-Python` are tolerated, as pip does; a `Requires-Dist`
//! that cannot be parsed is an error, because leaving out a dependency would be wrong.

use std::borrow::Cow;
use std::str::FromStr as _;

use blast_types::{CoreMetadata, ExtraName, PackageName, Version, pep508, versions};

/// Why metadata cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// A header that must be there is missing.
    #[error("the header `{0}` is missing")]
    Missing(&'static str),
    /// A header's value cannot be parsed.
    #[error("the header `{header}` has the value `{value}`: {reason}")]
    Invalid {
        /// The header.
        header: &'static str,
        /// Its value.
        value: String,
        /// What the parser said, on one line.
        reason: String,
    },
    /// A major version of the format that is not known.
    #[error("metadata of version {0} is not known")]
    Version(String),
}

/// The headers of a metadata file, in order, with continuation lines joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headers<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Headers<'a> {
    /// Reads up to the first empty line. Lines that are no header are skipped.
    pub fn parse(text: &'a str) -> Self {
        let mut headers: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        for line in text.lines() {
            if line.is_empty() {
                break;
            }
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = headers.last_mut() {
                    let value = value.to_mut();
                    value.push('\n');
                    value.push_str(line.trim_start());
                }
            } else if let Some((key, value)) = line.split_once(':') {
                headers.push((Cow::Borrowed(key.trim()), Cow::Borrowed(value.trim())));
            }
        }
        Self(headers)
    }

    /// All values of one header.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, v)| &**v)
    }

    /// The first value of one header.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }
}

/// Reads a metadata file.
pub fn parse(bytes: &[u8]) -> Result<CoreMetadata, MetadataError> {
    let text = String::from_utf8_lossy(bytes);
    core(&Headers::parse(
        text.strip_prefix('\u{feff}').unwrap_or(&text),
    ))
}

/// Reads the metadata of a source distribution, if it says that a build would not change it
/// (PEP 643): `None` where only a build can tell.
pub fn parse_static_sdist(bytes: &[u8]) -> Result<Option<CoreMetadata>, MetadataError> {
    let text = String::from_utf8_lossy(bytes);
    let headers = Headers::parse(text.strip_prefix('\u{feff}').unwrap_or(&text));
    let version = headers
        .first("Metadata-Version")
        .and_then(|text| versions::version(text).ok());
    let old = version.is_none_or(|version| version < Version::new([2, 2]));
    let matters = [
        "requires-dist",
        "requires-python",
        "provides-extra",
        "version",
    ];
    let dynamic = headers
        .all("Dynamic")
        .any(|name| matters.iter().any(|m| m.eq_ignore_ascii_case(name)));
    if old || dynamic {
        Ok(None)
    } else {
        core(&headers).map(Some)
    }
}

/// The part of a metadata file that [`parse`] looks at, for keeping.
pub(crate) fn header_part(bytes: &[u8]) -> &[u8] {
    let ends = [&b"\n\n"[..], &b"\n\r\n"[..]];
    let end = ends
        .iter()
        .filter_map(|end| bytes.windows(end.len()).position(|at| at == *end));
    &bytes[..end.min().map_or(bytes.len(), |at| at + 1)]
}

fn core(headers: &Headers<'_>) -> Result<CoreMetadata, MetadataError> {
    let required = |name| headers.first(name).ok_or(MetadataError::Missing(name));
    if let Some(version) = headers.first("Metadata-Version")
        && !matches!(version.split('.').next(), Some("1" | "2"))
    {
        return Err(MetadataError::Version(version.to_owned()));
    }
    let name = required("Name")?;
    let name = PackageName::from_str(name).map_err(|error| invalid("Name", name, &error))?;
    let version = required("Version")?;
    let version =
        versions::version(version).map_err(|error| invalid("Version", version, &error))?;
    let requires_dist = headers
        .all("Requires-Dist")
        .map(|text| {
            pep508::requirement(text).map_err(|error| invalid("Requires-Dist", text, &error))
        })
        .collect::<Result<_, _>>()?;
    let mut provides_extra: Vec<ExtraName> = Vec::new();
    for extra in headers
        .all("Provides-Extra")
        .filter_map(|text| ExtraName::from_str(text).ok())
    {
        if !provides_extra.contains(&extra) {
            provides_extra.push(extra);
        }
    }
    Ok(CoreMetadata {
        name,
        version,
        requires_dist,
        requires_python: headers
            .first("Requires-Python")
            .and_then(|text| versions::specifiers(text).ok()),
        provides_extra,
    })
}

fn invalid(header: &'static str, value: &str, error: &dyn std::fmt::Display) -> MetadataError {
    // Requirement errors draw a picture over several lines; its first line says what is wrong.
    let text = error.to_string();
    let reason = text.lines().next().unwrap_or_default().to_owned();
    MetadataError::Invalid {
        header,
        value: value.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "Metadata-Version: 2.1\r\nName: My_Demo\r\nVersion: 1.0\r\n\
        Requires-Dist: flask>=2\r\nRequires-Dist: rich ; extra == 'Pretty'\r\n\
        License: MIT\r\n\tand more\r\nRequires-Dist: pytz (>2020)\r\nProvides-Extra: Pretty\r\n\
        provides-extra: pretty\r\nRequires-Python: >=3.8\r\n\r\nRequires-Dist: nothing\r\n";

    #[test]
    fn headers_count_and_the_body_does_not() {
        let metadata = parse(FULL.as_bytes()).expect("valid");
        assert_eq!(
            (metadata.name.as_ref(), metadata.version.to_string()),
            ("my-demo", "1.0".into())
        );
        let names: Vec<_> = metadata
            .requires_dist
            .iter()
            .map(|r| r.name.as_ref())
            .collect();
        assert_eq!(names, ["flask", "rich", "pytz"]);
        assert_eq!(
            metadata.requires_python.expect("given").to_string(),
            ">=3.8"
        );
        assert_eq!(metadata.provides_extra.len(), 1);
        assert_eq!(
            parse(header_part(FULL.as_bytes()))
                .expect("valid")
                .requires_dist
                .len(),
            3
        );
        assert!(!header_part(FULL.as_bytes()).ends_with(b"nothing\r\n"));
    }

    #[test]
    fn odd_bytes_and_odd_pythons_are_tolerated() {
        let metadata = parse(
            b"\xef\xbb\xbfName: a\nVersion: 1\nAuthor: \xff\xfe\nnonsense\nRequires-Python: what",
        )
        .expect("valid");
        assert_eq!(metadata.requires_python, None);
    }

    #[test]
    fn what_must_be_there_must_be_right() {
        assert_eq!(
            parse(b"").expect_err("refused"),
            MetadataError::Missing("Name")
        );
        assert_eq!(
            parse(b"Name: a\n\nVersion: 1").expect_err("refused"),
            MetadataError::Missing("Version")
        );
        for text in [
            "Name: -\nVersion: 1",
            "Name: a\nVersion: x",
            "Name: a\nVersion: 1\nRequires-Dist: b >= banana",
        ] {
            assert!(
                matches!(parse(text.as_bytes()), Err(MetadataError::Invalid { .. })),
                "{text}"
            );
        }
        assert_eq!(
            parse(b"Metadata-Version: 3.0\nName: a\nVersion: 1").expect_err("refused"),
            MetadataError::Version("3.0".to_owned())
        );
    }

    #[test]
    fn sdists_must_promise_to_be_static() {
        let with = |more: &str| {
            let text = format!("{more}\nName: a\nVersion: 1\nRequires-Dist: b\n");
            parse_static_sdist(text.as_bytes())
                .expect("valid")
                .is_some()
        };
        assert!(with("Metadata-Version: 2.2") && with("Metadata-Version: 2.4\nDynamic: license"));
        assert!(!with("Metadata-Version: 2.1"));
        assert!(!with("Metadata-Version: 2.2\nDynamic: Requires-Dist"));
    }
}
