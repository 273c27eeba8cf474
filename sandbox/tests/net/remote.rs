//! The host beside the world: servers that say what they heard, and one for names.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA};
use hickory_resolver::proto::rr::{RData, Record, RecordType};

use super::world::{Peer, ip, receive, role};

/// What names lead to: one below `good.test` has all of what is elsewhere, the others lead inwards.
const NAMES: &[(&str, &[&str])] = &[
    ("www.good.test.", &["198.51.100.1", "2001:db8::1"]),
    ("bad.good.test.", &["198.51.100.1"]),
    ("loop.good.test.", &["127.0.0.1"]),
    ("meta.good.test.", &["169.254.169.254"]),
    ("lan.good.test.", &["10.9.0.1"]),
    ("lan.test.", &["10.9.0.1"]),
    ("own.test.", &["198.51.100.254"]),
    ("evil.test.", &["198.51.100.1"]),
];

/// The remote host, as the world has it.
#[derive(Debug)]
pub(super) struct Remote(Peer);

impl Remote {
    /// Starts it and connects it to this namespace.
    pub(super) fn start() -> Self {
        let peer = Peer::start(role("remote::remote_host", true, &["-n"]));
        assert_eq!(receive(&peer.socket).as_deref(), Some("here"));
        ip(&format!(
            "link add near type veth peer name far netns {}",
            peer.pid()
        ));
        ip("addr add 198.51.100.254/24 dev near");
        ip("addr add 10.9.0.254/24 dev near");
        ip("addr add 2001:db8::254/64 dev near nodad");
        ip("link set near up");
        assert_eq!(peer.ask("go"), "ready");
        Self(peer)
    }

    /// What it saw of a kind.
    pub(super) fn tell(&self, what: &str) -> Vec<String> {
        let answer = self.0.ask(what);
        answer.split_whitespace().map(ToOwned::to_owned).collect()
    }
}

#[test]
#[ignore = "a role that the other tests start"]
fn remote_host() {
    let parent = std::io::stdin();
    let say = |text: &str| rustix::io::write(&parent, text.as_bytes()).expect("the parent hears");
    say("here");
    let go = receive(&parent);
    assert_eq!(go.as_deref(), Some("go"));
    for words in [
        "addr add 198.51.100.1/24 dev far",
        "addr add 198.51.100.2/24 dev far",
        "addr add 10.9.0.1/24 dev far",
        "addr add 2001:db8::1/64 dev far nodad",
        "link set far up",
    ] {
        ip(words);
    }
    for port in [8000, 8001] {
        serve(TcpListener::bind(("::", port)).expect("free"));
    }
    send_much(TcpListener::bind("0.0.0.0:8100").expect("free"));
    let asked = Arc::new(Mutex::new(BTreeSet::new()));
    let names = UdpSocket::bind("0.0.0.0:5300").expect("free");
    let seen = Arc::clone(&asked);
    thread::spawn(move || answer_names(&names, &seen));
    let datagrams = UdpSocket::bind("[::]:8000").expect("free");
    datagrams.set_nonblocking(true).expect("a socket");
    say("ready");
    while let Some(question) = receive(&parent) {
        let answer = match question.as_str() {
            "asked" => asked
                .lock()
                .expect("whole")
                .iter()
                .cloned()
                .collect::<Vec<_>>()
                .join(" "),
            _ => match datagrams.recv(&mut [0; 64]) {
                Ok(length) => length.to_string(),
                Err(_) => String::new(),
            },
        };
        // An empty packet would be the end.
        say(&format!("{answer} "));
    }
}

/// A server that says its port and the line that it heard.
pub(super) fn serve(listener: TcpListener) {
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            thread::spawn(move || {
                let mut line = String::new();
                let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
                if reader.read_line(&mut line).is_ok_and(|length| length > 0) {
                    let answer = format!("{port} heard {}", line.trim_end());
                    // A client that is gone needs none.
                    stream.write_all(answer.as_bytes()).unwrap_or_default();
                }
                // What else was sent must be read, or the end is a reset.
                stream
                    .shutdown(std::net::Shutdown::Write)
                    .unwrap_or_default();
                stream
                    .set_read_timeout(Some(Duration::from_secs(5)))
                    .unwrap_or_default();
                while reader.read_line(&mut line).is_ok_and(|length| length > 0) {}
            });
        }
    });
}

/// A server that sends as many bytes as it is asked for.
fn send_much(listener: TcpListener) {
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut line = String::new();
            let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
            reader.read_line(&mut line).expect("a line");
            let length: usize = line.trim().parse().expect("a number");
            let portion = vec![b'x'; 256 << 10];
            for begin in (0..length).step_by(portion.len()) {
                let rest = portion.len().min(length - begin);
                // A client that is gone needs no more.
                stream.write_all(&portion[..rest]).unwrap_or_default();
            }
        }
    });
}

fn answer_names(socket: &UdpSocket, seen: &Mutex<BTreeSet<String>>) {
    let mut buffer = [0; 4096];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).expect("a question");
        let asked = Message::from_vec(&buffer[..length]).expect("a message");
        let query = asked.queries.first().expect("a question").clone();
        let name = query.name().to_ascii();
        seen.lock().expect("whole").insert(name.clone());
        let mut reply = Message::response(asked.metadata.id, asked.metadata.op_code);
        match NAMES.iter().find(|(known, _)| *known == name) {
            Some((_, addresses)) => {
                for address in *addresses {
                    let data = match (query.query_type(), address.parse().expect("an address")) {
                        (RecordType::A, IpAddr::V4(address)) => RData::A(A(address)),
                        (RecordType::AAAA, IpAddr::V6(address)) => RData::AAAA(AAAA(address)),
                        _ => continue,
                    };
                    reply.add_answer(Record::from_rdata(query.name().clone(), 60, data));
                }
            }
            None => reply.metadata.response_code = ResponseCode::NXDomain,
        }
        reply.add_query(query);
        socket
            .send_to(&reply.to_vec().expect("a message"), from)
            .expect("sent");
    }
}
