//! Asks an interpreter what it is, by running an embedded script in it.
//!
//! The script is isolated (`-I -B -S`): no user site, no `.pth` line, no `sitecustomize`, no module
//! from the current directory, no bytecode written. The answer is judged before anybody believes
//! it: a candidate may be any program that happens to be called `python3`.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use blast_types::{Interpreter, TargetError, versions};
use serde::{Deserialize, Serialize};

use super::base::BaseError;
use super::run::{Output, RunError, run};

/// How long an interpreter may take to answer; a cold one on a slow disk needs a second.
const LIMIT: Duration = Duration::from_secs(10);

pub(super) const PROBE: &str = include_str!("probe.py");
const INDEX: &str = include_str!("index.py");

/// Why an interpreter did not tell what it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    /// The file cannot be looked at.
    #[error("cannot look at {}", path.display())]
    Stat {
        /// The candidate.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It belongs to an environment whose base interpreter cannot be told.
    #[error("{} belongs to an environment without a base interpreter", path.display())]
    Base {
        /// The candidate.
        path: PathBuf,
        /// The cause.
        source: BaseError,
    },
    /// It cannot be run.
    #[error("cannot run {}", path.display())]
    Run {
        /// The candidate.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// No answer in time.
    #[error("{} gave no answer in {} s", path.display(), LIMIT.as_secs())]
    TimedOut {
        /// The candidate.
        path: PathBuf,
    },
    /// It ended with an error.
    #[error("{} is no working Python ({status}){}", path.display(), said(stderr))]
    Failed {
        /// The candidate.
        path: PathBuf,
        /// How it ended.
        status: String,
        /// The end of what it wrote on stderr.
        stderr: String,
    },
    /// It ended well and answered something else.
    #[error("{} did not answer as a Python does{}", path.display(), said(stderr))]
    Answer {
        /// The candidate.
        path: PathBuf,
        /// The end of what it wrote on stderr.
        stderr: String,
        /// What is wrong with the answer.
        source: serde_json::Error,
    },
    /// Its markers or its platform make no sense.
    #[error("the answer of {} makes no sense", path.display())]
    Senseless {
        /// The candidate.
        path: PathBuf,
        /// The cause.
        source: TargetError,
    },
    /// An install path would lead out of the environment.
    #[error("{} installs `{field}` to `{value}`, which is no place in an environment", path.display())]
    Scheme {
        /// The candidate.
        path: PathBuf,
        /// Which path.
        field: &'static str,
        /// What it is.
        value: String,
    },
}

/// What an interpreter answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    /// `CPython`, new enough to tell everything.
    Known(Box<Interpreter>),
    /// Something else or something older.
    Other {
        /// `sys.implementation.name`.
        implementation: String,
        /// Its version.
        version: String,
    },
}

/// The answer as the script prints it.
#[derive(Deserialize)]
struct Printed {
    implementation: String,
    version: String,
    interpreter: Option<Interpreter>,
}

/// Runs the interpreter at `path` and judges its answer.
pub(super) fn probe(path: &Path) -> Result<Answer, ProbeError> {
    let mut output = python(path, &["-I", "-B", "-S"], PROBE)?;
    if !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("option: -I") {
        // Python 2 has no `-I`; these come close enough to ask for a version.
        output = python(path, &["-E", "-s", "-B", "-S"], PROBE)?;
    }
    let stderr = tail(&output.stderr);
    if !output.status.success() {
        let status = output.status.to_string();
        return Err(ProbeError::Failed {
            path: path.to_path_buf(),
            status,
            stderr,
        });
    }
    let printed: Printed =
        serde_json::from_slice(&output.stdout).map_err(|source| ProbeError::Answer {
            path: path.to_path_buf(),
            stderr,
            source,
        })?;
    let Some(mut interpreter) = printed.interpreter else {
        let Printed {
            implementation,
            version,
            ..
        } = printed;
        return Ok(Answer::Other {
            implementation,
            version,
        });
    };
    if !interpreter.executable.is_absolute() {
        // A Python that cannot tell where it is says nothing; we know what we started.
        interpreter.executable = path.to_path_buf();
    }
    judge(path, &interpreter)?;
    Ok(Answer::Known(Box::new(interpreter)))
}

/// The index that this interpreter's pip would ask by default, freshly asked for.
pub(super) fn ask_default_index(interpreter: &Interpreter) -> Option<String> {
    let output = match python(&interpreter.executable, &["-I", "-B"], INDEX) {
        Ok(output) if output.status.success() => output,
        Ok(output) => {
            let stderr = tail(&output.stderr);
            tracing::debug!(%stderr, "the interpreter's pip told no default index");
            return None;
        }
        Err(error) => {
            tracing::debug!(%error, "the interpreter's pip could not be asked");
            return None;
        }
    };
    let url = url::Url::parse(str::from_utf8(&output.stdout).ok()?.trim()).ok()?;
    matches!(url.scheme(), "http" | "https").then(|| url.to_string())
}

fn python(path: &Path, options: &[&str], script: &str) -> Result<Output, ProbeError> {
    let mut command = Command::new(path);
    command.args(options).args(["-c", script]);
    run(&mut command, LIMIT).map_err(|error| match error {
        RunError::Io(source) => ProbeError::Run {
            path: path.to_path_buf(),
            source,
        },
        RunError::TimedOut => ProbeError::TimedOut {
            path: path.to_path_buf(),
        },
    })
}

/// Refuses answers that later code could not work with.
fn judge(path: &Path, interpreter: &Interpreter) -> Result<(), ProbeError> {
    let senseless = |source| ProbeError::Senseless {
        path: path.to_path_buf(),
        source,
    };
    interpreter.target().map_err(senseless)?;
    let full = &interpreter.markers.python_full_version;
    if versions::version(full.trim_end_matches('+')).is_err() {
        return Err(senseless(TargetError::Markers(full.clone())));
    }
    let scheme = &interpreter.scheme;
    for (field, value, may_be_prefix) in [
        ("purelib", &scheme.purelib, false),
        ("platlib", &scheme.platlib, false),
        ("scripts", &scheme.scripts, false),
        ("data", &scheme.data, true),
        ("headers", &scheme.headers, false),
    ] {
        let inside = Path::new(value)
            .components()
            .all(|c| matches!(c, Component::Normal(_)));
        if !inside || value.is_empty() && !may_be_prefix {
            let value = value.clone();
            return Err(ProbeError::Scheme {
                path: path.to_path_buf(),
                field,
                value,
            });
        }
    }
    Ok(())
}

/// The last lines of a program's complaint, fit for a terminal.
fn tail(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let last = lines[lines.len().saturating_sub(3)..].join("; ");
    let clean: String = last
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    match clean.char_indices().rev().nth(299) {
        Some((start, _)) => clean[start..].to_owned(),
        None => clean,
    }
}

fn said(stderr: &str) -> String {
    if stderr.is_empty() {
        String::new()
    } else {
        format!(": {stderr}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_a_complaint_is_short_and_harmless() {
        assert_eq!(tail(b""), "");
        assert_eq!(tail(b"1\n2\n\n3\n4\n"), "2; 3; 4");
        assert_eq!(tail(b"\x1b[31mred"), "?[31mred");
        assert_eq!(tail("ä".repeat(1000).as_bytes()).chars().count(), 300);
        assert_eq!(tail(b"\xff\xfe"), "\u{fffd}\u{fffd}");
    }
}
