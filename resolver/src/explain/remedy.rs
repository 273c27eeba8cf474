//! A way out of a conflict: what to do, in words and as data.

use std::fmt;

use serde::Serialize;

use super::trial::Trial;

/// One way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remedy {
    /// What kind of thing to do.
    pub kind: RemedyKind,
    /// The package concerned.
    pub package: Option<String>,
    /// The requirement to change, or the versions that would become usable.
    pub range: Option<String>,
    /// The option to give, as typed; `None` where something else is to be done.
    pub option: Option<String>,
    /// The same in words.
    pub text: String,
    /// What to try, to know that it leads out: one of these is enough. None: it cannot be tried.
    #[serde(skip)]
    pub(super) trials: Vec<Trial>,
}

/// The kinds of way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemedyKind {
    /// Lift the upper bound, or the pin, of a requirement.
    UpperBound,
    /// Lower the lower bound of a requirement.
    LowerBound,
    /// Drop one of the user's requirements.
    Requirement,
    /// Allow a pre-release.
    Prerelease,
    /// Choose another Python.
    Python,
    /// Choose another platform or Python, for want of files.
    Platform,
    /// Move the limit of time.
    Date,
    /// Relax a constraint.
    Constraint,
    /// Drop an option.
    Option,
    /// Pin a withdrawn version.
    Pin,
    /// Ask another index, or for another name.
    Index,
}

impl Remedy {
    /// This, about a package.
    pub(super) fn new(kind: RemedyKind, package: &str, text: String) -> Self {
        Self {
            kind,
            package: Some(package.to_owned()),
            range: None,
            option: None,
            text,
            trials: Vec::new(),
        }
    }

    pub(super) fn range(self, range: impl Into<String>) -> Self {
        let range = Some(range.into());
        Self { range, ..self }
    }

    pub(super) fn tried_by(self, trials: impl IntoIterator<Item = Trial>) -> Self {
        let trials = trials.into_iter().collect();
        Self { trials, ..self }
    }

    /// The first of two things to do.
    pub(super) fn and_then(mut self) -> Self {
        self.text
            .push_str("; that alone is not enough, so also do the next");
        self
    }

    pub(super) fn option(self, option: impl Into<String>) -> Self {
        let option = Some(option.into());
        Self { option, ..self }
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
