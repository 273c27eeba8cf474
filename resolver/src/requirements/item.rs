//! One requirement as pip writes it: PEP 508, a path or URL of an archive whose file name says
//! what it is, or a folder; and the options behind it.

use std::path::{Component, Path, PathBuf};
use std::str::FromStr as _;

use blast_types::{
    ExtraName, MarkerTree, PackageName, Requirement, VerbatimUrl, VersionOrUrl, filename, pep508,
};
use url::Url;

use super::{Entry, LocalProject, Place, Problem, lines};

/// What a line holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A requirement with a name.
    Named(Entry),
    /// A project whose name only a build would tell.
    Project(LocalProject),
}

/// Reads a line that is not an option.
pub(super) fn parse(line: &str, directory: &Path, place: &Place) -> Result<Item, Problem> {
    let (text, hashes) = hashes(line)?;
    let entry = |requirement| {
        Item::Named(Entry {
            requirement,
            hashes: hashes.clone(),
            place: place.clone(),
        })
    };
    if looks_like_location(text) {
        return match location(text, directory)? {
            Location::Named(requirement) => Ok(entry(requirement)),
            Location::Folder { location, extras } => Ok(Item::Project(LocalProject {
                location,
                extras,
                editable: false,
                place: place.clone(),
            })),
        };
    }
    let text = absolute_url(text, directory)?;
    named(&text).map(entry)
}

/// Reads what follows `-e`.
pub(super) fn editable(value: &str, directory: &Path, place: &Place) -> Result<Item, Problem> {
    let (location, extras) = match value.split_once(" @ ") {
        // The build will tell the name again.
        Some((name, url)) => (url.trim().to_owned(), split_extras(name.trim())?.1),
        None if value.contains("://") => (value.to_owned(), Vec::new()),
        None => {
            let (path, extras) = split_extras(value)?;
            (normal(&directory.join(path)).display().to_string(), extras)
        }
    };
    Ok(Item::Project(LocalProject {
        location,
        extras,
        editable: true,
        place: place.clone(),
    }))
}

/// Splits `--hash` options off.
fn hashes(line: &str) -> Result<(&str, Vec<String>), Problem> {
    let Some(start) = line.find(" --").or_else(|| line.find("\t--")) else {
        return Ok((line.trim(), Vec::new()));
    };
    let mut hashes = Vec::new();
    let mut words = lines::split(&line[start..])?.into_iter();
    while let Some(word) = words.next() {
        let (option, value) = lines::option(&word);
        if option != "--hash" {
            return Err(match lines::takes_value(option) {
                Err(problem) => problem,
                Ok(_) => Problem::UnsupportedOption(option.to_owned()),
            });
        }
        let value = value.or_else(|| words.next());
        let value = value.ok_or_else(|| Problem::MissingValue(option.to_owned()))?;
        let digits = |digest: &str| {
            !digest.is_empty() && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        match value.split_once(':') {
            Some((algorithm, digest)) if !algorithm.is_empty() && digits(digest) => {
                hashes.push(value);
            }
            _ => return Err(Problem::Hash(value)),
        }
    }
    Ok((line[..start].trim(), hashes))
}

fn named(text: &str) -> Result<Requirement, Problem> {
    pep508::requirement(text).map_err(|error| Problem::Requirement {
        text: text.to_owned(),
        why: error.to_string(),
    })
}

/// Makes `name @ ./path` a requirement that PEP 508 knows.
fn absolute_url<'a>(text: &'a str, directory: &Path) -> Result<std::borrow::Cow<'a, str>, Problem> {
    let Some((name, rest)) = text.split_once('@') else {
        return Ok(text.into());
    };
    let rest = rest.trim();
    if rest.contains("://") || rest.starts_with("file:") || name.contains([';', '=', '<', '>']) {
        return Ok(text.into());
    }
    let (path, marker) = split_marker(rest);
    if path.is_empty() || path.starts_with(';') {
        // Which is no path to where this is: that a URL is missing is said by who reads requirements.
        return Ok(text.into());
    }
    let url = file_url(path, directory)?;
    let marker = marker
        .map(|marker| format!(" ; {marker}"))
        .unwrap_or_default();
    Ok(format!("{} @ {url}{marker}", name.trim()).into())
}

/// Whether a line names a place, not a package.
fn looks_like_location(text: &str) -> bool {
    let head = text.split([' ', ';', '[', '@']).next().unwrap_or_default();
    let archive = |head: &str| {
        let lower = head.to_ascii_lowercase();
        [".whl", ".tar.gz", ".zip", ".tar.bz2", ".tgz"]
            .iter()
            .any(|end| lower.ends_with(end))
    };
    head.contains("://")
        || head.starts_with("file:")
        || head.starts_with('.')
        || head.contains('/')
        || archive(head)
}

/// What a place turns out to be.
enum Location {
    Named(Requirement),
    Folder {
        location: String,
        extras: Vec<ExtraName>,
    },
}

fn location(text: &str, directory: &Path) -> Result<Location, Problem> {
    let (place, marker) = split_marker(text);
    let wrong = |why: &str| Problem::Requirement {
        text: text.to_owned(),
        why: why.to_owned(),
    };
    let (url, extras) = if place.contains("://") || place.starts_with("file:") {
        (
            Url::parse(place).map_err(|error| wrong(&error.to_string()))?,
            Vec::new(),
        )
    } else {
        let (path, extras) = split_extras(place)?;
        (file_url(path, directory)?, extras)
    };
    let file = url
        .path_segments()
        .and_then(|mut parts| parts.next_back())
        .unwrap_or_default();
    let file = percent_encoding::percent_decode_str(file).decode_utf8_lossy();
    let name = match name_of(&file) {
        Some(name) => name,
        None => match egg(&url) {
            Some(name) => name,
            None if url.scheme() == "file" => {
                let path = url
                    .to_file_path()
                    .map_err(|()| wrong("not a path on this machine"))?;
                return Ok(Location::Folder {
                    location: path.display().to_string(),
                    extras,
                });
            }
            None => {
                return Ok(Location::Folder {
                    location: url.into(),
                    extras,
                });
            }
        },
    };
    let marker = match marker {
        None => MarkerTree::default(),
        Some(marker) => pep508::marker(marker).map_err(|error| wrong(&error.to_string()))?,
    };
    let verbatim =
        VerbatimUrl::parse_url(url.as_str()).map_err(|error| wrong(&error.to_string()))?;
    Ok(Location::Named(Requirement {
        name,
        extras: extras.into(),
        version_or_url: Some(VersionOrUrl::Url(verbatim.with_given(place))),
        marker,
        origin: None,
    }))
}

/// The project that an archive's file name names.
fn name_of(file: &str) -> Option<PackageName> {
    if file.to_ascii_lowercase().ends_with(".whl") {
        return filename::wheel(file).ok().map(|wheel| wheel.name);
    }
    filename::sdist(file, None).ok().map(|sdist| sdist.name)
}

/// The name in a fragment `#egg=name`.
fn egg(url: &Url) -> Option<PackageName> {
    let fragment = url.fragment()?;
    let egg = fragment
        .split('&')
        .find_map(|part| part.strip_prefix("egg="))?;
    egg.split('[').next()?.parse().ok()
}

/// A marker behind a URL or path needs a space before its semicolon.
fn split_marker(text: &str) -> (&str, Option<&str>) {
    match text.split_once(" ;") {
        Some((head, marker)) => (head.trim(), Some(marker.trim())),
        None => (text.trim(), None),
    }
}

/// Splits `[extra,…]` off the end.
fn split_extras(text: &str) -> Result<(&str, Vec<ExtraName>), Problem> {
    let Some((head, list)) = text
        .strip_suffix(']')
        .and_then(|text| text.rsplit_once('['))
    else {
        return Ok((text, Vec::new()));
    };
    let names = list
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let extras = names
        .map(|name| ExtraName::from_str(name).map_err(|_| Problem::Name(name.to_owned())))
        .collect::<Result<_, _>>()?;
    Ok((head.trim_end(), extras))
}

fn file_url(path: &str, directory: &Path) -> Result<Url, Problem> {
    Url::from_file_path(normal(&directory.join(path))).map_err(|()| Problem::Requirement {
        text: path.to_owned(),
        why: "the working directory is not absolute".to_owned(),
    })
}

/// The path without `.` and, by its text alone, without `..`.
pub(super) fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(out.components().next_back(), Some(Component::Normal(_))) =>
            {
                out.pop();
            }
            Component::ParentDir if out.has_root() => {}
            part => out.push(part),
        }
    }
    out
}
