//! What the parts of an image look like: OCI documents, and packs.
//!
//! A pack holds one layer and those of its blobs that no pack before it holds:
//!
//! ```text
//! chunks of the layer's encoding, each one zstd frame
//! chunks of blobs, likewise
//! index    one zstd frame of JSON: `PackIndex`
//! footer   32 bytes   magic "BLASTPCK", version u32, features u32, packed size of the index u64,
//!                     size of the index u64, little endian
//! ```
//!
//! The index comes last, because it is known last; a reader takes footer and index by two reads
//! from the end. Offsets are not written down: chunks lie side by side in the order of the index,
//! from the first byte of the pack to the first byte of the index.

use std::collections::BTreeMap;

use blast_types::{BlobId, LayerId, Sha256};
use serde::{Deserialize, Serialize};

/// Version of the image format, in its media types and in each pack.
pub const IMAGE_VERSION: u32 = 1;

/// Largest chunk, unpacked, that is written: what must be unpacked to read one small file.
pub(super) const CHUNK_BYTES: u64 = 4 << 20;
/// Largest chunk, unpacked, that is read.
pub(super) const MAX_CHUNK_BYTES: u64 = 16 << 20;
/// Largest document (manifest, lock, description, index of a pack).
pub(super) const MAX_DOCUMENT_BYTES: u64 = 64 << 20;
/// Largest encoding of a layer.
pub(super) const MAX_LAYER_BYTES: u64 = 1 << 30;
/// Most members of an image file.
pub(super) const MAX_MEMBERS: usize = 1 << 17;

pub(super) const LAYOUT_FILE: &str = "oci-layout";
pub(super) const INDEX_FILE: &str = "index.json";
pub(super) const BLOBS_DIR: &str = "blobs/sha256/";
pub(super) const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

pub(super) const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const ARTIFACT_TYPE: &str = "application/vnd.blast.image.v1";
pub(super) const LOCK_TYPE: &str = "application/vnd.blast.lock.v1+toml";
pub(super) const ENVIRONMENT_TYPE: &str = "application/vnd.blast.environment.v1+json";
pub(super) const PACK_TYPE: &str = "application/vnd.blast.pack.v1";

/// Annotation of a pack: the name of its layer.
pub(super) const LAYER_NOTE: &str = "dev.blast.layer";
/// Annotation of a pack: the package, for people.
pub(super) const TITLE_NOTE: &str = "org.opencontainers.image.title";
/// Annotation of the manifest in the index: the environment's name.
pub(super) const NAME_NOTE: &str = "org.opencontainers.image.ref.name";

/// A reference of one OCI document to another (OCI image specification 1.1).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
}

impl Descriptor {
    pub(super) fn new(media_type: &str, digest: Sha256, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: format!("sha256:{digest}"),
            size,
            artifact_type: None,
            annotations: BTreeMap::new(),
        }
    }

    pub(super) fn note(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The digest, if it is one that images use.
    pub(super) fn sha256(&self) -> Option<Sha256> {
        self.digest.strip_prefix("sha256:")?.parse().ok()
    }
}

/// `index.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OciIndex {
    pub(super) schema_version: u32,
    pub(super) media_type: String,
    pub(super) manifests: Vec<Descriptor>,
}

/// The manifest: the lock as its config, then the description of the environment, then packs.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub(super) schema_version: u32,
    pub(super) media_type: String,
    pub(super) artifact_type: String,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

/// A zstd frame: its size in the pack and unpacked, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Chunk(pub(super) u64, pub(super) u64);

impl Chunk {
    pub(super) fn packed(self) -> u64 {
        self.0
    }

    pub(super) fn size(self) -> u64 {
        self.1
    }
}

/// Blobs side by side in chunks: any number in one chunk, or one in any number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    pub(super) chunks: Vec<Chunk>,
    /// Number in the layer's blob table (behind its end: in `PackIndex::extra`), and size.
    pub(super) blobs: Vec<(u32, u64)>,
}

/// What is in a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PackIndex {
    pub(super) layer: LayerId,
    pub(super) encoding: Vec<Chunk>,
    /// Blobs that belong to the package and are not in its layer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) extra: Vec<(BlobId, u64)>,
    pub(super) groups: Vec<Group>,
}

impl PackIndex {
    /// Bytes of all chunks in the pack; `None` where they do not fit in a number.
    pub(super) fn packed_bytes(&self) -> Option<u64> {
        self.chunks()
            .try_fold(0_u64, |sum, chunk| sum.checked_add(chunk.packed()))
    }

    /// Bytes of all blobs.
    pub(super) fn content_bytes(&self) -> Option<u64> {
        let sizes = self.groups.iter().flat_map(|group| &group.blobs);
        sizes
            .map(|(_, size)| *size)
            .try_fold(0_u64, u64::checked_add)
    }

    pub(super) fn layer_bytes(&self) -> Option<u64> {
        self.encoding
            .iter()
            .try_fold(0_u64, |sum, chunk| sum.checked_add(chunk.size()))
    }

    fn chunks(&self) -> impl Iterator<Item = Chunk> + '_ {
        let groups = self.groups.iter().flat_map(|group| &group.chunks);
        self.encoding.iter().chain(groups).copied()
    }

    /// The rule that the index breaks, if any. What passes can be unpacked in bounded memory.
    pub(super) fn broken_rule(&self) -> Option<&'static str> {
        if self
            .chunks()
            .any(|chunk| chunk.size() > MAX_CHUNK_BYTES || chunk.packed() > 2 * MAX_CHUNK_BYTES)
        {
            return Some("a chunk is too large");
        }
        if self.layer_bytes().is_none_or(|sum| sum > MAX_LAYER_BYTES) {
            return Some("the layer is too large");
        }
        if self.content_bytes().is_none() {
            return Some("sizes do not add up");
        }
        for Group { chunks, blobs } in &self.groups {
            if blobs.is_empty() || chunks.is_empty() || (blobs.len() > 1 && chunks.len() > 1) {
                return Some("a group is neither one blob nor one chunk");
            }
            let unpacked: u64 = chunks.iter().map(|chunk| chunk.size()).sum();
            let content: u64 = blobs.iter().map(|(_, size)| size).sum();
            if unpacked != content {
                return Some("chunks and blobs differ in size");
            }
        }
        None
    }
}

/// Length of a pack's footer in bytes.
pub(super) const FOOTER_BYTES: u64 = 32;
const MAGIC: &[u8; 8] = b"BLASTPCK";

/// The end of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) packed: u64,
    pub(super) size: u64,
}

impl Footer {
    pub(super) fn encode(self) -> [u8; FOOTER_BYTES as usize] {
        let mut bytes = [0; FOOTER_BYTES as usize];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&IMAGE_VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.packed.to_le_bytes());
        bytes[24..].copy_from_slice(&self.size.to_le_bytes());
        bytes
    }

    /// Reads a footer; else what is wrong with it.
    pub(super) fn decode(bytes: &[u8; FOOTER_BYTES as usize]) -> Result<Self, FooterError> {
        let u32_at = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|n| bytes[at + n]));
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        if &bytes[..8] != MAGIC {
            return Err(FooterError::NotAPack);
        }
        match (u32_at(8), u32_at(12)) {
            (IMAGE_VERSION, 0) => Ok(Self {
                packed: u64_at(16),
                size: u64_at(24),
            }),
            (IMAGE_VERSION, features) => Err(FooterError::Features(features)),
            (version, _) => Err(FooterError::Version(version)),
        }
    }
}

/// Why bytes are no footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FooterError {
    NotAPack,
    Version(u32),
    Features(u32),
}
