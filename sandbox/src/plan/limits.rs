//! What a program may use up: which limits each process gets, which all get together, and which of
//! those that were asked for this machine cannot keep.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Degraded, Machine};
use crate::policy::Io;
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
    /// What passes to and from disks.
    Io,
}

impl Layer {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Memory, Self::Cpu, Self::Processes, Self::Io];

    /// The word that a user writes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Processes => "pids",
            Self::Io => "io",
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
#[error("`{0}` is nothing that can be degraded: it is memory, cpu, pids or io")]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GroupLimits {
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Processors, in hundredths of one.
    pub cpu_percent: Option<u32>,
    /// Processes and threads.
    pub processes: Option<u64>,
    /// Memory beyond which it is taken back, in bytes.
    pub memory_high_bytes: Option<u64>,
    /// Memory that is swapped out, in bytes.
    pub swap_bytes: Option<u64>,
    /// Share of processors.
    pub cpu_weight: Option<u64>,
    /// What passes to and from each disk.
    pub io: Io,
}

/// Limits that are kept by looking at all processes now and then, from outside: who is over one is ended, which may be
/// a little late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WatchedLimits {
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u64>,
    /// All that is written to disks, in bytes.
    pub written_bytes: Option<u64>,
}

impl WatchedLimits {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
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
    pub(super) highest_process: Option<u64>,
    pub(super) watched: WatchedLimits,
    pub(super) scratch_bytes: Option<u64>,
    pub(super) degraded: Vec<Degraded>,
}

/// The limit of private files at level strict.
const STRICT_SCRATCH_BYTES: u64 = 1 << 30;

/// `is_root` says whether the programs are root's, who is exempt from some.
pub(super) fn of(policy: &Policy, machine: &Machine, is_root: bool) -> Limits {
    let asked = &policy.limits;
    let strict = policy.level == Level::Strict;
    // What keeps a program from taking the machine with it, where nobody says how much it may have.
    let processes = asked.processes.unwrap_or(if strict { 1024 } else { 4096 });
    let memory = asked
        .memory_bytes
        .or_else(|| (strict && machine.memory_bytes > 0).then_some(machine.memory_bytes / 4 * 3));
    // Moving a process into a cgroup waits for all processors, for as long as starting Python takes; so where nobody asked
    // for a number, the namespace keeps it.
    let by_numbers = asked.processes.is_none() && machine.has_own_numbers;
    let groups = &machine.cgroups;
    let group = GroupLimits {
        memory_bytes: memory.filter(|_| groups.memory()),
        cpu_percent: asked.cpu_percent.filter(|_| groups.cpu()),
        processes: Some(processes).filter(|_| groups.processes() && !by_numbers),
        memory_high_bytes: asked.memory_high_bytes.filter(|_| groups.memory()),
        swap_bytes: asked.swap_bytes.filter(|_| groups.memory()),
        cpu_weight: asked.cpu_weight.filter(|_| groups.cpu()),
        io: if groups.io() { asked.io } else { Io::default() },
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
        "; what all processes use together is looked at four times a second, and the largest is ended if that is too much",
    );
    lacks(
        Layer::Memory,
        asked.memory_bytes.is_none()
            && (asked.memory_high_bytes.is_some() || asked.swap_bytes.is_some())
            && !groups.memory(),
        "",
    );
    lacks(
        Layer::Cpu,
        (asked.cpu_percent.is_some() || asked.cpu_weight.is_some()) && !groups.cpu(),
        "",
    );
    lacks(Layer::Io, !asked.io.is_empty() && !groups.io(), "");
    lacks(
        Layer::Processes,
        asked.processes.is_some() && group.processes.is_none() && is_root,
        ", and root is exempt from the limit of processes; they are counted four times a second, and who has more \
         is ended",
    );
    let buffered = asked.io.write_bytes.is_some() || asked.io.write_operations.is_some();
    if buffered && groups.io() && !groups.is_unified() {
        degraded.push(Degraded {
            layer: Layer::Io,
            reason:
                "version 1 of cgroups does not limit what the kernel writes later, which is most"
                    .to_owned(),
        });
    }
    Limits {
        process: ProcessLimits {
            memory_bytes: memory,
            processes: Some(processes),
            open_files: asked.open_files,
            file_bytes: asked.file_bytes,
        },
        watched: WatchedLimits {
            memory_bytes: asked.memory_bytes.filter(|_| group.memory_bytes.is_none()),
            processes: asked
                .processes
                .filter(|_| group.processes.is_none() && is_root),
            written_bytes: asked.written_bytes,
        },
        // When all were given once, the first 300 (`RESERVED_PIDS` of the kernel) are not given again: then it is that many less.
        highest_process: by_numbers.then_some(processes),
        group,
        scratch_bytes: [strict.then_some(STRICT_SCRATCH_BYTES), asked.written_bytes]
            .into_iter()
            .flatten()
            .min(),
        degraded,
    }
}
