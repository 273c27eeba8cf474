//! The namespace in which a test runs, with a filter and a remote host.

use std::env;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use blast_harness::{Means, require};
use blast_sandbox::audit::{Entry, Listener, Who};
use blast_sandbox::net::{Config, Filter, Limits, Publish, Setup, Sockets};
use blast_sandbox::policy::Network;
use blast_sandbox::policy::origin::Origin;
use blast_sandbox::policy::verdict::{Rule, Rules};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;

use super::inside::Inside;
use super::remote::{self, Remote};

const VARIABLE: &str = "BLAST_TEST_WORLD";

/// Runs a test, which must say its own name, in a namespace of its own.
pub(super) fn in_world<F: Future<Output = ()>>(name: &str, test: impl FnOnce(World) -> F) {
    if env::var_os(VARIABLE).is_none() {
        if require(Means::Netns) {
            let status = role(name, name.starts_with("measure"), &["-Urn"])
                .env(VARIABLE, "1")
                .status();
            assert!(
                status.expect("unshare runs").success(),
                "it failed in its namespace"
            );
        }
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime
        .expect("a runtime")
        .block_on(async { test(World::new()).await });
}

/// This program as one of its tests, in new namespaces.
pub(super) fn role(name: &str, hidden: bool, namespaces: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(namespaces)
        .arg("--")
        .arg(env::current_exe().expect("this program has a path"))
        .args(["--exact", name, "--nocapture"])
        .args(hidden.then_some("--ignored"));
    command
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct World {
    remote: Remote,
    heard: Arc<Heard>,
    filters: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Heard(Mutex<Vec<Entry>>);

impl Listener for Heard {
    fn heard(&self, entry: &Entry) {
        self.0.lock().expect("whole").push(entry.clone());
    }
}

impl World {
    fn new() -> Self {
        ip("link set lo up");
        Self {
            remote: Remote::start(),
            heard: Arc::default(),
            filters: Mutex::default(),
        }
    }

    /// An inside whose filter has these rules.
    pub(super) async fn filtered(&self, allowed: &[&str], denied: &[&str]) -> Inside {
        self.start(allowed, denied, Limits::default(), &[]).await
    }

    /// The same with limits.
    pub(super) async fn limited(&self, allowed: &[&str], limits: Limits) -> Inside {
        self.start(allowed, &[], limits, &[]).await
    }

    /// An inside that reaches nobody and has these ports.
    pub(super) async fn published(&self, publish: &[Publish]) -> Inside {
        self.start(&[], &[], Limits::default(), publish).await
    }

    async fn start(
        &self,
        allowed: &[&str],
        denied: &[&str],
        limits: Limits,
        publish: &[Publish],
    ) -> Inside {
        let rules = |texts: &[&str]| texts.iter().map(|text| rule(text)).collect();
        let config = Config {
            who: Who {
                environment: "demo".into(),
                command: vec!["test".into()],
                uid: 0,
            },
            network: Network {
                rules: Rules {
                    allowed: rules(allowed),
                    denied: rules(denied),
                    ports: None,
                },
                limits,
                dns_servers: vec!["198.51.100.1:5300".parse().expect("an address")],
                publish: publish.to_vec(),
            },
        };
        let (inside, sockets) = Inside::start(&config.network.setup());
        assert_eq!(sockets.transparent, Ok(()));
        let listeners: Vec<Arc<dyn Listener>> = vec![Arc::clone(&self.heard) as _];
        let filter = Filter::start(config, sockets, listeners)
            .await
            .expect("it starts");
        self.filters
            .lock()
            .expect("whole")
            .push(tokio::spawn(filter.run()));
        inside
    }

    /// What the log got so far, without what was taken from here before.
    pub(super) fn heard(&self) -> Vec<Entry> {
        // A line is written when both sides know that the connection is over: a little later than the client.
        for _ in 0..500 {
            let heard = std::mem::take(&mut *self.heard.0.lock().expect("whole"));
            if !heard.is_empty() {
                return heard;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Vec::new()
    }

    /// The next line of the log.
    pub(super) fn hear(&self) -> Entry {
        self.heard().remove(0)
    }

    /// The names that the server of the policy was asked for, each once.
    pub(super) fn asked(&self) -> Vec<String> {
        self.remote.tell("asked")
    }

    /// What came by UDP.
    pub(super) fn datagrams(&self) -> Vec<String> {
        self.remote.tell("datagrams")
    }
}

/// An inside whose sockets nobody holds.
pub(super) fn abandoned() -> Inside {
    let (inside, sockets) = Inside::start(&Setup::default());
    drop(sockets);
    inside
}

/// A server on the world's own loopback.
pub(super) fn serve_on_loopback(port: u16) {
    for listener in [
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)),
        TcpListener::bind((Ipv6Addr::LOCALHOST, port)),
    ] {
        remote::serve(listener.expect("free"));
    }
}

fn rule(text: &str) -> Rule {
    Rule {
        target: text.parse().expect(text),
        origin: Origin::Flag,
    }
}

/// Says a line to a server and returns what it answers.
pub(super) async fn say(address: &str, line: &str) -> std::io::Result<String> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(format!("{line}\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Runs `ip` with these words.
pub(super) fn ip(words: &str) {
    let status = Command::new("ip").args(words.split(' ')).status();
    assert!(status.expect("ip runs").success(), "ip {words}");
}

/// A process of ours at the other end of a pair of sockets.
#[derive(Debug)]
pub(super) struct Peer {
    child: Child,
    pub(super) socket: OwnedFd,
}

impl Peer {
    /// Starts a role; its standard input is the socket.
    pub(super) fn start(mut command: Command) -> Self {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
        let pair = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        );
        let (socket, other) = pair.expect("a pair of sockets");
        let child = command
            .stdin(Stdio::from(other))
            .stdout(Stdio::null())
            .spawn();
        Self {
            child: child.expect("it starts"),
            socket,
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a line and waits for the answer.
    pub(super) fn ask(&self, line: &str) -> String {
        rustix::io::write(&self.socket, line.as_bytes()).expect("somebody is there");
        receive(&self.socket).expect("an answer")
    }
}

/// The next line of a peer; none when it is gone.
pub(super) fn receive(socket: impl std::os::fd::AsFd) -> Option<String> {
    let mut buffer = vec![0; 200 << 10];
    let length = rustix::io::read(socket, &mut buffer)
        .ok()
        .filter(|length| *length > 0)?;
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

impl Drop for Peer {
    fn drop(&mut self) {
        // One that ended by itself need not be ended.
        self.child.kill().unwrap_or_default();
        drop(self.child.wait());
    }
}

/// Takes the sockets that a peer sends.
pub(super) fn sockets(peer: &Peer) -> Sockets {
    Sockets::receive(&peer.socket).expect("sockets")
}
