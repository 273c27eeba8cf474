//! Starting the daemon where none listens.
//!
//! Clients that come at once take turns by `start.lock`; the second finds the first one's daemon.
//! The daemon is our own executable with the hidden command `daemon serve`. It makes itself a session of
//! its own, so that a closed terminal or Ctrl-C does not reach it, works in `/`, so that it holds no
//! directory busy, and says what it has to say into `daemon.log` beside its socket. How environments are to be shown
//! matters to it before anybody can ask (see [`crate::namespace`]), so it is told by a variable.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use blast_sandbox::plan::INSIDE;
use nix::fcntl::{Flock, FlockArg};

use super::paths::Places;
use super::protocol::ViewChoice;
use crate::env_vars;
use crate::error::{Error, Kind};

/// The hidden command that serves.
pub(crate) const DAEMON: [&str; 2] = ["daemon", "serve"];

/// The hidden command that holds mounts.
pub(crate) const HOLDER: [&str; 2] = ["daemon", "hold"];

/// The hidden command that tries whether a view can be mounted in a namespace.
pub(crate) const NAMESPACE: [&str; 2] = ["daemon", "try-namespace"];

/// How long a daemon may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(20);

/// How long one that was found by another daemon, and does not listen, is waited for.
const DYING: Duration = Duration::from_millis(100);

/// How long a client waits for another client that is starting the daemon.
const TURN_LIMIT: Duration = Duration::from_secs(30);

/// A log of more bytes begins anew at the next start.
const LONGEST_LOG: u64 = 4 << 20;

/// How the C library's allocator of a process that lives for days treats memory (glibc's manual, "Memory Allocation Tunables"): big
/// buffers come from the system one by one and go back to it, so that no small piece keeps a large one; the rest is kept for
/// who asks next, until it is quiet.
const ALLOCATOR: (&str, &str) = (
    "GLIBC_TUNABLES",
    "glibc.malloc.mmap_threshold=262144:glibc.malloc.trim_threshold=67108864", // bytes
);

/// Whether an error of `connect` means that nobody listens.
pub(super) fn means_nobody(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

/// A connection to the daemon, started if need be.
pub(super) fn connect_or_start(places: &Places, view: ViewChoice) -> Result<UnixStream, Error> {
    let socket = places.socket();
    match UnixStream::connect(&socket) {
        Ok(stream) => return Ok(stream),
        Err(error) if means_nobody(&error) => {}
        Err(error) => return Err(Error::io("reach the daemon at", &socket, &error)),
    }
    if env::var_os(INSIDE).is_some() {
        return Err(Error::new(
            Kind::No,
            "this program is in a sandbox, and from there blast cannot be reached",
        )
        .hint("run the command outside, for instance in another terminal")
        .hint("or start the program with `blast run --sandbox none`"));
    }
    let turn = take_turn(&places.start_lock())?;
    // Somebody may have started it while we waited.
    let stream = match UnixStream::connect(&socket) {
        Ok(stream) => stream,
        Err(_) => start(places, view)?,
    };
    drop(turn);
    Ok(stream)
}

/// Starts a daemon of our build when `make_room` has ended the one that was there; nobody else starts
/// one meanwhile.
pub(super) fn succeed(
    places: &Places,
    view: ViewChoice,
    make_room: impl FnOnce() -> Result<(), Error>,
) -> Result<UnixStream, Error> {
    let turn = take_turn(&places.start_lock())?;
    make_room()?;
    let stream = start(places, view)?;
    drop(turn);
    Ok(stream)
}

/// Removes what a daemon left that could not end well: its socket and its process number.
pub(super) fn tidy(places: &Places) -> Result<(), Error> {
    let left = [places.socket(), places.pid_file()];
    if !left.iter().any(|path| path.exists()) {
        return Ok(());
    }
    let turn = take_turn(&places.start_lock())?;
    // Somebody may have started a new one meanwhile; those files are not ours to remove.
    if UnixStream::connect(places.socket()).is_err_and(|error| means_nobody(&error)) {
        for path in left {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &path, &error));
                }
                _ => {}
            }
        }
    }
    drop(turn);
    Ok(())
}

fn take_turn(path: &Path) -> Result<Flock<File>, Error> {
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| Error::io("open", path, &error))?;
    let deadline = Instant::now() + TURN_LIMIT;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((back, _)) if Instant::now() < deadline => {
                file = back;
                std::thread::sleep(Duration::from_millis(5));
            }
            Err((_, error)) => {
                return Err(Error::internal(format!("cannot lock {}", path.display()))
                    .caused_by(&error)
                    .hint("another `blast` is starting the daemon and does not get on"));
            }
        }
    }
}

fn start(places: &Places, view: ViewChoice) -> Result<UnixStream, Error> {
    let log_path = places.log_file();
    let log = open_log(&log_path)?;
    let before = log.metadata().map_or(0, |meta| meta.len());
    let mut child = spawn(&log, &log_path, view)?;
    let mut found_another = None;
    let deadline = Instant::now() + START_LIMIT;
    loop {
        if let Ok(stream) = UnixStream::connect(places.socket()) {
            return Ok(stream);
        }
        match child.try_wait() {
            Ok(Some(status)) if !status.success() => {
                let error = Error::internal(format!("the daemon could not start ({status})"));
                return Err(with_last_words(error, &log_path, before));
            }
            // One that ends well has found another daemon. That will listen in a moment; or it was killed,
            // and its descriptors are closed one after the other, or when a thread of it comes back from
            // the disk: then it is found no more the next time.
            Ok(Some(_)) if found_another.get_or_insert_with(Instant::now).elapsed() > DYING => {
                found_another = None;
                child = spawn(&log, &log_path, view)?;
            }
            _ => {}
        }
        if Instant::now() > deadline {
            let error = Error::internal(format!(
                "the daemon does not listen after {} seconds",
                START_LIMIT.as_secs()
            ));
            return Err(with_last_words(error, &log_path, before));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn spawn(log: &File, log_path: &Path, view: ViewChoice) -> Result<Child, Error> {
    let program = executable()?;
    let output = || {
        log.try_clone()
            .map(Stdio::from)
            .map_err(|error| Error::io("write", log_path, &error))
    };
    Command::new(&program)
        .args(DAEMON)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(output()?)
        .stderr(output()?)
        // It serves every environment and belongs to none.
        .env_remove(env_vars::BLAST_ENV)
        .env_remove(env_vars::VIRTUAL_ENV)
        .env_remove(env_vars::VIRTUAL_ENV_PROMPT)
        .env_remove(env_vars::PYTHONHOME)
        .env(ALLOCATOR.0, ALLOCATOR.1)
        .env(env_vars::BLAST_VIEW, view.word())
        .spawn()
        .map_err(|error| Error::io("start the daemon", &program, &error))
}

/// Our own executable; after an upgrade in place, the new one at the same path.
pub(crate) fn executable() -> Result<PathBuf, Error> {
    let path = env::current_exe().map_err(|error| {
        Error::internal("cannot tell where the executable of blast is").caused_by(&error)
    })?;
    let text = path.to_string_lossy();
    Ok(match text.strip_suffix(" (deleted)") {
        Some(replaced) if !path.exists() => PathBuf::from(replaced),
        _ => path,
    })
}

fn open_log(path: &Path) -> Result<File, Error> {
    let too_long = fs::metadata(path).is_ok_and(|meta| meta.len() > LONGEST_LOG);
    let fail = |error| Error::io("write", path, &error);
    let log = File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(fail)?;
    if too_long {
        log.set_len(0).map_err(fail)?;
    }
    Ok(log)
}

/// Adds what the daemon wrote since `before`.
fn with_last_words(mut error: Error, log: &Path, before: u64) -> Error {
    let mut words = String::new();
    let read = File::open(log).and_then(|mut file| {
        file.seek(SeekFrom::Start(before))?;
        file.take(4096).read_to_string(&mut words)
    });
    if read.is_ok() {
        error.causes.extend(
            words
                .lines()
                .filter(|line| !line.trim().is_empty())
                .map(Into::into),
        );
    }
    error
        .hint(format!("its log is {}", log.display()))
        .hint("run `blast doctor`")
}
