//! Unpacking an archive of sources into a folder that nobody else writes to.
//!
//! Refused are: names that are absolute or have `..` in them, members below a link, links that
//! lead out of the archive, devices and pipes, and sizes that no honest sdist has. Kept of a
//! member's mode is whether its owner may execute it. A link's target may go up (`../x`) only at
//! its beginning: folders above a link are real ones, so that going up is exact, and what follows
//! leads down through links that passed the same test.
//!
//! The form is told by the first bytes, not by the name: zip, or tar, plain or compressed by gzip,
//! bzip2 or xz.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use tar::EntryType;

use super::SdistError;

/// What an honest archive of sources stays within.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all members together.
    pub total_bytes: u64,
    /// Members.
    pub members: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            total_bytes: 4 << 30,
            members: 500_000,
        }
    }
}

/// Unpacks `archive`, which errors call `name`, into the empty folder `into`. Answers with the
/// root of the sources: the one folder that everything is in, else `into` itself. Blocks.
///
/// # Errors
/// See [`SdistError`]; what was unpacked until then stays for the caller to remove.
pub fn unpack(
    archive: &Path,
    name: &str,
    into: &Path,
    limits: Limits,
) -> Result<PathBuf, SdistError> {
    let unreadable = |source| SdistError::Archive {
        archive: name.to_owned(),
        source,
    };
    let mut file = File::open(archive).map_err(unreadable)?;
    let mut first = [0; 6];
    let read = read_some(&mut file, &mut first).map_err(unreadable)?;
    file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    let mut target = Target {
        archive: name,
        into,
        limits,
        bytes: 0,
        members: 0,
        links: HashSet::new(),
        files: HashSet::new(),
        tops: HashSet::new(),
    };
    let file = BufReader::with_capacity(256 << 10, file);
    match &first[..read] {
        [b'P', b'K', ..] => target.zip(file)?,
        [0x1f, 0x8b, ..] => target.tar(flate2::bufread::MultiGzDecoder::new(file))?,
        [b'B', b'Z', b'h', ..] => target.tar(bzip2::bufread::MultiBzDecoder::new(file))?,
        [0xfd, b'7', b'z', b'X', b'Z', 0] => target.tar(lzma_rust2::XzReader::new(file, true))?,
        _ => target.tar(file)?,
    }
    Ok(target.root())
}

fn read_some(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// What a member is, with its content where it is a file.
enum Kind<'a> {
    Folder,
    File {
        content: &'a mut dyn Read,
        size: u64,
        executable: bool,
        modified_s: u64,
    },
    Link(&'a [u8]),
    /// Another name of an earlier file.
    Hard(&'a [u8]),
}

struct Target<'a> {
    archive: &'a str,
    into: &'a Path,
    limits: Limits,
    bytes: u64,
    members: usize,
    links: HashSet<PathBuf>,
    files: HashSet<PathBuf>,
    /// First components of all names; whether each is a folder is seen at the end.
    tops: HashSet<PathBuf>,
}

impl Target<'_> {
    fn tar(&mut self, stream: impl Read) -> Result<(), SdistError> {
        let mut archive = tar::Archive::new(stream);
        let entries = archive
            .entries()
            .map_err(|source| self.unreadable(source))?;
        for entry in entries {
            let mut entry = entry.map_err(|source| self.unreadable(source))?;
            let name = entry.path_bytes().into_owned();
            let link = entry.link_name_bytes().map(std::borrow::Cow::into_owned);
            let (size, mode) = (entry.size(), entry.header().mode().unwrap_or(0o644));
            let modified_s = entry.header().mtime().unwrap_or(0);
            let kind = match (entry.header().entry_type(), &link) {
                (EntryType::XGlobalHeader, _) => continue,
                (EntryType::Directory, _) => Kind::Folder,
                (EntryType::Symlink, Some(target)) => Kind::Link(target),
                (EntryType::Link, Some(target)) => Kind::Hard(target),
                (EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse, _) => {
                    Kind::File {
                        content: &mut entry,
                        size,
                        executable: mode & 0o100 != 0,
                        modified_s,
                    }
                }
                _ => return Err(self.refused(&name, "neither file, folder nor link")),
            };
            self.add(&name, kind)?;
        }
        Ok(())
    }

    fn zip(&mut self, file: BufReader<File>) -> Result<(), SdistError> {
        let broken = |archive: &str, error: zip::result::ZipError| SdistError::Archive {
            archive: archive.to_owned(),
            source: io::Error::new(io::ErrorKind::InvalidData, error.to_string()),
        };
        let mut archive = zip::ZipArchive::new(file).map_err(|e| broken(self.archive, e))?;
        for number in 0..archive.len() {
            let mut member = archive
                .by_index(number)
                .map_err(|e| broken(self.archive, e))?;
            let name = member.name_raw().to_vec();
            let (size, mode) = (member.size(), member.unix_mode().unwrap_or(0o100_644));
            // As Python's zipfile, which makes no links: their target would be the content.
            let kind = if name.ends_with(b"/") {
                Kind::Folder
            } else if matches!(mode & 0o170_000, 0 | 0o100_000) {
                Kind::File {
                    content: &mut member,
                    size,
                    executable: mode & 0o100 != 0,
                    modified_s: 0,
                }
            } else {
                return Err(self.refused(&name, "neither file nor folder"));
            };
            self.add(&name, kind)?;
        }
        Ok(())
    }

    /// Writes one member.
    fn add(&mut self, name: &[u8], kind: Kind<'_>) -> Result<(), SdistError> {
        self.members += 1;
        if self.members > self.limits.members {
            return Err(self.too_large(format!("{} members", self.limits.members)));
        }
        let refused = |problem| Err(self.refused(name, problem));
        let Some(path) = plain(name) else {
            return refused("the name leads out of the archive");
        };
        let Some(top) = path.components().next() else {
            return Ok(()); // `./`
        };
        if path.ancestors().any(|above| self.links.contains(above)) {
            return refused("it lies at or below a link");
        }
        self.tops.insert(PathBuf::from(top.as_os_str()));
        let full = self.into.join(&path);
        if matches!(kind, Kind::Folder) {
            return fs::create_dir_all(&full).map_err(|source| self.failed(name, &full, source));
        }
        if let Some(above) = full.parent() {
            fs::create_dir_all(above).map_err(|source| self.failed(name, above, source))?;
        }
        if self.files.remove(&path) {
            // The later of two members of one name wins, as it does with Python.
            fs::remove_file(&full).map_err(|source| self.failed(name, &full, source))?;
        }
        match kind {
            Kind::Folder => {}
            Kind::File {
                content,
                size,
                executable,
                modified_s,
            } => {
                self.file(name, &full, content, size, executable, modified_s)?;
                self.files.insert(path);
            }
            Kind::Link(target) => {
                if !stays_inside(&path, target) {
                    return Err(self.refused(name, "a link that leads out of the archive"));
                }
                symlink(OsStr::from_bytes(target), &full)
                    .map_err(|source| self.failed(name, &full, source))?;
                self.links.insert(path);
            }
            Kind::Hard(target) => {
                let first = plain(target).filter(|target| self.files.contains(target));
                let Some(first) = first else {
                    return Err(self.refused(name, "a link to no earlier file of the archive"));
                };
                fs::hard_link(self.into.join(first), &full)
                    .map_err(|source| self.failed(name, &full, source))?;
                self.files.insert(path);
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        name: &[u8],
        full: &Path,
        content: &mut dyn Read,
        size: u64,
        executable: bool,
        modified_s: u64,
    ) -> Result<(), SdistError> {
        let left = self.limits.total_bytes.saturating_sub(self.bytes);
        if size > left {
            return Err(self.too_large(format!("{} bytes", self.limits.total_bytes)));
        }
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(if executable { 0o755 } else { 0o644 })
            .open(full)
            .map_err(|source| self.failed(name, full, source))?;
        let mut content = content.take(left + 1);
        let copied = copy(&mut content, &mut file).map_err(|failed| match failed {
            Failed::Read(source) => self.unreadable(source),
            Failed::Write(source) => self.failed(name, full, source),
        })?;
        if copied > left {
            return Err(self.too_large(format!("{} bytes", self.limits.total_bytes)));
        }
        self.bytes += copied;
        if modified_s > 0 {
            let modified = UNIX_EPOCH.checked_add(Duration::from_secs(modified_s));
            if let Some(Err(error)) = modified.map(|at| file.set_modified(at)) {
                tracing::debug!(%error, path = %full.display(), "a time no file can have");
            }
        }
        Ok(())
    }

    fn root(&self) -> PathBuf {
        let mut tops = self.tops.iter();
        match (tops.next(), tops.next()) {
            (Some(only), None) if self.into.join(only).is_dir() => self.into.join(only),
            _ => self.into.to_owned(),
        }
    }

    fn unreadable(&self, source: io::Error) -> SdistError {
        SdistError::Archive {
            archive: self.archive.to_owned(),
            source,
        }
    }

    fn refused(&self, name: &[u8], problem: &'static str) -> SdistError {
        SdistError::Member {
            archive: self.archive.to_owned(),
            member: String::from_utf8_lossy(name).into_owned(),
            problem,
        }
    }

    fn too_large(&self, limit: String) -> SdistError {
        SdistError::TooLarge {
            archive: self.archive.to_owned(),
            limit,
        }
    }

    /// The archive is at fault where it wants one name twice; else the disk.
    fn failed(&self, name: &[u8], path: &Path, source: io::Error) -> SdistError {
        match source.kind() {
            io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory => self.refused(name, "the name occurs twice"),
            io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput => {
                self.refused(name, "a name that no file can have")
            }
            _ => SdistError::Write {
                path: path.to_owned(),
                source,
            },
        }
    }
}

/// The name as a relative path without `.` and `..`; empty for the root itself.
fn plain(name: &[u8]) -> Option<PathBuf> {
    if name.starts_with(b"/") {
        return None;
    }
    let mut path = PathBuf::new();
    for part in name.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return None,
            part => path.push(OsStr::from_bytes(part)),
        }
    }
    Some(path)
}

/// Whether a link at this path with this target stays inside, see the module's documentation.
fn stays_inside(path: &Path, target: &[u8]) -> bool {
    if target.is_empty() || target.starts_with(b"/") {
        return false;
    }
    let mut above = path.components().count() - 1;
    let mut went_down = false;
    for part in target.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if went_down || above == 0 => return false,
            b".." => above -= 1,
            _ => went_down = true,
        }
    }
    true
}

enum Failed {
    Read(io::Error),
    Write(io::Error),
}

/// [`io::copy`] that tells which side failed.
fn copy(from: &mut impl Read, to: &mut File) -> Result<u64, Failed> {
    let mut buffer = vec![0; 64 << 10];
    let mut copied = 0;
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failed::Read(error)),
        };
        io::Write::write_all(to, &buffer[..count]).map_err(Failed::Write)?;
        copied += count as u64;
    }
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
mod tests;
