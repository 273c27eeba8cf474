//! The messages between the command line and the daemon.
//!
//! One connection carries one request: the client writes one [`Envelope`] as a line of JSON, the
//! daemon answers with any number of [`Frame::Event`] lines and then exactly one
//! [`Frame::Reply`] or [`Frame::Error`]. A client that hangs up before that cancels its request;
//! nothing is half-done then, since a change becomes visible by one compare-and-swap at its end.
//!
//! JSON lines, so that the Python side can speak it with its standard library alone. The protocol
//! is versioned by [`VERSION`]; a daemon refuses versions it does not know by
//! [`ErrorKind::Version`], and the client then replaces an idle daemon.
//!
//! What is asked is in [`request`], what is answered in [`reply`], and the state of things that
//! answers tell of in [`state`].

mod reply;
mod request;
mod state;

use std::ffi::OsStr;
use std::path::PathBuf;

use blast_types::Event;
use serde::{Deserialize, Serialize};

pub(crate) use self::reply::*;
pub(crate) use self::request::*;
pub(crate) use self::state::*;

/// Version of the message format.
pub(crate) const VERSION: u32 = 1;

/// The first and only line of a client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Envelope {
    /// [`VERSION`] of the client.
    pub(crate) v: u32,
    /// Build of the client (`CARGO_PKG_VERSION`), for `status` and version mismatches.
    pub(crate) build: String,
    /// `$BLAST_HOME` or its default; absolute.
    pub(crate) home: PathBuf,
    /// `$BLAST_CACHE` or its default; absolute.
    pub(crate) cache: PathBuf,
    /// How environments shall be shown.
    #[serde(default)]
    pub(crate) view: ViewChoice,
    /// What is to become of what programs wrote into plain files, where that is said.
    #[serde(default)]
    pub(crate) writes: Option<Writes>,
    /// What the user typed, for the history.
    pub(crate) command: Vec<String>,
    /// What is asked.
    pub(crate) request: Request,
}

/// How environments are to be shown: the setting `view`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ViewChoice {
    /// In a view where one can be mounted, else as plain files.
    #[default]
    Auto,
    /// In a view, or not at all.
    Fuse,
    /// As plain files.
    Files,
}

/// What becomes of what programs write into environments: the setting `writes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Writes {
    /// It becomes an operation when the program has ended.
    Capture,
    /// The program sees it, and it goes with the program.
    Discard,
    /// The environment can only be read.
    Deny,
}

impl ViewChoice {
    /// As the setting has it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Fuse => "fuse",
            Self::Files => "files",
        }
    }

    /// What a word of the setting means.
    pub(crate) fn of(word: &OsStr) -> Option<Self> {
        clap::ValueEnum::from_str(word.to_str()?, false).ok()
    }
}

/// A line of the daemon.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "frame", rename_all = "kebab-case")]
pub(crate) enum Frame {
    /// Progress.
    Event {
        /// What happened.
        #[serde(flatten)]
        event: Event,
    },
    /// The answer; nothing follows.
    Reply {
        /// It.
        reply: Box<Reply>,
    },
    /// There is no answer; nothing follows.
    Error {
        /// Why.
        error: Failure,
    },
}

/// Why a request failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// Decides the exit status.
    pub(crate) kind: ErrorKind,
    /// One sentence.
    pub(crate) message: String,
    /// What lies behind it, outermost first.
    pub(crate) causes: Vec<String>,
    /// What to do: commands to type, facts to check.
    pub(crate) hints: Vec<String>,
    /// Where requirements are in conflict: the explanation as data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) conflict: Option<Box<serde_json::Value>>,
}

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ErrorKind {
    /// The answer is no: no solution, no such package, a hash that differs. Exit status 1.
    No,
    /// The request makes no sense: no such environment, a bad name. Exit status 2.
    Usage,
    /// The host or our own code failed. Exit status 2.
    Internal,
    /// The daemon speaks another version.
    Version,
}
