//! The daemon: one process per user that owns the stores, serves the view and carries out every
//! change.
//!
//! [`run`] is the whole life of the process: take the lock that makes it the only one, write
//! `daemon.pid`, listen on `daemon.sock`, take over the mounts of a daemon that died, serve, unmount,
//! remove both files. Told by `SIGHUP` that its successor is being started, it ends without
//! unmounting, once the requests it has are answered. One daemon serves any
//! number of homes (`$BLAST_HOME`), each opened on first use ([`homes`]). Connections are
//! independent tasks ([`connection`]); what a request means is decided in [`dispatch`], what it
//! does in [`crate::engine`], and what is put off until nobody asks for anything in [`quiet`].

mod connection;
mod dispatch;
mod drift;
mod error;
mod homes;
mod memory;
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
use crate::holder::Link;
use crate::ipc::instance::Instance;
use crate::ipc::paths::Places;
use crate::ipc::protocol::Reply;
pub(crate) use error::DaemonError;
use homes::Homes;

/// How often, and how far apart, a request to end looks whether it is the only one.
const END_TRIES: u32 = 50;
const END_PAUSE: Duration = Duration::from_millis(20);

/// How long a daemon that was asked to make room waits for requests to be answered.
const LEAVE_LIMIT: Duration = Duration::from_secs(30);

/// What all connections share.
#[derive(Debug)]
struct Daemon {
    places: Places,
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
    /// Told when another process should go on in the place of this one.
    renew: Notify,
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

    /// Waits until no request is served any more, for a while.
    async fn finish_requests(&self) {
        let deadline = Instant::now() + LEAVE_LIMIT;
        while self.active.load(Ordering::Relaxed) > 0 && Instant::now() < deadline {
            tokio::time::sleep(END_PAUSE).await;
        }
    }
}

/// Serves until told to stop. Returns at once, without an error, where another daemon of this
/// user is alive.
pub(crate) fn run(places: &Places) -> Result<(), DaemonError> {
    places.ensure_runtime()?;
    let pid_file = Some(places.pid_file());
    let Some(instance) = Instance::claim(places.daemon_lock(), places.socket(), pid_file)? else {
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // A thread that ends leaves the memory that it kept for itself to others.
        .thread_keep_alive(quiet::KEEP_THREADS)
        .enable_all()
        .build()
        .map_err(DaemonError::Runtime)?;
    // On a thread that runs tasks: to be heard, answered and woken by others on the way takes longer than most work does.
    let serving = runtime.spawn(serve(places.clone()));
    let outcome = (runtime.block_on(serving))
        .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    match &outcome {
        // The view is served to the last moment; whoever comes next waits for that.
        Ok(End::Succeeded) => instance.leave(),
        Ok(End::ForGood) | Err(_) => drop(instance), // before the last threads are gone
    }
    runtime.shutdown_timeout(Duration::from_secs(2));
    outcome.map(|_| ())
}

/// How a daemon ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// With everything unmounted.
    ForGood,
    /// Leaving its mounts to the next one.
    Succeeded,
}

async fn serve(places: Places) -> Result<End, DaemonError> {
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
    let (link, kept) = Link::open(&places).map_err(|source| DaemonError::Holder {
        path: places.holder_socket(),
        source,
    })?;
    let daemon = Arc::new(Daemon {
        places: places.clone(),
        homes: Homes::new(Arc::new(Arc::clone(&link))),
        upkeep: upkeep::Upkeep::default(),
        started: Instant::now(),
        active: AtomicUsize::new(0),
        used: Notify::new(),
        stop: Notify::new(),
        renew: Notify::new(),
    });
    let heir = Arc::clone(&daemon);
    // Programs wait for the view: before anybody is answered.
    tokio::task::spawn_blocking(move || heir.homes.take_over(kept))
        .await
        .unwrap_or_else(|error| tracing::error!(%error, "taking over failed"));
    let mut hang_up = signal(SignalKind::hangup()).map_err(DaemonError::Runtime)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(DaemonError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(DaemonError::Runtime)?;
    let mut quiet = std::pin::pin!(quiet::tidy_up(Arc::clone(&daemon)));
    let end = loop {
        tokio::select! {
            // Who heard that something failed finds the next daemon, not this one.
            biased;
            () = daemon.renew.notified() => break End::Succeeded,
            _ = hang_up.recv() => break End::Succeeded,
            () = daemon.stop.notified() => break End::ForGood,
            _ = terminate.recv() => break End::ForGood,
            _ = interrupt.recv() => break End::ForGood,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    daemon.active.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(connection::serve(Arc::clone(&daemon), stream));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            () = &mut quiet => break End::ForGood,
        }
    };
    if end == End::Succeeded {
        daemon.finish_requests().await;
        drop(listener);
        link.leave();
        daemon.homes.leave();
        return Ok(end);
    }
    drop(listener);
    daemon.upkeep.stop();
    link.close();
    let closing = Arc::clone(&daemon);
    tokio::task::spawn_blocking(move || closing.homes.close_all())
        .await
        .unwrap_or_else(|error| tracing::error!(%error, "closing the homes failed"));
    Ok(end)
}
