//! How resolving fails.

use blast_types::{Hint, PackageName};

use crate::explain::Explanation;
use crate::provider::ProviderError;

/// Why there is no resolution.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// No set of versions meets the requirements.
    #[error("{0}")]
    NoSolution(Box<Explanation>),
    /// The provider failed in a way that no other choice of versions would mend.
    #[error("cannot learn what `{name}` offers")]
    Provider {
        /// The package asked for.
        name: PackageName,
        /// What the provider said.
        source: ProviderError,
    },
    /// Somebody lost interest: the future was dropped.
    #[error("resolving was cancelled")]
    Cancelled,
    /// The operating system gave no thread.
    #[error("cannot start the resolver's thread")]
    Thread(#[source] std::io::Error),
    /// An invariant of the resolver is broken.
    #[error("the resolver failed: {0}")]
    Bug(String),
}

impl Hint for ResolveError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoSolution(explanation) => {
                explanation.hints.iter().map(ToString::to_string).collect()
            }
            Self::Provider {
                source: ProviderError::Unavailable { hints, .. },
                ..
            } => hints.clone(),
            Self::Provider { .. } | Self::Cancelled | Self::Thread(_) => Vec::new(),
            Self::Bug(_) => vec!["this is a bug in blast: please report it".to_owned()],
        }
    }
}
