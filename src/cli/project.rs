//! `pyproject.toml`, as far as an environment depends on it: the `[project]` table, dependency
//! groups (PEP 735) and `[tool.blast]`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use blast_resolver::lock::{Limits, Lock, MadeFrom};
use blast_types::{ExtraName, GroupName, PackageName, Requirement, pep508, versions};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{resolution, tool_table};
use crate::error::Error;
use crate::ipc::protocol::{LockChoices, RequirementLine};

/// The file's name.
pub(super) const FILE: &str = "pyproject.toml";

/// The group that belongs to every environment of a project that names no others.
const DEFAULT_GROUP: &str = "dev";

/// A project.
#[derive(Debug)]
pub(super) struct Project {
    /// Where its `pyproject.toml` is.
    pub(super) root: PathBuf,
    file: File,
}

#[derive(Debug, Default, Deserialize)]
struct File {
    project: Option<Table>,
    #[serde(default, rename = "dependency-groups")]
    groups: BTreeMap<String, Vec<GroupItem>>,
    #[serde(default)]
    tool: Tool,
    #[serde(rename = "build-system")]
    build_system: Option<toml::Table>,
}

#[derive(Debug, Default, Deserialize)]
struct Tool {
    blast: Option<toml::Table>,
}

#[derive(Debug, Default, Deserialize)]
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
#[serde(untagged)]
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
            file,
        })
    }

    /// Its file.
    pub(super) fn path(&self) -> PathBuf {
        self.root.join(FILE)
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
            origin: Some(FILE.to_owned()),
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
        let dev = self
            .group(DEFAULT_GROUP)
            .map(|_| DEFAULT_GROUP.to_owned())
            .into_iter();
        Ok(settings.default_groups.unwrap_or_else(|| dev.collect()))
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

    /// Adds requirements; one of the project's own extras stands for what that extra holds.
    fn add(
        &self,
        texts: &[String],
        origin: &str,
        lines: &mut Vec<RequirementLine>,
        extras: &mut BTreeSet<ExtraName>,
    ) -> Result<(), Error> {
        let own = self
            .name()
            .and_then(|name| PackageName::from_str(name).ok());
        for text in texts {
            let requirement = pep508::requirement(text).map_err(|error| {
                Error::usage(format!("`{text}` in {origin} of {FILE} is no requirement"))
                    .caused_by(&error)
            })?;
            if Some(&requirement.name) == own.as_ref() {
                for extra in &requirement.extras {
                    self.add_extra(extra.as_ref(), lines, extras)?;
                }
                continue;
            }
            lines.push(RequirementLine {
                text: text.clone(),
                hashes: Vec::new(),
                origin: Some(format!("{FILE} ({origin})")),
                editable: false,
                unnamed: false,
                extras: Vec::new(),
            });
        }
        Ok(())
    }

    fn add_extra(
        &self,
        extra: &str,
        lines: &mut Vec<RequirementLine>,
        seen: &mut BTreeSet<ExtraName>,
    ) -> Result<(), Error> {
        let name = ExtraName::from_str(extra).map_err(|error| Error::usage(error.to_string()))?;
        if !seen.insert(name.clone()) {
            return Ok(());
        }
        let is_it = |key: &str| ExtraName::from_str(key).is_ok_and(|key| key == name);
        let found = self.file.project.as_ref().and_then(|table| {
            table
                .optional_dependencies
                .iter()
                .find(|(key, _)| is_it(key))
        });
        let Some((_, texts)) = found else {
            return Err(Error::usage(format!(
                "{} has no extra `{extra}`",
                self.path().display()
            )));
        };
        self.add(texts, &format!("extra {name}"), lines, seen)
    }

    fn group(&self, name: &str) -> Option<&Vec<GroupItem>> {
        let name = GroupName::from_str(name).ok()?;
        let is_it = |key: &str| GroupName::from_str(key).is_ok_and(|key| key == name);
        self.file
            .groups
            .iter()
            .find(|(key, _)| is_it(key))
            .map(|(_, items)| items)
    }

    /// `above` are the groups that include this one, to find a circle.
    fn add_group(
        &self,
        group: &str,
        lines: &mut Vec<RequirementLine>,
        above: &mut Vec<String>,
    ) -> Result<(), Error> {
        let Some(items) = self.group(group) else {
            return Err(Error::usage(format!(
                "{} has no group `{group}`",
                self.path().display()
            )));
        };
        let name = GroupName::from_str(group).map_or_else(|_| group.to_owned(), |g| g.to_string());
        if above.contains(&name) {
            above.push(name);
            return Err(Error::usage(format!(
                "the groups of {} include one another: {}",
                self.path().display(),
                above.join(" -> ")
            )));
        }
        above.push(name.clone());
        let origin = format!("group {name}");
        for item in items {
            match item {
                GroupItem::Requirement(text) => {
                    self.add(
                        std::slice::from_ref(text),
                        &origin,
                        lines,
                        &mut BTreeSet::new(),
                    )?;
                }
                GroupItem::Include { group } => self.add_group(group, lines, above)?,
            }
        }
        above.pop();
        Ok(())
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
mod tests {
    use super::*;

    const TEXT: &str = r#"
        [project]
        name = "My.App"
        requires-python = ">=3.10"
        dependencies = ["flask>=3", "tomli; python_version < '3.11'"]

        [project.optional-dependencies]
        postgres = ["psycopg"]
        all = ["my-app[postgres]", "redis"]

        [dependency-groups]
        Dev = ["pytest", {include-group = "lint"}]
        lint = ["ruff"]
        one = [{include-group = "two"}]
        two = [{include-group = "one"}]

        [tool.blast]
        index-url = "http://127.0.0.1/simple/"
    "#;

    fn project() -> Project {
        Project::parse(Path::new("/src/app"), TEXT).expect("valid")
    }

    fn texts(parts: &Parts) -> Vec<String> {
        let lines = project().requirements(parts).expect("valid");
        lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn dependencies_and_the_dev_group_are_what_a_project_needs() {
        assert_eq!(
            texts(&Parts::default()),
            [
                "flask>=3",
                "tomli; python_version < '3.11'",
                "pytest",
                "ruff"
            ]
        );
    }

    #[test]
    fn an_extra_may_stand_for_others() {
        let parts = Parts {
            extras: vec!["ALL".into()],
            default_groups: false,
            ..Parts::default()
        };
        assert_eq!(texts(&parts)[2..], ["psycopg", "redis"]);
    }

    #[test]
    fn groups_add_to_the_default_ones_or_stand_alone() {
        let parts = |groups: &[&str], default_groups, only_groups| Parts {
            groups: groups.iter().map(ToString::to_string).collect(),
            default_groups,
            only_groups,
            ..Parts::default()
        };
        assert_eq!(
            texts(&parts(&["Lint"], true, false))[2..],
            ["pytest", "ruff", "ruff"]
        );
        assert_eq!(texts(&parts(&["lint"], false, false))[2..], ["ruff"]);
        assert_eq!(texts(&parts(&["lint"], false, true)), ["ruff"]);
        let text = format!("{TEXT}default-groups = ['lint']\n");
        let named = Project::parse(Path::new("/x"), &text).expect("valid");
        let lines = named.requirements(&parts(&[], true, true)).expect("valid");
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].text, "ruff");
    }

    #[test]
    fn groups_in_a_circle_are_refused_by_name() {
        let parts = Parts {
            groups: vec!["one".into()],
            ..Parts::default()
        };
        let error = project().requirements(&parts).expect_err("a circle");
        assert!(error.message.ends_with("one -> two -> one"), "{error}");
    }

    #[test]
    fn what_is_not_there_is_refused_by_name() {
        for (extras, groups, word) in [
            (vec!["no".to_owned()], vec![], "extra `no`"),
            (vec![], vec!["no".to_owned()], "group `no`"),
        ] {
            let error = project()
                .requirements(&Parts {
                    extras,
                    groups,
                    ..Parts::default()
                })
                .expect_err("missing");
            assert!(error.message.contains(word), "{error}");
        }
    }

    #[test]
    fn a_project_that_does_not_say_what_it_needs_is_known() {
        let of = |text| Project::parse(Path::new("/x"), text).expect("valid");
        assert!(of("").unknown_dependencies().is_some());
        assert!(
            of("[project]\nname='a'\ndynamic=['dependencies']")
                .unknown_dependencies()
                .is_some()
        );
        assert!(of("[project]\nname='a'").unknown_dependencies().is_none());
        let settings: BTreeMap<String, String> = project().settings_as().expect("texts");
        assert!(settings.contains_key("index-url"));
    }

    #[test]
    fn nonsense_is_a_usage_error_that_names_the_file() {
        let error = Project::parse(Path::new("/x"), "project = 3").expect_err("no table");
        assert!(error.message.contains("/x/pyproject.toml"), "{error}");
        let bad =
            Project::parse(Path::new("/x"), "[project]\ndependencies = ['a b c']").expect("TOML");
        assert!(bad.requirements(&Parts::default()).is_err());
    }
}
