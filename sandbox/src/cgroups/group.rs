//! One cgroup, with its limits, for as long as a sandbox lasts.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::Cgroups;
use crate::plan::GroupLimits;
use crate::policy::Io;

const NAME: &str = "blast-";
/// Of `cpu.max` and `cpu.cfs_period_us`, in microseconds: the kernel's own default.
const PERIOD: u64 = 100_000;
/// How often, and how long between, a group is asked to go whose processes were just killed.
const TRIES: u32 = 50;
const PACE: Duration = Duration::from_millis(2);

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
            } => group.unified(parent, controllers, limits)?,
            Cgroups::Legacy {
                memory,
                cpu,
                pids,
                io,
            } => {
                if let Some(parent) = memory {
                    group.memory(parent, limits)?;
                }
                if let Some(parent) = cpu {
                    group.processors(parent, limits)?;
                }
                if let Some(parent) = io {
                    group.disks(parent, &limits.io)?;
                }
                if let (Some(parent), Some(most)) = (pids, limits.processes) {
                    let folder = group.folder(parent)?;
                    set(&folder, "pids.max", with_init(most))?;
                }
            }
        }
        Ok(group)
    }

    fn unified(
        &mut self,
        parent: &Path,
        controllers: &BTreeSet<String>,
        limits: &GroupLimits,
    ) -> io::Result<()> {
        let give: Vec<String> = controllers.iter().map(|name| format!("+{name}")).collect();
        // Given already below all but the root, where a refusal shows when limits are set.
        fs::write(parent.join("cgroup.subtree_control"), give.join(" ")).unwrap_or_default();
        let folder = self.folder(parent)?;
        if let Some(bytes) = limits.memory_bytes {
            set(&folder, "memory.max", bytes)?;
        }
        if limits.memory_bytes.is_some() || limits.swap_bytes.is_some() {
            // Without swap there is no such file.
            let swap = limits.swap_bytes.unwrap_or_default();
            set(&folder, "memory.swap.max", swap).unwrap_or_default();
        }
        if let Some(bytes) = limits.memory_high_bytes {
            set(&folder, "memory.high", bytes)?;
        }
        if let Some(weight) = limits.cpu_weight {
            set(&folder, "cpu.weight", weight)?;
        }
        for disk in disks(&limits.io) {
            set(&folder, "io.max", io_max(&disk, &limits.io))?;
        }
        if let Some(percent) = limits.cpu_percent {
            let quota = u64::from(percent) * PERIOD / 100;
            set(&folder, "cpu.max", format!("{quota} {PERIOD}"))?;
        }
        if let Some(most) = limits.processes {
            set(&folder, "pids.max", with_init(most))?;
        }
        Ok(())
    }

    fn memory(&mut self, parent: &Path, limits: &GroupLimits) -> io::Result<()> {
        let asked = [
            limits.memory_bytes,
            limits.memory_high_bytes,
            limits.swap_bytes,
        ];
        if asked.iter().all(Option::is_none) {
            return Ok(());
        }
        let folder = self.folder(parent)?;
        if let Some(bytes) = limits.memory_bytes {
            set(&folder, "memory.limit_in_bytes", bytes)?;
            // Both together. Where swap is not counted there is no such file.
            let both = bytes.saturating_add(limits.swap_bytes.unwrap_or_default());
            set(&folder, "memory.memsw.limit_in_bytes", both).unwrap_or_default();
        } else if limits.swap_bytes == Some(0) {
            set(&folder, "memory.swappiness", 0)?;
        }
        if let Some(bytes) = limits.memory_high_bytes {
            set(&folder, "memory.soft_limit_in_bytes", bytes)?;
        }
        Ok(())
    }

    fn processors(&mut self, parent: &Path, limits: &GroupLimits) -> io::Result<()> {
        if limits.cpu_percent.is_none() && limits.cpu_weight.is_none() {
            return Ok(());
        }
        let folder = self.folder(parent)?;
        if let Some(percent) = limits.cpu_percent {
            let quota = u64::from(percent) * PERIOD / 100;
            set(&folder, "cpu.cfs_period_us", PERIOD)?;
            set(&folder, "cpu.cfs_quota_us", quota)?;
        }
        if let Some(weight) = limits.cpu_weight {
            // Others have 1024 there, and 100 in version 2.
            set(&folder, "cpu.shares", (weight * 1024 / 100).max(2))?;
        }
        Ok(())
    }

    fn disks(&mut self, parent: &Path, io: &Io) -> io::Result<()> {
        if io.is_empty() {
            return Ok(());
        }
        let folder = self.folder(parent)?;
        for disk in disks(io) {
            for (file, most) in [
                ("read_bps", io.read_bytes),
                ("write_bps", io.write_bytes),
                ("read_iops", io.read_operations),
                ("write_iops", io.write_operations),
            ] {
                if let Some(most) = most {
                    let file = format!("blkio.throttle.{file}_device");
                    set(&folder, &file, format!("{disk} {most}"))?;
                }
            }
        }
        Ok(())
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

/// The disks of this machine, by number (`8:0`), if anything of them is limited. Those that are made of others or of memory
/// are left out: what passes to them is counted where it arrives.
fn disks(io: &Io) -> Vec<String> {
    if io.is_empty() {
        return Vec::new();
    }
    let folders = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    folders
        .filter(|folder| {
            let name = folder.file_name();
            let name = name.to_string_lossy();
            !["loop", "ram", "zram", "dm-", "md"]
                .iter()
                .any(|kind| name.starts_with(kind))
        })
        .filter_map(|folder| fs::read_to_string(folder.path().join("dev")).ok())
        .map(|number| number.trim().to_owned())
        .collect()
}

/// A line of `io.max`.
fn io_max(disk: &str, io: &Io) -> String {
    let mut line = disk.to_owned();
    for (word, most) in [
        ("rbps", io.read_bytes),
        ("wbps", io.write_bytes),
        ("riops", io.read_operations),
        ("wiops", io.write_operations),
    ] {
        if let Some(most) = most {
            // Into a string, which never fails.
            write!(line, " {word}={most}").unwrap_or_default();
        }
    }
    line
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

    fn asked() -> GroupLimits {
        GroupLimits {
            memory_bytes: Some(1 << 30),
            cpu_percent: Some(150),
            processes: Some(10),
            memory_high_bytes: Some(1 << 29),
            swap_bytes: Some(0),
            cpu_weight: Some(50),
            io: Io::default(),
        }
    }

    fn said(folder: &Path, file: &str) -> String {
        fs::read_to_string(folder.join(file)).unwrap_or_default()
    }

    #[test]
    fn limits_are_written_as_version_2_has_them() {
        let root = tempfile::tempdir().expect("temporary directory");
        let cgroups = Cgroups::Unified {
            parent: root.path().to_owned(),
            controllers: ["cpu", "memory", "pids"].map(str::to_owned).into(),
        };
        let group = Group::make(&cgroups, &asked()).expect("made");
        assert_eq!(
            said(root.path(), "cgroup.subtree_control"),
            "+cpu +memory +pids"
        );
        let [folder] = group.folders() else {
            panic!("{group:?}")
        };
        for (file, value) in [
            ("memory.max", "1073741824"),
            ("memory.high", "536870912"),
            ("memory.swap.max", "0"),
            ("cpu.max", "150000 100000"),
            ("cpu.weight", "50"),
            ("pids.max", "11"),
        ] {
            assert_eq!(said(folder, file), value, "{file}");
        }
    }

    #[test]
    fn limits_are_written_as_version_1_has_them() {
        let root = tempfile::tempdir().expect("temporary directory");
        for name in ["memory", "cpu", "pids"] {
            fs::create_dir(root.path().join(name)).expect("made");
        }
        let below = |name: &str| Some(root.path().join(name));
        let cgroups = Cgroups::Legacy {
            memory: below("memory"),
            cpu: below("cpu"),
            pids: below("pids"),
            io: None,
        };
        let group = Group::make(&cgroups, &asked()).expect("made");
        let [memory, cpu, pids] = group.folders() else {
            panic!("{group:?}")
        };
        for (folder, file, value) in [
            (memory, "memory.limit_in_bytes", "1073741824"),
            (memory, "memory.memsw.limit_in_bytes", "1073741824"),
            (memory, "memory.soft_limit_in_bytes", "536870912"),
            (cpu, "cpu.cfs_quota_us", "150000"),
            (cpu, "cpu.shares", "512"),
            (pids, "pids.max", "11"),
        ] {
            assert_eq!(said(folder, file), value, "{file}");
        }
    }

    #[test]
    fn disks_are_limited_by_number() {
        let io = Io {
            read_bytes: Some(1000),
            write_operations: Some(5),
            ..Io::default()
        };
        assert_eq!(io_max("8:0", &io), "8:0 rbps=1000 wiops=5");
        assert_eq!(disks(&Io::default()), Vec::<String>::new());
    }
}
