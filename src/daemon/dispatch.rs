//! Which part of the engine answers which request.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use blast_types::{EnvName, Event, Reporter};
use nix::unistd::{Uid, User};

use super::{Daemon, drift};
use crate::engine::{
    Asker, EngineError, Home, at_once, blame, capture, change, clean, environment, fetch, graph,
    history, image, install_to, lock, materialise, outdated, refresh, repair, snapshots, status,
    versions,
};
use crate::ipc::images::ImageRequest;
use crate::ipc::protocol::{DaemonStatus, Envelope, Reply, Request, Status};
use crate::sandbox;
use crate::sandbox::cache::Caches;

/// Answers one request. Dropping the future cancels it, up to the moment of publishing.
pub(super) async fn answer(
    daemon: &Arc<Daemon>,
    envelope: Envelope,
    reporter: Arc<dyn Reporter>,
) -> Result<Reply, EngineError> {
    let build = || env!("CARGO_PKG_VERSION").to_owned();
    match envelope.request {
        Request::Ping => {
            return Ok(Reply::Pong {
                build: build(),
                pid: std::process::id(),
            });
        }
        Request::Shutdown { force } => return daemon.may_end(force).await,
        _ => {}
    }
    let home = if let Some(home) = daemon.homes.at_hand(&envelope.home, &envelope.cache) {
        home
    } else {
        let daemon = Arc::clone(daemon);
        let (home, cache) = (envelope.home.clone(), envelope.cache.clone());
        tokio::task::spawn_blocking(move || daemon.homes.get(&home, &cache)).await??
    };
    home.choose(envelope.view);
    if let Some(message) = home.take_news() {
        reporter.report(Event::Warning { message });
    }
    if let Request::RemoveEnvironments {
        names,
        dry_run: false,
    } = &envelope.request
    {
        retire_sandboxes(daemon, &envelope.home, names.clone()).await?;
        let caches = Caches::of(&envelope.home, &envelope.cache);
        forget_caches(caches, names.clone(), &reporter).await?;
    }
    let path = envelope.home.clone();
    let outcome = answer_of(daemon, Arc::clone(&home), envelope, reporter).await;
    let moved: Vec<EnvName> = home.take_moved().into_iter().collect();
    if !moved.is_empty() {
        // What was done is done, whether this goes well or not, and nobody waits for it.
        let daemon = Arc::clone(daemon);
        tokio::spawn(async move { retire_sandboxes(&daemon, &path, moved).await });
    }
    outcome
}

/// Has the sandboxes of environments that are about to be shown as something else, or were, end with their programs: they
/// hold what they show.
async fn retire_sandboxes(
    daemon: &Arc<Daemon>,
    home: &Path,
    names: Vec<EnvName>,
) -> Result<(), EngineError> {
    if names.is_empty() {
        return Ok(());
    }
    let (daemon, home) = (Arc::clone(daemon), home.to_owned());
    let retire = move || {
        for name in names {
            sandbox::retire(&daemon.places, sandbox::Of::Environment(&home, &name));
        }
    };
    Ok(tokio::task::spawn_blocking(retire).await?)
}

/// Takes away what programs of environments keep, which others of these names shall not find.
async fn forget_caches(
    caches: Caches,
    names: Vec<EnvName>,
    reporter: &Arc<dyn Reporter>,
) -> Result<(), EngineError> {
    let reporter = Arc::clone(reporter);
    let forget = move || {
        for name in names {
            if let Err(error) = caches.forget(&name) {
                let message = format!("what programs of `{name}` kept in ~/.cache stays: {error}");
                reporter.report(Event::Warning { message });
            }
        }
    };
    Ok(tokio::task::spawn_blocking(forget).await?)
}

async fn answer_of(
    daemon: &Arc<Daemon>,
    home: Arc<Home>,
    envelope: Envelope,
    reporter: Arc<dyn Reporter>,
) -> Result<Reply, EngineError> {
    let asker = Asker {
        who: user_name(),
        command: envelope.command,
    };
    drift::settle(&home, &envelope.request, envelope.writes, &asker, &reporter).await?;
    match envelope.request {
        Request::Change(request) => Ok(Reply::Changed(
            change::change(home, *request, asker, reporter).await?,
        )),
        Request::Move(request) => Ok(Reply::Changed(history::go(home, request, asker).await?)),
        Request::Lock(request) => lock::lock(home, *request, reporter).await,
        Request::Outdated(request) => outdated::outdated(home, *request, reporter).await,
        Request::Versions(request) => versions::versions(home, *request, reporter).await,
        Request::Repair { sources } => {
            let path = envelope.home;
            let repaired = repair::repair(home, sources, reporter).await?;
            let daemon = Arc::clone(daemon);
            tokio::task::spawn_blocking(move || daemon.homes.renew(&path)).await?;
            Ok(repaired)
        }
        Request::Area { env } => {
            blocking(home, move |home| {
                Ok(Reply::Area(capture::begin(home, &env, &*reporter)?))
            })
            .await
        }
        Request::Capture(request) => Ok(Reply::Changed(
            capture::capture(home, request, asker, reporter).await?,
        )),
        Request::Fetch(request) => fetch::fetch(home, *request, reporter).await,
        Request::Refresh { packages, sources } => refresh::refresh(home, packages, sources).await,
        Request::RemoveEnvironments { names, dry_run } => {
            let caches = Caches::of(&envelope.home, &envelope.cache);
            let of = names.clone();
            let environments = environment::remove(home, names, dry_run, asker).await?;
            if !dry_run {
                // What a program made again that began meanwhile.
                forget_caches(caches, of, &reporter).await?;
            }
            Ok(Reply::Environments { environments })
        }
        Request::Start(request) => {
            let turn = home.turn(&request.name).await;
            blocking(home, move |home| {
                let _turn = turn;
                environment::start(home, &request, asker)
            })
            .await
        }
        Request::Compile { env } => environment::compile(home, env, reporter).await,
        request @ (Request::Save { .. } | Request::DeleteSnapshot { .. }) => {
            name_states(home, request, asker).await
        }
        Request::Clean {
            dry_run,
            keep,
            keep_of,
        } => {
            blocking(home, move |home| {
                let cleaned = clean::clean(home, dry_run, keep, keep_of, &*reporter)?;
                Ok(Reply::Cleaned(cleaned))
            })
            .await
        }
        // Of an environment that is shown; to show one can take long, and is told meanwhile.
        Request::Enter { env, pin } if home.is_shown() => {
            at_once(|| environment::enter(&home, &env, pin, &*reporter))
        }
        Request::Enter { env, pin } => {
            blocking(home, move |home| {
                environment::enter(home, &env, pin, &*reporter)
            })
            .await
        }
        Request::Image(request) => images(home, request, asker, reporter).await,
        Request::InstallTo(request) => Ok(Reply::Changed(
            install_to::install_to(home, *request, reporter).await?,
        )),
        Request::Materialise(request) => materialise::materialise(home, request).await,
        // These take as long as there is much to read, to unmount or to ask.
        long @ (Request::Check { .. } | Request::Hide { .. } | Request::Pythons { .. }) => {
            let daemon = Arc::clone(daemon);
            blocking(home, move |home| read(&daemon, home, long)).await
        }
        reading => at_once(|| read(daemon, &home, reading)),
    }
}

/// Saves or deletes snapshots.
async fn name_states(
    home: Arc<Home>,
    request: Request,
    asker: Asker,
) -> Result<Reply, EngineError> {
    let (Request::Save { env, .. } | Request::DeleteSnapshot { env, .. }) = &request else {
        return Err(EngineError::Bug("a request about no snapshot".to_owned()));
    };
    let _turn = home.turn(env).await;
    at_once(|| {
        let snapshots = match request {
            Request::Save { env, name, dry_run } => {
                snapshots::save(&home, &env, name, dry_run, asker)?
            }
            Request::DeleteSnapshot { env, name, dry_run } => {
                snapshots::delete_snapshot(&home, &env, &name, dry_run, asker)?
            }
            _ => Vec::new(),
        };
        Ok(Reply::Snapshots { snapshots })
    })
}

async fn images(
    home: Arc<Home>,
    request: ImageRequest,
    asker: Asker,
    reporter: Arc<dyn Reporter>,
) -> Result<Reply, EngineError> {
    Ok(match request {
        ImageRequest::Build(request) => {
            Reply::ImageBuilt(image::build(home, request, reporter).await?)
        }
        ImageRequest::Load(request) => {
            Reply::Changed(image::load(home, request, asker, reporter).await?)
        }
        ImageRequest::Inspect { path } => Reply::Image(Box::new(image::inspect(path).await?)),
        ImageRequest::Verify { path } => Reply::Image(Box::new(image::verify(path).await?)),
    })
}

async fn blocking(
    home: Arc<Home>,
    work: impl FnOnce(&Home) -> Result<Reply, EngineError> + Send + 'static,
) -> Result<Reply, EngineError> {
    tokio::task::spawn_blocking(move || work(&home)).await?
}

/// Requests that change no environment.
fn read(daemon: &Daemon, home: &Home, request: Request) -> Result<Reply, EngineError> {
    match request {
        Request::Log { env, limit } => Ok(Reply::History {
            operations: history::log(home, &env, limit)?,
        }),
        Request::Show { env, operation } => {
            let detail = Box::new(history::show(home, &env, operation.as_deref())?);
            Ok(Reply::Operation { detail })
        }
        Request::Blame { env, package } => Ok(Reply::Blame(blame::blame(home, &env, &package)?)),
        Request::Diff {
            env,
            from,
            to,
            files,
        } => history::diff(home, &env, from.as_deref(), to.as_deref(), files),
        Request::Snapshots { env } => Ok(Reply::Snapshots {
            snapshots: snapshots::snapshots(home, &env)?,
        }),
        Request::Markers { env } => Ok(Reply::Markers {
            markers: environment::markers(home, &env)?,
        }),
        Request::List { env } => Ok(Reply::Packages {
            packages: environment::packages(home, &env)?,
        }),
        Request::Graph { env } => Ok(Reply::Graph(graph::graph(home, &env)?)),
        Request::Status { env } => Ok(Reply::Status(Box::new(Status {
            daemon: daemon_status(daemon, home),
            view: status::view_status(home),
            store: status::store_status(home)?,
            environment: env
                .map(|env| status::environment_status(home, &env))
                .transpose()?,
        }))),
        Request::Environments { project } => Ok(Reply::Environments {
            environments: match project {
                None => environment::list(home)?,
                Some(root) => environment::of_project(home, &root)?.into_iter().collect(),
            },
        }),
        Request::Check { deep } => status::check(home, deep),
        Request::Pythons { search } => Ok(Reply::Pythons {
            pythons: environment::pythons(home, &search),
        }),
        Request::Hide { env, force } => {
            if let Some(env) = &env {
                home.env(env)?;
            }
            home.hide(env.as_ref(), force)?;
            Ok(Reply::Done)
        }
        _ => Err(EngineError::Bug(
            "a request was sent to the wrong place".to_owned(),
        )),
    }
}

fn daemon_status(daemon: &Daemon, home: &Home) -> DaemonStatus {
    DaemonStatus {
        build: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        uptime_s: daemon.started.elapsed().as_secs(),
        memory_bytes: resident_bytes().unwrap_or(0),
        holder: home.holder(),
        requests: daemon.active.load(Ordering::Relaxed),
    }
}

/// Resident memory of this process (`VmRSS` of proc(5)).
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Who this daemon is, asked once: each operation names them.
fn user_name() -> String {
    static NAME: OnceLock<String> = OnceLock::new();
    let name = NAME.get_or_init(|| {
        let uid = Uid::effective();
        let user = User::from_uid(uid).ok().flatten();
        user.map_or_else(|| uid.to_string(), |user| user.name)
    });
    name.clone()
}
