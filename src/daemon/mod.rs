//! The daemon: one process per user that owns the stores, serves the view and carries out every
//! change.
//!
//! [`run`] is the whole life of the process: take the lock that makes it the only one, write
//! `daemon.pid`, listen on `daemon.sock`, serve, unmount, remove both files. One daemon serves any
//! number of homes (`$BLAST_HOME`), each opened on first use ([`homes`]). Connections are
//! independent tasks ([`connection`]); what a request means is decided in [`dispatch`], what it
//! does in [`crate::engine`], and what is put off until nobody asks for anything in [`quiet`].

mod connection;
mod dispatch;
mod homes;
mod lifecycle;
mod quiet;
mod upkeep;

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::engine::EngineError;
use crate::ipc::paths::Places;
use crate::ipc::protocol::Reply;
use homes::Homes;
pub(crate) use lifecycle::DaemonError;

/// How often, and how far apart, a request to end looks whether it is the only one.
const END_TRIES: u32 = 50;
const END_PAUSE: Duration = Duration::from_millis(20);

/// What all connections share.
#[derive(Debug)]
struct Daemon {
    homes: Homes,
    /// What happens between requests.
    upkeep: upkeep::Upkeep,
    started: Instant,
    /// Requests being served.
    active: AtomicUsize,
    /// Told when a request ended.
    used: Notify,
    /// Told when the process shall end.
    stop: Notify,
}

impl Daemon {
    /// Answers a request to end: yes, once no other request is served, or at once if forced.
    async fn may_end(&self, force: bool) -> Result<Reply, EngineError> {
        // A command that has its answer may not have hung up yet.
        for _ in 0..END_TRIES {
            if force || self.active.load(Ordering::Relaxed) <= 1 {
                return Ok(Reply::Done);
            }
            tokio::time::sleep(END_PAUSE).await;
        }
        Err(EngineError::Busy)
    }
}

/// Serves until told to stop. Returns at once, without an error, where another daemon of this
/// user is alive.
pub(crate) fn run(places: &Places) -> Result<(), DaemonError> {
    places.ensure_runtime()?;
    let Some(instance) = lifecycle::Instance::claim(places)? else {
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // A thread that ends gives back the memory that it kept for itself.
        .thread_keep_alive(quiet::KEEP_THREADS)
        .enable_all()
        .build()
        .map_err(DaemonError::Runtime)?;
    let outcome = runtime.block_on(serve(places));
    drop(instance); // socket and pid file go before the last threads do
    runtime.shutdown_timeout(Duration::from_secs(2));
    outcome
}

async fn serve(places: &Places) -> Result<(), DaemonError> {
    let socket = places.socket();
    let listener = UnixListener::bind(&socket).map_err(|source| DaemonError::Listen {
        path: socket.clone(),
        source,
    })?;
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600)).map_err(
        |source| DaemonError::Listen {
            path: socket,
            source,
        },
    )?;
    let daemon = Arc::new(Daemon {
        homes: Homes::default(),
        upkeep: upkeep::Upkeep::default(),
        started: Instant::now(),
        active: AtomicUsize::new(0),
        used: Notify::new(),
        stop: Notify::new(),
    });
    let mut terminate = signal(SignalKind::terminate()).map_err(DaemonError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(DaemonError::Runtime)?;
    let mut quiet = std::pin::pin!(quiet::tidy_up(Arc::clone(&daemon)));
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    tokio::spawn(connection::serve(Arc::clone(&daemon), stream));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            () = daemon.stop.notified() => break,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = &mut quiet => break,
        }
    }
    drop(listener);
    daemon.upkeep.stop();
    let closing = Arc::clone(&daemon);
    tokio::task::spawn_blocking(move || closing.homes.close_all())
        .await
        .unwrap_or_else(|error| tracing::error!(%error, "closing the homes failed"));
    Ok(())
}
