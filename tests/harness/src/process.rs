//! Running programs: with a time limit, with both streams kept, or in the background.

use std::env;
use std::io::{Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

/// How long after a program's end its streams may stay open.
const STREAM_GRACE: Duration = Duration::from_secs(10);

/// What a program answered, before anybody judges it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) status: ExitStatus,
}

/// A program that runs while the test goes on. Dropping it kills it.
#[derive(Debug)]
pub struct Background {
    child: Child,
    described: String,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Background {
    pub(crate) fn start(mut command: Command, input: Option<&str>) -> Self {
        let described = describe(&command);
        let stdin = if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        };
        let mut child = command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{described} cannot be started: {error}"));
        if let (Some(text), Some(mut pipe)) = (input, child.stdin.take()) {
            pipe.write_all(text.as_bytes())
                .expect("the program reads its input");
        }
        let stdout = drain(child.stdout.take().expect("piped"));
        let stderr = drain(child.stderr.take().expect("piped"));
        Self {
            child,
            described,
            stdout,
            stderr,
        }
    }

    /// Its process number.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("process numbers are positive")
    }

    /// Sends a signal to this process and no other.
    pub fn signal(&self, signal: Signal) {
        signal::kill(Pid::from_raw(self.pid()), signal).expect("our own child can be signalled");
    }

    /// The command line, for messages.
    pub(crate) fn described(&self) -> &str {
        &self.described
    }

    /// Like [`Background::finish`], but `None` where that would panic.
    pub(crate) fn finish_quietly(mut self, limit: Duration) -> Option<Outcome> {
        let deadline = Instant::now() + limit;
        while self.is_running() {
            if Instant::now() > deadline {
                return None;
            }
            thread::sleep(Duration::from_millis(2));
        }
        let status = self.child.wait().ok()?;
        let stdout = self.stdout.recv_timeout(STREAM_GRACE).ok()?;
        let stderr = self.stderr.recv_timeout(STREAM_GRACE).ok()?;
        Some(Outcome {
            stdout,
            stderr,
            status,
        })
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("our own child can be waited for")
            .is_none()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it does not end within the limit, or if a process that it left behind holds its
    /// streams: `blast … | cat` would hang then.
    pub(crate) fn finish(self, limit: Duration) -> Outcome {
        let described = self.described.clone();
        self.finish_quietly(limit).unwrap_or_else(|| {
            panic!("{described} did not end within {limit:?}, or left a process with its streams")
        })
    }

    /// Kills it and waits for its end.
    pub fn kill(&mut self) {
        // An error means that it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Outcome {
    /// The exit code, or 128 and the signal as shells have it.
    pub(crate) fn code(&self) -> i32 {
        self.status
            .code()
            .unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }
}

/// Program and arguments as a person would type them; the variables would drown them.
fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program());
    std::iter::once(program)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Reads a stream to its end beside the test, so that a full pipe blocks nobody.
fn drain(mut stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A read error ends the text early, which the test then sees.
        drop(stream.read_to_end(&mut bytes));
        drop(sender.send(String::from_utf8_lossy(&bytes).into_owned()));
    });
    receiver
}

/// The first executable of this name on PATH.
pub(crate) fn program_on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}
