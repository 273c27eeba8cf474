//! One connection: one request in, events and one answer out.

use std::any::Any;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use blast_types::{Event, Reporter};
use futures::FutureExt as _;
use nix::unistd::Uid;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Daemon, dispatch};
use crate::engine::EngineError;
use crate::ipc::protocol::{Envelope, ErrorKind, Failure, Frame, Request, VERSION};

const OWN_BUILD: &str = env!("CARGO_PKG_VERSION");

/// A request longer than this is nonsense (a lock of ten thousand packages is 10 MB).
const LONGEST_REQUEST: u64 = 64 << 20;

/// Transfers report at most this often, each.
const DOWNLOAD_PACE: Duration = Duration::from_millis(50);

/// Serves one client until it is answered or gone. Whoever accepted it has counted it: a daemon that leaves sees it.
pub(super) async fn serve(daemon: Arc<Daemon>, stream: UnixStream) {
    let ours = stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == Uid::effective().as_raw());
    if ours {
        daemon.upkeep.stop();
        converse(&daemon, stream).await;
    } else {
        tracing::warn!("refused a connection of another user");
    }
    if daemon.active.fetch_sub(1, Ordering::Relaxed) == 1 {
        daemon.upkeep.start(&daemon.homes);
    }
    daemon.used.notify_one();
}

async fn converse(daemon: &Arc<Daemon>, stream: UnixStream) {
    let (reading, mut writing) = stream.into_split();
    let mut reading = BufReader::new(reading);
    let mut line = Vec::new();
    let read = (&mut reading)
        .take(LONGEST_REQUEST)
        .read_until(b'\n', &mut line)
        .await;
    if read.is_err() || line.is_empty() {
        return; // nobody there to tell
    }
    let envelope = match parse(&line) {
        Ok(envelope) => envelope,
        Err(failure) => {
            send(&mut writing, &Frame::Error { error: failure }).await;
            return;
        }
    };
    let stop = matches!(envelope.request, Request::Shutdown { .. });
    let (reporter, mut events) = ChannelReporter::new();
    // Whatever panics, who asked is told, and counted as gone.
    let work = AssertUnwindSafe(dispatch::answer(daemon, envelope, Arc::new(reporter)));
    let mut work = work.catch_unwind().boxed();
    let mut gone = [0; 1];
    let answer = loop {
        tokio::select! {
            biased;
            answer = &mut work => break answer.unwrap_or_else(|panic| Err(panicked(&*panic))),
            Some(event) = events.recv() => {
                if !send(&mut writing, &Frame::Event { event }).await {
                    return; // dropping `work` cancels it
                }
            }
            read = reading.read(&mut gone) => match read {
                Ok(0) | Err(_) => return,
                Ok(_) => {} // nothing more is expected; ignored for later versions
            },
        }
    };
    forward_rest(&mut events, &mut writing).await;
    let frame = match answer {
        Ok(reply) => Frame::Reply {
            reply: Box::new(reply),
        },
        Err(error) => Frame::Error {
            error: error.failure(),
        },
    };
    if matches!(frame, Frame::Error { .. }) && daemon.homes.is_any_stuck() {
        // Opening a store settles what is on disk: the next process does, programs see nothing of it. Said before
        // the answer, after which nobody new is served here.
        daemon.renew.notify_one();
    }
    send(&mut writing, &frame).await;
    if stop && matches!(frame, Frame::Reply { .. }) {
        daemon.stop.notify_one();
    }
}

/// What a panic said, as the error that it is.
fn panicked(panic: &(dyn Any + Send)) -> EngineError {
    let text = (panic.downcast_ref::<String>().map(String::as_str))
        .or_else(|| panic.downcast_ref::<&str>().copied());
    EngineError::Bug(text.unwrap_or("what was asked for panicked").to_owned())
}

fn parse(line: &[u8]) -> Result<Envelope, Failure> {
    /// What every version of the protocol has.
    #[derive(serde::Deserialize)]
    struct Version {
        v: u32,
        #[serde(default)]
        build: String,
    }
    let refuse = |kind, message: String, hints| Failure {
        kind,
        message,
        causes: Vec::new(),
        hints,
        conflict: None,
    };
    match serde_json::from_slice::<Version>(line) {
        Ok(Version { v: VERSION, build }) if is_newer(&build, OWN_BUILD) => {
            return Err(refuse(
                ErrorKind::Version,
                format!("the daemon is blast {OWN_BUILD}, the client {build}"),
                vec!["run `blast daemon restart`".to_owned()],
            ));
        }
        Ok(Version { v: VERSION, .. }) => {}
        Ok(Version { v, .. }) => {
            return Err(refuse(
                ErrorKind::Version,
                format!("the daemon speaks version {VERSION} of the protocol, the client {v}"),
                vec!["run `blast daemon restart`, then the command again".to_owned()],
            ));
        }
        Err(error) => {
            return Err(refuse(
                ErrorKind::Usage,
                format!("not a request: {error}"),
                Vec::new(),
            ));
        }
    }
    serde_json::from_slice(line).map_err(|error| {
        refuse(
            ErrorKind::Version,
            format!("a request this daemon does not know: {error}"),
            Vec::new(),
        )
    })
}

/// Whether one build is newer than another, by the numbers of their versions.
fn is_newer(one: &str, other: &str) -> bool {
    let numbers = |build: &str| -> Vec<u64> {
        build
            .split('.')
            .map_while(|number| number.parse().ok())
            .collect()
    };
    numbers(one) > numbers(other)
}

async fn forward_rest(
    events: &mut UnboundedReceiver<Event>,
    writing: &mut tokio::net::unix::OwnedWriteHalf,
) {
    while let Ok(event) = events.try_recv() {
        if !send(writing, &Frame::Event { event }).await {
            return;
        }
    }
}

/// Whether the client still listens.
async fn send(writing: &mut tokio::net::unix::OwnedWriteHalf, frame: &Frame) -> bool {
    match serde_json::to_vec(frame) {
        Ok(mut line) => {
            line.push(b'\n');
            writing.write_all(&line).await.is_ok()
        }
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written as JSON");
            false
        }
    }
}

/// Passes events to the connection's task; transfers are thinned out.
struct ChannelReporter {
    channel: UnboundedSender<Event>,
    downloads: Mutex<HashMap<String, Instant>>,
}

impl ChannelReporter {
    fn new() -> (Self, UnboundedReceiver<Event>) {
        let (channel, events) = unbounded_channel();
        (
            Self {
                channel,
                downloads: Mutex::default(),
            },
            events,
        )
    }

    fn is_due(&self, file: &str) -> bool {
        let mut downloads = self
            .downloads
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match downloads.get_mut(file) {
            Some(last) if now.duration_since(*last) < DOWNLOAD_PACE => false,
            Some(last) => {
                *last = now;
                true
            }
            None => {
                downloads.insert(file.to_owned(), now);
                true
            }
        }
    }
}

impl Reporter for ChannelReporter {
    fn report(&self, event: Event) {
        let passing = match &event {
            Event::Download { file, done, total } => (done != total).then_some(file.as_str()),
            Event::Cleaning { done, total } => (done != total).then_some(""),
            _ => None,
        };
        if passing.is_some_and(|what| !self.is_due(what)) {
            return;
        }
        // A client that is gone has its request dropped by the connection's task.
        self.channel.send(event).unwrap_or_default();
    }
}

impl From<tokio::task::JoinError> for EngineError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Bug(format!("a task of the daemon failed: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_newer_build_is_newer() {
        for (one, other, newer) in [
            ("0.2.0", "0.1.9", true),
            ("0.10.0", "0.9.0", true),
            ("0.1.0", "0.1.0", false),
            ("0.1.0", "0.2.0", false),
            ("", "0.1.0", false),
        ] {
            assert_eq!(is_newer(one, other), newer, "{one} {other}");
        }
    }

    #[test]
    fn a_newer_client_is_told_to_replace_the_daemon() {
        let line = br#"{"v":1,"build":"999.0.0","home":"/h","cache":"/c","command":[],
            "request":{"op":"ping"}}"#;
        let refused = parse(line).expect_err("another build");
        assert_eq!(refused.kind, ErrorKind::Version);
        let line = String::from_utf8_lossy(line).replace("999.0.0", OWN_BUILD);
        assert!(parse(line.as_bytes()).is_ok());
    }
}
