//! Where a line of a policy is written.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Whose word it is. Ordered: whoever comes first is heard first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// The machine's administrator.
    System,
    /// The user, for all projects.
    User,
    /// The project.
    Project,
}

/// Where a line is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Nowhere: it is so where nobody says otherwise.
    Default,
    /// In a file.
    File {
        /// Whose file.
        speaker: Speaker,
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// On the command line.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, .. } => write!(f, "{}:{line}", path.display()),
            Self::Flag => f.write_str("command line"),
        }
    }
}
