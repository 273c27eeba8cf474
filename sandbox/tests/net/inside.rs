//! The process in the empty namespace: it sets it up, hands the sockets out and does what it is told.

use std::env;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use blast_sandbox::net::{Setup, Sockets, set_up};
use hickory_resolver::proto::op::{Message, MessageType, OpCode, Query};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use serde::{Deserialize, Serialize};

use super::remote::serve;
use super::world::{Peer, receive, role, sockets};

const SETUP: &str = "BLAST_TEST_SETUP";

/// How long a program inside waits before it gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is done inside.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Act {
    /// Connects, says something, hears until the end.
    Connect { to: SocketAddr, say: String },
    /// The addresses of a name, those of IPv4 first.
    Resolve { name: String, server: SocketAddr },
    /// Asks SOCKS for a connection, says a line, hears until the end.
    Socks {
        name: String,
        port: u16,
        say: String,
    },
    /// Sends a datagram.
    Datagram { to: SocketAddr },
    /// Serves on its loopback.
    Serve { port: u16 },
    /// Reads so many bytes; how many microseconds it took.
    Pull { to: SocketAddr, bytes: usize },
    /// Says a line and hears the answer, so often; how many microseconds each took, the median.
    Ask { to: SocketAddr, times: usize },
    /// Connects so often and keeps the connections; how many of them live.
    Hold { to: SocketAddr, count: usize },
}

impl Act {
    pub(super) fn connect(to: &str, line: &str) -> Self {
        Self::Connect {
            to: to.parse().expect("an address"),
            say: format!("{line}\n"),
        }
    }

    pub(super) fn resolve(name: &str, server: &str) -> Self {
        Self::Resolve {
            name: name.to_owned(),
            server: server.parse().expect("an address"),
        }
    }

    pub(super) fn tunnel(name: &str, port: u16, line: &str) -> Self {
        let say = format!("CONNECT {name}:{port} HTTP/1.1\r\nHost: {name}:{port}\r\n\r\n{line}\n");
        Self::Connect {
            to: "127.0.0.1:3128".parse().expect("an address"),
            say,
        }
    }

    pub(super) fn socks(name: &str, port: u16, line: &str) -> Self {
        Self::Socks {
            name: name.to_owned(),
            port,
            say: line.to_owned(),
        }
    }

    fn carry_out(&self) -> std::io::Result<String> {
        match self {
            Self::Connect { to, say } => {
                let mut stream = connect(*to)?;
                stream.write_all(say.as_bytes())?;
                let mut answer = String::new();
                stream.read_to_string(&mut answer)?;
                Ok(answer)
            }
            Self::Resolve { name, server } => resolve(name, *server),
            Self::Socks { name, port, say } => socks(name, *port, say),
            Self::Datagram { to } => {
                let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
                socket.send_to(b"hello", to)?;
                Ok(String::new())
            }
            Self::Serve { port } => {
                serve(TcpListener::bind(("127.0.0.1", *port))?);
                Ok(String::new())
            }
            Self::Pull { to, bytes } => pull(*to, *bytes).map(|took| took.as_micros().to_string()),
            Self::Ask { to, times } => ask(*to, *times).map(|took| took.as_micros().to_string()),
            Self::Hold { to, count } => {
                // A connection too many is reset, at once or when it is used.
                let mut streams: Vec<_> = (0..*count).flat_map(|_| connect(*to)).collect();
                let mut living = 0;
                for stream in &mut streams {
                    let mut answer = String::new();
                    let asked = stream.write_all(b"hello\n");
                    let heard = asked.and_then(|()| stream.read_to_string(&mut answer));
                    living += usize::from(heard.is_ok_and(|length| length > 0));
                }
                Ok(living.to_string())
            }
        }
    }
}

fn connect(to: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// How long it takes to read so many bytes.
pub(super) fn pull(to: SocketAddr, bytes: usize) -> std::io::Result<Duration> {
    let mut stream = connect(to)?;
    let mut buffer = vec![0; 256 << 10];
    let begun = Instant::now();
    stream.write_all(format!("{bytes}\n").as_bytes())?;
    let mut received = 0;
    while received < bytes {
        match stream.read(&mut buffer)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            length => received += length,
        }
    }
    Ok(begun.elapsed())
}

/// How long it takes to connect, say a line and hear the answer: the median.
pub(super) fn ask(to: SocketAddr, times: usize) -> std::io::Result<Duration> {
    let once = || {
        let begun = Instant::now();
        let mut stream = connect(to)?;
        stream.write_all(b"hello\n")?;
        stream.read_exact(&mut [0; 16])?;
        std::io::Result::Ok(begun.elapsed())
    };
    let mut all = (0..times)
        .map(|_| once())
        .collect::<std::io::Result<Vec<_>>>()?;
    all.sort_unstable();
    Ok(all[times / 2])
}

fn resolve(name: &str, server: SocketAddr) -> std::io::Result<String> {
    let socket = UdpSocket::bind(if server.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    })?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(server)?;
    let mut found: Vec<IpAddr> = Vec::new();
    for kind in [RecordType::A, RecordType::AAAA] {
        let mut question = Message::new(7, MessageType::Query, OpCode::Query);
        let name = Name::from_ascii(format!("{name}.")).map_err(std::io::Error::other)?;
        question.add_query(Query::query(name, kind));
        socket.send(&question.to_vec().map_err(std::io::Error::other)?)?;
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer)?;
        let reply = Message::from_vec(&buffer[..length]).map_err(std::io::Error::other)?;
        found.extend(
            reply
                .answers
                .iter()
                .filter_map(|record| match &record.data {
                    RData::A(address) => Some(IpAddr::V4(address.0)),
                    RData::AAAA(address) => Some(IpAddr::V6(address.0)),
                    _ => None,
                }),
        );
    }
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    Ok(found.join(" "))
}

fn socks(name: &str, port: u16, line: &str) -> std::io::Result<String> {
    let mut stream = connect(SocketAddr::from(([127, 0, 0, 1], 3128)))?;
    stream.write_all(&[5, 1, 0])?;
    let mut method = [0; 2];
    stream.read_exact(&mut method)?;
    let length = u8::try_from(name.len()).map_err(std::io::Error::other)?;
    let mut request = vec![5, 1, 0, 3, length];
    request.extend(name.as_bytes());
    request.extend(port.to_be_bytes());
    stream.write_all(&request)?;
    let mut answer = [0; 10];
    stream.read_exact(&mut answer)?;
    let mut heard = String::new();
    if answer[1] == 0 {
        stream.write_all(format!("{line}\n").as_bytes())?;
        stream.read_to_string(&mut heard)?;
    }
    Ok(format!(
        "{} {}|{} {}|{heard}",
        method[0], method[1], answer[0], answer[1]
    ))
}

/// The process, as the world has it.
#[derive(Debug)]
pub(super) struct Inside(Peer);

impl Inside {
    /// Starts it in an empty namespace; its sockets beside it.
    pub(super) fn start(setup: &Setup) -> (Self, Sockets) {
        let mut command = role("inside::inside", true, &["-n"]);
        command.env(SETUP, serde_json::to_string(setup).expect("plain data"));
        let peer = Peer::start(command);
        let sockets = sockets(&peer);
        (Self(peer), sockets)
    }

    /// Has something done; what came of it, or why not.
    pub(super) fn act(&mut self, act: &Act) -> Result<String, String> {
        let question = serde_json::to_string(act).expect("plain data");
        let answer = tokio::task::block_in_place(|| self.0.ask(&question));
        serde_json::from_str(&answer).expect("an answer")
    }
}

#[test]
#[ignore = "a role that the other tests start"]
fn inside() {
    let setup = env::var(SETUP).expect("told what to set up");
    let setup: Setup = serde_json::from_str(&setup).expect("plain data");
    let parent = std::io::stdin();
    set_up(&setup)
        .expect("the namespace is ours")
        .send(&parent)
        .expect("the parent hears");
    while let Some(question) = receive(&parent) {
        let act: Act = serde_json::from_str(&question).expect("an act");
        let done = act.carry_out().map_err(|error| error.to_string());
        let answer = serde_json::to_string(&done).expect("plain data");
        rustix::io::write(&parent, answer.as_bytes()).expect("the parent hears");
    }
}
