//! What other tools wrote, as a `pyproject.toml`; and a lock, as files for other tools.
//!
//! [`read`] tells by name and content what a file is and makes a [`Plan`] of it, one module per
//! format; `pyproject` writes a plan down; `export` is the other direction. A plan holds what can be
//! said truly in the tables of PEP 621 and 735 and in `[tool.blast]`; all else is in
//! [`Plan::not_carried`], each with its reason, and nothing is passed over in silence.
//!
//! The versions of another tool's lock become `[tool.blast] constraints`: such locks do not say
//! all that PEP 751 asks for (markers of packages, all files), and `blast lock` finds the same
//! versions with the files and hashes of the index.

mod conda;
pub(crate) mod edit;
pub(crate) mod export;
mod node;
mod pipfile;
mod poetry;
mod poetry_versions;
pub(crate) mod pyproject;
mod requirement;
mod requirements;
mod setup_cfg;
mod uv;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use blast_resolver::requirements::RequirementsError;
use serde::Serialize;

/// What a `pyproject.toml` will say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// `[project] name`.
    pub(crate) name: Option<String>,
    /// `[project] version`.
    pub(crate) version: Option<String>,
    /// `[project] description`.
    pub(crate) description: Option<String>,
    /// `[project] requires-python`.
    pub(crate) requires_python: Option<String>,
    /// `[project] dependencies`, in the form of PEP 508.
    pub(crate) dependencies: Vec<String>,
    /// `[project.optional-dependencies]`.
    pub(crate) extras: BTreeMap<String, Vec<String>>,
    /// `[dependency-groups]`.
    pub(crate) groups: BTreeMap<String, Vec<String>>,
    /// `[tool.blast]`.
    pub(crate) blast: Settings,
    /// It comes from a lock: also a project that says itself what it needs has use for the versions.
    pub(crate) is_of_lock: bool,
    /// What found no place, and why.
    pub(crate) not_carried: Vec<NotCarried>,
}

/// What `[tool.blast]` will say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Groups installed unless others are chosen; `None`: as blast has it.
    pub(crate) default_groups: Option<BTreeSet<String>>,
    /// Limits of versions, in the form of PEP 508.
    pub(crate) constraints: Vec<String>,
    /// What takes the place of requirements on the same packages, likewise.
    pub(crate) overrides: Vec<String>,
    /// The main index.
    pub(crate) index_url: Option<String>,
    /// Indexes asked before it.
    pub(crate) extra_index_url: Vec<String>,
    /// Indexes with names; they answer for the packages of `sources` and, if so said, no others.
    pub(crate) indexes: Vec<NamedIndex>,
    /// Package to name of index.
    pub(crate) sources: BTreeMap<String, String>,
    /// Places with links.
    pub(crate) find_links: Vec<String>,
    /// Ask no index.
    pub(crate) no_index: bool,
    /// Packages never taken as wheels.
    pub(crate) no_binary: Vec<String>,
    /// Packages never built.
    pub(crate) only_binary: Vec<String>,
    /// Hosts whose certificates are not checked.
    pub(crate) trusted_host: Vec<String>,
    /// Take pre-releases.
    pub(crate) prereleases: bool,
}

/// One `[[tool.blast.index]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedIndex {
    /// Its name.
    pub(crate) name: String,
    /// Where it is, without credentials.
    pub(crate) url: String,
    /// It answers only for what is pinned to it.
    pub(crate) explicit: bool,
}

/// Something that found no place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct NotCarried {
    /// File, and line or key.
    pub(crate) place: String,
    /// What stands there, without credentials.
    pub(crate) what: String,
    /// Why it was left.
    pub(crate) reason: String,
}

impl Plan {
    fn leave(
        &mut self,
        place: impl Into<String>,
        what: impl Into<String>,
        reason: impl Into<String>,
    ) {
        self.not_carried.push(NotCarried {
            place: place.into(),
            what: what.into(),
            reason: reason.into(),
        });
    }
}

/// Why a file cannot be converted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConvertError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what its name says.
    #[error("{file} cannot be understood: {problem}")]
    Syntax {
        /// The file.
        file: String,
        /// What the parser says, with the line.
        problem: String,
    },
    /// A value is not what it must be.
    #[error("{file}, {key}: {problem}")]
    Value {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// What is wrong.
        problem: String,
    },
    /// A requirements file, or a line of that form.
    #[error(transparent)]
    Requirements(#[from] RequirementsError),
    /// Nobody knows what it is.
    #[error("{} is of no known kind", .0.display())]
    Unknown(PathBuf),
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Requirements of pip.
    Requirements,
    /// `Pipfile`.
    Pipfile,
    /// `Pipfile.lock`.
    PipfileLock,
    /// `poetry.lock`, with the `pyproject.toml` beside it.
    PoetryLock,
    /// A `pyproject.toml` of Poetry.
    Poetry,
    /// `uv.lock`.
    UvLock,
    /// An environment of conda.
    Conda,
    /// `setup.cfg`.
    SetupCfg,
}

impl Kind {
    /// Tells by the name, and where that says nothing by the content.
    fn of(name: &str, text: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        let ends = |end: &str| lower.ends_with(end);
        let line = |start: &str| text.lines().any(|line| line.starts_with(start));
        match lower.as_str() {
            "pipfile" => return Some(Self::Pipfile),
            "pipfile.lock" => return Some(Self::PipfileLock),
            "poetry.lock" => return Some(Self::PoetryLock),
            "uv.lock" => return Some(Self::UvLock),
            "setup.cfg" => return Some(Self::SetupCfg),
            "pyproject.toml" => return line("[tool.poetry").then_some(Self::Poetry),
            _ => {}
        }
        if ends(".yml") || ends(".yaml") {
            return line("dependencies:").then_some(Self::Conda);
        }
        if ends(".txt") || ends(".in") {
            return Some(Self::Requirements);
        }
        if text.trim_start().starts_with('{') {
            return text
                .contains("\"pipfile-spec\"")
                .then_some(Self::PipfileLock);
        }
        if line("[[package]]") {
            let poetry = text.contains("@generated by Poetry") || line("[metadata]");
            return Some(if poetry {
                Self::PoetryLock
            } else {
                Self::UvLock
            });
        }
        if line("[packages]") || line("[dev-packages]") {
            return Some(Self::Pipfile);
        }
        if line("[tool.poetry") {
            return Some(Self::Poetry);
        }
        (line("[options]") || line("[metadata]")).then_some(Self::SetupCfg)
    }
}

/// Reads a file of another tool.
///
/// # Errors
/// The file cannot be read, is of no known kind or is broken; the error names line or key.
pub(crate) fn read(path: &Path) -> Result<Plan, ConvertError> {
    let text = text_of(path)?;
    let name = path.file_name().map(|name| name.to_string_lossy());
    let kind = Kind::of(name.as_deref().unwrap_or_default(), &text)
        .ok_or_else(|| ConvertError::Unknown(path.to_owned()))?;
    let mut plan = match kind {
        Kind::Requirements => requirements::read(path),
        Kind::Pipfile => pipfile::read(path, &text),
        Kind::PipfileLock => pipfile::read_lock(path, &text),
        Kind::PoetryLock => poetry::read_lock(path, &text),
        Kind::Poetry => poetry::read(path, &text),
        Kind::UvLock => uv::read(path, &text),
        Kind::Conda => conda::read(path, &text),
        Kind::SetupCfg => setup_cfg::read(path, &text),
    }?;
    plan.is_of_lock = matches!(kind, Kind::PipfileLock | Kind::PoetryLock | Kind::UvLock);
    for list in [&mut plan.dependencies, &mut plan.blast.constraints] {
        let mut seen = BTreeSet::new();
        list.retain(|text| seen.insert(text.clone()));
    }
    Ok(plan)
}

fn text_of(path: &Path) -> Result<String, ConvertError> {
    fs::read_to_string(path).map_err(|source| ConvertError::Read {
        path: path.to_owned(),
        source,
    })
}

/// The text of a file in the same folder, if there is one.
fn beside(path: &Path, name: &str) -> Result<Option<(PathBuf, String)>, ConvertError> {
    let path = path.with_file_name(name);
    match text_of(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(ConvertError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
