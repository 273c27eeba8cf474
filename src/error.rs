//! What a command fails with: a kind that decides the exit status, one sentence, what lies behind
//! it, and what to do.
//!
//! Errors of libraries and of the daemon become this type at the place that knows what was being
//! attempted; [`crate::ui`] renders it. A reader that went away (`blast log | head`) is no error
//! to anybody, so it has a kind of its own that ends the program quietly and well.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::Path;

use blast_types::NameError;

use crate::exit_code::Exit;
use crate::ipc::paths::PlaceError;
use crate::ipc::protocol::{ErrorKind, Failure};

/// What kind of failure, which decides the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The answer is no.
    No,
    /// What was asked makes no sense here.
    Usage,
    /// The host or blast failed.
    Internal,
    /// The command to run is not found.
    CommandNotFound,
    /// The command to run cannot be executed.
    CommandNotExecutable,
    /// Whoever read our output went away; not shown.
    BrokenPipe,
}

impl Kind {
    /// The exit status of this kind.
    pub(crate) fn exit(self) -> Exit {
        match self {
            Self::No => Exit::No,
            Self::Usage | Self::Internal => Exit::Error,
            Self::CommandNotFound => Exit::NotFound,
            Self::CommandNotExecutable => Exit::NotExecutable,
            Self::BrokenPipe => Exit::Ok,
        }
    }
}

/// Why a command failed.
#[derive(Debug, Clone)]
pub(crate) struct Error {
    /// Decides the exit status.
    pub(crate) kind: Kind,
    /// One sentence, lower case, no full stop.
    pub(crate) message: String,
    /// What lies behind it, outermost first.
    pub(crate) causes: Vec<String>,
    /// Commands to type, facts to check.
    pub(crate) hints: Vec<String>,
    /// Where requirements are in conflict: the explanation as data, for `--json`.
    pub(crate) conflict: Option<Box<serde_json::Value>>,
}

impl Error {
    /// An error of this kind, as yet without causes and hints.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            causes: Vec::new(),
            hints: Vec::new(),
            conflict: None,
        }
    }

    /// The answer is no.
    pub(crate) fn no(message: impl Into<String>) -> Self {
        Self::new(Kind::No, message)
    }

    /// What was asked makes no sense here.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// The host or blast failed.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// A file operation failed: `verb` is what was tried (`read`, `write`, `link`).
    pub(crate) fn io(verb: &str, path: &Path, source: &io::Error) -> Self {
        Self::internal(format!("cannot {verb} {}", path.display())).caused_by(source)
    }

    /// The daemon answered, but something else than was asked.
    pub(crate) fn unexpected_reply() -> Self {
        Self::internal("the daemon gave an answer that does not fit the question")
            .hint("run `blast kill --all`, then the command again")
    }

    /// Adds a cause and all that lies behind it.
    #[must_use]
    pub(crate) fn caused_by(mut self, source: &(dyn StdError + 'static)) -> Self {
        let mut next = Some(source);
        while let Some(error) = next {
            self.causes.push(error.to_string());
            next = error.source();
        }
        self
    }

    /// Adds a hint.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let kind = match failure.kind {
            ErrorKind::No => Kind::No,
            ErrorKind::Usage => Kind::Usage,
            ErrorKind::Internal | ErrorKind::Version => Kind::Internal,
        };
        Self {
            kind,
            message: failure.message,
            causes: failure.causes,
            hints: failure.hints,
            conflict: failure.conflict,
        }
    }
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<PlaceError> for Error {
    fn from(error: PlaceError) -> Self {
        let whole = Self::internal(error.to_string());
        match &error {
            PlaceError::NoHome(variable, _) => {
                whole.hint(format!("set `{variable}` to a directory of your own"))
            }
            PlaceError::NotPrivate { .. } => {
                whole.hint("set `XDG_RUNTIME_DIR` to a directory that only you can enter")
            }
            PlaceError::Io { source, .. } => whole.caused_by(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_brings_all_that_lies_behind_it() {
        let place = PlaceError::Io {
            path: "/x".into(),
            source: io::Error::new(io::ErrorKind::PermissionDenied, "no entry"),
        };
        let error = Error::internal("cannot start").caused_by(&place);
        assert_eq!(error.causes, ["cannot make /x", "no entry"]);
    }

    #[test]
    fn each_kind_has_its_exit_status() {
        let statuses = [
            (Kind::No, 1),
            (Kind::Usage, 2),
            (Kind::Internal, 2),
            (Kind::CommandNotFound, 127),
            (Kind::CommandNotExecutable, 126),
            (Kind::BrokenPipe, 0),
        ];
        for (kind, status) in statuses {
            assert_eq!(kind.exit().status(), status, "{kind:?}");
        }
    }

    #[test]
    fn a_failure_of_the_daemon_keeps_causes_and_hints() {
        let failure = Failure {
            kind: ErrorKind::No,
            message: "no solution".into(),
            causes: vec!["a".into()],
            hints: vec!["b".into()],
            conflict: None,
        };
        let error = Error::from(failure);
        assert_eq!(
            (error.kind, error.causes, error.hints),
            (Kind::No, vec!["a".into()], vec!["b".into()])
        );
    }
}
