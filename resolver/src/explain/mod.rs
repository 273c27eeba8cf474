//! Why there is no answer, in facts that a person can check.
//!
//! The solver's proof is a tree whose leaves are facts (a release depends on something, a range
//! has no candidate) and whose inner nodes are conclusions. A long search makes thousands of
//! nodes, most of them the same thought about another version. What is shown are the leaves alone,
//! gathered by package and put in order from the user's requirements on: together they have no
//! solution, and each can be looked up. [`gather`] reads the tree, [`words`] puts versions into
//! words, [`hints`] and [`bounds`] know the ways out ([`remedy`]), and [`trial`] which of them lead out.

mod bounds;
mod gather;
mod hints;
mod remedy;
mod trial;
mod words;

use std::fmt;

use blast_types::PackageName;
use pubgrub::NoSolutionError;
use serde::{Serialize, Serializer};

pub use remedy::{Remedy, RemedyKind};
pub(crate) use trial::proven;

use crate::reason::Reason;
use crate::solver::Solver;

/// Facts that together leave no solution. Its `Display` is the text for people; as data it has
/// `steps`, each with its `kind` and the sentence as `text`, and `remedies`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The facts, from the user's requirements to what they lead to.
    #[serde(rename = "steps", serialize_with = "steps")]
    pub facts: Vec<Fact>,
    /// The environments concerned, as a marker; `None`: all that were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environments: Option<String>,
    /// Ways out, the most promising first.
    #[serde(rename = "remedies")]
    pub hints: Vec<Remedy>,
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Fact {
    /// What the user asks for.
    Asked {
        /// The requirements, as written.
        requirements: Vec<String>,
    },
    /// What some versions of a package require.
    Depends {
        /// The package, with the extra concerned where there is one.
        package: String,
        /// Which versions, in words that name the package.
        versions: Versions,
        /// What they require.
        requirements: Vec<String>,
    },
    /// What many versions of a package require, each something else of the same package.
    DependsVariously {
        /// The package, with the extra concerned where there is one.
        package: String,
        /// Which versions, in words that name the package.
        versions: Versions,
        /// What the newest of them requires.
        newest: Vec<String>,
        /// What the oldest of them requires.
        oldest: Vec<String>,
    },
    /// Versions that exist, but cannot be used.
    Unusable {
        /// The package.
        package: PackageName,
        /// Which versions, in words that name the package.
        versions: Versions,
        /// Why.
        why: Reason,
    },
    /// No version of a package is in the range asked for.
    NoneInRange {
        /// The package.
        package: PackageName,
        /// The requirement; `None` where it is each of many, which another fact sums up.
        requirement: Option<String>,
        /// The versions that exist, in words.
        existing: String,
    },
    /// No index has the package.
    NotFound {
        /// The package.
        package: PackageName,
    },
    /// Its index holds the package back (PEP 792).
    Quarantined {
        /// The package.
        package: PackageName,
    },
    /// The cache does not have the package, and the network is not used.
    NotCached {
        /// The package.
        package: PackageName,
    },
}

/// Some versions of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Versions {
    /// In words, with the package's name.
    pub words: String,
    /// How many.
    pub count: usize,
    /// A specifier that holds for them (and for others in between, where they are not in a row).
    pub range: String,
}

/// A fact and its sentence.
#[derive(Serialize)]
struct Step<'a> {
    #[serde(flatten)]
    fact: &'a Fact,
    text: String,
}

fn steps<S: Serializer>(facts: &[Fact], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(facts.iter().map(|fact| Step {
        fact,
        text: fact.to_string(),
    }))
}

impl Versions {
    fn verb(&self, one: &'static str, many: &'static str) -> &'static str {
        // "every version of x" is singular, whatever it counts.
        if self.count == 1 || self.words.starts_with("every") {
            one
        } else {
            many
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked { requirements } => {
                write!(f, "you require {}", words::list(requirements))
            }
            Self::Depends {
                versions,
                requirements,
                ..
            } => {
                let verb = versions.verb("depends on", "depend on");
                write!(f, "{} {verb} {}", versions.words, words::list(requirements))
            }
            Self::DependsVariously {
                versions,
                newest,
                oldest,
                ..
            } => {
                let verb = versions.verb("depends on", "depend on");
                let (newest, oldest) = (words::list(newest), words::list(oldest));
                write!(
                    f,
                    "{} {verb} ranges from {oldest} to {newest}",
                    versions.words
                )
            }
            Self::Unusable { versions, why, .. } => {
                write!(f, "{} {} {why}", versions.words, versions.verb("is", "are"))
            }
            Self::NoneInRange {
                package,
                requirement: Some(requirement),
                existing,
            } => {
                write!(
                    f,
                    "no version of {package} matches `{requirement}` ({existing})"
                )
            }
            Self::NoneInRange {
                package,
                requirement: None,
                existing,
            } => {
                write!(f, "no version of {package} is in any of those ({existing})")
            }
            Self::NotFound { package } => write!(f, "{package} is not on the index"),
            Self::Quarantined { package } => write!(
                f,
                "{package} is quarantined by its index, which thinks it unsafe"
            ),
            Self::NotCached { package } => {
                write!(
                    f,
                    "{package} is not in the cache, and the network is not used (offline)"
                )
            }
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no set of versions meets the requirements")?;
        if let Some(environments) = &self.environments {
            write!(f, " where {environments}")?;
        }
        f.write_str(":")?;
        for (position, fact) in self.facts.iter().enumerate() {
            let joint = if position == 0 { "because" } else { "and" };
            let end = if position + 1 == self.facts.len() {
                ""
            } else {
                ","
            };
            write!(f, "\n  {joint} {fact}{end}")?;
        }
        Ok(())
    }
}

/// Reads the proof.
pub(crate) fn explain(solver: &Solver<'_>, tree: &NoSolutionError<Solver<'_>>) -> Explanation {
    let facts = gather::facts(solver, tree);
    let hints = hints::remedies(solver, &facts);
    Explanation {
        facts,
        environments: None,
        hints,
    }
}
