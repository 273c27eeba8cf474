//! What an environment shall hold: the plan of a change, made of what is installed and of artifacts to bring in.

use std::collections::{BTreeMap, BTreeSet};

use blast_store::{Artifact as StoredArtifact, Package};
use blast_types::{ArchiveInfo, DirectUrl, ExtraName, PackageName, Requirement, Version};

use super::change::Job;
use super::error::EngineError;
use super::ingest::{Artifact, scheme_key};
use super::requirements::{Needs, merged};
use crate::ipc::protocol::{Origin, PackageChangeView};

/// What an environment shall hold.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Direct requirements, as PEP 508 texts.
    pub(crate) requirements: Vec<String>,
    /// All packages.
    pub(crate) packages: Vec<Planned>,
    /// SHA-256 of the lock that the plan follows.
    pub(crate) lock: Option<blast_types::Sha256>,
}

/// One package of a [`Plan`].
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) name: PackageName,
    pub(crate) version: Version,
    pub(crate) artifact: Artifact,
    pub(crate) index: Option<String>,
    pub(crate) direct_url: Option<DirectUrl>,
    pub(crate) requested: bool,
    pub(crate) extras: Vec<ExtraName>,
}

impl Plan {
    /// Where what these changes bring comes from.
    pub(super) fn origins(&self, changes: &[PackageChangeView]) -> Vec<Origin> {
        let is_new = |planned: &&Planned| {
            let mut changes = changes.iter();
            let named = changes.find(|change| change.name == planned.name.as_ref());
            named.is_some_and(|change| change.after.is_some())
        };
        let new = self.packages.iter().filter(is_new);
        new.map(Planned::origin).collect()
    }
}

impl Planned {
    fn origin(&self) -> Origin {
        let file = &self.artifact.file;
        let mut origin = Origin {
            name: self.name.clone(),
            url: blast_index::bare(&file.url),
            hashes: BTreeMap::new(),
            direct: self.direct_url.clone(),
            yanked: file.yanked.is_yanked(),
            requested: self.requested,
            extras: self.extras.clone(),
        };
        match (file.sha256, &file.other_hash) {
            (Some(sha256), _) => origin.is_file_with(sha256),
            (None, Some(hash)) => {
                let text = hash.to_string();
                if let Some((algorithm, digest)) = text.split_once(':') {
                    origin
                        .hashes
                        .insert(algorithm.to_owned(), digest.to_owned());
                }
            }
            (None, None) => {}
        }
        origin
    }

    /// The package that it became.
    pub(super) fn installed(self, ingested: &super::ingest::Ingested) -> Package {
        let file = &self.artifact.file;
        Package {
            name: self.name,
            version: self.version,
            layer: ingested.record.layer,
            artifact: StoredArtifact {
                filename: ingested
                    .filename
                    .clone()
                    .unwrap_or_else(|| file.filename.to_string()),
                sha256: ingested.sha256,
                built: ingested.built,
                url: Some(blast_index::bare(&file.url)),
                index: self.index,
                captured: false,
            },
            direct_url: self.direct_url.map(|direct| match ingested.sha256 {
                Some(sha256) => with_hash(direct, sha256),
                None => direct,
            }),
            requested: self.requested,
            extras: self.extras,
            scheme: ingested.scheme.clone(),
        }
    }
}

/// Whether two distributions come from one place; the hash of an archive is compared elsewhere.
fn same_origin(one: Option<&DirectUrl>, other: Option<&DirectUrl>) -> bool {
    let bare = |direct: &DirectUrl| DirectUrl {
        archive_info: direct.archive_info.as_ref().map(|_| ArchiveInfo::default()),
        ..direct.clone()
    };
    one.map(bare) == other.map(bare)
}

/// States the archive's hash in `direct_url.json`, as PEP 610 asks.
fn with_hash(mut direct: DirectUrl, sha256: blast_types::Sha256) -> DirectUrl {
    if let Some(archive) = &mut direct.archive_info {
        archive.hashes = BTreeMap::from([("sha256".to_owned(), sha256.to_hex())]);
    }
    direct
}

/// Marks what was asked for by name.
pub(crate) fn requested_names(requirements: &[Requirement]) -> BTreeSet<PackageName> {
    requirements
        .iter()
        .map(|requirement| requirement.name.clone())
        .collect()
}

impl Job {
    /// An installed package as part of a plan.
    pub(crate) fn keep(&self, package: &Package) -> Result<Planned, EngineError> {
        Ok(Planned {
            name: package.name.clone(),
            version: package.version.clone(),
            artifact: Artifact::installed(package, Some(&*self.record(package)?))?,
            index: package.artifact.index.clone(),
            direct_url: package.direct_url.clone(),
            requested: package.requested,
            extras: package.extras.clone(),
        })
    }

    /// The plan that takes packages out, and what only they needed. No index is asked.
    pub(super) fn without(&self, names: &[PackageName]) -> Result<Plan, EngineError> {
        let env = &self.state.record.name;
        for name in names {
            if self.before.package(name).is_none() {
                return Err(EngineError::NotInstalled {
                    package: name.clone(),
                    env: env.clone(),
                });
            }
        }
        let requirements = merged(&self.before.requirements, &[])?
            .into_iter()
            .filter(|requirement| !names.contains(&requirement.name))
            .collect::<Vec<Requirement>>();
        let markers = self.state.record.interpreter.markers.environment()?;
        let needs = Needs::new(&self.before, &self.records()?, &markers);
        let kept = needs.closure(
            requirements
                .iter()
                .map(|requirement| requirement.name.clone()),
        );
        if let Some(name) = names.iter().find(|name| kept.contains(*name)) {
            let needed_by = needs
                .needed_by(name, &kept)
                .iter()
                .map(ToString::to_string)
                .collect();
            return Err(EngineError::StillNeeded {
                package: name.clone(),
                needed_by,
            });
        }
        let packages = self
            .before
            .packages
            .iter()
            .filter(|package| kept.contains(&package.name))
            .map(|package| self.keep(package))
            .collect::<Result<_, _>>()?;
        let requirements = requirements.iter().map(ToString::to_string).collect();
        Ok(Plan {
            requirements,
            packages,
            lock: None,
        })
    }

    /// Notes which sources of the plan are installed as they are now.
    pub(super) fn recognise(&self, plan: &mut Plan) -> Result<(), EngineError> {
        let own = scheme_key(&self.state.record.interpreter.scheme);
        for planned in &mut plan.packages {
            if let Some(package) = self.before.package(&planned.name)
                && package.scheme != own
                && package.artifact.sha256.is_some()
                && package.artifact.sha256 == planned.artifact.file.sha256
            {
                // It came from an image, which alone says what this file became.
                planned.artifact.scheme = Some(package.scheme.clone());
                planned.artifact.built = planned.artifact.built.or(package.artifact.built);
            }
            let Some(source) = &planned.artifact.source else {
                // What programs wrote into a package stays while its version does.
                if let Some(package) = self.before.package(&planned.name)
                    && package.artifact.captured
                    && package.version == planned.version
                    && package.artifact.sha256 == planned.artifact.file.sha256
                    && planned.artifact.built.is_none()
                {
                    *planned = Planned {
                        requested: planned.requested,
                        extras: std::mem::take(&mut planned.extras),
                        ..self.keep(package)?
                    };
                }
                continue;
            };
            if let Some(package) = self.before.package(&planned.name)
                && !source.is_file()
                && same_origin(planned.direct_url.as_ref(), package.direct_url.as_ref())
                && let Some((built, _)) = self.builder.built_before(source)
                && package.artifact.built == Some(built)
            {
                *planned = Planned {
                    requested: planned.requested,
                    extras: std::mem::take(&mut planned.extras),
                    ..self.keep(package)?
                };
            }
        }
        Ok(())
    }

    /// Whether the plan's artifacts are those that are installed.
    pub(super) fn is_installed(&self, plan: &Plan) -> bool {
        plan.packages.len() == self.before.packages.len()
            && plan
                .packages
                .iter()
                .zip(&self.before.packages)
                .all(|(planned, package)| {
                    planned.name == package.name
                        && planned.version == package.version
                        && planned.requested == package.requested
                        && same_origin(planned.direct_url.as_ref(), package.direct_url.as_ref())
                        && !planned.artifact.is_new()
                        && (planned.artifact.file.sha256.is_none()
                            || planned.artifact.file.sha256 == package.artifact.sha256)
                })
    }
}
