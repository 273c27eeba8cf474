//! Unpacking, when there is time: the blobs of a few packs become files, are made durable, and the
//! packs go. What a kill leaves half done is begun again.

use std::fs;
use std::io;
use std::sync::{Arc, PoisonError};

use blast_types::BlobId;

use super::StoredPack;
use crate::error::At as _;
use crate::failpoint::{self, Point};
use crate::image::{ImageError, PackFile, ToStaging, Unpacker};
use crate::staging::Staging;
use crate::store::Inner;
use crate::{Store, StoreError};

/// So many bytes of blobs are written before they are made durable, unless one pack holds more. Who makes something durable
/// meanwhile waits for these too.
const BATCH_BYTES: u64 = 16 << 20;

/// How unpacking ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unpacked {
    /// Packs that are gone.
    pub packs: usize,
    /// Packs that stay because blobs in them are damaged, or because it was stopped.
    pub left: usize,
}

impl Store {
    /// Whether blobs are in packs.
    pub fn has_packs(&self) -> bool {
        !self.inner.packs.is_empty()
    }

    /// Unpacks what images brought in packs. `stop` is asked now and then whether to give up. Blocks, and
    /// waits for whoever unpacks already.
    pub fn unpack(&self, stop: &dyn Fn() -> bool) -> Result<Unpacked, StoreError> {
        let packs = &self.inner.packs;
        let _one = packs
            .unpacking
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut waiting = packs.all();
        let mut done = Unpacked::default();
        while !waiting.is_empty() && !stop() {
            let mut bytes = 0;
            let few = waiting
                .iter()
                .take_while(|pack| {
                    let fits = bytes < BATCH_BYTES;
                    bytes += pack.open.bytes().1;
                    fits
                })
                .count();
            let batch: Vec<_> = waiting.drain(..few).collect();
            done.packs += self.unpack_batch(&batch, stop)?;
        }
        done.left = packs.all().len();
        if done.left == 0 {
            packs.rest();
        }
        Ok(done)
    }

    fn unpack_batch(
        &self,
        batch: &[Arc<StoredPack>],
        stop: &dyn Fn() -> bool,
    ) -> Result<usize, StoreError> {
        let inner = &self.inner;
        drop(self.stage()?);
        let staging = Staging::past_packs(Arc::clone(inner));
        let mut whole = Vec::new();
        for pack in batch {
            match write_blobs(pack, &staging, stop)? {
                Written::All => whole.push(pack),
                // A check names what is lost.
                Written::Some => {
                    tracing::warn!(path = %pack.path.display(), "a pack holds damaged blobs");
                }
                Written::Stopped => return Ok(0),
            }
        }
        staging.publish()?;
        for pack in &whole {
            inner.packs.remove(pack.id);
            failpoint::hit(Point::PackRemove).at("remove", &pack.path)?;
            match fs::remove_file(&pack.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.at("remove", &pack.path)?,
            }
        }
        Ok(whole.len())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    All,
    Some,
    Stopped,
}

/// Stages the blobs of a pack that have no file.
fn write_blobs(
    pack: &StoredPack,
    staging: &Staging,
    stop: &dyn Fn() -> bool,
) -> Result<Written, StoreError> {
    failpoint::hit(Point::PackUnpack).at("unpack", &pack.path)?;
    let file = match PackFile::open(&pack.path) {
        // Taken away by a collection.
        Err(ImageError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(Written::Some);
        }
        opened => opened.map_err(super::read::as_io).at("open", &pack.path)?,
    };
    let mut unpacker = Unpacker::new();
    let mut written = Written::All;
    for (number, blobs) in pack.open.groups().enumerate() {
        if stop() {
            return Ok(Written::Stopped);
        }
        if staging.has_all(blobs) {
            continue;
        }
        let mut sink = ToStaging::new(staging);
        match file.group(&pack.open, number, &mut unpacker, &mut sink) {
            Ok(()) => {}
            Err(ImageError::Store(error)) => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "what is in a pack cannot be unpacked");
                written = Written::Some;
            }
        }
    }
    Ok(written)
}

impl Inner {
    /// The blobs whose bytes in packs are others than their names say, or cannot be read, with the
    /// reason, and how many bytes were read. Those that have a file are passed over.
    pub(crate) fn damaged_in_packs(&self) -> (Vec<(BlobId, String)>, u64) {
        let (mut bad, mut bytes) = (Vec::new(), 0);
        for pack in self.packs.all() {
            bytes += pack.open.bytes().0;
            for (blob, slot) in pack.slots() {
                if self.objects.has(blob) {
                    continue;
                }
                if let Err(error) = slot.check(blob, &self.packs) {
                    // Unpacked meanwhile.
                    if !self.objects.has(blob) {
                        bad.push((blob, error.to_string()));
                    }
                }
            }
        }
        self.packs.rest();
        (bad, bytes)
    }
}
