//! What no program changes though it lies in what it may write: the files that say what the next program may do, and what
//! the tools of people obey, who run them outside.
//!
//! A file or directory is shown to be read only, by a mount of its own, and so is each directory above it, that none can be moved
//! away: what is a mount cannot be renamed (`EBUSY`, rename(2)). A link on the way is pinned: it becomes a mount of
//! itself, and stays.

use std::path::{Component, Path, PathBuf};

use super::{Access, List, Mount, Place};
use crate::places::{Kind, Look, resolve};
use crate::{Level, Policy};

/// Of a project, what editors and shells start programs by, as soon as somebody opens or enters it.
const OF_EDITORS: &[&str] = &[".envrc", ".idea", ".vscode"];
/// Of a repository, what git obeys, beside hooks and settings, where it is there: settings of one working tree, the place of
/// all of them (gitrepository-layout(5)), and the same of submodules and working trees.
const OF_GIT: &[&str] = &["commondir", "config.worktree", "modules", "worktrees"];

/// What of a project the tools of people obey. Of a repository that is its hooks (githooks(5)) and settings that name programs
/// (git-config(1)), and all of it where these are not there, since a program could make them, and at level strict.
/// Where a repository is elsewhere, the file that says so.
pub(super) fn obeyed(workplace: &Path, policy: &Policy, look: &dyn Look) -> Vec<PathBuf> {
    let there = |path: &PathBuf| look.look(path).is_some();
    let of_editors = OF_EDITORS.iter().map(|name| workplace.join(name));
    let mut kept: Vec<PathBuf> = of_editors.filter(there).collect();
    let modules = look.text(&workplace.join(".gitmodules"));
    let modules = modules.as_deref().map(paths_of_modules).unwrap_or_default();
    let works = modules.iter().map(|path| workplace.join(path));
    for work in works.chain([workplace.to_owned()]) {
        kept.extend(of_repository(&work.join(".git"), policy, look));
    }
    kept
}

fn of_repository(git: &Path, policy: &Policy, look: &dyn Look) -> Vec<PathBuf> {
    let kind = |path: &Path| resolve(look, path).map(|found| found.kind);
    match kind(git) {
        Some(Kind::Directory) => {}
        Some(_) => return vec![git.to_owned()],
        None => return Vec::new(),
    }
    let [hooks, config] = ["hooks", "config"].map(|name| git.join(name));
    let is_whole = kind(&hooks) == Some(Kind::Directory)
        && kind(&config).is_some_and(|kind| kind == Kind::File);
    let is_given = policy.files.read_write.iter().any(|path| path == git);
    if !is_given && (policy.level == Level::Strict || !is_whole) {
        return vec![git.to_owned()];
    }
    let more = OF_GIT.iter().map(|name| git.join(name));
    [hooks, config]
        .into_iter()
        .chain(more)
        .filter(|path| kind(path).is_some())
        .collect()
}

/// Where the submodules are that a `.gitmodules` names, below its directory (gitmodules(5)).
fn paths_of_modules(text: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let (key, value) = line.split_once('=')?;
        let path = Path::new(value.trim().trim_matches('"'));
        let is_below = path
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        (key.trim() == "path" && is_below).then(|| path.to_owned())
    };
    text.lines().filter_map(path).collect()
}

impl List<'_> {
    /// Makes these read only in a place that is given to be written, unless the policy gives the very path, and pins the links
    /// that lead to them, but where all is `secret` and so not there. What has a mount for it now.
    pub(super) fn freeze(
        &mut self,
        files: &[PathBuf],
        secret: &[PathBuf],
        policy: &Policy,
    ) -> Vec<PathBuf> {
        let real = |paths: &[PathBuf]| -> Vec<PathBuf> {
            let real = paths.iter().filter_map(|path| resolve(self.look, path));
            real.map(|found| found.path).collect()
        };
        let (given, secret) = (real(&policy.files.read_write), real(secret));
        let is_secret = |path: &Path| secret.iter().any(|place| path.starts_with(place));
        let mut frozen = Vec::new();
        for path in files {
            let Some(found) = resolve(self.look, path) else {
                continue;
            };
            for (link, _) in found.links {
                let is_given = policy.files.read_write.contains(&link);
                if !is_given && !is_secret(&link) && self.is_written(&link) {
                    self.hold_above(&link);
                    self.add(Mount::Pinned { at: link.clone() });
                    frozen.push(link);
                }
            }
            let path = found.path;
            if !given.contains(&path) && self.is_written(&path) {
                self.hold_above(&path);
                self.bind(&path, Access::Read, Place::Given);
                frozen.push(path);
            }
        }
        frozen
    }

    /// Makes the directories above mounts of their own, as far as programs write there.
    fn hold_above(&mut self, path: &Path) {
        let above: Vec<PathBuf> = path
            .ancestors()
            .skip(1)
            .take_while(|at| self.is_written(at))
            .map(Path::to_owned)
            .collect();
        for at in above {
            self.bind(&at, Access::Write, Place::Given);
            self.fixed.insert(at);
        }
    }

    /// Whether a program can change what is at this path, which has no link above it.
    fn is_written(&self, path: &Path) -> bool {
        let held = self.holder(path);
        matches!(
            held,
            Some(Mount::Bind {
                access: Access::Write,
                ..
            })
        )
    }

    /// Whether a program can put something of its own at a path that is to be frozen: it leads through a link there, which was
    /// given, or nothing is there.
    pub(super) fn can_be_replaced(&self, path: &Path) -> bool {
        match resolve(self.look, path) {
            Some(found) => found.links.iter().any(|(at, _)| {
                self.is_written(at) && !matches!(self.mounts.get(at), Some(Mount::Pinned { .. }))
            }),
            None => (path.ancestors().skip(1))
                .find_map(|above| resolve(self.look, above))
                .is_some_and(|found| self.is_written(&found.path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submodules_are_where_their_file_says_and_below() {
        let text = "[submodule \"a\"]\n\tpath = libs/a\n\turl = ../a\n[submodule \"b\"]\n\tpath=\"b c\"\n\
                    [submodule \"out\"]\n\tpath = ../out\n\tpath = /etc\n";
        assert_eq!(
            paths_of_modules(text),
            [Path::new("libs/a"), Path::new("b c")]
        );
    }
}
