//! The inputs in the form that the search asks: which requirements apply here, and which files
//! may be used. Pure functions of the inputs, so that the search thread and the tasks that fetch
//! ahead of it agree without talking.

use std::collections::BTreeSet;
use std::sync::Arc;

use blast_types::{
    DistFile, DistKind, ExtraName, MarkerTree, PackageName, Requirement, Tags, VerbatimUrl,
    Version, VersionOrUrl, Yanked,
};
use rustc_hash::FxHashMap;
use uv_pep440::Operator;
use version_ranges::Ranges as VersionRanges;

use crate::inputs::{Inputs, PrereleaseMode, ResolutionMode};
use crate::marker;
use crate::reason::Reason;
use crate::scope::{Fit, Scope};

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
    /// Where the answer has to hold.
    pub(crate) scope: Scope,
    /// Versions to keep, of each package the most wanted first.
    preferences: FxHashMap<PackageName, Vec<Version>>,
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
    pub(crate) fn new(inputs: Inputs) -> Self {
        let scope = Scope::one(inputs.target.clone());
        let preferences = inputs
            .preferences
            .iter()
            .map(|(name, version)| (name.clone(), vec![version.clone()]))
            .collect();
        Self::within(inputs, scope, preferences)
    }

    /// For a scope, with these versions to keep in place of those of the inputs.
    pub(crate) fn within(
        mut inputs: Inputs,
        scope: Scope,
        mut preferences: FxHashMap<PackageName, Vec<Version>>,
    ) -> Self {
        // The answer must not depend on the order in which somebody listed the requirements.
        inputs
            .requirements
            .retain(|requirement| scope.admits(requirement.marker, &[]));
        inputs.requirements.sort();
        inputs.requirements.dedup();
        preferences.retain(|name, _| !inputs.upgrade.forgets(name));
        let mut overrides = FxHashMap::<PackageName, Vec<Requirement>>::default();
        for requirement in &inputs.overrides {
            let list = overrides.entry(requirement.name.clone()).or_default();
            if scope.admits(requirement.marker, &[]) {
                list.push(requirement.clone());
            }
        }
        let mut policy = Self {
            scope,
            preferences,
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
            if !self.scope.admits(requirement.marker, &[]) {
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
            .filter(|requirement| self.scope.admits(requirement.marker, &[]));
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
            } else if match extra {
                None => self.scope.admits(marker, &[]),
                Some(extra) => self.scope.adds(marker, extra),
            } {
                found.push(requirement);
            }
        }
        found
    }

    /// Where in the scope a requirement that is applicable holds.
    pub(crate) fn condition(
        &self,
        requirement: &Requirement,
        extra: Option<&ExtraName>,
    ) -> MarkerTree {
        let extras = extra.map(std::slice::from_ref).unwrap_or_default();
        self.scope.condition(requirement.marker, extras)
    }

    /// The versions of a package to keep, the most wanted first.
    pub(crate) fn preferred(&self, name: &PackageName) -> &[Version] {
        self.preferences.get(name).map_or(&[], Vec::as_slice)
    }

    /// All versions to keep.
    pub(crate) fn preferences(&self) -> &FxHashMap<PackageName, Vec<Version>> {
        &self.preferences
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
            && !self.scope.admits_python(specifiers)
        {
            return Err(self.python_reason(specifiers.to_string()));
        }
        let stated = options.is_stated(name, file);
        let kept = file.yanked == Yanked::No;
        match &file.kind {
            DistKind::Sdist(_) if options.only_binary.contains(name) => Err(Reason::OnlyBinary),
            DistKind::Sdist(_) => Ok(Rank {
                stated,
                kept,
                wheel: None,
            }),
            DistKind::Wheel(_) if options.no_binary.contains(name) => Err(Reason::NoBinary),
            DistKind::Wheel(wheel) => match self.scope.fit(wheel) {
                Some(fit) => Ok(Rank {
                    stated,
                    kept,
                    wheel: Some((fit, wheel.build_tag().cloned())),
                }),
                None => Err(Reason::Tags(marker::tags_of(&file.filename))),
            },
        }
    }

    /// The file whose metadata are read for a release that can be had as `file`. In a region any
    /// wheel tells what a source distribution would only tell when built.
    pub(crate) fn tells(&self, file: &Arc<DistFile>, all: &[Arc<DistFile>]) -> Arc<DistFile> {
        let needs_build = matches!(file.kind, DistKind::Sdist(_));
        let wheel = all
            .iter()
            .find(|file| matches!(file.kind, DistKind::Wheel(_)));
        match (self.scope.as_region(), wheel) {
            (Some(_), Some(wheel)) if needs_build => wheel.clone(),
            _ => file.clone(),
        }
    }

    /// Whether a file may be used at all in the scope.
    pub(crate) fn admits_file(&self, name: &PackageName, file: &DistFile, by_url: bool) -> bool {
        self.rank(name, file, by_url).is_ok()
    }

    /// Why metadata that was read only now makes a version unusable.
    pub(crate) fn refuses_python(
        &self,
        specifiers: Option<&blast_types::VersionSpecifiers>,
    ) -> Option<Reason> {
        let specifiers = specifiers?;
        (!self.scope.admits_python(specifiers)).then(|| self.python_reason(specifiers.to_string()))
    }

    fn python_reason(&self, needs: String) -> Reason {
        Reason::Python {
            needs,
            has: self.scope.python_words(),
        }
    }

    pub(crate) fn tags(&self) -> &Tags {
        &self.scope.target().tags
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

/// Order of preference among the files of one release: of a hash that was stated, not withdrawn, then
/// wheels by tag and build number, then the source distribution.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    stated: bool,
    kept: bool,
    wheel: Option<(Fit, Option<blast_types::BuildTag>)>,
}
