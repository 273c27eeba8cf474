//! The JSON form (PEP 691 and its followers). Strings are borrowed from the page where they hold
//! no escape.

use std::borrow::Cow;
use std::fmt;

use blast_types::{Elsewhere, FileHash, MetadataAt, Yanked};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Link, Listing, PageError, check_version};

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Page<'a> {
    #[serde(default)]
    meta: Meta,
    #[serde(default)]
    #[serde(rename = "project-status")]
    status: Option<Status>,
    #[serde(default)]
    alternate_locations: Vec<Box<str>>,
    #[serde(borrow)]
    files: Vec<File<'a>>,
}

#[derive(Deserialize, Default)]
struct Meta {
    #[serde(rename = "api-version")]
    api_version: Option<String>,
    #[serde(default)]
    tracks: Vec<Box<str>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Status {
    Record {
        #[serde(default)]
        status: Option<String>,
    },
    Text(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File<'a> {
    #[serde(borrow)]
    filename: Cow<'a, str>,
    #[serde(borrow)]
    url: Cow<'a, str>,
    #[serde(borrow, default)]
    hashes: Hashes<'a>,
    size: Option<u64>,
    #[serde(borrow)]
    requires_python: Option<Cow<'a, str>>,
    yanked: Option<Flag<'a>>,
    #[serde(borrow)]
    upload_time: Option<Cow<'a, str>>,
    core_metadata: Option<Flag<'a>>,
    dist_info_metadata: Option<Flag<'a>>,
}

#[derive(Default)]
struct Hashes<'a> {
    sha256: Option<Cow<'a, str>>,
    /// Those of other algorithms.
    others: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Hashes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Hashes<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of hashes")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Hashes<'de>, A::Error> {
                let mut hashes = Hashes::default();
                while let Some((Text(algorithm), digits)) =
                    map.next_entry::<Text<'de>, Option<Text<'de>>>()?
                {
                    match digits {
                        Some(Text(digits)) if algorithm == "sha256" => hashes.sha256 = Some(digits),
                        Some(Text(digits)) => hashes.others.push((algorithm, digits)),
                        None => {}
                    }
                }
                Ok(hashes)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// `true`, `false`, a text (yanked) or a table of hashes (core metadata).
#[derive(Deserialize)]
#[serde(untagged)]
enum Flag<'a> {
    Bool(bool),
    #[serde(borrow)]
    Text(Cow<'a, str>),
    #[serde(borrow)]
    Hashes(Hashes<'a>),
}

pub(super) fn links(body: &[u8]) -> Result<Listing<'_>, PageError> {
    let page: Page<'_> = serde_json::from_slice(body).map_err(|error| unread(body, error))?;
    let elsewhere = Elsewhere {
        tracks: page.meta.tracks,
        alternates: page.alternate_locations,
    };
    if let Some(version) = page.meta.api_version {
        check_version(&version)?;
    }
    let status = page.status.and_then(|status| match status {
        Status::Record { status } => status,
        Status::Text(status) => Some(status),
    });
    let links = page.files.into_iter().map(link).collect();
    Ok(Listing {
        base: None,
        status,
        elsewhere,
        links,
    })
}

/// Why a page could not be read. One of a later major version may have any form.
fn unread(body: &[u8], error: serde_json::Error) -> PageError {
    #[derive(Deserialize)]
    struct Head {
        meta: Meta,
    }
    let version = serde_json::from_slice(body).ok();
    let version = version.and_then(|head: Head| head.meta.api_version);
    match version.map(|version| check_version(&version)) {
        Some(Err(later)) => later,
        Some(Ok(())) | None => error.into(),
    }
}

fn link(file: File<'_>) -> Link<'_> {
    Link {
        url: file.url,
        filename: Some(file.filename),
        sha256: hash(&file.hashes),
        other_hash: other_hash(&file.hashes),
        size: file.size,
        requires_python: file.requires_python,
        yanked: match file.yanked {
            Some(Flag::Bool(true) | Flag::Hashes(_)) => Yanked::Yes(None),
            // An empty reason is still a yank: PEP 691 says that only `false` means no.
            Some(Flag::Text(reason)) => {
                Yanked::Yes((!reason.is_empty()).then(|| reason.into_owned().into()))
            }
            Some(Flag::Bool(false)) | None => Yanked::No,
        },
        upload_time: file.upload_time,
        // PEP 714: the new key wins, the old one serves where it is missing.
        metadata: match file.core_metadata.or(file.dist_info_metadata) {
            // What cannot be checked is not read: the file itself can be.
            Some(Flag::Hashes(hashes)) if hashes.sha256.is_none() && !hashes.others.is_empty() => {
                MetadataAt::Inside
            }
            Some(Flag::Hashes(hashes)) => MetadataAt::Beside(hash(&hashes)),
            Some(Flag::Bool(true) | Flag::Text(_)) => MetadataAt::Beside(None),
            Some(Flag::Bool(false)) | None => MetadataAt::Inside,
        },
    }
}

fn hash(hashes: &Hashes<'_>) -> Option<blast_types::Sha256> {
    hashes.sha256.as_deref()?.parse().ok()
}

fn other_hash(hashes: &Hashes<'_>) -> Option<FileHash> {
    if hashes.sha256.is_some() {
        return None;
    }
    let others = hashes.others.iter();
    FileHash::best(others.map(|(algorithm, digits)| (&**algorithm, &**digits)))
}
