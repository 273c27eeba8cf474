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

use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use blast_types::{
    CoreMetadata, DistFile, PackageName, ProjectFiles, Requirement, VerbatimUrl, Version,
    VersionOrUrl, Yanked,
};
use futures::FutureExt as _;
use pubgrub::VersionSet as _;
use version_ranges::Ranges as VersionRanges;

use crate::fetch::MetadataFetch;
use crate::inputs::PrereleaseMode;
use crate::policy::{Candidate, Policy};
use crate::provider::DirectDist;
use crate::ranks::Ranks;
use crate::reason::Reason;
use crate::versions;

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
    page: Option<Arc<ProjectFiles>>,
    /// Whether the page is what a lock has of the project, and no more.
    sealed: bool,
    /// A release for each version of the page, made when it is first looked at: most never are.
    cells: Arc<[OnceLock<Arc<Release>>]>,
    /// Releases from URLs with their ranks, ascending.
    direct: Vec<(u32, Arc<Release>)>,
}

/// One version of a project that was looked at.
#[derive(Debug)]
pub(crate) struct Release {
    pub(crate) version: Version,
    pub(crate) origin: Origin,
    candidate: OnceLock<Candidate>,
    pub(crate) metadata: OnceLock<MetadataFetch>,
    broken: OnceLock<Reason>,
    /// Whether limits of time do not concern it: the user names it, or a lock has it.
    timeless: bool,
}

/// Where a release comes from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// The index: a position on the project's page.
    Index(Arc<ProjectFiles>, usize),
    /// A URL in a requirement.
    Url(VerbatimUrl, DirectDist),
}

impl Origin {
    /// All files of the release.
    pub(crate) fn files(&self) -> &[Arc<DistFile>] {
        match self {
            Self::Index(page, position) => &page.versions[*position].files,
            Self::Url(_, dist) => std::slice::from_ref(&dist.file),
        }
    }
}

impl Release {
    fn new(version: Version, origin: Origin) -> Arc<Self> {
        Arc::new(Self {
            timeless: matches!(origin, Origin::Url(..)),
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

    /// A release of a lock, which knows its metadata.
    fn locked(page: &Arc<ProjectFiles>, position: usize, metadata: Arc<CoreMetadata>) -> Arc<Self> {
        let known = std::future::ready(Ok(metadata)).boxed().shared();
        Arc::new(Self {
            version: page.versions[position].version.clone(),
            origin: Origin::Index(page.clone(), position),
            candidate: OnceLock::new(),
            metadata: OnceLock::from(known),
            broken: OnceLock::new(),
            timeless: true,
        })
    }

    /// The files that may be used.
    pub(crate) fn admitted<'a>(
        &'a self,
        name: &'a PackageName,
        policy: &'a Policy,
    ) -> impl Iterator<Item = &'a Arc<DistFile>> {
        let files = self.origin.files().iter();
        files.filter(|file| policy.admits_file(name, file, self.timeless))
    }

    pub(crate) fn url(&self) -> Option<&VerbatimUrl> {
        match &self.origin {
            Origin::Index(..) => None,
            Origin::Url(url, _) => Some(url),
        }
    }

    /// What the release comes down to.
    pub(crate) fn candidate(&self, name: &PackageName, policy: &Policy) -> &Candidate {
        self.candidate.get_or_init(|| {
            if let Some(reason) = policy.refuses(name, &self.version) {
                return Candidate::Unusable(reason);
            }
            match policy.candidate(name, self.origin.files(), self.timeless) {
                // Nobody withdraws what the user names by URL.
                Candidate::Usable { file, .. } if self.url().is_some() => Candidate::Usable {
                    file,
                    yanked: false,
                },
                candidate => candidate,
            }
        })
    }

    /// Notes that the release's metadata turned out to be of no use.
    pub(crate) fn set_broken(&self, reason: Reason) {
        // Whoever came first said the same.
        drop(self.broken.set(reason));
    }

    /// The file to use and whether it is withdrawn, unless the release is no candidate.
    pub(crate) fn usable(
        &self,
        name: &PackageName,
        policy: &Policy,
    ) -> Option<(&Arc<DistFile>, bool)> {
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
                Yanked::Yes(Some(why)) => Some(why.to_string()),
                Yanked::Yes(None) | Yanked::No => None,
            })),
            Candidate::Usable { .. } => None,
        }
    }
}

impl Project {
    pub(crate) fn from_index(page: Arc<ProjectFiles>) -> Self {
        Self {
            name: page.name.clone(),
            index: page.index.clone(),
            absence: None,
            cells: page.versions.iter().map(|_| OnceLock::new()).collect(),
            page: Some(page),
            sealed: false,
            direct: Vec::new(),
        }
    }

    /// What a lock has of a project: a page, and the metadata of each of its versions.
    pub(crate) fn from_lock(page: &Arc<ProjectFiles>, metadata: &[Arc<CoreMetadata>]) -> Self {
        let releases = metadata.iter().enumerate().map(|(position, metadata)| {
            OnceLock::from(Release::locked(page, position, metadata.clone()))
        });
        Self {
            cells: releases.collect(),
            sealed: true,
            ..Self::from_index(page.clone())
        }
    }

    /// What its index says of the project as a whole (PEP 792), if that is not `active`.
    pub(crate) fn status(&self) -> Option<&str> {
        self.page.as_ref()?.status.as_deref()
    }

    /// Whether only what a lock has of the project is known.
    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed
    }

    pub(crate) fn absent(name: PackageName, absence: Option<Absence>) -> Self {
        let (index, cells) = (Arc::from(""), Arc::from([]));
        Self {
            name,
            index,
            absence,
            page: None,
            sealed: false,
            cells,
            direct: Vec::new(),
        }
    }

    /// The same project with releases that URLs name.
    pub(crate) fn with_direct(&self, releases: &[Arc<Release>]) -> Self {
        let mut releases = releases.to_vec();
        releases.sort_by(|a, b| a.version.cmp(&b.version));
        let versions = self.page.as_ref().map_or(&[][..], |page| &page.versions);
        let direct = (0_u32..).zip(releases).map(|(before, release)| {
            // A release from the index stays before one of equal version from a URL.
            let listed = versions.partition_point(|listed| listed.version <= release.version);
            (
                u32::try_from(listed)
                    .unwrap_or(u32::MAX)
                    .saturating_add(before),
                release,
            )
        });
        Self {
            name: self.name.clone(),
            index: self.index.clone(),
            absence: self.absence,
            page: self.page.clone(),
            sealed: self.sealed,
            cells: self.cells.clone(),
            direct: direct.collect(),
        }
    }

    /// The index that offers a file of this project.
    pub(crate) fn index_of(&self, file: &Arc<DistFile>) -> &Arc<str> {
        self.page
            .as_ref()
            .map_or(&self.index, |page| page.index_of(file))
    }

    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.cells.len() + self.direct.len()).unwrap_or(u32::MAX)
    }

    /// A release of the page by its rank, or one from a URL.
    fn at(&self, rank: u32) -> Result<(&Arc<ProjectFiles>, usize), &Arc<Release>> {
        let mut position = rank as usize;
        for (direct, release) in &self.direct {
            match direct.cmp(&rank) {
                Ordering::Less => position -= 1,
                Ordering::Equal => return Err(release),
                Ordering::Greater => break,
            }
        }
        let page = self
            .page
            .as_ref()
            .expect("a rank that is no direct release is on the page");
        Ok((page, position))
    }

    pub(crate) fn version(&self, rank: u32) -> &Version {
        match self.at(rank) {
            Ok((page, position)) => &page.versions[position].version,
            Err(release) => &release.version,
        }
    }

    pub(crate) fn release(&self, rank: u32) -> &Arc<Release> {
        match self.at(rank) {
            Ok((page, position)) => self.cells[position].get_or_init(|| {
                let version = page.versions[position].version.clone();
                Release::new(version, Origin::Index(page.clone(), position))
            }),
            Err(release) => release,
        }
    }

    /// The metadata of a version that was offered to the solver, hence read.
    pub(crate) fn read_metadata(&self, rank: u32) -> Option<Arc<CoreMetadata>> {
        self.release(rank)
            .metadata
            .get()?
            .peek()?
            .as_ref()
            .ok()
            .cloned()
    }

    /// The rank of the release that a URL names.
    pub(crate) fn rank_of_url(&self, url: &VerbatimUrl) -> Option<u32> {
        self.direct
            .iter()
            .find(|(_, release)| release.url() == Some(url))
            .map(|(rank, _)| *rank)
    }

    fn is_direct(&self, rank: u32) -> bool {
        self.direct.iter().any(|(direct, _)| *direct == rank)
    }

    /// The ranks that a requirement admits, before any question of usability.
    pub(crate) fn ranks_of(&self, requirement: &Requirement) -> Ranks {
        match &requirement.version_or_url {
            None => Ranks::span(0, self.len()),
            Some(VersionOrUrl::VersionSpecifier(specifiers)) => {
                let ranks = self.ranks_in(&versions::range(specifiers));
                if !versions::asks_for_spelling(specifiers) {
                    return ranks;
                }
                let spelt = |rank: &u32| versions::admits_spelling(specifiers, self.version(*rank));
                let members = self.members(&ranks).filter(spelt);
                members.fold(Ranks::empty(), |found, rank| found.union(&Ranks::one(rank)))
            }
            Some(VersionOrUrl::Url(url)) => {
                self.rank_of_url(url).map_or_else(Ranks::empty, Ranks::one)
            }
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
        let versions = self.page.as_ref().map_or(&[][..], |page| &page.versions);
        let listed = versions.partition_point(|listed| holds(&listed.version));
        let direct = self
            .direct
            .iter()
            .filter(|(_, release)| holds(&release.version))
            .count();
        u32::try_from(listed + direct).unwrap_or(u32::MAX)
    }

    /// The ranks of a set that exist, newest first.
    pub(crate) fn members(&self, set: &Ranks) -> impl DoubleEndedIterator<Item = u32> + use<> {
        let segments = set.segments(self.len());
        segments
            .into_iter()
            .rev()
            .flat_map(|(low, high)| (low..high).rev())
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
        let kept = self.kept(set, policy);
        let allow = policy.inputs.options.prereleases == PrereleaseMode::Allow;
        let is_wanted = move |rank: u32, class: Class| {
            let early = !allow && self.version(rank).any_prerelease();
            // The cheap questions first: a page may have thousands of releases.
            let out = match class {
                Class::Final => early,
                Class::Prerelease => !early,
                Class::Admitted => false,
            };
            if out || kept == Some(rank) {
                return false;
            }
            let Some((_, yanked)) = self.release(rank).usable(&self.name, policy) else {
                return false;
            };
            let guarded = yanked || self.is_direct(rank);
            guarded == (class == Class::Admitted) && (!guarded || admits(rank))
        };
        let lowest = policy.lowest_first(&self.name);
        let classes = [Class::Final, Class::Prerelease, Class::Admitted];
        let ordered = classes.into_iter().flat_map(move |class| {
            let mut members = self.members(set);
            std::iter::from_fn(move || {
                if lowest {
                    members.next_back()
                } else {
                    members.next()
                }
            })
            .map(move |rank| (class, rank))
        });
        let wanted = ordered.filter(move |(class, rank)| is_wanted(*rank, *class));
        kept.into_iter().chain(wanted.map(|(_, rank)| rank))
    }

    /// The version to be kept, if it is in the set and can still be had.
    fn kept(&self, set: &Ranks, policy: &Policy) -> Option<u32> {
        policy.preferred(&self.name).iter().find_map(|version| {
            let ranks = self.count(|other| other < version)..self.count(|other| other <= version);
            ranks.into_iter().find(|rank| {
                set.contains(rank)
                    && !self.is_direct(*rank)
                    && self.release(*rank).usable(&self.name, policy).is_some()
            })
        })
    }
}

/// In which turn candidates are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Final,
    Prerelease,
    Admitted,
}
