//! Just enough HTTP/1.1: persistent connections, ranges, validators.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{Fault, Format, Hit, State, lock, normalized, pages};

/// A request as far as the index looks at it.
struct Request {
    method: String,
    path: String,
    accept: String,
    range: Option<String>,
    if_none_match: Option<String>,
    authorization: Option<String>,
}

/// An answer before it is framed.
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// Accepts connections until the index is stopped.
pub(super) fn accept(listener: &TcpListener, state: &Arc<Mutex<State>>) {
    for stream in listener.incoming() {
        let mut shared = lock(state);
        if shared.stopped {
            return;
        }
        let Ok(stream) = stream else { continue };
        if let Ok(copy) = stream.try_clone() {
            shared.connections.push(copy);
        }
        drop(shared);
        let state = Arc::clone(state);
        // A client that hangs up ends its thread by an error, which is no news.
        thread::spawn(move || drop(serve(&stream, &state)));
    }
}

fn serve(stream: &TcpStream, state: &Mutex<State>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader)? {
        let (answer, fault) = {
            let mut state = lock(state);
            let fault = take_fault(&mut state, &request.path);
            let answer = match fault {
                Some(Fault::Status(status)) => Answer::text(status, "a fault was asked for\n"),
                _ => answer(&state, &request),
            };
            let status = if fault == Some(Fault::Hangup) {
                0
            } else {
                answer.status
            };
            state.hits.push(Hit {
                method: request.method.clone(),
                path: request.path.clone(),
                range: request.range.clone(),
                status,
            });
            (answer, fault)
        };
        if fault == Some(Fault::Held) {
            wait_until_healed(state);
        }
        if !send(stream, &request, answer, fault)? {
            stream.shutdown(std::net::Shutdown::Both)?;
            return Ok(());
        }
    }
    Ok(())
}

fn read_request(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let mut request = Request {
        method: words.next().unwrap_or_default(),
        path: words.next().unwrap_or_default(),
        accept: String::new(),
        range: None,
        if_none_match: None,
        authorization: None,
    };
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 {
            return Ok(None);
        }
        let Some((name, value)) = header.split_once(':') else {
            return Ok(Some(request));
        };
        let value = value.trim().to_owned();
        match name.to_ascii_lowercase().as_str() {
            "accept" => request.accept = value,
            "range" => request.range = Some(value),
            "authorization" => request.authorization = Some(value),
            "if-none-match" => request.if_none_match = Some(value),
            _ => {}
        }
    }
}

fn wait_until_healed(state: &Mutex<State>) {
    let is_held = || {
        let state = lock(state);
        !state.stopped && !state.faults.is_empty()
    };
    while is_held() {
        thread::sleep(Duration::from_millis(5));
    }
}

/// The fault that this request meets, counted down.
fn take_fault(state: &mut State, path: &str) -> Option<Fault> {
    let rule = state
        .faults
        .iter_mut()
        .find(|rule| rule.times > 0 && path.starts_with(&rule.path))?;
    rule.times -= 1;
    Some(rule.fault)
}

fn answer(state: &State, request: &Request) -> Answer {
    if state.authorization.is_some() && state.authorization != request.authorization {
        return Answer::text(401, "who are you?\n");
    }
    let path = request.path.split('?').next().unwrap_or_default();
    if path == "/simple/" {
        let page = pages::root_html(state.projects.keys());
        return Answer::page(pages::HTML, page, state, request);
    }
    if let Some(name) = path.strip_prefix("/simple/") {
        return project(state, request, name.trim_end_matches('/'));
    }
    if let Some(name) = path.strip_prefix("/files/") {
        return file(state, request, name);
    }
    Answer::text(404, "no such page\n")
}

fn project(state: &State, request: &Request, name: &str) -> Answer {
    let Some(files) = state.projects.get(&normalized(name)) else {
        return Answer::text(404, "no such project\n");
    };
    if state.format == Format::Negotiated && request.accept.contains(pages::JSON) {
        Answer::page(
            pages::JSON,
            pages::project_json(name, files),
            state,
            request,
        )
    } else {
        Answer::page(
            pages::HTML,
            pages::project_html(name, files),
            state,
            request,
        )
    }
}

fn file(state: &State, request: &Request, name: &str) -> Answer {
    let mut files = state.projects.values().flatten();
    if let Some(wheel) = name.strip_suffix(".metadata") {
        return files
            .find(|file| file.filename == wheel)
            .and_then(|file| file.metadata.clone())
            .map_or_else(
                || Answer::text(404, "no metadata\n"),
                |text| Answer::new(200, "application/octet-stream", text.into_bytes()),
            );
    }
    let Some(file) = files.find(|file| file.filename == name) else {
        return Answer::text(404, "no such file\n");
    };
    let whole = &file.bytes;
    let mut answer = match request.range.as_deref().filter(|_| state.ranges) {
        None => Answer::new(200, "application/octet-stream", whole.to_vec()),
        Some(range) => match span(range, whole.len()) {
            Some((from, to)) => {
                let mut part =
                    Answer::new(206, "application/octet-stream", whole[from..=to].to_vec());
                let all = whole.len();
                part.headers
                    .push(("Content-Range", format!("bytes {from}-{to}/{all}")));
                part
            }
            None => Answer::text(416, "no such range\n"),
        },
    };
    if state.ranges {
        answer.headers.push(("Accept-Ranges", "bytes".to_owned()));
    }
    answer.headers.push(("ETag", etag(whole)));
    answer
        .headers
        .push(("Cache-Control", "max-age=365000000, immutable".to_owned()));
    answer
}

/// First and last byte of `bytes=a-b`, `bytes=a-` or `bytes=-n`.
fn span(range: &str, size: usize) -> Option<(usize, usize)> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let last = size.checked_sub(1)?;
    let (from, to) = match (from.parse::<usize>(), to.parse::<usize>()) {
        (Ok(from), Ok(to)) => (from, to.min(last)),
        (Ok(from), Err(_)) => (from, last),
        (Err(_), Ok(count)) => (size.saturating_sub(count), last),
        (Err(_), Err(_)) => return None,
    };
    (from <= to && from < size).then_some((from, to))
}

fn etag(body: &[u8]) -> String {
    format!("\"{}\"", &hex::encode(Sha256::digest(body))[..16])
}

impl Answer {
    fn new(status: u16, content_type: &str, body: Vec<u8>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type", content_type.to_owned())],
            body,
        }
    }

    fn text(status: u16, text: &str) -> Self {
        Self::new(status, "text/plain", text.as_bytes().to_vec())
    }

    /// A page with its validator, or 304 to who has it.
    fn page(content_type: &str, text: String, state: &State, request: &Request) -> Self {
        let tag = etag(text.as_bytes());
        let mut answer = if request.if_none_match.as_deref() == Some(&tag) {
            Self::new(304, content_type, Vec::new())
        } else {
            Self::new(200, content_type, text.into_bytes())
        };
        answer.headers.push(("ETag", tag));
        if let Some(value) = &state.cache_control {
            answer.headers.push(("Cache-Control", value.clone()));
        }
        answer
    }
}

/// Writes the answer with its fault; whether the connection goes on.
fn send(
    mut stream: &TcpStream,
    request: &Request,
    mut answer: Answer,
    fault: Option<Fault>,
) -> io::Result<bool> {
    match fault {
        Some(Fault::Hangup) => return Ok(false),
        Some(Fault::Slow(delay)) => thread::sleep(delay),
        Some(Fault::WrongBytes) => answer.body.iter_mut().for_each(|byte| *byte ^= 0x55),
        Some(Fault::Status(_) | Fault::CloseMidBody | Fault::Held) | None => {}
    }
    write!(
        stream,
        "HTTP/1.1 {} {}\r\n",
        answer.status,
        reason(answer.status)
    )?;
    for (name, value) in &answer.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    write!(stream, "Content-Length: {}\r\n\r\n", answer.body.len())?;
    if request.method == "HEAD" {
        return Ok(true);
    }
    if fault == Some(Fault::CloseMidBody) {
        stream.write_all(&answer.body[..answer.body.len() / 2])?;
        return Ok(false);
    }
    stream.write_all(&answer.body)?;
    Ok(true)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        304 => "Not Modified",
        404 => "Not Found",
        416 => "Range Not Satisfiable",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_clients_write_them() {
        assert_eq!(span("bytes=0-9", 100), Some((0, 9)));
        assert_eq!(span("bytes=90-", 100), Some((90, 99)));
        assert_eq!(span("bytes=-10", 100), Some((90, 99)));
        assert_eq!(span("bytes=-1000", 100), Some((0, 99)));
        assert_eq!(span("bytes=90-1000", 100), Some((90, 99)));
        assert_eq!(span("bytes=100-", 100), None);
        assert_eq!(span("bytes=x-y", 100), None);
        assert_eq!(span("bytes=0-0", 0), None);
    }
}
