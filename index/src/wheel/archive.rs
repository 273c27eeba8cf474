//! Opening and reading wheels.
//!
//! [`WheelArchive::open`] reads the central directory and the files of `.dist-info` and checks
//! everything that can be checked without unpacking: names, duplicates, sizes, agreement of local
//! and central headers, one `.dist-info` that agrees with the file name, `RECORD` listing every
//! member with a strong hash. [`WheelArchive::read_member`] checks CRC, size and hash while bytes
//! pass; what it wrote before it fails is worthless, so callers stage.
//!
//! Stricter than pip, which trusts `RECORD`: the specification demands these checks of installers,
//! and uploads that fail them are refused by the large indexes, so that what fails here was made
//! or changed by something odd. Rows of `RECORD` without a member are dropped, not refused: they
//! release nothing, and repaired wheels have them. A member that the archive calls a link is a
//! plain file holding the target's text, as for pip: nothing here makes links.
//!
//! Concurrency: `&self` everywhere; each read has its own position over one file descriptor.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use blast_types::{CoreMetadata, WheelFilename};
use zip::ZipArchive;

use super::entry_points::EntryPoint;
use super::error::{WheelError, WheelProblem};
use super::layout::{InstallPath, InstallRoot};
use super::opening::Opening;
use super::record::{Hasher, RecordHash, RecordRow};
use crate::position::Position;

/// What an honest wheel stays within.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all members together.
    pub total_bytes: u64,
    /// Members.
    pub members: usize,
    /// A member larger than this must not be compressed by more than `ratio`.
    pub bomb_bytes: u64,
    /// See `bomb_bytes`.
    pub ratio: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            total_bytes: 16 << 30,
            members: 1_000_000,
            bomb_bytes: 64 << 20,
            ratio: 1000,
        }
    }
}

const PIECE: usize = 64 << 10;

/// One file of a wheel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Name in the archive, `/`-separated.
    pub name: String,
    /// Unpacked size in bytes.
    pub size: u64,
    /// Whether the archive marks it as executable.
    pub executable: bool,
    /// Modification time in seconds since the Unix epoch; the archive's local time read as UTC.
    pub mtime: i64,
    /// Where it is installed.
    pub install_to: InstallPath,
}

/// What a member is checked against.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) zip_index: usize,
    pub(super) hash: Option<RecordHash>,
}

/// A wheel whose structure was checked.
#[derive(Debug)]
pub struct WheelArchive {
    pub(super) filename: String,
    pub(super) zip: ZipArchive<At>,
    pub(super) members: Vec<Member>,
    pub(super) checks: Vec<Check>,
    pub(super) dist_info: String,
    pub(super) root: InstallRoot,
    pub(super) metadata: CoreMetadata,
    pub(super) entry_points: Vec<EntryPoint>,
    pub(super) record: Vec<RecordRow>,
    pub(super) record_bytes: Vec<u8>,
}

impl WheelArchive {
    /// Opens and checks the wheel at `path`, which claims to be `filename`.
    pub fn open(path: &Path, filename: &WheelFilename) -> Result<Self, WheelError> {
        Self::open_within(path, filename, Limits::default())
    }

    /// Like [`WheelArchive::open`], with limits of the caller's choice.
    pub fn open_within(
        path: &Path,
        filename: &WheelFilename,
        limits: Limits,
    ) -> Result<Self, WheelError> {
        let name = filename.to_string();
        let io = |error| WheelError::new(&name, None, WheelProblem::Io(error));
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let source = Source::of(file, length).map_err(io)?;
        let zip = ZipArchive::new(At {
            source: Arc::new(source),
            position: Position::new(length),
        })
        .map_err(|error| WheelError::archive(&name, error))?;
        Opening {
            name: &name,
            wheel: filename,
            zip,
            limits,
        }
        .finish()
    }

    /// All files but `RECORD`, which each installation writes anew, in the archive's order.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Core metadata; name and version agree with the file name.
    pub fn metadata(&self) -> &CoreMetadata {
        &self.metadata
    }

    /// Console and gui scripts.
    pub fn entry_points(&self) -> &[EntryPoint] {
        &self.entry_points
    }

    /// Rows of `RECORD` that stand for a member, in its order, without that of `RECORD` itself.
    pub fn record(&self) -> &[RecordRow] {
        &self.record
    }

    /// `RECORD` as the wheel has it.
    pub fn record_bytes(&self) -> &[u8] {
        &self.record_bytes
    }

    /// Name of the `.dist-info` folder, as the wheel spells it.
    pub fn dist_info(&self) -> &str {
        &self.dist_info
    }

    /// Where members outside `.data` go: [`InstallRoot::Purelib`] or [`InstallRoot::Platlib`].
    pub fn root(&self) -> InstallRoot {
        self.root
    }

    /// Writes the content of a member to `sink`, checking it on the way. On an error what `sink`
    /// got must be thrown away.
    ///
    /// # Panics
    /// If `index` is none of [`WheelArchive::members`].
    pub fn read_member(&self, index: usize, sink: &mut dyn Write) -> Result<(), WheelError> {
        let (member, check) = (&self.members[index], &self.checks[index]);
        copy(&self.zip, check.zip_index, check.hash.as_ref(), sink)
            .map_err(|problem| WheelError::new(&self.filename, Some(&member.name), problem))
    }
}

/// Unpacks one member and compares what comes out with what was promised.
pub(super) fn copy(
    zip: &ZipArchive<At>,
    zip_index: usize,
    expected: Option<&RecordHash>,
    sink: &mut dyn Write,
) -> Result<(), WheelProblem> {
    // A clone shares the directory and the descriptor; only the position is its own.
    let mut zip = zip.clone();
    let mut member = zip.by_index(zip_index).map_err(WheelProblem::zip)?;
    let declared = member.size();
    let mut hasher = Hasher::like(expected);
    let mut buffer = vec![0; PIECE.min(declared as usize + 1)];
    let mut actual = 0;
    loop {
        let count = match member.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(WheelProblem::of_io(error)),
        };
        actual += count as u64;
        if actual > declared {
            return Err(WheelProblem::Size { declared, actual });
        }
        hasher.update(&buffer[..count]);
        sink.write_all(&buffer[..count])
            .map_err(WheelProblem::Sink)?;
    }
    if actual != declared {
        return Err(WheelProblem::Size { declared, actual });
    }
    if expected.is_some() && hasher.finish().as_ref() != expected {
        return Err(WheelProblem::HashMismatch);
    }
    Ok(())
}

/// Archives up to this size are read into memory once: unpacking makes many small reads, and each
/// would be a system call.
const IN_MEMORY: u64 = 64 << 20;

/// An archive's bytes.
#[derive(Debug)]
pub(super) enum Source {
    Memory(Vec<u8>),
    File(File),
}

impl Source {
    fn of(mut file: File, length: u64) -> io::Result<Self> {
        if length > IN_MEMORY {
            return Ok(Self::File(file));
        }
        let mut bytes = Vec::with_capacity(length as usize);
        file.read_to_end(&mut bytes)?;
        Ok(Self::Memory(bytes))
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read_at(buffer, position),
            Self::Memory(bytes) => {
                let rest = usize::try_from(position)
                    .ok()
                    .and_then(|at| bytes.get(at..));
                let rest = rest.unwrap_or_default();
                let count = rest.len().min(buffer.len());
                buffer[..count].copy_from_slice(&rest[..count]);
                Ok(count)
            }
        }
    }
}

/// A position in an archive that others read too.
#[derive(Debug, Clone)]
pub(super) struct At {
    source: Arc<Source>,
    pub(super) position: Position,
}

impl Read for At {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read_at(buffer, self.position.at())?;
        self.position.advance(count);
        Ok(count)
    }
}

impl Seek for At {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position.seek(to)
    }
}

#[cfg(test)]
mod tests;
