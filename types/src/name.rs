//! Names that people give: environments and snapshots. Both become file names, so what they may
//! hold is decided here once.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a name must not be empty")]
    Empty,
    /// Longer than 100 bytes.
    #[error("the name `{0}` is longer than 100 bytes")]
    TooLong(String),
    /// It would not be one plain file name.
    #[error(
        "`{0}` is no usable name: use letters, digits, `-`, `_` and `.`, and start with a letter, \
         a digit or `_`"
    )]
    BadCharacter(String),
}

fn check(text: &str) -> Result<(), NameError> {
    let first = text.chars().next().ok_or(NameError::Empty)?;
    if text.len() > 100 {
        return Err(NameError::TooLong(
            text.chars().take(40).collect::<String>() + "…",
        ));
    }
    let good = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !(first.is_alphanumeric() || first == '_') || !text.chars().all(good) {
        return Err(NameError::BadCharacter(text.escape_debug().to_string()));
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text; always a single plain path component.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                check(&text)?;
                Ok(Self(text))
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                text.to_owned().try_into()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The name of an environment; also its entry in the mounted view.
    EnvName
}
name! {
    /// The name of a snapshot.
    SnapshotName
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_pass() {
        for name in ["demo", "my-env_3.12", "Größe", "_x", "9lives"] {
            assert_eq!(name.parse::<EnvName>().expect(name).as_str(), name);
        }
    }

    #[test]
    fn names_that_are_no_plain_component_are_refused() {
        for name in [
            "",
            ".",
            "..",
            ".generation",
            "a/b",
            "a b",
            "a\nb",
            "-x",
            "\0",
            &"x".repeat(101),
        ] {
            assert!(name.parse::<EnvName>().is_err(), "{name:?}");
        }
    }
}
