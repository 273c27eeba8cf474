//! Whether a way out leads out: the search is made again as if it had been taken.
//!
//! A trial costs no request for what the search has asked for already; what it may ask for beyond
//! that is bounded by the number of versions that it may look at.

use blast_types::{PackageName, Requirement};

use super::remedy::Remedy;
use crate::error::ResolveError;
use crate::fetch::Fetcher;
use crate::inputs::{Inputs, NameFilter, PrereleaseMode};
use crate::policy::Policy;
use crate::scope::Scope;
use crate::search;

/// Versions that the search of one trial may look at.
const EFFORT: usize = 2000;

/// First steps that are followed by a second, and second steps of each.
const PAIRS: usize = 2;

/// What a remedy changes about the question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trial {
    /// The user does not ask for this.
    Without(Requirement),
    /// The user asks for this in any version.
    AnyVersion(Requirement),
    /// This takes the place of all requirements on its package.
    Override(Requirement),
    /// No constraint on the package.
    Unconstrained(PackageName),
    /// Other pre-releases.
    Prereleases(PrereleaseMode),
    /// Another limit of time for a package, in milliseconds since the Unix epoch.
    Uploaded(PackageName, Option<i64>),
    /// Any files of a package.
    AnyFiles(PackageName),
    /// Another minor version of Python 3.
    Python(u8),
}

impl Trial {
    /// The question with the change made; `None` where it has no meaning.
    fn inputs(&self, inputs: &Inputs) -> Option<Inputs> {
        let mut inputs = inputs.clone();
        let options = &mut inputs.options;
        match self {
            Self::Without(asked) => inputs.requirements.retain(|other| !is_same(other, asked)),
            Self::AnyVersion(asked) => {
                for other in &mut inputs.requirements {
                    if is_same(other, asked) {
                        other.version_or_url = None;
                    }
                }
            }
            Self::Override(requirement) => {
                inputs
                    .overrides
                    .retain(|other| other.name != requirement.name);
                inputs.overrides.push(requirement.clone());
            }
            Self::Unconstrained(name) => inputs.constraints.retain(|other| other.name != *name),
            Self::Prereleases(mode) => options.prereleases = *mode,
            Self::Uploaded(name, limit) => {
                options.exclude_newer_package.insert(name.clone(), *limit);
            }
            Self::AnyFiles(name) => {
                for filter in [&mut options.no_binary, &mut options.only_binary] {
                    match filter {
                        NameFilter::Only(names) => drop(names.remove(name)),
                        other => *other = NameFilter::None,
                    }
                }
            }
            Self::Python(minor) => inputs.target = inputs.target.with_python(3, *minor).ok()?,
        }
        Some(inputs)
    }
}

/// Whether the user's requirement is the one that an explanation names, perhaps without marker.
fn is_same(requirement: &Requirement, named: &Requirement) -> bool {
    requirement.name == named.name && requirement.version_or_url == named.version_or_url
}

/// How a trial ends.
enum Outcome {
    /// There is an answer.
    LeadsOut,
    /// There is none, and these would be the ways out of what is then in the way.
    Another(Vec<Remedy>),
    /// It cannot be told.
    Unknown,
}

/// Whether there is an answer with all these changes made.
fn with(trials: &[&Trial], fetcher: &Fetcher) -> Result<Outcome, ResolveError> {
    let policy = fetcher.policy();
    let changed = trials
        .iter()
        .try_fold(policy.inputs.clone(), |inputs, trial| trial.inputs(&inputs));
    let Some(inputs) = changed else {
        return Ok(Outcome::Unknown);
    };
    let scope = match policy.scope.as_region() {
        None => Scope::one(inputs.target.clone()),
        Some(region) => Scope::region(region.marker, inputs.target.clone()),
    };
    let policy = Policy::within(inputs, scope, policy.preferences().clone());
    match search::attempt(&fetcher.with_policy(policy), EFFORT) {
        Ok(Ok(())) => Ok(Outcome::LeadsOut),
        Ok(Err(explanation)) => Ok(Outcome::Another(explanation.hints)),
        Err(ResolveError::Cancelled) if fetcher.is_cancelled() => Err(ResolveError::Cancelled),
        Err(_) => Ok(Outcome::Unknown),
    }
}

/// Those remedies that lead out, and those of which that cannot be tried (another index, say).
/// Where none does, two that do together: a conflict may have two parts, of which a proof, and so
/// an explanation, names only one.
///
/// # Errors
/// The search was cancelled.
pub(crate) fn proven(
    fetcher: &Fetcher,
    remedies: Vec<Remedy>,
) -> Result<Vec<Remedy>, ResolveError> {
    let mut proven = Vec::new();
    let mut first_steps = Vec::new();
    for remedy in remedies {
        let mut leads_out = remedy.trials.is_empty();
        for trial in &remedy.trials {
            if leads_out {
                break;
            }
            match with(&[trial], fetcher)? {
                Outcome::LeadsOut => leads_out = true,
                Outcome::Another(next) => first_steps.push((remedy.clone(), trial.clone(), next)),
                Outcome::Unknown => {}
            }
        }
        if leads_out {
            proven.push(remedy);
        }
    }
    if !proven.is_empty() {
        return Ok(proven);
    }
    for (first, trial, next) in first_steps.into_iter().take(PAIRS) {
        for second in next.into_iter().take(PAIRS) {
            for other in &second.trials {
                if matches!(with(&[&trial, other], fetcher)?, Outcome::LeadsOut) {
                    return Ok(vec![first.and_then(), second]);
                }
            }
        }
    }
    Ok(proven)
}
