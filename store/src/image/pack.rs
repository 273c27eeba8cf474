//! One pack, wherever it lies: in an image file, or as a file of the store. Reading its index, its
//! layer, its blobs, and believing none of them.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blast_types::{BlobId, LayerId};

use super::error::{ImageError, at};
use super::format::{
    Chunk, FOOTER_BYTES, Footer, FooterError, Group, MAX_DOCUMENT_BYTES, PackIndex,
};
use super::plan;
use crate::{EncodedLayer, Layer};

/// A file with packs in it.
#[derive(Debug)]
pub(crate) struct PackFile {
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// It is one pack and nothing else, wherever the pack was before.
    pub(super) is_pack: bool,
}

/// Where bytes are in a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// A pack whose index was read.
#[derive(Debug)]
pub(crate) struct Pack {
    pub(super) title: String,
    pub(super) place: Place,
    pub(super) index: PackIndex,
}

/// A pack whose layer was unpacked and checked, so that it is known which blobs it holds.
#[derive(Debug)]
pub(crate) struct OpenPack {
    pub(super) pack: Arc<Pack>,
    pub(super) layer: Arc<Layer>,
    groups: Vec<OpenGroup>,
}

/// Where a group begins in its pack, and what it holds.
#[derive(Debug)]
struct OpenGroup {
    offset: u64,
    /// Name and size in bytes.
    blobs: Vec<(BlobId, u64)>,
}

/// Takes what comes out of a group: either whole blobs, or one blob piece by piece.
pub(crate) trait Sink {
    /// A blob whose bytes are right.
    fn blob(&mut self, blob: BlobId, bytes: &[u8]) -> Result<(), ImageError>;

    /// The next piece of the one blob that the group holds.
    fn piece(&mut self, bytes: &[u8]) -> Result<(), ImageError>;

    /// That blob is at its end; gives the name that its bytes have.
    fn end(&mut self) -> Result<BlobId, ImageError>;
}

impl Pack {
    /// The groups, each with the place of its first chunk in the pack.
    fn groups(&self) -> impl Iterator<Item = (u64, &Group)> {
        let mut next: u64 = self.index.encoding.iter().map(|chunk| chunk.packed()).sum();
        self.index.groups.iter().map(move |group| {
            let start = next;
            next += group.chunks.iter().map(|chunk| chunk.packed()).sum::<u64>();
            (start, group)
        })
    }

    /// Its bytes in its file.
    pub(crate) fn packed_bytes(&self) -> u64 {
        self.place.size
    }

    /// The bytes of its layer and its blobs, as it states them.
    pub(crate) fn content_bytes(&self) -> u64 {
        let layer = self.index.layer_bytes().unwrap_or(u64::MAX);
        layer.saturating_add(self.index.content_bytes().unwrap_or(u64::MAX))
    }

    /// The layer that it holds.
    pub(super) fn layer(&self) -> LayerId {
        self.index.layer
    }
}

impl OpenPack {
    /// The pack itself.
    pub(crate) fn pack(&self) -> &Pack {
        &self.pack
    }

    /// What it is, for people.
    pub(crate) fn title(&self) -> &str {
        &self.pack.title
    }

    /// The layer that it holds.
    pub(crate) fn layer(&self) -> &Arc<Layer> {
        &self.layer
    }

    /// Its bytes in its file, and those that come out of it.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.pack.packed_bytes(), self.pack.content_bytes())
    }

    /// The blobs that it holds, group by group: name and size in bytes.
    pub(crate) fn groups(&self) -> impl ExactSizeIterator<Item = &[(BlobId, u64)]> {
        self.groups.iter().map(|group| group.blobs.as_slice())
    }

    /// All blobs that it holds.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = (BlobId, u64)> + '_ {
        self.groups().flatten().copied()
    }

    /// Whether a group is one blob in any number of chunks, rather than many in one.
    pub(crate) fn is_piecemeal(&self, group: usize) -> bool {
        self.pack.index.groups[group].chunks.len() > 1
    }
}

impl PackFile {
    /// A file of the store that is one pack.
    pub(crate) fn open(path: &Path) -> Result<Self, ImageError> {
        let file = File::open(path).map_err(at("open", path))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            is_pack: true,
        })
    }

    /// The only pack of this file.
    pub(crate) fn whole(&self, title: &str) -> Result<Arc<Pack>, ImageError> {
        let metadata = self.file.metadata().map_err(at("examine", &self.path))?;
        let place = Place {
            offset: 0,
            size: metadata.len(),
        };
        let index = self.pack_index(place, title)?;
        Ok(Arc::new(Pack {
            title: title.to_owned(),
            place,
            index,
        }))
    }

    /// The error for a part that is not what it should be.
    pub(super) fn damaged(&self, part: &str, reason: impl Into<String>) -> ImageError {
        ImageError::Damaged {
            path: self.path.clone(),
            part: part.to_owned(),
            reason: reason.into(),
        }
    }

    /// Where a pack begins.
    fn start(&self, pack: &Pack) -> u64 {
        if self.is_pack { 0 } else { pack.place.offset }
    }

    fn unknown(&self, found: String) -> ImageError {
        ImageError::Unknown {
            path: self.path.clone(),
            found,
        }
    }

    /// Calls `take` with all bytes of a pack, in order, `size` at a time.
    pub(crate) fn pieces(
        &self,
        pack: &Pack,
        size: usize,
        mut take: impl FnMut(&[u8]) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        let (offset, all) = (self.start(pack), pack.place.size);
        let mut buffer = vec![0; size.min(usize::try_from(all).unwrap_or(size))];
        let mut done = 0;
        while done < all {
            let part = (all - done).min(buffer.len() as u64) as usize;
            self.file
                .read_exact_at(&mut buffer[..part], offset + done)
                .map_err(at("read", &self.path))?;
            take(&buffer[..part])?;
            done += part as u64;
        }
        Ok(())
    }

    /// Reads the index at the end of a pack.
    pub(super) fn pack_index(&self, place: Place, title: &str) -> Result<PackIndex, ImageError> {
        let damaged = |reason: &str| self.damaged(title, reason);
        let Some(before_footer) = place.size.checked_sub(FOOTER_BYTES) else {
            return Err(damaged("it is too short for a pack"));
        };
        let mut footer = [0; FOOTER_BYTES as usize];
        self.file
            .read_exact_at(&mut footer, place.offset + before_footer)
            .map_err(at("read", &self.path))?;
        let footer = Footer::decode(&footer).map_err(|error| match error {
            FooterError::NotAPack => damaged("it does not end as a pack does"),
            FooterError::Version(version) => self.unknown(format!("packs of version {version}")),
            FooterError::Features(features) => {
                self.unknown(format!("packs with the features {features:#x}"))
            }
        })?;
        let Some(chunks_end) = before_footer.checked_sub(footer.packed) else {
            return Err(damaged("its index is longer than itself"));
        };
        if footer.size.max(footer.packed) > MAX_DOCUMENT_BYTES {
            return Err(damaged("its index is too large"));
        }
        let mut packed = vec![0; footer.packed as usize];
        self.file
            .read_exact_at(&mut packed, place.offset + chunks_end)
            .map_err(at("read", &self.path))?;
        // Memory is taken as bytes come out, not as the footer promises.
        let mut bytes = Vec::new();
        zstd::stream::read::Decoder::new(packed.as_slice())
            .and_then(|decoder| decoder.take(footer.size + 1).read_to_end(&mut bytes))
            .map_err(|error| damaged(&error.to_string()))?;
        if bytes.len() as u64 != footer.size {
            return Err(damaged("its index does not have the size that is stated"));
        }
        let index: PackIndex =
            serde_json::from_slice(&bytes).map_err(|error| damaged(&error.to_string()))?;
        if let Some(rule) = index.broken_rule() {
            return Err(damaged(rule));
        }
        if index.packed_bytes() != Some(chunks_end) {
            return Err(damaged("its chunks do not fill it"));
        }
        Ok(index)
    }

    /// Unpacks one chunk that begins at `offset` of a pack.
    fn chunk<'a>(
        &self,
        pack: &Pack,
        offset: u64,
        chunk: Chunk,
        unpacker: &'a mut Unpacker,
    ) -> Result<&'a [u8], ImageError> {
        let Unpacker {
            context,
            packed,
            unpacked,
        } = unpacker;
        let packed = room(packed, chunk.packed());
        self.file
            .read_exact_at(packed, self.start(pack) + offset)
            .map_err(at("read", &self.path))?;
        let out = room(unpacked, chunk.size());
        let result = match context {
            Ok(context) => context.decompress_to_buffer(packed, out),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        let size = result.map_err(|error| self.damaged(&pack.title, error.to_string()))?;
        if size as u64 != chunk.size() {
            return Err(self.damaged(&pack.title, "a chunk is shorter than the index says"));
        }
        Ok(out)
    }

    /// Unpacks the layer of a pack and checks it, and what the pack says of its blobs.
    pub(crate) fn open_pack(
        &self,
        pack: &Arc<Pack>,
        unpacker: &mut Unpacker,
    ) -> Result<OpenPack, ImageError> {
        let damaged = |reason: &str| self.damaged(&pack.title, reason);
        let (mut bytes, mut offset) = (Vec::new(), 0);
        for &chunk in &pack.index.encoding {
            bytes.extend(self.chunk(pack, offset, chunk, unpacker)?);
            offset += chunk.packed();
        }
        let id = pack.layer();
        if blake3::hash(&bytes).as_bytes() != id.as_bytes() {
            return Err(damaged("its layer does not have the name that is stated"));
        }
        let layer = EncodedLayer { id, bytes }
            .open()
            .and_then(|layer| layer.verify().map(|()| layer))
            .map_err(|error| damaged(&format!("its layer is none: {error}")))?;
        let sizes = plan::blob_sizes(&layer)
            .ok_or_else(|| damaged("its layer states two sizes of one blob"))?;
        let table: Vec<_> = layer.blobs().collect();
        let known = |number: u32| match table.get(number as usize) {
            Some(blob) => Some((*blob, *sizes.get(blob)?)),
            None => pack.index.extra.get(number as usize - table.len()).copied(),
        };
        let mut groups = Vec::with_capacity(pack.index.groups.len());
        for (offset, group) in pack.groups() {
            let named = group.blobs.iter().map(|&(number, size)| {
                known(number)
                    .filter(|(_, stated)| *stated == size)
                    .ok_or_else(|| damaged("index and layer differ about a blob"))
            });
            let blobs = named.collect::<Result<Vec<_>, _>>()?;
            groups.push(OpenGroup { offset, blobs });
        }
        Ok(OpenPack {
            pack: Arc::clone(pack),
            layer: Arc::new(layer),
            groups,
        })
    }

    /// The bytes of a group that is one chunk, unpacked; what each blob's are is not checked.
    pub(crate) fn group_bytes<'a>(
        &self,
        open: &OpenPack,
        number: usize,
        unpacker: &'a mut Unpacker,
    ) -> Result<&'a [u8], ImageError> {
        let pack = &open.pack;
        match pack.index.groups[number].chunks.as_slice() {
            [chunk] => self.chunk(pack, open.groups[number].offset, *chunk, unpacker),
            _ => Err(self.damaged(&pack.title, "a group is neither one blob nor one chunk")),
        }
    }

    /// Unpacks a group into `sink`, and fails at the first blob whose bytes are not what its name
    /// says.
    pub(crate) fn group(
        &self,
        open: &OpenPack,
        number: usize,
        unpacker: &mut Unpacker,
        sink: &mut dyn Sink,
    ) -> Result<(), ImageError> {
        let pack = &open.pack;
        let OpenGroup { offset, blobs } = &open.groups[number];
        if let ([(blob, _)], true) = (blobs.as_slice(), open.is_piecemeal(number)) {
            let mut offset = *offset;
            for &chunk in &pack.index.groups[number].chunks {
                sink.piece(self.chunk(pack, offset, chunk, unpacker)?)?;
                offset += chunk.packed();
            }
            if sink.end()? == *blob {
                return Ok(());
            }
            return Err(self.wrong(pack, *blob));
        }
        let mut rest = self.group_bytes(open, number, unpacker)?;
        for &(blob, size) in blobs {
            let (bytes, others) = rest
                .split_at_checked(size as usize)
                .ok_or_else(|| self.wrong(pack, blob))?;
            rest = others;
            if BlobId::of(bytes) != blob {
                return Err(self.wrong(pack, blob));
            }
            sink.blob(blob, bytes)?;
        }
        Ok(())
    }

    fn wrong(&self, pack: &Pack, blob: BlobId) -> ImageError {
        let reason = format!("the bytes of blob {} are others", blob.short());
        self.damaged(&pack.title, reason)
    }
}

/// A sink that keeps nothing: for checking.
#[derive(Debug, Default)]
pub(crate) struct Check(blake3::Hasher);

impl Sink for Check {
    fn blob(&mut self, _blob: BlobId, _bytes: &[u8]) -> Result<(), ImageError> {
        Ok(())
    }

    fn piece(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        self.0.update(bytes);
        Ok(())
    }

    fn end(&mut self) -> Result<BlobId, ImageError> {
        let found = BlobId::from_bytes(*self.0.finalize().as_bytes());
        self.0.reset();
        Ok(found)
    }
}

/// What one thread unpacks with.
pub(crate) struct Unpacker {
    context: io::Result<zstd::bulk::Decompressor<'static>>,
    /// Used again for each chunk: memory that is new every time costs as much as to unpack into it.
    packed: Vec<u8>,
    unpacked: Vec<u8>,
}

/// A part of a buffer, which grows if need be.
fn room(buffer: &mut Vec<u8>, bytes: u64) -> &mut [u8] {
    let bytes = bytes as usize;
    if buffer.len() < bytes {
        buffer.resize(bytes, 0);
    }
    &mut buffer[..bytes]
}

impl Unpacker {
    pub(crate) fn new() -> Self {
        Self {
            context: zstd::bulk::Decompressor::new(),
            packed: Vec::new(),
            unpacked: Vec::new(),
        }
    }
}
