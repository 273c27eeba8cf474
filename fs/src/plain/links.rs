//! How a plain file gets the bytes of a blob.

use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

/// From the cheapest to the dearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// Shared extents, copied on write (btrfs, XFS, bcachefs): costs no space and is as safe as a
    /// copy.
    Reflink,
    /// The blob's own file by another name: costs no space, and must not be written through. Such
    /// files have no write bits, which does not hold root back: see [`probe`].
    HardLink,
    /// Bytes of its own.
    Copy,
}

impl fmt::Display for LinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reflink => "reflinks",
            Self::HardLink => "hard links",
            Self::Copy => "copies",
        })
    }
}

/// Finds out, by trying, how files below `to` can share bytes with files below `from`. Both must
/// exist and be writable; nothing is left there.
///
/// Hard links are not for root, whom no mode keeps from writing into a blob by way of a file of an
/// environment.
///
/// # Errors
///
/// Where not even an empty file can be made.
pub fn probe(from: &Path, to: &Path) -> io::Result<LinkKind> {
    let mut source = tempfile::Builder::new()
        .prefix(".probe-")
        .tempfile_in(from)?;
    source.write_all(&[0; 4096])?;
    let copy = tempfile::Builder::new().prefix(".probe-").tempfile_in(to)?;
    if clone_file(source.as_file(), copy.as_file()).is_ok() {
        return Ok(LinkKind::Reflink);
    }
    if nix::unistd::geteuid().is_root() || link_beside(source.path(), copy.path()).is_err() {
        return Ok(LinkKind::Copy);
    }
    Ok(LinkKind::HardLink)
}

/// Whether files below `to` can be hard links to files below `from`.
///
/// # Errors
///
/// What the system says to a first one: `EXDEV` where they are on two file systems.
pub fn try_hard_link(from: &Path, to: &Path) -> io::Result<()> {
    let source = tempfile::Builder::new()
        .prefix(".probe-")
        .tempfile_in(from)?;
    let place = tempfile::Builder::new().prefix(".probe-").tempfile_in(to)?;
    link_beside(source.path(), place.path())
}

/// Links to a name that is free because it extends one that was just made for us.
fn link_beside(from: &Path, beside: &Path) -> io::Result<()> {
    let mut name = beside.as_os_str().to_owned();
    name.push("-link");
    std::fs::hard_link(from, &name)?;
    std::fs::remove_file(&name)
}

/// Gives an empty file the bytes of another without copying them (the `FICLONE` ioctl).
pub(super) fn clone_file(from: &File, to: &File) -> io::Result<()> {
    Ok(rustix::fs::ioctl_ficlone(to, from)?)
}
