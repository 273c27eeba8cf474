//! What the daemon tells about the packages of an environment: who requires whom, and what is
//! newer.

use blast_types::PackageName;
use serde::{Deserialize, Serialize};

/// Who requires what in an environment. Markers are evaluated: what does not apply to its
/// interpreter is left out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct DependencyGraph {
    /// What the user asked for.
    pub(crate) requirements: Vec<Need>,
    /// What is installed, by name.
    pub(crate) packages: Vec<GraphPackage>,
}

/// An installed package and what it requires.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct GraphPackage {
    /// Normalised name.
    pub(crate) name: PackageName,
    /// Version.
    pub(crate) version: String,
    /// Whether the user asked for it by name.
    pub(crate) requested: bool,
    /// What it requires, with the extras that are in force; by name.
    pub(crate) requires: Vec<Need>,
}

/// A requirement that applies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Need {
    /// Normalised name of what is required.
    pub(crate) name: PackageName,
    /// Its extras that are asked for.
    pub(crate) extras: Vec<String>,
    /// Allowed versions, or `@ URL`; empty: any.
    pub(crate) specifier: String,
}

/// An installed package of which the index has a newer version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutdatedPackage {
    /// Normalised name.
    pub(crate) name: PackageName,
    /// The version that is installed.
    pub(crate) version: String,
    /// The newest version that all requirements here allow; the installed one, if no newer.
    pub(crate) allowed: String,
    /// The newest version that fits the interpreter.
    pub(crate) newest: String,
    /// Whether that comes as a wheel.
    #[serde(default)]
    pub(crate) newest_is_wheel: bool,
    /// Which requirements do not allow the newest: `flask requires <4`.
    pub(crate) held_by: Vec<String>,
}
