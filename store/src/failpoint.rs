//! Failpoints: named steps at which a test can have the process killed, or an error of the disk come
//! back. Release builds have none: [`hit`] is empty there.
//!
//! # For tests
//! `BLAST_FAILPOINTS=DIR` makes every process note in `DIR/hit-<name>` that it came by. A file
//! `DIR/<name>` that holds an action arms that point: the file is removed, so that it acts once, and the
//! action is taken. Actions are `kill` (`SIGKILL` to the process itself, as nothing is flushed or
//! dropped then), `enospc`, `eio`, `erofs`; a number behind it (`kill 3`) lets that many hits pass.
//!
//! # A new one
//! Add it to the list below and call [`hit`] before the step, where an error is given its path as that
//! of the step itself would be: `failpoint::hit(Point::StageWrite).at("write", path)?`. Then have a
//! workload come by: of the store in `store/tests/it/failpoints.rs`, of whole commands in
//! `tests/it/failpoints.rs`. Both fail when one of their points is never hit.

use std::io;

macro_rules! points {
    ($($(#[doc = $doc:literal])+ $point:ident = $name:literal,)+) => {
        /// A step that a test can fail.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Point {
            $($(#[doc = $doc])+ $point,)+
        }

        impl Point {
            /// All that there are.
            pub const ALL: &[Self] = &[$(Self::$point,)+];

            /// Its name, `<part>.<step>`; what is not of the store's own parts begins with `engine.` or
            /// `client.`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)+
                }
            }
        }
    };
}

points! {
    /// The directory of a staging is made.
    StageFolder = "stage.folder",
    /// A shard directory is made.
    StageShard = "stage.shard",
    /// A temporary file is created.
    StageCreate = "stage.create",
    /// A staged object is written.
    StageWrite = "stage.write",
    /// A piece of a big blob is written.
    StageSpool = "stage.spool",
    /// A pack of an image is copied.
    PackCopy = "pack.copy",
    /// The blobs of a pack are about to become files.
    PackUnpack = "pack.unpack",
    /// A pack goes, whose blobs are files.
    PackRemove = "pack.remove",
    /// Staged files are made durable.
    StageSync = "stage.sync",
    /// An object gets its name.
    PlaceRename = "place.rename",
    /// The names of objects are made durable.
    PlaceSync = "place.sync",
    /// Room is made in the journal.
    CommitReserve = "commit.reserve",
    /// The record is written to the log.
    CommitLog = "commit.log",
    /// The log is made durable: the commit point follows.
    CommitLogSync = "commit.log-sync",
    /// The log has the commit; its objects are not in their places.
    CommitPlace = "commit.place",
    /// Lines are appended to the journal.
    CommitAppend = "commit.append",
    /// The journal is made durable in its own file.
    CommitSync = "commit.sync",
    /// The index follows.
    CommitIndex = "commit.index",
    /// The write-ahead log is made.
    LogCreate = "log.create",
    /// What the log holds is made durable in its own files.
    LogSettle = "log.settle",
    /// An object comes back from the log.
    RecoverObject = "recover.object",
    /// Lines come back from the log.
    RecoverJournal = "recover.journal",
    /// The journal is written anew.
    JournalWrite = "journal.write",
    /// The new journal is made durable.
    JournalSync = "journal.sync",
    /// The new journal takes the place of the old one.
    JournalRename = "journal.rename",
    /// The name of the new journal is made durable.
    JournalFolder = "journal.folder",
    /// The index forgets what was collected.
    CleanIndex = "clean.index",
    /// The trash of a collection is made.
    CleanTrash = "clean.trash",
    /// An object moves to the trash.
    CleanMove = "clean.move",
    /// The trash is emptied.
    CleanEmpty = "clean.empty",
    /// A copy of something precious is written.
    CopyWrite = "copy.write",
    /// A wheel is about to be fetched.
    EngineFetch = "engine.fetch",
    /// A wheel is about to be unpacked.
    EngineUnpack = "engine.unpack",
    /// All is ingested; the generation is about to be written.
    EngineWrite = "engine.write",
    /// The commit is about to be made.
    EnginePublish = "engine.publish",
    /// The commit is made; the view still shows the old generation.
    EngineSwap = "engine.swap",
    /// The view shows the new generation; the skeleton is that of the old one.
    EngineSkeleton = "engine.skeleton",
    /// What a program wrote is about to be read.
    CaptureRead = "engine.capture-read",
    /// What a program wrote is about to be published.
    CapturePublish = "engine.capture-publish",
    /// What a program wrote is an operation; the folder that it wrote into is still there.
    CaptureRemove = "engine.capture-remove",
    /// A command is about to write down what it means to do to files of a project.
    ClientRecord = "client.record",
    /// A file of a project is about to be written.
    ClientWrite = "client.write",
    /// What a file of a project shall hold lies beside it.
    ClientReplace = "client.replace",
    /// The environment is there, or gone; the link to it is about to follow.
    ClientLink = "client.link",
    /// Files of a project and its environment are changed; the intent is still there.
    ClientDone = "client.done",
    /// An image was checked and is about to be brought in.
    ImageStage = "engine.image-stage",
    /// All of an image is staged; the commit is about to be made.
    ImagePublish = "engine.image-publish",
}

/// Comes by a failpoint.
///
/// # Errors
/// The one that a test armed it with.
#[cfg(debug_assertions)]
pub fn hit(point: Point) -> io::Result<()> {
    armed::hit(point)
}

/// Comes by a failpoint: nothing, in a release build.
///
/// # Errors
/// None.
#[cfg(not(debug_assertions))]
#[inline(always)]
#[expect(
    clippy::inline_always,
    clippy::unnecessary_wraps,
    reason = "free, and as in tests"
)]
pub const fn hit(_point: Point) -> io::Result<()> {
    Ok(())
}

#[cfg(debug_assertions)]
mod armed {
    use std::fs;
    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::OnceLock;

    use nix::errno::Errno;
    use nix::sys::signal::{Signal, raise};

    use super::Point;

    static DIR: OnceLock<Option<PathBuf>> = OnceLock::new();

    pub(super) fn hit(point: Point) -> io::Result<()> {
        let dir = DIR.get_or_init(|| std::env::var_os("BLAST_FAILPOINTS").map(PathBuf::from));
        dir.as_deref().map_or(Ok(()), |dir| note(dir, point))
    }

    fn note(dir: &Path, point: Point) -> io::Result<()> {
        // A trace that cannot be written makes a test fail that looks for it.
        drop(fs::write(dir.join(format!("hit-{}", point.name())), ""));
        let armed = dir.join(point.name());
        let Ok(text) = fs::read_to_string(&armed) else {
            return Ok(());
        };
        let (action, passes) = text.split_once(' ').unwrap_or((&text, "0"));
        if let Some(left) = passes.trim().parse::<u32>().unwrap_or(0).checked_sub(1) {
            return fs::write(&armed, format!("{action} {left}"));
        }
        fs::remove_file(&armed)?;
        let errno = match action.trim() {
            "enospc" => Errno::ENOSPC,
            "eio" => Errno::EIO,
            "erofs" => Errno::EROFS,
            _ => {
                raise(Signal::SIGKILL)?;
                Errno::EINTR
            }
        };
        Err(errno.into())
    }
}
