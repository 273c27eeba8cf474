//! Dependency resolution, locks and requirements files, without I/O.
//!
//! [`resolve`] finds one version of each package such that every requirement holds on one target
//! (a Python on a platform); [`universal`] finds what holds on all. What they do not know they ask
//! a [`Provider`]; the crate opens neither file nor socket. Other modules read requirements files ([`requirements`]) and read, write and
//! select from PEP 751 locks ([`lock`]).
//!
//! The parts, in the order of use: `policy` (the inputs arranged for look-up), `fetch` (pages and
//! metadata, ahead and in parallel), `project` and `ranks` (releases as integers), `solver` (one
//! pubgrub run), `search` (runs that learn from each other), `answer` (from ranks to packages),
//! `explain` (why there is no answer).
//!
//! Concurrency: the search has a thread of its own and blocks on data; fetching runs on the
//! caller's tokio runtime. The answer depends on the inputs and on what the provider says, not on
//! when it says it, nor on the order of the requirements.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod ahead;
mod answer;
mod error;
mod explain;
mod fetch;
mod inputs;
pub mod lock;
mod marker;
mod policy;
mod project;
mod provider;
mod ranks;
mod reason;
pub mod requirements;
mod resolution;
mod scope;
mod sealed;
mod search;
mod select;
mod solver;
mod split;
pub mod universal;
pub mod versions;

use std::sync::Arc;

use blast_types::Reporter;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

pub use error::ResolveError;
pub use explain::{Explanation, Fact, Remedy, RemedyKind, Versions};
pub use inputs::{Inputs, NameFilter, Options, PrereleaseMode, ResolutionMode, Upgrade};
pub use provider::{DirectDist, Provider, ProviderError};
pub use reason::Reason;
pub use resolution::{Resolution, ResolvedPackage, Statistics};
pub use select::Selector;

/// Room for the explanation of long conflicts, which follows a tree as deep as the search went.
/// Pages that are not touched cost nothing.
const STACK_BYTES: usize = 64 << 20;

/// Finds versions that meet the requirements.
///
/// Must be called on a tokio runtime. Dropping the future ends the search and everything that was
/// being fetched for it.
///
/// # Errors
/// [`ResolveError::NoSolution`] explains why nothing fits; [`ResolveError::Provider`] means that
/// the question could not be answered.
pub async fn resolve(
    inputs: Inputs,
    provider: Arc<dyn Provider>,
    reporter: Arc<dyn Reporter>,
) -> Result<Resolution, ResolveError> {
    let policy = Arc::new(policy::Policy::new(inputs));
    on_thread(reporter, move |cancel, reporter| {
        let sealed = Arc::default();
        let fetcher = fetch::Fetcher::new(provider, policy, sealed, Handle::current(), cancel);
        match search::search(&fetcher, reporter)? {
            search::Outcome::Answer(resolution) => Ok(resolution),
            search::Outcome::Split(split) => Err(ResolveError::Bug(format!(
                "one target was to be split: {}",
                split.why
            ))),
        }
    })
    .await
}

/// Runs a search on a thread of its own. Dropping the future cancels it.
async fn on_thread<T: Send + 'static>(
    reporter: Arc<dyn Reporter>,
    search: impl FnOnce(CancellationToken, &dyn Reporter) -> Result<T, ResolveError> + Send + 'static,
) -> Result<T, ResolveError> {
    let cancel = CancellationToken::new();
    let _stop_on_drop = cancel.clone().drop_guard();
    let runtime = Handle::current();
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("blast-solver".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let _inside = runtime.enter();
            // Nobody waits any more if the future was dropped.
            drop(sender.send(search(cancel, &*reporter)));
        })
        .map_err(ResolveError::Thread)?;
    receiver.await.unwrap_or_else(|_| {
        Err(ResolveError::Bug(
            "its thread ended without an answer".to_owned(),
        ))
    })
}
