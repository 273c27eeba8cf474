//! The client's half of a conversation with the daemon.
//!
//! Blocking, on a plain Unix stream: the command line has no runtime. [`Client::ask`] opens one
//! connection for one request, starting the daemon ([`launch`]) where none listens. Dropping the
//! connection (also by being killed) cancels the request.
//!
//! Three things can go wrong on the way, and each is settled here: nobody listens (start one), a
//! daemon of another version listens (have it make room by its signal, the one language that all
//! versions understand, and start ours, which takes over its mounts), the daemon goes away before it answers (ask again where
//! asking twice is harmless, else say that nothing is half-done).

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use blast_types::Event;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::{Pid, Uid};

use super::images::ImageRequest;
use super::launch;
use super::paths::Places;
use super::protocol::{
    Envelope, ErrorKind, Failure, Frame, Reply, Request, VERSION, ViewChoice, Writes,
};
use super::redaction::hide_credentials;
use crate::error::Error;
use crate::holder;

/// How long a daemon that was told to end may take.
const END_LIMIT: Duration = Duration::from_secs(40);

/// How long a daemon may take to answer before `--force` kills it.
const FORCED_PATIENCE: Duration = Duration::from_secs(3);

/// Asks the daemon.
#[derive(Debug)]
pub(crate) struct Client {
    places: Places,
    view: ViewChoice,
    writes: Option<Writes>,
    command: Vec<String>,
}

/// How an exchange ended.
enum Outcome {
    Reply(Box<Reply>),
    Failure(Failure),
    /// The connection closed without an answer; whether anything had come before.
    Lost {
        spoke: bool,
    },
}

impl Client {
    /// A client for these places. `view` is how environments shall be shown, `command` what the user
    /// typed, for the history; credentials in it are hidden.
    pub(crate) fn new(places: Places, view: ViewChoice, command: &[String]) -> Self {
        let command = command.iter().map(|word| hide_credentials(word)).collect();
        Self {
            places,
            view,
            writes: None,
            command,
        }
    }

    /// Says what is to become of what programs wrote into plain files.
    pub(crate) fn with_writes(mut self, writes: Option<Writes>) -> Self {
        self.writes = writes;
        self
    }

    /// Where the daemon and its stores are.
    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    /// Asks, starting the daemon if need be. Events go to `events` as they come.
    pub(crate) fn ask(
        &self,
        request: Request,
        events: &mut dyn FnMut(&Event),
    ) -> Result<Reply, Error> {
        self.places.ensure_runtime()?;
        let repeatable = is_repeatable(&request);
        let line = self.line(request)?;
        let mut may_replace = true;
        let mut may_repeat = repeatable;
        loop {
            let stream = launch::connect_or_start(&self.places, self.view)?;
            let peer = peer(&stream)?;
            match converse(stream, &line, events)? {
                Outcome::Reply(reply) => return Ok(*reply),
                Outcome::Failure(failure) if failure.kind == ErrorKind::Version && may_replace => {
                    may_replace = false;
                    self.succeed(peer)?;
                }
                Outcome::Failure(failure) => return Err(failure.into()),
                // It was ending when we came: nobody has seen the question.
                Outcome::Lost { spoke: false } if may_repeat => may_repeat = false,
                Outcome::Lost { .. } => return Err(self.lost(repeatable)),
            }
        }
    }

    /// Asks a daemon that is there already; `None` where none is.
    pub(crate) fn ask_running(&self, request: Request) -> Result<Option<Reply>, Error> {
        let Some(stream) = self.connect()? else {
            return Ok(None);
        };
        let line = self.line(request)?;
        match converse(stream, &line, &mut |_| {})? {
            Outcome::Reply(reply) => Ok(Some(*reply)),
            Outcome::Failure(failure) => Err(failure.into()),
            Outcome::Lost { .. } => Err(self.lost(true)),
        }
    }

    /// Puts a daemon of our build in the place of the one that runs; the view stays mounted. Requests
    /// that it has are answered first, unless `force`. `None` where none runs; else the process
    /// numbers of both.
    pub(crate) fn restart(&self, force: bool) -> Result<Option<(u32, u32)>, Error> {
        let Some(stream) = self.connect()? else {
            return Ok(None);
        };
        let old = peer(&stream)?;
        drop(stream);
        if force {
            // Whatever it is at: what it leaves is what its successor can deal with.
            signal(old, Signal::SIGKILL)?;
        }
        let new = self.succeed(old)?;
        let number = |pid: Pid| pid.as_raw().unsigned_abs();
        Ok(Some((number(old), number(new))))
    }

    /// Has a daemon make room, and starts ours.
    fn succeed(&self, old: Pid) -> Result<Pid, Error> {
        let stream = launch::succeed(&self.places, self.view, || {
            signal(old, Signal::SIGHUP)?;
            if wait_for_end(old) {
                return Ok(());
            }
            Err(still_there(old))
        })?;
        peer(&stream)
    }

    /// Ends the daemon; `false` where none was there. `force`: even if it does not answer.
    pub(crate) fn shut_down(&self, force: bool) -> Result<bool, Error> {
        let mut stream = self.connect()?;
        let mut held = false;
        if stream.is_none() {
            // It may have died, and the holder be about to start another.
            held = holder::end(&self.places)?;
            stream = self.connect()?;
        }
        let Some(stream) = stream else {
            launch::tidy(&self.places)?;
            return Ok(held);
        };
        let peer = peer(&stream)?;
        // A forced end does not wait for a daemon that hangs.
        let patience = force.then_some(FORCED_PATIENCE);
        stream
            .set_read_timeout(patience)
            .map_err(|error| Error::internal("cannot use the daemon's socket").caused_by(&error))?;
        let line = self.line(Request::Shutdown { force })?;
        match converse(stream, &line, &mut |_| {}) {
            Ok(Outcome::Failure(failure)) if failure.kind != ErrorKind::Version => {
                return Err(failure.into());
            }
            Ok(Outcome::Failure(_)) => end(peer, &self.places)?,
            Ok(_) if wait_for_end(peer) => {}
            Err(error) if !force => return Err(error),
            Ok(_) | Err(_) if force => {
                // Or it would start another.
                holder::end(&self.places)?;
                signal(peer, Signal::SIGKILL)?;
                self.wait_until_deaf(peer);
                launch::tidy(&self.places)?;
            }
            Ok(_) | Err(_) => return Err(still_there(peer)),
        }
        // With nothing to hold it ends by itself.
        holder::wait_for_end(&self.places);
        Ok(true)
    }

    fn connect(&self) -> Result<Option<UnixStream>, Error> {
        match UnixStream::connect(self.places.socket()) {
            Ok(stream) => Ok(Some(stream)),
            Err(error) if launch::means_nobody(&error) => Ok(None),
            Err(error) => Err(Error::io(
                "reach the daemon at",
                &self.places.socket(),
                &error,
            )),
        }
    }

    /// Waits until this process listens no more: its socket lives as long as its last thread,
    /// which is longer than the process seems to.
    fn wait_until_deaf(&self, daemon: Pid) {
        let deadline = Instant::now() + END_LIMIT;
        while Instant::now() < deadline
            && let Ok(stream) = UnixStream::connect(self.places.socket())
            && peer(&stream).is_ok_and(|listening| listening == daemon)
        {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn line(&self, request: Request) -> Result<Vec<u8>, Error> {
        let envelope = Envelope {
            v: VERSION,
            build: env!("CARGO_PKG_VERSION").to_owned(),
            home: self.places.home.clone(),
            cache: self.places.cache.clone(),
            view: self.view,
            writes: self.writes,
            command: self.command.clone(),
            request,
        };
        let mut line = serde_json::to_vec(&envelope)
            .map_err(|error| Error::internal("cannot write the request").caused_by(&error))?;
        line.push(b'\n');
        Ok(line)
    }

    fn lost(&self, harmless: bool) -> Error {
        let log: PathBuf = self.places.log_file();
        let error = Error::internal("the daemon ended before it answered");
        let error = if harmless {
            error.hint("run the command again: a new daemon starts with it")
        } else {
            error.hint(
                "nothing is half-done: the environment is as it was or wholly changed; see \
                 `blast log`, then run the command again if it is not there",
            )
        };
        error.hint(format!("its last words are in {}", log.display()))
    }
}

/// Whether a request may be asked twice: it changes nothing, or nothing more the second time.
fn is_repeatable(request: &Request) -> bool {
    match request {
        Request::Ping
        | Request::Start(_)
        | Request::Log { .. }
        | Request::Show { .. }
        | Request::Blame { .. }
        | Request::Diff { .. }
        | Request::Snapshots { .. }
        | Request::Lock(_)
        | Request::Fetch(_)
        | Request::Markers { .. }
        | Request::List { .. }
        | Request::Graph { .. }
        | Request::Outdated(_)
        | Request::Versions(_)
        | Request::Status { .. }
        | Request::Environments { .. }
        | Request::Enter { .. }
        | Request::Compile { .. }
        | Request::Check { .. }
        | Request::Repair { .. }
        | Request::Pythons { .. }
        | Request::Clean { .. }
        | Request::Refresh { .. }
        // An image that is built again replaces the first.
        | Request::Image(
            ImageRequest::Build(_) | ImageRequest::Inspect { .. } | ImageRequest::Verify { .. },
        )
        // What was captured is the same the second time.
        | Request::Capture(_)
        | Request::Hide { .. } => true,
        // The second area would be left over.
        Request::Area { .. }
        | Request::Change(_)
        | Request::Move(_)
        | Request::Image(ImageRequest::Load(_))
        | Request::Save { .. }
        | Request::DeleteSnapshot { .. }
        | Request::RemoveEnvironments { .. }
        // The directory is not empty the second time.
        | Request::InstallTo(_)
        | Request::Materialise(_)
        | Request::Shutdown { .. } => false,
    }
}

fn converse(
    mut stream: UnixStream,
    line: &[u8],
    events: &mut dyn FnMut(&Event),
) -> Result<Outcome, Error> {
    if stream.write_all(line).is_err() {
        return Ok(Outcome::Lost { spoke: false });
    }
    let mut reading = BufReader::with_capacity(64 << 10, stream);
    let mut answer = Vec::new();
    let mut spoke = false;
    loop {
        answer.clear();
        match reading.read_until(b'\n', &mut answer) {
            Ok(_) if answer.ends_with(b"\n") => {}
            Ok(_) => return Ok(Outcome::Lost { spoke }),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Ok(Outcome::Lost { spoke });
            }
            Err(error) => {
                return Err(Error::internal("cannot read the daemon's answer").caused_by(&error));
            }
        }
        spoke = true;
        let frame: Frame = serde_json::from_slice(&answer)
            .map_err(|error| Error::unexpected_reply().caused_by(&error))?;
        match frame {
            Frame::Event { event } => events(&event),
            Frame::Reply { reply } => return Ok(Outcome::Reply(reply)),
            Frame::Error { error } => return Ok(Outcome::Failure(error)),
        }
    }
}

/// The process that listens, which must be ours: nobody else may stand in for the daemon.
pub(super) fn peer(stream: &UnixStream) -> Result<Pid, Error> {
    let credentials = getsockopt(stream, sockopt::PeerCredentials)
        .map_err(|error| Error::internal("cannot tell who the daemon is").caused_by(&error))?;
    if credentials.uid() != Uid::effective().as_raw() {
        return Err(
            Error::internal("the daemon's socket belongs to another user")
                .hint("set `XDG_RUNTIME_DIR` to a directory that only you can enter"),
        );
    }
    Ok(Pid::from_raw(credentials.pid()))
}

/// Ends a daemon that does not speak our version.
fn end(daemon: Pid, places: &Places) -> Result<(), Error> {
    signal(daemon, Signal::SIGTERM)?;
    let deadline = Instant::now() + END_LIMIT;
    // A socket that refuses is as good as an ended process, and ends sooner.
    while Instant::now() < deadline {
        if !is_alive(daemon) || UnixStream::connect(places.socket()).is_err() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(still_there(daemon))
}

fn still_there(daemon: Pid) -> Error {
    Error::internal(format!(
        "the daemon (process {daemon}) was told to end but has not"
    ))
    .hint("run `blast kill --all --force`")
}

fn signal(process: Pid, signal: Signal) -> Result<(), Error> {
    match kill(process, signal) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
        Err(error) => Err(
            Error::internal(format!("cannot end the daemon (process {process})")).caused_by(&error),
        ),
    }
}

fn is_alive(process: Pid) -> bool {
    if kill(process, None).is_err() {
        return false;
    }
    // A process that ended but was not waited for still takes signals.
    let mut stat = String::new();
    let read = std::fs::File::open(format!("/proc/{process}/stat"))
        .and_then(|mut file| file.read_to_string(&mut stat));
    read.is_ok()
        && !stat
            .rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('Z'))
}

fn wait_for_end(process: Pid) -> bool {
    let deadline = Instant::now() + END_LIMIT;
    while is_alive(process) {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
