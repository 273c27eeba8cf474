//! What a command answered.

use std::fmt;

use serde_json::Value;

use crate::process::Outcome;
use crate::redact::Redactions;

/// Both streams and the exit status of a program that ended. `Display` shows them as one block,
/// redacted: the form for snapshots.
#[derive(Debug, Clone)]
pub struct Run {
    /// What was run, for messages.
    pub command: String,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Exit code, or 128 and the signal.
    pub code: i32,
    redactions: Redactions,
}

#[expect(
    clippy::return_self_not_must_use,
    reason = "often the check is all that is wanted"
)]
impl Run {
    pub(crate) fn new(command: String, outcome: &Outcome, redactions: Redactions) -> Self {
        Self {
            command,
            stdout: outcome.stdout.clone(),
            stderr: outcome.stderr.clone(),
            code: outcome.code(),
            redactions,
        }
    }

    /// The run itself, if it ended with 0.
    #[track_caller]
    pub fn success(self) -> Self {
        self.exits(0)
    }

    /// The run itself, if it ended with this code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}", self.told());
        self
    }

    /// The run itself, if its stderr says this.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text),
            "`{text}` is expected on stderr of {}",
            self.told()
        );
        self
    }

    /// The run itself, if its stdout has this.
    #[track_caller]
    pub fn prints(self, text: &str) -> Self {
        assert!(
            self.stdout.contains(text),
            "`{text}` is expected on stdout of {}",
            self.told()
        );
        self
    }

    /// Standard output without the line ends around it.
    pub fn out(&self) -> &str {
        self.stdout.trim()
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.told()))
    }

    /// Everything as it was, for a test that fails.
    fn told(&self) -> String {
        format!(
            "{}\nexit status: {}\n--- stdout\n{}\n--- stderr\n{}",
            self.command, self.code, self.stdout, self.stderr
        )
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit status: {}", self.code)?;
        for (title, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                write!(
                    f,
                    "\n--- {title}\n{}",
                    self.redactions.apply(text).trim_end()
                )?;
            }
        }
        Ok(())
    }
}
