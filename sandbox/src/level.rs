//! How much is kept from a program: three words, from least to most.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How strict a sandbox is. Ordered: of two, the greater keeps more away.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// No sandbox: the program may do what its user may.
    #[default]
    None,
    /// Everyday work: the project can be written, the system read, home and network are away.
    Standard,
    /// Code nobody trusts: what is not given by name is away.
    Strict,
}

impl Level {
    /// All levels, from least to most.
    pub const ALL: [Self; 3] = [Self::None, Self::Standard, Self::Strict];

    /// The word that a user writes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Standard => "standard",
            Self::Strict => "strict",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A word that names no level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no level of the sandbox: it is none, standard or strict")]
pub struct UnknownLevel(String);

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(word: &str) -> Result<Self, UnknownLevel> {
        let found = Self::ALL.into_iter().find(|level| level.as_str() == word);
        found.ok_or_else(|| UnknownLevel(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_as_they_are_written_and_ordered() {
        for level in Level::ALL {
            assert_eq!(level.as_str().parse(), Ok(level));
        }
        assert!("Strict".parse::<Level>().is_err());
        assert!(Level::None < Level::Standard && Level::Standard < Level::Strict);
    }
}
