//! Who runs inside, where root makes the sandbox and a policy says that it be somebody without privilege.
//!
//! The user namespace of process 1 knows both. Process 1 makes all that is seen as root; then it becomes the other, as who
//! starts a program in a sandbox that is kept does, and the program's own user namespace knows that one alone: nothing
//! leads back. What is worked on is shown by mounts that swap the two owners (`mount_setattr(2)`,
//! `MOUNT_ATTR_IDMAP`): inside, root's files are the program's own, and what the program writes is root's on the disk.
//!
//! Where programs run as root itself, the system is shown by such mounts too, as owned by nobody: without a
//! capability they then read of it what everybody may.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use caps::CapSet;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sched::CloneFlags;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::unistd::{Gid, Pid, Uid, pipe2, setgroups, setresgid, setresuid};
use rustix::mount::{OpenTreeFlags, open_tree};

use super::init::end;
use super::message::{Failure, Stage};
use crate::plan::{Ids, Mount, Owner, Plan};
use crate::sys::{Fork, OneThread, fork_into, map_owners};

/// What of a plan is shown as the program's own.
#[derive(Debug, Default)]
pub(super) struct Mapped {
    /// The trees, each by its path, mounted nowhere yet.
    pub(super) trees: BTreeMap<PathBuf, OwnedFd>,
    /// What cannot be: its file system knows no such mounts.
    lacking: Vec<PathBuf>,
}

/// Makes the trees of a plan that are shown as another's than on the host.
pub(super) fn mapped(plan: &Plan, thread: OneThread) -> io::Result<Mapped> {
    let mut mapped = Mapped::default();
    let is_wanted = |wanted: Owner| owners_of(plan).any(|(_, _, owner)| owner == wanted);
    let own = match plan.maker {
        Some(maker) => Some(swapped(maker, plan.ids, thread)?),
        None => None,
    };
    // Who may not do this, root in a container, shows the system in another way.
    let nobodys = (is_wanted(Owner::Nobody).then(|| disowned(thread).ok())).flatten();
    for (at, source, owner) in owners_of(plan) {
        let owners = match owner {
            Owner::Same => continue,
            Owner::Program => &own,
            Owner::Nobody => &nobodys,
        };
        match owners.as_ref().map(|owners| tree(source, owners)) {
            Some(Ok(tree)) => {
                mapped.trees.insert(at.clone(), tree);
            }
            _ if owner == Owner::Program => mapped.lacking.push(source.clone()),
            _ => {}
        }
    }
    Ok(mapped)
}

/// The host's places of a plan: where they are inside, where outside, and whose.
fn owners_of(plan: &Plan) -> impl Iterator<Item = (&PathBuf, &PathBuf, Owner)> {
    plan.mounts.iter().filter_map(|step| match step {
        Mount::Bind { at, owner, .. } => Some((at, at, *owner)),
        Mount::Elsewhere {
            at, source, owner, ..
        } => Some((at, source, *owner)),
        _ => None,
    })
}

/// The places of a plan whose files keep their owners inside, though somebody else than their owner runs there: their file
/// system knows no mounts with other owners. This process must have one thread.
///
/// # Errors
/// If it cannot be found out.
pub fn unmapped(plan: &Plan) -> io::Result<Vec<PathBuf>> {
    let mut lacking = mapped(plan, OneThread::check()?)?.lacking;
    // What is below another goes without saying.
    lacking.sort();
    lacking.dedup_by(|below, above| below.starts_with(above));
    Ok(lacking)
}

/// A copy of what is mounted at a path and below, with these owners.
fn tree(at: &Path, owners: &OwnedFd) -> io::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    let place = openat2(AT_FDCWD, at, how)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(&place, "", flags)?;
    map_owners(&tree, owners.as_fd())?;
    Ok(tree)
}

/// A user namespace in which these two have each other's place, and everybody else their own.
fn swapped(one: Ids, other: Ids, thread: OneThread) -> io::Result<OwnedFd> {
    let swap = |one: u32, other: u32| [(one, Some(other)), (other, Some(one))];
    owners(swap(one.uid, other.uid), swap(one.gid, other.gid), thread)
}

/// A user namespace in which nobody has root's place, and everybody else their own.
fn disowned(thread: OneThread) -> io::Result<OwnedFd> {
    let moved = [(0, Some(NOBODY)), (NOBODY, None)];
    owners(moved, moved, thread)
}

/// Who has nothing, as user and group (`overflowuid` of proc(5)).
const NOBODY: u32 = 65534;

/// Who takes whose place: none means that nobody does.
type Places = [(u32, Option<u32>); 2];

/// A user namespace in which these users and groups have others' places, and everybody else their own.
fn owners(users: Places, groups: Places, thread: OneThread) -> io::Result<OwnedFd> {
    let (waits, stays) = pipe2(OFlag::O_CLOEXEC)?;
    let child = match fork_into(thread, CloneFlags::CLONE_NEWUSER)? {
        Fork::Child => {
            drop(stays);
            // Nothing comes: it lives until the other end is closed.
            File::from(waits).read(&mut [0]).unwrap_or_default();
            end(0)
        }
        Fork::Parent(child) => child,
    };
    let made = (|| {
        for (file, places) in [("uid_map", users), ("gid_map", groups)] {
            let known = fs::read_to_string(Path::new("/proc/self").join(file))?;
            fs::write(of(child, file), map(&known, places))?;
        }
        File::open(of(child, "ns/user")).map(OwnedFd::from)
    })();
    drop(stays);
    while waitpid(child, None) == Err(Errno::EINTR) {}
    made
}

fn of(process: Pid, file: &str) -> PathBuf {
    Path::new("/proc").join(process.to_string()).join(file)
}

/// The lines of a map (`user_namespaces(7)`) of all that `known`, such a map itself, knows, with some moved.
fn map(known: &str, mut places: Places) -> String {
    places.sort_unstable();
    let mut lines = String::new();
    let mut add = |inside: u64, outside: u64, count: u64| {
        if count > 0 {
            // Into a string, which never fails.
            writeln!(lines, "{inside} {outside} {count}").unwrap_or_default();
        }
    };
    for line in known.lines() {
        let mut numbers = line.split_whitespace().map(str::parse);
        let (Some(Ok(first)), _, Some(Ok(count))) =
            (numbers.next(), numbers.next(), numbers.next())
        else {
            continue;
        };
        let (mut at, end): (u64, u64) = (first, first + count);
        for (this, that) in places {
            let this = u64::from(this);
            if (at..end).contains(&this) {
                add(at, at, this - at);
                if let Some(that) = that {
                    add(this, that.into(), 1);
                }
                at = this + 1;
            }
        }
        add(at, at, end - at);
    }
    lines
}

/// Names both in the user namespace of process 1, which waits for it: only who is outside may name two.
pub(super) fn name_both(plan: &Plan, init: Pid) -> io::Result<()> {
    let Some(maker) = plan.maker else {
        return Ok(());
    };
    for (file, maker, user) in [
        ("uid_map", maker.uid, plan.ids.uid),
        ("gid_map", maker.gid, plan.ids.gid),
    ] {
        fs::write(
            of(init, file),
            format!("{maker} {maker} 1\n{user} {user} 1\n"),
        )?;
    }
    Ok(())
}

/// Becomes who runs inside, if that is somebody else, and keeps what a namespace gives. Ends with its parent as before,
/// which `is_wanted` says to be there still.
pub(super) fn become_user(plan: &Plan, is_wanted: impl Fn() -> bool) -> Result<(), Failure> {
    let at = |error: Errno| Failure::new(Stage::Identity, error);
    if plan.maker.is_none() {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(plan.ids.uid), Gid::from_raw(plan.ids.gid));
    prctl::set_keepcaps(true).map_err(at)?;
    setgroups(&[]).map_err(at)?;
    setresgid(group, group, group).map_err(at)?;
    setresuid(user, user, user).map_err(at)?;
    let kept = caps::read(None, CapSet::Permitted)
        .and_then(|kept| caps::set(None, CapSet::Effective, &kept));
    kept.map_err(|error| Failure::new(Stage::Identity, io::Error::other(error.to_string())))?;
    // A change of user undoes it (prctl(2)).
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(at)?;
    if is_wanted() {
        Ok(())
    } else {
        Err(at(Errno::ESRCH))
    }
}

/// Lets this process write its own files of `/proc`, which are root's after a change of user (proc(5)). Nobody else looks
/// into it: it is the only one in its user namespace.
pub(super) fn own_oneself() -> Result<(), Failure> {
    prctl::set_dumpable(true).map_err(|error| Failure::new(Stage::Identity, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_are_swapped_and_all_others_keep_their_place() {
        let all = "         0          0 4294967295\n";
        let swapped =
            |known: &str, one, other| map(known, [(one, Some(other)), (other, Some(one))]);
        assert_eq!(
            swapped(all, 0, 1000),
            "0 1000 1\n1 1 999\n1000 0 1\n1001 1001 4294966294\n"
        );
        assert_eq!(swapped(all, 1000, 0), swapped(all, 0, 1000));
        // In a container: what is not known there is not named.
        let some = "0 100000 65536\n";
        assert_eq!(
            swapped(some, 0, 65534),
            "0 65534 1\n1 1 65533\n65534 0 1\n65535 65535 1\n"
        );
        assert_eq!(swapped("0 5 1\n7 7 2\n", 0, 8), "0 8 1\n7 7 1\n8 0 1\n");
    }

    #[test]
    fn who_loses_a_place_gives_it_to_one_and_takes_none() {
        assert_eq!(
            map("0 0 4294967295\n", [(0, Some(NOBODY)), (NOBODY, None)]),
            "0 65534 1\n1 1 65533\n65535 65535 4294901760\n"
        );
    }
}
