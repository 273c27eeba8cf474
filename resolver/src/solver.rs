//! One search run: pubgrub asks, this module answers from fetched data.
//!
//! Packages in the solver's eyes are [`Node`]s: the root, a distribution, or an extra of one. An
//! extra depends on its distribution in the same version and on what the extra adds. Versions are
//! ranks (see [`crate::project`]). A version is offered to the solver only when its metadata has
//! been read, so a release that turns out to be of no use simply is not there.
//!
//! Order of decisions: what can have but one version first; then what earlier runs found to be
//! hard (see [`crate::search`]); then first seen, first decided, breadth first from the root.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use blast_types::{
    CoreMetadata, Event, ExtraName, PackageName, Reporter, Requirement, VersionOrUrl,
};
use indexmap::IndexMap;
use pubgrub::{
    Dependencies, DependencyConstraints, DependencyProvider, PackageResolutionStatistics,
    VersionSet as _,
};
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};

use crate::error::ResolveError;
use crate::fetch::{Cancelled, Fetcher};
use crate::policy::Policy;
use crate::project::{Project, Release};
use crate::provider::ProviderError;
use crate::ranks::Ranks;
use crate::reason::Reason;
use crate::search::Learned;
use crate::split::{self, Split};

/// Versions of a package that are tried one after the other before any are asked for ahead.
const PATIENCE: usize = 5;

/// Versions that are asked for ahead at once, at most.
const MOST_AHEAD: usize = 50;

/// How far a walk back through the versions of a package has come.
#[derive(Debug, Default)]
struct Walk {
    /// The versions that were chosen.
    tried: FxHashSet<u32>,
    /// How many versions, those tried included, the walk had when it last asked ahead, and asked
    /// for then.
    asked: usize,
}

impl Walk {
    /// How many versions to ask for at once after so many of no use: a third as many each time that
    /// those asked for are used up, for the further a walk goes the further it will go. Never more
    /// than the walk may still try before the search begins anew: asking ahead follows the search
    /// and has no say in it.
    fn stride(&mut self, passed: usize, allowed: usize) -> usize {
        if passed < PATIENCE.max(self.asked) {
            return 0;
        }
        let stride = (passed / 3).clamp(PATIENCE, MOST_AHEAD);
        let stride = stride.min(allowed.saturating_sub(passed));
        self.asked = passed + stride;
        stride
    }
}

/// What the solver decides on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Node {
    /// The user's requirements.
    Root,
    /// A distribution.
    Base(PackageName),
    /// An extra of a distribution.
    Extra(PackageName, ExtraName),
}

impl Node {
    pub(crate) fn name(&self) -> Option<&PackageName> {
        match self {
            Self::Root => None,
            Self::Base(name) | Self::Extra(name, _) => Some(name),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("the requirements"),
            Self::Base(name) => name.fmt(f),
            Self::Extra(name, extra) => write!(f, "{name}[{extra}]"),
        }
    }
}

/// Why a run ends without an answer of the solver's own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// Something was learned that changes the order or the candidates: begin anew.
    #[error("begin anew")]
    Restart,
    /// The region has to be split.
    #[error("the region has to be split")]
    Split(Split),
    /// The run cannot go on.
    #[error(transparent)]
    Failed(Box<ResolveError>),
}

impl From<Cancelled> for Stop {
    fn from(_: Cancelled) -> Self {
        Self::Failed(Box::new(ResolveError::Cancelled))
    }
}

/// One run.
pub(crate) struct Solver<'a> {
    pub(crate) fetcher: &'a Arc<Fetcher>,
    pub(crate) learned: &'a RefCell<Learned>,
    pub(crate) reporter: &'a dyn Reporter,
    projects: RefCell<FxHashMap<PackageName, Arc<Project>>>,
    seen: RefCell<FxHashMap<PackageName, u32>>,
    walks: RefCell<FxHashMap<Node, Walk>>,
    expected: RefCell<FxHashSet<PackageName>>,
    pub(crate) considered: Cell<usize>,
    /// How many versions may be looked at.
    effort: usize,
}

impl<'a> Solver<'a> {
    pub(crate) fn new(
        fetcher: &'a Arc<Fetcher>,
        learned: &'a RefCell<Learned>,
        reporter: &'a dyn Reporter,
        effort: usize,
    ) -> Self {
        Self {
            effort,
            fetcher,
            learned,
            reporter,
            projects: RefCell::default(),
            seen: RefCell::default(),
            walks: RefCell::default(),
            expected: RefCell::default(),
            considered: Cell::new(0),
        }
    }

    pub(crate) fn policy(&self) -> &Policy {
        self.fetcher.policy()
    }

    /// The project, as this run sees it; waits for its page.
    pub(crate) fn project(&self, name: &PackageName) -> Result<Arc<Project>, Stop> {
        if let Some(project) = self.projects.borrow().get(name) {
            return Ok(project.clone());
        }
        let fetch = self.fetcher.project(name);
        let page = self.fetcher.wait(&fetch)?;
        let project = page.map_err(|source| provider_failed(name, source))?;
        let project = self.learned.borrow().with_direct(project);
        self.projects
            .borrow_mut()
            .insert(name.clone(), project.clone());
        Ok(project)
    }

    /// The project if this run has looked at it.
    pub(crate) fn known(&self, name: &PackageName) -> Option<Arc<Project>> {
        self.projects.borrow().get(name).cloned()
    }

    /// The metadata of a candidate; `None` (and the reason kept) where it is of no use.
    fn metadata(
        &self,
        name: &PackageName,
        release: &Release,
    ) -> Result<Option<Arc<CoreMetadata>>, Stop> {
        let fetch = self.fetcher.metadata(name, release);
        let reason = match self.fetcher.wait(&fetch)? {
            Ok(metadata) => {
                match self
                    .policy()
                    .refuses_python(metadata.requires_python.as_ref())
                {
                    None => return Ok(Some(metadata)),
                    Some(reason) => reason,
                }
            }
            Err(ProviderError::NotCached) => Reason::NotCached,
            Err(error @ (ProviderError::Invalid(_) | ProviderError::NotFound)) => {
                Reason::Metadata(error.to_string())
            }
            Err(source @ ProviderError::Unavailable { .. }) => {
                return Err(provider_failed(name, source));
            }
        };
        release.set_broken(reason);
        Ok(None)
    }

    /// The metadata of a version that was chosen.
    fn choose(&self, node: &Node, name: &PackageName, range: &Ranks) -> Result<Option<u32>, Stop> {
        let project = self.project(name)?;
        let learned = self.learned.borrow();
        let admits = |rank: u32| learned.admits(name, project.release(rank));
        let allowance = learned.allowance(name);
        for (refused, rank) in project.candidates(range, self.policy(), admits).enumerate() {
            let stride = {
                let mut walks = self.walks.borrow_mut();
                let walk = walks.entry(node.clone()).or_default();
                walk.stride(walk.tried.len() + refused, allowance + refused)
            };
            self.fetcher.metadata_ahead(&project, range, stride);
            if self.metadata(name, project.release(rank))?.is_some() {
                return Ok(Some(rank));
            }
        }
        drop(learned);
        self.open(&project)?;
        Ok(None)
    }

    /// Asks for the metadata of what is likely to be chosen of a package that this run has come to.
    /// The solver has found no contradiction to it by then.
    fn expect(&self, name: &PackageName, range: &Ranks) {
        if let Some(project) = self.known(name)
            && self.expected.borrow_mut().insert(name.clone())
        {
            self.fetcher.metadata_ahead(&project, range, 1);
        }
    }

    /// Begins anew with the whole of a project if only what a lock has of it was looked at.
    fn open(&self, project: &Project) -> Result<(), Stop> {
        if project.is_sealed() {
            self.fetcher.open(&project.name);
            return Err(Stop::Restart);
        }
        Ok(())
    }

    /// The same for all projects of this run; whether there was one.
    pub(crate) fn open_all(&self) -> bool {
        let projects = self.projects.borrow();
        let sealed: Vec<_> = projects.values().filter(|p| p.is_sealed()).collect();
        for project in &sealed {
            self.fetcher.open(&project.name);
        }
        !sealed.is_empty()
    }

    /// Counts a version tried, and stops the run when the package deserves an earlier turn.
    fn count_attempt(&self, node: &Node, name: &PackageName, rank: u32) -> Result<(), Stop> {
        self.considered.set(self.considered.get() + 1);
        let mut walks = self.walks.borrow_mut();
        let tried = &mut walks.entry(node.clone()).or_default().tried;
        if tried.insert(rank) && self.learned.borrow_mut().promote(name, tried.len()) {
            return Err(Stop::Restart);
        }
        Ok(())
    }

    /// Turns requirements into what the solver takes: one set of ranks for each node. `extra` is
    /// the one that adds them.
    fn constraints(
        &self,
        of: Option<(&PackageName, u32)>,
        extra: Option<&ExtraName>,
        requirements: &[&Requirement],
    ) -> Result<Result<Constraints, Reason>, Stop> {
        self.fetcher.begin_pages(requirements.iter().copied());
        let mut sets = IndexMap::<Node, Ranks, FxBuildHasher>::default();
        let mut admit = |node: Node, ranks: &Ranks| match sets.entry(node) {
            indexmap::map::Entry::Vacant(entry) => {
                entry.insert(ranks.clone());
                false
            }
            indexmap::map::Entry::Occupied(mut entry) => {
                let both = entry.get().intersection(ranks);
                let clash = both.is_empty() && !ranks.is_empty() && !entry.get().is_empty();
                entry.insert(both);
                clash
            }
        };
        for requirement in requirements {
            let name = &requirement.name;
            let project = self.project(name)?;
            self.learn(requirement, &project)?;
            let mut ranks = project.ranks_of(requirement);
            if ranks.is_empty() {
                self.open(&project)?;
            }
            let clash = match of {
                Some((own, rank)) if own == name => {
                    let clash = !ranks.contains(&rank);
                    ranks = Ranks::one(rank);
                    clash.then(|| Reason::RequiresItself(requirement.to_string()))
                }
                _ => {
                    if admit(Node::Base(name.clone()), &ranks) {
                        split::of_siblings(self, of, extra, requirements, name)?;
                    }
                    None
                }
            };
            if let Some(reason) = clash {
                split::of_siblings(self, of, extra, requirements, name)?;
                return Ok(Err(reason));
            }
            for extra in &requirement.extras {
                admit(Node::Extra(name.clone(), extra.clone()), &ranks);
            }
        }
        Ok(Ok(sets))
    }

    /// Takes note of what a requirement admits that is no candidate by itself: a distribution at
    /// a URL, a withdrawn version that is pinned.
    fn learn(&self, requirement: &Requirement, project: &Project) -> Result<(), Stop> {
        match &requirement.version_or_url {
            None => Ok(()),
            Some(VersionOrUrl::Url(url)) => {
                if project.rank_of_url(url).is_some() {
                    return Ok(());
                }
                let fetch = self.fetcher.direct(&requirement.name, url);
                let dist = self.fetcher.wait(&fetch)?;
                let dist = dist.map_err(|source| provider_failed(&requirement.name, source))?;
                let release = Release::direct(url.clone(), dist);
                self.learned
                    .borrow_mut()
                    .add_direct(&requirement.name, release);
                Err(Stop::Restart)
            }
            Some(VersionOrUrl::VersionSpecifier(specifiers)) => {
                let pins = || specifiers.iter().any(crate::search::is_pin);
                if specifiers.is_empty() || !pins() {
                    return Ok(());
                }
                let ranks = project.ranks_of(requirement);
                let mut fresh = false;
                for rank in project.members(&ranks) {
                    let release = project.release(rank);
                    if let Some((_, true)) = release.usable(&requirement.name, self.policy()) {
                        let mut learned = self.learned.borrow_mut();
                        fresh |= learned.admit_yanked(&requirement.name, &release.version);
                    }
                }
                if fresh { Err(Stop::Restart) } else { Ok(()) }
            }
        }
    }

    fn note_seen(&self, constraints: &Constraints) {
        let mut seen = self.seen.borrow_mut();
        for name in constraints.keys().filter_map(Node::name) {
            let next = u32::try_from(seen.len()).unwrap_or(u32::MAX);
            seen.entry(name.clone()).or_insert(next);
        }
    }
}

type Constraints = IndexMap<Node, Ranks, FxBuildHasher>;

fn provider_failed(name: &PackageName, source: ProviderError) -> Stop {
    Stop::Failed(Box::new(ResolveError::Provider {
        name: name.clone(),
        source,
    }))
}

/// The greater goes first: only one version left; found to be hard; often in conflicts; seen
/// early; a distribution before its extras.
type Priority = (bool, u32, u32, Reverse<u32>, bool);

impl DependencyProvider for Solver<'_> {
    type P = Node;
    type V = u32;
    type VS = Ranks;
    type M = Reason;
    type Err = Stop;
    type Priority = Priority;

    fn prioritize(
        &self,
        node: &Node,
        range: &Ranks,
        statistics: &PackageResolutionStatistics,
    ) -> Priority {
        let Some(name) = node.name() else {
            return (true, u32::MAX, 0, Reverse(0), true);
        };
        self.expect(name, range);
        let seen = self.seen.borrow().get(name).copied().unwrap_or(u32::MAX);
        // A few conflicts are the normal course of a search and no reason to leave its order.
        let conflicts = (statistics.conflict_count() / 16 + 1).ilog2();
        let turn = self.learned.borrow().turn(name);
        (
            range.is_narrow(),
            turn,
            conflicts,
            Reverse(seen),
            matches!(node, Node::Base(_)),
        )
    }

    fn choose_version(&self, node: &Node, range: &Ranks) -> Result<Option<u32>, Stop> {
        let Some(name) = node.name() else {
            return Ok(range.contains(&0).then_some(0));
        };
        let chosen = self.choose(node, name, range)?;
        if let Some(rank) = chosen {
            self.count_attempt(node, name, rank)?;
            self.reporter.report(Event::Resolving {
                decided: self.considered.get(),
                package: node.to_string(),
            });
        }
        Ok(chosen)
    }

    fn get_dependencies(
        &self,
        node: &Node,
        rank: &u32,
    ) -> Result<Dependencies<Node, Ranks, Reason>, Stop> {
        let policy = self.policy();
        let constraints = match node {
            Node::Root => self.constraints(None, None, &policy.roots())?,
            Node::Base(_) if policy.inputs.options.no_deps => Ok(Constraints::default()),
            Node::Base(name) => {
                let metadata = self.expect_metadata(name, *rank)?;
                let requirements = policy.applicable(&metadata.requires_dist, None);
                self.constraints(Some((name, *rank)), None, &requirements)?
            }
            Node::Extra(name, extra) => {
                let metadata = self.expect_metadata(name, *rank)?;
                if !metadata.provides_extra.contains(extra) {
                    // A lock has nothing of extras that nobody asked for.
                    self.open(&*self.project(name)?)?;
                }
                let requirements = if policy.inputs.options.no_deps {
                    Vec::new()
                } else {
                    policy.applicable(&metadata.requires_dist, Some(extra))
                };
                self.constraints(Some((name, *rank)), Some(extra), &requirements)?
                    .map(|mut sets| {
                        sets.shift_remove(node);
                        sets.insert_before(0, Node::Base(name.clone()), Ranks::one(*rank));
                        sets
                    })
            }
        };
        Ok(match constraints {
            Ok(constraints) => {
                self.note_seen(&constraints);
                Dependencies::Available(
                    constraints
                        .into_iter()
                        .collect::<DependencyConstraints<_, _>>(),
                )
            }
            Err(reason) => Dependencies::Unavailable(reason),
        })
    }

    fn should_cancel(&self) -> Result<(), Stop> {
        if self.fetcher.is_cancelled() || self.considered.get() > self.effort {
            Err(Cancelled.into())
        } else {
            Ok(())
        }
    }
}

impl Solver<'_> {
    fn expect_metadata(&self, name: &PackageName, rank: u32) -> Result<Arc<CoreMetadata>, Stop> {
        let project = self.project(name)?;
        project.read_metadata(rank).ok_or_else(|| {
            let what = format!("{name}: a version was chosen whose metadata is not there");
            Stop::Failed(Box::new(ResolveError::Bug(what)))
        })
    }
}
