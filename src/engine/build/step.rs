//! The seam: one program of others' making, run to its end. Everything that builds goes through
//! [`Step::run`], and a [`Step`] says as data what the program is and what it may touch.
//!
//! The program is not our child but that of a **supervisor**, our own executable in a role of its
//! own ([`supervise`], hidden command `build-step`). It reads the step from its standard input,
//! which then stays open: at its end (the request was cancelled, the daemon is gone) or at the end
//! of the program, the supervisor kills all that the program left, in its process group or out of
//! it. So nothing that was started for a build outlives it. A sandbox goes into the supervisor,
//! before the program begins.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// The hidden command of the supervisor.
pub(crate) const COMMAND: &str = "build-step";

/// A step longer than this is nonsense.
const LONGEST_STEP: u64 = 16 << 20;

/// How long a process that was killed is given until it is looked at again.
const PACE: Duration = Duration::from_millis(5);

/// A program to run, and what it may touch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// The program.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
    /// Its working directory.
    pub(crate) directory: PathBuf,
    /// All its environment variables.
    pub(crate) variables: BTreeMap<String, String>,
    /// Where its output goes, both streams; made anew or added to.
    pub(crate) log: PathBuf,
    /// What it may touch. Not enforced here: for whoever puts a sandbox round it.
    pub(crate) access: Access,
}

/// What a [`Step`] may touch, beside what every program needs (the system's programs and
/// libraries, `/dev/null` and its like).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Access {
    /// Read, with all below.
    pub(crate) reads: Vec<PathBuf>,
    /// Read and write, with all below.
    pub(crate) writes: Vec<PathBuf>,
    /// Reach the network.
    pub(crate) network: bool,
}

impl Step {
    /// Runs the program to its end. Dropping the future kills it. `alive` is dropped when no
    /// process of the step is left, be it after the future.
    ///
    /// # Errors
    /// Where the supervisor or the log cannot be had; a program that cannot be started is a
    /// failed one, and the log says why.
    pub(super) async fn run(
        self,
        alive: Arc<dyn Send + Sync + std::any::Any>,
    ) -> io::Result<ExitStatus> {
        let mut line = serde_json::to_vec(&self)?;
        line.push(b'\n');
        let mut supervisor = Command::new("/proc/self/exe")
            .arg(COMMAND)
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::options().create(true).append(true).open(&self.log)?)
            .spawn()?;
        let Some(mut input) = supervisor.stdin.take() else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let (done, ended) = tokio::sync::oneshot::channel();
        // A thread of its own: it lasts as long as the build, and sees it end when we no longer do.
        std::thread::Builder::new()
            .name("build".to_owned())
            .spawn(move || {
                let status = supervisor.wait();
                drop(alive);
                done.send(status).unwrap_or_default();
            })?;
        input.write_all(&line)?;
        let status = ended.await.map_err(io::Error::other)?;
        drop(input);
        status
    }
}

/// The supervisor: runs the step that standard input tells, see the module's documentation. Ends
/// with the program's status, as a shell would give it.
pub(crate) fn supervise() -> ExitCode {
    let mut line = Vec::new();
    let read = (io::stdin().lock().take(LONGEST_STEP)).read_until(b'\n', &mut line);
    let Ok(Ok(step)) = read.map(|_| serde_json::from_slice::<Step>(&line)) else {
        return ExitCode::FAILURE;
    };
    match step.supervised() {
        Ok(status) => {
            let signal = status.signal().map(|signal| 128 + signal);
            let code = status.code().or(signal).map(u8::try_from);
            ExitCode::from(code.and_then(Result::ok).unwrap_or(u8::MAX))
        }
        Err(error) => {
            // Standard error is the log.
            let mut log = io::stderr();
            writeln!(log, "cannot run {}: {error}", step.program.display()).unwrap_or_default();
            ExitCode::FAILURE
        }
    }
}

/// What ends a supervisor's waiting.
enum End {
    Program(io::Result<ExitStatus>),
    Cancelled,
}

impl Step {
    fn supervised(&self) -> io::Result<ExitStatus> {
        // What the program leaves behind becomes our child, whatever session it made itself.
        prctl::set_child_subreaper(true)?;
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut program = Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .envs(&self.variables)
            .current_dir(&self.directory)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let group = Pid::from_raw(i32::try_from(program.id()).map_err(io::Error::other)?);
        let (ends, end) = channel();
        let cancelled = ends.clone();
        std::thread::spawn(move || {
            // Nothing more is expected; an error is an end as well.
            io::copy(&mut io::stdin().lock(), &mut io::sink()).unwrap_or_default();
            cancelled.send(End::Cancelled).unwrap_or_default();
        });
        std::thread::spawn(move || {
            ends.send(End::Program(program.wait())).unwrap_or_default();
        });
        let mut status = None;
        while status.is_none() {
            match end.recv().map_err(io::Error::other)? {
                End::Program(ended) => status = Some(ended),
                // The thread that waits tells the status.
                End::Cancelled => killpg(group, Signal::SIGKILL).unwrap_or_default(),
            }
        }
        // Mostly there is no such group any more.
        killpg(group, Signal::SIGKILL).unwrap_or_default();
        kill_the_rest();
        status.ok_or(io::ErrorKind::BrokenPipe)?
    }
}

/// Kills and reaps all our children, and theirs, which become ours when their parent is gone.
fn kill_the_rest() {
    loop {
        for child in children() {
            kill(child, Signal::SIGKILL).unwrap_or_default();
        }
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(_) => return, // ECHILD: none is left
            Ok(WaitStatus::StillAlive) => std::thread::sleep(PACE),
            Ok(_) => {}
        }
    }
}

/// Our children (`/proc/<pid>/task/<tid>/children` of proc(5), of all our threads).
fn children() -> Vec<Pid> {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    threads
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("children")).ok())
        .flat_map(|text| {
            text.split_whitespace()
                .filter_map(|word| Some(Pid::from_raw(word.parse().ok()?)))
                .collect::<Vec<_>>()
        })
        .collect()
}
