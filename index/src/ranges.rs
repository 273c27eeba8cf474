//! Reading one member of a remote archive without fetching the archive. [`Sparse`] is a file of
//! which only some parts are known: it reads like any other file, and where a part is missing it
//! fails with [`Missing`], so that the caller can fetch that part and try again. Pure.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use bytes::Bytes;
use zip::ZipArchive;
use zip::result::ZipError;

use crate::position::Position;

/// A part that has to be fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bytes {} to {} are needed", .0.start, .0.end)]
pub(crate) struct Missing(pub(crate) Range<u64>);

/// Parts of a file of known length.
#[derive(Debug, Clone)]
pub(crate) struct Sparse {
    /// By start; neither empty nor overlapping.
    parts: BTreeMap<u64, Bytes>,
    position: Position,
}

impl Sparse {
    pub(crate) fn new(length: u64) -> Self {
        Self {
            parts: BTreeMap::new(),
            position: Position::new(length),
        }
    }

    /// Adds a part; what is known already stays as it is.
    pub(crate) fn add(&mut self, start: u64, bytes: Bytes) {
        let mut start = start;
        let mut bytes = bytes;
        while !bytes.is_empty() {
            if let Some(known) = self.part_at(start) {
                let skip = (known.len() as u64).min(bytes.len() as u64);
                bytes = bytes.slice(skip as usize..);
                start += skip;
                continue;
            }
            let next = self
                .parts
                .range(start..)
                .next()
                .map_or(u64::MAX, |(at, _)| *at);
            let take = (next - start).min(bytes.len() as u64) as usize;
            self.parts.insert(start, bytes.slice(..take));
            bytes = bytes.slice(take..);
            start += take as u64;
        }
    }

    /// What is known from `at` on, up to the end of its part.
    fn part_at(&self, at: u64) -> Option<Bytes> {
        let (start, bytes) = self.parts.range(..=at).next_back()?;
        let offset = usize::try_from(at - start).ok()?;
        (offset < bytes.len()).then(|| bytes.slice(offset..))
    }

    /// The first unknown stretch from `at` on.
    fn gap_at(&self, at: u64) -> Range<u64> {
        let next = self
            .parts
            .range(at..)
            .next()
            .map_or(self.position.length(), |(start, _)| *start);
        at..next
    }

    /// The first unknown stretch of `range`, if there is one.
    fn gap_in(&self, range: &Range<u64>) -> Option<Range<u64>> {
        let mut at = range.start;
        while at < range.end {
            match self.part_at(at) {
                Some(known) => at += known.len() as u64,
                None => return Some(at..self.gap_at(at).end.min(range.end)),
            }
        }
        None
    }
}

impl Read for Sparse {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let at = self.position.at();
        if at >= self.position.length() || buffer.is_empty() {
            return Ok(0);
        }
        let Some(known) = self.part_at(at) else {
            return Err(io::Error::other(Missing(self.gap_at(at))));
        };
        let count = known.len().min(buffer.len());
        buffer[..count].copy_from_slice(&known[..count]);
        self.position.advance(count);
        Ok(count)
    }
}

impl Seek for Sparse {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position.seek(to)
    }
}

/// What an attempt to read a member led to.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// The member's bytes.
    Done(Vec<u8>),
    /// This has to be fetched first.
    Fetch(Range<u64>),
}

/// Local headers hold the name and extra fields again, whose length the central directory does
/// not tell; this much is fetched for them.
const LOCAL_HEADER_ROOM: u64 = 30 + 64 + 512;

/// Tries to read the one `*.dist-info/METADATA` at the top of the archive for which `wanted`
/// holds, at most `limit` bytes of it.
pub(crate) fn read_metadata(
    sparse: &Sparse,
    wanted: &dyn Fn(&str) -> bool,
    limit: u64,
) -> Result<Attempt, ZipError> {
    let mut archive = match ZipArchive::new(sparse.clone()) {
        Ok(archive) => archive,
        Err(error) => return missing_or(error),
    };
    let found = archive.file_names().enumerate().find_map(|(at, name)| {
        let name = name.ok()?;
        let directory = name.strip_suffix("/METADATA")?;
        (!directory.contains('/') && wanted(directory)).then(|| (at, name.len() as u64))
    });
    let (index, name_length) = found.ok_or(ZipError::FileNotFound)?;
    let entry = archive.by_index_data(index)?;
    if entry.size() > limit {
        return Err(ZipError::InvalidArchive("METADATA is too large".into()));
    }
    let start = entry.header_start();
    let room = LOCAL_HEADER_ROOM + name_length;
    let end = start
        .saturating_add(room)
        .saturating_add(entry.compressed_size());
    if let Some(gap) = sparse.gap_in(&(start..end.min(sparse.position.length()))) {
        return Ok(Attempt::Fetch(gap));
    }
    let mut bytes = Vec::new();
    let member = match archive.by_index(index) {
        Ok(member) => member,
        Err(error) => return missing_or(error),
    };
    match member.take(limit + 1).read_to_end(&mut bytes) {
        Ok(read) if read as u64 > limit => {
            Err(ZipError::InvalidArchive("METADATA is too large".into()))
        }
        Ok(_) => Ok(Attempt::Done(bytes)),
        Err(error) => missing_or(ZipError::Io(error)),
    }
}

fn missing_or(error: ZipError) -> Result<Attempt, ZipError> {
    if let ZipError::Io(io) = &error
        && let Some(Missing(range)) = io.get_ref().and_then(|inner| inner.downcast_ref())
    {
        return Ok(Attempt::Fetch(range.clone()));
    }
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn archive(padding: usize) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        let noise: Vec<u8> = (0..padding).map(|n| ((n * 7919) >> 5) as u8).collect();
        for (name, body) in [
            ("demo-1.0.dist-info/METADATA", &b"Name: demo"[..]),
            ("other/demo-1.0.dist-info/METADATA", b"no"),
            ("demo/data", &noise),
        ] {
            writer.start_file(name, options).expect("started");
            writer.write_all(body).expect("written");
        }
        writer.finish().expect("finished").into_inner()
    }

    /// Serves what is asked for, starting with the last `tail` bytes; returns rounds and bytes.
    fn fetch(archive: &[u8], tail: usize) -> (Vec<u8>, usize, u64) {
        let mut sparse = Sparse::new(archive.len() as u64);
        let from = archive.len().saturating_sub(tail);
        sparse.add(from as u64, Bytes::copy_from_slice(&archive[from..]));
        let mut fetched = tail as u64;
        for round in 1..10 {
            match read_metadata(&sparse, &|name| name == "demo-1.0.dist-info", 100).expect("valid")
            {
                Attempt::Done(bytes) => return (bytes, round, fetched),
                Attempt::Fetch(range) => {
                    fetched += range.end - range.start;
                    let part = &archive[range.start as usize..range.end as usize];
                    sparse.add(range.start, Bytes::copy_from_slice(part));
                }
            }
        }
        panic!("does not come to an end");
    }

    #[test]
    fn only_the_tail_and_the_member_are_fetched() {
        let bytes = archive(200_000);
        let (metadata, rounds, fetched) = fetch(&bytes, 4096);
        assert_eq!((metadata.as_slice(), rounds), (&b"Name: demo"[..], 2));
        assert!(fetched < 8192, "{fetched}");
    }

    #[test]
    fn a_tail_that_is_too_short_is_made_longer() {
        let bytes = archive(1000);
        for tail in [1, 22, 30, 100, 300, bytes.len()] {
            assert_eq!(fetch(&bytes, tail).0, b"Name: demo", "{tail}");
        }
    }

    #[test]
    fn overlapping_parts_and_reads_past_the_end() {
        let mut sparse = Sparse::new(10);
        sparse.add(2, Bytes::from_static(b"234"));
        sparse.add(6, Bytes::from_static(b"67"));
        sparse.add(0, Bytes::from_static(b"0123456789"));
        let mut all = Vec::new();
        sparse.read_to_end(&mut all).expect("all known");
        assert_eq!(all, b"0123456789");
        assert!(sparse.seek(SeekFrom::End(-11)).is_err());
    }

    #[test]
    fn an_archive_without_the_member_or_without_sense_is_an_error() {
        let bytes = archive(10);
        let mut sparse = Sparse::new(bytes.len() as u64);
        sparse.add(0, bytes.into());
        assert!(read_metadata(&sparse, &|_| false, 100).is_err());
        assert!(read_metadata(&sparse, &|name| name.starts_with("demo"), 3).is_err());
        let mut noise = Sparse::new(100);
        noise.add(0, vec![7; 100].into());
        assert!(read_metadata(&noise, &|_| true, 100).is_err());
    }
}
