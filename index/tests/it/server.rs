//! A small HTTP server on loopback: every answer is the test's, every request is remembered.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// `Range: bytes=…` applied to `body`.
    pub(crate) fn part<'a>(&self, body: &'a [u8]) -> Option<(usize, &'a [u8])> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        let (first, last) = range.split_once('-').expect("a range");
        let start = match first {
            "" => body.len().saturating_sub(last.parse().expect("a number")),
            first => first.parse().expect("a number"),
        };
        let end = match (first, last) {
            ("", _) | (_, "") => body.len(),
            (_, last) => last.parse::<usize>().expect("a number") + 1,
        };
        Some((start, &body[start..end.min(body.len())]))
    }
}

#[derive(Clone)]
pub(crate) struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Send only this many bytes of the body, then hang up.
    cut: Option<usize>,
}

impl Response {
    pub(crate) fn new(status: u16, body: impl AsRef<[u8]>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.as_ref().to_vec(),
            cut: None,
        }
    }

    pub(crate) fn ok(body: impl AsRef<[u8]>) -> Self {
        Self::new(200, body)
    }

    pub(crate) fn html(body: &str) -> Self {
        Self::ok(body).with("Content-Type", "text/html")
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn cut(mut self, at: usize) -> Self {
        self.cut = Some(at);
        self
    }

    /// What a server that knows ranges says.
    pub(crate) fn ranged(request: &Request, body: &[u8]) -> Self {
        match request.part(body) {
            None => Self::ok(body),
            Some((start, part)) => Self::new(206, part).with(
                "Content-Range",
                &format!("bytes {start}-{}/{}", start + part.len() - 1, body.len()),
            ),
        }
    }
}

type Handler = dyn Fn(&Request) -> Response + Send + Sync;

pub(crate) struct Server {
    pub(crate) url: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn start(handler: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let handler: Arc<Handler> = Arc::new(handler);
        let seen = Arc::clone(&log);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (handler, seen) = (Arc::clone(&handler), Arc::clone(&seen));
                std::thread::spawn(move || serve(stream, &*handler, &seen));
            }
        });
        Self { url, log }
    }

    /// Requests since the last call, as `GET /path` and its range.
    pub(crate) fn taken(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().expect("not poisoned"))
    }
}

/// Answers the requests of one connection until the client is done.
fn serve(stream: TcpStream, handler: &Handler, log: &Mutex<Vec<String>>) {
    let mut writer = stream.try_clone().expect("a second handle");
    let mut lines = BufReader::new(stream).lines();
    while let Some(Ok(first)) = lines.next() {
        let mut words = first.split(' ').map(str::to_owned);
        let method = words.next().unwrap_or_default();
        let path = words.next().unwrap_or_default();
        let mut headers = BTreeMap::new();
        for line in lines.by_ref() {
            let Ok(line) = line else { return };
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let request = Request {
            method,
            path,
            headers,
        };
        let mut entry = format!("{} {}", request.method, request.path);
        if let Some(range) = request.header("range") {
            write!(entry, " {range}").expect("a string");
        }
        log.lock().expect("not poisoned").push(entry);
        let response = handler(&request);
        let mut head = format!("HTTP/1.1 {} X\r\n", response.status);
        for (name, value) in &response.headers {
            write!(head, "{name}: {value}\r\n").expect("a string");
        }
        write!(head, "Content-Length: {}\r\n\r\n", response.body.len()).expect("a string");
        let sent = &response.body[..response.cut.unwrap_or(response.body.len())];
        let sent = writer
            .write_all(head.as_bytes())
            .and_then(|()| writer.write_all(sent));
        if sent.is_err() || response.cut.is_some() {
            drop(writer.shutdown(std::net::Shutdown::Both));
            return;
        }
    }
}
