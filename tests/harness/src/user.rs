//! A user without privilege, for tests that root runs as somebody else.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::OnceLock;

use nix::unistd::{Gid, Uid, User};

const NAME: &str = "blast-test";
const FUSE: &str = "/dev/fuse";

/// Who commands are run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestUser {
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
}

impl TestUser {
    /// The user who runs the tests.
    pub fn current() -> Self {
        Self {
            uid: Uid::effective().as_raw(),
            gid: Gid::effective().as_raw(),
        }
    }

    /// Somebody without privilege: ourselves, or, if that is root, the user `blast-test`, who is
    /// made on first need. `fusermount3` looks its caller up in the password file, so a bare
    /// number would not do.
    ///
    /// # Errors
    /// A sentence that says why there is none.
    pub fn ensure() -> Result<Self, String> {
        static USER: OnceLock<Result<TestUser, String>> = OnceLock::new();
        USER.get_or_init(|| {
            if !Uid::effective().is_root() {
                return Ok(Self::current());
            }
            let user = match lookup()? {
                Some(user) => user,
                None => create()?,
            };
            Ok(user)
        })
        .clone()
    }

    /// Lets that user mount; nothing to do for who is no root.
    pub(crate) fn open_fuse() -> Result<(), String> {
        static OPEN: OnceLock<Result<(), String>> = OnceLock::new();
        OPEN.get_or_init(|| {
            if Uid::effective().is_root() {
                open_fuse_to_all()?;
            }
            Ok(())
        })
        .clone()
    }
}

fn lookup() -> Result<Option<TestUser>, String> {
    User::from_name(NAME)
        .map(|found| {
            found.map(|user| TestUser {
                uid: user.uid.as_raw(),
                gid: user.gid.as_raw(),
            })
        })
        .map_err(|error| format!("the password file cannot be read: {error}"))
}

fn create() -> Result<TestUser, String> {
    let output = Command::new("useradd")
        .args([
            "--system",
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
            "--user-group",
            NAME,
        ])
        .output()
        .map_err(|error| format!("useradd cannot be run: {error}"))?;
    // Another test process may have been faster; what counts is that the user exists now.
    lookup()?.ok_or_else(|| {
        format!(
            "useradd failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )
    })
}

/// Distributions ship `/dev/fuse` open to all; bare containers often have it closed.
fn open_fuse_to_all() -> Result<(), String> {
    let meta = fs::metadata(FUSE).map_err(|error| format!("{FUSE}: {error}"))?;
    if meta.permissions().mode() & 0o666 == 0o666 {
        return Ok(());
    }
    eprintln!("opening {FUSE} to all users (0666), as distributions ship it");
    fs::set_permissions(FUSE, fs::Permissions::from_mode(0o666))
        .map_err(|error| format!("{FUSE} cannot be opened to other users: {error}"))
}
