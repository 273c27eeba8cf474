//! What a program may use up: which limits each process gets, which all get together, and which of
//! those that were asked for this machine cannot keep.

use std::fmt;
use std::str::FromStr;

use super::{Degraded, Machine};
use crate::{Level, Policy};

/// Something that a host may be unable to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// Memory of all processes together.
    Memory,
    /// Time of processors.
    Cpu,
    /// Number of processes.
    Processes,
}

impl Layer {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Cpu, Self::Processes];

    /// The word that a user writes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Processes => "pids",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A word that names no layer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is nothing that can be degraded: it is memory, cpu or pids")]
pub struct UnknownLayer(String);

impl FromStr for Layer {
    type Err = UnknownLayer;

    fn from_str(word: &str) -> Result<Self, UnknownLayer> {
        let found = Self::ALL.into_iter().find(|layer| layer.as_str() == word);
        found.ok_or_else(|| UnknownLayer(word.to_owned()))
    }
}

/// Limits that the kernel keeps for each process (setrlimit(2)). No core is ever written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProcessLimits {
    /// Private memory that can be written, in bytes (`RLIMIT_DATA`).
    pub memory_bytes: Option<u64>,
    /// Processes and threads of this user in this sandbox (`RLIMIT_NPROC`); root is exempt.
    pub processes: Option<u64>,
    /// Open files (`RLIMIT_NOFILE`).
    pub open_files: Option<u64>,
    /// Size of a file, in bytes (`RLIMIT_FSIZE`).
    pub file_bytes: Option<u64>,
}

/// Limits of all processes together (cgroups(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupLimits {
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Processors, in hundredths of one.
    pub cpu_percent: Option<u32>,
    /// Processes and threads.
    pub processes: Option<u64>,
}

impl GroupLimits {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

pub(super) struct Limits {
    pub(super) process: ProcessLimits,
    pub(super) group: GroupLimits,
    pub(super) scratch_bytes: Option<u64>,
    pub(super) degraded: Vec<Degraded>,
}

/// The limit of private files at level strict.
const STRICT_SCRATCH_BYTES: u64 = 1 << 30;

pub(super) fn of(policy: &Policy, machine: &Machine) -> Limits {
    let asked = &policy.limits;
    let strict = policy.level == Level::Strict;
    // What keeps a program from taking the machine with it, where nobody says how much it may have.
    let processes = asked.processes.unwrap_or(if strict { 1024 } else { 4096 });
    let memory = asked
        .memory_bytes
        .or_else(|| (strict && machine.memory_bytes > 0).then_some(machine.memory_bytes / 4 * 3));
    let groups = &machine.cgroups;
    let group = GroupLimits {
        memory_bytes: memory.filter(|_| groups.memory()),
        cpu_percent: asked.cpu_percent.filter(|_| groups.cpu()),
        processes: Some(processes).filter(|_| groups.processes()),
    };
    let mut degraded = Vec::new();
    let mut lacks = |layer, lacks: bool, instead: &str| {
        if lacks {
            degraded.push(Degraded {
                layer,
                reason: format!("no cgroup can be made here{instead}"),
            });
        }
    };
    lacks(
        Layer::Memory,
        asked.memory_bytes.is_some() && group.memory_bytes.is_none(),
        ", only the private memory of each single process can be limited",
    );
    lacks(
        Layer::Cpu,
        asked.cpu_percent.is_some() && group.cpu_percent.is_none(),
        "",
    );
    lacks(
        Layer::Processes,
        asked.processes.is_some() && group.processes.is_none() && machine.uid == 0,
        ", and root is exempt from the limit of processes",
    );
    Limits {
        process: ProcessLimits {
            memory_bytes: memory,
            processes: Some(processes),
            open_files: asked.open_files,
            file_bytes: asked.file_bytes,
        },
        group,
        scratch_bytes: strict.then_some(STRICT_SCRATCH_BYTES),
        degraded,
    }
}
