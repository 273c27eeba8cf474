//! Limits of all processes together, where no cgroup keeps them: what they use is summed up now and then, from outside.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use nix::unistd::{Pid, SysconfVar, sysconf};

use super::segments::Segments;
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
    /// Memory, in bytes: what is private to each process, and the largest part that one of them shares, or all files in memory
    /// without a name that they have open and all segments of System V, if that is more.
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
    /// Of files in memory without a name (`memfd_create`) that it has open.
    unnamed: u64,
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
    segments: Segments,
    /// Those of which what they wrote is known.
    writers: HashMap<i32, u64>,
    /// Written by those that are gone.
    left: u64,
}

impl Sums {
    pub(super) fn new(init: Pid, limits: WatchedLimits, segments: Segments) -> Option<Self> {
        let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
        (!limits.is_empty()).then(|| Self {
            init,
            limits,
            next: Instant::now() + PAUSE,
            page_bytes: page.and_then(|page| page.try_into().ok()).unwrap_or(4096),
            segments,
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
        let mut files = HashMap::new();
        let processes: HashMap<i32, Process> = tree
            .into_iter()
            .filter_map(|pid| {
                let unnamed = self.limits.memory_bytes.map(|_| unnamed(pid, &mut files));
                let process = Process {
                    unnamed: unnamed.unwrap_or_default(),
                    ..self.process(pid)?
                };
                Some((pid.as_raw(), process))
            })
            .collect();
        let segments = self.segments.bytes();
        self.excess(&processes, files.values().sum(), segments)
    }

    /// The limit that was passed, with all files in memory without a name and all segments, in bytes.
    fn excess(
        &mut self,
        processes: &HashMap<i32, Process>,
        unnamed: u64,
        segments: u64,
    ) -> Option<Excess> {
        let written = self.written(processes);
        let shared = processes.values().map(|each| each.shared).max();
        let private: u64 = processes.values().map(|each| each.private).sum();
        let limits = &self.limits;
        [
            (
                Used::Memory,
                private + shared.unwrap_or(0).max(unnamed + segments),
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
            let size = |each: &Process| each.private + each.unnamed;
            let largest = processes.iter().max_by_key(|(_, each)| size(each));
            Some(Excess {
                what,
                used,
                most,
                // The end of a process frees no segment.
                victim: largest
                    .filter(|_| what == Used::Memory && segments <= most)
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
            unnamed: 0,
            threads,
            written: count("write_bytes:")
                .unwrap_or_default()
                .saturating_sub(cancelled),
        })
    }
}

/// How much memory the files without a name take that a process has open, in bytes; each is noted by its number, as several may
/// have it.
fn unnamed(pid: Pid, files: &mut HashMap<(u64, u64), u64>) -> u64 {
    let open = fs::read_dir(format!("/proc/{pid}/fd"));
    let sizes = open.into_iter().flatten().flatten().filter_map(|entry| {
        let place = entry.path();
        let target = fs::read_link(&place).ok()?;
        // "/memfd:name (deleted)", proc(5).
        if !target
            .as_os_str()
            .as_encoded_bytes()
            .starts_with(b"/memfd:")
        {
            return None;
        }
        let file = fs::metadata(&place).ok()?;
        let bytes = file.blocks() * 512;
        files.insert((file.dev(), file.ino()), bytes);
        Some(bytes)
    });
    sizes.sum()
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
        Sums::new(Pid::this(), limits, Segments::Unknown).expect("something is limited")
    }

    fn processes(all: &[(i32, u64, u64)]) -> HashMap<i32, Process> {
        let process = |(pid, private, written): &(i32, u64, u64)| {
            let process = Process {
                private: *private,
                shared: 10,
                unnamed: 0,
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
        assert_eq!(
            sums.excess(&processes(&[(1, 40, 0), (2, 50, 0)]), 0, 0),
            None
        );
        let excess = sums.excess(&processes(&[(1, 41, 0), (2, 50, 0)]), 0, 0);
        let excess = excess.expect("too much memory");
        assert_eq!(
            (excess.what, excess.used, excess.most),
            (Used::Memory, 101, 100)
        );
        assert_eq!(excess.victim, Some(Pid::from_raw(2)), "the largest");
        let excess = sums.excess(&processes(&[(1, 1, 0), (2, 1, 0), (3, 1, 0)]), 0, 0);
        let excess = excess.expect("too many");
        assert_eq!((excess.what, excess.victim), (Used::Processes, None));
    }

    #[test]
    fn files_without_a_name_count_once_and_for_who_has_them_open() {
        let limits = WatchedLimits {
            memory_bytes: Some(100),
            ..WatchedLimits::default()
        };
        let mut sums = sums(limits);
        let mut both = processes(&[(1, 30, 0), (2, 20, 0)]);
        assert_eq!(sums.excess(&both, 50, 0), None);
        both.entry(2).or_default().unnamed = 51;
        let excess = sums.excess(&both, 51, 0).expect("too much");
        assert_eq!((excess.used, excess.victim), (101, Some(Pid::from_raw(2))));
        let file = nix::sys::memfd::memfd_create(c"file", nix::sys::memfd::MFdFlags::empty());
        let file = fs::File::from(file.expect("made"));
        std::io::Write::write_all(&mut &file, &vec![1; 1 << 20]).expect("written");
        let again = file.try_clone().expect("the same");
        let mut files = HashMap::new();
        assert!(
            unnamed(Pid::this(), &mut files) >= 2 << 20,
            "by each descriptor"
        );
        drop(again);
        assert!(files.values().any(|bytes| *bytes == 1 << 20), "{files:?}");
    }

    #[test]
    fn segments_count_and_end_all_where_no_process_has_them() {
        let limits = WatchedLimits {
            memory_bytes: Some(100),
            ..WatchedLimits::default()
        };
        let mut sums = sums(limits);
        let all = processes(&[(1, 30, 0), (2, 20, 0)]);
        assert_eq!(sums.excess(&all, 20, 30), None);
        let excess = sums.excess(&all, 20, 31).expect("too much");
        assert_eq!((excess.used, excess.victim), (101, Some(Pid::from_raw(1))));
        let excess = sums.excess(&all, 0, 101).expect("too much");
        assert_eq!((excess.used, excess.victim), (151, None));
    }

    #[test]
    fn what_those_wrote_that_are_gone_is_not_forgotten() {
        let limits = WatchedLimits {
            written_bytes: Some(100),
            ..WatchedLimits::default()
        };
        let mut sums = sums(limits);
        assert_eq!(
            sums.excess(&processes(&[(1, 0, 10), (2, 0, 40)]), 0, 0),
            None
        );
        // Its parent took over what the second wrote; then another went without.
        assert_eq!(
            sums.excess(&processes(&[(1, 0, 50), (3, 0, 30)]), 0, 0),
            None
        );
        assert_eq!(sums.excess(&processes(&[(1, 0, 60)]), 0, 0), None);
        let excess = sums
            .excess(&processes(&[(1, 0, 85)]), 0, 0)
            .expect("too much");
        assert_eq!((excess.what, excess.used), (Used::Written, 105));
    }

    #[test]
    fn nothing_is_summed_up_where_nothing_is_limited() {
        assert!(Sums::new(Pid::this(), WatchedLimits::default(), Segments::Unknown).is_none());
    }
}
