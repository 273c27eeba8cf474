//! Which versions of a package an environment could have.

use std::sync::Arc;

use blast_index::IndexError;
use blast_resolver::{PrereleaseMode, Selector};
use blast_types::{Event, Reporter, Version};

use super::change::complete;
use super::error::EngineError;
use super::home::Home;
use super::resolve::resolver_options;
use crate::ipc::protocol::{Reply, VersionsRequest};

/// Those that have a file which fits the interpreter and was not withdrawn. Pre-releases are among them
/// if they are asked for, or where there is nothing else.
pub(crate) async fn versions(
    home: Arc<Home>,
    request: VersionsRequest,
    reporter: Arc<dyn Reporter>,
) -> Result<Reply, EngineError> {
    let VersionsRequest {
        env,
        package,
        options,
        sources,
    } = request;
    let interpreter = home.env(&env)?.record.interpreter;
    let sources = complete(&home, sources, &interpreter).await?;
    let index = home.caches().index.index(sources);
    let selector = Selector::new(interpreter.target()?, resolver_options(&options)?);
    reporter.report(Event::Phase {
        name: "looking for versions".to_owned(),
    });
    let page = match index.project(&package).await {
        Err(IndexError::NotFound { .. }) => None,
        page => Some(page?),
    };
    let fitting: Vec<&Version> = page
        .iter()
        .flat_map(|page| &page.versions)
        .filter(|entry| {
            let best = selector.best(&package, &entry.files);
            best.is_ok_and(|file| !file.yanked.is_yanked())
        })
        .map(|entry| &entry.version)
        .collect();
    let wants_all = match options.prereleases {
        PrereleaseMode::Allow => true,
        PrereleaseMode::IfNecessary => fitting.iter().all(|version| version.any_prerelease()),
        PrereleaseMode::Disallow | PrereleaseMode::Explicit => false,
    };
    let versions = fitting
        .iter()
        .rev()
        .filter(|version| wants_all || !version.any_prerelease())
        .map(ToString::to_string)
        .collect();
    Ok(Reply::Versions { versions })
}
