//! Control groups by their files: which can be made here, and one that lasts as long as a sandbox.
//!
//! Version 2 (cgroups(7), the kernel's `admin-guide/cgroup-v2.rst`) where its controllers are given
//! to a group that this user may write, as root or by delegation; else version 1, whose controllers
//! each have a hierarchy. Groups are called `blast-PID` by the process that made them. One whose
//! process died without taking it down is taken down by the next that is made beside it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::{AccessFlags, Pid, access};

use crate::plan::GroupLimits;

const ROOT: &str = "/sys/fs/cgroup";
const NAME: &str = "blast-";
/// Of `cpu.max` and `cpu.cfs_period_us`, in microseconds: the kernel's own default.
const PERIOD: u64 = 100_000;
/// How often, and how long between, a group is asked to go whose processes were just killed.
const TRIES: u32 = 50;
const PACE: Duration = Duration::from_millis(2);

/// Where groups can be made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Cgroups {
    /// Nowhere.
    #[default]
    None,
    /// Version 2: below this group, with these controllers.
    Unified {
        /// The group.
        parent: PathBuf,
        /// `memory`, `cpu`, `pids`, as far as they are given to its groups.
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
        let (memory, cpu, pids) = (of("memory"), of("cpu"), of("pids"));
        if memory.is_none() && cpu.is_none() && pids.is_none() {
            return Self::None;
        }
        Self::Legacy { memory, cpu, pids }
    }

    fn has(&self, controller: &str) -> bool {
        match self {
            Self::None => false,
            Self::Unified { controllers, .. } => controllers.contains(controller),
            Self::Legacy { memory, cpu, pids } => match controller {
                "memory" => memory.is_some(),
                "cpu" => cpu.is_some(),
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

    /// Whether the number of processes can be limited.
    pub fn processes(&self) -> bool {
        self.has("pids")
    }
}

fn words(file: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace()
        .filter(|word| ["memory", "cpu", "pids"].contains(word))
        .map(str::to_owned)
        .collect()
}

fn may_write(path: &Path) -> bool {
    access(path, AccessFlags::W_OK).is_ok()
}

/// A group that is taken down when this is dropped.
#[derive(Debug)]
pub(crate) struct Group {
    folders: Vec<PathBuf>,
}

impl Group {
    /// Makes one with these limits, which the places can keep.
    pub(crate) fn make(cgroups: &Cgroups, limits: &GroupLimits) -> io::Result<Self> {
        let mut group = Self {
            folders: Vec::new(),
        };
        if limits.is_empty() {
            return Ok(group);
        }
        match cgroups {
            Cgroups::None => {}
            Cgroups::Unified {
                parent,
                controllers,
            } => {
                let give: Vec<String> = controllers.iter().map(|name| format!("+{name}")).collect();
                // Given already below all but the root, where a refusal shows when limits are set.
                fs::write(parent.join("cgroup.subtree_control"), give.join(" "))
                    .unwrap_or_default();
                let folder = group.folder(parent)?;
                if let Some(bytes) = limits.memory_bytes {
                    set(&folder, "memory.max", bytes)?;
                    // Without swap there is no such file.
                    set(&folder, "memory.swap.max", 0).unwrap_or_default();
                }
                if let Some(percent) = limits.cpu_percent {
                    let quota = u64::from(percent) * PERIOD / 100;
                    set(&folder, "cpu.max", format!("{quota} {PERIOD}"))?;
                }
                if let Some(most) = limits.processes {
                    set(&folder, "pids.max", with_init(most))?;
                }
            }
            Cgroups::Legacy { memory, cpu, pids } => {
                if let (Some(parent), Some(bytes)) = (memory, limits.memory_bytes) {
                    let folder = group.folder(parent)?;
                    set(&folder, "memory.limit_in_bytes", bytes)?;
                    // Where swap is not counted there is no such file.
                    set(&folder, "memory.memsw.limit_in_bytes", bytes).unwrap_or_default();
                }
                if let (Some(parent), Some(percent)) = (cpu, limits.cpu_percent) {
                    let folder = group.folder(parent)?;
                    set(&folder, "cpu.cfs_period_us", PERIOD)?;
                    set(
                        &folder,
                        "cpu.cfs_quota_us",
                        u64::from(percent) * PERIOD / 100,
                    )?;
                }
                if let (Some(parent), Some(most)) = (pids, limits.processes) {
                    let folder = group.folder(parent)?;
                    set(&folder, "pids.max", with_init(most))?;
                }
            }
        }
        Ok(group)
    }

    fn folder(&mut self, parent: &Path) -> io::Result<PathBuf> {
        sweep(parent);
        let mut number = 0;
        loop {
            let more = if number == 0 {
                String::new()
            } else {
                format!("-{number}")
            };
            let folder = parent.join(format!("{NAME}{}{more}", Pid::this()));
            match fs::create_dir(&folder) {
                Ok(()) => {
                    self.folders.push(folder.clone());
                    return Ok(folder);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 1000 => {
                    number += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Puts a process into it, and with it all that it will start.
    pub(crate) fn add(&self, process: Pid) -> io::Result<()> {
        for folder in &self.folders {
            set(folder, "cgroup.procs", process)?;
        }
        Ok(())
    }

    /// Its directories.
    pub(crate) fn folders(&self) -> &[PathBuf] {
        &self.folders
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for folder in &self.folders {
            // The last process is counted until it is reaped.
            for _ in 0..TRIES {
                match fs::remove_dir(folder) {
                    Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => {
                        std::thread::sleep(PACE);
                    }
                    _ => break,
                }
            }
        }
    }
}

/// The first process of a sandbox is ours and counts too.
fn with_init(most: u64) -> u64 {
    most.saturating_add(1)
}

fn set(folder: &Path, file: &str, value: impl std::fmt::Display) -> io::Result<()> {
    let path = folder.join(file);
    fs::write(&path, format!("{value}"))
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Takes down the groups of processes that are gone.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix(NAME))
            .and_then(|rest| rest.split('-').next()?.parse().ok());
        if number.is_some_and(|number| kill(Pid::from_raw(number), None) == Err(Errno::ESRCH)) {
            // One that still has processes stays: they are on their way out.
            fs::remove_dir(entry.path()).unwrap_or_default();
        }
    }
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
