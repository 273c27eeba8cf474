//! Progress and hints, spoken by libraries and rendered by whoever has a terminal.

use serde::{Deserialize, Serialize};

/// Something that happened during long work. One event is one line of the daemon's protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A phase began ("resolving", "downloading", "unpacking", "committing").
    Phase {
        /// What is being done, as a participle.
        name: String,
    },
    /// How far the resolver is.
    Resolving {
        /// Packages with a decided version.
        decided: usize,
        /// The package looked at now.
        package: String,
    },
    /// A transfer began or went on; `done == total` ends it.
    Download {
        /// File name of the artifact.
        file: String,
        /// Bytes that have arrived.
        done: u64,
        /// Bytes in all, 0 where the index does not say.
        total: u64,
    },
    /// A distribution is being built from its sources.
    Building {
        /// Name and version, or where the sources are.
        package: String,
    },
    /// A distribution is in the store.
    Unpacked {
        /// `name==version`.
        package: String,
    },
    /// How far the compilation of bytecode is that somebody waits for.
    Compiling {
        /// Sources that are compiled.
        done: u64,
        /// Sources in all.
        total: u64,
    },
    /// How far a collection is that frees objects of the store.
    Cleaning {
        /// Objects that are freed.
        done: u64,
        /// Objects in all.
        total: u64,
    },
    /// Something the user should read, though the work goes on.
    Warning {
        /// One sentence.
        message: String,
    },
}

/// Takes progress events. Cheap to call often; must not block.
pub trait Reporter: Send + Sync {
    /// Something happened.
    fn report(&self, event: Event);

    /// Shorthand for [`Event::Warning`].
    fn warn(&self, message: String) {
        self.report(Event::Warning { message });
    }
}

/// A reporter that drops everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Reporter for Silent {
    fn report(&self, _event: Event) {}
}

/// Errors that know a remedy: each hint is a command to type or a fact to check.
pub trait Hint {
    /// Hints, the most useful first; empty where nothing helps.
    fn hints(&self) -> Vec<String> {
        Vec::new()
    }
}
