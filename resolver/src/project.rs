//! A project as the search sees it: its releases in ascending order, each known by its position
//! (**rank**). Ranges of versions are turned into sets of ranks once, so that the solver compares
//! integers; what a rank means is looked up again only for people.
//!
//! Invariant: for one search run the ranks of a project do not change. When a run learns of a
//! distribution that only a URL reaches, a new project with one more release is made and the
//! search begins anew.
//!
//! Concurrency: a project is shared between the search thread and fetching tasks; what is found
//! out late (candidates, metadata) sits in once-cells.

use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use version_ranges::Ranges as VersionRanges;
use blast_types::{
    DistFile, PackageName, ProjectFiles, Requirement, VerbatimUrl, Version, VersionOrUrl,
};
use pubgrub::VersionSet as _;

use crate::fetch::MetadataFetch;
use crate::inputs::PrereleaseMode;
use crate::policy::{Candidate, Policy};
use crate::provider::DirectDist;
use crate::ranks::Ranks;
use crate::reason::Reason;

/// Why a project has no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absence {
    /// No index has it.
    NotFound,
    /// The cache does not have it, and the index was not asked.
    NotCached,
}

/// One project.
#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) name: PackageName,
    pub(crate) index: Arc<str>,
    pub(crate) absence: Option<Absence>,
    releases: Vec<Arc<Release>>,
}

/// One version of a project.
#[derive(Debug)]
pub(crate) struct Release {
    pub(crate) version: Version,
    pub(crate) origin: Origin,
    candidate: OnceLock<Candidate>,
    pub(crate) metadata: OnceLock<MetadataFetch>,
    broken: OnceLock<Reason>,
}

/// Where a release comes from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// The index: these files.
    Index(Vec<Arc<DistFile>>),
    /// A URL in a requirement.
    Url(VerbatimUrl, DirectDist),
}

impl Release {
    fn new(version: Version, origin: Origin) -> Arc<Self> {
        Arc::new(Self {
            version,
            origin,
            candidate: OnceLock::new(),
            metadata: OnceLock::new(),
            broken: OnceLock::new(),
        })
    }

    /// A release that a URL names.
    pub(crate) fn direct(url: VerbatimUrl, dist: DirectDist) -> Arc<Self> {
        Self::new(dist.metadata.version.clone(), Origin::Url(url, dist))
    }

    pub(crate) fn url(&self) -> Option<&VerbatimUrl> {
        match &self.origin {
            Origin::Index(_) => None,
            Origin::Url(url, _) => Some(url),
        }
    }

    /// What the release comes down to.
    pub(crate) fn candidate(&self, name: &PackageName, policy: &Policy) -> &Candidate {
        self.candidate.get_or_init(|| {
            if let Some(reason) = policy.refuses(name, &self.version) {
                return Candidate::Unusable(reason);
            }
            match &self.origin {
                Origin::Index(files) => policy.candidate(name, files),
                // The user's URL is taken at its word; its tags still have to fit.
                Origin::Url(_, dist) => match policy.candidate(name, &[dist.file.clone()]) {
                    Candidate::Usable { file, .. } => Candidate::Usable { file, yanked: false },
                    unusable @ Candidate::Unusable(_) => unusable,
                },
            }
        })
    }

    /// Notes that the release's metadata turned out to be of no use.
    pub(crate) fn set_broken(&self, reason: Reason) {
        // Whoever came first said the same.
        drop(self.broken.set(reason));
    }

    /// The file to use, unless the release is no candidate.
    pub(crate) fn usable(&self, name: &PackageName, policy: &Policy) -> Option<(&Arc<DistFile>, bool)> {
        if self.broken.get().is_some() {
            return None;
        }
        match self.candidate(name, policy) {
            Candidate::Usable { file, yanked } => Some((file, *yanked)),
            Candidate::Unusable(_) => None,
        }
    }

    /// Why the release is no candidate (in the absence of anything that would admit it).
    pub(crate) fn reason(&self, name: &PackageName, policy: &Policy) -> Option<Reason> {
        if let Some(reason) = self.broken.get() {
            return Some(reason.clone());
        }
        match self.candidate(name, policy) {
            Candidate::Unusable(reason) => Some(reason.clone()),
            Candidate::Usable { yanked: true, file } => Some(Reason::Yanked(match &file.yanked {
                blast_types::Yanked::Yes(Some(why)) => Some(why.to_string()),
                blast_types::Yanked::Yes(None) | blast_types::Yanked::No => None,
            })),
            Candidate::Usable { .. } => None,
        }
    }
}

impl Project {
    pub(crate) fn from_index(files: &ProjectFiles) -> Self {
        let releases = files
            .versions
            .iter()
            .map(|version| {
                Release::new(version.version.clone(), Origin::Index(version.files.clone()))
            })
            .collect();
        let mut project =
            Self { name: files.name.clone(), index: files.index.clone(), absence: None, releases };
        if !project.releases.is_sorted_by(|a, b| a.version < b.version) {
            project.releases.sort_by(|a, b| a.version.cmp(&b.version));
        }
        project
    }

    pub(crate) fn absent(name: PackageName, absence: Option<Absence>) -> Self {
        Self { name, index: Arc::from(""), absence, releases: Vec::new() }
    }

    /// The same project with releases that URLs name.
    pub(crate) fn with_direct(&self, direct: &[Arc<Release>]) -> Self {
        let mut releases = self.releases.clone();
        releases.extend(direct.iter().cloned());
        // Stable: a release from the index stays before one of equal version from a URL.
        releases.sort_by(|a, b| a.version.cmp(&b.version));
        Self { name: self.name.clone(), index: self.index.clone(), absence: self.absence, releases }
    }

    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.releases.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn release(&self, rank: u32) -> &Arc<Release> {
        &self.releases[rank as usize]
    }

    pub(crate) fn releases(&self) -> &[Arc<Release>] {
        &self.releases
    }

    /// The ranks that a requirement admits, before any question of usability.
    pub(crate) fn ranks_of(&self, requirement: &Requirement) -> Ranks {
        match &requirement.version_or_url {
            None => Ranks::span(0, self.len()),
            Some(VersionOrUrl::VersionSpecifier(specifiers)) => {
                self.ranks_in(&VersionRanges::from(specifiers.clone()))
            }
            Some(VersionOrUrl::Url(url)) => self
                .releases
                .iter()
                .position(|release| release.url() == Some(url))
                .and_then(|rank| u32::try_from(rank).ok())
                .map_or_else(Ranks::empty, Ranks::one),
        }
    }

    fn ranks_in(&self, range: &VersionRanges<Version>) -> Ranks {
        let mut ranks = Ranks::empty();
        for (lower, upper) in range.iter() {
            let low = match lower {
                Bound::Unbounded => 0,
                Bound::Included(version) => self.count(|other| other < version),
                Bound::Excluded(version) => self.count(|other| other <= version),
            };
            let high = match upper {
                Bound::Unbounded => self.len(),
                Bound::Included(version) => self.count(|other| other <= version),
                Bound::Excluded(version) => self.count(|other| other < version),
            };
            ranks = ranks.union(&Ranks::span(low, high));
        }
        ranks
    }

    /// How many releases, from the oldest on, a monotonous predicate holds for.
    fn count(&self, holds: impl Fn(&Version) -> bool) -> u32 {
        let count = self.releases.partition_point(|release| holds(&release.version));
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// The ranks of a set that exist, newest first.
    pub(crate) fn members(&self, set: &Ranks) -> impl DoubleEndedIterator<Item = u32> + use<> {
        let segments = set.segments(self.len());
        segments.into_iter().rev().flat_map(|(low, high)| (low..high).rev())
    }

    /// The candidates in a set, the most wanted first, given that nothing admits withdrawn releases
    /// and those from URLs except as `admits` says.
    ///
    /// The order: the version to be kept; final releases; pre-releases; what had to be admitted.
    pub(crate) fn candidates<'a>(
        &'a self,
        set: &'a Ranks,
        policy: &'a Policy,
        admits: impl Fn(u32) -> bool + 'a,
    ) -> impl Iterator<Item = u32> + 'a {
        let kept = policy.inputs.preferences.get(&self.name);
        let kept = kept.and_then(|version| {
            self.members(set).find(|rank| {
                let release = self.release(*rank);
                release.version == *version
                    && release.url().is_none()
                    && release.usable(&self.name, policy).is_some()
            })
        });
        let mode = policy.inputs.options.prereleases;
        let class = move |rank: u32| {
            let release = self.release(rank);
            let (_, yanked) = release.usable(&self.name, policy)?;
            if release.url().is_some() || yanked {
                return (kept != Some(rank) && admits(rank)).then_some(2);
            }
            let early = mode != PrereleaseMode::Allow && release.version.any_prerelease();
            (kept != Some(rank)).then_some(u8::from(early))
        };
        let lowest = policy.lowest_first(&self.name);
        let ordered = (0..3_u8).flat_map(move |wanted| {
            let mut members = self.members(set);
            let mut next = move || if lowest { members.next_back() } else { members.next() };
            std::iter::from_fn(move || next())
                .map(move |rank| (wanted, rank))
        });
        kept.into_iter().chain(
            ordered.filter(move |(wanted, rank)| class(*rank) == Some(*wanted)).map(|(_, rank)| rank),
        )
    }
}
