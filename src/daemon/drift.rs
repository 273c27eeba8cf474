//! Which requests first have it settled what programs wrote into plain files (`engine/capture/drift.rs`).

use std::sync::Arc;

use blast_types::{EnvName, Reporter};

use crate::engine::{Asker, EngineError, Home, capture};
use crate::ipc::images::ImageRequest;
use crate::ipc::protocol::{Request, Writes};

/// Settles what this request would look at or change. What cannot be taken ends a request that would replace it,
/// and is told beside the answer of others.
pub(super) async fn settle(
    home: &Arc<Home>,
    request: &Request,
    writes: Option<Writes>,
    asker: &Asker,
    reporter: &Arc<dyn Reporter>,
) -> Result<(), EngineError> {
    if !home.has_plain_files() {
        return Ok(());
    }
    let (names, replaces) = concerned(home, request).await?;
    for name in names {
        let settled = capture::settle(home, &name, writes, asker, reporter).await;
        match settled {
            Err(error) if !replaces => reporter.warn(format!(
                "what programs wrote into the files of environment {name} cannot be taken: {error}"
            )),
            settled => settled?,
        }
    }
    Ok(())
}

/// The environments whose files matter, and whether they may be replaced.
async fn concerned(
    home: &Arc<Home>,
    request: &Request,
) -> Result<(Vec<EnvName>, bool), EngineError> {
    let (name, replaces) = match request {
        Request::Change(change) if !change.dry_run => (&change.env, true),
        Request::Move(request) if !request.dry_run => (&request.env, true),
        Request::Hide { env: Some(env), .. } | Request::Area { env } => (env, true),
        Request::Image(ImageRequest::Load(load)) if !load.dry_run => match &load.env {
            Some(env) => (env, true),
            None => return Ok((Vec::new(), false)),
        },
        Request::Save {
            env,
            dry_run: false,
            ..
        }
        | Request::Log { env, .. }
        | Request::Show { env, .. }
        | Request::Blame { env, .. }
        | Request::Diff { env, .. }
        | Request::List { env }
        | Request::Graph { env }
        | Request::Status { env: Some(env) } => (env, false),
        Request::Image(ImageRequest::Build(build)) => (&build.env, false),
        Request::Materialise(request) => (&request.env, false),
        Request::Outdated(request) => (&request.env, false),
        // These may mount a view over the files, or write all of them anew.
        Request::Repair { .. } => return Ok((home.plain_files(), true)),
        Request::Enter { .. } => {
            let home = Arc::clone(home);
            let leaves = move || {
                if home.is_leaving_files() {
                    home.plain_files()
                } else {
                    Vec::new()
                }
            };
            return Ok((tokio::task::spawn_blocking(leaves).await?, true));
        }
        _ => return Ok((Vec::new(), false)),
    };
    Ok((vec![name.clone()], replaces))
}
