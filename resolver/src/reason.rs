//! Why a release that exists is no candidate. Reasons are facts for the explanation; the search
//! itself only sees that the release is not there.

use std::fmt;

use serde::Serialize;

/// Why one release is no candidate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case", tag = "reason", content = "detail")]
pub enum Reason {
    /// The index lists the version without a file.
    NoFiles,
    /// Uploaded after the limit of `exclude_newer`.
    TooNew,
    /// `exclude_newer` is set and the index states no upload time.
    NoUploadTime,
    /// `Requires-Python` excludes the target's Python.
    Python {
        /// The specifier.
        needs: String,
        /// The target's Python.
        has: String,
    },
    /// Only a source distribution is left, and the options exclude it.
    OnlyBinary,
    /// Only wheels are left, and the options exclude them.
    NoBinary,
    /// No wheel's tags fit the target, and there is no source distribution; an example of those
    /// tags.
    Tags(String),
    /// A constraint excludes it; the constraint.
    Constraint(String),
    /// It is a pre-release, and those are disallowed.
    Prerelease,
    /// Withdrawn (PEP 592), and nothing pins it.
    Yanked(Option<String>),
    /// Reached by URL only, and nothing that was chosen names the URL.
    OtherUrl,
    /// Working offline, and its metadata are not in the cache.
    NotCached,
    /// The file's metadata cannot be used; what is wrong with it.
    Metadata(String),
    /// It requires itself in another version; the requirement.
    RequiresItself(String),
}

impl Reason {
    /// Of two files of one release, the reason of the one that came closer to being usable says
    /// more.
    pub(crate) fn closest(self, other: Self) -> Self {
        if other.stage() > self.stage() {
            other
        } else {
            self
        }
    }

    fn stage(&self) -> u8 {
        match self {
            Self::NoFiles => 0,
            Self::TooNew | Self::NoUploadTime => 1,
            Self::Python { .. } => 2,
            Self::OnlyBinary | Self::NoBinary => 3,
            Self::Tags(_) => 4,
            Self::Constraint(_)
            | Self::Prerelease
            | Self::Yanked(_)
            | Self::OtherUrl
            | Self::NotCached
            | Self::Metadata(_)
            | Self::RequiresItself(_) => 5,
        }
    }
}

/// Completes a sentence whose subject is a release or several.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFiles => f.write_str("without any file"),
            Self::TooNew => f.write_str("newer than the time limit (exclude-newer)"),
            Self::NoUploadTime => f.write_str("without the upload time that exclude-newer needs"),
            Self::Python { needs, has } => {
                write!(
                    f,
                    "for Python {} only (this is {has})",
                    needs.replace(", ", ",")
                )
            }
            Self::OnlyBinary => f.write_str("source only, which the options exclude"),
            Self::NoBinary => f.write_str("wheels only, which the options exclude"),
            Self::Tags(example) => {
                write!(f, "without a wheel for this platform (there is {example})")
            }
            Self::Constraint(text) => write!(f, "excluded by your constraint `{text}`"),
            Self::Prerelease => f.write_str("a pre-release, which the options exclude"),
            Self::Yanked(None) => f.write_str("withdrawn by its authors (yanked)"),
            Self::Yanked(Some(why)) => {
                write!(
                    f,
                    "withdrawn by its authors (yanked: {})",
                    why.escape_debug()
                )
            }
            Self::OtherUrl => f.write_str("from a URL that nothing chosen names"),
            Self::NotCached => {
                f.write_str("not in the cache, and the network is not used (offline)")
            }
            Self::Metadata(what) => write!(f, "unusable: {what}"),
            Self::RequiresItself(text) => write!(f, "contradictory: it requires `{text}`"),
        }
    }
}
