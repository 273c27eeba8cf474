//! One record of the write-ahead log. Layout, all numbers little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `blastwal` |
//! | 4 | version |
//! | 4 | number of the record in its lap, from 0 |
//! | 16 | lap: a random name that all records between two settlings share |
//! | 16 | epoch of the journal |
//! | 8 | where in the journal the lines belong |
//! | 4 | bytes of lines, which follow the head |
//! | 4 | bytes of objects, which follow the lines |
//! | 32 | BLAKE3 of the 64 bytes before and of all that follows |
//!
//! An object is a byte for its kind, 32 for its name, 4 for its length, and its bytes. Zeros fill
//! the last block.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use blast_types::{BlobId, GenerationId, LayerId, PackId};

use crate::StoreError;
use crate::error::At as _;
use crate::journal::{Epoch, random_name};
use crate::objects::ObjectId;

/// Records begin at multiples of this many bytes.
pub(super) const BLOCK: u64 = 4096;
const MAGIC: &[u8; 8] = b"blastwal";
const VERSION: u32 = 1;
const SUMMED: usize = 64;
const HEAD: usize = SUMMED + 32;

/// What all records between two settlings share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Lap([u8; 16]);

impl Lap {
    /// A lap that no other record has.
    pub(super) fn new() -> Self {
        Self(random_name())
    }
}

/// A small object with its bytes.
pub(crate) type ObjectBytes = (ObjectId, Vec<u8>);

/// What a record makes durable.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Content {
    /// Whole lines.
    pub(crate) journal: Vec<u8>,
    /// Small objects.
    pub(crate) objects: Vec<ObjectBytes>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) lap: Lap,
    pub(super) sequence: u32,
    pub(super) epoch: Epoch,
    /// Offset in the journal.
    pub(super) journal_at: u64,
    pub(super) content: Content,
}

impl Record {
    /// Whether this is the record after `last`.
    pub(super) fn follows(&self, last: &Self) -> bool {
        self.lap == last.lap && self.sequence == last.sequence + 1
    }

    /// Bytes of the record with its filling.
    pub(super) fn blocks(&self) -> u64 {
        let objects: usize = self.content.objects.iter().map(|(_, b)| 37 + b.len()).sum();
        ((HEAD + self.content.journal.len() + objects) as u64).next_multiple_of(BLOCK)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut objects = Vec::new();
        for (id, bytes) in &self.content.objects {
            let (kind, name) = match id {
                ObjectId::Blob(id) => (0, id.as_bytes()),
                ObjectId::Layer(id) => (1, id.as_bytes()),
                ObjectId::Generation(id) => (2, id.as_bytes()),
                ObjectId::Pack(id) => (3, id.as_bytes()),
            };
            objects.push(kind);
            objects.extend_from_slice(name);
            objects.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            objects.extend_from_slice(bytes);
        }
        let mut record = Vec::with_capacity(self.blocks() as usize);
        record.extend_from_slice(MAGIC);
        record.extend_from_slice(&VERSION.to_le_bytes());
        record.extend_from_slice(&self.sequence.to_le_bytes());
        record.extend_from_slice(&self.lap.0);
        record.extend_from_slice(&self.epoch.0);
        record.extend_from_slice(&self.journal_at.to_le_bytes());
        record.extend_from_slice(&(self.content.journal.len() as u32).to_le_bytes());
        record.extend_from_slice(&(objects.len() as u32).to_le_bytes());
        let mut sum = blake3::Hasher::new();
        sum.update(&record);
        sum.update(&self.content.journal);
        sum.update(&objects);
        record.extend_from_slice(sum.finalize().as_bytes());
        record.extend_from_slice(&self.content.journal);
        record.extend_from_slice(&objects);
        record.resize(record.len().next_multiple_of(BLOCK as usize), 0);
        record
    }

    /// The record at an offset of `file`, which has `size` bytes. Nothing where there is none, or
    /// one that was not finished.
    ///
    /// # Errors
    /// A whole record of an unknown version; a file that cannot be read.
    pub(super) fn read(
        file: &File,
        at: u64,
        size: u64,
        path: &Path,
    ) -> Result<Option<Self>, StoreError> {
        if at + BLOCK > size {
            return Ok(None);
        }
        let mut head = [0; HEAD];
        file.read_exact_at(&mut head, at).at("read", path)?;
        if !head.starts_with(MAGIC) {
            return Ok(None);
        }
        let lines = u32_at(&head, 56) as usize;
        let objects = u32_at(&head, 60) as usize;
        if (HEAD + lines + objects) as u64 > size - at {
            return Ok(None);
        }
        let mut body = vec![0; lines + objects];
        file.read_exact_at(&mut body, at + HEAD as u64)
            .at("read", path)?;
        let mut sum = blake3::Hasher::new();
        sum.update(&head[..SUMMED]);
        sum.update(&body);
        if sum.finalize().as_bytes() != &head[SUMMED..] {
            return Ok(None);
        }
        let unknown = |found| StoreError::UnknownFormat {
            path: path.to_owned(),
            found,
            known: format!("blast-wal {VERSION}"),
        };
        let version = u32_at(&head, 8);
        if version != VERSION {
            return Err(unknown(format!("blast-wal {version}")));
        }
        let objects = objects_of(&body[lines..])
            .ok_or_else(|| unknown("an object of an unknown kind".to_owned()))?;
        body.truncate(lines);
        let name = |from: usize| {
            let mut name = [0; 16];
            name.copy_from_slice(&head[from..from + 16]);
            name
        };
        Ok(Some(Self {
            sequence: u32_at(&head, 12),
            lap: Lap(name(16)),
            epoch: Epoch(name(32)),
            journal_at: u64::from(u32_at(&head, 48)) | u64::from(u32_at(&head, 52)) << 32,
            content: Content {
                journal: body,
                objects,
            },
        }))
    }
}

fn objects_of(mut bytes: &[u8]) -> Option<Vec<ObjectBytes>> {
    let mut objects = Vec::new();
    while let Some((&kind, rest)) = bytes.split_first() {
        let (name, rest) = rest.split_first_chunk::<32>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (object, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let id = match kind {
            0 => ObjectId::Blob(BlobId::from_bytes(*name)),
            1 => ObjectId::Layer(LayerId::from_bytes(*name)),
            2 => ObjectId::Generation(GenerationId::from_bytes(*name)),
            3 => ObjectId::Pack(PackId::from_bytes(*name)),
            _ => return None,
        };
        objects.push((id, object.to_vec()));
        bytes = rest;
    }
    Some(objects)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}
