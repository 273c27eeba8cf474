//! Which environment is meant where none is named.
//!
//! In this order: `$BLAST_ENV`; `$VIRTUAL_ENV`, if it is one of ours; then, from the working
//! directory upwards, the first directory with a `.venv` that links to one of ours or with a
//! `pyproject.toml`. Only links are read, never what they lead to: the view may not be mounted.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use blast_types::EnvName;

use crate::env_vars;
use crate::error::Error;
use crate::ipc::protocol::EnvironmentView;

/// What the choice depends on.
#[derive(Debug)]
pub(super) struct Surroundings {
    /// The directory in which environments appear.
    pub(super) live: PathBuf,
    /// The working directory.
    pub(super) cwd: PathBuf,
    /// `$BLAST_ENV`.
    pub(super) blast_env: Option<OsString>,
    /// `$VIRTUAL_ENV`.
    pub(super) virtual_env: Option<PathBuf>,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Selection {
    /// This environment.
    Env(EnvName),
    /// A project that has no `.venv` of ours.
    Project(PathBuf),
    /// Nothing.
    Nothing,
}

/// Chooses.
pub(super) fn select(here: &Surroundings) -> Result<Selection, Error> {
    if let Some(name) = &here.blast_env {
        let name = name.to_string_lossy().into_owned();
        return EnvName::try_from(name)
            .map(Selection::Env)
            .map_err(|error| {
                Error::from(error).hint(format!(
                    "it stands in `{}`: unset that variable",
                    env_vars::BLAST_ENV
                ))
            });
    }
    if let Some(prefix) = &here.virtual_env
        && let Some(name) = env_at(prefix, &here.live)
    {
        return Ok(Selection::Env(name));
    }
    for folder in here.cwd.ancestors() {
        if let Some(name) = linked_env(&folder.join(".venv"), &here.live) {
            return Ok(Selection::Env(name));
        }
        if folder.join("pyproject.toml").is_file() {
            return Ok(Selection::Project(folder.to_owned()));
        }
    }
    Ok(Selection::Nothing)
}

/// The environment whose project this is.
pub(super) fn of_project<'a>(
    environments: &'a [EnvironmentView],
    root: &Path,
) -> Option<&'a EnvironmentView> {
    environments
        .iter()
        .find(|env| env.project.as_deref().is_some_and(|of| is_same(of, root)))
}

/// The environment that a link leads to.
pub(super) fn linked_env(link: &Path, live: &Path) -> Option<EnvName> {
    let target = fs::read_link(link).ok()?;
    let target = link.parent()?.join(target);
    direct_env(&target, live)
}

/// The environment whose prefix this is, by its own path or by a link.
fn env_at(prefix: &Path, live: &Path) -> Option<EnvName> {
    direct_env(prefix, live).or_else(|| linked_env(prefix, live))
}

fn direct_env(prefix: &Path, live: &Path) -> Option<EnvName> {
    let parent = prefix.parent()?;
    let ours = parent == live
        || (parent.file_name() == live.file_name() && is_same(parent.parent()?, live.parent()?));
    ours.then(|| prefix.file_name()?.to_str()?.parse().ok())
        .flatten()
}

/// Whether two paths name one directory.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    one == other
        || matches!((fs::canonicalize(one), fs::canonicalize(other)), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct World {
        root: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            let root = tempfile::tempdir().expect("temporary directory");
            fs::create_dir_all(root.path().join("home/live")).expect("made");
            fs::create_dir_all(root.path().join("project/src/deep")).expect("made");
            Self { root }
        }

        fn path(&self, below: &str) -> PathBuf {
            self.root.path().join(below)
        }

        fn in_directory(&self, below: &str) -> Surroundings {
            Surroundings {
                live: self.path("home/live"),
                cwd: self.path(below),
                blast_env: None,
                virtual_env: None,
            }
        }
    }

    fn env(name: &str) -> Selection {
        Selection::Env(name.parse().expect("valid"))
    }

    #[test]
    fn the_active_environment_wins_over_the_project() {
        let world = World::new();
        symlink(world.path("home/live/linked"), world.path("project/.venv")).expect("linked");
        let mut here = world.in_directory("project/src/deep");
        assert_eq!(select(&here).expect("valid"), env("linked"));
        here.virtual_env = Some(world.path("home/live/active"));
        assert_eq!(select(&here).expect("valid"), env("active"));
        here.blast_env = Some("named".into());
        assert_eq!(select(&here).expect("valid"), env("named"));
    }

    #[test]
    fn a_foreign_virtual_environment_is_passed_over() {
        let world = World::new();
        let mut here = world.in_directory("project");
        here.virtual_env = Some(world.path("elsewhere/venv"));
        assert_eq!(select(&here).expect("valid"), Selection::Nothing);
    }

    #[test]
    fn an_active_project_is_known_by_its_link() {
        let world = World::new();
        symlink(world.path("home/live/linked"), world.path("project/.venv")).expect("linked");
        let mut here = world.in_directory("home");
        here.virtual_env = Some(world.path("project/.venv"));
        assert_eq!(select(&here).expect("valid"), env("linked"));
    }

    #[test]
    fn a_link_through_another_spelling_of_home_is_ours() {
        let world = World::new();
        symlink(world.path("home"), world.path("alias")).expect("linked");
        symlink(world.path("alias/live/demo"), world.path("project/.venv")).expect("linked");
        assert_eq!(
            select(&world.in_directory("project")).expect("valid"),
            env("demo")
        );
    }

    #[test]
    fn a_project_without_our_link_is_found_from_below() {
        let world = World::new();
        fs::write(world.path("project/pyproject.toml"), "").expect("written");
        fs::create_dir(world.path("project/.venv")).expect("made");
        let found = select(&world.in_directory("project/src/deep")).expect("valid");
        assert_eq!(found, Selection::Project(world.path("project")));
    }

    #[test]
    fn a_bad_name_in_the_variable_is_an_error_that_names_it() {
        let world = World::new();
        let mut here = world.in_directory("project");
        here.blast_env = Some("../x".into());
        let error = select(&here).expect_err("no name");
        assert!(error.hints[0].contains("BLAST_ENV"), "{error:?}");
    }
}
