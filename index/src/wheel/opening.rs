//! The checks that stand between a file and a [`WheelArchive`]: everything that needs no
//! unpacking, in an order in which each may rely on those before it.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read as _};

use blast_types::{CoreMetadata, WheelFilename};
use zip::ZipArchive;

use super::archive::{At, Check, Limits, Member, WheelArchive, copy};
use super::entry_points::{self, EntryPoint};
use super::error::{WheelError, WheelProblem};
use super::layout::{self, InstallRoot};
use super::record::{self, RecordHash, RecordRow};
use crate::metadata::{self, Headers};

/// The largest `METADATA`, `WHEEL`, `RECORD` or `entry_points.txt` that is read.
const TEXT_LIMIT: u64 = 128 << 20;
/// Length of the fixed part of a central directory entry.
const CENTRAL_HEADER: usize = 46;

/// A wheel on its way to being trusted.
pub(super) struct Opening<'a> {
    pub(super) name: &'a str,
    pub(super) wheel: &'a WheelFilename,
    pub(super) zip: ZipArchive<At>,
    pub(super) limits: Limits,
}

/// What the files of `.dist-info` say.
struct Texts {
    root: InstallRoot,
    metadata: CoreMetadata,
    entry_points: Vec<EntryPoint>,
    record_bytes: Vec<u8>,
    recorded: HashMap<String, RecordRow>,
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

    /// Everything that can be checked without unpacking.
    pub(super) fn finish(mut self) -> Result<WheelArchive, WheelError> {
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
        let texts = self.texts(&entries, &dist_info)?;
        let (members, checks) = self.members(entries, &dist_info, &texts)?;
        self.distinct_targets(&members)?;
        let present: HashSet<_> = members.iter().map(|member| member.name.as_str()).collect();
        let rows = texts.recorded.into_values();
        let mut record: Vec<_> = rows
            .filter(|row| present.contains(row.path.as_str()))
            .collect();
        record.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(WheelArchive {
            filename: self.name.to_owned(),
            zip: self.zip,
            members,
            checks,
            dist_info,
            root: texts.root,
            metadata: texts.metadata,
            entry_points: texts.entry_points,
            record,
            record_bytes: texts.record_bytes,
        })
    }

    /// Reads the files of `.dist-info`, `RECORD` first: the others are compared with it.
    fn texts(&self, entries: &[Entry], dist_info: &str) -> Result<Texts, WheelError> {
        let record_name = format!("{dist_info}/RECORD");
        let record_bytes = self
            .text(entries, &record_name, None)?
            .ok_or_else(|| self.missing(&record_name))?;
        let recorded = self.recorded(&record_bytes, &record_name)?;
        let named =
            |file: &str| self.text(entries, &format!("{dist_info}/{file}"), Some(&recorded));
        let wheel_file = named("WHEEL")?.ok_or_else(|| self.missing("WHEEL"))?;
        let metadata = named("METADATA")?.ok_or_else(|| self.missing("METADATA"))?;
        let scripts = named("entry_points.txt")?.unwrap_or_default();
        let entry_points = entry_points::parse(&String::from_utf8_lossy(&scripts))
            .map_err(|problem| self.error(Some("entry_points.txt"), problem))?;
        Ok(Texts {
            root: self.root(&wheel_file)?,
            metadata: self.metadata(&metadata)?,
            entry_points,
            record_bytes,
            recorded,
        })
    }

    /// All members but `RECORD`, each with what it is compared with.
    fn members(
        &self,
        entries: Vec<Entry>,
        dist_info: &str,
        texts: &Texts,
    ) -> Result<(Vec<Member>, Vec<Check>), WheelError> {
        let of_info = |file: &str| format!("{dist_info}/{file}");
        let record = of_info("RECORD");
        let exempt = [of_info("RECORD.jws"), of_info("RECORD.p7s")];
        let mut members = Vec::with_capacity(entries.len());
        let mut checks = Vec::with_capacity(entries.len());
        for entry in entries.into_iter().filter(|entry| entry.name != record) {
            let row = texts.recorded.get(entry.name.as_str());
            let hash = self.hash_for(&entry, row, exempt.contains(&entry.name))?;
            let install_to = layout::install_path(&entry.name, self.wheel, texts.root)
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
        Ok((members, checks))
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
        let start = self.zip.central_directory_start();
        directory.position.seek(io::SeekFrom::Start(start)).ok()?;
        let mut directory = io::BufReader::new(directory.take(TEXT_LIMIT));
        let mut seen = HashSet::new();
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
pub(super) const DOS_EPOCH: i64 = 315_532_800;

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
