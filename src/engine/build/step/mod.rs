//! The seam: one program of others' making, run to its end. Everything that builds goes through
//! [`Step::run`], and a [`Step`] says as data what the program is and what it may touch.
//!
//! The program is not our child but that of a **supervisor**, our own executable in a role of its
//! own ([`supervise`], hidden command `build-step`). It reads the step from its standard input,
//! which then stays open: at its end (the request was cancelled, the daemon is gone) or at the end
//! of the program, the supervisor kills all that the program left. So nothing that was started for a
//! build outlives it. Its last word, on standard output, is a [`Report`].
//!
//! Where the step has a [`Confinement`], the program runs in a sandbox ([`confined`]).

mod confined;
mod supervisor;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

use blast_sandbox::Policy;
use blast_sandbox::audit::Who;
use serde::{Deserialize, Serialize};

pub(crate) use supervisor::supervise;

/// The hidden command of the supervisor.
pub(crate) const COMMAND: &str = "build-step";

/// A report longer than this is nonsense.
const LONGEST_REPORT: u64 = 1 << 20;

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
    /// What keeps it in bounds; nothing, if it may do what its user may.
    pub(crate) confinement: Option<Confinement>,
}

/// What a [`Step`] may touch, beside what every program needs (the system's programs and
/// libraries, `/dev/null` and its like).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Confinement {
    /// What the user and the project say of builds.
    pub(crate) policy: Policy,
    /// Somebody wrote that level down: where it cannot be kept, the program does not run.
    pub(crate) demanded: bool,
    /// The environment that it runs in.
    pub(crate) prefix: PathBuf,
    /// That environment's base interpreter.
    pub(crate) interpreter: PathBuf,
    /// Read, with all below, wherever it is.
    pub(crate) reads: Vec<PathBuf>,
    /// Read and changed, with all below.
    pub(crate) writes: Vec<PathBuf>,
    /// The same for a directory that was made for this build: seen even in a place that is secret.
    pub(crate) workshop: PathBuf,
    /// Never changed though it lies in what may be: files that say what programs may do.
    pub(crate) frozen: Vec<PathBuf>,
    /// Not seen, whatever the policy gives.
    pub(crate) secret: Vec<PathBuf>,
    /// Whose audit log is written: the home of the store.
    pub(crate) home: PathBuf,
    /// As whom the audit log knows it.
    pub(crate) who: Who,
}

/// What a supervisor tells of a step that ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Why there was no sandbox, where there should have been one.
    pub(crate) unconfined: Option<String>,
    /// Why the program was not run at all.
    pub(crate) refused: Option<String>,
    /// The commands that would have allowed what it reached for and did not get.
    #[serde(default)]
    pub(crate) denied: Vec<String>,
}

/// How a step ended.
#[derive(Debug)]
pub(super) struct Outcome {
    /// As a shell would give it.
    pub(super) status: ExitStatus,
    /// What the supervisor tells; nothing, if it was killed.
    pub(super) report: Report,
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
    ) -> io::Result<Outcome> {
        let mut line = serde_json::to_vec(&self)?;
        line.push(b'\n');
        let mut supervisor = Command::new("/proc/self/exe")
            .arg0("blast")
            .arg(COMMAND)
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::options().create(true).append(true).open(&self.log)?)
            .spawn()?;
        let Some((mut input, output)) = supervisor.stdin.take().zip(supervisor.stdout.take())
        else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let (done, ended) = tokio::sync::oneshot::channel();
        // A thread of its own: it lasts as long as the build, and sees it end when we no longer do.
        std::thread::Builder::new()
            .name("build".to_owned())
            .spawn(move || {
                let mut said = Vec::new();
                let read = output.take(LONGEST_REPORT).read_to_end(&mut said);
                let report = read.ok().and_then(|_| serde_json::from_slice(&said).ok());
                let status = supervisor.wait();
                drop(alive);
                let outcome = status.map(|status| Outcome {
                    status,
                    report: report.unwrap_or_default(),
                });
                done.send(outcome).unwrap_or_default();
            })?;
        input.write_all(&line)?;
        let outcome = ended.await.map_err(io::Error::other)?;
        drop(input);
        outcome
    }
}
