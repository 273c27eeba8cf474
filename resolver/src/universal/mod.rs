//! One answer for every environment that matters.
//!
//! The environments are a marker: the Pythons of `requires-python`, any system and machine, any
//! choice of extras and groups. A **fork** is a region of them with one version of each package.
//! The search begins with a single fork. Where its region has no one answer, or a release that was
//! chosen does not support all of the region that needs it, the region is split in two along the
//! marker that is the reason (see `split`). So there are forks only where needed, and there is an
//! answer exactly if every environment has one.
//!
//! Forks with the newest Pythons come first, and each prefers the versions of those before it. In
//! the end forks that turn out to agree become one again, provided that a search in their union
//! says the same. A lock names its forks; the next search begins with them, and with its versions
//! as preferences, so that nothing changes that need not.

mod lock;
mod memo;

use std::collections::BTreeMap;
use std::sync::Arc;

use blast_types::{MarkerTree, PackageName, Reporter, Version, VersionSpecifiers};
use rustc_hash::FxHashMap;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::error::ResolveError;
use crate::fetch::Fetcher;
use crate::inputs::Inputs;
use crate::lock::Lock;
use crate::marker;
use crate::policy::Policy;
use crate::provider::Provider;
use crate::resolution::{Resolution, ResolvedPackage, Statistics};
use crate::scope::Scope;
use crate::sealed::Sealed;
use crate::search::{self, Outcome};
use crate::split::Split;
use memo::Memo;

pub use lock::Choices;

/// What a universal resolution is asked for.
#[derive(Debug)]
pub struct Question {
    /// The requirements and choices. The target is the one that the user asks from: a package
    /// that has wheels only has to have one for it.
    pub inputs: Inputs,
    /// The Pythons that the answer is for; `None`: all.
    pub requires_python: Option<VersionSpecifiers>,
    /// The lock that there is. Its versions are kept where they can be, and what it knows of them
    /// is not asked again.
    pub previous: Option<Lock>,
}

/// What holds in every environment.
#[derive(Debug, Clone)]
pub struct Universal {
    /// The packages with the markers where they are needed; sorted by name and version. A name
    /// may occur several times, under markers that exclude each other.
    pub packages: Vec<ResolvedPackage>,
    /// The regions that have answers of their own; one at least.
    pub forks: Vec<Fork>,
    /// What finding it took.
    pub statistics: Statistics,
    requires_python: Option<VersionSpecifiers>,
    requirements: Vec<String>,
    all: MarkerTree,
}

/// A region of the environments with one version of each package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    /// Which; always true for all environments.
    pub marker: MarkerTree,
    /// Why it has an answer of its own, a sentence for each split that led to it; empty where the
    /// lock that was there had the fork.
    pub because: Vec<String>,
}

/// A region that waits for its answer.
struct Open {
    marker: MarkerTree,
    because: Vec<String>,
}

/// A region that has its answer.
struct Solved {
    marker: MarkerTree,
    because: Vec<String>,
    packages: Vec<ResolvedPackage>,
}

/// Finds one answer for every environment.
///
/// Must be called on a tokio runtime. Dropping the future ends the search and everything that was
/// being fetched for it.
///
/// # Errors
/// [`ResolveError::NoSolution`] explains why nothing fits, and names the environments concerned
/// where that is not all of them.
pub async fn resolve(
    question: Question,
    provider: Arc<dyn Provider>,
    reporter: Arc<dyn Reporter>,
) -> Result<Universal, ResolveError> {
    crate::on_thread(reporter, move |cancel, reporter| {
        Search::new(question, provider, cancel, reporter).run()
    })
    .await
}

struct Search<'a> {
    inputs: Inputs,
    requires_python: Option<VersionSpecifiers>,
    previous: Option<Lock>,
    all: MarkerTree,
    memo: Arc<Memo>,
    sealed: Arc<Sealed>,
    cancel: CancellationToken,
    reporter: &'a dyn Reporter,
    statistics: Statistics,
}

impl<'a> Search<'a> {
    fn new(
        question: Question,
        provider: Arc<dyn Provider>,
        cancel: CancellationToken,
        reporter: &'a dyn Reporter,
    ) -> Self {
        let Question {
            inputs,
            requires_python,
            previous,
        } = question;
        let all = requires_python
            .as_ref()
            .map_or(MarkerTree::TRUE, marker::of_project_python);
        // Markers of a lock hold within its Pythons; what lies beyond it knows nothing of.
        let previous = previous.filter(|lock| {
            let known = lock.requires_python.as_ref();
            known.is_none_or(|known| all.is_disjoint(marker::of_project_python(known).negate()))
        });
        let sealed = previous.as_ref().map_or_else(Sealed::default, |lock| {
            Sealed::new(lock, |name| inputs.upgrade.forgets(name))
        });
        Self {
            inputs,
            requires_python,
            previous,
            all,
            memo: Memo::new(provider),
            sealed: Arc::new(sealed),
            cancel,
            reporter,
            statistics: Statistics::default(),
        }
    }

    fn run(mut self) -> Result<Universal, ResolveError> {
        let mut open = self.beginnings();
        let mut solved = Vec::<Solved>::new();
        while let Some(next) = open.pop() {
            match self.solve(next.marker, &solved)? {
                Ok(resolution) => solved.push(Solved {
                    marker: next.marker,
                    because: next.because,
                    packages: resolution.packages,
                }),
                Err(split) => open.extend(self.parts(next, &split)),
            }
        }
        self.merge(&mut solved)?;
        (
            self.statistics.projects_fetched,
            self.statistics.metadata_fetched,
        ) = self.memo.counts();
        Ok(self.answer(solved))
    }

    /// The regions to begin with; the last is solved first.
    fn beginnings(&self) -> Vec<Open> {
        let mut regions = vec![self.all];
        if let (Some(lock), false) = (&self.previous, self.upgrades_all()) {
            let forks = lock::forks(lock);
            if !forks.is_empty() {
                regions = Vec::new();
                let mut rest = self.all;
                for fork in forks {
                    regions.push(rest.and(fork));
                    rest = rest.and(fork.negate());
                }
                regions.push(rest);
            }
        }
        // A constraint has no requirement that a split could go by.
        for constraint in &self.inputs.constraints {
            let parts = [constraint.marker, constraint.marker.negate()];
            regions = regions
                .into_iter()
                .flat_map(|region| parts.map(|part| region.and(part)))
                .collect();
        }
        regions.retain(|region| !region.is_false());
        self.sort(&mut regions);
        let begin = |marker| Open {
            marker,
            because: Vec::new(),
        };
        regions.into_iter().map(begin).collect()
    }

    fn upgrades_all(&self) -> bool {
        self.inputs.upgrade == crate::inputs::Upgrade::All
    }

    /// The parts of a region, in the order of [`Self::beginnings`].
    fn parts(&self, region: Open, split: &Split) -> Vec<Open> {
        let mut because = region.because;
        because.push(split.why.clone());
        let mut parts = vec![
            region.marker.and(split.marker.negate()),
            region.marker.and(split.marker),
        ];
        self.sort(&mut parts);
        let open = |marker| Open {
            marker,
            because: because.clone(),
        };
        parts.into_iter().map(open).collect()
    }

    /// Regions with the newest Python last, of those the one that the user asks from last.
    fn sort(&self, regions: &mut [MarkerTree]) {
        let here = &self.inputs.target.markers;
        regions.sort_by_key(|region| {
            let newest = marker::newest_minor(*region);
            (newest, region.evaluate(here, &[]))
        });
    }

    /// Searches in one region.
    fn solve(
        &mut self,
        region: MarkerTree,
        solved: &[Solved],
    ) -> Result<Result<Resolution, Split>, ResolveError> {
        let scope = Scope::region(region, self.inputs.target.clone());
        let preferences = self.preferences(region, solved);
        let policy = Policy::within(self.inputs.clone(), scope, preferences);
        let fetcher = Fetcher::new(
            self.memo.clone(),
            Arc::new(policy),
            self.sealed.clone(),
            Handle::current(),
            self.cancel.clone(),
        );
        match search::search(&fetcher, self.reporter) {
            Ok(Outcome::Answer(resolution)) => {
                self.statistics.versions_considered += resolution.statistics.versions_considered;
                self.statistics.restarts += resolution.statistics.restarts;
                Ok(Ok(resolution))
            }
            Ok(Outcome::Split(split)) => Ok(Err(split)),
            Err(ResolveError::NoSolution(mut explanation)) => {
                explanation.environments = self.shown(region).try_to_string();
                Err(ResolveError::NoSolution(explanation))
            }
            Err(error) => Err(error),
        }
    }

    /// Versions to keep in a region: those of the lock, then those that other regions have.
    fn preferences(
        &self,
        region: MarkerTree,
        solved: &[Solved],
    ) -> FxHashMap<PackageName, Vec<Version>> {
        let mut preferences = FxHashMap::<PackageName, Vec<Version>>::default();
        for package in self.previous.iter().flat_map(|lock| &lock.packages) {
            if let Some(version) = &package.version
                && !package.marker.is_disjoint(region)
            {
                let list = preferences.entry(package.name.clone()).or_default();
                list.push(version.clone());
            }
        }
        preferences.retain(|name, _| !self.inputs.upgrade.forgets(name));
        for (name, version) in &self.inputs.preferences {
            if !self.inputs.upgrade.forgets(name) {
                let list = preferences.entry(name.clone()).or_default();
                list.push(version.clone());
            }
        }
        for package in solved.iter().flat_map(|solved| &solved.packages) {
            let list = preferences.entry(package.name.clone()).or_default();
            list.push(package.version.clone());
        }
        preferences
    }

    /// Makes forks one again that agree.
    fn merge(&mut self, solved: &mut Vec<Solved>) -> Result<(), ResolveError> {
        let mut first = 0;
        while first < solved.len() {
            let mut second = first + 1;
            while second < solved.len() {
                match self.merged(&solved[first], &solved[second])? {
                    Some(both) => {
                        solved[first] = both;
                        solved.remove(second);
                        second = first + 1;
                    }
                    None => second += 1,
                }
            }
            first += 1;
        }
        if let [only] = solved.as_mut_slice() {
            only.because.clear();
        }
        Ok(())
    }

    /// Two forks as one, if a search in their union chooses what they chose.
    fn merged(&mut self, one: &Solved, other: &Solved) -> Result<Option<Solved>, ResolveError> {
        let mut wanted = versions(&one.packages);
        for (name, version) in versions(&other.packages) {
            if *wanted.entry(name).or_insert(version) != version {
                return Ok(None);
            }
        }
        let region = one.marker.or(other.marker);
        let scope = Scope::region(region, self.inputs.target.clone());
        let preferences = wanted
            .iter()
            .map(|(name, version)| ((*name).clone(), vec![(*version).clone()]))
            .collect();
        let mut inputs = self.inputs.clone();
        inputs.upgrade = crate::inputs::Upgrade::None;
        let policy = Policy::within(inputs, scope, preferences);
        let fetcher = Fetcher::new(
            self.memo.clone(),
            Arc::new(policy),
            self.sealed.clone(),
            Handle::current(),
            self.cancel.clone(),
        );
        match search::search(&fetcher, &blast_types::Silent) {
            Ok(Outcome::Answer(resolution)) if versions(&resolution.packages) == wanted => {
                let both = one.because.iter().zip(&other.because);
                let common = both.take_while(|(a, b)| a == b).map(|(why, _)| why.clone());
                Ok(Some(Solved {
                    marker: region,
                    because: common.collect(),
                    packages: resolution.packages,
                }))
            }
            Ok(_) | Err(ResolveError::NoSolution(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A marker as it reads within the environments that the answer is for.
    fn shown(&self, marker: MarkerTree) -> MarkerTree {
        marker.restrict(self.all)
    }

    fn answer(self, mut solved: Vec<Solved>) -> Universal {
        let mut packages = BTreeMap::<_, ResolvedPackage>::new();
        for package in solved
            .iter_mut()
            .flat_map(|s| std::mem::take(&mut s.packages))
        {
            let url = package.direct.as_ref().map(ToString::to_string);
            let key = (package.name.clone(), package.version.clone(), url);
            match packages.entry(key) {
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(package);
                }
                std::collections::btree_map::Entry::Occupied(mut entry) => {
                    join(entry.get_mut(), package);
                }
            }
        }
        let mut packages: Vec<_> = packages.into_values().collect();
        for package in &mut packages {
            package.marker = package.marker.restrict(self.all);
        }
        let mut forks: Vec<_> = solved
            .into_iter()
            .map(|solved| Fork {
                marker: self.shown(solved.marker),
                because: solved.because,
            })
            .collect();
        forks.sort_by_key(|fork| {
            let newest = marker::newest_minor(fork.marker);
            (std::cmp::Reverse(newest), fork.marker.try_to_string())
        });
        let mut requirements: Vec<_> = self.inputs.requirements.iter().collect();
        requirements.sort();
        requirements.dedup();
        Universal {
            requirements: requirements.into_iter().map(ToString::to_string).collect(),
            packages,
            forks,
            statistics: self.statistics,
            requires_python: self.requires_python,
            all: self.all,
        }
    }
}

/// The version of each package of a fork.
fn versions(packages: &[ResolvedPackage]) -> BTreeMap<&PackageName, &Version> {
    packages
        .iter()
        .map(|package| (&package.name, &package.version))
        .collect()
}

/// The same package in another fork.
fn join(package: &mut ResolvedPackage, other: ResolvedPackage) {
    package.marker = package.marker.or(other.marker);
    package.extras.extend(other.extras);
    package.dependencies.extend(other.dependencies);
    package.dependencies.sort();
    package.dependencies.dedup();
    package.requested |= other.requested;
}
