//! Layers: the immutable tree that one distribution adds to a prefix.
//!
//! # Encoding
//! One file, little endian, named by the BLAKE3 of its bytes, canonical (the same tree gives the
//! same bytes) and read in place:
//!
//! ```text
//! header   64 bytes   magic "BLASTLYR", version u32, incompatible features u32, compatible
//!                     features u32, entry count u32, blob count u32, zero u32, heap length u64,
//!                     content bytes u64 (sum of sizes), zero 16 bytes
//! entries  48 bytes   name offset u32, name length u16, kind u8, zero u8, parent u32, mode u32,
//!          each       mtime i64 (seconds), size u64, first u64, second u64
//! blobs    32 bytes   the names of all blobs, distinct, ascending
//!          each
//! heap                names, inline bytes, tails and link targets, in entry order
//! ```
//!
//! Entries are in breadth-first order; entry 0 is the root; a directory's children stand side by
//! side, sorted by the bytes of their names, so that a lookup is a binary search and a parent's
//! index is below its children's. `first` and `second` mean, by kind:
//!
//! | kind | first | second |
//! |---|---|---|
//! | 1 directory | index of the first child | number of children |
//! | 2 file | index in the blob table | 0 |
//! | 3 inline | heap offset of the bytes | 0 |
//! | 4 extended | blob index, and heap offset of the tail in the upper 32 bits | size of the blob |
//! | 5 symlink | heap offset of the target | 0 |
//!
//! # Invariants
//! Opening reads the header alone. Accessors never trust what they read: an entry that makes no
//! sense comes out as [`EntryKind::Damaged`], and [`Layer::verify`] checks every rule above.
//! A layer is immutable and `Sync`; no locks anywhere.

mod build;
mod read;
mod verify;

pub use build::{EncodedLayer, LayerBuilder, LayerError};
pub use read::{Entry, EntryIndex, EntryKind, Layer, LayerFormatError};

/// Version of the encoding; a decoder refuses any other.
pub const LAYER_VERSION: u32 = 1;
/// Files up to this size, in bytes, are best stored in the layer itself: a blob costs an inode, the
/// rest of a block, a rename, and an open at each first read. Six of seven files of typical wheels are
/// smaller, with a tenth of the bytes; what is lost is that those that two versions have in common
/// are kept twice.
pub const INLINE_BYTES: usize = 16 << 10;
/// Most entries of one layer, so that an entry index fits in 20 bits of a node number.
pub const MAX_ENTRIES: usize = 1 << 20;

const MAGIC: &[u8; 8] = b"BLASTLYR";
const HEADER: usize = 64;
const RECORD: usize = 48;
const BLOB: usize = 32;
const MAX_NAME: usize = 255;

/// Numbers of the entry kinds in the encoding.
mod kind {
    pub(super) const DIR: u8 = 1;
    pub(super) const FILE: u8 = 2;
    pub(super) const INLINE: u8 = 3;
    pub(super) const EXTENDED: u8 = 4;
    pub(super) const SYMLINK: u8 = 5;
}

/// Whether this can be the name of a directory entry.
fn is_plain_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && name != b"."
        && name != b".."
        && !name.iter().any(|&byte| byte == b'/' || byte == 0)
}

#[cfg(test)]
mod tests;
