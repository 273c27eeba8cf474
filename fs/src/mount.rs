//! The host's side of a mount: whether it can be made, what is at the mount point now, and how a
//! dead one is taken away.
//!
//! A FUSE mount whose daemon died answers everything with `ENOTCONN`; one whose daemon hangs, with
//! nothing at all. So the mount point itself is only ever touched from a thread that may be left
//! behind; its path is resolved through its parent, and what is mounted is read from
//! `/proc/self/mountinfo`.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use blast_types::Hint;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, umount2};
use nix::sys::statfs::statfs;

use crate::mountinfo::{MountLine, mount_at};
use crate::namespace;

/// The file system name under which our mounts are listed.
pub(crate) const SOURCE: &str = "blast";

pub(crate) const DEVICE: &str = "/dev/fuse";
const HELPER: &str = "fusermount3";
const TABLE: &str = "/proc/self/mountinfo";
/// How long a mount point may take to answer before it counts as busy rather than dead.
const PROBE: Duration = Duration::from_secs(2);
/// Mounts can lie on top of one another at one path; more than this is no accident of ours.
const MAX_STACKED: usize = 16;

/// Why a view cannot be mounted or unmounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The kernel has no FUSE, or the container does not show it.
    #[error("{DEVICE} does not exist")]
    NoDevice,
    /// The device exists but not for us.
    #[error("cannot open {DEVICE}")]
    Device(#[source] io::Error),
    /// A normal user mounts through a set-user-id helper, and it is not there.
    #[error("`{HELPER}` is not installed")]
    NoHelper,
    /// The list of mounts cannot be read.
    #[error("cannot read {TABLE}")]
    Table(#[source] io::Error),
    /// The mount point cannot be made or looked at.
    #[error("cannot use {} as a mount point", path.display())]
    MountPoint {
        /// The mount point.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A view is mounted there and answers, so another daemon serves it.
    #[error("{} is mounted already", .0.display())]
    Mounted(PathBuf),
    /// The system refuses the mount.
    #[error("cannot mount at {}", path.display())]
    Mount {
        /// The mount point.
        path: PathBuf,
        /// What the system or the helper said.
        #[source]
        source: io::Error,
    },
    /// The system refuses to unmount.
    #[error("cannot unmount {}", path.display())]
    Unmount {
        /// The mount point.
        path: PathBuf,
        /// What the system or the helper said.
        #[source]
        source: io::Error,
    },
    /// The kernel cannot send requests again, so the mount of a dead process is of no use.
    #[error("the kernel cannot hand over a mount (needs Linux 6.9)")]
    NoResend,
    /// The mount to take over is not there any more.
    #[error("{} is not mounted any more", .0.display())]
    Gone(PathBuf),
    /// The mount cannot be taken over.
    #[error("cannot take over the mount at {}", path.display())]
    TakeOver {
        /// The mount point.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No thread could be started to serve the mount.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

impl MountError {
    /// Whether it is the host that has no FUSE for us, rather than this mount point that is in
    /// some state.
    pub fn is_of_host(&self) -> bool {
        match self {
            Self::NoDevice | Self::Device(_) | Self::NoHelper | Self::Mount { .. } => true,
            Self::Table(_)
            | Self::MountPoint { .. }
            | Self::Mounted(_)
            | Self::Unmount { .. }
            | Self::NoResend
            | Self::Gone(_)
            | Self::TakeOver { .. }
            | Self::Thread(_) => false,
        }
    }
}

impl Hint for MountError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoDevice => vec![
                "modprobe fuse".to_owned(),
                format!("in a container: give it the device, for example `--device {DEVICE}`"),
            ],
            Self::Device(_) => vec![format!(
                "sudo chmod 0666 {DEVICE}, as distributions ship it"
            )],
            Self::NoHelper => vec![format!(
                "install FUSE 3 (`apt install fuse3`, `dnf install fuse3`, `apk add fuse3`) to get \
                 `{HELPER}`"
            )],
            Self::Mounted(_) => vec!["blast kill --all".to_owned()],
            Self::Mount { .. } => vec![format!(
                "in a container: it needs `--device {DEVICE} --cap-add SYS_ADMIN`"
            )],
            Self::Table(_)
            | Self::MountPoint { .. }
            | Self::Unmount { .. }
            | Self::NoResend
            | Self::Gone(_)
            | Self::TakeOver { .. }
            | Self::Thread(_) => Vec::new(),
        }
    }
}

/// What is at a mount point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountState {
    /// No view.
    NotMounted,
    /// A view with a process behind it.
    Alive,
    /// A view whose process is gone.
    Stale,
}

/// What the host offers for mounting a view.
#[derive(Debug)]
pub struct HostSupport {
    /// Whether `/dev/fuse` can be opened.
    pub device: bool,
    /// Whether the helper through which normal users mount is installed.
    pub helper: bool,
    /// Whether this process may mount without the helper: as root, or where it is.
    pub privileged: bool,
    /// Why no view can be mounted; none where one can.
    pub reason: Option<MountError>,
}

impl HostSupport {
    /// Whether a view can be mounted, as far as can be told without trying.
    pub fn usable(&self) -> bool {
        self.reason.is_none()
    }
}

/// Looks at what the host offers. Mounts nothing.
pub fn host_support() -> HostSupport {
    let device = OpenOptions::new().read(true).write(true).open(DEVICE);
    let helper = helper().is_some();
    let privileged = nix::unistd::geteuid().is_root() || namespace::is_inside();
    let (device, reason) = match device {
        Ok(_) if helper || privileged => (true, None),
        Ok(_) => (true, Some(MountError::NoHelper)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            (false, Some(MountError::NoDevice))
        }
        // The device node without the driver behind it.
        Err(error) if error.raw_os_error() == Some(Errno::ENODEV as i32) => {
            (false, Some(MountError::NoDevice))
        }
        Err(error) => (false, Some(MountError::Device(error))),
    };
    HostSupport {
        device,
        helper,
        privileged,
        reason,
    }
}

/// Where the helper is. Looks in the places that fuser looks in.
fn helper() -> Option<PathBuf> {
    let named = std::env::var_os("FUSERMOUNT_PATH").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/sbin".into(), "/bin".into()]);
    named
        .into_iter()
        .chain(folders.map(|folder: PathBuf| folder.join(HELPER)))
        .find(|path| path.is_file())
}

/// The mount point's path with nothing left to resolve, found without touching the mount itself.
///
/// # Errors
///
/// [`MountError::MountPoint`] where the parent does not exist.
pub(crate) fn resolve(live: &Path) -> Result<PathBuf, MountError> {
    let failed = |source| MountError::MountPoint {
        path: live.to_owned(),
        source,
    };
    let name = live
        .file_name()
        .ok_or_else(|| failed(Errno::EINVAL.into()))?;
    let parent = match live.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    Ok(parent.canonicalize().map_err(failed)?.join(name))
}

/// The topmost mount at a resolved path.
pub(crate) fn mounted_at(path: &Path) -> Result<Option<MountLine>, MountError> {
    let table = fs::read(TABLE).map_err(MountError::Table)?;
    Ok(mount_at(&String::from_utf8_lossy(&table), path))
}

/// What is at this mount point. Returns within seconds, whatever state the mount is in: one that
/// does not answer in that time has a process behind it and counts as alive.
pub fn mount_state(live: &Path) -> MountState {
    // What cannot be resolved has nothing of ours mounted on it.
    resolve(live)
        .and_then(|path| state_at(&path))
        .unwrap_or(MountState::NotMounted)
}

fn state_at(path: &Path) -> Result<MountState, MountError> {
    if !mounted_at(path)?.is_some_and(|mount| mount.is_view()) {
        return Ok(MountState::NotMounted);
    }
    let (answer, answered) = mpsc::channel();
    let probed = path.to_owned();
    // statfs because the kernel caches no answer to it. The thread is left behind when the mount
    // hangs, and ends with the mount.
    let probe = thread::Builder::new()
        .name("mount-probe".into())
        .spawn(move || {
            let dead = matches!(statfs(&probed), Err(Errno::ENOTCONN | Errno::ECONNABORTED));
            // Nobody listens any more after the time-out.
            answer.send(dead).ok()
        });
    drop(probe.map_err(MountError::Thread)?);
    Ok(match answered.recv_timeout(PROBE) {
        Ok(true) => MountState::Stale,
        Ok(false) | Err(_) => MountState::Alive,
    })
}

/// Takes away dead views at this mount point; says whether there were any. Leaves living ones.
///
/// # Errors
///
/// [`MountError::Unmount`] where the system refuses, [`MountError::MountPoint`] where the mounts
/// cannot be listed.
pub fn reap(live: &Path) -> Result<bool, MountError> {
    let path = match resolve(live) {
        Ok(path) => path,
        // Without a parent there is no mount.
        Err(MountError::MountPoint { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    for reaped in 0..MAX_STACKED {
        if state_at(&path)? != MountState::Stale {
            return Ok(reaped > 0);
        }
        tracing::info!(path = %path.display(), "reaping a dead mount");
        detach(&path)?;
    }
    Ok(true)
}

/// Takes the topmost mount at this path out of the tree at once; it lives on until nobody uses it.
pub(crate) fn detach(path: &Path) -> Result<(), MountError> {
    let failed = |source| MountError::Unmount {
        path: path.to_owned(),
        source,
    };
    match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        Ok(()) => Ok(()),
        Err(Errno::EPERM) => detach_by_helper(path).map_err(failed),
        Err(errno) => Err(failed(errno.into())),
    }
}

fn detach_by_helper(path: &Path) -> io::Result<()> {
    let helper = helper().ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("`{HELPER}` is not installed"),
        )
    })?;
    let output = Command::new(helper)
        .args(["-u", "-z", "--"])
        .arg(path)
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(
        String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    ))
}

/// A descriptor that keeps the mount's superblock alive without keeping any file open.
pub(crate) fn anchor(path: &Path) -> Result<File, MountError> {
    OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC).bits())
        .open(path)
        .map_err(|source| MountError::MountPoint {
            path: path.to_owned(),
            source,
        })
}

/// What a failed mount means on this host.
pub(crate) fn explain(path: &Path, source: io::Error) -> MountError {
    if let Some(reason) = host_support().reason {
        return reason;
    }
    // Root that may not mount is sent to the helper too.
    let source = if source.kind() == io::ErrorKind::NotFound && helper().is_none() {
        Errno::EPERM.into()
    } else {
        source
    };
    MountError::Mount {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_a_mount_is_not_mounted_and_not_reaped() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let live = folder.path().join("live");
        assert_eq!(mount_state(&live), MountState::NotMounted);
        assert!(!reap(&live).expect("nothing to do"));
        fs::create_dir(&live).expect("a folder");
        assert_eq!(mount_state(&live), MountState::NotMounted);
        assert!(!reap(&folder.path().join("no/such/parent")).expect("nothing to do"));
    }

    #[test]
    fn another_file_system_is_no_view() {
        assert_eq!(mount_state(Path::new("/proc")), MountState::NotMounted);
        assert!(!reap(Path::new("/proc")).expect("left alone"));
    }

    #[test]
    fn unusable_hosts_say_how_to_become_usable() {
        let denied = io::Error::from_raw_os_error(Errno::EACCES as i32);
        for error in [
            MountError::NoDevice,
            MountError::Device(denied),
            MountError::NoHelper,
        ] {
            assert!(!error.hints().is_empty(), "{error}");
        }
    }

    #[test]
    fn support_names_a_reason_exactly_when_unusable() {
        let support = host_support();
        assert_eq!(
            support.usable(),
            support.device && (support.helper || support.privileged)
        );
    }
}
