//! The exit statuses of `blast`, all of them.
//!
//! | status | meaning |
//! |---|---|
//! | 0 | done, or the answer is yes |
//! | 1 | the answer is no: no solution, no such package, `check` or `doctor` found a defect |
//! | 2 | usage error, or the host or blast itself failed |
//! | 126, 127 | `run`: the command cannot be executed, is not found |
//! | any other | `run`: the command's own, since it takes the place of blast, or blast waits for it |

use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok,
    /// The answer is no.
    No,
    /// Usage or internal error.
    Error,
    /// The command given to `run` exists but cannot be executed.
    NotExecutable,
    /// The command given to `run` is not found.
    NotFound,
    /// What the command given to `run` ended with, where this process waited for it.
    Own(u8),
}

impl Exit {
    /// The number the shell sees.
    pub(crate) fn status(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::No => 1,
            Self::Error => 2,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
            Self::Own(status) => status,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.status().into()
    }
}
