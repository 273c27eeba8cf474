//! Writing what was planned.
//!
//! Folders come first, then files by as many threads as there are processors, then modes and times
//! of folders, the innermost first: a file that is made changes the time of its folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;

use blast_store::{Entry, EntryKind};
use blast_types::BlobId;
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, futimens, utimensat};
use nix::sys::time::TimeSpec;

use super::links::clone_file;
use super::plan::{Leaf, Plan};
use super::{LinkKind, PlainError, Written};
use crate::content::Content;
use crate::recent::lock;
use crate::server::Time;

/// So many files are taken by a thread at a time.
const BATCH: usize = 32;

/// Writes into one directory.
pub(super) struct Writer<'a> {
    content: &'a dyn Content,
    to: &'a Path,
    links: LinkKind,
    stop: &'a AtomicBool,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    files: AtomicU64,
    symlinks: AtomicU64,
    reflinks: AtomicU64,
    hard_links: AtomicU64,
    bytes: AtomicU64,
}

fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        content: &'a dyn Content,
        to: &'a Path,
        links: LinkKind,
        stop: &'a AtomicBool,
    ) -> Self {
        Self {
            content,
            to,
            links,
            stop,
            counts: Counts::default(),
        }
    }

    /// Writes a whole tree into the directory, which is empty.
    pub(super) fn write(&self, plan: &Plan, mtime_ns: i64) -> Result<Written, PlainError> {
        for folder in plan.folders.iter().skip(1) {
            fs::create_dir(self.to.join(&folder.path)).map_err(at(&folder.path))?;
        }
        self.write_leaves(plan)?;
        let mtime = time(Time::from_nanos(mtime_ns));
        for folder in plan.folders.iter().rev() {
            let path = self.to.join(&folder.path);
            fs::set_permissions(&path, fs::Permissions::from_mode(folder.mode))
                .and_then(|()| set_time(&path, mtime))
                .map_err(at(&folder.path))?;
        }
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Ok(Written {
            directories: plan.folders.len() as u64,
            files: read(&self.counts.files),
            symlinks: read(&self.counts.symlinks),
            reflinks: read(&self.counts.reflinks),
            hard_links: read(&self.counts.hard_links),
            bytes: read(&self.counts.bytes),
            pending: plan.pending.clone(),
        })
    }

    /// Adds files to a tree that is in use: each appears whole. Says how many were missing.
    pub(super) fn add(&self, plan: &Plan) -> Result<u64, PlainError> {
        for folder in &plan.folders {
            match fs::create_dir(self.to.join(&folder.path)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                // The user took the package away; then it needs no bytecode.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(at(&folder.path)(error)),
            }
        }
        let mut added = 0;
        for leaf in &plan.leaves {
            let path = plan.path(leaf);
            let target = self.to.join(&path);
            let missing = matches!(
                fs::symlink_metadata(&target),
                Err(error) if error.kind() == io::ErrorKind::NotFound
            );
            if !missing || !target.parent().is_some_and(Path::is_dir) {
                continue;
            }
            let mut temporary = target.clone().into_os_string();
            temporary.push(".blast-new");
            let temporary = Path::new(&temporary);
            let placed = self
                .leaf(temporary, &path, leaf)
                .and_then(|()| fs::rename(temporary, &target).map_err(at(&path)));
            if placed.is_err() {
                // The first error is the one to tell.
                drop(fs::remove_file(temporary));
            }
            placed?;
            added += 1;
        }
        Ok(added)
    }

    fn write_leaves(&self, plan: &Plan) -> Result<(), PlainError> {
        let next = AtomicUsize::new(0);
        let failed = Mutex::new(None);
        let work = || {
            while lock(&failed).is_none() {
                let first = next.fetch_add(BATCH, Ordering::Relaxed);
                let Some(rest) = plan.leaves.get(first..).filter(|rest| !rest.is_empty()) else {
                    return;
                };
                for leaf in &rest[..rest.len().min(BATCH)] {
                    let path = plan.path(leaf);
                    let written = if self.stop.load(Ordering::Relaxed) {
                        Err(PlainError::Stopped)
                    } else {
                        self.leaf(&self.to.join(&path), &path, leaf)
                    };
                    if let Err(error) = written {
                        lock(&failed).get_or_insert(error);
                        return;
                    }
                }
            }
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 1..threads.min(plan.leaves.len() / BATCH + 1) {
                scope.spawn(work);
            }
            work();
        });
        failed.into_inner().unwrap_or_default().map_or(Ok(()), Err)
    }

    /// Makes one file or link at `target`, which the tree has at `path`.
    fn leaf(&self, target: &Path, path: &Path, leaf: &Leaf) -> Result<(), PlainError> {
        let part = &leaf.part;
        let damaged = || PlainError::Damaged {
            layer: part.layer.id(),
            path: path.to_owned(),
        };
        let entry = part.layer.get(part.entry).ok_or_else(damaged)?;
        let mtime = time(Time::from_seconds(entry.mtime));
        match entry.kind {
            EntryKind::Symlink { target: leads_to } => {
                symlink(std::ffi::OsStr::from_bytes(leads_to), target)
                    .and_then(|()| set_time(target, mtime))
                    .map_err(at(path))?;
                count(&self.counts.symlinks, 1);
                return Ok(());
            }
            EntryKind::Inline { bytes } => {
                let mut file = create(target).map_err(at(path))?;
                file.write_all(bytes)
                    .and_then(|()| finish(&file, entry.mode, mtime))
                    .map_err(at(path))?;
            }
            EntryKind::File { blob } => {
                if !self.hard_link(blob, &entry, target).map_err(at(path))? {
                    let file = create(target).map_err(at(path))?;
                    self.fill(&file, blob, entry.size, path)?;
                    finish(&file, entry.mode, mtime).map_err(at(path))?;
                }
            }
            EntryKind::Extended {
                blob,
                base_size,
                tail,
            } => {
                let mut file = create(target).map_err(at(path))?;
                self.fill(&file, blob, base_size, path)?;
                // The clone leaves the position at the beginning.
                io::Seek::seek(&mut file, io::SeekFrom::End(0))
                    .and_then(|_| file.write_all(tail))
                    .and_then(|()| finish(&file, entry.mode, mtime))
                    .map_err(at(path))?;
            }
            EntryKind::Dir { .. } | EntryKind::Damaged => return Err(damaged()),
        }
        count(&self.counts.files, 1);
        count(&self.counts.bytes, entry.size);
        Ok(())
    }

    fn hard_link(&self, blob: BlobId, entry: &Entry<'_>, target: &Path) -> io::Result<bool> {
        if self.links != LinkKind::HardLink {
            return Ok(false);
        }
        let executable = entry.mode & 0o111 != 0;
        let linked = self
            .content
            .link_blob(blob, executable, entry.mtime, target)?;
        count(&self.counts.hard_links, u64::from(linked));
        Ok(linked)
    }

    /// Gives an empty file the bytes of a blob.
    fn fill(&self, file: &File, blob: BlobId, size: u64, path: &Path) -> Result<(), PlainError> {
        let unread = |source| PlainError::Blob {
            blob,
            path: path.to_owned(),
            source,
        };
        let mut from = self.content.open_blob(blob).map_err(unread)?;
        if self.links == LinkKind::Reflink && clone_file(&from, file).is_ok() {
            count(&self.counts.reflinks, 1);
            return Ok(());
        }
        // By copy_file_range(2) where that can be.
        let copied = io::copy(&mut from, &mut &*file).map_err(at(path))?;
        if copied != size {
            return Err(unread(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(())
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Mode and time, last: writing changes the time, and the mode may forbid writing.
fn finish(file: &File, mode: u32, mtime: TimeSpec) -> io::Result<()> {
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(futimens(file, &TimeSpec::UTIME_OMIT, &mtime)?)
}

/// The modification time of a directory or link.
fn set_time(path: &Path, mtime: TimeSpec) -> io::Result<()> {
    Ok(utimensat(
        AT_FDCWD,
        path,
        &TimeSpec::UTIME_OMIT,
        &mtime,
        UtimensatFlags::NoFollowSymlink,
    )?)
}

fn time(time: Time) -> TimeSpec {
    TimeSpec::new(time.seconds, i64::from(time.nanos))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> PlainError {
    let path = path.to_owned();
    move |source| PlainError::Write { path, source }
}
