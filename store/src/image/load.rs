//! From packs to objects of the store, by all processors. Everything goes through one [`Staging`],
//! so an image that turns out bad at its last byte leaves nothing behind.
//!
//! Blobs come in one of two ways ([`Bring`]): each as a file, or in their packs, which the store takes
//! over as they are and unpacks when there is time (`packs`). Every byte is checked in both.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use blast_types::{BlobId, LayerId};
use rayon::prelude::*;
use rustc_hash::FxHashSet;

use super::error::ImageError;
use super::pack::{Check, OpenPack, PackFile, Sink, Unpacker};
use super::read::{Image, ImagePack};
use crate::{BlobWriter, Layer, Staging, Store, StoreError};

/// How blobs come into a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bring {
    /// Each as a file: all is written before the load is done.
    Unpacked,
    /// In their packs, which [`Store::unpack`] unpacks later.
    Packed,
}

/// The packs of an image that are wanted, their layers unpacked and checked.
#[derive(Debug)]
pub struct ImageContent<'a> {
    image: &'a Image,
    packs: Vec<Arc<OpenPack>>,
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
                self.pack_file()
                    .open_pack(&pack.pack, unpacker)
                    .map(Arc::new)
            })
            .collect::<Result<Vec<_>, ImageError>>()?;
        Ok(ImageContent { image: self, packs })
    }
}

impl ImageContent<'_> {
    /// The layers, in the order of the packs.
    pub fn layers(&self) -> impl Iterator<Item = &Arc<Layer>> {
        self.packs.iter().map(|open| open.layer())
    }

    /// The layer of this name, if it is among them.
    pub fn layer(&self, id: LayerId) -> Option<&Arc<Layer>> {
        self.layers().find(|layer| layer.id() == id)
    }

    /// Bytes that may have to be written, now or when packs are unpacked.
    pub fn bytes(&self, bring: Bring) -> u64 {
        let of = |open: &Arc<OpenPack>| {
            let (packed, unpacked) = open.bytes();
            match bring {
                Bring::Unpacked => unpacked,
                // The pack goes when all that is in it is there.
                Bring::Packed => unpacked.saturating_add(packed),
            }
        };
        self.packs.iter().map(of).fold(0, u64::saturating_add)
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
        for open in &self.packs {
            if open.layer().blobs().any(|blob| lacks(&blob)) {
                missing.push(open.title().to_owned());
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
        self.packs.iter().flat_map(|open| open.blobs())
    }

    /// Brings blobs and layers into a staging, on all processors. `stop` is asked now and then
    /// whether to give up; `told` hears the title of every pack that is done.
    pub fn stage(
        &self,
        staging: &Staging,
        bring: Bring,
        stop: &(dyn Fn() -> bool + Sync),
        told: &(dyn Fn(&str) + Sync),
    ) -> Result<(), ImageError> {
        match bring {
            Bring::Unpacked => self.unpack(staging, stop, told)?,
            Bring::Packed => self.take_over(staging, stop, told)?,
        }
        for open in &self.packs {
            staging.layer_of_image(open.layer())?;
        }
        Ok(())
    }

    fn unpack(
        &self,
        staging: &Staging,
        stop: &(dyn Fn() -> bool + Sync),
        told: &(dyn Fn(&str) + Sync),
    ) -> Result<(), ImageError> {
        let file = self.image.pack_file();
        self.packs.par_iter().try_for_each(|open| {
            let groups: Vec<_> = open.groups().enumerate().collect();
            groups.into_par_iter().try_for_each_init(
                Unpacker::new,
                |unpacker, (number, blobs)| {
                    if stop() {
                        return Err(ImageError::Stopped);
                    }
                    // Of many small blobs some are hardly ever there.
                    if blobs.len() == 1 && staging.has_all(blobs) {
                        return Ok(());
                    }
                    file.group(open, number, unpacker, &mut ToStaging::new(staging))
                },
            )?;
            told(open.title());
            Ok(())
        })
    }

    /// Copies packs as they are. They are checked while the disk writes them, and as they came to be
    /// there: the file of the image is the user's and may change.
    fn take_over(
        &self,
        staging: &Staging,
        stop: &(dyn Fn() -> bool + Sync),
        told: &(dyn Fn(&str) + Sync),
    ) -> Result<(), ImageError> {
        // The disk begins with the largest, which takes it longest.
        let mut largest_first: Vec<_> = self.packs.iter().collect();
        largest_first.sort_by_key(|open| std::cmp::Reverse(open.bytes().0));
        let copies = largest_first
            .into_par_iter()
            .map(|open| {
                if stop() {
                    return Err(ImageError::Stopped);
                }
                let path = staging.pack(self.image.pack_file(), open)?;
                Ok((PackFile::open(&path)?, open))
            })
            .collect::<Result<Vec<_>, ImageError>>()?;
        let copies: Vec<_> = copies.iter().map(|(file, open)| (file, *open)).collect();
        check(&copies, stop, told).map_err(|error| error.of_image(self.image.path()))
    }

    /// Unpacks and checks every byte, and keeps nothing.
    pub fn verify(&self, stop: &(dyn Fn() -> bool + Sync)) -> Result<(), ImageError> {
        let file = self.image.pack_file();
        let packs: Vec<_> = self.packs.iter().map(|open| (file, open)).collect();
        check(&packs, stop, &|_| ())
    }
}

/// Unpacks and checks every byte of the blobs of packs. `told` hears the title of every pack that is done.
fn check(
    packs: &[(&PackFile, &Arc<OpenPack>)],
    stop: &(dyn Fn() -> bool + Sync),
    told: &(dyn Fn(&str) + Sync),
) -> Result<(), ImageError> {
    let left: Vec<_> = packs
        .iter()
        .map(|(_, open)| AtomicUsize::new(open.groups().len()))
        .collect();
    // All groups in one list, so that few threads have few buffers for all of them.
    let groups: Vec<_> = packs
        .iter()
        .zip(&left)
        .flat_map(|(pack, left)| (0..pack.1.groups().len()).map(move |number| (pack, left, number)))
        .collect();
    groups.into_par_iter().try_for_each_init(
        Unpacker::new,
        |unpacker, ((file, open), left, number)| {
            if stop() {
                return Err(ImageError::Stopped);
            }
            file.group(open, number, unpacker, &mut Check::default())?;
            if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                told(open.title());
            }
            Ok(())
        },
    )
}

/// Each blob becomes a staged file.
pub(crate) struct ToStaging<'a> {
    staging: &'a Staging,
    writer: Option<BlobWriter>,
}

impl<'a> ToStaging<'a> {
    pub(crate) fn new(staging: &'a Staging) -> Self {
        Self {
            staging,
            writer: None,
        }
    }
}

impl Sink for ToStaging<'_> {
    fn blob(&mut self, blob: BlobId, bytes: &[u8]) -> Result<(), ImageError> {
        Ok(self.staging.checked_blob(blob, bytes)?)
    }

    fn piece(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        let writer = self
            .writer
            .get_or_insert_with(|| self.staging.blob_writer());
        writer.write_all(bytes).map_err(unwritten)
    }

    fn end(&mut self) -> Result<BlobId, ImageError> {
        let writer = self
            .writer
            .take()
            .unwrap_or_else(|| self.staging.blob_writer());
        Ok(writer.finish()?.0)
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
