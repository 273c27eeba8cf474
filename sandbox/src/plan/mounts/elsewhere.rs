//! `root-dir` and `mounts` of a policy: the part of the project that is worked in, and places of the host that are seen
//! at another path.
//!
//! Neither gives more than it names: where a path leads is looked at after all links were followed, and what is hidden, or
//! secret, is so under every name.

use std::path::{Component, Path, PathBuf};

use super::{Access, List, Mount, Owner, Who};
use crate::Policy;
use crate::places::{Kind, Look, resolve};
use crate::plan::PlanError;
use crate::policy::Files;

/// Below these the kernel's own files are.
const KERNEL: &[&str] = &["/proc", "/dev", "/sys"];

/// A directory of what is worked in, however it is named.
pub(super) fn part(
    root: &Path,
    workplace: Option<&Path>,
    look: &dyn Look,
) -> Result<PathBuf, PlanError> {
    let found = resolve(look, root).ok_or_else(|| PlanError::Missing(root.to_owned()))?;
    let whole = workplace.and_then(|path| resolve(look, path));
    let is_part = whole.is_some_and(|whole| found.path.starts_with(whole.path));
    if is_part && found.kind == Kind::Directory {
        Ok(found.path)
    } else {
        Err(PlanError::NotInProject(root.to_owned()))
    }
}

/// Refuses what is given by a link that a program can change, unless it leads to where that can write anyway: a program
/// could have the next one be given anything.
pub(super) fn none_is_led(
    files: &Files,
    workplace: Option<&Path>,
    look: &dyn Look,
) -> Result<(), PlanError> {
    let real = |path: &Path| resolve(look, path).map(|found| found.path);
    let sources = files.mounts.iter().map(|shown| &shown.source);
    let written = files.mounts.iter().filter(|shown| shown.write);
    let written: Vec<PathBuf> = (files.read_write.iter())
        .chain(written.map(|shown| &shown.source))
        .map(PathBuf::as_path)
        .chain(workplace)
        .filter_map(real)
        .collect();
    let is_written = |path: &Path| written.iter().any(|place| path.starts_with(place));
    for path in files
        .read_only
        .iter()
        .chain(&files.read_write)
        .chain(sources)
    {
        let Some(found) = resolve(look, path) else {
            continue;
        };
        let link = found.links.iter().find(|(at, _)| is_written(at));
        // It is written itself, as one that is given so; what counts is what could be without the link.
        let anyway = workplace.and_then(real);
        if let Some((link, _)) = link
            && !anyway.is_some_and(|place| found.path.starts_with(place))
        {
            return Err(PlanError::Led {
                path: path.clone(),
                to: found.path,
                link: link.clone(),
            });
        }
    }
    Ok(())
}

impl List<'_> {
    /// Shows each at its path. `frozen` are files that no program may change.
    pub(super) fn show_elsewhere(
        &mut self,
        policy: &Policy,
        frozen: &[PathBuf],
    ) -> Result<(), PlanError> {
        for shown in &policy.files.mounts {
            let found = resolve(self.look, &shown.source)
                .ok_or_else(|| PlanError::Missing(shown.source.clone()))?;
            self.is_free(&shown.target)
                .map_err(|why| PlanError::NoPlace(shown.target.clone(), why))?;
            let write = shown.write && !self.is_kept_read_only(policy, &shown.source, true);
            let holds = |file: &PathBuf| {
                let file = resolve(self.look, file);
                file.is_some_and(|file| file.path.starts_with(&found.path))
            };
            if write && frozen.iter().any(holds) {
                let why = "what is shown holds the policy of the project, which no program may change: leave \
                           `read-write` away";
                return Err(PlanError::NoPlace(shown.target.clone(), why));
            }
            self.add(Mount::Elsewhere {
                at: shown.target.clone(),
                source: found.path,
                access: if write { Access::Write } else { Access::Read },
                directory: found.kind == Kind::Directory,
                owner: match self.who {
                    Who::Another => Owner::Program,
                    Who::Root | Who::Themselves => Owner::Same,
                },
            });
        }
        Ok(())
    }

    /// Whether a path that may be written leads to what somebody stronger lets be read only; `or_holds` asks of what is
    /// above that, too.
    pub(super) fn is_kept_read_only(&self, policy: &Policy, path: &Path, or_holds: bool) -> bool {
        let real = |path: &Path| resolve(self.look, path).map(|found| found.path);
        let Some(at) = real(path) else {
            return false;
        };
        let stronger = policy.files.stronger.get(path).into_iter().flatten();
        stronger
            .filter_map(|path| real(path))
            .any(|kept| at.starts_with(&kept) || or_holds && kept.starts_with(&at))
    }

    /// Whether something can be put there, which covers nothing that the sandbox is made of.
    fn is_free(&self, path: &Path) -> Result<(), &'static str> {
        let dots = |part| matches!(part, Component::ParentDir | Component::CurDir);
        if !path.is_absolute() || path.components().any(dots) {
            return Err("the path is not absolute, or has dots");
        }
        if KERNEL.iter().any(|place| path.starts_with(place)) {
            return Err("there the kernel's own files are");
        }
        let is_link = |at: &Path| {
            matches!(self.mounts.get(at), Some(Mount::Link { .. }))
                || matches!(self.look.look(at), Some(Kind::Link(_)))
        };
        if path.ancestors().any(is_link) {
            return Err("the path leads through a link");
        }
        if self.mounts.keys().any(|at| at.starts_with(path)) {
            return Err("it would cover what is there");
        }
        match self.holder(path) {
            Some(Mount::View { .. }) => Err("there the environment is"),
            Some(Mount::Bind { .. } | Mount::Elsewhere { .. })
                if self.look.look(path).is_none() =>
            {
                Err("there is no such path on this host, and none can be made there")
            }
            _ => Ok(()),
        }
    }

    /// Hides a path, and what is below, under its other names.
    pub(super) fn hide_elsewhere(&mut self, path: &Path) {
        let is_in = |mount: &Mount| matches!(mount, Mount::Elsewhere { source, .. } if source.starts_with(path));
        self.mounts.retain(|_, mount| !is_in(mount));
        let names: Vec<PathBuf> = (self.mounts.values())
            .filter_map(|mount| match mount {
                Mount::Elsewhere { at, source, .. } => {
                    Some(at.join(path.strip_prefix(source).ok()?))
                }
                _ => None,
            })
            .collect();
        let directory = self.look.look(path) == Some(Kind::Directory);
        for at in names {
            self.add(Mount::Hidden { at, directory });
        }
    }
}
