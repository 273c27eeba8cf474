//! `pyproject.toml`, as far as an environment depends on it: the `[project]` table, dependency
//! groups (PEP 735) and `[tool.blast]`. A script that says what it needs is a project of one file.

mod local;
mod parts;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use blast_resolver::lock::{Limits, Lock, MadeFrom};
use blast_types::{ExtraName, GroupName, Requirement, pep508, versions};
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub(super) use self::local::Local;
use super::inline::Metadata;
use super::{resolution, tool_table};
use crate::error::Error;
use crate::ipc::protocol::{LockChoices, RequirementLine};

/// The file's name.
pub(super) const FILE: &str = "pyproject.toml";

/// The group that belongs to every environment of a project that names no others.
const DEFAULT_GROUP: &str = "dev";

/// A project.
#[derive(Debug, Clone)]
pub(super) struct Project {
    /// Where its file is.
    pub(super) root: PathBuf,
    /// What that is called: `pyproject.toml`, or a script.
    file_name: String,
    file: File,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct File {
    project: Option<Table>,
    /// As they stand: PEP 735 has a group that nobody asks for harm nobody.
    #[serde(default, rename = "dependency-groups")]
    groups: BTreeMap<String, toml::Value>,
    #[serde(default)]
    tool: Tool,
    #[serde(rename = "build-system")]
    build_system: Option<toml::Table>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Tool {
    blast: Option<toml::Table>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Table {
    name: Option<String>,
    requires_python: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
    #[serde(default)]
    optional_dependencies: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    dynamic: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum GroupItem {
    Requirement(String),
    Include {
        #[serde(rename = "include-group")]
        group: String,
    },
}

/// Parts of a project beside its dependencies.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    /// Extras to include.
    pub(super) extras: Vec<String>,
    /// Groups to include.
    pub(super) groups: Vec<String>,
    /// Whether the groups are included that the project names as default ones.
    pub(super) default_groups: bool,
    /// Take the groups without the project's own dependencies.
    pub(super) only_groups: bool,
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            extras: Vec::new(),
            groups: Vec::new(),
            default_groups: true,
            only_groups: false,
        }
    }
}

/// What `[tool.blast]` says of parts.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct Settings {
    default_groups: Option<Vec<String>>,
}

impl Project {
    /// The root of the project that a directory belongs to.
    pub(super) fn root_of(folder: &Path) -> Option<PathBuf> {
        folder
            .ancestors()
            .find(|above| above.join(FILE).is_file())
            .map(Path::to_owned)
    }

    /// The project that a directory belongs to.
    pub(super) fn here(folder: &Path) -> Result<Option<Self>, Error> {
        Self::root_of(folder).map_or(Ok(None), |root| Self::load(&root))
    }

    /// Reads the project at `root`; `None` where there is no `pyproject.toml`.
    pub(super) fn load(root: &Path) -> Result<Option<Self>, Error> {
        let path = root.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(root, &text).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path, &error)),
        }
    }

    /// The project at `root`, were this the text of its file.
    pub(super) fn parse(root: &Path, text: &str) -> Result<Self, Error> {
        let file: File = toml::from_str(text).map_err(|error| {
            Error::usage(format!(
                "{} cannot be understood",
                root.join(FILE).display()
            ))
            .caused_by(&error)
        })?;
        if let Some(table) = &file.tool.blast {
            tool_table::check(table, &root.join(FILE))?;
        }
        Ok(Self {
            root: root.to_owned(),
            file_name: FILE.to_owned(),
            file,
        })
    }

    /// What a script says of itself.
    pub(super) fn of_script(path: &Path, metadata: Metadata) -> Result<Self, Error> {
        let mut tool = metadata.tool;
        let blast = match tool.remove("blast") {
            Some(toml::Value::Table(table)) => Some(table),
            Some(_) => {
                let message = format!("`blast` in [tool] of {} is no table", path.display());
                return Err(Error::usage(message));
            }
            None => None,
        };
        if let Some(table) = &blast {
            tool_table::check_script(table, path)?;
        }
        let table = Table {
            requires_python: metadata.requires_python,
            dependencies: metadata.dependencies,
            ..Table::default()
        };
        Ok(Self {
            root: path.parent().unwrap_or(Path::new("/")).to_owned(),
            file_name: path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            file: File {
                project: Some(table),
                tool: Tool { blast },
                ..File::default()
            },
        })
    }

    /// Its file.
    pub(super) fn path(&self) -> PathBuf {
        self.root.join(&self.file_name)
    }

    /// `[project] name`.
    pub(super) fn name(&self) -> Option<&str> {
        self.file.project.as_ref()?.name.as_deref()
    }

    /// `[project] requires-python`.
    pub(super) fn requires_python(&self) -> Option<&str> {
        self.file.project.as_ref()?.requires_python.as_deref()
    }

    /// Settings of one kind, as `[tool.blast]` has them; the default where there is no such table.
    pub(super) fn settings_as<T: DeserializeOwned + Default>(&self) -> Result<T, Error> {
        let Some(table) = &self.file.tool.blast else {
            return Ok(T::default());
        };
        table.clone().try_into().map_err(|error: toml::de::Error| {
            Error::usage(format!(
                "[tool.blast] of {} cannot be understood",
                self.path().display()
            ))
            .caused_by(&error)
        })
    }

    /// Why nothing can be said of what the project needs, if so.
    pub(super) fn unknown_dependencies(&self) -> Option<&'static str> {
        match &self.file.project {
            None if self.file.groups.is_empty() => Some("it has no [project] table"),
            Some(table) if table.dynamic.iter().any(|field| field == "dependencies") => {
                Some("it leaves its dependencies to a build backend, and [build-system] names none")
            }
            _ => None,
        }
    }

    /// The project itself as a requirement, where it says how it is built.
    pub(super) fn itself(&self, parts: &Parts, editable: bool) -> Option<RequirementLine> {
        self.file.build_system.as_ref()?;
        if parts.only_groups {
            return None;
        }
        Some(RequirementLine {
            text: url::Url::from_file_path(&self.root).ok()?.into(),
            hashes: Vec::new(),
            origin: Some(self.file_name.clone()),
            editable,
            unnamed: true,
            extras: parts.extras.clone(),
        })
    }

    /// What the project needs.
    pub(super) fn requirements(&self, parts: &Parts) -> Result<Vec<RequirementLine>, Error> {
        let mut lines = Vec::new();
        if let Some(table) = &self.file.project
            && !parts.only_groups
        {
            self.add(
                &table.dependencies,
                "dependencies",
                &mut lines,
                &mut BTreeSet::new(),
            )?;
        }
        for extra in &parts.extras {
            self.add_extra(extra, &mut lines, &mut BTreeSet::new())?;
        }
        let mut groups = if parts.default_groups {
            self.default_groups()?
        } else {
            Vec::new()
        };
        groups.extend_from_slice(&parts.groups);
        let mut seen = BTreeSet::new();
        for group in groups {
            let name =
                GroupName::from_str(&group).map_or_else(|_| group.clone(), |g| g.to_string());
            if seen.insert(name) {
                self.add_group(&group, &mut lines, &mut Vec::new())?;
            }
        }
        Ok(lines)
    }

    /// The groups that belong to every environment: those that `[tool.blast]` names, else `dev`,
    /// where the project has it.
    fn default_groups(&self) -> Result<Vec<String>, Error> {
        let settings: Settings = self.settings_as()?;
        if let Some(groups) = settings.default_groups {
            return Ok(groups);
        }
        let dev = self.group(DEFAULT_GROUP)?;
        Ok(dev.map(|_| DEFAULT_GROUP.to_owned()).into_iter().collect())
    }

    /// What the project needs with any choice of extras and groups. Requirements say by their
    /// markers, in the form of PEP 751, to which extra or group they belong.
    pub(super) fn everything(&self) -> Result<Everything, Error> {
        let mut lines = Vec::new();
        let mut choices = LockChoices::default();
        if let Some(table) = &self.file.project {
            let mut seen = BTreeSet::new();
            self.add(&table.dependencies, "dependencies", &mut lines, &mut seen)?;
            for extra in table.optional_dependencies.keys() {
                let name =
                    ExtraName::from_str(extra).map_err(|error| Error::usage(error.to_string()))?;
                let mut of_extra = Vec::new();
                self.add_extra(extra, &mut of_extra, &mut BTreeSet::new())?;
                only_with(&mut of_extra, &format!("'{name}' in extras"))?;
                lines.extend(of_extra);
                choices.extras.push(name);
            }
        }
        for group in self.file.groups.keys() {
            let name =
                GroupName::from_str(group).map_err(|error| Error::usage(error.to_string()))?;
            let mut of_group = Vec::new();
            self.add_group(group, &mut of_group, &mut Vec::new())?;
            only_with(&mut of_group, &format!("'{name}' in dependency_groups"))?;
            lines.extend(of_group);
            choices.groups.push(name);
        }
        for group in self.default_groups()? {
            let name =
                GroupName::from_str(&group).map_err(|error| Error::usage(error.to_string()))?;
            if !choices.groups.contains(&name) {
                return Err(Error::usage(format!(
                    "{} has no group `{group}`",
                    self.path().display()
                )));
            }
            choices.default_groups.push(name);
        }
        choices.limits = self.limits()?;
        choices.extras.sort();
        choices.groups.sort();
        Ok(Everything { lines, choices })
    }

    /// Whether a lock, which is beside the project's file, was made from what the project says now.
    /// One that does not tell what it was made from is taken for current.
    pub(super) fn is_locked_by(&self, lock: &Lock) -> Result<bool, Error> {
        let made_from = lock.made_from.as_ref();
        let Some(locked) = made_from.filter(|made_from| made_from.requirements.is_some()) else {
            return Ok(true);
        };
        let everything = self.everything()?;
        let mut requirements = Vec::new();
        for line in &everything.lines {
            // A lock holds no credentials.
            requirements.push(requirement(&blast_index::take_logins(&line.text).0)?);
        }
        requirements.sort();
        requirements.dedup();
        let mut now = MadeFrom {
            requirements: Some(requirements.iter().map(ToString::to_string).collect()),
            limits: everything.choices.limits.clone(),
            forks: locked.forks.clone(),
        };
        if let Ok(folder) = url::Url::from_directory_path(&self.root) {
            now.relate(&folder);
        }
        let python = |text: &str| versions::specifiers(text).ok();
        let choices = everything.choices;
        Ok(now == *locked
            && choices.extras == lock.extras
            && choices.groups == lock.dependency_groups
            && choices.default_groups == lock.default_groups
            && self
                .requires_python()
                .is_none_or(|text| python(text) == lock.requires_python))
    }

    /// What `[tool.blast]` says that limits versions.
    fn limits(&self) -> Result<Limits, Error> {
        let settings: resolution::Settings = self.settings_as()?;
        let read = |texts: &[String]| {
            let bare = texts.iter().map(|text| blast_index::take_logins(text).0);
            bare.map(|text| requirement(&text))
                .collect::<Result<Vec<_>, _>>()
        };
        let (constraints, overrides) = (read(&settings.constraints)?, read(&settings.overrides)?);
        Ok(Limits::new(&constraints, &overrides, &settings.exclude))
    }
}

/// What a project needs with any choice of extras and groups.
#[derive(Debug)]
pub(super) struct Everything {
    /// Requirements, with the choices as markers.
    pub(super) lines: Vec<RequirementLine>,
    /// What can be chosen.
    pub(super) choices: LockChoices,
}

/// Makes requirements hold only with a choice.
fn only_with(lines: &mut [RequirementLine], choice: &str) -> Result<(), Error> {
    let choice = pep508::marker(choice).map_err(|error| Error::internal(error.to_string()))?;
    for line in lines {
        let mut requirement = parsed(line)?;
        requirement.marker = requirement.marker.and(choice);
        line.text = requirement.to_string();
    }
    Ok(())
}

fn parsed(line: &RequirementLine) -> Result<Requirement, Error> {
    requirement(&line.text)
}

fn requirement(text: &str) -> Result<Requirement, Error> {
    pep508::requirement(text)
        .map_err(|error| Error::usage(format!("`{text}` is no requirement")).caused_by(&error))
}

#[cfg(test)]
mod tests;
