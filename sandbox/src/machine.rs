//! Facts about the machine, as far as plans depend on them.

use std::path::Path;

use nix::sys::statvfs::{FsFlags, statvfs};
use nix::sys::utsname::uname;
use nix::unistd::User as Account;
use nix::unistd::{Gid, Uid};

use crate::Policy;
use crate::cgroups::Cgroups;
use crate::plan::{Machine, User};

impl Machine {
    /// This one, for the user who asks.
    pub fn here() -> Self {
        let memory = nix::sys::sysinfo::sysinfo().map_or(0, |info| info.ram_total());
        Self {
            uid: Uid::effective().as_raw(),
            gid: Gid::effective().as_raw(),
            memory_bytes: memory,
            has_own_numbers: has_own_numbers(),
            cgroups: Cgroups::find(),
            user: None,
        }
    }

    /// The same, with who the policy's user is here: a name of the system's, or a number.
    #[must_use]
    pub fn with_user_of(mut self, policy: &Policy) -> Self {
        // Only root becomes somebody else; looking somebody up may ask a network.
        self.user = policy
            .user
            .as_deref()
            .filter(|_| self.uid == 0)
            .and_then(account);
        self
    }
}

fn account(name: &str) -> Option<User> {
    let number = name.parse().ok();
    let found = match number {
        Some(number) => Account::from_uid(Uid::from_raw(number)),
        None => Account::from_name(name),
    };
    match (found.ok().flatten(), number) {
        (Some(account), _) => Some(User {
            uid: account.uid.as_raw(),
            gid: account.gid.as_raw(),
            name: Some(account.name),
        }),
        (None, Some(number)) => Some(User {
            uid: number,
            gid: number,
            name: None,
        }),
        (None, None) => None,
    }
    // A second name of root, or its group, is none without privilege.
    .filter(|user| user.uid != 0 && user.gid != 0)
}

/// Whether `kernel.pid_max` belongs to a pid namespace (Linux 6.14) and can be set: containers have it read only. On older
/// kernels it is the host's.
fn has_own_numbers() -> bool {
    let release = uname().ok();
    let release = release.as_ref().and_then(|name| name.release().to_str());
    release.is_some_and(is_new_enough)
        && statvfs(Path::new("/proc/sys"))
            .is_ok_and(|found| !found.flags().contains(FsFlags::ST_RDONLY))
}

fn is_new_enough(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0_u32);
    (next(), next()) >= (6, 14)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_as_numbers() {
        for (release, new) in [
            ("6.14.0", true),
            ("6.18.44-generic", true),
            ("7.0-rc1", true),
            ("6.2.0", false),
            ("6.13.9-arch1", false),
            ("5.15.0-91-generic", false),
            ("unknown", false),
        ] {
            assert_eq!(is_new_enough(release), new, "{release}");
        }
    }
}
