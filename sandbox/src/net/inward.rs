//! Ports inside that this host may reach, on its loopback only.
//!
//! A connection into the namespace needs a socket that was made there. They come with the others
//! ([`super::inside`]) and are used again: connecting to "no family" takes a connection apart
//! (connect(2)).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream as Blocking};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::filter::Shared;
use super::relay::{relay, reset};

/// A port of this host's loopback that leads to one inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Publish {
    /// The port of this host.
    pub outside: u16,
    /// The port inside.
    pub inside: u16,
}

/// Sockets of the namespace that are not in use.
#[derive(Debug)]
pub(super) struct Pool {
    free: Mutex<Vec<OwnedFd>>,
    count: Arc<Semaphore>,
}

impl Pool {
    /// Of these.
    pub(super) fn new(sockets: Vec<OwnedFd>) -> Self {
        Self {
            count: Arc::new(Semaphore::new(sockets.len())),
            free: Mutex::new(sockets),
        }
    }

    /// One of them, waiting until there is one.
    async fn take(&self) -> Option<(OwnedFd, OwnedSemaphorePermit)> {
        let permit = Arc::clone(&self.count).acquire_owned().await.ok()?;
        let socket = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()?;
        Some((socket, permit))
    }

    /// Takes one back. One that cannot be used again is closed, and its place is lost.
    fn give_back(&self, socket: OwnedFd, permit: OwnedSemaphorePermit) {
        if rustix::net::connect_unspec(&socket).is_ok() {
            self.free
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(socket);
        } else {
            permit.forget();
        }
    }
}

/// Listens on the loopback of this host.
pub(super) async fn listen(publish: Publish) -> io::Result<Vec<TcpListener>> {
    let mut listeners = vec![TcpListener::bind((Ipv4Addr::LOCALHOST, publish.outside)).await?];
    // A host without IPv6 has no loopback of it.
    match TcpListener::bind((Ipv6Addr::LOCALHOST, publish.outside)).await {
        Ok(listener) => listeners.push(listener),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
        Err(_) => {}
    }
    Ok(listeners)
}

/// Leads connections inside, for ever.
pub(super) async fn serve(shared: Arc<Shared>, listener: TcpListener, publish: Publish) {
    loop {
        let Some((stream, place)) = shared.accept(&listener).await else {
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // What failed is in the log, and the client sees it.
            drop(lead(&shared, stream, publish).await);
            drop(place);
        });
    }
}

async fn lead(shared: &Arc<Shared>, client: TcpStream, publish: Publish) -> io::Result<()> {
    let record = shared.inward(publish);
    let Some((socket, permit)) = shared.pool().take().await else {
        reset(&client);
        return Ok(());
    };
    // The socket is kept twice: one is used up by the connection, the other goes back.
    let kept = socket.try_clone()?;
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, publish.inside));
    let connected = TcpSocket::from_std_stream(Blocking::from(socket))
        .connect(server)
        .await;
    let done = match connected {
        Ok(server) => {
            // For the one who counts, the sandbox is where the server is.
            relay(server, client, shared.gauge(), record.counted()).await
        }
        Err(error) => {
            reset(&client);
            record.failed(&error);
            Err(error)
        }
    };
    shared.pool().give_back(kept, permit);
    done
}
