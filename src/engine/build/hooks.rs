//! Hooks of a build backend, each called in a process of its own (PEP 517, 660): the request goes
//! to `driver.py` in a file, the answer comes back in another, and what the backend prints goes
//! into a log.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;

use blast_index::sdist::{BuildSystem, SourceTree};
use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::BuildError;
use super::confine::Bounds;
use super::environment::BuildEnvironment;
use super::step::{Outcome, Step};

/// The program.
const DRIVER: &str = include_str!("driver.py");

/// Lines of output that an error shows.
const TAIL_LINES: usize = 12;
/// Bytes of output that are looked at for them.
const TAIL_BYTES: u64 = 16 << 10;
/// A line is cut off here.
const LINE_CHARS: usize = 400;
/// An answer longer than this is nonsense.
const LONGEST_ANSWER: u64 = 4 << 20;

/// A source tree on its way to a wheel.
pub(super) struct Workshop {
    /// Removed when the last process of it is gone.
    folder: Arc<TempDir>,
    /// The tree.
    pub(super) tree: SourceTree,
    /// Its build system.
    pub(super) system: BuildSystem,
    /// Settings for the backend (`--config-settings`).
    pub(super) settings: BTreeMap<String, Value>,
    /// Variables of the user that builds are given.
    pub(super) variables: BTreeMap<String, String>,
    /// Hooks at once.
    gate: Arc<Semaphore>,
    /// Where the output goes.
    log: PathBuf,
    /// What hooks may touch.
    bounds: Bounds,
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let is_empty = std::fs::metadata(&self.log).is_ok_and(|found| found.len() == 0);
        if is_empty {
            self.forget_log();
        }
    }
}

#[derive(Serialize)]
struct Call<'a> {
    backend: &'a str,
    backend_path: &'a [String],
    hook: &'static str,
    positional: &'a [&'a str],
    named: BTreeMap<&'static str, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Value(Value),
    Missing(()),
    Problem(Problem),
}

#[derive(Deserialize)]
struct Problem {
    kind: String,
    text: String,
}

impl Workshop {
    /// A workshop for this tree, in a folder of its own.
    pub(super) fn new(
        folder: Arc<TempDir>,
        tree: SourceTree,
        settings: BTreeMap<String, Value>,
        variables: BTreeMap<String, String>,
        gate: Arc<Semaphore>,
        log: PathBuf,
        bounds: Bounds,
    ) -> Result<Self, BuildError> {
        let system = tree.build_system()?;
        Ok(Self {
            folder,
            tree,
            system,
            settings,
            variables,
            gate,
            log,
            bounds,
        })
    }

    /// Everything went well: nobody will want to read the output.
    pub(super) fn close(self) {
        self.forget_log();
    }

    fn forget_log(&self) {
        if let Err(error) = std::fs::remove_file(&self.log) {
            tracing::debug!(path = %self.log.display(), %error, "a log stays");
        }
    }

    /// A new folder for results.
    pub(super) fn output(&self, name: &str) -> Result<PathBuf, BuildError> {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(&path).map_err(BuildError::io("make", &path))?;
        Ok(path)
    }

    /// What a wheel needs beside `build-system.requires`.
    pub(super) async fn requires(
        &self,
        environment: &BuildEnvironment,
        hook: &'static str,
    ) -> Result<Vec<String>, BuildError> {
        let Some(value) = self.call(environment, hook, &[], None).await? else {
            return Ok(Vec::new());
        };
        serde_json::from_value(value).map_err(|error| BuildError::Answer {
            hook,
            reason: error.to_string(),
        })
    }

    /// Has a hook write something into `output`; answers its name there. `None`: no such hook.
    /// What was `prepared` by an earlier hook is what the wheel is to say of itself.
    pub(super) async fn make(
        &self,
        environment: &BuildEnvironment,
        hook: &'static str,
        output: &Path,
        prepared: Option<&Path>,
    ) -> Result<Option<PathBuf>, BuildError> {
        let value = self.call(environment, hook, &[output], prepared).await?;
        let Some(value) = value else { return Ok(None) };
        let name = value.as_str().unwrap_or_default();
        let made = output.join(name);
        let plain = Path::new(name).file_name() == Some(OsStr::new(name));
        // Neither is a link, nor the folder: what is elsewhere was not made here.
        if plain && std::fs::canonicalize(&made).is_ok_and(|real| real == made) {
            return Ok(Some(made));
        }
        Err(BuildError::Answer {
            hook,
            reason: format!("it wrote no `{}`", name.escape_debug()),
        })
    }

    async fn call(
        &self,
        environment: &BuildEnvironment,
        hook: &'static str,
        positional: &[&Path],
        prepared: Option<&Path>,
    ) -> Result<Option<Value>, BuildError> {
        let gate = Arc::clone(&self.gate).acquire_owned().await;
        let files = tempfile::tempdir_in(self.folder.path())
            .map_err(BuildError::io("write to", self.folder.path()))?;
        let (request, result) = (files.path().join("request"), files.path().join("result"));
        let temporary = self.output("tmp")?;
        let positional: Vec<_> = positional
            .iter()
            .map(|path| path.to_string_lossy())
            .collect();
        let settings = if self.settings.is_empty() {
            Value::Null
        } else {
            serde_json::to_value(&self.settings).unwrap_or_default()
        };
        let mut named = BTreeMap::from([("config_settings", settings)]);
        if let Some(path) = prepared {
            let path = path.to_string_lossy().into_owned();
            named.insert("metadata_directory", Value::String(path));
        }
        let call = serde_json::to_vec(&Call {
            backend: &self.system.backend,
            backend_path: &self.system.backend_path,
            hook,
            positional: &positional.iter().map(|text| &**text).collect::<Vec<_>>(),
            named,
        })
        .unwrap_or_default();
        std::fs::write(&request, call).map_err(BuildError::io("write", &request))?;
        let mut variables = environment.variables(&self.variables);
        variables.insert("TMPDIR".to_owned(), temporary.display().to_string());
        let (tree, workshop) = (self.tree.root(), self.folder.path());
        let confinement = self.bounds.confinement(environment, hook, tree, workshop);
        let step = Step {
            program: environment.python(),
            arguments: ["-I", "-c", DRIVER]
                .into_iter()
                .map(str::to_owned)
                .chain([&request, &result].map(|path| path.display().to_string()))
                .collect(),
            directory: self.tree.root().to_owned(),
            variables,
            log: self.log.clone(),
            confinement,
        };
        let (folder, shown) = (Arc::clone(&self.folder), environment.shown());
        let Outcome { status, report } = step
            .run(Arc::new((folder, shown, gate)))
            .await
            .map_err(BuildError::io("run", environment.python()))?;
        self.bounds.heard(&report);
        if let Some(reason) = report.refused {
            return Err(BuildError::Sandbox { reason });
        }
        let answer = read_answer(&result);
        self.judge(hook, status, answer, report.denied)
    }

    fn judge(
        &self,
        hook: &'static str,
        status: ExitStatus,
        answer: Option<Answer>,
        denied: Vec<String>,
    ) -> Result<Option<Value>, BuildError> {
        match answer {
            Some(Answer::Value(value)) if status.success() => Ok(Some(value)),
            Some(Answer::Missing(())) if status.success() => Ok(None),
            Some(Answer::Problem(problem)) if problem.kind != "hook" => Err(BuildError::Backend {
                backend: self.system.backend.clone(),
                reason: problem.text,
                log: self.log.clone(),
            }),
            Some(Answer::Problem(problem)) => Err(self.failed(hook, &problem.text, denied)),
            _ => Err(self.failed(hook, &status.to_string(), denied)),
        }
    }

    fn failed(&self, hook: &'static str, status: &str, denied: Vec<String>) -> BuildError {
        BuildError::Hook {
            hook,
            status: status.lines().next().unwrap_or_default().to_owned(),
            tail: tail(&self.log),
            log: self.log.clone(),
            denied,
        }
    }
}

fn read_answer(path: &Path) -> Option<Answer> {
    // A hook can put there what it likes: a link to elsewhere, or a pipe that nobody writes into.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mut options = std::fs::File::options();
    options.read(true).custom_flags(flags.bits());
    let file = options.open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(LONGEST_ANSWER).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// The last lines of a log, harmless to a terminal.
pub(super) fn tail(log: &Path) -> Vec<String> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .map(|line| {
            let clean = line.chars().filter(|c| !c.is_control() || *c == '\t');
            clean.take(LINE_CHARS).collect::<String>()
        })
        .collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].to_vec()
}
