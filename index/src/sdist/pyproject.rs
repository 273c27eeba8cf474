//! What a source tree says of itself without being run: static metadata and the build system.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use blast_types::{CoreMetadata, ExtraName, PackageName, Requirement, pep508, versions};
use toml::{Table, Value};

use super::SdistError;
use crate::metadata;

/// What PEP 517 takes where a project names no backend.
const LEGACY_BACKEND: &str = "setuptools.build_meta:__legacy__";
/// What PEP 518 takes where a project states no requirements; the version is PEP 517's.
const LEGACY_REQUIRES: &str = "setuptools >= 40.8.0";

/// How a project is built (PEP 517, 518).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildSystem {
    /// What the backend needs to be imported.
    pub requires: Vec<Requirement>,
    /// `module` or `module:object`.
    pub backend: String,
    /// Folders of the tree from which the backend is imported, before all else.
    pub backend_path: Vec<String>,
}

/// An unpacked source tree.
#[derive(Debug, Clone)]
pub struct SourceTree {
    root: PathBuf,
    pyproject: Option<Table>,
}

impl SourceTree {
    /// Reads the tree at this folder. Blocks.
    ///
    /// # Errors
    /// [`SdistError::NoProject`] where the folder holds none, [`SdistError::Pyproject`] where its
    /// `pyproject.toml` is no TOML.
    pub fn open(root: &Path) -> Result<Self, SdistError> {
        let path = root.join("pyproject.toml");
        let pyproject = match std::fs::read_to_string(&path) {
            Ok(text) => {
                let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
                let table = text
                    .parse::<Table>()
                    .map_err(|error| SdistError::Pyproject {
                        path,
                        reason: error.message().to_owned(),
                    })?;
                Some(table)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if !root.join("setup.py").is_file() {
                    return Err(SdistError::NoProject {
                        path: root.to_owned(),
                    });
                }
                None
            }
            Err(source) => return Err(SdistError::Read { path, source }),
        };
        Ok(Self {
            root: root.to_owned(),
            pyproject,
        })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the project says how it is built, rather than leaving it to PEP 517's fallback.
    pub fn has_build_system(&self) -> bool {
        let table = self.pyproject.as_ref();
        table.is_some_and(|table| table.contains_key("build-system"))
    }

    /// The metadata, where the tree promises that a build would say the same: by `PKG-INFO` of
    /// PEP 643, else by a `[project]` table of PEP 621 in which nothing needed is dynamic. `None`
    /// where only a build can tell. Blocks.
    ///
    /// # Errors
    /// [`SdistError::Metadata`] or [`SdistError::Pyproject`] where what is there makes no sense.
    pub fn metadata(&self) -> Result<Option<CoreMetadata>, SdistError> {
        let path = self.root.join("PKG-INFO");
        match std::fs::read(&path) {
            Ok(bytes) => {
                let parsed = metadata::parse_static_sdist(&bytes)
                    .map_err(|source| SdistError::Metadata { path, source })?;
                if parsed.is_some() {
                    return Ok(parsed);
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(SdistError::Read { path, source }),
        }
        self.project_table()
    }

    /// The `[build-system]` table, or what stands for it where there is none.
    ///
    /// # Errors
    /// [`SdistError::Pyproject`] where PEP 517 or 518 refuses it.
    pub fn build_system(&self) -> Result<BuildSystem, SdistError> {
        let legacy = || {
            Ok(BuildSystem {
                requires: vec![self.requirement(LEGACY_REQUIRES)?],
                backend: LEGACY_BACKEND.to_owned(),
                backend_path: Vec::new(),
            })
        };
        let Some(table) = self.pyproject.as_ref() else {
            return legacy();
        };
        let Some(system) = table.get("build-system") else {
            return legacy();
        };
        let Some(system) = system.as_table() else {
            return Err(self.wrong("`build-system` is no table".to_owned()));
        };
        let Some(requires) = system.get("requires") else {
            return Err(self.wrong("`build-system.requires` is missing".to_owned()));
        };
        let requires = self
            .texts("build-system.requires", requires)?
            .iter()
            .map(|text| self.requirement(text))
            .collect::<Result<_, _>>()?;
        let backend = match system.get("build-backend") {
            Some(Value::String(backend)) => backend.clone(),
            Some(_) => return Err(self.wrong("`build-backend` is no text".to_owned())),
            None => LEGACY_BACKEND.to_owned(),
        };
        let backend_path = match system.get("backend-path") {
            Some(paths) => self.texts("build-system.backend-path", paths)?,
            None => Vec::new(),
        };
        for path in &backend_path {
            let out = Path::new(path).components().any(|part| {
                !matches!(
                    part,
                    std::path::Component::Normal(_) | std::path::Component::CurDir
                )
            });
            if out {
                return Err(self.wrong(format!("`backend-path` leads out of the tree: {path}")));
            }
        }
        Ok(BuildSystem {
            requires,
            backend,
            backend_path,
        })
    }

    /// The `[project]` table as metadata (PEP 621); `None` where something needed is dynamic.
    fn project_table(&self) -> Result<Option<CoreMetadata>, SdistError> {
        let Some(project) = self.pyproject.as_ref().and_then(|t| t.get("project")) else {
            return Ok(None);
        };
        let Some(project) = project.as_table() else {
            return Err(self.wrong("`project` is no table".to_owned()));
        };
        let dynamic = match project.get("dynamic") {
            Some(dynamic) => self.texts("project.dynamic", dynamic)?,
            None => Vec::new(),
        };
        let needed = [
            "version",
            "dependencies",
            "optional-dependencies",
            "requires-python",
        ];
        let (Some(Value::String(name)), Some(Value::String(version))) =
            (project.get("name"), project.get("version"))
        else {
            return Ok(None);
        };
        if needed.iter().any(|key| dynamic.iter().any(|d| d == key)) {
            return Ok(None);
        }
        // Poetry takes what `[project]` does not name from its own table, dynamic or not.
        let tools = self.pyproject.as_ref().and_then(|t| t.get("tool"));
        let of_poetry = tools.is_some_and(|tools| tools.get("poetry").is_some());
        if of_poetry && !project.contains_key("dependencies") {
            return Ok(None);
        }
        let name = PackageName::from_str(name)
            .map_err(|error| self.wrong(format!("`project.name`: {error}")))?;
        let version = versions::version(version)
            .map_err(|error| self.wrong(format!("`project.version`: {error}")))?;
        let requires_python = match project.get("requires-python") {
            Some(Value::String(text)) => Some(
                versions::specifiers(text)
                    .map_err(|error| self.wrong(format!("`requires-python`: {error}")))?,
            ),
            Some(_) => return Err(self.wrong("`requires-python` is no text".to_owned())),
            None => None,
        };
        let mut requires_dist = Vec::new();
        if let Some(dependencies) = project.get("dependencies") {
            for text in self.texts("project.dependencies", dependencies)? {
                requires_dist.push(self.requirement(&text)?);
            }
        }
        let mut provides_extra = Vec::new();
        if let Some(extras) = project.get("optional-dependencies") {
            let Some(extras) = extras.as_table() else {
                return Err(self.wrong("`optional-dependencies` is no table".to_owned()));
            };
            for (extra, dependencies) in extras {
                let extra = ExtraName::from_str(extra)
                    .map_err(|error| self.wrong(format!("`optional-dependencies`: {error}")))?;
                for text in self.texts("project.optional-dependencies", dependencies)? {
                    let requirement = self.requirement(&text)?;
                    requires_dist.push(requirement.with_extra_marker(extra.clone()));
                }
                provides_extra.push(extra);
            }
        }
        Ok(Some(CoreMetadata {
            name,
            version,
            requires_dist,
            requires_python,
            provides_extra,
        }))
    }

    fn texts(&self, what: &str, value: &Value) -> Result<Vec<String>, SdistError> {
        let list = value.as_array().and_then(|list| {
            list.iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect::<Option<Vec<_>>>()
        });
        list.ok_or_else(|| self.wrong(format!("`{what}` is no list of texts")))
    }

    fn requirement(&self, text: &str) -> Result<Requirement, SdistError> {
        pep508::requirement(text).map_err(|error| {
            let error = error.to_string();
            let first = error.lines().next().unwrap_or_default();
            self.wrong(format!("`{text}` is no requirement: {first}"))
        })
    }

    fn wrong(&self, reason: String) -> SdistError {
        SdistError::Pyproject {
            path: self.root.join("pyproject.toml"),
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Result<SourceTree, SdistError>) {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).expect("written");
        }
        let sources = SourceTree::open(folder.path());
        (folder, sources)
    }

    fn of(text: &str) -> SourceTree {
        tree(&[("pyproject.toml", text)]).1.expect("a project")
    }

    #[test]
    fn without_a_word_it_is_setuptools() {
        for files in [
            &[("setup.py", "")],
            &[("pyproject.toml", "[tool.x]\na = 1\n")],
        ] {
            let sources = tree(files).1.expect("a project");
            let system = sources.build_system().expect("the fallback");
            assert_eq!(system.backend, LEGACY_BACKEND);
            assert_eq!(system.requires[0].to_string(), "setuptools>=40.8.0");
            assert!(!sources.has_build_system());
            assert!(sources.metadata().expect("nothing wrong").is_none());
        }
        let bare = of("[build-system]\nrequires = ['wheel']\n");
        assert_eq!(bare.build_system().expect("fine").backend, LEGACY_BACKEND);
        assert!(matches!(tree(&[]).1, Err(SdistError::NoProject { .. })));
    }

    #[test]
    fn a_static_project_table_is_metadata() {
        let metadata = of(
            "[project]\nname = 'De.mo'\nversion = '1.0'\ndependencies = ['six>1']\n\
             requires-python = '>=3.8'\n[project.optional-dependencies]\n\
             fast = ['speed ; python_version > \"3\"']\n",
        )
        .metadata()
        .expect("fine")
        .expect("static");
        assert_eq!(
            (
                metadata.name.as_ref(),
                metadata.version.to_string().as_str()
            ),
            ("de-mo", "1.0")
        );
        let texts: Vec<_> = metadata
            .requires_dist
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(texts[0], "six>1");
        assert!(texts[1].contains("extra == 'fast'"), "{texts:?}");
        assert_eq!(metadata.provides_extra[0].as_ref(), "fast");
    }

    #[test]
    fn what_is_dynamic_or_older_needs_a_build() {
        let dynamic = of("[project]\nname = 'a'\nversion = '1'\ndynamic = ['dependencies']\n");
        assert!(dynamic.metadata().expect("fine").is_none());
        let versionless = of("[project]\nname = 'a'\ndynamic = ['version']\n");
        assert!(versionless.metadata().expect("fine").is_none());
        let project = "[project]\nname = 'a'\nversion = '1'\n";
        let of_poetry = "[tool.poetry.dependencies]\nb = '^1'\n";
        assert!(of(project).metadata().expect("fine").is_some());
        assert!(
            of(&format!("{project}{of_poetry}"))
                .metadata()
                .expect("fine")
                .is_none()
        );
        let both = format!("{project}dependencies = []\n{of_poetry}");
        assert!(of(&both).metadata().expect("fine").is_some());
        let info = |text: &str| {
            let files = [("setup.py", ""), ("PKG-INFO", text)];
            let (_folder, sources) = tree(&files);
            sources.expect("a project").metadata().expect("fine")
        };
        assert!(info("Metadata-Version: 2.1\nName: a\nVersion: 1\n").is_none());
        assert!(info("Metadata-Version: 2.2\nName: a\nVersion: 1\n").is_some());
    }

    #[test]
    fn nonsense_is_named() {
        for (text, word) in [
            ("[build-system]\nbuild-backend = 'x'\n", "requires"),
            ("[build-system]\nrequires = 'x'\n", "list"),
            ("[build-system]\nrequires = ['=x']\n", "=x"),
            (
                "[build-system]\nrequires = []\nbackend-path = ['../x']\n",
                "../x",
            ),
        ] {
            let error = of(text).build_system().expect_err(text).to_string();
            assert!(error.contains(word), "{error}");
        }
        assert!(matches!(
            tree(&[("pyproject.toml", "[")]).1,
            Err(SdistError::Pyproject { .. })
        ));
    }
}
