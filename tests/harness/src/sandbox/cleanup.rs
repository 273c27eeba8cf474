//! What a sandbox leaves behind: nothing, or the test fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use super::Sandbox;
use crate::process::Background;

/// Enough for a daemon to end on a loaded machine.
const GRACE: Duration = Duration::from_secs(20);

impl Drop for Sandbox {
    fn drop(&mut self) {
        let failing = thread::panicking();
        if failing {
            self.tell_daemon_log();
        }
        let left = self.clean_up();
        let keep = failing && std::env::var_os("BLAST_TEST_KEEP").is_some();
        if let Some(folder) = self.folder.take_if(|_| keep) {
            eprintln!("kept: {}", folder.keep().display());
        }
        if left.is_empty() {
            return;
        }
        let told = format!("left behind by the sandbox: {}", left.join("; "));
        // A second panic would abort the process and hide the first.
        if failing {
            eprintln!("{told}");
        } else {
            panic!("{told}");
        }
    }
}

impl Sandbox {
    /// Ends the daemon and says what it or the view left.
    fn clean_up(&self) -> Vec<String> {
        let mut left = Vec::new();
        let daemon = self.daemon();
        // Where the daemon died last, its holder is about to start another.
        let held = self.root.join("run/blast/holder.sock").exists();
        if daemon.is_some() || held || !self.mounts().is_empty() {
            let command = self.command(self.program(), ["kill", "--all", "--force"]);
            let outcome = Background::start(command, None).finish_quietly(GRACE);
            if let Some(trouble) = outcome.filter(|outcome| outcome.code() != 0) {
                left.push(format!(
                    "`blast kill --all --force` said: {}",
                    trouble.stderr.trim()
                ));
            }
        }
        let socket = self.root.join("run/blast/holder.sock");
        if held && socket.exists() {
            left.push(format!("the holder, at {}", socket.display()));
        }
        if let Some(pid) = daemon.filter(|pid| !gone_within(*pid, GRACE)) {
            left.push(format!("the daemon, process {pid}"));
            let _ = signal::kill(Pid::from_raw(pid), Signal::SIGKILL);
            gone_within(pid, GRACE);
        }
        for mount in self.mounts() {
            left.push(format!("the mount {}", mount.display()));
            if let Err(error) = umount2(&mount, MntFlags::MNT_DETACH) {
                left.push(format!("which cannot be unmounted: {error}"));
            }
        }
        left
    }

    fn tell_daemon_log(&self) {
        let path = self.root.join("run/blast/daemon.log");
        // A device has no end.
        if !path.is_file() {
            return;
        }
        let Ok(log) = fs::read_to_string(path) else {
            return;
        };
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(40)..];
        eprintln!("--- daemon.log\n{}", tail.join("\n"));
    }
}

/// Whether the process ends in time.
pub(super) fn gone_within(pid: i32, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while !is_gone(pid) {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
    true
}

/// A zombie has ended, since its parent may be slow to ask; but not while threads of it are left,
/// which hold its sockets and locks to the last.
fn is_gone(pid: i32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return true;
    };
    let zombie = stat
        .rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']));
    let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    zombie && threads <= 1
}

/// Mount points below a folder, deepest first.
pub(super) fn mounts_below(root: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("Linux tells its mounts");
    let mut found: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        // The harness makes names without the characters that the kernel escapes here.
        .map(PathBuf::from)
        .filter(|path| path.starts_with(root))
        .collect();
    found.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
    found
}
