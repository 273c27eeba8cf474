//! Who keeps a mount while no daemon serves it, as far as the engine needs to know.

use std::fmt::Debug;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use blast_fs::Handover;

/// A home's mount, for the next process.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The home.
    pub(crate) home: PathBuf,
    /// Its cache.
    pub(crate) cache: PathBuf,
    /// The directory that the mount covers.
    pub(crate) below: OwnedFd,
    /// The mount.
    pub(crate) handover: Handover,
}

/// Keeps mounts beyond the life of this process. That it cannot is logged and no error: the view works
/// without.
pub(crate) trait Keeper: Debug + Send + Sync {
    /// Keeps the mount of a home, in place of the one that was kept.
    fn keep(&self, kept: Kept);

    /// Lets go of the mount of a home.
    fn release(&self, home: &Path);

    /// The process that keeps them, if one does.
    fn process(&self) -> Option<u32>;
}
