//! A view that is mounted nowhere for a while.
//!
//! Whoever deletes the last environment wants nothing mounted, and often makes it again a moment later. A clone of the
//! mount (`open_tree(2)`, Linux 5.2) that is at no path keeps the kernel's nodes and pages alive until then, and
//! `move_mount(2)` brings it back: the first import is like any other. Both ask for `CAP_SYS_ADMIN`; for who mounts
//! through the helper, the view is taken down.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use blast_store::LayerNumber;
use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::View;
use crate::handover;
use crate::mount::{self, MountError, MountState};
use crate::recent::lock;

/// A served view without environments and without a path. Dropped, it is gone for good.
#[derive(Debug)]
pub struct Aside {
    view: View,
    tree: OwnedFd,
}

impl View {
    /// Takes the environments out, and the mount out of the directory tree, as [`View::unmount`] does, but keeps what the
    /// kernel caches of it. None where this process may not do that, or the mount is not there any more: then it is
    /// gone for good.
    ///
    /// # Errors
    ///
    /// [`MountError::Unmount`] where the system refuses.
    pub fn set_aside(self) -> Result<Option<Aside>, MountError> {
        let Some(mounted) = &self.mounted else {
            return Ok(None);
        };
        let serves = !mounted.session.is_finished();
        if !serves || !handover::is_mounted(&mounted.path, &mounted.device)? {
            return self.unmount().map(|()| None);
        }
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        let tree = match open_tree(&mounted.anchor, "", flags) {
            Ok(tree) => tree,
            Err(error) => {
                tracing::debug!(%error, "the view cannot be kept without a path");
                return self.unmount().map(|()| None);
            }
        };
        // An end from now on is nobody's concern.
        drop(lock(&mounted.ended).take());
        mount::detach(&mounted.path)?;
        for name in self.environments().into_keys() {
            self.remove_environment(&name);
        }
        Ok(Some(Aside { view: self, tree }))
    }
}

impl Aside {
    /// As [`View::bytecode_ready`].
    pub fn bytecode_ready(&self, layer: LayerNumber) {
        self.view.bytecode_ready(layer);
    }

    /// Brings the view back to where it was mounted.
    ///
    /// # Errors
    ///
    /// See [`MountError`]: it is gone then, and nothing is mounted.
    pub fn put_back(self) -> Result<View, MountError> {
        let Self { mut view, tree } = self;
        let Some(mounted) = &mut view.mounted else {
            return Ok(view);
        };
        let path: &Path = &mounted.path;
        if mounted.session.is_finished() {
            return Err(MountError::Gone(path.to_owned()));
        }
        mount::reap(path)?;
        if mount::mount_state(path) == MountState::Alive {
            return Err(MountError::Mounted(path.to_owned()));
        }
        fs::create_dir_all(path).map_err(|source| MountError::MountPoint {
            path: path.to_owned(),
            source,
        })?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&tree, "", CWD, path, flags).map_err(|errno| MountError::Mount {
            path: path.to_owned(),
            source: errno.into(),
        })?;
        mounted.anchor = mount::anchor(path)?;
        Ok(view)
    }
}
