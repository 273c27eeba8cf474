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

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use blast_types::{CoreMetadata, WheelFilename};
use zip::ZipArchive;

use super::entry_points::{self, EntryPoint};
use super::error::{WheelError, WheelProblem};
use super::layout::{self, InstallPath, InstallRoot};
use super::record::{self, Hasher, RecordHash, RecordRow};
use crate::metadata::{self, Headers};

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

/// The largest `METADATA`, `WHEEL`, `RECORD` or `entry_points.txt` that is read.
const TEXT_LIMIT: u64 = 128 << 20;
const PIECE: usize = 64 << 10;
/// Length of the fixed part of a central directory entry.
const CENTRAL_HEADER: usize = 46;

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
struct Check {
    zip_index: usize,
    hash: Option<RecordHash>,
}

/// A wheel whose structure was checked.
#[derive(Debug)]
pub struct WheelArchive {
    filename: String,
    zip: ZipArchive<At>,
    members: Vec<Member>,
    checks: Vec<Check>,
    dist_info: String,
    root: InstallRoot,
    metadata: CoreMetadata,
    entry_points: Vec<EntryPoint>,
    record: Vec<RecordRow>,
    record_bytes: Vec<u8>,
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
        let zip = ZipArchive::new(At {
            file: Arc::new(file),
            position: 0,
            length,
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
fn copy(
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

/// A wheel on its way to being trusted.
struct Opening<'a> {
    name: &'a str,
    wheel: &'a WheelFilename,
    zip: ZipArchive<At>,
    limits: Limits,
}

/// A file in the central directory.
struct Entry {
    zip_index: usize,
    name: String,
    size: u64,
    executable: bool,
    mtime: i64,
}

impl Opening<'_> {
    fn error(&self, member: Option<&str>, problem: WheelProblem) -> WheelError {
        WheelError::new(self.name, member, problem)
    }

    fn finish(mut self) -> Result<WheelArchive, WheelError> {
        let entries = self.entries()?;
        let files = entries.iter().map(|entry| entry.name.as_str());
        if let Some(twice) = layout::find_duplicate(files.clone()) {
            return Err(self.error(Some(twice), WheelProblem::Duplicate));
        }
        self.zip
            .validate_header_consistency()
            .map_err(|error| WheelError::archive(self.name, error))?;
        let dist_info = layout::find_dist_info(files, self.wheel)
            .map_err(|problem| self.error(None, problem))?;

        let record_name = format!("{dist_info}/RECORD");
        let record_bytes = self
            .text(&entries, &record_name, None)?
            .ok_or_else(|| self.missing(&record_name))?;
        let recorded = self.recorded(&record_bytes, &record_name)?;
        let named = |file: &str| -> Result<Option<Vec<u8>>, WheelError> {
            let name = format!("{dist_info}/{file}");
            self.text(&entries, &name, Some(&recorded))
        };
        let wheel_file = named("WHEEL")?.ok_or_else(|| self.missing("WHEEL"))?;
        let root = self.root(&wheel_file)?;
        let metadata =
            self.metadata(&named("METADATA")?.ok_or_else(|| self.missing("METADATA"))?)?;
        let scripts = named("entry_points.txt")?.unwrap_or_default();
        let entry_points = entry_points::parse(&String::from_utf8_lossy(&scripts))
            .map_err(|problem| self.error(Some("entry_points.txt"), problem))?;

        let is_exempt = |name: &str| {
            ["RECORD.jws", "RECORD.p7s"]
                .iter()
                .any(|file| name == format!("{dist_info}/{file}"))
        };
        let mut members = Vec::with_capacity(entries.len());
        let mut checks = Vec::with_capacity(entries.len());
        for entry in entries
            .into_iter()
            .filter(|entry| entry.name != record_name)
        {
            let row = recorded.get(entry.name.as_str());
            let hash = self.hash_for(&entry, row, is_exempt(&entry.name))?;
            let install_to = layout::install_path(&entry.name, self.wheel, root)
                .map_err(|problem| self.error(Some(&entry.name), problem))?;
            checks.push(Check {
                zip_index: entry.zip_index,
                hash,
            });
            members.push(Member {
                name: entry.name,
                size: entry.size,
                executable: entry.executable,
                mtime: entry.mtime,
                install_to,
            });
        }
        self.distinct_targets(&members)?;
        let present: std::collections::HashSet<_> =
            members.iter().map(|member| member.name.as_str()).collect();
        let record = recorded
            .into_values()
            .filter(|row| present.contains(row.path.as_str()));
        let mut record: Vec<_> = record.collect();
        record.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(WheelArchive {
            filename: self.name.to_owned(),
            zip: self.zip,
            members,
            checks,
            dist_info,
            root,
            metadata,
            entry_points,
            record,
            record_bytes,
        })
    }

    /// Names and sizes of all files; folders are checked and left out.
    fn entries(&self) -> Result<Vec<Entry>, WheelError> {
        if self.zip.has_duplicate_names() {
            return Err(self.error(self.twice().as_deref(), WheelProblem::Duplicate));
        }
        if self.zip.len() > self.limits.members {
            let problem = WheelProblem::TooLarge(format!("{} members", self.zip.len()));
            return Err(self.error(None, problem));
        }
        let mut entries = Vec::with_capacity(self.zip.len());
        let mut total: u64 = 0;
        for zip_index in 0..self.zip.len() {
            let raw = |error| WheelError::archive(self.name, error);
            let entry = self.zip.by_index_data(zip_index).map_err(raw)?;
            let name = entry.name().map_err(raw)?.into_owned();
            layout::check_name(&name).map_err(|problem| self.error(Some(&name), problem))?;
            if entry.encrypted() {
                return Err(self.error(Some(&name), WheelProblem::Encrypted));
            }
            let (size, packed) = (entry.size(), entry.compressed_size());
            total = total.saturating_add(size);
            if total > self.limits.total_bytes {
                let problem = WheelProblem::TooLarge(format!(
                    "its members unpack to more than {} bytes",
                    self.limits.total_bytes
                ));
                return Err(self.error(Some(&name), problem));
            }
            if size > self.limits.bomb_bytes && size / self.limits.ratio > packed {
                let text = format!("{packed} bytes unpack to {size}");
                return Err(self.error(Some(&name), WheelProblem::TooLarge(text)));
            }
            if name.ends_with('/') {
                continue;
            }
            let mode = entry.unix_mode().unwrap_or(0);
            let is_regular = mode & 0o170_000 == 0o100_000;
            let mtime = entry.last_modified().map_or(DOS_EPOCH, unix_seconds);
            let executable = is_regular && mode & 0o111 != 0;
            entries.push(Entry {
                zip_index,
                name,
                size,
                executable,
                mtime,
            });
        }
        Ok(entries)
    }

    /// The name that occurs twice. The zip reader keeps one of two members with the same name and
    /// does not say which, so this walks the raw central directory.
    fn twice(&self) -> Option<String> {
        let mut directory = self.zip.clone().into_inner();
        directory.position = self.zip.central_directory_start();
        let mut directory = io::BufReader::new(directory.take(TEXT_LIMIT));
        let mut seen = std::collections::HashSet::new();
        loop {
            let mut fixed = [0; CENTRAL_HEADER];
            directory.read_exact(&mut fixed).ok()?;
            let length = |at: usize| usize::from(u16::from_le_bytes([fixed[at], fixed[at + 1]]));
            // Lengths of name, extra fields and comment (APPNOTE 4.3.12).
            let mut name = vec![0; length(28)];
            directory.read_exact(&mut name).ok()?;
            let mut rest = vec![0; length(30) + length(32)];
            directory.read_exact(&mut rest).ok()?;
            if seen.contains(&name) {
                return Some(String::from_utf8_lossy(&name).into_owned());
            }
            seen.insert(name);
        }
    }

    /// A text file of `.dist-info`, if it is there; checked against `recorded`, where given.
    fn text(
        &self,
        entries: &[Entry],
        name: &str,
        recorded: Option<&HashMap<String, RecordRow>>,
    ) -> Result<Option<Vec<u8>>, WheelError> {
        let Some(entry) = entries.iter().find(|entry| entry.name == name) else {
            return Ok(None);
        };
        if entry.size > TEXT_LIMIT {
            let problem = WheelProblem::TooLarge(format!("{} bytes", entry.size));
            return Err(self.error(Some(name), problem));
        }
        let hash = recorded
            .and_then(|rows| rows.get(name))
            .and_then(|row| row.hash.as_ref());
        let strong = hash.filter(|hash| **hash != RecordHash::Weak);
        let mut bytes = Vec::new();
        copy(&self.zip, entry.zip_index, strong, &mut bytes)
            .map_err(|problem| self.error(Some(name), problem))?;
        Ok(Some(bytes))
    }

    fn missing(&self, name: &str) -> WheelError {
        self.error(Some(name), WheelProblem::Missing)
    }

    fn recorded(&self, bytes: &[u8], name: &str) -> Result<HashMap<String, RecordRow>, WheelError> {
        let rows = record::parse(bytes).map_err(|error| self.error(Some(name), error.into()))?;
        let mut by_path = HashMap::with_capacity(rows.len());
        for row in rows {
            let path = row.path.clone();
            let again = row.clone();
            if let Some(other) = by_path.insert(row.path.clone(), row)
                && other != again
            {
                return Err(self.error(Some(&path), WheelProblem::RecordedTwice));
            }
        }
        Ok(by_path)
    }

    fn hash_for(
        &self,
        entry: &Entry,
        row: Option<&RecordRow>,
        exempt: bool,
    ) -> Result<Option<RecordHash>, WheelError> {
        let refuse = |problem| Err(self.error(Some(&entry.name), problem));
        match row {
            None if exempt => Ok(None),
            None => refuse(WheelProblem::NotRecorded),
            Some(row) => {
                if let Some(recorded) = row.size.filter(|size| *size != entry.size) {
                    return refuse(WheelProblem::RecordedSize {
                        recorded,
                        actual: entry.size,
                    });
                }
                match &row.hash {
                    None if exempt => Ok(None),
                    None | Some(RecordHash::Weak) => refuse(WheelProblem::NotHashed),
                    Some(hash) => Ok(Some(hash.clone())),
                }
            }
        }
    }

    /// Reads `WHEEL`: a version that is known, and which folder the root is.
    fn root(&self, bytes: &[u8]) -> Result<InstallRoot, WheelError> {
        let refuse = |text: String| Err(self.error(Some("WHEEL"), WheelProblem::WheelFile(text)));
        let text = String::from_utf8_lossy(bytes);
        let headers = Headers::parse(&text);
        match headers.first("Wheel-Version") {
            Some(version) if version.split('.').next() == Some("1") => {}
            Some(version) => {
                return refuse(format!("version {version} of the format is not known"));
            }
            None => return refuse("it states no version of the format".to_owned()),
        }
        match headers
            .first("Root-Is-Purelib")
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            Some("true") => Ok(InstallRoot::Purelib),
            Some("false") | None => Ok(InstallRoot::Platlib),
            Some(other) => refuse(format!("Root-Is-Purelib is `{other}`")),
        }
    }

    fn metadata(&self, bytes: &[u8]) -> Result<CoreMetadata, WheelError> {
        let at = |problem| self.error(Some("METADATA"), problem);
        let metadata = metadata::parse(bytes).map_err(|error| at(error.into()))?;
        if metadata.name == self.wheel.name && metadata.version == self.wheel.version {
            return Ok(metadata);
        }
        Err(at(WheelProblem::Disagrees {
            name: metadata.name,
            version: metadata.version,
        }))
    }

    /// Two members must not meet at one place, be it by way of `.data`.
    fn distinct_targets(&self, members: &[Member]) -> Result<(), WheelError> {
        let targets: Vec<String> = members
            .iter()
            .map(|member| {
                let root = match member.install_to.root {
                    // One folder in every environment of ours.
                    InstallRoot::Purelib | InstallRoot::Platlib => "lib",
                    InstallRoot::Scripts => "scripts",
                    InstallRoot::Headers => "headers",
                    InstallRoot::Data => "data",
                };
                format!("{root}/{}", member.install_to.path)
            })
            .collect();
        match layout::find_duplicate(targets.iter().map(String::as_str)) {
            Some(twice) => Err(self.error(Some(twice), WheelProblem::Duplicate)),
            None => Ok(()),
        }
    }
}

/// 1980-01-01, the oldest time a zip archive can state.
const DOS_EPOCH: i64 = 315_532_800;

fn unix_seconds(at: zip::DateTime) -> i64 {
    let whole = |value: u8| i8::try_from(value).unwrap_or(1);
    let year = i16::try_from(at.year()).unwrap_or(1980);
    let date = jiff::civil::DateTime::new(
        year,
        whole(at.month()),
        whole(at.day()),
        whole(at.hour()),
        whole(at.minute()),
        whole(at.second()),
        0,
    );
    date.and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC))
        .map_or(DOS_EPOCH, |at| at.timestamp().as_second())
}

/// A position in a file that others read too.
#[derive(Debug, Clone)]
struct At {
    file: Arc<File>,
    position: u64,
    length: u64,
}

impl Read for At {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for At {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests;
