//! From packs to objects of the store, by all processors. Everything goes through one [`Staging`],
//! so an image that turns out bad at its last byte leaves nothing behind.

use std::io::Write as _;
use std::sync::Arc;

use blast_types::{BlobId, LayerId};
use rayon::prelude::*;
use rustc_hash::FxHashSet;

use super::error::ImageError;
use super::format::Group;
use super::plan;
use super::read::{Image, ImagePack, Unpacker};
use crate::{EncodedLayer, Layer, Staging, Store, StoreError};

/// The packs of an image that are wanted, their layers unpacked and checked.
#[derive(Debug)]
pub struct ImageContent<'a> {
    image: &'a Image,
    packs: Vec<Checked<'a>>,
}

/// A pack whose layer is known.
#[derive(Debug)]
struct Checked<'a> {
    pack: &'a ImagePack,
    layer: Arc<Layer>,
    /// The blobs that it holds, by group: name and size.
    groups: Vec<Vec<(BlobId, u64)>>,
}

impl Image {
    /// Unpacks the layers of some packs and checks them, and that packs are whole. Writes nothing.
    pub fn content(
        &self,
        wanted: impl Fn(&ImagePack) -> bool + Sync,
    ) -> Result<ImageContent<'_>, ImageError> {
        let packs: Vec<_> = self.packs().iter().filter(|pack| wanted(pack)).collect();
        let packs = packs
            .into_par_iter()
            .map_init(Unpacker::new, |unpacker, pack| {
                self.check_digest(pack)?;
                self.check(pack, unpacker)
            })
            .collect::<Result<Vec<_>, ImageError>>()?;
        Ok(ImageContent { image: self, packs })
    }

    fn check<'a>(
        &self,
        pack: &'a ImagePack,
        unpacker: &mut Unpacker,
    ) -> Result<Checked<'a>, ImageError> {
        let damaged = |reason: &str| self.damaged(pack.title(), reason);
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
        for group in &pack.index.groups {
            let named = group.blobs.iter().map(|&(number, size)| {
                known(number)
                    .filter(|(_, stated)| *stated == size)
                    .ok_or_else(|| damaged("index and layer differ about a blob"))
            });
            groups.push(named.collect::<Result<Vec<_>, _>>()?);
        }
        Ok(Checked {
            pack,
            layer: Arc::new(layer),
            groups,
        })
    }
}

impl ImageContent<'_> {
    /// The layers, in the order of the packs.
    pub fn layers(&self) -> impl Iterator<Item = &Arc<Layer>> {
        self.packs.iter().map(|checked| &checked.layer)
    }

    /// The layer of this name, if it is among them.
    pub fn layer(&self, id: LayerId) -> Option<&Arc<Layer>> {
        self.layers().find(|layer| layer.id() == id)
    }

    /// Bytes that may have to be written.
    pub fn bytes(&self) -> u64 {
        let packs = self.packs.iter();
        packs
            .map(|checked| checked.pack.content_bytes())
            .fold(0, u64::saturating_add)
    }

    /// Whether all blobs that the layers need, and `needed` beside them, are in the packs or in the
    /// store; else which packages lack some.
    pub fn is_complete(
        &self,
        store: &Store,
        needed: impl IntoIterator<Item = (BlobId, String)>,
    ) -> Result<(), ImageError> {
        let held: FxHashSet<BlobId> = self.blobs().map(|(blob, _)| blob).collect();
        let lacks = |blob: &BlobId| !held.contains(blob) && !store.has_blob(*blob);
        let mut missing: Vec<String> = Vec::new();
        for checked in &self.packs {
            if checked.layer.blobs().any(|blob| lacks(&blob)) {
                missing.push(checked.pack.title().to_owned());
            }
        }
        missing.extend(
            needed
                .into_iter()
                .filter(|(blob, _)| lacks(blob))
                .map(|(_, title)| title),
        );
        missing.sort();
        missing.dedup();
        if missing.is_empty() {
            return Ok(());
        }
        Err(ImageError::NeedsBase {
            path: self.image.path().to_owned(),
            missing,
        })
    }

    fn blobs(&self) -> impl Iterator<Item = (BlobId, u64)> + '_ {
        self.packs
            .iter()
            .flat_map(|checked| checked.groups.iter().flatten().copied())
    }

    /// Brings blobs and layers into a staging, on all processors. `stop` is asked now and then
    /// whether to give up; `told` hears the title of every pack that is done.
    pub fn stage(
        &self,
        staging: &Staging,
        stop: &(dyn Fn() -> bool + Sync),
        told: &(dyn Fn(&str) + Sync),
    ) -> Result<(), ImageError> {
        self.packs.par_iter().try_for_each(|checked| {
            let jobs: Vec<_> = checked.pack.groups().zip(&checked.groups).collect();
            jobs.into_par_iter().try_for_each_init(
                Unpacker::new,
                |unpacker, ((offset, group), blobs)| {
                    if stop() {
                        return Err(ImageError::Stopped);
                    }
                    // Of many small blobs some are hardly ever there.
                    if blobs.len() == 1 && staging.has_all(blobs) {
                        return Ok(());
                    }
                    self.group(checked.pack, offset, group, blobs, unpacker, Some(staging))
                },
            )?;
            told(checked.pack.title());
            Ok::<_, ImageError>(())
        })?;
        for checked in &self.packs {
            staging.layer_of_image(&checked.layer)?;
        }
        Ok(())
    }

    /// Unpacks and checks every byte, and keeps nothing.
    pub fn verify(&self, stop: &(dyn Fn() -> bool + Sync)) -> Result<(), ImageError> {
        self.packs.par_iter().try_for_each(|checked| {
            let jobs: Vec<_> = checked.pack.groups().zip(&checked.groups).collect();
            jobs.into_par_iter().try_for_each_init(
                Unpacker::new,
                |unpacker, ((offset, group), blobs)| {
                    if stop() {
                        return Err(ImageError::Stopped);
                    }
                    self.group(checked.pack, offset, group, blobs, unpacker, None)
                },
            )
        })
    }

    fn group(
        &self,
        pack: &ImagePack,
        mut offset: u64,
        group: &Group,
        blobs: &[(BlobId, u64)],
        unpacker: &mut Unpacker,
        staging: Option<&Staging>,
    ) -> Result<(), ImageError> {
        let wrong = |blob: BlobId| {
            let reason = format!("the bytes of blob {} are others", blob.short());
            self.image.damaged(pack.title(), reason)
        };
        if let ([(blob, _)], [_, _, ..]) = (blobs, group.chunks.as_slice()) {
            let mut hasher = blake3::Hasher::new();
            let mut writer = staging.map(Staging::blob_writer);
            for &chunk in &group.chunks {
                let bytes = self.image.chunk(pack, offset, chunk, unpacker)?;
                offset += chunk.packed();
                match &mut writer {
                    // It hashes by itself.
                    Some(writer) => writer.write_all(&bytes).map_err(unwritten)?,
                    None => drop(hasher.update(&bytes)),
                }
            }
            let found = match writer {
                Some(writer) => writer.finish()?.0,
                None => BlobId::from_bytes(*hasher.finalize().as_bytes()),
            };
            return if found == *blob {
                Ok(())
            } else {
                Err(wrong(*blob))
            };
        }
        let mut rest = Vec::new();
        for &chunk in &group.chunks {
            rest.extend(self.image.chunk(pack, offset, chunk, unpacker)?);
            offset += chunk.packed();
        }
        let mut rest = rest.as_slice();
        for &(blob, size) in blobs {
            let (bytes, others) = rest
                .split_at_checked(size as usize)
                .ok_or_else(|| wrong(blob))?;
            rest = others;
            if BlobId::of(bytes) != blob {
                return Err(wrong(blob));
            }
            if let Some(staging) = staging {
                staging.checked_blob(blob, bytes)?;
            }
        }
        Ok(())
    }
}

/// The store's error, which a writer has to carry through the traits of `std::io`.
fn unwritten(error: std::io::Error) -> ImageError {
    match error.downcast::<StoreError>() {
        Ok(error) => error.into(),
        Err(source) => ImageError::Io {
            action: "write",
            path: std::path::PathBuf::new(),
            source,
        },
    }
}
