//! Asking ahead of the search for what it will most likely need.
//!
//! From the user's requirements on, tasks walk the dependencies in **waves**: a wave reads the
//! metadata of the versions that the search would choose first, all at once, and begins the pages
//! of what they require as soon as each is there. When it is complete, what all of it requires of
//! a package is taken together, in the order of the search, and gives the versions of the next
//! wave. A version whose requirements contradict those known before it will not stay: what it
//! requires is left to the search. Source distributions, which may have to be built for their
//! metadata, hold up no wave; each begins one of its own.
//!
//! So nearly all that is asked for is used. A wrong guess costs a request, never the answer: the
//! search looks at nothing but complete data, so what it decides does not depend on what came in
//! first.

use std::sync::{Arc, PoisonError};

use blast_types::{CoreMetadata, DistKind, ExtraName, PackageName, Requirement, VersionOrUrl};
use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use pubgrub::VersionSet as _;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::fetch::{Fetcher, MetadataFetch};
use crate::project::Project;
use crate::provider::ProviderError;
use crate::ranks::Ranks;

/// What the waves know so far.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// What the versions that were guessed require of a package, all taken together.
    ranks: FxHashMap<PackageName, Ranks>,
    /// Packages and extras that some wave has or had.
    walked: FxHashSet<(PackageName, Option<ExtraName>)>,
}

/// What one version of a package, or one of its extras, requires; or what the user does.
type Group = Vec<Requirement>;

/// A version whose requirements are wanted.
struct Guess {
    parts: Vec<Option<ExtraName>>,
    metadata: MetadataFetch,
    may_be_built: bool,
}

impl Fetcher {
    /// Asks ahead for what the requirements lead to, if the search goes as it mostly does.
    pub(crate) fn anticipate<'a>(
        self: &Arc<Self>,
        requirements: impl IntoIterator<Item = &'a Requirement>,
    ) {
        let group: Group = requirements.into_iter().cloned().collect();
        self.begin_pages(&group);
        let this = self.clone();
        self.drive(async move { this.waves(vec![group]).await });
    }

    /// Begins the pages of packages that requirements name.
    pub(crate) fn begin_pages<'a>(&self, requirements: impl IntoIterator<Item = &'a Requirement>) {
        for requirement in requirements {
            if !is_by_url(requirement) {
                drop(self.project(&requirement.name));
            }
        }
    }

    /// Asks ahead for the metadata of the next few candidates of a set; not of source
    /// distributions, which may have to be built for it.
    pub(crate) fn metadata_ahead(&self, project: &Project, ranks: &Ranks, count: usize) {
        for rank in project
            .candidates(ranks, self.policy(), |_| false)
            .take(count)
        {
            if !self.may_be_built(project, rank) {
                drop(self.metadata(&project.name, project.release(rank)));
            }
        }
    }

    fn waves(self: Arc<Self>, mut groups: Vec<Group>) -> BoxFuture<'static, ()> {
        async move {
            while !groups.is_empty() {
                let pages = groups.iter().flatten().filter(|r| !is_by_url(r));
                let pages = join_all(pages.map(|requirement| self.project(&requirement.name)));
                let pages = pages.await.into_iter().flatten();
                let pages = pages.map(|project| (project.name.clone(), project));
                let guesses = self.guesses(&groups, &pages.collect());
                groups = self.requirements_of(guesses).await;
            }
        }
        .boxed()
    }

    /// The versions that the search would choose, of the packages that no wave had yet.
    fn guesses(
        &self,
        groups: &[Group],
        pages: &FxHashMap<PackageName, Arc<Project>>,
    ) -> Vec<Guess> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fresh = Vec::<(&Arc<Project>, Vec<Option<ExtraName>>)>::new();
        for group in groups {
            let Some(together) = known.with(group, pages) else {
                continue;
            };
            known.ranks.extend(together);
            for requirement in group {
                let Some(project) = pages.get(&requirement.name) else {
                    continue;
                };
                let parts = known.mark_walked(requirement);
                match fresh
                    .iter_mut()
                    .find(|(other, _)| other.name == project.name)
                {
                    Some((_, others)) => others.extend(parts),
                    None if !parts.is_empty() => fresh.push((project, parts)),
                    None => {}
                }
            }
        }
        let guess = |(project, parts): (&Arc<Project>, _)| {
            let ranks = known.ranks.get(&project.name)?;
            let mut candidates = project.candidates(ranks, self.policy(), |_| false);
            let rank = candidates.next()?;
            Some(Guess {
                parts,
                metadata: self.metadata(&project.name, project.release(rank)),
                may_be_built: self.may_be_built(project, rank),
            })
        };
        fresh.into_iter().filter_map(guess).collect()
    }

    /// What the guessed versions require, in their order, when all is there.
    async fn requirements_of(self: &Arc<Self>, guesses: Vec<Guess>) -> Vec<Group> {
        if self.policy().inputs.options.no_deps {
            return Vec::new();
        }
        let mut wave = Vec::with_capacity(guesses.len());
        for guess in guesses {
            let this = self.clone();
            let groups = async move {
                let metadata = guess.metadata.await;
                this.groups(metadata, &guess.parts)
            };
            if guess.may_be_built {
                let this = self.clone();
                self.drive(async move {
                    let groups = groups.await;
                    this.waves(groups).await;
                });
            } else {
                wave.push(groups);
            }
        }
        join_all(wave).await.into_iter().flatten().collect()
    }

    /// What a version requires; the pages of that are begun.
    fn groups(
        &self,
        metadata: Result<Arc<CoreMetadata>, ProviderError>,
        parts: &[Option<ExtraName>],
    ) -> Vec<Group> {
        let Ok(metadata) = metadata else {
            return Vec::new();
        };
        let group = |part: &Option<ExtraName>| {
            let requires = &metadata.requires_dist;
            let group = self.policy().applicable(requires, part.as_ref());
            self.begin_pages(group.iter().copied());
            group.into_iter().cloned().collect()
        };
        parts.iter().map(group).collect()
    }

    fn may_be_built(&self, project: &Project, rank: u32) -> bool {
        let file = project.release(rank).usable(&project.name, self.policy());
        !matches!(file, Some((file, _)) if matches!(file.kind, DistKind::Wheel(_)))
    }
}

impl Known {
    /// What is known with a group in addition, of the packages that it names; `None` where the
    /// two contradict each other.
    fn with(
        &self,
        group: &Group,
        pages: &FxHashMap<PackageName, Arc<Project>>,
    ) -> Option<FxHashMap<PackageName, Ranks>> {
        let mut together = FxHashMap::<PackageName, Ranks>::default();
        for requirement in group.iter().filter(|requirement| !is_by_url(requirement)) {
            let name = &requirement.name;
            let Some(project) = pages.get(name) else {
                continue;
            };
            let mut ranks = project.ranks_of(requirement);
            if let Some(others) = together.get(name).or_else(|| self.ranks.get(name)) {
                ranks = ranks.intersection(others);
            }
            if ranks.is_empty() {
                return None;
            }
            together.insert(name.clone(), ranks);
        }
        Some(together)
    }

    /// Which parts of a package (itself, extras) no wave has had yet.
    fn mark_walked(&mut self, requirement: &Requirement) -> Vec<Option<ExtraName>> {
        std::iter::once(None)
            .chain(requirement.extras.iter().cloned().map(Some))
            .filter(|part| self.walked.insert((requirement.name.clone(), part.clone())))
            .collect()
    }
}

fn is_by_url(requirement: &Requirement) -> bool {
    matches!(requirement.version_or_url, Some(VersionOrUrl::Url(_)))
}
