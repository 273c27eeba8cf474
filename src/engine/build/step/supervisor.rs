//! The parent of a program that builds, our executable in a role of its own.
//!
//! ```text
//! standard input    one line of JSON: the step; its end is the end of the step
//! standard output   one line of JSON when all is over: Report
//! standard error    the log
//! ```

use std::fs::File;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::mpsc::channel;
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, dup2_stdin, dup2_stdout};

use super::{Report, Step};

/// A step longer than this is nonsense.
const LONGEST_STEP: u64 = 16 << 20;

/// How long a process that was killed is given until it is looked at again.
const PACE: Duration = Duration::from_millis(5);

/// Runs the step that standard input tells, see the module's documentation. Ends with the program's
/// status, as a shell would give it.
pub(crate) fn supervise() -> ExitCode {
    let mut line = Vec::new();
    let read = (io::stdin().lock().take(LONGEST_STEP)).read_until(b'\n', &mut line);
    let Ok(Ok(step)) = read.map(|_| serde_json::from_slice::<Step>(&line)) else {
        return ExitCode::FAILURE;
    };
    let Ok((control, answers)) = standard_streams() else {
        return ExitCode::FAILURE;
    };
    let mut report = Report::default();
    let outcome = step.supervised(control, &mut report);
    let mut said = serde_json::to_vec(&report).unwrap_or_default();
    said.push(b'\n');
    // Who asked may be gone.
    File::from(answers).write_all(&said).unwrap_or_default();
    match outcome {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)),
        Err(error) => {
            // Standard error is the log.
            let mut log = io::stderr();
            writeln!(log, "cannot run {}: {error}", step.program.display()).unwrap_or_default();
            ExitCode::FAILURE
        }
    }
}

/// Gives programs nothing as standard input and the log as standard output; ours, instead.
fn standard_streams() -> io::Result<(OwnedFd, OwnedFd)> {
    let control = io::stdin().as_fd().try_clone_to_owned()?;
    let answers = io::stdout().as_fd().try_clone_to_owned()?;
    dup2_stdin(File::open("/dev/null")?)?;
    dup2_stdout(io::stderr())?;
    Ok((control, answers))
}

/// What ends a supervisor's waiting.
enum End {
    Program(io::Result<ExitStatus>),
    Cancelled,
}

impl Step {
    /// The program's status, as a shell would give it.
    fn supervised(&self, control: OwnedFd, report: &mut Report) -> io::Result<i32> {
        // What the program leaves behind becomes our child, whatever session it made itself.
        prctl::set_child_subreaper(true)?;
        if let Some(confinement) = &self.confinement
            && let Some(status) = self.confined(confinement, &control, report)?
        {
            kill_the_rest();
            return Ok(status);
        }
        let status = self.plain(control)?;
        let signal = status.signal().map(|signal| 128 + signal);
        Ok(status.code().or(signal).unwrap_or(i32::MAX))
    }

    fn plain(&self, control: OwnedFd) -> io::Result<ExitStatus> {
        let mut program = Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .envs(&self.variables)
            .current_dir(&self.directory)
            .process_group(0)
            .spawn()?;
        let group = Pid::from_raw(i32::try_from(program.id()).map_err(io::Error::other)?);
        let (ends, end) = channel();
        let cancelled = ends.clone();
        std::thread::spawn(move || {
            // Nothing more is expected; an error is an end as well.
            io::copy(&mut File::from(control), &mut io::sink()).unwrap_or_default();
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
