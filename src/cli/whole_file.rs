//! Files of the user's, written whole: who reads one finds what it held or what it shall hold, and after a
//! power cut so does whoever comes then.
//!
//! The text is written beside the file, made durable and renamed over it, under a name that tells the process. What
//! is meant is recorded first ([`super::intent`]), so that whoever comes after a command that was killed takes away
//! what it left beside the file.
//!
//! A link is followed, but not out of what is worked in: a program in a sandbox writes there, and could have made it lead to
//! any file of its user.

use std::env;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use blast_store::failpoint::{self, Point};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::context::Context;
use super::intent::{Meant, Recorded, Text};
use super::project;
use crate::error::Error;

/// Gives a file this text, whether it is there or not.
pub(in crate::cli) fn replace(path: &Path, text: &str, context: &Context) -> Result<(), Error> {
    let before = match fs::metadata(path) {
        // A device or a pipe is not replaced.
        Ok(meta) if !meta.is_file() => return put(path, text),
        Ok(_) => fs::read_to_string(path).ok(),
        Err(_) => None,
    };
    with_intent(path, before, text, context, || put(path, text))
}

/// Makes a file with this text; one that appeared meanwhile stays, and is an error.
pub(in crate::cli) fn create(path: &Path, text: &str, context: &Context) -> Result<(), Error> {
    with_intent(path, None, text, context, || put_new(path, text))
}

/// The rename is the whole effect, so a record that cannot be made is no reason to stop.
fn with_intent(
    path: &Path,
    before: Option<String>,
    after: &str,
    context: &Context,
    write: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    let file = Text {
        path: path.to_owned(),
        before,
        after: after.to_owned(),
    };
    let recorded = Recorded::new(Meant::files(vec![file]), context);
    if let Err(error) = &recorded {
        context.printer.detail(format!("{error}"));
    }
    let written = failpoint::hit(Point::ClientWrite)
        .map_err(|error| Error::io("write", path, &error))
        .and_then(|()| write());
    match recorded {
        Ok(recorded) => written.and(recorded.done()),
        Err(_) => written,
    }
}

/// Replaces a file at once.
pub(in crate::cli) fn put(path: &Path, text: &str) -> Result<(), Error> {
    let fail = |error: io::Error| Error::io("write", path, &error);
    stays(path)?;
    let existing = fs::metadata(path).ok();
    if existing.as_ref().is_some_and(|meta| !meta.is_file()) {
        return OpenOptions::new()
            .write(true)
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(fail);
    }
    // A link stays a link to the file that is replaced.
    let target = if existing.is_some() {
        fs::canonicalize(path).map_err(fail)?
    } else {
        path.into()
    };
    let mode = existing.map(|meta| meta.permissions().mode() & 0o777);
    let beside = beside(&target, std::process::id());
    written(&beside, text, mode)
        .and_then(|()| fs::rename(&beside, &target))
        .map_err(|error| without(&beside, fail(error)))
}

/// Whether writing to a path changes only what its place says.
fn stays(path: &Path) -> Result<(), Error> {
    let Some(real) = path.parent().and_then(|above| fs::canonicalize(above).ok()) else {
        return Ok(());
    };
    let name = path.file_name().unwrap_or_default();
    let target = fs::canonicalize(path).unwrap_or_else(|_| real.join(name));
    // The real place of what is worked in, if the path says that the file is there.
    let worked_in = path
        .ancestors()
        .skip(1)
        .find(|folder| folder.join(project::FILE).is_file())
        .map(Path::to_owned)
        .or_else(|| {
            env::current_dir()
                .ok()
                .filter(|here| path.starts_with(here))
        })
        .filter(|folder| !env::home_dir().is_some_and(|home| home.starts_with(folder)))
        .and_then(|folder| fs::canonicalize(folder).ok());
    match worked_in {
        Some(folder) if !target.starts_with(&folder) => Err(Error::usage(format!(
            "{} is not written: by a link it leads out of {}, to {}",
            path.display(),
            folder.display(),
            target.display()
        ))
        .hint("a program that ran here could have made the link")
        .hint("remove the link, or name the file by its own path")),
        _ => Ok(()),
    }
}

/// Makes a file that is not there.
fn put_new(path: &Path, text: &str) -> Result<(), Error> {
    let fail = |error: io::Error| Error::io("write", path, &error);
    let beside = beside(path, std::process::id());
    let renamed = || -> io::Result<()> {
        let flags = RenameFlags::RENAME_NOREPLACE;
        match renameat2(AT_FDCWD, &beside, AT_FDCWD, path, flags) {
            // A file system that cannot has no hard links either, or does it by one.
            Err(nix::Error::EINVAL) => {
                fs::hard_link(&beside, path)?;
                fs::remove_file(&beside)
            }
            done => Ok(done?),
        }
    };
    written(&beside, text, None)
        .and_then(|()| renamed())
        .map_err(|error| without(&beside, fail(error)))
}

/// Where the text of a file is until it is whole; of a command with this process id.
pub(in crate::cli) fn beside(path: &Path, pid: u32) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.blast-{pid}"))
}

/// A new file with this text, durable.
fn written(path: &Path, text: &str, mode: Option<u32>) -> io::Result<()> {
    // Of a process long gone that had our number.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode.unwrap_or(0o666))
        .open(path)?;
    file.write_all(text.as_bytes())?;
    if let Some(mode) = mode {
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    file.sync_data()?;
    failpoint::hit(Point::ClientReplace)
}

/// The error, once nothing is left beside the file.
fn without(beside: &Path, error: Error) -> Error {
    match fs::remove_file(beside) {
        Err(also) if also.kind() != io::ErrorKind::NotFound => error.caused_by(&also),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(folder: &Path) -> usize {
        fs::read_dir(folder).expect("readable").count()
    }

    #[test]
    fn a_file_is_replaced_whole_and_a_link_to_it_stays() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let [real, link] = ["real.toml", "pylock.toml"].map(|name| folder.path().join(name));
        fs::write(&real, "old").expect("written");
        fs::set_permissions(&real, Permissions::from_mode(0o640)).expect("set");
        symlink("real.toml", &link).expect("linked");
        put(&link, "new").expect("replaced");
        assert_eq!(fs::read_to_string(&real).expect("there"), "new");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        let mode = fs::metadata(&real).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert_eq!(names(folder.path()), 2);
    }

    #[test]
    fn no_link_leads_out_of_a_project() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let [project, other] = ["project", "other"].map(|name| folder.path().join(name));
        fs::create_dir_all(project.join("sub")).expect("made");
        fs::create_dir(&other).expect("made");
        fs::write(project.join("pyproject.toml"), "").expect("written");
        fs::write(other.join("file"), "mine").expect("written");
        symlink(other.join("file"), project.join("pylock.toml")).expect("linked");
        symlink(&other, project.join("led")).expect("linked");
        for path in ["pylock.toml", "led/file", "led/new"] {
            put(&project.join(path), "new").expect_err("it leads out");
        }
        assert_eq!(
            fs::read_to_string(other.join("file")).expect("there"),
            "mine"
        );
        assert_eq!(names(&other), 1);
        // Within it links are the project's own matter.
        symlink("../real.toml", project.join("sub/link")).expect("linked");
        fs::write(project.join("real.toml"), "old").expect("written");
        put(&project.join("sub/link"), "new").expect("it stays inside");
        let text = fs::read_to_string(project.join("real.toml"));
        assert_eq!(text.expect("there"), "new");
        // By a name of the project that is a link itself.
        symlink(&project, folder.path().join("name")).expect("linked");
        put(&folder.path().join("name/real.toml"), "newer").expect("the same place");
    }

    #[test]
    fn a_new_file_never_takes_the_place_of_another() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let path = folder.path().join("pyproject.toml");
        put_new(&path, "mine").expect("free");
        put_new(&path, "other").expect_err("taken");
        assert_eq!(fs::read_to_string(&path).expect("there"), "mine");
        assert_eq!(names(folder.path()), 1);
    }
}
