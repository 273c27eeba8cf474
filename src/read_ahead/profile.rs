//! What programs read of each layer, kept between runs.
//!
//! ```text
//! $BLAST_CACHE/read-ahead-v1/<layer>    "blast read-ahead 1", then in the order of first use, one a line,
//!                                       `ENTRY FIRST COUNT`: chunks of a file, or
//!                                       `ENTRY /NAME`: a name that is not in this directory
//! ```
//!
//! A chunk is what the kernel reads ahead by itself. Anybody may delete these files at any time: they
//! save waiting, and nothing else depends on them. What is damaged counts as absent.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use blast_store::EntryIndex;

/// Folder below the cache directory. The number changes with the form of the files.
pub(super) const BUCKET: &str = "read-ahead-v1";
const HEADER: &str = "blast read-ahead 1";
/// Bytes in a chunk: the kernel's read-ahead, where nobody set another.
pub(super) const CHUNK: u64 = 128 * 1024;
/// Files of a layer that are remembered, and names that are not there.
const MOST_FILES: usize = 16 * 1024;
const MOST_MISSED: usize = 4 * 1024;
/// Chunks of a layer that are remembered beside the first of each file: 128 MiB.
const MOST_FURTHER: usize = 1024;
/// Layers of which something is kept; of the oldest half of them it is forgotten beyond that.
const MOST_LAYERS: usize = 2048;

/// What a program asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Use {
    /// Some chunks of a file that follow each other.
    Chunks {
        entry: EntryIndex,
        first: u32,
        count: u32,
    },
    /// A name that is not in this directory.
    Missed { directory: EntryIndex, name: String },
}

/// What was asked of one layer.
#[derive(Debug, Default)]
pub(super) struct Profile {
    /// In the order of their first time.
    uses: Vec<Use>,
    chunks: HashSet<(u32, u32)>,
    missed: HashSet<(u32, String)>,
    further: usize,
    changed: bool,
}

impl Profile {
    pub(super) fn uses(&self) -> &[Use] {
        &self.uses
    }

    /// Bytes of a file were read.
    pub(super) fn note_read(&mut self, entry: EntryIndex, offset: u64, length: u64) {
        if length == 0 {
            return;
        }
        let end = offset.saturating_add(length).div_ceil(CHUNK);
        for chunk in offset / CHUNK..end {
            // A file of that size is none.
            let Ok(chunk) = u32::try_from(chunk) else {
                return;
            };
            if chunk > 0 && self.further >= MOST_FURTHER {
                return;
            }
            self.changed |= self.add_chunk(entry, chunk);
        }
    }

    /// A name was not there. One that is no text, or that a line cannot hold, is not remembered.
    pub(super) fn note_missed(&mut self, directory: EntryIndex, name: &[u8]) {
        if let Ok(name) = str::from_utf8(name)
            && !name.contains('\n')
        {
            self.changed |= self.add_missed(directory, name);
        }
    }

    /// Whether that is new, and there is room for it.
    fn add_chunk(&mut self, entry: EntryIndex, chunk: u32) -> bool {
        let full = match chunk {
            0 => self.chunks.len() - self.further >= MOST_FILES,
            _ => self.further >= MOST_FURTHER,
        };
        if full || !self.chunks.insert((entry.0, chunk)) {
            return false;
        }
        self.further += usize::from(chunk > 0);
        if let Some(Use::Chunks {
            entry: last,
            first,
            count,
        }) = self.uses.last_mut()
            && *last == entry
            && *first + *count == chunk
        {
            *count += 1;
        } else {
            self.uses.push(Use::Chunks {
                entry,
                first: chunk,
                count: 1,
            });
        }
        true
    }

    /// Whether that is new, and there is room for it.
    fn add_missed(&mut self, directory: EntryIndex, name: &str) -> bool {
        let new =
            self.missed.len() < MOST_MISSED && self.missed.insert((directory.0, name.to_owned()));
        if new {
            let name = name.to_owned();
            self.uses.push(Use::Missed { directory, name });
        }
        new
    }

    fn encode(&self) -> String {
        let lines = self.uses.iter().map(|used| match used {
            Use::Chunks {
                entry,
                first,
                count,
            } => format!("{} {first} {count}\n", entry.0),
            Use::Missed { directory, name } => format!("{} /{name}\n", directory.0),
        });
        std::iter::once(format!("{HEADER}\n"))
            .chain(lines)
            .collect()
    }

    fn decode(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        if lines.next() != Some(HEADER) {
            return None;
        }
        let mut profile = Self::default();
        for line in lines {
            let (entry, what) = line.split_once(' ')?;
            let entry = EntryIndex(entry.parse().ok()?);
            if let Some(name) = what.strip_prefix('/') {
                if name.contains('/') || !profile.add_missed(entry, name) {
                    return None;
                }
                continue;
            }
            let (first, count) = what.split_once(' ')?;
            let (first, count): (u32, u32) = (first.parse().ok()?, count.parse().ok()?);
            // Never as many as a number can say: what is too much ends it.
            for chunk in first..first.checked_add(count)? {
                if !profile.add_chunk(entry, chunk) {
                    return None;
                }
            }
        }
        Some(profile)
    }
}

/// The files.
#[derive(Debug)]
pub(super) struct Profiles {
    folder: PathBuf,
}

impl Profiles {
    /// Those below `$BLAST_CACHE`. Nothing is made yet.
    pub(super) fn new(cache: &Path) -> Self {
        Self {
            folder: cache.join(BUCKET),
        }
    }

    /// What is known of a layer by this name.
    pub(super) fn load(&self, layer: &str) -> Profile {
        let text = fs::read_to_string(self.folder.join(layer)).ok();
        let known = text.and_then(|text| Profile::decode(&text));
        known.unwrap_or_default()
    }

    /// Keeps what is new.
    pub(super) fn save(&self, layer: &str, profile: &Profile) -> io::Result<()> {
        if !profile.changed {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(profile.encode().as_bytes())?;
        file.persist(self.folder.join(layer))?;
        Ok(())
    }

    /// Forgets the oldest where there are too many. An absent folder has none.
    pub(super) fn trim(&self) -> io::Result<()> {
        let Ok(folder) = fs::read_dir(&self.folder) else {
            return Ok(());
        };
        let mut files = Vec::new();
        for entry in folder {
            let entry = entry?;
            files.push((entry.metadata()?.modified()?, entry.path()));
        }
        if files.len() > MOST_LAYERS {
            files.sort_unstable();
            for (_, path) in &files[..files.len() / 2] {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(entry: u32, first: u32, count: u32) -> Use {
        Use::Chunks {
            entry: EntryIndex(entry),
            first,
            count,
        }
    }

    fn missed(directory: u32, name: &str) -> Use {
        Use::Missed {
            directory: EntryIndex(directory),
            name: name.to_owned(),
        }
    }

    #[test]
    fn what_was_asked_for_is_kept_once_and_in_its_order() {
        let mut profile = Profile::default();
        profile.note_read(EntryIndex(9), 0, 500);
        profile.note_missed(EntryIndex(2), b"__init__.so");
        profile.note_read(EntryIndex(4), CHUNK, 2 * CHUNK);
        profile.note_read(EntryIndex(9), 0, 4096);
        profile.note_read(EntryIndex(4), 3 * CHUNK + 1, 1);
        profile.note_missed(EntryIndex(2), b"__init__.so");
        profile.note_missed(EntryIndex(3), "a b ü.so".as_bytes());
        profile.note_missed(EntryIndex(3), b"two\nlines");
        profile.note_missed(EntryIndex(3), b"\xff");
        profile.note_read(EntryIndex(9), CHUNK - 1, 2);
        profile.note_read(EntryIndex(1), 77, 0);
        let expected = [
            chunks(9, 0, 1),
            missed(2, "__init__.so"),
            chunks(4, 1, 3),
            missed(3, "a b ü.so"),
            chunks(9, 1, 1),
        ];
        assert_eq!(profile.uses(), expected);

        let cache = tempfile::tempdir().expect("temporary directory");
        let profiles = Profiles::new(cache.path());
        assert_eq!(profiles.load("a").uses(), []);
        profiles.save("a", &profile).expect("writable");
        let again = profiles.load("a");
        assert_eq!(again.uses(), expected);
        assert!(!again.changed);
        profiles.trim().expect("few");
        assert_eq!(profiles.load("a").uses(), expected);
    }

    #[test]
    fn what_is_damaged_counts_as_absent() {
        let mut profile = Profile::default();
        profile.note_read(EntryIndex(1), 0, 10 * CHUNK);
        profile.note_missed(EntryIndex(1), b"name");
        let good = profile.encode();
        let with = |line: &str| format!("{HEADER}\n{line}\n");
        for bad in [
            String::new(),
            good[..good.len() - 1].to_owned(),
            format!("other {good}"),
            format!("{good}{}", &good[HEADER.len() + 1..]),
            with("1 0 4294967295"),
            with("1 7 4294967295"),
            with("1"),
            with("1 2"),
            with("-1 2 3"),
            with("1 name"),
            with("1 /../name"),
            with(""),
        ] {
            assert!(Profile::decode(&bad).is_none(), "{bad:?}");
        }
        assert!(Profile::decode(&good).is_some_and(|same| same.uses() == profile.uses()));
        let empty = format!("{HEADER}\n");
        assert!(Profile::decode(&empty).is_some_and(|empty| empty.uses().is_empty()));
    }

    #[test]
    fn there_is_an_end_to_what_is_remembered() {
        let mut profile = Profile::default();
        profile.note_read(EntryIndex(0), 0, u64::MAX);
        for entry in 1..40_000 {
            profile.note_read(EntryIndex(entry), 0, 1);
            profile.note_missed(EntryIndex(entry), b"x");
        }
        assert_eq!(profile.chunks.len(), MOST_FILES + MOST_FURTHER);
        assert_eq!(profile.missed.len(), MOST_MISSED);
        let again = Profile::decode(&profile.encode()).expect("well formed");
        assert_eq!(again.uses(), profile.uses());
    }
}
