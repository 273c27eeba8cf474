//! What goes into which chunk: a pure function of a layer and of what is packed already, so that
//! equal environments give equal images.

use std::collections::BTreeMap;

use blast_types::BlobId;
use rustc_hash::{FxHashMap, FxHashSet};

use super::format::CHUNK_BYTES;
use crate::{EntryKind, Layer};

/// A stretch of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) blob: BlobId,
    pub(super) offset: u64,
    pub(super) size: u64,
    /// Size of the whole blob.
    pub(super) of: u64,
}

/// Blobs that share chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlannedGroup {
    /// Number in the layer's blob table or behind it, and size.
    pub(super) blobs: Vec<(u32, u64)>,
    pub(super) chunks: Vec<Vec<Piece>>,
}

/// The sizes of a layer's blobs; nothing where two entries disagree about one, or one is damaged.
pub(super) fn blob_sizes(layer: &Layer) -> Option<FxHashMap<BlobId, u64>> {
    let mut sizes = FxHashMap::default();
    for (_, entry) in layer.entries() {
        let (blob, size) = match entry.kind {
            EntryKind::File { blob } => (blob, entry.size),
            EntryKind::Extended {
                blob, base_size, ..
            } => (blob, base_size),
            EntryKind::Damaged => return None,
            EntryKind::Dir { .. } | EntryKind::Inline { .. } | EntryKind::Symlink { .. } => {
                continue;
            }
        };
        if *sizes.entry(blob).or_insert(size) != size {
            return None;
        }
    }
    Some(sizes)
}

/// Groups the blobs of a layer, and the extra ones, that `packed` does not have; they are added to it.
pub(super) fn groups(
    layer: &Layer,
    sizes: &FxHashMap<BlobId, u64>,
    extra: &[(BlobId, u64)],
    packed: &mut FxHashSet<BlobId>,
) -> Vec<PlannedGroup> {
    let numbers: BTreeMap<BlobId, u32> = layer.blobs().zip(0..).collect();
    let mut wanted = Vec::new();
    for (path, blob) in in_order(layer) {
        if packed.insert(blob)
            && let (Some(&number), Some(&size)) = (numbers.get(&blob), sizes.get(&blob))
        {
            wanted.push((path, number, blob, size));
        }
    }
    let mut ordered: Vec<_> = wanted
        .into_iter()
        .map(|(_, number, blob, size)| (number, blob, size))
        .collect();
    for (&(blob, size), number) in extra.iter().zip(numbers.len() as u32..) {
        if packed.insert(blob) {
            ordered.push((number, blob, size));
        }
    }
    grouped(&ordered)
}

/// Blobs by what their first file is called: what is alike compresses better side by side.
fn in_order(layer: &Layer) -> Vec<((String, String), BlobId)> {
    let mut files: Vec<_> = layer
        .entries()
        .filter_map(|(index, entry)| {
            let (EntryKind::File { blob } | EntryKind::Extended { blob, .. }) = entry.kind else {
                return None;
            };
            let path = layer.path(index);
            let name = path.rsplit('/').next().unwrap_or_default();
            let kind = name.rsplit_once('.').map_or("", |(_, kind)| kind);
            Some(((kind.to_owned(), path), blob))
        })
        .collect();
    files.sort();
    files
}

fn grouped(blobs: &[(u32, BlobId, u64)]) -> Vec<PlannedGroup> {
    let mut groups: Vec<PlannedGroup> = Vec::new();
    let mut room = 0;
    for &(number, blob, size) in blobs {
        let piece = |offset: u64| Piece {
            blob,
            offset,
            size: CHUNK_BYTES.min(size - offset),
            of: size,
        };
        if size > CHUNK_BYTES {
            let offsets = (0..size).step_by(CHUNK_BYTES as usize);
            groups.push(PlannedGroup {
                blobs: vec![(number, size)],
                chunks: offsets.map(|offset| vec![piece(offset)]).collect(),
            });
            room = 0;
            continue;
        }
        if room < size || groups.is_empty() || room == 0 {
            groups.push(PlannedGroup {
                blobs: Vec::new(),
                chunks: vec![Vec::new()],
            });
            room = CHUNK_BYTES;
        }
        if let Some(group) = groups.last_mut() {
            group.blobs.push((number, size));
            group.chunks[0].push(piece(0));
        }
        room -= size;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn blob(number: u32) -> BlobId {
        BlobId::of(&number.to_le_bytes())
    }

    proptest! {
        /// Every byte of every blob is in just one chunk, in order, and no chunk is too large.
        #[test]
        fn chunks_hold_each_byte_once(sizes in prop::collection::vec(0..3 * CHUNK_BYTES, 0..40)) {
            let blobs: Vec<_> = (0..).zip(&sizes).map(|(n, &size)| (n, blob(n), size)).collect();
            let groups = grouped(&blobs);
            let listed: Vec<_> = groups.iter().flat_map(|group| group.blobs.clone()).collect();
            let expected: Vec<_> = blobs.iter().map(|&(n, _, size)| (n, size)).collect();
            prop_assert_eq!(listed, expected);
            let mut next = BTreeMap::new();
            for group in &groups {
                prop_assert!(group.blobs.len() == 1 || group.chunks.len() == 1);
                for chunk in &group.chunks {
                    prop_assert!(chunk.iter().map(|piece| piece.size).sum::<u64>() <= CHUNK_BYTES);
                    for piece in chunk {
                        let at = next.entry(piece.blob).or_insert(0);
                        prop_assert_eq!(*at, piece.offset);
                        *at += piece.size;
                    }
                }
            }
            for (_, id, size) in blobs {
                prop_assert_eq!(next.get(&id).copied().unwrap_or_default(), size);
            }
        }
    }
}
