//! Which processes use a directory: `/proc` read for working directories, executables, open
//! files and maps (proc(5)). Only processes of the same user can be looked into.

use std::fs;
use std::path::{Path, PathBuf};

/// Processes that stand in, run from, have open or have mapped something below `folder`.
pub(crate) fn users_of(folder: &Path) -> impl Iterator<Item = u32> + '_ {
    let own = std::process::id();
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(move |&pid| pid != own && uses(pid, folder))
}

fn uses(pid: u32, folder: &Path) -> bool {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let points_below = |link: PathBuf| fs::read_link(link).is_ok_and(|to| to.starts_with(folder));
    if points_below(process.join("cwd")) || points_below(process.join("exe")) {
        return true;
    }
    let open = fs::read_dir(process.join("fd"))
        .into_iter()
        .flatten()
        .flatten();
    if open
        .into_iter()
        .any(|descriptor| points_below(descriptor.path()))
    {
        return true;
    }
    let maps = fs::read_to_string(process.join("maps")).unwrap_or_default();
    maps.lines()
        .filter_map(|line| line.find('/').map(|at| Path::new(&line[at..])))
        .any(|mapped| mapped.starts_with(folder))
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
}
