//! The gate of tests that need something of the host.
//!
//! A test asks `if !require(Means::Fuse) { return; }`. What is missing is said on stderr; where
//! `BLAST_TEST_REQUIRE` names the means (`fuse,zsh`), the test fails instead, so that a machine
//! that is meant to run everything cannot fall silent.
//!
//! `BLAST_TEST_VIEW=files` runs commands with environments as plain files, as on a host without FUSE;
//! what is about the mounted view itself ([`Means::Mount`]) is skipped then.

use std::env;
use std::fmt;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::{Command, Stdio};

use nix::unistd::Uid;

use crate::process::program_on_path;
use crate::user::TestUser;

/// What a test can need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// A usable `/dev/fuse`, and `fusermount3` for who is not root.
    Fuse,
    /// Environments that can be seen: FUSE, or plain files by `BLAST_TEST_VIEW=files`.
    View,
    /// The mounted view itself: FUSE, and not plain files.
    Mount,
    /// The right to mount.
    Root,
    /// An unprivileged user to act as, who can see environments: being root (with FUSE for
    /// everybody), or not being root at all.
    User,
    /// User namespaces that the user who runs the tests may make, with a `/proc` of their own.
    Namespaces,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
    /// A kernel that sends FUSE requests again when it is told to (6.9), and all of [`Means::Fuse`].
    Resend,
    /// Network namespaces that this user may make, and `unshare` and `ip` to make them with.
    Netns,
    /// The right to cover a tree with an overlay: being root, or user namespaces.
    Overlay,
    /// A package registry to talk to; `BLAST_TEST_OFFLINE=1` says that there is none.
    Network,
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fuse => "fuse",
            Self::View => "view",
            Self::Mount => "mount",
            Self::Root => "root",
            Self::User => "user",
            Self::Namespaces => "namespaces",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
            Self::Resend => "resend",
            Self::Netns => "netns",
            Self::Overlay => "overlay",
            Self::Network => "network",
        })
    }
}

impl Means {
    /// Why the host does not have it, if so.
    fn missing(self) -> Option<String> {
        match self {
            Self::Root => root_missing(),
            Self::Mount if files_wanted() => {
                Some("it is about the mounted view (BLAST_TEST_VIEW=files)".to_owned())
            }
            Self::View if files_wanted() => None,
            Self::Fuse | Self::View | Self::Mount => fuse_missing(),
            Self::User if files_wanted() => TestUser::ensure().err(),
            Self::User => fuse_missing()
                .or_else(|| TestUser::ensure().and_then(|_| TestUser::open_fuse()).err()),
            Self::Namespaces => namespaces_missing(),
            Self::Zsh | Self::Fish => program_on_path(&self.to_string())
                .is_none()
                .then(|| format!("no {self} on PATH")),
            Self::Resend => fuse_missing().or_else(resend_missing),
            Self::Netns => netns_missing(),
            Self::Overlay => overlay_missing(),
            Self::Network => env::var_os("BLAST_TEST_OFFLINE")
                .is_some_and(|value| !value.is_empty() && value != "0")
                .then(|| "BLAST_TEST_OFFLINE is set".to_owned()),
        }
    }
}

/// Whether commands shall show environments as plain files.
pub(crate) fn files_wanted() -> bool {
    env::var_os("BLAST_TEST_VIEW").is_some_and(|value| value == "files")
}

/// Whether the host has what the test needs.
///
/// # Panics
/// If it has not, and `BLAST_TEST_REQUIRE` lists it.
#[must_use]
pub fn require(means: Means) -> bool {
    let Some(reason) = means.missing() else {
        return true;
    };
    let required = env::var("BLAST_TEST_REQUIRE").unwrap_or_default();
    assert!(
        !required
            .split(',')
            .any(|name| name.trim() == means.to_string()),
        "BLAST_TEST_REQUIRE lists {means}, but: {reason}"
    );
    let test = std::thread::current();
    tell(&format!(
        "skipped: {}: {reason}\n",
        test.name().unwrap_or("a test")
    ));
    false
}

/// Test runners swallow what a passing test prints: a skip goes past them to the terminal, and to
/// the file of `BLAST_TEST_SKIPS`, of which `make test` makes its closing list.
fn tell(line: &str) {
    let written = std::io::stderr().write_all(line.as_bytes());
    let listed = env::var_os("BLAST_TEST_SKIPS").map_or(Ok(()), |path| {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)?
            .write_all(line.as_bytes())
    });
    written.and(listed).expect("a skip can be told");
}

fn fuse_missing() -> Option<String> {
    if let Err(error) = OpenOptions::new().read(true).write(true).open("/dev/fuse") {
        return Some(format!("/dev/fuse cannot be used: {error}"));
    }
    if !Uid::effective().is_root() && program_on_path("fusermount3").is_none() {
        return Some("no fusermount3 on PATH".to_owned());
    }
    None
}

/// Whether this user can make a mount namespace, which is what overlays take.
fn overlay_missing() -> Option<String> {
    let how = if Uid::effective().is_root() {
        "-m"
    } else {
        "-rm"
    };
    let tried = std::process::Command::new("unshare")
        .args([how, "true"])
        .output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("no unshare: {error}")),
    }
}

fn resend_missing() -> Option<String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.trim().parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    (version < (6, 9)).then(|| format!("Linux {} is older than 6.9", release.trim()))
}

fn namespaces_missing() -> Option<String> {
    let tried = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--mount-proc",
            "true",
        ])
        .stdin(Stdio::null())
        .output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!(
            "no user namespace can be made here: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => Some(format!("unshare cannot be run: {error}")),
    }
}

/// Some hosts let only privileged programs have namespaces of users, and some kernels have no pairs of devices.
fn netns_missing() -> Option<String> {
    let tried = Command::new("unshare")
        .args([
            "-Urn", "ip", "link", "add", "one", "type", "veth", "peer", "name", "two",
        ])
        .stdin(Stdio::null())
        .output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!(
            "no network namespace can be made here: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => Some(format!("unshare cannot be run: {error}")),
    }
}

/// Being uid 0 is not enough: a container's root may be refused every mount.
fn root_missing() -> Option<String> {
    if !Uid::effective().is_root() {
        return Some("not root".to_owned());
    }
    let tried = Command::new("unshare")
        .args(["--mount", "mount", "-t", "tmpfs", "none", "/mnt"])
        .stdin(Stdio::null())
        .output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!(
            "root may not mount here: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => Some(format!("unshare cannot be run: {error}")),
    }
}
