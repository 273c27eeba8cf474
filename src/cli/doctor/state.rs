//! Checks of our own state: places and the space they have, the daemon, the mount.

use std::fs;
use std::path::Path;

use blast_fs::{MountError, MountState};
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use super::Check;
use crate::cli::context::Context;
use crate::error::Error;
use crate::ipc::paths::Places;
use crate::ipc::protocol::{Reply, Request, ViewChoice};
use crate::namespace;
use crate::ui::units;

/// Less than this is likely to run out in the next install.
const LITTLE_SPACE_BYTES: u64 = 1 << 30;

/// How environments are shown.
const VIEW: &str = "view";
const RELEASE: &str = "/proc/sys/kernel/osrelease";

/// All of them.
pub(super) fn checks(context: &Context) -> Result<Vec<Check>, Error> {
    let places = context.places()?;
    Ok(vec![
        place("store", &places.home),
        place("cache", &places.cache),
        runtime(places),
        daemon(context)?,
        holder(places),
        view(context, &places.live())?,
    ])
}

fn place(name: &'static str, path: &Path) -> Check {
    let shown = path.display();
    // What is not there yet will be made below the nearest directory that is.
    let Some(existing) = path.ancestors().find(|above| above.exists()) else {
        return Check::fail(name, format!("{shown}: no such place"));
    };
    if let Err(error) = access(existing, AccessFlags::W_OK | AccessFlags::X_OK) {
        return Check::fail(name, format!("{shown} cannot be written: {error}")).hint(format!(
            "make {} yours, or set BLAST_HOME and BLAST_CACHE",
            existing.display()
        ));
    }
    match statvfs(existing) {
        Ok(disk) => {
            let free = disk.blocks_available().saturating_mul(disk.fragment_size());
            let message = format!("{shown} ({} free)", units::bytes(free));
            if free < LITTLE_SPACE_BYTES {
                Check::warn(name, message).hint("free some: `blast clean`")
            } else {
                Check::ok(name, message)
            }
        }
        Err(error) => Check::warn(
            name,
            format!("{shown}: its disk does not say its size: {error}"),
        ),
    }
}

fn runtime(places: &Places) -> Check {
    match places.ensure_runtime() {
        Ok(()) => Check::ok("runtime", places.runtime.display().to_string()),
        Err(error) => {
            let error = Error::from(error);
            let check = Check::fail("runtime", error.message);
            error.hints.into_iter().fold(check, Check::hint)
        }
    }
}

fn daemon(context: &Context) -> Result<Check, Error> {
    const NAME: &str = "daemon";
    Ok(match context.client()?.ask_running(Request::Ping) {
        Ok(None) => Check::ok(NAME, "not running; it starts with the next command"),
        Ok(Some(Reply::Pong { build, pid })) => {
            let message = format!("blast {build}, process {pid}");
            if is_replaced(pid) {
                Check::warn(
                    NAME,
                    format!("{message}, of an executable that was replaced"),
                )
                .hint("run `blast daemon restart`; environments stay mounted")
            } else {
                Check::ok(NAME, message)
            }
        }
        Ok(Some(_)) => return Err(Error::unexpected_reply()),
        Err(error) => {
            let check = Check::fail(NAME, error.message);
            error.hints.into_iter().fold(check, Check::hint)
        }
    })
}

fn holder(places: &Places) -> Check {
    const NAME: &str = "holder";
    let can_resend = resend(&fs::read_to_string(RELEASE).unwrap_or_default());
    let check = match crate::holder::process(places) {
        Some(pid) => Check::ok(
            NAME,
            format!("process {pid} keeps the mount if the daemon dies"),
        ),
        None => Check::ok(NAME, "not running; it starts with the first mount"),
    };
    if can_resend {
        return check;
    }
    Check::warn(
        NAME,
        "this kernel cannot hand a mount over (Linux 6.9 can): if the daemon dies, the view is mounted \
         anew and programs that are reading from it fail",
    )
}

/// Whether this release of the kernel can send FUSE requests again.
fn resend(release: &str) -> bool {
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.trim().parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 9)
}

/// Whether the executable that a process runs is gone from its path, as after an upgrade.
fn is_replaced(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe"))
        .is_ok_and(|path| path.to_string_lossy().ends_with(" (deleted)"))
}

fn view(context: &Context, live: &Path) -> Result<Check, Error> {
    let choice = context.settings()?.view;
    // Trouble with the daemon is told by its own check.
    if let Ok(Some(Reply::Status(status))) =
        context.client()?.ask_running(Request::Status { env: None })
    {
        if status.view.namespace.is_some() {
            let message = format!("mounted at {}, in a namespace of its own", live.display());
            return Ok(Check::ok(VIEW, message));
        }
        if let Some(links) = &status.view.links {
            let shown = live.display();
            let reason = status.view.reason.unwrap_or_default();
            let message = format!("plain files below {shown}, {links} ({reason})");
            return Ok(match choice {
                ViewChoice::Fuse => Check::warn(VIEW, message)
                    .hint("the next command that uses an environment mounts a view"),
                ViewChoice::Auto | ViewChoice::Files => Check::ok(VIEW, message),
            });
        }
    }
    let files = match choice {
        ViewChoice::Fuse => false,
        ViewChoice::Files => true,
        ViewChoice::Auto => match blast_fs::host_support().reason {
            None => false,
            Some(MountError::NoHelper) => namespace::try_apart().is_err(),
            Some(_) => true,
        },
    };
    if files && blast_fs::mount_state(live) == MountState::NotMounted {
        let message = format!("plain files, below {} when needed", live.display());
        return Ok(Check::ok(VIEW, message));
    }
    Ok(mount(live))
}

fn mount(live: &Path) -> Check {
    let shown = live.display();
    match blast_fs::mount_state(live) {
        MountState::Alive => Check::ok(VIEW, format!("mounted at {shown}")),
        MountState::NotMounted => Check::ok(
            VIEW,
            format!("not mounted; it will be at {shown} when it is needed"),
        ),
        MountState::Stale => Check::warn(VIEW, format!("{shown} is left over from a dead daemon"))
            .hint("any command that uses an environment mends it, so does `blast kill --all`"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_place_that_does_not_exist_yet_is_judged_by_its_parent() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let check = place("store", &folder.path().join("not/yet"));
        assert_ne!(check.verdict, Verdict::Fail, "{check:?}");
        assert!(
            check.message.contains("not/yet") && check.message.contains("free"),
            "{check:?}"
        );
    }

    #[test]
    fn kernels_from_6_9_on_can_resend() {
        for (release, can) in [
            ("6.8.0-31-generic", false),
            ("6.9.1\n", true),
            ("6.18.44-fc-v669", true),
            ("5.15.0", false),
            ("7.0-rc1", true),
            ("", false),
        ] {
            assert_eq!(resend(release), can, "{release}");
        }
    }

    #[test]
    fn our_own_executable_is_not_replaced() {
        assert!(!is_replaced(std::process::id()));
    }
}
