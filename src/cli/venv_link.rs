//! A project's `.venv`: a link to its environment's place in the view.
//!
//! Only a link into our own live directory is ever replaced or removed. A real directory, or a
//! link to somewhere else, is somebody's work.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use blast_types::EnvName;

use super::select;
use crate::error::Error;

/// What became of the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Linked {
    /// It leads to the environment, since now or before.
    Yes,
    /// Something else is there and was left alone: what it is.
    Taken(&'static str),
}

/// The link's place.
pub(super) fn path(project: &Path) -> PathBuf {
    project.join(".venv")
}

/// Makes `.venv` of the project lead to `prefix`.
pub(super) fn link(project: &Path, prefix: &Path, live: &Path) -> Result<Linked, Error> {
    let link = path(project);
    match fs::read_link(&link) {
        Ok(target) if target == prefix => Ok(Linked::Yes),
        Ok(_) if select::linked_env(&link, live).is_some() => replace(&link, prefix),
        Ok(_) => Ok(Linked::Taken("a link to somewhere else")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            symlink(prefix, &link).map_err(|error| Error::io("link", &link, &error))?;
            Ok(Linked::Yes)
        }
        // `EINVAL`: there, but no link.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            let is_dir = fs::symlink_metadata(&link).is_ok_and(|meta| meta.is_dir());
            Ok(Linked::Taken(if is_dir { "a directory" } else { "a file" }))
        }
        Err(error) => Err(Error::io("read the link", &link, &error)),
    }
}

/// Removes `.venv` of the project if it leads to this environment.
pub(super) fn remove(project: &Path, env: &EnvName, live: &Path) -> Result<(), Error> {
    let link = path(project);
    if select::linked_env(&link, live).as_ref() == Some(env) {
        fs::remove_file(&link).map_err(|error| Error::io("remove", &link, &error))?;
    }
    Ok(())
}

/// Whether `.venv` of the project leads to this environment.
pub(super) fn leads_to(project: &Path, env: &EnvName, live: &Path) -> bool {
    select::linked_env(&path(project), live).as_ref() == Some(env)
}

/// Where a link is until it takes the place of another; of a command with this process id.
pub(super) fn beside(project: &Path, pid: u32) -> PathBuf {
    project.join(format!(".venv.blast-{pid}"))
}

fn replace(link: &Path, prefix: &Path) -> Result<Linked, Error> {
    let fresh = link
        .parent()
        .map_or_else(PathBuf::new, |project| beside(project, std::process::id()));
    symlink(prefix, &fresh).map_err(|error| Error::io("link", &fresh, &error))?;
    match fs::rename(&fresh, link) {
        Ok(()) => Ok(Linked::Yes),
        Err(error) => {
            let error = Error::io("link", link, &error);
            match fs::remove_file(&fresh) {
                Ok(()) => Err(error),
                Err(also) => Err(error.caused_by(&also)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("temporary directory");
        let live = folder.path().join("home/live");
        (folder, live)
    }

    #[test]
    fn a_link_of_ours_is_replaced_and_others_are_not() {
        let (project, live) = project();
        let root = project.path();
        assert_eq!(
            link(root, &live.join("one"), &live).expect("free"),
            Linked::Yes
        );
        assert_eq!(
            link(root, &live.join("two"), &live).expect("ours"),
            Linked::Yes
        );
        assert!(leads_to(root, &"two".parse().expect("valid"), &live));
        fs::remove_file(path(root)).expect("removed");
        symlink("/elsewhere", path(root)).expect("linked");
        let taken = link(root, &live.join("two"), &live).expect("left alone");
        assert_eq!(taken, Linked::Taken("a link to somewhere else"));
        assert_eq!(
            fs::read_link(path(root)).expect("still there"),
            Path::new("/elsewhere")
        );
    }

    #[test]
    fn a_real_directory_is_left_alone() {
        let (project, live) = project();
        fs::create_dir(path(project.path())).expect("made");
        let taken = link(project.path(), &live.join("one"), &live).expect("left alone");
        assert_eq!(taken, Linked::Taken("a directory"));
        assert!(path(project.path()).is_dir());
    }

    #[test]
    fn only_the_link_to_this_environment_is_removed() {
        let (project, live) = project();
        link(project.path(), &live.join("one"), &live).expect("free");
        remove(project.path(), &"two".parse().expect("valid"), &live).expect("not ours");
        assert!(fs::symlink_metadata(path(project.path())).is_ok());
        remove(project.path(), &"one".parse().expect("valid"), &live).expect("ours");
        assert!(fs::symlink_metadata(path(project.path())).is_err());
    }
}
