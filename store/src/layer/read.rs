//! Reading a layer in place.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

use blast_types::{BlobId, LayerId};

use super::{BLOB, EncodedLayer, HEADER, LAYER_VERSION, MAGIC, MAX_ENTRIES, RECORD, kind};
use crate::map::ObjectBytes;

/// Why bytes are no layer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayerFormatError {
    /// There is no such file.
    #[error("it does not exist")]
    Missing,
    /// The file cannot be opened or mapped.
    #[error("it cannot be mapped: {0}")]
    Unreadable(String),
    /// It does not begin as a layer does.
    #[error("it is not a layer file")]
    NotALayer,
    /// Written by a blast that knows another encoding.
    #[error("it has version {found}, this blast reads {LAYER_VERSION}")]
    Version {
        /// The version it states.
        found: u32,
    },
    /// It needs features this blast does not have.
    #[error("it needs unknown features {0:#x}")]
    Features(u32),
    /// Its parts do not add up to its length.
    #[error("it is {found} bytes long, its header says {expected}")]
    Length {
        /// The bytes there are.
        found: u64,
        /// The bytes there should be.
        expected: u64,
    },
    /// A rule of the encoding is broken.
    #[error("entry {entry}: {rule}")]
    Structure {
        /// Index of the entry.
        entry: u32,
        /// The rule.
        rule: &'static str,
    },
}

/// The place of an entry in its layer. 0 is the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryIndex(pub u32);

impl EntryIndex {
    /// The root directory.
    pub const ROOT: Self = Self(0);
}

/// One entry, read from the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its name; empty for the root.
    pub name: &'a [u8],
    /// Permission bits.
    pub mode: u32,
    /// Modification time in seconds since the epoch.
    pub mtime: i64,
    /// Size in bytes as `stat` shows it (of the target for links, 0 for directories).
    pub size: u64,
    /// The directory that holds it; the root's parent is the root.
    pub parent: EntryIndex,
    /// What it is.
    pub kind: EntryKind<'a>,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind<'a> {
    /// A directory whose children are `first_child .. first_child + count`.
    Dir {
        /// Index of the first child.
        first_child: EntryIndex,
        /// How many children there are.
        count: u32,
    },
    /// A file with the bytes of a blob.
    File {
        /// The blob.
        blob: BlobId,
    },
    /// A small file, here.
    Inline {
        /// All its bytes.
        bytes: &'a [u8],
    },
    /// A file that is a blob and then some.
    Extended {
        /// The blob it begins with.
        blob: BlobId,
        /// Size of that blob in bytes.
        base_size: u64,
        /// What follows.
        tail: &'a [u8],
    },
    /// A symbolic link.
    Symlink {
        /// Where it points.
        target: &'a [u8],
    },
    /// The layer file is damaged here: answer an input/output error.
    Damaged,
}

impl EntryKind<'_> {
    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        matches!(self, Self::Dir { .. })
    }
}

/// A layer, mapped and immutable. Cheap to open: only the header is read.
#[derive(Debug)]
pub struct Layer {
    id: LayerId,
    bytes: ObjectBytes,
    count: u32,
    blob_count: u32,
    heap_at: usize,
    content_bytes: u64,
}

impl Layer {
    /// Maps the layer file at `path`, trusting that it is the one called `id`.
    pub fn map(path: &Path, id: LayerId) -> Result<Self, LayerFormatError> {
        let bytes = ObjectBytes::map(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => LayerFormatError::Missing,
            _ => LayerFormatError::Unreadable(error.to_string()),
        })?;
        Self::open(id, bytes)
    }

    /// Maps the layer in an open file.
    pub(crate) fn map_file(file: &File, id: LayerId) -> Result<Self, LayerFormatError> {
        let unreadable = |error: io::Error| LayerFormatError::Unreadable(error.to_string());
        Self::open(id, ObjectBytes::of(file).map_err(unreadable)?)
    }

    /// Reads a layer from memory; its name is computed.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, LayerFormatError> {
        let id = LayerId::from_bytes(*blake3::hash(&bytes).as_bytes());
        Self::open(id, ObjectBytes::Owned(bytes))
    }

    pub(super) fn from_encoded(encoded: EncodedLayer) -> Result<Self, LayerFormatError> {
        Self::open(encoded.id, ObjectBytes::Owned(encoded.bytes))
    }

    fn open(id: LayerId, bytes: ObjectBytes) -> Result<Self, LayerFormatError> {
        if bytes.len() < HEADER || &bytes[..8] != MAGIC {
            return Err(LayerFormatError::NotALayer);
        }
        let version = u32_at(&bytes, 8);
        if version != LAYER_VERSION {
            return Err(LayerFormatError::Version { found: version });
        }
        let features = u32_at(&bytes, 12);
        if features != 0 {
            return Err(LayerFormatError::Features(features));
        }
        let (count, blob_count) = (u32_at(&bytes, 20), u32_at(&bytes, 24));
        let heap_bytes = u64_at(&bytes, 32);
        let heap_at =
            HEADER as u64 + u64::from(count) * RECORD as u64 + u64::from(blob_count) * BLOB as u64;
        let found = bytes.len() as u64;
        let expected = heap_at.saturating_add(heap_bytes);
        if found != expected {
            return Err(LayerFormatError::Length { found, expected });
        }
        if count == 0 || count as usize > MAX_ENTRIES || u32_at(&bytes, HEADER + 4) >> 16 != 1 {
            return Err(LayerFormatError::Structure {
                entry: 0,
                rule: "no root directory",
            });
        }
        let content_bytes = u64_at(&bytes, 40);
        Ok(Self {
            id,
            bytes,
            count,
            blob_count,
            heap_at: heap_at as usize,
            content_bytes,
        })
    }

    /// The layer's name.
    pub fn id(&self) -> LayerId {
        self.id
    }

    /// How many entries there are, the root among them.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is nothing but the root.
    pub fn is_empty(&self) -> bool {
        self.count == 1
    }

    /// Sum of the sizes of its files, in bytes.
    pub fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// The encoding itself.
    pub fn encoded(&self) -> &[u8] {
        &self.bytes
    }

    /// The root directory.
    pub fn root(&self) -> EntryIndex {
        EntryIndex::ROOT
    }

    /// The entry at `index`, or nothing where the layer is shorter.
    pub fn get(&self, index: EntryIndex) -> Option<Entry<'_>> {
        let record = self.record(index)?;
        let size = u64_at(record, 24);
        Some(Entry {
            name: self.name_of(record),
            mode: u32_at(record, 12) & 0o777,
            mtime: i64::from_le_bytes(array(record, 16)),
            size,
            parent: EntryIndex(u32_at(record, 8)),
            kind: self.kind_of(record, size).unwrap_or(EntryKind::Damaged),
        })
    }

    /// The entry at `index`.
    ///
    /// # Panics
    /// As slices do, where the layer is shorter: see [`Layer::get`] for numbers from outside.
    pub fn entry(&self, index: EntryIndex) -> Entry<'_> {
        self.get(index)
            .expect("an entry index belongs to the layer it came from")
    }

    /// The directory that holds `index`; the root holds itself.
    pub fn parent(&self, index: EntryIndex) -> EntryIndex {
        EntryIndex(self.record(index).map_or(0, |record| u32_at(record, 8)))
    }

    /// The children of a directory, in order; none where it is no directory.
    pub fn children(&self, dir: EntryIndex) -> impl ExactSizeIterator<Item = EntryIndex> + use<> {
        self.child_range(dir).map(EntryIndex)
    }

    /// The indices of a directory's children.
    pub fn child_range(&self, dir: EntryIndex) -> Range<u32> {
        let Some(record) = self.record(dir) else {
            return 0..0;
        };
        if record[6] != kind::DIR {
            return 0..0;
        }
        let (first, count) = (u64_at(record, 32), u64_at(record, 40));
        match first.checked_add(count) {
            Some(end) if end <= u64::from(self.count) && first > u64::from(dir.0) => {
                first as u32..end as u32
            }
            _ => 0..0,
        }
    }

    /// The child of `dir` with this name.
    pub fn lookup(&self, dir: EntryIndex, name: &[u8]) -> Option<EntryIndex> {
        let Range { mut start, mut end } = self.child_range(dir);
        while start < end {
            let middle = start + (end - start) / 2;
            match self.name_of(self.record(EntryIndex(middle))?).cmp(name) {
                std::cmp::Ordering::Equal => return Some(EntryIndex(middle)),
                std::cmp::Ordering::Less => start = middle + 1,
                std::cmp::Ordering::Greater => end = middle,
            }
        }
        None
    }

    /// The entry at a relative `/`-separated path; the empty path is the root.
    pub fn find(&self, path: impl AsRef<[u8]>) -> Option<EntryIndex> {
        let path = path.as_ref();
        if path.is_empty() {
            return Some(EntryIndex::ROOT);
        }
        path.split(|&byte| byte == b'/')
            .try_fold(EntryIndex::ROOT, |at, name| self.lookup(at, name))
    }

    /// The path of an entry, `/`-separated, empty for the root.
    pub fn path(&self, index: EntryIndex) -> String {
        let mut names = Vec::new();
        let mut at = index;
        while at != EntryIndex::ROOT {
            let Some(record) = self.record(at) else { break };
            names.push(String::from_utf8_lossy(self.name_of(record)));
            let parent = EntryIndex(u32_at(record, 8));
            // Parents stand before their children; anything else is damage, and no way up.
            if parent >= at {
                break;
            }
            at = parent;
        }
        names.reverse();
        names.join("/")
    }

    /// All entries with their indices, breadth first.
    pub fn entries(&self) -> impl Iterator<Item = (EntryIndex, Entry<'_>)> {
        (0..self.count)
            .map(EntryIndex)
            .filter_map(|index| Some((index, self.get(index)?)))
    }

    /// The names of all blobs that the layer refers to, distinct and ascending.
    pub fn blobs(&self) -> impl ExactSizeIterator<Item = BlobId> + '_ {
        self.blob_table().map(BlobId::from_bytes)
    }

    fn blob_table(&self) -> impl ExactSizeIterator<Item = [u8; BLOB]> + '_ {
        let start = HEADER + self.count as usize * RECORD;
        self.bytes[start..self.heap_at]
            .chunks_exact(BLOB)
            .map(|chunk| array(chunk, 0))
    }

    pub(super) fn blob_count(&self) -> u32 {
        self.blob_count
    }

    pub(super) fn heap_len(&self) -> u64 {
        (self.bytes.len() - self.heap_at) as u64
    }

    pub(super) fn record(&self, index: EntryIndex) -> Option<&[u8]> {
        if index.0 >= self.count {
            return None;
        }
        let start = HEADER + index.0 as usize * RECORD;
        self.bytes.get(start..start + RECORD)
    }

    fn name_of<'a>(&'a self, record: &[u8]) -> &'a [u8] {
        let offset = u64::from(u32_at(record, 0));
        let length = u64::from(u16::from_le_bytes(array(record, 4)));
        self.heap(offset, length).unwrap_or_default()
    }

    fn heap(&self, offset: u64, length: u64) -> Option<&[u8]> {
        let start = usize::try_from(offset).ok()?.checked_add(self.heap_at)?;
        self.bytes
            .get(start..start.checked_add(usize::try_from(length).ok()?)?)
    }

    fn blob(&self, index: u64) -> Option<BlobId> {
        if index >= u64::from(self.blob_count) {
            return None;
        }
        let start = HEADER + self.count as usize * RECORD + index as usize * BLOB;
        Some(BlobId::from_bytes(array(
            self.bytes.get(start..start + BLOB)?,
            0,
        )))
    }

    fn kind_of(&self, record: &[u8], size: u64) -> Option<EntryKind<'_>> {
        let (first, second) = (u64_at(record, 32), u64_at(record, 40));
        Some(match record[6] {
            kind::DIR => {
                let first_child = EntryIndex(u32::try_from(first).ok()?);
                let count = u32::try_from(second).ok()?;
                if first.checked_add(second)? > u64::from(self.count) {
                    return None;
                }
                EntryKind::Dir { first_child, count }
            }
            kind::FILE => EntryKind::File {
                blob: self.blob(first)?,
            },
            kind::INLINE => EntryKind::Inline {
                bytes: self.heap(first, size)?,
            },
            kind::EXTENDED => EntryKind::Extended {
                blob: self.blob(first & u64::from(u32::MAX))?,
                base_size: second,
                tail: self.heap(first >> 32, size.checked_sub(second)?)?,
            },
            kind::SYMLINK => EntryKind::Symlink {
                target: self.heap(first, size)?,
            },
            _ => return None,
        })
    }
}

pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes
        .get(at..at + N)
        .and_then(|slice| slice.try_into().ok())
        .unwrap_or([0; N])
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}
