//! Runs a program that is not trusted to end, or to be brief.

use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// More than any honest answer; reading stops there, and the writer gets a broken pipe.
const OUTPUT_LIMIT_BYTES: u64 = 256 * 1024;

/// How often a program is started again whose file is "busy".
const BUSY_RETRIES: u32 = 10;

/// What a program left behind.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

/// Why there is no output.
#[derive(Debug)]
pub(super) enum RunError {
    /// It could not be started or waited for.
    Io(io::Error),
    /// It went on past its time and was killed.
    TimedOut,
}

/// Runs `command` to its end, with nothing on stdin and without the variables by which a user
/// steers Python. It gets a process group of its own, which is killed when `limit` is over.
pub(super) fn run(command: &mut Command, limit: Duration) -> Result<Output, RunError> {
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"PYTHON") {
            command.env_remove(name);
        }
    }
    command
        .env_remove("__PYVENV_LAUNCHER__")
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let deadline = Instant::now() + limit;
    let mut child = start(command).map_err(RunError::Io)?;
    let stdout = child.stdout.take().map(read_all);
    let stderr = child.stderr.take().map(read_all);
    let result = collect(&mut child, stdout, stderr, deadline);
    if result.is_err() {
        kill(&mut child);
    }
    result
}

/// Starts the program. Another thread that forks just while somebody writes an executable keeps
/// it "busy" until that thread's child has reached its exec: worth another attempt.
fn start(command: &mut Command) -> io::Result<Child> {
    let mut attempt = 0;
    loop {
        match command.spawn() {
            Err(error)
                if error.kind() == io::ErrorKind::ExecutableFileBusy && attempt < BUSY_RETRIES =>
            {
                attempt += 1;
                thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
}

type Bytes = mpsc::Receiver<io::Result<Vec<u8>>>;

/// Reads a pipe on a thread of its own, so that the deadline holds whatever the writer does.
fn read_all(pipe: impl Read + Send + 'static) -> Bytes {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let result = pipe.take(OUTPUT_LIMIT_BYTES).read_to_end(&mut bytes);
        // Nobody listens any more once the deadline has passed.
        drop(sender.send(result.map(|_| bytes)));
    });
    receiver
}

fn collect(
    child: &mut Child,
    stdout: Option<Bytes>,
    stderr: Option<Bytes>,
    deadline: Instant,
) -> Result<Output, RunError> {
    let stdout = receive(stdout, deadline)?;
    let stderr = receive(stderr, deadline)?;
    let mut pause = Duration::from_micros(100);
    loop {
        // Usually at once: the pipes are closed by the end of the process.
        if let Some(status) = child.try_wait().map_err(RunError::Io)? {
            return Ok(Output {
                status,
                stdout,
                stderr,
            });
        }
        if Instant::now() >= deadline {
            return Err(RunError::TimedOut);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

fn receive(pipe: Option<Bytes>, deadline: Instant) -> Result<Vec<u8>, RunError> {
    let Some(pipe) = pipe else {
        return Ok(Vec::new());
    };
    let left = deadline.saturating_duration_since(Instant::now());
    match pipe.recv_timeout(left) {
        Ok(result) => result.map_err(RunError::Io),
        Err(_) => Err(RunError::TimedOut),
    }
}

/// Kills the whole group, so that a wrapper's children do not stay behind, and reaps the child.
fn kill(child: &mut Child) {
    let killed = i32::try_from(child.id()).map(|id| killpg(Pid::from_raw(id), Signal::SIGKILL));
    if let Err(error) = child.kill().and_then(|()| child.wait()) {
        tracing::debug!(%error, ?killed, "a program that was given up could not be reaped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn sh(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_streams_and_the_status_are_collected() {
        let output = run(&mut sh("echo out; echo err >&2; exit 3"), LONG).expect("it runs");
        assert_eq!(output.stdout, b"out\n");
        assert_eq!(output.stderr, b"err\n");
        assert_eq!(output.status.code(), Some(3));
    }

    #[test]
    fn a_program_past_its_time_is_killed_with_its_children() {
        let mark = tempfile::NamedTempFile::new().expect("a temporary file");
        let script = format!(
            "sh -c 'sleep 1; echo x > {}' & sleep 100",
            mark.path().display()
        );
        let begun = Instant::now();
        let result = run(&mut sh(&script), Duration::from_millis(200));
        assert!(matches!(result, Err(RunError::TimedOut)));
        assert!(begun.elapsed() < Duration::from_secs(15));
        thread::sleep(Duration::from_millis(1300));
        assert_eq!(mark.as_file().metadata().expect("metadata").len(), 0);
    }

    #[test]
    fn a_child_that_keeps_the_pipe_open_does_not_hold_us_up() {
        let result = run(&mut sh("sleep 100 & exit 0"), Duration::from_millis(200));
        assert!(matches!(result, Err(RunError::TimedOut)));
    }

    #[test]
    fn endless_output_is_cut_off() {
        let output = run(&mut sh("exec yes"), LONG).expect("it ends by a broken pipe");
        assert_eq!(output.stdout.len() as u64, OUTPUT_LIMIT_BYTES);
        assert!(!output.status.success());
    }

    #[test]
    fn a_program_that_does_not_exist_is_an_io_error() {
        assert!(matches!(
            run(&mut Command::new("/nonexistent"), LONG),
            Err(RunError::Io(_))
        ));
    }
}
