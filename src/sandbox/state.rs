//! What is true of the sandboxes that are kept, looked at from outside: by their namespaces, by `/proc` and by the
//! files of their cgroups, never by what anybody remembers (namespaces(7), proc(5), cgroups(7)).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use blast_sandbox::NAMESPACES;
use serde::Serialize;

use super::wire::{Asked, Told, connect_to, receive, send};
use super::{Of, kept};
use crate::ipc::paths::Places;

/// Whether something is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// It is.
    Active,
    /// Not of all programs, or not wholly.
    Degraded,
    /// It is not.
    Off,
    /// No program runs of which it could be seen.
    Idle,
}

/// One sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Seen {
    /// Its process 1, as the host numbers it.
    pub(crate) process: i32,
    /// Processes inside, beside that.
    pub(crate) programs: usize,
    /// The namespaces, by name: active where they are not the host's.
    pub(crate) namespaces: BTreeMap<&'static str, State>,
    /// Whether the program's root is not the host's, and cannot be written.
    pub(crate) filesystem: State,
    /// Whether its network is not the host's; degraded where its filter is gone.
    pub(crate) network: State,
    /// Whether a filter lets something out.
    pub(crate) filtered: bool,
    /// Whether system calls of all programs are filtered, and none may gain privileges.
    pub(crate) seccomp: State,
    /// Whether all programs are in its cgroups; off where no limit asks for one.
    pub(crate) cgroup: State,
    /// The limits that are set there, by file.
    pub(crate) limits: BTreeMap<String, String>,
}

/// Looks at the sandboxes of an environment.
pub(crate) fn look(places: &Places, of: Of<'_>) -> Vec<Seen> {
    kept(places, of)
        .iter()
        .filter_map(|path| look_at(path).ok().flatten())
        .collect()
}

fn look_at(path: &Path) -> io::Result<Option<Seen>> {
    let Some(socket) = connect_to(path)? else {
        return Ok(None);
    };
    send(&socket, &Asked::Report, &[])?;
    let Some((
        Told::Report {
            init,
            filter,
            groups,
            ..
        },
        namespaces,
    )) = receive(&socket)?
    else {
        return Ok(None);
    };
    let mut states = BTreeMap::new();
    for (name, namespace) in NAMESPACES.into_iter().zip(&namespaces) {
        let own = fs::metadata(format!("/proc/self/ns/{name}"))?;
        let is_own = number(namespace)? == (own.dev(), own.ino());
        states.insert(name, if is_own { State::Off } else { State::Active });
    }
    let inside = NAMESPACES.into_iter().zip(&namespaces);
    let pids = inside.clone().find(|(name, _)| *name == "pid");
    let programs = match pids {
        Some((_, namespace)) => programs(number(namespace)?, init),
        None => BTreeSet::new(),
    };
    let filter_lives =
        filter.is_none_or(|process| Path::new("/proc").join(process.to_string()).exists());
    let network = match states.get("net") {
        Some(State::Active) if filter_lives => State::Active,
        Some(State::Active) => State::Degraded,
        _ => State::Off,
    };
    Ok(Some(Seen {
        process: init,
        programs: programs.len(),
        namespaces: states,
        filesystem: of_all(&programs, has_own_root),
        network,
        filtered: filter.is_some(),
        seccomp: of_all(&programs, is_filtered),
        cgroup: if groups.is_empty() {
            State::Off
        } else {
            of_all(&programs, |process| is_in_groups(process, &groups))
        },
        limits: groups.iter().flat_map(|group| limits(group)).collect(),
    }))
}

/// What tells one namespace from another.
fn number(namespace: &OwnedFd) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstat(namespace.as_fd())?;
    Ok((stat.st_dev, stat.st_ino))
}

/// The processes in a pid namespace but its first one, as far as they can be looked into.
fn programs(namespace: (u64, u64), init: i32) -> BTreeSet<i32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| {
            let process: i32 = entry.file_name().to_str()?.parse().ok()?;
            let its = fs::metadata(entry.path().join("ns/pid")).ok()?;
            ((its.dev(), its.ino()) == namespace && process != init).then_some(process)
        })
        .collect()
}

fn of_all(programs: &BTreeSet<i32>, holds: impl Fn(i32) -> Option<bool>) -> State {
    // One that ended meanwhile is no program any more.
    let seen: Vec<bool> = programs
        .iter()
        .filter_map(|process| holds(*process))
        .collect();
    match (seen.contains(&true), seen.contains(&false)) {
        (false, false) => State::Idle,
        (true, false) => State::Active,
        (true, true) => State::Degraded,
        (false, true) => State::Off,
    }
}

fn read(process: i32, file: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/{process}/{file}")).ok()
}

/// `Seccomp: 2`, `NoNewPrivs: 1` and no capability (proc(5)).
fn is_filtered(process: i32) -> Option<bool> {
    let status = read(process, "status")?;
    let is = |key: &str, wanted: &str| {
        status.lines().any(|line| {
            line.split_once(':')
                .is_some_and(|(name, value)| name == key && value.trim() == wanted)
        })
    };
    Some(is("Seccomp", "2") && is("NoNewPrivs", "1") && is("CapEff", "0000000000000000"))
}

/// The mount at the root is of memory, and read only.
fn has_own_root(process: i32) -> Option<bool> {
    let mounts = read(process, "mountinfo")?;
    Some(mounts.lines().any(|line| {
        let mut words = line.split(' ').skip(4);
        let is_root = words.next() == Some("/");
        let is_closed = words
            .next()
            .is_some_and(|options| options.split(',').any(|option| option == "ro"));
        is_root && is_closed && line.contains(" - tmpfs ")
    }))
}

fn is_in_groups(process: i32, groups: &[PathBuf]) -> Option<bool> {
    Path::new("/proc")
        .join(process.to_string())
        .exists()
        .then_some(())?;
    Some(groups.iter().all(|group| {
        fs::read_to_string(group.join("cgroup.procs"))
            .is_ok_and(|all| all.lines().any(|line| line.parse() == Ok(process)))
    }))
}

/// What the files of a group say, of those that blast sets.
fn limits(group: &Path) -> Vec<(String, String)> {
    const FILES: [&str; 7] = [
        "memory.max",
        "memory.limit_in_bytes",
        "memory.high",
        "cpu.max",
        "cpu.cfs_quota_us",
        "pids.max",
        "io.max",
    ];
    let read = |file: &str| fs::read_to_string(group.join(file)).ok();
    FILES
        .into_iter()
        .filter_map(|file| Some((file.to_owned(), read(file)?.trim().to_owned())))
        .filter(|(_, value)| !value.is_empty() && !value.starts_with("max") && value != "-1")
        .collect()
}
