//! Which processes use a directory: `/proc` read for working directories, executables, open
//! files and maps (proc(5)), and for what they were started with. Only processes of the same user
//! can be looked into.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Processes that stand in, run from, have open or have mapped something of what is mounted at
/// `folder`. The directory that the mount covers is not of it: who holds a mount has that open.
pub(crate) fn users_of(folder: &Path) -> impl Iterator<Item = u32> + '_ {
    let own = std::process::id();
    processes().filter(move |&pid| pid != own && uses(pid, folder))
}

/// The entries of `folder` that processes stand in, run from, have open or have mapped, or that
/// their arguments or variables name: a Python that was started from a directory comes back to
/// it with each import, and holds nothing of it open in between.
pub(crate) fn entries_used(folder: &Path) -> HashSet<OsString> {
    let own = std::process::id();
    let real = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mut found = HashSet::new();
    let mut add = |path: &Path| {
        let below = path
            .strip_prefix(&real)
            .or_else(|_| path.strip_prefix(folder));
        if let Some(first) = below.ok().and_then(|below| below.iter().next()) {
            found.insert(first.to_owned());
        }
    };
    for pid in processes().filter(|&pid| pid != own) {
        links(pid).for_each(|path| add(&path));
        let process = PathBuf::from(format!("/proc/{pid}"));
        for file in ["cmdline", "environ"] {
            let text = fs::read(process.join(file)).unwrap_or_default();
            // `VIRTUAL_ENV=/a`, `PATH=/a:/b`, `/a/bin/tool`
            for word in text.split(|byte| matches!(byte, 0 | b':' | b'=')) {
                add(Path::new(OsStr::from_bytes(word)));
            }
        }
    }
    found
}

fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn uses(pid: u32, folder: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).ok().map(|metadata| metadata.dev());
    let below = folder.parent().and_then(device);
    let is_covered = |held: &Held| {
        held.path == folder
            && held
                .link
                .as_deref()
                .is_some_and(|link| device(link) == below && device(folder) != below)
    };
    held(pid).any(|held| held.path.starts_with(folder) && !is_covered(&held))
}

/// Something that a process has hold of.
struct Held {
    path: PathBuf,
    /// By which link in `/proc` it is to be had.
    link: Option<PathBuf>,
}

fn links(pid: u32) -> impl Iterator<Item = PathBuf> {
    held(pid).map(|held| held.path)
}

/// The files that a process has hold of.
fn held(pid: u32) -> impl Iterator<Item = Held> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let fixed = ["cwd", "exe"].map(|link| process.join(link));
    let open = fs::read_dir(process.join("fd"))
        .into_iter()
        .flatten()
        .flatten();
    let links = fixed
        .into_iter()
        .chain(open.map(|descriptor| descriptor.path()));
    let maps = fs::read_to_string(process.join("maps")).unwrap_or_default();
    let mapped: Vec<_> = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| PathBuf::from(&line[at..])))
        .map(|path| Held { path, link: None })
        .collect();
    let linked = links.filter_map(|link| {
        let path = fs::read_link(&link).ok()?;
        Some(Held {
            path,
            link: Some(link),
        })
    });
    linked.chain(mapped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_stands_in_a_folder_is_found() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let path = folder.path().canonicalize().expect("there");
        assert_eq!(users_of(&path).count(), 0);
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .current_dir(&path)
            .spawn()
            .expect("sleep is everywhere");
        let found: Vec<_> = users_of(&path).collect();
        child.kill().expect("ours");
        child.wait().expect("ours");
        assert_eq!(found, [child.id()]);
    }

    #[test]
    fn entries_are_told_from_what_processes_stand_in_and_were_started_with() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let path = folder.path().canonicalize().expect("there");
        for name in ["stood-in", "named", "in-a-list", "idle"] {
            fs::create_dir(path.join(name)).expect("made");
        }
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .current_dir(path.join("stood-in"))
            .env("VIRTUAL_ENV", path.join("named"))
            .env(
                "PYTHONPATH",
                format!("/x:{}/lib", path.join("in-a-list").display()),
            )
            .spawn()
            .expect("sleep is everywhere");
        let found = entries_used(&path);
        child.kill().expect("ours");
        child.wait().expect("ours");
        let wanted = ["stood-in", "named", "in-a-list"].map(OsString::from);
        assert_eq!(found, HashSet::from(wanted));
        assert_eq!(entries_used(&path), HashSet::new());
    }
}
