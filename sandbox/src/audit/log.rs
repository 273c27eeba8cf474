//! The files of the audit log: appending, turning over, reading, following. See [`super`].

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock};

use super::{Entry, Listener};

/// How large the present file may become, in bytes.
pub const ROTATE_BYTES: u64 = 8 << 20;

/// How many files of before are kept.
const KEPT: u32 = 4;

/// The longest line that is written; what is longer loses its command.
const LINE_BYTES: usize = 16 << 10;

/// The log of one user.
#[derive(Debug)]
pub struct Log {
    folder: PathBuf,
    rotate_bytes: u64,
    open: Mutex<Option<File>>,
}

impl Log {
    /// The log below a home. Nothing is made before the first line.
    pub fn new(home: &Path) -> Self {
        Self {
            folder: home.join("audit"),
            rotate_bytes: ROTATE_BYTES,
            open: Mutex::new(None),
        }
    }

    /// The present file.
    pub fn path(&self) -> PathBuf {
        self.folder.join("audit.jsonl")
    }

    fn path_before(&self, age: u32) -> PathBuf {
        self.folder.join(format!("audit.{age}.jsonl"))
    }

    /// Appends a decision.
    ///
    /// # Errors
    /// If the file cannot be made or written.
    pub fn append(&self, entry: &Entry) -> io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match open.take() {
            Some(file) if self.is_present(&file)? => file,
            _ => self.open_present()?,
        };
        let file = open.insert(file);
        file.write_all(&line(entry)?)?;
        if file.metadata()?.len() > self.rotate_bytes {
            self.turn_over(file)?;
        }
        Ok(())
    }

    fn open_present(&self) -> io::Result<File> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .mode(0o600)
            .open(self.path())
    }

    /// Whether the file is still what its name leads to.
    fn is_present(&self, file: &File) -> io::Result<bool> {
        let own = file.metadata()?;
        match fs::symlink_metadata(self.path()) {
            Ok(there) => Ok((there.dev(), there.ino()) == (own.dev(), own.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Renames the files, each to the next age; the oldest goes.
    fn turn_over(&self, file: &File) -> io::Result<()> {
        let folder = File::open(&self.folder)?;
        flock(&folder, FlockOperation::LockExclusive)?;
        if self.is_present(file)? {
            for age in (1..KEPT).rev() {
                absent_is_fine(fs::rename(self.path_before(age), self.path_before(age + 1)))?;
            }
            absent_is_fine(fs::rename(self.path(), self.path_before(1)))?;
        }
        Ok(())
    }

    /// All decisions that are kept, the oldest first. Lines that cannot be understood (a newer version's, one cut
    /// short by a full disk) are left out.
    ///
    /// # Errors
    /// If a file that is there cannot be read.
    pub fn read(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let before = (1..=KEPT).rev().map(|age| self.path_before(age));
        for path in before.chain([self.path()]) {
            match File::open(&path) {
                Ok(file) => {
                    for line in BufReader::new(file).split(b'\n') {
                        entries.extend(serde_json::from_slice::<Entry>(&line?));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    }

    /// What is appended from now on.
    ///
    /// # Errors
    /// If the file is there and cannot be read.
    pub fn follow(&self) -> io::Result<Follower<'_>> {
        let mut follower = Follower {
            log: self,
            file: None,
            rest: Vec::new(),
        };
        follower.open(SeekFrom::End(0))?;
        Ok(follower)
    }
}

impl Listener for Log {
    /// What cannot be logged is told on no other way from here: a filter must go on.
    fn heard(&self, entry: &Entry) {
        self.append(entry).unwrap_or_default();
    }
}

/// Reads what is appended; asked again and again.
#[derive(Debug)]
pub struct Follower<'a> {
    log: &'a Log,
    file: Option<File>,
    rest: Vec<u8>,
}

impl Follower<'_> {
    fn open(&mut self, from: SeekFrom) -> io::Result<()> {
        match File::open(self.log.path()) {
            Ok(mut file) => {
                file.seek(from)?;
                self.file = Some(file);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What came since the last call.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn news(&mut self) -> io::Result<Vec<Entry>> {
        let mut news = self.read_open()?;
        let moved = match &self.file {
            Some(file) => !self.log.is_present(file)?,
            None => true,
        };
        if moved {
            // Lines that came between reading and renaming are still in the old file.
            news.extend(self.read_open()?);
            self.file = None;
            self.open(SeekFrom::Start(0))?;
            news.extend(self.read_open()?);
        }
        Ok(news)
    }

    fn read_open(&mut self) -> io::Result<Vec<Entry>> {
        let Some(file) = &mut self.file else {
            return Ok(Vec::new());
        };
        file.read_to_end(&mut self.rest)?;
        let whole = self
            .rest
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        let lines = lines.split(|byte| *byte == b'\n');
        Ok(lines
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect())
    }
}

fn line(entry: &Entry) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(entry)?;
    if line.len() > LINE_BYTES {
        let mut short = entry.clone();
        short.who.command.truncate(1);
        for text in short.who.command.iter_mut().chain([&mut short.target]) {
            *text = text.chars().take(LINE_BYTES / 16).collect();
        }
        line = serde_json::to_vec(&short)?;
    }
    line.push(b'\n');
    Ok(line)
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Decision, Kind, Who};
    use super::*;

    fn entry(number: u64) -> Entry {
        Entry {
            at_ms: number,
            who: Who {
                environment: "demo".to_owned(),
                command: vec!["python".to_owned(), "app.py".to_owned()],
                uid: 1000,
            },
            kind: Kind::Net,
            target: "index.test:443".to_owned(),
            address: None,
            decision: Decision::Denied,
            rule: "nothing allows it".to_owned(),
            allow: Some("net index.test:443".to_owned()),
            traffic: None,
        }
    }

    fn numbers(entries: &[Entry]) -> Vec<u64> {
        entries.iter().map(|entry| entry.at_ms).collect()
    }

    #[test]
    fn what_is_appended_is_read_back_and_bad_lines_are_passed_over() {
        let home = tempfile::tempdir().expect("temporary directory");
        let log = Log::new(home.path());
        assert!(log.read().expect("nothing yet").is_empty());
        log.append(&entry(1)).expect("appended");
        let mut file = OpenOptions::new()
            .append(true)
            .open(log.path())
            .expect("there");
        file.write_all(b"{\"at_ms\": 7, \"cut\n").expect("written");
        log.append(&entry(2)).expect("appended");
        let read = log.read().expect("readable");
        assert_eq!(read, [entry(1), entry(2)]);
        assert_eq!(
            read[0].lesson().as_deref(),
            Some("blast allow net index.test:443")
        );
        let mode = fs::metadata(log.path()).expect("there").mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn several_writers_lose_nothing_while_files_turn_over() {
        let home = tempfile::tempdir().expect("temporary directory");
        let size = line(&entry(1)).expect("a line").len() as u64;
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let home = home.path();
                scope.spawn(move || {
                    let log = Log {
                        rotate_bytes: size * 60,
                        ..Log::new(home)
                    };
                    for number in 0..50 {
                        log.append(&entry(writer * 50 + number)).expect("appended");
                    }
                });
            }
        });
        let log = Log::new(home.path());
        let mut read = numbers(&log.read().expect("readable"));
        read.sort_unstable();
        assert_eq!(read, (0..200).collect::<Vec<_>>());
        assert!(log.path_before(1).exists(), "it turned over");
    }

    #[test]
    fn only_so_many_files_are_kept() {
        let home = tempfile::tempdir().expect("temporary directory");
        let log = Log {
            rotate_bytes: 0,
            ..Log::new(home.path())
        };
        for number in 0..10 {
            log.append(&entry(number)).expect("appended");
        }
        assert_eq!(numbers(&log.read().expect("readable")), [6, 7, 8, 9]);
    }

    #[test]
    fn a_follower_sees_only_news_also_after_turning_over() {
        let home = tempfile::tempdir().expect("temporary directory");
        let log = Log {
            rotate_bytes: 0,
            ..Log::new(home.path())
        };
        let mut early = log.follow().expect("nothing there yet");
        assert!(early.news().expect("readable").is_empty());
        let plain = Log::new(home.path());
        plain.append(&entry(1)).expect("appended");
        assert_eq!(numbers(&early.news().expect("readable")), [1]);
        let mut late = plain.follow().expect("there");
        plain.append(&entry(2)).expect("appended");
        log.append(&entry(3)).expect("appended, then turned over");
        plain.append(&entry(4)).expect("appended");
        for follower in [&mut early, &mut late] {
            assert_eq!(numbers(&follower.news().expect("readable")), [2, 3, 4]);
        }
    }

    #[test]
    fn a_line_is_short_whatever_it_tells() {
        let mut long = entry(1);
        long.who.command = vec!["x".repeat(1 << 20); 3];
        let text = line(&long).expect("a line");
        assert!(text.len() <= LINE_BYTES);
        let read: Entry = serde_json::from_slice(&text).expect("whole JSON");
        assert_eq!(read.target, long.target);
    }
}
