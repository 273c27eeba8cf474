//! Packages that a project takes from this machine: projects and archives beside it, by `[tool.blast.sources]`.
//!
//! What others read (`[project]`, dependency groups) names the package alone, since a path means nothing to who installs the
//! project elsewhere.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use blast_index::config::PackageSource;
use blast_types::{PackageName, Requirement, VerbatimUrl, VersionOrUrl};
use serde::Deserialize;

use super::Project;
use crate::error::Error;
use crate::interpreter::without_dots;

/// What `[tool.blast]` says of where packages come from.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Settings {
    sources: BTreeMap<PackageName, PackageSource>,
}

/// A package that is on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Local {
    /// The project or archive.
    pub(in crate::cli) place: PathBuf,
    /// Whether it is installed in editable form.
    pub(in crate::cli) editable: bool,
}

impl Local {
    /// A requirement that this satisfies, as one that says where it is; the versions that it asks for are those that are there.
    pub(in crate::cli) fn located(&self, requirement: &Requirement) -> Result<Requirement, Error> {
        let url = url::Url::from_file_path(&self.place).map_err(|()| {
            Error::internal(format!("{} is no absolute path", self.place.display()))
        })?;
        let url =
            VerbatimUrl::parse_url(url).map_err(|error| Error::internal(error.to_string()))?;
        Ok(Requirement {
            version_or_url: Some(VersionOrUrl::Url(url)),
            ..requirement.clone()
        })
    }

    /// Where it is, as the project at `root` writes it.
    pub(in crate::cli) fn from(&self, root: &Path) -> String {
        let same = root
            .components()
            .zip(self.place.components())
            .take_while(|(one, other)| one == other)
            .count();
        // What they share is the root of all alone: nothing of one tells of the other.
        if same <= 1 {
            return self.place.display().to_string();
        }
        let up = root.components().skip(same).map(|_| Component::ParentDir);
        let path: PathBuf = up.chain(self.place.components().skip(same)).collect();
        if path.as_os_str().is_empty() {
            ".".to_owned()
        } else {
            path.display().to_string()
        }
    }
}

impl Project {
    /// Where the package of a requirement is on this machine, if the project says so.
    pub(in crate::cli) fn local(&self, requirement: &Requirement) -> Result<Option<Local>, Error> {
        if matches!(requirement.version_or_url, Some(VersionOrUrl::Url(_))) {
            return Ok(None);
        }
        let settings: Settings = self.settings_as()?;
        let Some(PackageSource::Path { path, editable }) = settings.sources.get(&requirement.name)
        else {
            return Ok(None);
        };
        let place = without_dots(&self.root.join(path));
        if !place.exists() {
            return Err(Error::no(format!(
                "{} is not there, from where [tool.blast.sources] of {} takes `{}`",
                place.display(),
                self.file_name,
                requirement.name
            ))
            .hint(format!("correct the path in {}", self.path().display())));
        }
        Ok(Some(Local {
            place,
            editable: *editable,
        }))
    }
}

#[cfg(test)]
mod tests {
    use blast_types::pep508;

    use super::*;

    #[test]
    fn a_place_is_written_from_the_project() {
        let from = |place: &str| {
            let local = Local {
                place: place.into(),
                editable: false,
            };
            local.from(Path::new("/src/app"))
        };
        assert_eq!(from("/src/app/libs/one"), "libs/one");
        assert_eq!(from("/src/lib"), "../lib");
        assert_eq!(from("/src/app"), ".");
        assert_eq!(from("/other/lib"), "/other/lib");
    }

    #[test]
    fn a_source_stands_for_what_has_its_name_and_no_place() {
        let folder = tempfile::tempdir().expect("temporary directory");
        std::fs::create_dir(folder.path().join("my lib")).expect("made");
        let text = "[project]\nname = 'app'\n[tool.blast.sources]\n\
                    My_Lib = { path = './my lib', editable = true }\ngone = { path = 'gone' }\n";
        let project = Project::parse(folder.path(), text).expect("valid");
        let requirement = |text| pep508::requirement(text).expect("valid");
        let local = |text| project.local(&requirement(text));
        let found = local("my-lib[x]>=2; python_version > '3'")
            .expect("there")
            .expect("local");
        assert!(found.editable);
        let located = found
            .located(&requirement("my-lib[x]>=2"))
            .expect("a place");
        let located = located.to_string();
        assert!(located.starts_with("my-lib[x] @ file:///"), "{located}");
        assert!(located.ends_with("/my%20lib"), "{located}");
        assert_eq!(local("other").expect("fine"), None);
        assert_eq!(local("my-lib @ file:///x").expect("fine"), None);
        let error = local("gone").expect_err("not there").to_string();
        assert!(error.contains("`gone`"), "{error}");
    }
}
