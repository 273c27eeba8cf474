//! Keeping the cached pages of indexes up to date: on demand (`blast cache refresh`), and by the
//! daemon once it has been idle for a while.
//!
//! The daemon has no settings of its own. What it does when idle is decided by the sources of the
//! last command that asked an index, which stay in memory only; so it asks the indexes that this
//! user asks, as this user, and nothing at all before the first such command.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use blast_index::{Index, IndexError, Refreshed as Page, Sources};
use blast_types::PackageName;
use futures::FutureExt as _;
use futures::stream::{StreamExt as _, TryStreamExt as _};

use super::change::complete;
use super::error::EngineError;
use super::home::Home;
use super::requirements::package_name;
use crate::ipc::protocol::{Refreshed, Reply};

/// Pages asked for at once by a command.
const AT_ONCE: usize = 50;
/// Pages asked for at once where nobody waits.
const AT_ONCE_IDLE: usize = 4;

/// Brings the pages of these packages up to date; of none: of all that environments hold.
pub(crate) async fn refresh(
    home: Arc<Home>,
    packages: Vec<String>,
    sources: Sources,
) -> Result<Reply, EngineError> {
    let mut names = packages
        .iter()
        .map(|name| package_name(name))
        .collect::<Result<BTreeSet<_>, _>>()?;
    if packages.is_empty() {
        names = used(&home).await?;
    }
    let interpreter = {
        let home = Arc::clone(&home);
        tokio::task::spawn_blocking(move || home.store.envs()).await??
    };
    let sources = match interpreter.into_iter().next() {
        Some(state) => complete(&home, sources, &state.record.interpreter).await?,
        None if sources.needs_default_index() => return Err(EngineError::NoIndex),
        None => sources,
    };
    let index = home.caches().index.index(sources);
    let pages = futures::stream::iter(names)
        .map(|name| one(index.clone(), name, Duration::ZERO).boxed())
        .buffered(AT_ONCE)
        .try_collect::<Vec<_>>()
        .await?;
    let count = |wanted| pages.iter().filter(|(_, page)| *page == wanted).count();
    Ok(Reply::Refreshed(Refreshed {
        pages: pages.len(),
        unchanged: count(Page::Confirmed) + count(Page::Recent),
        changed: count(Page::Changed),
        missing: pages
            .iter()
            .filter(|(_, page)| *page == Page::Missing)
            .map(|(name, _)| name.to_string())
            .collect(),
    }))
}

/// The same with nobody waiting: pages beyond their time to live only, few at once, and a failure
/// is no more than a line in the log.
pub(crate) async fn while_idle(home: Arc<Home>, sources: Sources) {
    let older_than = Duration::from_secs(sources.refresh.ttl_s);
    let names = match used(&home).await {
        Ok(names) => names,
        Err(error) => {
            tracing::warn!(%error, "cannot tell which packages are used");
            return;
        }
    };
    let index = home.caches().index.index(sources);
    let mut pages = futures::stream::iter(names)
        .map(|name| one(index.clone(), name, older_than).boxed())
        .buffer_unordered(AT_ONCE_IDLE);
    while let Some(page) = pages.next().await {
        if let Err(error) = page {
            tracing::info!(%error, "cannot refresh the cache");
            return;
        }
    }
    let done = index.requests();
    tracing::debug!(
        requests = done.requests,
        confirmed = done.confirmed,
        "cache refreshed"
    );
}

async fn one(
    index: Index,
    name: PackageName,
    older_than: Duration,
) -> Result<(PackageName, Page), IndexError> {
    let page = index.refresh(&name, older_than).await?;
    Ok((name, page))
}

/// What environments hold that came from an index.
async fn used(home: &Arc<Home>) -> Result<BTreeSet<PackageName>, EngineError> {
    let home = Arc::clone(home);
    tokio::task::spawn_blocking(move || {
        let mut names = BTreeSet::new();
        for state in home.store.envs()? {
            let generation = home.store.generation(state.head)?;
            let indexed = generation
                .packages
                .iter()
                .filter(|package| package.direct_url.is_none());
            names.extend(indexed.map(|package| package.name.clone()));
        }
        Ok(names)
    })
    .await?
}
