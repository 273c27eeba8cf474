//! Requirements as a user's words: parsing, merging with those an environment has, and what they
//! keep installed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::str::FromStr as _;
use std::sync::Arc;

use blast_store::{Generation, WheelRecord};
use blast_types::{
    ExtraName, FileHash, FileHashError, MarkerEnvironment, MarkerTree, PackageName, Requirement,
    VerbatimUrl, Version, VersionOrUrl, pep508,
};

use super::build::{Builder, Source};
use super::error::EngineError;
use crate::ipc::protocol::RequirementLine;

/// A requirement with what the user said beside it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The requirement.
    pub(crate) requirement: Requirement,
    /// Hashes of which one must match; empty: any.
    pub(crate) hashes: Vec<FileHash>,
    /// Where it stands, for messages.
    pub(crate) origin: Option<String>,
}

/// Parses one PEP 508 requirement.
pub(crate) fn parse(text: &str, origin: Option<&str>) -> Result<Requirement, EngineError> {
    pep508::requirement(text).map_err(|error| EngineError::BadRequirement {
        text: text.to_owned(),
        origin: origin
            .map(|origin| format!(" ({origin})"))
            .unwrap_or_default(),
        reason: error.to_string(),
    })
}

/// Parses all lines of a request. Sources without a name are looked into for it, and may be built
/// for that.
pub(crate) async fn understand(
    builder: &Builder,
    lines: &[RequirementLine],
) -> Result<Vec<Asked>, EngineError> {
    let mut asked = Vec::with_capacity(lines.len());
    for line in lines {
        let hashes = hashes(line)?;
        let requirement = if line.unnamed {
            name(builder, line).await?
        } else {
            parse(&line.text, line.origin.as_deref())?
        };
        if let Some(VersionOrUrl::Url(url)) = &requirement.version_or_url {
            builder.set_editable(url.raw(), line.editable);
        }
        asked.push(Asked {
            requirement,
            hashes,
            origin: line.origin.clone(),
        });
    }
    Ok(asked)
}

/// Sources under the name that they have.
async fn name(builder: &Builder, line: &RequirementLine) -> Result<Requirement, EngineError> {
    let wrong = |reason: String| wrong(line, reason);
    let url = VerbatimUrl::parse_url(&line.text).map_err(|error| wrong(error.to_string()))?;
    let source = Source::of_url(None, url.raw(), line.editable).map_err(wrong)?;
    let source = source.ok_or_else(|| wrong("write it as `name @ URL`".to_owned()))?;
    let extras: Vec<ExtraName> = line
        .extras
        .iter()
        .map(|extra| ExtraName::from_str(extra).map_err(|error| wrong(error.to_string())))
        .collect::<Result<_, _>>()?;
    Ok(Requirement {
        name: builder.metadata(source).await?.name.clone(),
        extras: extras.into(),
        version_or_url: Some(VersionOrUrl::Url(url)),
        marker: MarkerTree::default(),
        origin: None,
    })
}

fn wrong(line: &RequirementLine, reason: String) -> EngineError {
    let origin = line.origin.as_ref().map(|origin| format!(" ({origin})"));
    EngineError::BadRequirement {
        text: if line.unnamed {
            blast_index::bare(&line.text)
        } else {
            line.text.clone()
        },
        origin: origin.unwrap_or_default(),
        reason,
    }
}

/// The hashes of which one must match. Those that vouch for nothing are passed over where others
/// do.
fn hashes(line: &RequirementLine) -> Result<Vec<FileHash>, EngineError> {
    let mut trusted = Vec::new();
    let mut refused = None;
    for hash in &line.hashes {
        match hash.parse::<FileHash>() {
            Ok(hash) => trusted.push(hash),
            Err(error @ FileHashError::Algorithm(_)) => refused = Some(error),
            Err(error) => return Err(wrong(line, error.to_string())),
        }
    }
    match refused {
        Some(error) if trusted.is_empty() => Err(wrong(line, error.to_string())),
        _ => Ok(trusted),
    }
}

/// Parses a project name.
pub(crate) fn package_name(text: &str) -> Result<PackageName, EngineError> {
    PackageName::from_str(text).map_err(|_| EngineError::BadPackageName(text.to_owned()))
}

/// The version that a requirement pins, by `==` or `===` without a wildcard.
pub(crate) fn pinned_version(requirement: &Requirement) -> Option<Version> {
    let VersionOrUrl::VersionSpecifier(specifiers) = requirement.version_or_url.as_ref()? else {
        return None;
    };
    let mut specifiers = specifiers.iter();
    let only = specifiers.next()?;
    let is_pin = !only.operator().is_star()
        && matches!(
            only.operator(),
            uv_pep440::Operator::Equal | uv_pep440::Operator::ExactEqual
        );
    (specifiers.next().is_none() && is_pin).then(|| only.version().clone())
}

/// Whether a requirement applies in this environment, outside any extra.
pub(crate) fn applies(requirement: &Requirement, markers: &MarkerEnvironment) -> bool {
    requirement.evaluate_markers(markers, &[])
}

/// The direct requirements of an environment after some were added: an addition replaces all that
/// it has of the same name, in their place, so that asking for what is there changes nothing.
pub(crate) fn merged(
    existing: &[String],
    added: &[Requirement],
) -> Result<Vec<Requirement>, EngineError> {
    let mut placed = BTreeSet::new();
    let mut all = Vec::new();
    for text in existing {
        let requirement = parse(text, None)?;
        let same = |other: &&Requirement| other.name == requirement.name;
        if !added.iter().any(|other| same(&other)) {
            all.push(requirement);
        } else if placed.insert(requirement.name.clone()) {
            all.extend(added.iter().filter(same).cloned());
        }
    }
    let new = added
        .iter()
        .filter(|requirement| !placed.contains(&requirement.name));
    all.extend(new.cloned());
    Ok(all)
}

/// Which packages need which, by what is installed.
#[derive(Debug)]
pub(crate) struct Needs {
    /// Package to the packages that it requires here.
    edges: BTreeMap<PackageName, BTreeSet<PackageName>>,
}

impl Needs {
    /// From the metadata of the installed packages and the extras they are installed with.
    pub(crate) fn new(
        generation: &Generation,
        records: &HashMap<PackageName, Arc<WheelRecord>>,
        markers: &MarkerEnvironment,
    ) -> Self {
        let mut edges = BTreeMap::new();
        for package in &generation.packages {
            let requires = records
                .get(&package.name)
                .map(|record| &record.requires_dist);
            let needed = requires
                .into_iter()
                .flatten()
                .filter_map(|text| pep508::requirement(text).ok())
                .filter(|requirement| is_active(requirement, markers, &package.extras))
                .map(|requirement| requirement.name)
                .filter(|name| *name != package.name && generation.package(name).is_some())
                .collect();
            edges.insert(package.name.clone(), needed);
        }
        Self { edges }
    }

    /// All that these need, themselves included.
    pub(crate) fn closure(
        &self,
        roots: impl IntoIterator<Item = PackageName>,
    ) -> BTreeSet<PackageName> {
        let mut found = BTreeSet::new();
        let mut next: Vec<_> = roots.into_iter().collect();
        while let Some(name) = next.pop() {
            if let Some(needed) = self.edges.get(&name)
                && found.insert(name)
            {
                next.extend(needed.iter().cloned());
            }
        }
        found
    }

    /// The packages among `within` that require this one.
    pub(crate) fn needed_by(
        &self,
        name: &PackageName,
        within: &BTreeSet<PackageName>,
    ) -> Vec<PackageName> {
        self.edges
            .iter()
            .filter(|(package, needed)| within.contains(*package) && needed.contains(name))
            .map(|(package, _)| package.clone())
            .collect()
    }
}

fn is_active(requirement: &Requirement, markers: &MarkerEnvironment, extras: &[ExtraName]) -> bool {
    requirement.evaluate_markers(markers, extras)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_versions_are_pins() {
        let pin = |text: &str| pinned_version(&parse(text, None).expect("valid"));
        assert_eq!(
            pin("a==1.0").map(|version| version.to_string()),
            Some("1.0".to_owned())
        );
        assert!(pin("a===1.0").is_some());
        for text in [
            "a",
            "a>=1",
            "a==1.*",
            "a==1,!=2",
            "a @ https://files.example/a-1-py3-none-any.whl",
        ] {
            assert_eq!(pin(text), None, "{text}");
        }
    }

    #[test]
    fn an_addition_replaces_what_was_asked_of_the_same_name() {
        let existing = ["flask".to_owned(), "six>1".to_owned()];
        let added = [parse("Flask==2.3.3", None).expect("valid")];
        let texts: Vec<_> = merged(&existing, &added)
            .expect("valid")
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(texts, ["flask==2.3.3", "six>1"]);
    }

    #[test]
    fn hashes_that_vouch_for_nothing_are_refused_with_their_place() {
        let line = |hashes: &[String]| RequirementLine {
            text: "six==1".into(),
            hashes: hashes.to_vec(),
            origin: Some("r.txt:3".into()),
            editable: false,
            unnamed: false,
            extras: Vec::new(),
        };
        let (md5, sha512) = ("md5:abc".to_owned(), format!("sha512:{}", "0".repeat(128)));
        for bad in [md5.clone(), "sha512:00".to_owned(), "abc".to_owned()] {
            let error = hashes(&line(&[bad])).expect_err("no good").to_string();
            assert!(error.contains("(r.txt:3)"), "{error}");
        }
        let trusted = hashes(&line(&[md5, sha512])).expect("one is good");
        assert_eq!(trusted.len(), 1);
    }
}
