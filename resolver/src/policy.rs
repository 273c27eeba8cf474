//! The inputs in the form that the search asks: which requirements apply here, and which files
//! may be used. Pure functions of the inputs, so that the search thread and the tasks that fetch
//! ahead of it agree without talking.

use std::collections::BTreeSet;
use std::sync::Arc;

use blast_types::{
    DistFile, DistKind, ExtraName, PackageName, Requirement, Tags, VerbatimUrl, Version,
    VersionOrUrl, Yanked,
};
use rustc_hash::FxHashMap;
use uv_pep440::Operator;
use uv_platform_tags::TagCompatibility;
use version_ranges::Ranges as VersionRanges;

use crate::inputs::{Inputs, PrereleaseMode, ResolutionMode};
use crate::reason::Reason;

/// What one release comes down to under the policy.
#[derive(Debug, Clone)]
pub(crate) enum Candidate {
    /// It can be had as this file.
    Usable {
        /// The best file for the target.
        file: Arc<DistFile>,
        /// Whether every usable file was withdrawn.
        yanked: bool,
    },
    /// It cannot be had.
    Unusable(Reason),
}

/// The inputs, arranged for look-up.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) inputs: Inputs,
    /// The interpreter's version without what follows the release: a `Requires-Python` of
    /// `>=3.15` does admit a first alpha, as pip has it.
    python: Version,
    constraints: FxHashMap<PackageName, Constraint>,
    overrides: FxHashMap<PackageName, Vec<Requirement>>,
    direct_names: BTreeSet<PackageName>,
    /// Packages for which the user names a pre-release.
    early_names: BTreeSet<PackageName>,
}

/// What the constraints say of one package, and in which words.
#[derive(Debug)]
struct Constraint {
    range: VersionRanges<Version>,
    text: String,
}

impl Policy {
    pub(crate) fn new(mut inputs: Inputs) -> Self {
        let markers = &inputs.target.markers;
        // The answer must not depend on the order in which somebody listed the requirements.
        inputs
            .requirements
            .retain(|requirement| requirement.marker.evaluate(markers, &[]));
        inputs.requirements.sort();
        inputs.requirements.dedup();
        inputs
            .preferences
            .retain(|name, _| !inputs.upgrade.forgets(name));
        let mut overrides = FxHashMap::<PackageName, Vec<Requirement>>::default();
        for requirement in &inputs.overrides {
            let list = overrides.entry(requirement.name.clone()).or_default();
            if requirement.marker.evaluate(markers, &[]) {
                list.push(requirement.clone());
            }
        }
        let mut policy = Self {
            python: markers.python_full_version().version.only_release(),
            constraints: FxHashMap::default(),
            overrides,
            direct_names: inputs.requirements.iter().map(|r| r.name.clone()).collect(),
            early_names: early_names(&inputs),
            inputs,
        };
        policy.read_constraints();
        policy
    }

    fn read_constraints(&mut self) {
        for requirement in &self.inputs.constraints {
            let Some(VersionOrUrl::VersionSpecifier(specifiers)) = &requirement.version_or_url
            else {
                continue; // URLs: see `pinned_urls`
            };
            if !requirement
                .marker
                .evaluate(&self.inputs.target.markers, &[])
            {
                continue;
            }
            let range = VersionRanges::from(specifiers.clone());
            let text = format!("{}{specifiers}", requirement.name).replace(' ', "");
            match self.constraints.entry(requirement.name.clone()) {
                std::collections::hash_map::Entry::Vacant(entry) => {
                    entry.insert(Constraint { range, text });
                }
                std::collections::hash_map::Entry::Occupied(mut entry) => {
                    let constraint = entry.get_mut();
                    constraint.range = constraint.range.intersection(&range);
                    constraint.text = format!("{}, {text}", constraint.text);
                }
            }
        }
    }

    /// URLs that the user gives for a package, by a requirement, an override or a constraint:
    /// no index is asked for those packages.
    pub(crate) fn pinned_urls(&self) -> Vec<(PackageName, VerbatimUrl)> {
        let inputs = &self.inputs;
        let constraints = inputs
            .constraints
            .iter()
            .filter(|requirement| requirement.marker.evaluate(&inputs.target.markers, &[]));
        let mut urls: Vec<(PackageName, VerbatimUrl)> = Vec::new();
        for requirement in self.roots().into_iter().chain(constraints) {
            if let Some(VersionOrUrl::Url(url)) = &requirement.version_or_url {
                let entry = (requirement.name.clone(), url.clone());
                if !urls.contains(&entry) {
                    urls.push(entry);
                }
            }
        }
        urls
    }

    /// The user's requirements, overrides applied.
    pub(crate) fn roots(&self) -> Vec<&Requirement> {
        self.applicable(&self.inputs.requirements, None)
    }

    /// Which of a package's requirements hold here: those of the package itself, or those that
    /// one extra adds to it.
    pub(crate) fn applicable<'a>(
        &'a self,
        requirements: &'a [Requirement],
        extra: Option<&ExtraName>,
    ) -> Vec<&'a Requirement> {
        let extras = extra.map(std::slice::from_ref).unwrap_or_default();
        let markers = &self.inputs.target.markers;
        let mut found = Vec::new();
        for requirement in requirements {
            if self.inputs.excludes.contains(&requirement.name) {
                continue;
            }
            let marker = requirement.marker;
            if let Some(replacements) = self.overrides.get(&requirement.name) {
                // The replacement decides for itself where it holds; but what an extra asks for
                // stays the extra's.
                let asked =
                    |extras: &[ExtraName]| marker.evaluate_optional_environment(None, extras);
                if asked(extras) && (extra.is_none() || !asked(&[])) {
                    for replacement in replacements {
                        if !found.contains(&replacement) {
                            found.push(replacement);
                        }
                    }
                }
            } else if marker.is_true() {
                if extra.is_none() {
                    found.push(requirement);
                }
            } else if marker.evaluate(markers, extras)
                && (extra.is_none() || !marker.evaluate(markers, &[]))
            {
                found.push(requirement);
            }
        }
        found
    }

    /// Whether the user asked for the package by name.
    pub(crate) fn is_requested(&self, name: &PackageName) -> bool {
        self.direct_names.contains(name)
    }

    /// Whether the oldest version of a package goes first.
    pub(crate) fn lowest_first(&self, name: &PackageName) -> bool {
        match self.inputs.options.resolution {
            ResolutionMode::Highest => false,
            ResolutionMode::Lowest => true,
            ResolutionMode::LowestDirect => self.is_requested(name),
        }
    }

    /// Why a version is out whatever its files are.
    pub(crate) fn refuses(&self, name: &PackageName, version: &Version) -> Option<Reason> {
        if let Some(constraint) = self.constraints.get(name)
            && !constraint.range.contains(version)
        {
            return Some(Reason::Constraint(constraint.text.clone()));
        }
        (version.any_prerelease() && self.disallows_prereleases(name)).then_some(Reason::Prerelease)
    }

    fn disallows_prereleases(&self, name: &PackageName) -> bool {
        match self.inputs.options.prereleases {
            PrereleaseMode::IfNecessary | PrereleaseMode::Allow => false,
            PrereleaseMode::Disallow => true,
            PrereleaseMode::Explicit => !self.early_names.contains(name),
        }
    }

    /// What a release with these files comes down to.
    ///
    /// What `exclude_newer` says of time does not concern a file that the user names `by_url`.
    pub(crate) fn candidate(
        &self,
        name: &PackageName,
        files: &[Arc<DistFile>],
        by_url: bool,
    ) -> Candidate {
        let mut best: Option<(Rank, &Arc<DistFile>)> = None;
        let mut reason = Reason::NoFiles;
        for file in files {
            match self.rank(name, file, by_url) {
                Ok(rank) if best.as_ref().is_none_or(|(other, _)| *other < rank) => {
                    best = Some((rank, file));
                }
                Ok(_) => {}
                Err(why) => reason = reason.closest(why),
            }
        }
        match best {
            Some((_, file)) => Candidate::Usable {
                file: file.clone(),
                yanked: file.yanked.is_yanked(),
            },
            None => Candidate::Unusable(reason),
        }
    }

    /// How good a file is for the target; the greatest wins.
    fn rank(&self, name: &PackageName, file: &DistFile, by_url: bool) -> Result<Rank, Reason> {
        let options = &self.inputs.options;
        if let Some(limit) = options.limit_of(name)
            && !by_url
        {
            match file.upload_time_ms {
                None => return Err(Reason::NoUploadTime),
                Some(time) if time >= limit => return Err(Reason::TooNew),
                Some(_) => {}
            }
        }
        if let Some(specifiers) = &file.requires_python
            && !specifiers.contains(&self.python)
        {
            return Err(self.python_reason(specifiers.to_string()));
        }
        let kept = file.yanked == Yanked::No;
        match &file.kind {
            DistKind::Sdist(_) if options.only_binary.contains(name) => Err(Reason::OnlyBinary),
            DistKind::Sdist(_) => Ok(Rank { kept, wheel: None }),
            DistKind::Wheel(_) if options.no_binary.contains(name) => Err(Reason::NoBinary),
            DistKind::Wheel(wheel) => match wheel.compatibility(&self.inputs.target.tags) {
                TagCompatibility::Compatible(priority) => Ok(Rank {
                    kept,
                    wheel: Some((priority, wheel.build_tag().cloned())),
                }),
                TagCompatibility::Incompatible(_) => Err(Reason::Tags(tag_names(&file.filename))),
            },
        }
    }

    /// Why metadata that was read only now makes a version unusable.
    pub(crate) fn refuses_python(
        &self,
        specifiers: Option<&blast_types::VersionSpecifiers>,
    ) -> Option<Reason> {
        let specifiers = specifiers?;
        (!specifiers.contains(&self.python)).then(|| self.python_reason(specifiers.to_string()))
    }

    fn python_reason(&self, needs: String) -> Reason {
        Reason::Python {
            needs,
            has: self.python.to_string(),
        }
    }

    pub(crate) fn tags(&self) -> &Tags {
        &self.inputs.target.tags
    }
}

/// Packages of which some requirement of the user names a pre-release, other than to exclude it.
fn early_names(inputs: &Inputs) -> BTreeSet<PackageName> {
    let said = [&inputs.requirements, &inputs.constraints, &inputs.overrides];
    let names_one = |requirement: &&Requirement| match &requirement.version_or_url {
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => specifiers.iter().any(|specifier| {
            let excludes = matches!(
                specifier.operator(),
                Operator::NotEqual | Operator::NotEqualStar
            );
            !excludes && specifier.version().any_prerelease()
        }),
        Some(VersionOrUrl::Url(_)) | None => false,
    };
    let named = said.into_iter().flatten().filter(names_one);
    named.map(|requirement| requirement.name.clone()).collect()
}

/// Order of preference among the files of one release: not withdrawn, then wheels by tag and build
/// number, then the source distribution.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    kept: bool,
    wheel: Option<(uv_platform_tags::TagPriority, Option<blast_types::BuildTag>)>,
}

/// The part of a wheel's name that says where it fits: `cp39-cp39-win_amd64`.
fn tag_names(filename: &str) -> String {
    let stem = filename.strip_suffix(".whl").unwrap_or(filename);
    let mut parts: Vec<&str> = stem.rsplitn(4, '-').take(3).collect();
    parts.reverse();
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::tag_names;

    #[test]
    fn tags_are_the_last_three_parts_of_a_wheel_name() {
        assert_eq!(
            tag_names("a_b-1.0-2-cp39-cp39-win_amd64.whl"),
            "cp39-cp39-win_amd64"
        );
        assert_eq!(tag_names("x.whl"), "x");
    }
}
