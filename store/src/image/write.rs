//! Writing an image: packs as they come, compressed by all processors, then the documents that
//! name them.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use blast_types::{BlobId, LayerId, Sha256};
use rayon::prelude::*;
use rustc_hash::FxHashSet;
use sha2::Digest as _;

use super::error::{ImageError, at};
use super::format::{
    ARTIFACT_TYPE, BLOBS_DIR, CHUNK_BYTES, Chunk, Descriptor, ENVIRONMENT_TYPE, Footer, Group,
    INDEX_FILE, INDEX_TYPE, LAYER_NOTE, LAYOUT, LAYOUT_FILE, LOCK_TYPE, MANIFEST_TYPE,
    MAX_LAYER_BYTES, Manifest, NAME_NOTE, OciIndex, PACK_TYPE, PackIndex, TITLE_NOTE,
};
use super::plan::{self, Piece, PlannedGroup};
use crate::{Layer, Store, StoreError};

/// A layer that an image shall hold.
#[derive(Debug, Clone)]
pub struct PackSource {
    /// The layer.
    pub layer: LayerId,
    /// What it is, for people: name and version of a package.
    pub title: String,
    /// Blobs that belong to it and are not in it, with their sizes in bytes.
    pub extra: Vec<(BlobId, u64)>,
}

/// What an image shall hold.
#[derive(Debug)]
pub struct ImageSpec<'a> {
    /// Name of the environment.
    pub name: &'a str,
    /// Its description, for whoever loads it.
    pub environment: &'a [u8],
    /// Its lock in `pylock.toml` form.
    pub lock: &'a [u8],
    /// Its layers.
    pub packs: &'a [PackSource],
    /// Blobs that whoever loads it has already.
    pub base_blobs: FxHashSet<BlobId>,
    /// How hard zstd tries, 1 to 19.
    pub level: i32,
}

/// An image that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenImage {
    /// SHA-256 of its manifest: the image's name in a registry.
    pub digest: Sha256,
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of what it holds, unpacked.
    pub content_bytes: u64,
}

impl Store {
    /// Writes an image to a file that is empty. The same content gives the same bytes. All layers must
    /// be kept from collection by the caller. `stop` is asked now and then whether to give up;
    /// `told` hears of every pack that is done. The file is not made durable.
    pub fn write_image(
        &self,
        spec: &ImageSpec<'_>,
        file: &File,
        path: &Path,
        stop: &(dyn Fn() -> bool + Sync),
        told: &dyn Fn(&PackSource),
    ) -> Result<WrittenImage, ImageError> {
        let mut tar = TarFile::new(file, path);
        tar.member(LAYOUT_FILE, LAYOUT.as_bytes())?;
        let mut packed = spec.base_blobs.clone();
        let mut packs = Vec::new();
        let mut content_bytes = 0;
        for source in spec.packs {
            let planned = self.plan(source, &mut packed)?;
            content_bytes += planned.bytes;
            packs.push(planned);
        }
        let layers = self.write_packs(&packs, spec, &mut tar, stop, told)?;
        let lock = tar.document(LOCK_TYPE, spec.lock)?;
        let mut all = vec![tar.document(ENVIRONMENT_TYPE, spec.environment)?];
        all.extend(layers);
        let manifest = json(&Manifest {
            schema_version: 2,
            media_type: MANIFEST_TYPE.to_owned(),
            artifact_type: ARTIFACT_TYPE.to_owned(),
            config: lock,
            layers: all,
        })?;
        let digest = Sha256::of(&manifest);
        let mut named = tar.document(MANIFEST_TYPE, &manifest)?;
        named.artifact_type = Some(ARTIFACT_TYPE.to_owned());
        let index = json(&OciIndex {
            schema_version: 2,
            media_type: INDEX_TYPE.to_owned(),
            manifests: vec![named.note(NAME_NOTE, spec.name)],
        })?;
        tar.member(INDEX_FILE, &index)?;
        Ok(WrittenImage {
            digest,
            bytes: tar.end()?,
            content_bytes,
        })
    }

    fn plan<'a>(
        &self,
        source: &'a PackSource,
        packed: &mut FxHashSet<BlobId>,
    ) -> Result<Planned<'a>, ImageError> {
        let layer = self.layer(source.layer)?;
        let damaged = |reason: String| ImageError::NotPortable {
            what: source.title.clone(),
            reason,
        };
        if layer.encoded().len() as u64 > MAX_LAYER_BYTES {
            return Err(damaged(
                "its names and small files are too large".to_owned(),
            ));
        }
        layer
            .verify()
            .map_err(|error| damaged(format!("its layer is damaged: {error}")))?;
        let sizes = plan::blob_sizes(&layer)
            .ok_or_else(|| damaged("its layer is damaged: sizes differ".to_owned()))?;
        let groups = plan::groups(&layer, &sizes, &source.extra, packed);
        let blobs = groups.iter().flat_map(|group| &group.blobs);
        let bytes = layer.encoded().len() as u64 + blobs.map(|(_, size)| size).sum::<u64>();
        Ok(Planned {
            source,
            layer,
            groups,
            bytes,
        })
    }

    /// Packs are compressed a window of chunks at a time, whatever pack these are in, and written in
    /// order.
    fn write_packs(
        &self,
        packs: &[Planned<'_>],
        spec: &ImageSpec<'_>,
        tar: &mut TarFile<'_>,
        stop: &(dyn Fn() -> bool + Sync),
        told: &dyn Fn(&PackSource),
    ) -> Result<Vec<Descriptor>, ImageError> {
        let jobs: Vec<Job<'_>> = packs.iter().flat_map(Planned::jobs).collect();
        let window = 4 * rayon::current_num_threads();
        let mut open = PackWriter::default();
        let mut layers = Vec::new();
        let mut pack = packs.iter();
        for jobs in jobs.chunks(window) {
            if stop() {
                return Err(ImageError::Stopped);
            }
            let compressed: Vec<_> = jobs
                .par_iter()
                .map_init(
                    || zstd::bulk::Compressor::new(spec.level),
                    |compressor, job| self.compress(job, compressor, tar.path),
                )
                .collect::<Result<_, _>>()?;
            for (job, (bytes, size)) in jobs.iter().zip(compressed) {
                if open.is_closed() {
                    open.begin(tar)?;
                }
                open.chunk(&bytes, size, tar)?;
                if job.is_last
                    && let Some(planned) = pack.next()
                {
                    layers.push(open.end(planned, spec.level, tar)?);
                    told(planned.source);
                }
            }
        }
        Ok(layers)
    }

    fn compress(
        &self,
        job: &Job<'_>,
        compressor: &mut std::io::Result<zstd::bulk::Compressor<'_>>,
        path: &Path,
    ) -> Result<(Vec<u8>, u64), ImageError> {
        let gathered;
        let raw = match &job.content {
            JobContent::Encoding(bytes) => *bytes,
            JobContent::Blobs(pieces) => {
                gathered = self.gather(pieces)?;
                &gathered
            }
        };
        let compressed = match compressor {
            Ok(compressor) => compressor.compress(raw),
            Err(error) => Err(std::io::Error::new(error.kind(), error.to_string())),
        };
        let compressed = compressed.map_err(at("compress for", path))?;
        Ok((compressed, raw.len() as u64))
    }

    /// The bytes of a chunk. Blobs are checked on the way: damage must not travel.
    fn gather(&self, pieces: &[Piece]) -> Result<Vec<u8>, ImageError> {
        let total: u64 = pieces.iter().map(|piece| piece.size).sum();
        let mut raw = Vec::with_capacity(total as usize);
        for piece in pieces {
            let path = self.blob_path(piece.blob);
            let damaged = || StoreError::DamagedBlob { id: piece.blob };
            let mut file = match File::open(&path) {
                // What could be unpacked was (`Store::unpack`).
                Err(_) if self.inner.packs.size(piece.blob).is_some() => {
                    return Err(damaged().into());
                }
                Err(error)
                    if error.kind() == std::io::ErrorKind::NotFound
                        && self.has_blob(piece.blob) =>
                {
                    self.inner
                        .open_below(piece.blob)
                        .map_err(at("open", &path))?
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Err(StoreError::MissingBlob { id: piece.blob }.into());
                }
                file => file.map_err(at("open", &path))?,
            };
            let start = raw.len();
            if piece.size == piece.of {
                file.read_to_end(&mut raw).map_err(at("read", &path))?;
                if BlobId::of(&raw[start..]) != piece.blob {
                    return Err(damaged().into());
                }
                continue;
            }
            if piece.offset == 0 {
                let mut hasher = blake3::Hasher::new();
                hasher.update_mmap(&path).map_err(at("read", &path))?;
                if hasher.finalize().as_bytes() != piece.blob.as_bytes() {
                    return Err(damaged().into());
                }
            }
            raw.resize(start + piece.size as usize, 0);
            file.read_exact_at(&mut raw[start..], piece.offset)
                .map_err(at("read", &path))?;
        }
        Ok(raw)
    }
}

/// A pack before it is written.
struct Planned<'a> {
    source: &'a PackSource,
    layer: Arc<Layer>,
    groups: Vec<PlannedGroup>,
    /// Unpacked.
    bytes: u64,
}

/// One chunk to be compressed.
struct Job<'a> {
    content: JobContent<'a>,
    /// Whether the pack ends with it.
    is_last: bool,
}

enum JobContent<'a> {
    Encoding(&'a [u8]),
    Blobs(&'a [Piece]),
}

impl Planned<'_> {
    fn jobs(&self) -> Vec<Job<'_>> {
        let encoding = self.layer.encoded().chunks(CHUNK_BYTES as usize);
        let chunks = self.groups.iter().flat_map(|group| &group.chunks);
        let contents = encoding
            .map(JobContent::Encoding)
            .chain(chunks.map(|pieces| JobContent::Blobs(pieces)));
        let mut jobs: Vec<_> = contents
            .map(|content| Job {
                content,
                is_last: false,
            })
            .collect();
        if let Some(job) = jobs.last_mut() {
            job.is_last = true;
        }
        jobs
    }

    fn index(&self, chunks: &[Chunk]) -> PackIndex {
        let encoding = self.layer.encoded().len().div_ceil(CHUNK_BYTES as usize);
        let (encoding, mut rest) = chunks.split_at(encoding.min(chunks.len()));
        let mut groups = Vec::new();
        for group in &self.groups {
            let (own, others) = rest.split_at(group.chunks.len().min(rest.len()));
            rest = others;
            groups.push(Group {
                chunks: own.to_vec(),
                blobs: group.blobs.clone(),
            });
        }
        PackIndex {
            layer: self.source.layer,
            encoding: encoding.to_vec(),
            extra: self.source.extra.clone(),
            groups,
        }
    }
}

/// A pack that is being written into the tar file.
#[derive(Default)]
struct PackWriter {
    /// Where its header goes, once a pack is open.
    header: Option<u64>,
    hasher: sha2::Sha256,
    chunks: Vec<Chunk>,
    size: u64,
}

impl PackWriter {
    fn is_closed(&self) -> bool {
        self.header.is_none()
    }

    fn begin(&mut self, tar: &mut TarFile<'_>) -> Result<(), ImageError> {
        *self = Self {
            header: Some(tar.leave_header()?),
            ..Self::default()
        };
        Ok(())
    }

    fn chunk(&mut self, bytes: &[u8], size: u64, tar: &mut TarFile<'_>) -> Result<(), ImageError> {
        self.chunks.push(Chunk(bytes.len() as u64, size));
        self.put(bytes, tar)
    }

    fn put(&mut self, bytes: &[u8], tar: &mut TarFile<'_>) -> Result<(), ImageError> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        tar.put(bytes)
    }

    fn end(
        &mut self,
        planned: &Planned<'_>,
        level: i32,
        tar: &mut TarFile<'_>,
    ) -> Result<Descriptor, ImageError> {
        let index = json(&planned.index(&self.chunks))?;
        let packed = zstd::bulk::compress(&index, level).map_err(at("compress for", tar.path))?;
        self.put(&packed, tar)?;
        let footer = Footer {
            packed: packed.len() as u64,
            size: index.len() as u64,
        };
        self.put(&footer.encode(), tar)?;
        let digest = Sha256::from_bytes(std::mem::take(&mut self.hasher).finalize().into());
        if let Some(header) = self.header.take() {
            tar.fill_header(header, &format!("{BLOBS_DIR}{digest}"), self.size)?;
        }
        Ok(Descriptor::new(PACK_TYPE, digest, self.size)
            .note(LAYER_NOTE, &planned.source.layer.to_hex())
            .note(TITLE_NOTE, &planned.source.title))
    }
}

/// A tar file whose members' sizes may be known only at their end. Nothing in it depends on when,
/// where or by whom it is written.
struct TarFile<'a> {
    file: std::io::BufWriter<&'a File>,
    path: &'a Path,
    at: u64,
}

const BLOCK: u64 = 512;

impl<'a> TarFile<'a> {
    fn new(file: &'a File, path: &'a Path) -> Self {
        Self {
            file: std::io::BufWriter::with_capacity(1 << 20, file),
            path,
            at: 0,
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        self.at += bytes.len() as u64;
        self.file.write_all(bytes).map_err(at("write", self.path))
    }

    fn leave_header(&mut self) -> Result<u64, ImageError> {
        let header = self.at;
        self.put(&[0; BLOCK as usize]).map(|()| header)
    }

    /// Ends a member: fills its last block up, then its header in.
    fn fill_header(&mut self, header: u64, name: &str, size: u64) -> Result<(), ImageError> {
        let rest = size.next_multiple_of(BLOCK) - size;
        self.put(&[0; BLOCK as usize][..rest as usize])?;
        let failed = at("write", self.path);
        let mut fields = tar::Header::new_ustar();
        fields
            .set_path(name)
            .and_then(|()| {
                fields.set_size(size);
                fields.set_mode(0o644);
                fields.set_mtime(0);
                fields.set_uid(0);
                fields.set_gid(0);
                fields.set_entry_type(tar::EntryType::Regular);
                fields.set_cksum();
                self.file.seek(SeekFrom::Start(header))?;
                self.file.write_all(fields.as_bytes())?;
                self.file.seek(SeekFrom::Start(self.at))
            })
            .map(drop)
            .map_err(failed)
    }

    fn member(&mut self, name: &str, content: &[u8]) -> Result<(), ImageError> {
        let header = self.leave_header()?;
        self.put(content)?;
        self.fill_header(header, name, content.len() as u64)
    }

    /// A member by its digest.
    fn document(&mut self, media_type: &str, content: &[u8]) -> Result<Descriptor, ImageError> {
        let digest = Sha256::of(content);
        self.member(&format!("{BLOBS_DIR}{digest}"), content)?;
        Ok(Descriptor::new(media_type, digest, content.len() as u64))
    }

    /// Two empty blocks end the file.
    fn end(mut self) -> Result<u64, ImageError> {
        self.put(&[0; 2 * BLOCK as usize])?;
        self.file.flush().map_err(at("write", self.path))?;
        Ok(self.at)
    }
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, ImageError> {
    serde_json::to_vec(value).map_err(|source| {
        StoreError::Record {
            what: "image",
            source,
        }
        .into()
    })
}
