//! The policy of a sandbox: what system, user, project and flags say, read and merged.
//!
//! The system's is in `/etc/blast/config.toml`, the user's in `blast/config.toml` of the settings, both in the table
//! `[sandbox]`; a project's is in `[tool.blast.sandbox]` of its `pyproject.toml`.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use blast_sandbox::policy::merge::{Layer, Merged, merge, merge_build};
use blast_sandbox::policy::origin::Speaker;
use blast_sandbox::policy::schema;

use super::project;
use crate::error::Error;
use crate::known_keys;
use crate::settings::{self, Settings};

/// Where a policy is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PolicyFile {
    /// The file.
    pub(super) path: PathBuf,
    /// Whose it is.
    pub(super) speaker: Speaker,
}

impl PolicyFile {
    /// The system's.
    fn system() -> Self {
        Self {
            path: settings::SYSTEM.into(),
            speaker: Speaker::System,
        }
    }

    /// The user's.
    pub(super) fn user() -> Option<Self> {
        let path = Settings::path(|name| env::var_os(name).filter(|value| !value.is_empty()))?;
        Some(Self {
            path,
            speaker: Speaker::User,
        })
    }

    /// A project's.
    pub(super) fn project(root: &Path) -> Self {
        Self {
            path: root.join(project::FILE),
            speaker: Speaker::Project,
        }
    }

    /// The tables above that of the policy, and its own.
    pub(super) fn above(&self) -> &'static [&'static str] {
        match self.speaker {
            Speaker::System | Speaker::User => &["sandbox"],
            Speaker::Project => &["tool", "blast", "sandbox"],
        }
    }

    /// The text of the file; none where there is no file.
    pub(super) fn text(&self) -> Result<Option<String>, Error> {
        match fs::read_to_string(&self.path) {
            Ok(text) => Ok(Some(text)),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(Error::io("read", &self.path, &error)),
        }
    }

    /// What it says.
    fn layer(&self) -> Result<Layer, Error> {
        match self.text()? {
            Some(text) => self.layer_of(&text),
            None => Ok(Layer::default()),
        }
    }

    /// What it would say with this text.
    pub(super) fn layer_of(&self, text: &str) -> Result<Layer, Error> {
        let unreadable = |error: &toml::de::Error| {
            Error::usage(format!("{} cannot be understood", self.path.display())).caused_by(error)
        };
        let whole: toml::Table = toml::from_str(text).map_err(|error| unreadable(&error))?;
        let mut place = Some(&whole);
        for name in self.above() {
            place = place.and_then(|table| table.get(*name)?.as_table());
        }
        let Some(table) = place else {
            return Ok(Layer::default());
        };
        self.check(table)?;
        // Read from the text itself, since only that knows its lines.
        let table = match self.speaker {
            Speaker::System | Speaker::User => {
                toml::from_str::<Settled>(text).map(|file| file.sandbox)
            }
            Speaker::Project => {
                toml::from_str::<Pyproject>(text).map(|file| file.tool.blast.sandbox)
            }
        };
        let table = table.map_err(|error| unreadable(&error))?;
        let home = env::home_dir().unwrap_or_default();
        Ok(Layer::read(&table, text, self.speaker, &self.path, &home))
    }

    /// Refuses what is no key, with the one that was probably meant.
    fn check(&self, table: &toml::Table) -> Result<(), Error> {
        let name = self.above().join(".");
        let place = |below: &str| format!("[{name}{below}] of {}", self.path.display());
        known_keys::check(table, known_keys::of::<schema::Table>(), place(""))?;
        let parts = [
            ("network", known_keys::of::<schema::Network>()),
            ("filesystem", known_keys::of::<schema::Filesystem>()),
            ("resources", known_keys::of::<schema::Resources>()),
            ("environment", known_keys::of::<schema::Environment>()),
        ];
        let check_parts = |table: &toml::Table, above: &str| {
            for (key, known) in parts {
                if let Some(below) = table.get(key).and_then(toml::Value::as_table) {
                    known_keys::check(below, known, place(&format!("{above}.{key}")))?;
                }
            }
            Ok::<(), Error>(())
        };
        check_parts(table, "")?;
        if let Some(build) = table.get("build").and_then(toml::Value::as_table) {
            known_keys::check(build, known_keys::of::<schema::Build>(), place(".build"))?;
            check_parts(build, ".build")?;
        }
        Ok(())
    }
}

/// A file of settings, as far as it is a policy.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Settled {
    sandbox: schema::Table,
}

/// A project's file, as far as it is a policy.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Pyproject {
    tool: Tools,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Tools {
    blast: Blast,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Blast {
    sandbox: schema::Table,
}

/// The files that have a say for a project, or for none.
pub(super) fn files(project: Option<&Path>) -> Vec<PolicyFile> {
    [
        Some(PolicyFile::system()),
        PolicyFile::user(),
        project.map(PolicyFile::project),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The paths of these files, whether anything is there or not: what a program inside writes there, the next one may do.
pub(super) fn paths(project: Option<&Path>) -> Vec<PathBuf> {
    files(project).into_iter().map(|file| file.path).collect()
}

/// The policy for builds of packages, in a project or in none.
pub(super) fn of_builds(project: Option<&Path>) -> Result<Merged, Error> {
    let mut layers = Vec::new();
    for file in files(project) {
        layers.push(file.layer()?);
    }
    Ok(merge_build(&layers))
}

/// The policy for a project, or for none, with what flags say.
pub(super) fn merged(project: Option<&Path>, flags: Option<Layer>) -> Result<Merged, Error> {
    let mut layers = Vec::new();
    for file in files(project) {
        layers.push(file.layer()?);
    }
    layers.extend(flags);
    Ok(merge(&layers))
}
