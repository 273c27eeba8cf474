//! Why something could not be built, and the way out.

use std::io;
use std::path::PathBuf;

use blast_index::sdist::SdistError;
use blast_types::Hint;

use super::super::error::EngineError;

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// The sources cannot be used.
    #[error(transparent)]
    Sources(#[from] SdistError),
    /// What the backend needs is not to be had.
    #[error("what its build needs cannot be had")]
    Requirements {
        /// Why.
        source: Box<EngineError>,
    },
    /// To build it, it must have been built.
    #[error("its build needs itself: {}", chain.join(" -> "))]
    Cycle {
        /// From the first build to the one that closes the circle.
        chain: Vec<String>,
    },
    /// The backend is not there, or not the one that was meant.
    #[error("the build backend `{backend}` cannot be used: {reason}")]
    Backend {
        /// As named.
        backend: String,
        /// What Python says.
        reason: String,
        /// The whole output.
        log: PathBuf,
    },
    /// A hook failed.
    #[error("`{hook}` failed ({status}){}", tail_of(tail))]
    Hook {
        /// Which.
        hook: &'static str,
        /// How it ended.
        status: String,
        /// The last lines of its output.
        tail: Vec<String>,
        /// The whole output.
        log: PathBuf,
        /// The commands that would have allowed what it did not get.
        denied: Vec<String>,
    },
    /// It may not run without a sandbox, and cannot have one.
    #[error("the sandbox of its build cannot be made as the policy says: {reason}")]
    Sandbox {
        /// Why not.
        reason: String,
    },
    /// A hook answered nonsense.
    #[error("`{hook}` answered nonsense: {reason}")]
    Answer {
        /// Which.
        hook: &'static str,
        /// What is wrong with its answer.
        reason: String,
    },
    /// The backend cannot do what is asked.
    #[error("the build backend `{backend}` has no `{hook}`")]
    NoHook {
        /// As named.
        backend: String,
        /// What it lacks.
        hook: &'static str,
    },
    /// There is no git.
    #[error("{what} cannot be fetched: there is no `git` on PATH")]
    NoGit {
        /// The repository.
        what: String,
    },
    /// A repository does not have what was asked for.
    #[error("{what} is not to be found")]
    NoRevision {
        /// Repository and revision.
        what: String,
    },
    /// git failed.
    #[error("`git {command}` failed for {what}{}", tail_of(tail))]
    Git {
        /// Repository and revision.
        what: String,
        /// The command of git's.
        command: String,
        /// The last lines of its output.
        tail: Vec<String>,
    },
    /// What was built is something else.
    #[error("the wheel that was built is {built}, not {expected}")]
    OtherProject {
        /// Name and version of the wheel.
        built: String,
        /// Name and version asked for.
        expected: String,
    },
    /// The wheel does not fit the interpreter that it was built with.
    #[error("the wheel that was built, {wheel}, does not fit this interpreter")]
    OtherPlatform {
        /// Its file name.
        wheel: String,
    },
    /// A file of ours, or starting a process.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// So many commands are shown that would have allowed something.
const MOST_DENIED: usize = 5;

/// The lines, each on a line of its own.
fn tail_of(tail: &[String]) -> String {
    if tail.is_empty() {
        return String::new();
    }
    format!("; its last words:\n{}", tail.join("\n"))
}

impl BuildError {
    /// Whether the sources are no good, whoever builds them; nothing of them was run then.
    pub(crate) fn is_about_sources(&self) -> bool {
        match self {
            Self::Sources(error) => {
                !matches!(error, SdistError::Write { .. } | SdistError::Read { .. })
            }
            Self::OtherProject { .. } => true,
            _ => false,
        }
    }

    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

impl Hint for BuildError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Requirements { source } => source.hints(),
            Self::Cycle { .. } => vec![
                "allow a wheel of one of them: leave out `--no-binary`, or name it in \
                 `--only-binary`"
                    .to_owned(),
            ],
            Self::Backend { log, .. } => vec![
                "the project must name what its backend needs in `build-system.requires`"
                    .to_owned(),
                whole_output(log),
            ],
            Self::Hook {
                tail, log, denied, ..
            } => {
                let mut hints: Vec<_> = missing(tail).into_iter().collect();
                hints.extend(denied.iter().take(MOST_DENIED).map(|command| {
                    format!("its sandbox kept something from it; if that is what it lacks, and you trust it: `{command}`")
                }));
                hints.push(whole_output(log));
                hints.push("or take a version that has a wheel: `--only-binary NAME`".to_owned());
                hints
            }
            Self::Sources(_)
            | Self::Answer { .. }
            | Self::OtherProject { .. }
            | Self::OtherPlatform { .. } => {
                vec![
                    "the project is at fault: tell its authors, or take another version".to_owned(),
                ]
            }
            Self::NoHook {
                hook: "build_editable",
                ..
            } => vec!["install it without `-e`, or give the project a newer backend".to_owned()],
            Self::NoHook { .. } => {
                vec!["the project is at fault: tell its authors".to_owned()]
            }
            Self::NoGit { .. } => vec!["install git".to_owned()],
            Self::NoRevision { .. } => {
                vec!["check the name of the branch or tag, or leave out `--offline`".to_owned()]
            }
            Self::Git { .. } => vec![
                "check that `git ls-remote` of that URL works without asking for anything"
                    .to_owned(),
            ],
            Self::Sandbox { .. } => vec![
                "`blast config` shows the policy of builds, the keys that begin with `build.`"
                    .to_owned(),
                "`blast doctor` says what this machine lacks".to_owned(),
            ],
            Self::Io { .. } => Vec::new(),
        }
    }
}

fn whole_output(log: &std::path::Path) -> String {
    format!("the whole output is in {}", log.display())
}

/// What the output says is missing, where it says so in a way we know.
fn missing(tail: &[String]) -> Option<String> {
    tail.iter().rev().find_map(|line| missing_in(line))
}

fn missing_in(line: &str) -> Option<String> {
    let between = |before: &str, after: &str| {
        let (_, rest) = line.split_once(before)?;
        let (found, _) = rest.split_once(after)?;
        Some(found.trim().trim_matches(['\'', '"', '`']))
    };
    if let Some(header) = between("fatal error: ", ": No such file or directory") {
        return Some(if header == "Python.h" {
            "the header Python.h is missing: install the development files of this Python \
             (python3-dev, python3-devel)"
                .to_owned()
        } else {
            format!("the header {header} is missing: install the library that has it")
        });
    }
    let no_program = between("command '", "' failed: No such file or directory")
        .or_else(|| between("error: [Errno 2] No such file or directory: '", "'"))
        .or_else(|| between("unable to execute '", "': No such file or directory"))
        .or_else(|| {
            between(
                "FileNotFoundError: [Errno 2] No such file or directory: '",
                "'",
            )
        });
    if let Some(program) = no_program {
        let name = program.rsplit('/').next().unwrap_or(program);
        return Some(if is_compiler(name) {
            format!("there is no C compiler `{name}`: install one (build-essential, gcc)")
        } else {
            format!("`{program}` is missing: install what has it")
        });
    }
    if line.contains("Rust compiler") || line.contains("cargo: command not found") {
        return Some("there is no Rust compiler: install one (rustup, cargo)".to_owned());
    }
    if let Some(module) = between("ModuleNotFoundError: No module named '", "'") {
        return Some(format!(
            "its build imports `{module}`, which its `build-system.requires` does not name"
        ));
    }
    None
}

fn is_compiler(name: &str) -> bool {
    ["cc", "gcc", "g++", "c++", "clang", "clang++"]
        .iter()
        .any(|compiler| name == *compiler || name.ends_with(&format!("-{compiler}")))
}

/// A failure on its way to an [`EngineError`] that names what was to be built.
pub(super) enum Failed {
    Build(BuildError),
    Other(EngineError),
}

impl Failed {
    pub(super) fn of(self, label: &str) -> EngineError {
        match self {
            Self::Build(source) => EngineError::Build {
                what: label.to_owned(),
                source: Box::new(source),
            },
            Self::Other(error) => error,
        }
    }
}

impl From<BuildError> for Failed {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}

impl From<EngineError> for Failed {
    fn from(error: EngineError) -> Self {
        Self::Other(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        for (line, word) in [
            (
                "src/a.c:1:10: fatal error: Python.h: No such file or directory",
                "python3-dev",
            ),
            (
                "b.c:3:10: fatal error: libpq-fe.h: No such file or directory",
                "libpq-fe.h",
            ),
            (
                "error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory",
                "C compiler",
            ),
            (
                "FileNotFoundError: [Errno 2] No such file or directory: 'pg_config'",
                "`pg_config`",
            ),
            ("error: can't find Rust compiler", "Rust"),
            ("ModuleNotFoundError: No module named 'numpy'", "`numpy`"),
        ] {
            let hint = missing(&["first".to_owned(), line.to_owned(), "last".to_owned()]);
            assert!(
                hint.as_ref().is_some_and(|hint| hint.contains(word)),
                "{line}: {hint:?}"
            );
        }
        assert_eq!(missing(&["all is well".to_owned()]), None);
    }
}
