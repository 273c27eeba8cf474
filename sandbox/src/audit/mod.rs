//! The audit log: what programs in sandboxes reached for, and what was decided.
//!
//! One line of JSON per decision, appended and never changed:
//!
//! ```text
//! audit/                        0700, below the home of the store
//!   audit.jsonl                 0600, the present
//!   audit.1.jsonl … .4.jsonl    what was before, the newest first
//! ```
//!
//! Whoever decides writes for itself: the filter of a network, the command that starts a sandbox. A line is
//! one `write` to a file opened for appending, so lines of several writers never mix. Who finds the
//! file larger than [`log::ROTATE_BYTES`] renames it, under a lock; a writer that still has the old file open sees that its
//! name leads elsewhere before the next line and opens anew.

pub mod log;
pub mod suggest;

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::Attempt;

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who reached for it.
    #[serde(flatten)]
    pub who: Who,
    /// What kind of thing.
    pub kind: Kind,
    /// The thing: `HOST:PORT`, a path, the name of a variable.
    pub target: String,
    /// Which address that was, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What was decided.
    pub decision: Decision,
    /// Why.
    pub rule: String,
    /// What to write after `blast allow` so that it is allowed, where that helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<String>,
    /// What passed, for a connection that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
}

/// Who reached for something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The environment.
    pub environment: String,
    /// The command that the sandbox was entered with.
    pub command: Vec<String>,
    /// The user, by number.
    pub uid: u32,
}

/// What kind of thing is reached for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A host, from inside.
    Net,
    /// A port inside, from this host.
    Publish,
    /// A path, to be read.
    Read,
    /// A path, to be written.
    Write,
    /// A variable.
    Env,
    /// The sandbox itself.
    Sandbox,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Net => "net",
            Self::Publish => "publish",
            Self::Read => "read",
            Self::Write => "write",
            Self::Env => "env",
            Self::Sandbox => "sandbox",
        })
    }
}

/// The time, as entries have it: in milliseconds since 1970.
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It was let through.
    Allowed,
    /// It was not.
    Denied,
    /// It was let through, and then it could not be done.
    Failed,
}

/// What passed through a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Bytes that left the sandbox.
    pub sent_bytes: u64,
    /// Bytes that came in.
    pub received_bytes: u64,
    /// How long it was open, in milliseconds.
    pub duration_ms: u64,
}

impl Entry {
    /// A denial, now.
    pub fn denied(who: &Who, attempt: &Attempt) -> Self {
        Self {
            at_ms: now_ms(),
            who: who.clone(),
            kind: attempt.kind,
            target: attempt.target.clone(),
            address: None,
            decision: Decision::Denied,
            rule: attempt.rule.to_owned(),
            allow: attempt.allow.clone(),
            traffic: None,
        }
    }

    /// The command that allows what was denied.
    pub fn lesson(&self) -> Option<String> {
        (self.decision == Decision::Denied)
            .then_some(self.allow.as_ref())
            .flatten()
            .and_then(|what| command(what))
    }
}

/// Before what is to be allowed to builds.
const TO_BUILDS: &str = "--build ";

/// The command that allows this, a kind and a target, as a shell takes it: programs make names of files and hosts up, and people
/// copy the command. `None` where it could not be typed.
pub(crate) fn command(allow: &str) -> Option<String> {
    let (option, allow) = match allow.strip_prefix(TO_BUILDS) {
        Some(allow) => (TO_BUILDS, allow),
        None => ("", allow),
    };
    let (kind, target) = allow.split_once(' ')?;
    if target.chars().any(char::is_control) {
        return None;
    }
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_./:=@%+,[]".contains(letter);
    let target = if !target.is_empty() && target.chars().all(is_plain) {
        target.to_owned()
    } else {
        format!("'{}'", target.replace('\'', r"'\''"))
    };
    Some(format!("blast allow {option}{kind} {target}"))
}

/// Where decisions are told: the log, and whoever wants to hear of denials at once.
pub trait Listener: fmt::Debug + Send + Sync {
    /// Takes a decision down.
    fn heard(&self, entry: &Entry);
}
