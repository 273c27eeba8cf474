//! The search: runs of the solver, each knowing what the runs before learned.
//!
//! pubgrub decides package by package and never puts a later decision before an earlier one. Where
//! an early, new choice makes a later package walk back through its whole history, the better
//! answer lies in the other order. So a package that has tried more than a few versions is given
//! an earlier turn and the search begins anew; data that was fetched stays, so a run costs
//! milliseconds. The allowance of a package grows eightfold each time it is used up, so of two
//! packages that exclude each other's new versions the one that has to give way least does, and
//! the whole costs no more than a small multiple of the run that succeeds.
//!
//! Runs also begin anew when a requirement is met that admits what was no candidate before: a
//! distribution at a URL, or a withdrawn version that is pinned. Within one run the candidates
//! never change, which is what makes the solver's conclusions valid.

use std::cell::RefCell;
use std::sync::Arc;

use blast_types::{PackageName, Reporter, Version};
use pubgrub::{NoSolutionError, PubGrubError};
use rustc_hash::{FxHashMap, FxHashSet};
use uv_pep440::{Operator, VersionSpecifier};

use crate::answer::{self, Assembled};
use crate::error::ResolveError;
use crate::explain::{self, Explanation};
use crate::fetch::Fetcher;
use crate::project::{Project, Release};
use crate::resolution::{Resolution, Statistics};
use crate::solver::{Node, Solver, Stop};
use crate::split::{self, Split};

/// Versions that a package may try before it is given an earlier turn.
const ALLOWANCE: usize = 5;

/// What an allowance that was used up is multiplied by.
const GROWTH: usize = 8;

/// How often turns may change; a bound that no real set of packages comes near.
const MAX_PROMOTIONS: u32 = 60;

/// What runs leave for the runs after them.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    turns: FxHashMap<PackageName, u32>,
    last_turn: u32,
    allowances: FxHashMap<PackageName, usize>,
    yanked: FxHashSet<(PackageName, Version)>,
    direct: FxHashMap<PackageName, Vec<Arc<Release>>>,
    denied: FxHashSet<(PackageName, Version, Option<String>)>,
}

impl Learned {
    /// The package's turn: the greater, the earlier; 0 for most.
    pub(crate) fn turn(&self, name: &PackageName) -> u32 {
        self.turns.get(name).copied().unwrap_or(0)
    }

    /// How many versions a package may try before its turn is thought over.
    pub(crate) fn allowance(&self, name: &PackageName) -> usize {
        self.allowances.get(name).copied().unwrap_or(ALLOWANCE)
    }

    /// Notes that a package has tried so many versions; whether that changes its turn.
    pub(crate) fn promote(&mut self, name: &PackageName, tried: usize) -> bool {
        let allowance = self.allowances.entry(name.clone()).or_insert(ALLOWANCE);
        if tried <= *allowance {
            return false;
        }
        *allowance *= GROWTH;
        let first_already = self.last_turn > 0 && self.turn(name) == self.last_turn;
        if first_already || self.last_turn >= MAX_PROMOTIONS {
            return false;
        }
        self.last_turn += 1;
        self.turns.insert(name.clone(), self.last_turn);
        true
    }

    /// Whether a release that is no candidate by itself may be chosen.
    pub(crate) fn admits(&self, name: &PackageName, release: &Release) -> bool {
        let url = release.url().map(ToString::to_string);
        if url.is_none()
            && !self
                .yanked
                .contains(&(name.clone(), release.version.clone()))
        {
            return false;
        }
        !self
            .denied
            .contains(&(name.clone(), release.version.clone(), url))
    }

    /// A requirement pins a withdrawn version; whether that is news.
    pub(crate) fn admit_yanked(&mut self, name: &PackageName, version: &Version) -> bool {
        self.yanked.insert((name.clone(), version.clone()))
    }

    /// A requirement names a distribution by URL.
    pub(crate) fn add_direct(&mut self, name: &PackageName, release: Arc<Release>) {
        self.direct.entry(name.clone()).or_default().push(release);
    }

    /// An answer used a release that nothing in the answer admits.
    pub(crate) fn deny(&mut self, name: &PackageName, release: &Release) {
        let url = release.url().map(ToString::to_string);
        self.denied
            .insert((name.clone(), release.version.clone(), url));
    }

    /// The project with the distributions that URLs name.
    pub(crate) fn with_direct(&self, project: Arc<Project>) -> Arc<Project> {
        match self.direct.get(&project.name) {
            None => project,
            Some(releases) => Arc::new(project.with_direct(releases)),
        }
    }
}

/// Whether a specifier means one version (PEP 592 calls that pinning).
pub(crate) fn is_pin(specifier: &VersionSpecifier) -> bool {
    matches!(specifier.operator(), Operator::Equal | Operator::ExactEqual)
}

/// How a search ends that does not fail.
pub(crate) enum Outcome {
    /// With an answer.
    Answer(Resolution),
    /// A region has no one answer, but its parts may have.
    Split(Split),
}

/// Searches until there is an answer or a proof that there is none, which is then explained.
pub(crate) fn search(
    fetcher: &Arc<Fetcher>,
    reporter: &dyn Reporter,
) -> Result<Outcome, ResolveError> {
    match run(fetcher, reporter, usize::MAX, explain::explain)? {
        Ok(outcome) => Ok(outcome),
        Err(mut explanation) => {
            explanation.hints = explain::proven(fetcher, explanation.hints)?;
            Err(ResolveError::NoSolution(Box::new(explanation)))
        }
    }
}

/// Whether a search of so many versions finds an answer, `Err` within being why not. A region that
/// would have to be split is taken to have one.
pub(crate) fn attempt(
    fetcher: &Arc<Fetcher>,
    effort: usize,
) -> Result<Result<(), Explanation>, ResolveError> {
    let outcome = run(fetcher, &blast_types::Silent, effort, explain::explain);
    fetcher.stop();
    outcome.map(|outcome| outcome.map(drop))
}

/// Searches; `Err` within is what `explain` makes of the proof that there is no answer. Looking at
/// more versions than `effort` ends the search as if it were cancelled.
fn run<E>(
    fetcher: &Arc<Fetcher>,
    reporter: &dyn Reporter,
    effort: usize,
    explain: impl Fn(&Solver<'_>, &NoSolutionError<Solver<'_>>) -> E,
) -> Result<Result<Outcome, E>, ResolveError> {
    let learned = RefCell::new(Learned::default());
    fetcher.anticipate(fetcher.policy().roots());
    learn_pinned_urls(fetcher, &learned)?;
    let mut statistics = Statistics::default();
    loop {
        let left = effort.saturating_sub(statistics.versions_considered);
        let solver = Solver::new(fetcher, &learned, reporter, left);
        let outcome = pubgrub::resolve(&solver, Node::Root, 0_u32);
        statistics.versions_considered += solver.considered.get();
        let stop = match outcome {
            Ok(selected) => match answer::assemble(&solver, &selected)? {
                Assembled::Packages(packages) => {
                    (statistics.projects_fetched, statistics.metadata_fetched) = fetcher.counts();
                    tracing::debug!(?statistics, "resolved");
                    return Ok(Ok(Outcome::Answer(Resolution {
                        packages,
                        statistics,
                    })));
                }
                Assembled::Again => Stop::Restart,
                Assembled::Split(split) => Stop::Split(split),
            },
            Err(PubGrubError::NoSolution(tree)) => {
                if solver.open_all() {
                    Stop::Restart
                } else if let Some(split) = split::of_proof(&solver, &tree) {
                    Stop::Split(split)
                } else {
                    return Ok(Err(explain(&solver, &tree)));
                }
            }
            Err(
                PubGrubError::ErrorRetrievingDependencies { source, .. }
                | PubGrubError::ErrorChoosingVersion { source, .. }
                | PubGrubError::ErrorInShouldCancel(source),
            ) => source,
        };
        match stop {
            Stop::Restart => statistics.restarts += 1,
            Stop::Split(split) => return Ok(Ok(Outcome::Split(split))),
            Stop::Failed(error) => return Err(*error),
        }
    }
}

/// Fetches what the user gives by URL before the first run, all at once.
fn learn_pinned_urls(
    fetcher: &Arc<Fetcher>,
    learned: &RefCell<Learned>,
) -> Result<(), ResolveError> {
    let urls = fetcher.policy().pinned_urls();
    let answers: Vec<_> = urls
        .into_iter()
        .map(|(name, url)| {
            let fetch = fetcher.direct(&name, &url);
            (name, url, fetch)
        })
        .collect();
    for (name, url, fetch) in answers {
        let answer = fetcher.wait(&fetch).map_err(|_| ResolveError::Cancelled)?;
        let dist = answer.map_err(|source| ResolveError::Provider {
            name: name.clone(),
            source,
        })?;
        learned
            .borrow_mut()
            .add_direct(&name, Release::direct(url, dist));
    }
    Ok(())
}
