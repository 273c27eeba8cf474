//! The adapter to the kernel: each handler opens a span, counts, asks the [`Server`] and turns its
//! answer into kernel structures; nothing is decided here but what the kernel may cache and what it
//! need not ask.
//!
//! - Every answer holds without end, but for the absence of bytecode that is still to come.
//! - `open`, `opendir`, `flush`, `access` and extended attributes are answered with `ENOSYS`, which the
//!   kernel takes as "never ask again": files then open without a request and keep their pages,
//!   directories their listings. (Not so `readdirplus`: `ls` fails on its absence.)
//! - Node numbers need no table, so that `forget` only serves to know which trees are in use.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileAttr, FileHandle, FileType,
    Filesystem, Generation, INodeNo, InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenFlags,
    RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty,
    ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request,
    TimeOrNow, WriteFlags,
};
use tracing::span::EnteredSpan;

use crate::counters::{Counters, Op};
use crate::error::FsError;
use crate::handover::Offer;
use crate::server::{Attr, Kind, Lookup, Server, Time};

/// A century: the kernel counts in ticks, and far greater numbers wrap on some versions.
const FOREVER: Duration = Duration::from_hours(100 * 365 * 24);
/// The kernel's inode generation. Numbers are never given to another node.
const GENERATION: Generation = Generation(0);
/// Requests that the kernel may have under way unasked, read-ahead above all. What a program waits
/// for stands in line behind them.
const MAX_BACKGROUND: u16 = 16;
const BLOCK: u64 = 512;
const BLOCK_SIZE: u32 = 4096;
/// The longest file name, as every native file system has it.
const MAX_NAME: u32 = 255;

/// What is wanted of the kernel where it can do it.
const WANTED: &[InitFlags] = &[
    InitFlags::FUSE_CACHE_SYMLINKS,
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_READDIRPLUS_AUTO,
    InitFlags::FUSE_NO_OPEN_SUPPORT,
    InitFlags::FUSE_NO_OPENDIR_SUPPORT,
    InitFlags::FUSE_PARALLEL_DIROPS,
    InitFlags::FUSE_EXPLICIT_INVAL_DATA,
    InitFlags::FUSE_HAS_RESEND,
];

thread_local! {
    /// The bytes of one answer to `read`; as many as there are serving threads.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Answers the kernel's requests from a server.
#[derive(Debug)]
pub(crate) struct Adapter {
    server: Arc<Server>,
    counters: Arc<Counters>,
    offer: Arc<OnceLock<Offer>>,
    uid: u32,
    gid: u32,
}

impl Adapter {
    /// An adapter whose files belong to this process's user.
    pub(crate) fn new(server: Arc<Server>, counters: Arc<Counters>) -> Self {
        let (uid, gid) = (
            nix::unistd::getuid().as_raw(),
            nix::unistd::getgid().as_raw(),
        );
        Self {
            server,
            counters,
            offer: Arc::default(),
            uid,
            gid,
        }
    }

    /// What the kernel offers, once the session has begun.
    pub(crate) fn offer(&self) -> Arc<OnceLock<Offer>> {
        Arc::clone(&self.offer)
    }

    fn begin(&self, op: Op, request: &Request, ino: INodeNo) -> EnteredSpan {
        self.counters.count(op);
        tracing::debug_span!(
            "fuse",
            op = op.name(),
            unique = request.unique().0,
            ino = ino.0,
            pid = request.pid()
        )
        .entered()
    }

    /// Has the server answer. A panic becomes an error of this one request: the thread that serves is
    /// needed for the next.
    fn ask<T>(&self, answer: impl FnOnce(&Server) -> Result<T, FsError>) -> Result<T, FsError> {
        // What the server shares is valid at every step, panic or not.
        catch_unwind(AssertUnwindSafe(|| answer(&self.server))).unwrap_or(Err(FsError::Panic))
    }

    /// Has the server note what was answered: nobody waits for that.
    fn note(&self, noted: impl FnOnce(&Server) -> Result<(), FsError>) {
        if let Err(error) = self.ask(noted) {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "nobody is told of what a program uses");
        }
    }

    fn attr(&self, attr: &Attr) -> FileAttr {
        let time = system_time(attr.mtime);
        let kind = match attr.kind {
            Kind::Directory => FileType::Directory,
            Kind::File => FileType::RegularFile,
            Kind::Symlink => FileType::Symlink,
        };
        FileAttr {
            ino: INodeNo(attr.ino),
            size: attr.size,
            blocks: attr.size.div_ceil(BLOCK),
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind,
            perm: attr.mode,
            // For directories too: 1 tells `find` that the number says nothing of subdirectories.
            nlink: 1,
            uid: self.uid,
            gid: self.gid,
            rdev: 0,
            blksize: BLOCK_SIZE,
            flags: 0,
        }
    }
}

/// The same time for fuser; the epoch where a layer states one that it cannot express.
fn system_time(time: Time) -> SystemTime {
    let seconds = Duration::from_secs(time.seconds.unsigned_abs());
    let whole = if time.seconds < 0 {
        UNIX_EPOCH.checked_sub(seconds)
    } else {
        UNIX_EPOCH.checked_add(seconds)
    };
    whole
        .and_then(|whole| whole.checked_add(Duration::from_nanos(time.nanos.into())))
        .unwrap_or(UNIX_EPOCH)
}

/// Logs a refusal within the request's span and gives its error number.
fn refusal(error: &FsError) -> Errno {
    if error.is_damage() {
        tracing::warn!(error = error as &dyn std::error::Error, "a request failed");
    } else {
        tracing::debug!(
            error = error as &dyn std::error::Error,
            "a request was refused"
        );
    }
    Errno::from_i32(error.errno() as i32)
}

/// A name that does not exist, as an entry that the kernel may keep: node 0.
fn absent() -> FileAttr {
    FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: FileType::RegularFile,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 0,
        flags: 0,
    }
}

/// Handlers of one kind: what they are called with does not matter.
macro_rules! always {
    ($($name:ident($($arg:ty),*) -> $reply:ty: $op:ident, $errno:ident;)+) => {
        $(fn $name(&self, request: &Request, ino: INodeNo, $(_: $arg,)* reply: $reply) {
            let _span = self.begin(Op::$op, request, ino);
            reply.error(Errno::$errno);
        })+
    };
}

impl Filesystem for Adapter {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        self.offer.get_or_init(|| Offer::of(config));
        for &flag in WANTED {
            if let Err(missing) = config.add_capabilities(flag) {
                tracing::debug!(?missing, "the kernel lacks a capability");
            }
        }
        if let Err(least) = config.set_max_background(MAX_BACKGROUND) {
            tracing::debug!(
                least,
                "the kernel takes no such number of background requests"
            );
        }
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let _span = self.begin(Op::Lookup, request, parent);
        match self.ask(|server| server.lookup(parent.0, name.as_bytes())) {
            Ok(Lookup::Found(attr)) => {
                self.server.hold(attr.ino);
                reply.entry(&FOREVER, &self.attr(&attr), GENERATION);
                self.note(|server| server.found_in(parent.0, attr.ino));
            }
            Ok(Lookup::Absent { lasting: true }) => {
                reply.entry(&FOREVER, &absent(), GENERATION);
                self.note(|server| server.missed_in(parent.0, name.as_bytes()));
            }
            Ok(Lookup::Absent { lasting: false }) => reply.error(Errno::ENOENT),
            Err(error) => reply.error(refusal(&error)),
        }
    }

    fn forget(&self, _request: &Request, ino: INodeNo, times: u64) {
        // No span: forgets come by the thousand when the kernel needs memory.
        self.counters.count(Op::Forget);
        self.server.forget(ino.0, times);
    }

    fn getattr(&self, request: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let _span = self.begin(Op::Getattr, request, ino);
        match self.ask(|server| server.getattr(ino.0)) {
            Ok(attr) => reply.attr(&FOREVER, &self.attr(&attr)),
            Err(error) => reply.error(refusal(&error)),
        }
    }

    fn readlink(&self, request: &Request, ino: INodeNo, reply: ReplyData) {
        let _span = self.begin(Op::Readlink, request, ino);
        match self.ask(|server| server.readlink(ino.0)) {
            Ok(target) => reply.data(&target),
            Err(error) => reply.error(refusal(&error)),
        }
    }

    fn read(
        &self,
        request: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let _span = self.begin(Op::Read, request, ino);
        BUFFER.with_borrow_mut(|buffer| {
            let size = size as usize;
            if buffer.len() < size {
                buffer.resize(size, 0);
            }
            match self.ask(|server| server.read(ino.0, offset, &mut buffer[..size])) {
                Ok(count) => {
                    reply.data(&buffer[..count]);
                    self.note(|server| server.was_read(request.pid(), ino.0, offset, count));
                }
                Err(error) => reply.error(refusal(&error)),
            }
        });
    }

    fn readdir(
        &self,
        request: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let _span = self.begin(Op::Readdir, request, ino);
        let listed = self.ask(|server| {
            server.readdir(ino.0, offset, |entry| {
                let attr = self.attr(&entry.attr);
                let name = OsStr::from_bytes(entry.name);
                reply.add(attr.ino, entry.next, attr.kind, name)
            })
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(refusal(&error)),
        }
    }

    fn readdirplus(
        &self,
        request: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let _span = self.begin(Op::Readdirplus, request, ino);
        let mut told = Vec::new();
        let listed = self.ask(|server| {
            server.readdir(ino.0, offset, |entry| {
                let attr = self.attr(&entry.attr);
                let name = OsStr::from_bytes(entry.name);
                let full = reply.add(attr.ino, entry.next, name, &FOREVER, &attr, GENERATION);
                // The kernel counts each entry as a look-up, but not these two.
                if !full && !matches!(entry.name, b"." | b"..") {
                    told.push(entry.attr.ino);
                }
                full
            })
        });
        match listed {
            Ok(()) => {
                for ino in told {
                    self.server.hold(ino);
                }
                reply.ok();
            }
            Err(error) => reply.error(refusal(&error)),
        }
    }

    fn statfs(&self, request: &Request, ino: INodeNo, reply: ReplyStatfs) {
        let _span = self.begin(Op::Statfs, request, ino);
        // No size and nothing free, as for every read-only image of unknown extent.
        reply.statfs(0, 0, 0, 0, 0, BLOCK_SIZE, MAX_NAME, BLOCK_SIZE);
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        _: &OsStr,
        _: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let _span = self.begin(Op::Write, request, parent);
        reply.error(Errno::EROFS);
    }

    // Sticky refusals: the kernel asks once per mount and then answers by itself.
    always! {
        open(OpenFlags) -> ReplyOpen: Open, ENOSYS;
        opendir(OpenFlags) -> ReplyOpen: Opendir, ENOSYS;
        flush(FileHandle, LockOwner) -> ReplyEmpty: Flush, ENOSYS;
        fsync(FileHandle, bool) -> ReplyEmpty: Fsync, ENOSYS;
        fsyncdir(FileHandle, bool) -> ReplyEmpty: Fsync, ENOSYS;
        access(AccessFlags) -> ReplyEmpty: Access, ENOSYS;
        getxattr(&OsStr, u32) -> ReplyXattr: Xattr, ENOSYS;
        listxattr(u32) -> ReplyXattr: Xattr, ENOSYS;
        setxattr(&OsStr, &[u8], i32, u32) -> ReplyEmpty: Xattr, ENOSYS;
        removexattr(&OsStr) -> ReplyEmpty: Xattr, ENOSYS;
        lseek(FileHandle, i64, i32) -> ReplyLseek: Lseek, ENOSYS;
        copy_file_range(FileHandle, u64, INodeNo, FileHandle, u64, u64, CopyFileRangeFlags)
            -> ReplyWrite: Other, ENOSYS;
    }

    // Python asks every file that it opens whether it is a terminal.
    always! {
        ioctl(FileHandle, IoctlFlags, u32, &[u8], u32) -> ReplyIoctl: Ioctl, ENOTTY;
    }

    // The mount is read-only and the kernel refuses these itself, unless somebody remounts it.
    always! {
        mknod(&OsStr, u32, u32, u32) -> ReplyEntry: Write, EROFS;
        mkdir(&OsStr, u32, u32) -> ReplyEntry: Write, EROFS;
        unlink(&OsStr) -> ReplyEmpty: Write, EROFS;
        rmdir(&OsStr) -> ReplyEmpty: Write, EROFS;
        symlink(&OsStr, &Path) -> ReplyEntry: Write, EROFS;
        rename(&OsStr, INodeNo, &OsStr, RenameFlags) -> ReplyEmpty: Write, EROFS;
        link(INodeNo, &OsStr) -> ReplyEntry: Write, EROFS;
        write(FileHandle, u64, &[u8], WriteFlags, OpenFlags, Option<LockOwner>)
            -> ReplyWrite: Write, EROFS;
        fallocate(FileHandle, u64, u64, i32) -> ReplyEmpty: Write, EROFS;
        setattr(Option<u32>, Option<u32>, Option<u32>, Option<u64>, Option<TimeOrNow>,
            Option<TimeOrNow>, Option<SystemTime>, Option<FileHandle>, Option<SystemTime>,
            Option<SystemTime>, Option<SystemTime>, Option<BsdFileFlags>)
            -> ReplyAttr: Write, EROFS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64, nanos: u32) -> SystemTime {
        system_time(Time { seconds, nanos })
    }

    #[test]
    fn times_of_layers_come_out_and_absurd_ones_do_not_panic() {
        assert_eq!(at(2, 5), UNIX_EPOCH + Duration::new(2, 5));
        assert_eq!(
            at(-2, 5),
            UNIX_EPOCH - Duration::new(2, 0) + Duration::new(0, 5)
        );
        for seconds in [i64::MIN, i64::MAX] {
            at(seconds, 999_999_999);
        }
    }
}
