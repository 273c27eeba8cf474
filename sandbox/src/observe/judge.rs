//! Whether a program gets what it names, told from outside.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::Pid;

use super::Attempt;
use super::calls::Opened;
use crate::audit::Kind;
use crate::plan::{Mount, Plan};

/// Places of the system: what of them is kept from programs is mostly nothing that anybody misses.
const SYSTEM: &[&str] = &[
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/proc",
    "/run", "/sbin", "/sys", "/usr", "/var",
];

/// The state of a TCP socket that listens (`TCP_LISTEN`), as /proc/net/tcp has it.
const LISTENS: &str = "0A";

/// Knows what of this host a sandbox shows.
#[derive(Debug)]
pub(super) struct Judge {
    shown: Vec<PathBuf>,
    hidden: Vec<PathBuf>,
}

impl Judge {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut judge = Self {
            shown: Vec::new(),
            hidden: Vec::new(),
        };
        for mount in &plan.mounts {
            match mount {
                Mount::Bind { at, .. } | Mount::Elsewhere { at, .. } | Mount::View { at, .. } => {
                    judge.shown.push(at.clone());
                }
                Mount::Hidden { at, .. } => judge.hidden.push(at.clone()),
                _ => {}
            }
        }
        judge
    }

    /// What of this a process does not get; none if it does, or nobody would miss it.
    pub(super) fn file(&self, process: Pid, opened: &Opened) -> Option<Attempt> {
        let write = opened.write;
        let whole = whole(process, &opened.path, opened.from)?;
        let above = |places: &[PathBuf]| places.iter().any(|place| whole.starts_with(place));
        if !write && above(&self.shown) && !above(&self.hidden) {
            return None;
        }
        let inside = PathBuf::from(format!("/proc/{process}/root{}", whole.display()));
        let private = opened.make && inside.parent().is_some_and(may_be_made);
        if !private && is_kept_away(&whole, &inside) {
            let kind = if write { Kind::Write } else { Kind::Read };
            return Some(attempt(kind, &whole, "it is not given to the sandbox"));
        }
        (write && is_frozen(&whole, &inside))
            .then(|| attempt(Kind::Write, &whole, "it is given to be read only"))
    }
}

/// The path as an absolute one, without dots; links are left as they are.
fn whole(process: Pid, path: &Path, from: Option<i32>) -> Option<PathBuf> {
    let base = if path.is_absolute() {
        PathBuf::new()
    } else {
        let base = match from {
            Some(number) => format!("/proc/{process}/fd/{number}"),
            None => format!("/proc/{process}/cwd"),
        };
        fs::read_link(base).ok()?
    };
    let mut whole = PathBuf::new();
    for part in base.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(whole.pop()),
            part => whole.push(part),
        }
    }
    whole.is_absolute().then_some(whole)
}

fn attempt(kind: Kind, path: &Path, rule: &'static str) -> Attempt {
    let target = path.display().to_string();
    Attempt {
        kind,
        allow: (!is_system(path)).then(|| format!("{kind} {target}")),
        target,
        rule,
    }
}

fn is_system(path: &Path) -> bool {
    SYSTEM.iter().any(|place| path.starts_with(place))
}

/// Whether this host has it and the sandbox does not, or as a file that cannot be opened.
fn is_kept_away(outside: &Path, inside: &Path) -> bool {
    let Ok(there) = fs::symlink_metadata(outside) else {
        return false;
    };
    if is_system(outside) && there.permissions().mode() & 0o004 == 0o004 {
        return false;
    }
    match fs::symlink_metadata(inside) {
        Ok(seen) => {
            let same = (seen.dev(), seen.ino()) == (there.dev(), there.ino());
            let open_to = seen.permissions().mode() & 0o777;
            !same && seen.is_file() && open_to == 0
        }
        Err(_) => true,
    }
}

/// Whether it is there, and nobody may change it.
fn is_frozen(outside: &Path, inside: &Path) -> bool {
    // Bytecode that cannot be kept is no loss.
    if is_system(outside)
        || outside
            .components()
            .any(|part| part.as_os_str() == "__pycache__")
    {
        return false;
    }
    let place = if inside.exists() {
        Some(inside)
    } else {
        inside.parent()
    };
    place.is_some_and(|place| is_read_only(place) == Some(true))
}

/// Whether files can be made in a directory: then they are the sandbox's own.
fn may_be_made(folder: &Path) -> bool {
    is_read_only(folder) == Some(false)
}

/// None where it is not there.
fn is_read_only(place: &Path) -> Option<bool> {
    let found = statvfs(place).ok()?;
    Some(found.flags().contains(FsFlags::ST_RDONLY))
}

/// Whether an address is the sandbox's own loopback and meant as that: somebody inside listens there, or nobody on this
/// host does, so that a program that waits for its own server is told nothing.
pub(super) fn is_its_own(process: Pid, to: SocketAddr) -> bool {
    let is_loopback = to.ip().is_loopback() || to.ip().is_unspecified();
    is_loopback && (is_served(&process.to_string(), to.port()) || !is_served("self", to.port()))
}

/// Whether somebody listens at a port, in the network that a process has.
fn is_served(process: &str, port: u16) -> bool {
    ["tcp", "tcp6"].iter().any(|table| {
        let text = fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default();
        text.lines().skip(1).any(|line| listens(line, port))
    })
}

/// A line of /proc/net/tcp: number, local address and port, remote ones, state (proc(5)).
fn listens(line: &str, port: u16) -> bool {
    let mut words = line.split_whitespace().skip(1);
    let local = words.next().and_then(|local| local.rsplit_once(':'));
    let state = words.nth(1);
    local.is_some_and(|(_, own)| u16::from_str_radix(own, 16) == Ok(port)) && state == Some(LISTENS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_sockets_says_who_listens() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000";
        assert!(listens(line, 8080));
        assert!(!listens(line, 80));
        assert!(!listens(&line.replace(" 0A ", " 01 "), 8080));
        assert!(!listens("", 0));
    }

    #[test]
    fn a_port_that_nobody_serves_is_the_programs_own() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let to = server.local_addr().expect("bound");
        // For the network that it listens in itself it is its own.
        assert!(is_its_own(Pid::this(), to));
        assert!(is_served("self", to.port()));
        drop(server);
        assert!(is_its_own(Pid::this(), to));
        assert!(!is_served("self", to.port()));
        assert!(!is_its_own(
            Pid::this(),
            "192.0.2.1:80".parse().expect("an address")
        ));
    }

    #[test]
    fn what_is_kept_away_is_what_only_the_host_has() {
        let host = tempfile::tempdir().expect("a directory");
        let box_ = tempfile::tempdir().expect("a directory");
        fs::write(host.path().join("secret"), "s").expect("written");
        fs::write(host.path().join("shown"), "s").expect("written");
        fs::hard_link(host.path().join("shown"), box_.path().join("shown")).expect("linked");
        fs::write(box_.path().join("masked"), "").expect("written");
        fs::write(host.path().join("masked"), "s").expect("written");
        let none = fs::Permissions::from_mode(0o0);
        fs::set_permissions(box_.path().join("masked"), none).expect("set");
        let away = |name: &str| is_kept_away(&host.path().join(name), &box_.path().join(name));
        assert!(away("secret") && away("masked"));
        assert!(!away("shown") && !away("neither"));
    }
}
