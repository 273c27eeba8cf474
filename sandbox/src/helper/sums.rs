//! Limits of all processes together, where no cgroup keeps them: what they use is summed up now and then, from outside.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use nix::unistd::{Pid, SysconfVar, sysconf};

use crate::plan::WatchedLimits;

/// How often.
pub(super) const PAUSE: Duration = Duration::from_millis(250);

/// A limit that was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Excess {
    /// What was used too much of.
    pub what: Used,
    /// How much of it there was: bytes, or processes and threads.
    pub used: u64,
    /// How much there may be.
    pub most: u64,
    /// The process that is ended for it, as the kernel would end it, short of memory: the largest. Without one all are.
    pub victim: Option<Pid>,
}

/// What is summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Used {
    /// Memory, in bytes: what is private to each process, and the largest part that one of them shares.
    Memory,
    /// Processes and threads.
    Processes,
    /// What was written to disks, in bytes.
    Written,
}

/// What is known of a process.
#[derive(Debug, Clone, Copy, Default)]
struct Process {
    private: u64,
    shared: u64,
    threads: u64,
    /// By it, and by those of its children that it waited for.
    written: u64,
}

/// Sums up, for a sandbox.
#[derive(Debug)]
pub(super) struct Sums {
    init: Pid,
    limits: WatchedLimits,
    next: Instant,
    page_bytes: u64,
    /// Those of which what they wrote is known.
    writers: HashMap<i32, u64>,
    /// Written by those that are gone.
    left: u64,
}

impl Sums {
    pub(super) fn new(init: Pid, limits: WatchedLimits) -> Option<Self> {
        let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
        (!limits.is_empty()).then(|| Self {
            init,
            limits,
            next: Instant::now() + PAUSE,
            page_bytes: page.and_then(|page| page.try_into().ok()).unwrap_or(4096),
            writers: HashMap::new(),
            left: 0,
        })
    }

    /// Sums up, if it is time again. The limit that was passed.
    pub(super) fn look(&mut self) -> Option<Excess> {
        if Instant::now() < self.next {
            return None;
        }
        self.next = Instant::now() + PAUSE;
        let mut tree = Vec::new();
        descend(self.init, &mut tree);
        let processes: HashMap<i32, Process> = tree
            .into_iter()
            .filter_map(|pid| Some((pid.as_raw(), self.process(pid)?)))
            .collect();
        self.excess(&processes)
    }

    fn excess(&mut self, processes: &HashMap<i32, Process>) -> Option<Excess> {
        let written = self.written(processes);
        let shared = processes.values().map(|each| each.shared).max();
        let private: u64 = processes.values().map(|each| each.private).sum();
        let limits = &self.limits;
        [
            (
                Used::Memory,
                private + shared.unwrap_or(0),
                limits.memory_bytes,
            ),
            (
                Used::Processes,
                processes.values().map(|each| each.threads).sum(),
                limits.processes,
            ),
            (Used::Written, written, limits.written_bytes),
        ]
        .into_iter()
        .find_map(|(what, used, most)| {
            let most = most.filter(|most| used > *most)?;
            let largest = processes.iter().max_by_key(|(_, each)| each.private);
            Some(Excess {
                what,
                used,
                most,
                victim: largest
                    .filter(|_| what == Used::Memory)
                    .map(|(pid, _)| Pid::from_raw(*pid)),
            })
        })
    }

    /// All that was written. What a process wrote goes to its parent, if that waits for it, and is kept here if it may have
    /// gone to nobody.
    fn written(&mut self, processes: &HashMap<i32, Process>) -> u64 {
        let now: u64 = processes.values().map(|each| each.written).sum();
        let before: u64 = self.writers.values().sum();
        // A sum that falls: somebody is gone whose part nobody took over.
        self.left += before.saturating_sub(now);
        self.writers = processes
            .iter()
            .map(|(pid, process)| (*pid, process.written))
            .collect();
        self.left + now
    }

    fn process(&self, pid: Pid) -> Option<Process> {
        let place = format!("/proc/{pid}");
        // Pages: all, in memory, of those shared (proc(5)).
        let sizes = fs::read_to_string(format!("{place}/statm")).ok()?;
        let mut sizes = sizes.split_whitespace().skip(1).map(|size| {
            let pages: u64 = size.parse().unwrap_or_default();
            pages * self.page_bytes
        });
        let (resident, shared) = (sizes.next()?, sizes.next()?);
        let threads = fs::read_dir(format!("{place}/task")).ok()?.count() as u64;
        // Not to be read of process 1, which waits only for orphans.
        let counts = fs::read_to_string(format!("{place}/io")).unwrap_or_default();
        let count = |name: &str| {
            let line = counts.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse::<u64>().ok()
        };
        let cancelled = count("cancelled_write_bytes:").unwrap_or_default();
        Some(Process {
            private: resident.saturating_sub(shared),
            shared,
            threads,
            written: count("write_bytes:")
                .unwrap_or_default()
                .saturating_sub(cancelled),
        })
    }
}

/// All processes below one (`/proc/<pid>/task/<tid>/children` of proc(5)).
fn descend(above: Pid, found: &mut Vec<Pid>) {
    let threads = fs::read_dir(format!("/proc/{above}/task"));
    for thread in threads.into_iter().flatten().flatten() {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace() {
            if let Ok(child) = child.parse().map(Pid::from_raw) {
                found.push(child);
                descend(child, found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(limits: WatchedLimits) -> Sums {
        Sums::new(Pid::this(), limits).expect("something is limited")
    }

    fn processes(all: &[(i32, u64, u64)]) -> HashMap<i32, Process> {
        let process = |(pid, private, written): &(i32, u64, u64)| {
            let process = Process {
                private: *private,
                shared: 10,
                threads: 2,
                written: *written,
            };
            (*pid, process)
        };
        all.iter().map(process).collect()
    }

    #[test]
    fn what_all_use_together_is_what_counts() {
        let limits = WatchedLimits {
            memory_bytes: Some(100),
            processes: Some(5),
            ..WatchedLimits::default()
        };
        let mut sums = sums(limits);
        assert_eq!(sums.excess(&processes(&[(1, 40, 0), (2, 50, 0)])), None);
        let excess = sums.excess(&processes(&[(1, 41, 0), (2, 50, 0)]));
        let excess = excess.expect("too much memory");
        assert_eq!(
            (excess.what, excess.used, excess.most),
            (Used::Memory, 101, 100)
        );
        assert_eq!(excess.victim, Some(Pid::from_raw(2)), "the largest");
        let excess = sums.excess(&processes(&[(1, 1, 0), (2, 1, 0), (3, 1, 0)]));
        let excess = excess.expect("too many");
        assert_eq!((excess.what, excess.victim), (Used::Processes, None));
    }

    #[test]
    fn what_those_wrote_that_are_gone_is_not_forgotten() {
        let limits = WatchedLimits {
            written_bytes: Some(100),
            ..WatchedLimits::default()
        };
        let mut sums = sums(limits);
        assert_eq!(sums.excess(&processes(&[(1, 0, 10), (2, 0, 40)])), None);
        // Its parent took over what the second wrote; then another went without.
        assert_eq!(sums.excess(&processes(&[(1, 0, 50), (3, 0, 30)])), None);
        assert_eq!(sums.excess(&processes(&[(1, 0, 60)])), None);
        let excess = sums.excess(&processes(&[(1, 0, 85)])).expect("too much");
        assert_eq!((excess.what, excess.used), (Used::Written, 105));
    }

    #[test]
    fn nothing_is_summed_up_where_nothing_is_limited() {
        assert!(Sums::new(Pid::this(), WatchedLimits::default()).is_none());
    }
}
