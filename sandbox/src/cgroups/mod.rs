//! Control groups by their files: which can be made here, and one that lasts as long as a sandbox.
//!
//! Version 2 (cgroups(7), the kernel's `admin-guide/cgroup-v2.rst`) where its controllers are given
//! to a group that this user may write, as root or by delegation; else version 1, whose controllers
//! each have a hierarchy. Groups are called `blast-PID` by the process that made them. One whose
//! process died without taking it down is taken down by the next that is made beside it.

mod group;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};
use serde::{Deserialize, Serialize};

pub(crate) use group::Group;

const ROOT: &str = "/sys/fs/cgroup";

/// Where groups can be made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Cgroups {
    /// Nowhere.
    #[default]
    None,
    /// Version 2: below this group, with these controllers.
    Unified {
        /// The group.
        parent: PathBuf,
        /// `memory`, `cpu`, `pids`, `io`, as far as they are given to its groups.
        controllers: BTreeSet<String>,
    },
    /// Version 1: a group for each controller.
    Legacy {
        /// Of `memory`.
        memory: Option<PathBuf>,
        /// Of `cpu`.
        cpu: Option<PathBuf>,
        /// Of `pids`.
        pids: Option<PathBuf>,
        /// Of `blkio`.
        io: Option<PathBuf>,
    },
}

impl Cgroups {
    /// Those of this process.
    pub fn find() -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::find_in(Path::new(ROOT), &own)
    }

    fn find_in(root: &Path, own: &str) -> Self {
        let unified = own.lines().find_map(|line| line.strip_prefix("0::/"));
        for mount in [root.to_owned(), root.join("unified")] {
            let Some(path) = unified else { break };
            for group in mount.join(path).ancestors() {
                if !group.starts_with(&mount) {
                    break;
                }
                // The root may give on what it has; others have said what they give.
                let file = if group == mount {
                    "cgroup.controllers"
                } else {
                    "cgroup.subtree_control"
                };
                let controllers = words(&group.join(file));
                if !controllers.is_empty()
                    && may_write(group)
                    && may_write(&group.join("cgroup.procs"))
                {
                    return Self::Unified {
                        parent: group.to_owned(),
                        controllers,
                    };
                }
            }
        }
        let of = |controller: &str| {
            let path = own.lines().find_map(|line| {
                let (_, rest) = line.split_once(':')?;
                let (controllers, path) = rest.split_once(':')?;
                let is_ours = controllers.split(',').any(|name| name == controller);
                is_ours.then(|| path.trim_start_matches('/'))
            })?;
            let group = root.join(controller).join(path);
            (may_write(&group) && group.join("cgroup.procs").exists()).then_some(group)
        };
        let (memory, cpu, pids, io) = (of("memory"), of("cpu"), of("pids"), of("blkio"));
        if memory.is_none() && cpu.is_none() && pids.is_none() && io.is_none() {
            return Self::None;
        }
        Self::Legacy {
            memory,
            cpu,
            pids,
            io,
        }
    }

    fn has(&self, controller: &str) -> bool {
        match self {
            Self::None => false,
            Self::Unified { controllers, .. } => controllers.contains(controller),
            Self::Legacy {
                memory,
                cpu,
                pids,
                io,
            } => match controller {
                "memory" => memory.is_some(),
                "cpu" => cpu.is_some(),
                "io" => io.is_some(),
                _ => pids.is_some(),
            },
        }
    }

    /// Whether memory can be limited.
    pub fn memory(&self) -> bool {
        self.has("memory")
    }

    /// Whether time of processors can be limited.
    pub fn cpu(&self) -> bool {
        self.has("cpu")
    }

    /// Whether what passes to and from disks can be limited.
    pub fn io(&self) -> bool {
        self.has("io")
    }

    /// Whether they are of version 2.
    pub fn is_unified(&self) -> bool {
        matches!(self, Self::Unified { .. })
    }

    /// Whether the number of processes can be limited.
    pub fn processes(&self) -> bool {
        self.has("pids")
    }
}

fn words(file: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace()
        .filter(|word| ["memory", "cpu", "pids", "io"].contains(word))
        .map(str::to_owned)
        .collect()
}

fn may_write(path: &Path) -> bool {
    access(path, AccessFlags::W_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("temporary directory");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("below")).expect("made");
            fs::write(path, text).expect("written");
        }
        root
    }

    #[test]
    fn a_delegated_group_above_ours_is_found() {
        let root = tree(&[
            ("cgroup.controllers", ""),
            ("user/cgroup.subtree_control", "cpu memory pids"),
            ("user/cgroup.procs", ""),
            ("user/app/shell/cgroup.subtree_control", ""),
            ("user/app/shell/cgroup.procs", ""),
            ("user/app/cgroup.subtree_control", ""),
        ]);
        let found = Cgroups::find_in(root.path(), "0::/user/app/shell\n");
        assert!(found.memory() && found.cpu() && found.processes());
        let Cgroups::Unified { parent, .. } = found else {
            panic!("{found:?}");
        };
        assert_eq!(parent, root.path().join("user"));
    }

    #[test]
    fn each_hierarchy_of_version_1_is_looked_at_for_itself() {
        let root = tree(&[("memory/a/cgroup.procs", ""), ("pids/cgroup.procs", "")]);
        let own = "4:memory:/a\n8:pids:/\n1:cpu,cpuacct:/\n0::/\n";
        let found = Cgroups::find_in(root.path(), own);
        assert!(found.memory() && found.processes() && !found.cpu());
        assert_eq!(Cgroups::find_in(root.path(), "0::/\n"), Cgroups::None);
    }
}
