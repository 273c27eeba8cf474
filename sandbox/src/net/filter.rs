//! The filter at work: every connection out of a namespace and into it passes here, is judged, made, carried and
//! written down.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;

use super::inside::{Role, Sockets};
use super::inward::{self, Pool, Publish};
use super::limits::Gauge;
use super::names::Names;
use super::relay::{Counted, relay, reset};
use super::resolve::{Own, Resolver};
use super::{dns, proxy, watch};
use crate::audit::{Decision, Entry, Kind, Listener, Traffic, Who, command, now_ms};
use crate::policy::Network;
use crate::policy::target::Named;
use crate::policy::verdict::{Reason, Rules, Verdict};

/// How long a connection to the outside may take to be made.
const DIAL: Duration = Duration::from_secs(30);

/// The same denial is written down again only after this time: programs ask for a name twice at once, and again.
const TOLD_FOR: Duration = Duration::from_secs(5);

/// The most denials that are remembered as told.
const TOLD: usize = 1024;

/// What a filter shall let through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Who is inside.
    pub who: Who,
    /// What they may reach.
    pub network: Network,
}

/// A filter that runs. Dropping it ends all connections.
#[derive(Debug)]
pub struct Filter {
    tasks: JoinSet<()>,
    shared: Arc<Shared>,
}

/// Who asks a filter for something, by the last that was said of it.
#[derive(Debug, Clone)]
pub struct Asker(Arc<Shared>);

impl Asker {
    /// What is asked for from now on is asked for by this command: it is written down with that, and what was denied
    /// to others before is news to it.
    pub fn is(&self, command: Vec<String>) {
        *self
            .0
            .command
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = command;
        self.0
            .told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

/// What all parts of a filter know.
#[derive(Debug)]
pub(super) struct Shared {
    config: Config,
    command: Mutex<Vec<String>>,
    listeners: Vec<Arc<dyn Listener>>,
    resolver: Resolver,
    names: Names,
    own: Own,
    gauge: Gauge,
    pool: Pool,
    told: Mutex<Vec<(String, Instant)>>,
}

/// A connection that was made.
#[derive(Debug)]
pub(super) struct Opened {
    /// To the outside.
    pub(super) stream: TcpStream,
    /// Its line in the log, written when it is dropped.
    pub(super) record: Record,
}

/// Why a connection was not made.
#[derive(Debug)]
pub(super) enum Refused {
    /// The rules.
    Denied {
        /// What to tell the program.
        message: String,
    },
    /// The other side.
    Failed(io::Error),
}

impl Filter {
    /// Starts with the sockets of a namespace, in the runtime that this is called in. When it returns, connections are
    /// taken.
    ///
    /// # Errors
    /// If a published port of this host is taken, or a socket is not what it was said to be.
    pub async fn start(
        config: Config,
        sockets: Sockets,
        listeners: Vec<Arc<dyn Listener>>,
    ) -> io::Result<Self> {
        let mut inward = Vec::new();
        let mut served = Vec::new();
        for (role, socket) in sockets.all {
            match role {
                Role::Inward => inward.push(socket),
                other => served.push((other, socket)),
            }
        }
        let publish = config.network.publish.clone();
        let shared = Arc::new(Shared {
            resolver: Resolver::new(&config.network.dns_servers)?,
            gauge: Gauge::new(config.network.limits),
            command: Mutex::new(config.who.command.clone()),
            config,
            listeners,
            names: Names::default(),
            own: Own::default(),
            pool: Pool::new(inward),
            told: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        for (role, socket) in served {
            serve(&mut tasks, &shared, role, socket)?;
        }
        for each in publish {
            for listener in inward::listen(each).await? {
                tasks.spawn(inward::serve(Arc::clone(&shared), listener, each));
            }
        }
        Ok(Self { tasks, shared })
    }

    /// Who asks it, to be told.
    pub fn asker(&self) -> Asker {
        Asker(Arc::clone(&self.shared))
    }

    /// Runs until something in it breaks, which nothing should.
    pub async fn run(mut self) {
        drop(self.tasks.join_next().await);
    }
}

fn serve(
    tasks: &mut JoinSet<()>,
    shared: &Arc<Shared>,
    role: Role,
    socket: OwnedFd,
) -> io::Result<()> {
    let shared = Arc::clone(shared);
    match role {
        Role::Transparent => {
            tasks.spawn(transparent(shared, TcpListener::from_std(socket.into())?))
        }
        Role::Proxy => tasks.spawn(proxy::serve(shared, TcpListener::from_std(socket.into())?)),
        Role::DnsTcp => tasks.spawn(dns::serve_tcp(
            shared,
            TcpListener::from_std(socket.into())?,
        )),
        Role::DnsUdp => tasks.spawn(dns::serve_udp(shared, UdpSocket::from_std(socket.into())?)),
        Role::WatchIpv4 => tasks.spawn(watch::ipv4(shared, UdpSocket::from_std(socket.into())?)),
        Role::WatchIpv6 => tasks.spawn(watch::ipv6(shared, UdpSocket::from_std(socket.into())?)),
        Role::Inward => return Ok(()),
    };
    Ok(())
}

/// Takes connections that were meant for others, for ever.
async fn transparent(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        let Some((stream, place)) = shared.accept(&listener).await else {
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let opened = match meant(&stream) {
                Some(to) => shared
                    .open(&Named::Address(to.ip().to_canonical()), to.port())
                    .await
                    .ok(),
                None => None,
            };
            match opened {
                // What ended it, the client has seen.
                Some(opened) => drop(
                    relay(
                        stream,
                        opened.stream,
                        shared.gauge(),
                        opened.record.counted(),
                    )
                    .await,
                ),
                None => reset(&stream),
            }
            drop(place);
        });
    }
}

/// The address that a connection was meant for, before it was led here.
fn meant(stream: &TcpStream) -> Option<SocketAddr> {
    use rustix::net::sockopt::{ip_original_dst, ipv6_original_dst};
    let socket = stream.as_fd();
    match stream.local_addr().ok()? {
        SocketAddr::V4(_) => ip_original_dst(socket).ok().map(Into::into),
        SocketAddr::V6(_) => ipv6_original_dst(socket).ok().map(Into::into),
    }
}

impl Shared {
    /// The next connection of a listener, and its place among all; one that has no place is reset.
    pub(super) async fn accept(
        &self,
        listener: &TcpListener,
    ) -> Option<(TcpStream, OwnedSemaphorePermit)> {
        let Ok((stream, _)) = listener.accept().await else {
            // No descriptors: some will be closed.
            tokio::time::sleep(Duration::from_millis(10)).await;
            return None;
        };
        let Some(place) = self.enter() else {
            reset(&stream);
            self.deny(
                "connection".to_owned(),
                None,
                "there are too many connections",
                None,
            );
            return None;
        };
        // It carries what others write: waiting for more only delays.
        stream.set_nodelay(true).unwrap_or_default();
        Some((stream, place))
    }

    /// A place for something that takes time; none if there is too much of it.
    pub(super) fn enter(&self) -> Option<OwnedSemaphorePermit> {
        self.gauge.enter()
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.config.network.rules
    }

    pub(super) fn gauge(&self) -> &Gauge {
        &self.gauge
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(super) fn own(&self) -> Vec<IpAddr> {
        self.own.addresses()
    }

    pub(super) async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.resolver.addresses(name).await
    }

    pub(super) fn remember(&self, name: &str, address: IpAddr) {
        self.names.remember(name, address);
    }

    /// Makes a connection, if the rules allow it.
    pub(super) async fn open(self: &Arc<Self>, host: &Named, port: u16) -> Result<Opened, Refused> {
        let (names, addresses) = match host {
            Named::Address(address) => (self.names.of(*address), vec![*address]),
            Named::Name(name) => {
                let verdict = self.rules().name(name);
                if !verdict.is_allowed() {
                    return Err(self.refuse(&written(name, port), None, verdict));
                }
                let found = self.resolve(name).await.map_err(Refused::Failed)?;
                (vec![name.clone()], found)
            }
        };
        let own = self.own();
        let mut refused = None;
        for address in addresses {
            let verdict = self.rules().connection(&names, address, port, &own);
            let to = SocketAddr::new(address, port);
            let target = match names.as_slice() {
                [name] => written(name, port),
                _ => to.to_string(),
            };
            if !verdict.is_allowed() {
                refused = Some(self.refuse(&target, Some(to), verdict));
                continue;
            }
            let record = self.record(Kind::Net, target, Some(to), verdict.describe());
            let dialled = tokio::time::timeout(DIAL, TcpStream::connect(to)).await;
            match dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(Refused::Failed)?;
                    return Ok(Opened { stream, record });
                }
                Err(error) => {
                    record.failed(&error);
                    refused = Some(Refused::Failed(error));
                }
            }
        }
        Err(refused.unwrap_or_else(|| Refused::Failed(io::ErrorKind::NotFound.into())))
    }

    fn refuse(&self, target: &str, to: Option<SocketAddr>, verdict: Verdict<'_>) -> Refused {
        let allow = lesson(target, to.map(|to| to.to_string()).as_deref(), verdict);
        let rule = verdict.describe();
        let way_out = match allow.as_deref().and_then(command) {
            Some(command) => format!("; allow it: {command}"),
            None => String::new(),
        };
        let message = format!("blast: {target} is denied: {rule}{way_out}");
        self.deny(target.to_owned(), to.map(|to| to.to_string()), &rule, allow);
        Refused::Denied { message }
    }

    /// Writes down that a name was asked for in vain.
    pub(super) fn deny_name(&self, name: &str, verdict: Verdict<'_>) {
        if self.is_news(name) {
            let allow = lesson(name, None, verdict);
            self.deny(name.to_owned(), None, &verdict.describe(), allow);
        }
    }

    /// Writes down that a datagram went nowhere.
    pub(super) fn deny_datagram(&self, to: SocketAddr) {
        let target = format!("udp {to}");
        if self.is_news(&target) {
            self.deny(target, None, "only TCP and DNS leave a sandbox", None);
        }
    }

    fn who(&self) -> Who {
        let command = self.command.lock().unwrap_or_else(PoisonError::into_inner);
        Who {
            command: command.clone(),
            ..self.config.who.clone()
        }
    }

    fn is_news(&self, what: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|(_, at)| at.elapsed() < TOLD_FOR);
        let news = told.len() < TOLD && !told.iter().any(|(known, _)| known == what);
        if news {
            told.push((what.to_owned(), Instant::now()));
        }
        news
    }

    fn deny(&self, target: String, address: Option<String>, rule: &str, allow: Option<String>) {
        self.tell(&Entry {
            at_ms: now_ms(),
            who: self.who(),
            kind: Kind::Net,
            target,
            address,
            decision: Decision::Denied,
            rule: rule.to_owned(),
            allow,
            traffic: None,
        });
    }

    fn tell(&self, entry: &Entry) {
        for listener in &self.listeners {
            listener.heard(entry);
        }
    }

    /// The line of a connection into the namespace.
    pub(super) fn inward(self: &Arc<Self>, publish: Publish) -> Record {
        let Publish { outside, inside } = publish;
        let rule = format!("port {outside} of this host leads to port {inside}");
        self.record(Kind::Publish, inside.to_string(), None, rule)
    }

    fn record(
        self: &Arc<Self>,
        kind: Kind,
        target: String,
        to: Option<SocketAddr>,
        rule: String,
    ) -> Record {
        Record {
            shared: Arc::clone(self),
            kind,
            target,
            address: to.map(|to| to.to_string()),
            rule,
            since: Instant::now(),
            counted: Counted::default(),
            failure: Mutex::default(),
        }
    }
}

/// What to write after `blast allow`, where that would help.
fn lesson(target: &str, address: Option<&str>, verdict: Verdict<'_>) -> Option<String> {
    match verdict {
        Verdict::Denied(Reason::NotAllowed) => Some(format!("net {target}")),
        Verdict::Denied(Reason::Inside(_)) => address.map(|address| format!("net {address}")),
        _ => None,
    }
}

fn written(name: &str, port: u16) -> String {
    format!("{name}:{port}")
}

/// A connection's line in the log. It is written when this is dropped, so whatever ends a connection, it is there once.
#[derive(Debug)]
pub(super) struct Record {
    shared: Arc<Shared>,
    kind: Kind,
    target: String,
    address: Option<String>,
    rule: String,
    since: Instant,
    counted: Counted,
    failure: Mutex<Option<String>>,
}

impl Record {
    /// Where to count.
    pub(super) fn counted(&self) -> &Counted {
        &self.counted
    }

    /// It was never made.
    pub(super) fn failed(&self, error: &io::Error) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let failure = self
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let decision = match &failure {
            Some(_) => Decision::Failed,
            None => Decision::Allowed,
        };
        let rule = match failure {
            Some(failure) => format!("{}; {failure}", self.rule),
            None => self.rule.clone(),
        };
        let duration = self.since.elapsed().as_millis();
        self.shared.tell(&Entry {
            at_ms: now_ms(),
            who: self.shared.who(),
            kind: self.kind,
            target: self.target.clone(),
            address: self.address.clone(),
            decision,
            rule,
            allow: None,
            traffic: Some(Traffic {
                sent_bytes: self.counted.sent.load(Ordering::Relaxed),
                received_bytes: self.counted.received.load(Ordering::Relaxed),
                duration_ms: u64::try_from(duration).unwrap_or(u64::MAX),
            }),
        });
    }
}
