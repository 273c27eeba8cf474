//! Reading blobs, wherever they are.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blast_types::{BlobId, PackId};
use nix::fcntl::OFlag;
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::{Packs, Slot};
use crate::error::At as _;
use crate::image::{Check, ImageError, PackFile, Sink, Unpacker};
use crate::objects::Objects;
use crate::store::Inner;
use crate::{Store, StoreError};

/// Unpacked groups that are kept, in bytes: a program that starts reads many small files of one group.
const RECENT_BYTES: usize = 64 << 20;

type Group = (PackId, usize);

/// Groups that were unpacked lately, the latest last.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<VecDeque<(Group, Arc<Vec<u8>>)>>);

impl Recent {
    fn get(&self, group: Group) -> Option<Arc<Vec<u8>>> {
        let mut kept = self.lock();
        let at = kept.iter().position(|(kept, _)| *kept == group)?;
        let found = kept.remove(at)?;
        let bytes = Arc::clone(&found.1);
        kept.push_back(found);
        Some(bytes)
    }

    fn keep(&self, group: Group, bytes: &Arc<Vec<u8>>) {
        let mut kept = self.lock();
        kept.push_back((group, Arc::clone(bytes)));
        let mut sum: usize = kept.iter().map(|(_, bytes)| bytes.len()).sum();
        while sum > RECENT_BYTES {
            let Some((_, oldest)) = kept.pop_front() else {
                break;
            };
            sum -= oldest.len();
        }
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Group, Arc<Vec<u8>>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one blob of its group, into a file.
struct ToFile<'a> {
    file: &'a mut File,
    hasher: blake3::Hasher,
    path: PathBuf,
}

impl Sink for ToFile<'_> {
    fn blob(&mut self, _blob: BlobId, bytes: &[u8]) -> Result<(), ImageError> {
        self.piece(bytes)
    }

    fn piece(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        self.hasher.update(bytes);
        Ok(self.file.write_all(bytes).at("write below", &self.path)?)
    }

    fn end(&mut self) -> Result<BlobId, ImageError> {
        Ok(BlobId::from_bytes(*self.hasher.finalize().as_bytes()))
    }
}

impl Slot {
    /// A file of its own, without a name, with the bytes of this blob.
    fn to_file(&self, blob: BlobId, packs: &Packs, objects: &Objects) -> Result<File, ImageError> {
        let mut file = nameless(objects)?;
        let path = objects.staging().to_owned();
        if self.pack.open.is_piecemeal(self.group) {
            let mut sink = ToFile {
                file: &mut file,
                hasher: blake3::Hasher::new(),
                path,
            };
            PackFile::open(&self.pack.path)?.group(
                &self.pack.open,
                self.group,
                &mut Unpacker::new(),
                &mut sink,
            )?;
        } else {
            let (group, range) = self.of_group(blob, packs)?;
            file.write_all(&group[range]).at("write below", &path)?;
        }
        Ok(file)
    }

    /// The bytes of its group, and where in them this blob is, whose bytes are right.
    fn of_group(
        &self,
        blob: BlobId,
        packs: &Packs,
    ) -> Result<(Arc<Vec<u8>>, std::ops::Range<usize>), ImageError> {
        let key = (self.pack.id, self.group);
        let group = if let Some(group) = packs.recent.get(key) {
            group
        } else {
            let file = PackFile::open(&self.pack.path)?;
            let mut unpacker = Unpacker::new();
            let bytes = file.group_bytes(&self.pack.open, self.group, &mut unpacker)?;
            let group = Arc::new(bytes.to_vec());
            packs.recent.keep(key, &group);
            group
        };
        let mut start = 0;
        for &(other, size) in self
            .pack
            .open
            .groups()
            .nth(self.group)
            .into_iter()
            .flatten()
        {
            let end = start + size as usize;
            if other == blob {
                return match group.get(start..end) {
                    Some(bytes) if BlobId::of(bytes) == blob => Ok((group, start..end)),
                    _ => Err(StoreError::DamagedBlob { id: blob }.into()),
                };
            }
            start = end;
        }
        Err(StoreError::MissingBlob { id: blob }.into())
    }

    /// Whether the blob's bytes are what its name says.
    pub(super) fn check(&self, blob: BlobId, packs: &Packs) -> Result<(), ImageError> {
        if !self.pack.open.is_piecemeal(self.group) {
            return self.of_group(blob, packs).map(drop);
        }
        PackFile::open(&self.pack.path)?.group(
            &self.pack.open,
            self.group,
            &mut Unpacker::new(),
            &mut Check::default(),
        )
    }

    /// The bytes of a blob in a pack that is staged.
    pub(crate) fn read(&self, blob: BlobId, store: &Inner) -> Result<Vec<u8>, StoreError> {
        self.bytes(blob, &store.packs, &store.objects)
            .map_err(|error| self.error(error))
    }

    fn error(&self, error: ImageError) -> StoreError {
        match error {
            ImageError::Store(error) => error,
            error => StoreError::Io {
                action: "read",
                path: self.pack.path.clone(),
                source: as_io(error),
            },
        }
    }

    fn bytes(&self, blob: BlobId, packs: &Packs, objects: &Objects) -> Result<Vec<u8>, ImageError> {
        if !self.pack.open.is_piecemeal(self.group) {
            let (group, range) = self.of_group(blob, packs)?;
            return Ok(group[range].to_vec());
        }
        let file = self.to_file(blob, packs, objects)?;
        let mut bytes = vec![0; self.size as usize];
        file.read_exact_at(&mut bytes, 0)
            .at("read below", objects.staging())?;
        Ok(bytes)
    }
}

/// An empty file that goes with its descriptor: on the store's disk, so that a big one does not fill
/// memory, where the file system knows such files.
fn nameless(objects: &Objects) -> Result<File, StoreError> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .mode(0o600)
        .custom_flags(OFlag::O_TMPFILE.bits())
        .open(objects.staging());
    match opened {
        Ok(file) => Ok(file),
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Err(error),
        Err(_) => memfd_create(c"blob", MFdFlags::MFD_CLOEXEC)
            .map(File::from)
            .map_err(io::Error::from),
    }
    .at("create a file below", objects.staging())
}

impl Inner {
    /// Opens a blob. One that is in a pack is unpacked into a file without a name.
    pub(crate) fn open_blob(&self, id: BlobId) -> io::Result<File> {
        // A blob that has left its pack has a file by then.
        for _ in 0..2 {
            match File::open(self.objects.path(id)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => return opened,
            }
            let Some(slot) = self.packs.slot(id) else {
                break;
            };
            match slot.to_file(id, &self.packs, &self.objects) {
                Err(error) if is_gone(&error) => {}
                opened => return opened.map_err(as_io),
            }
        }
        self.open_below(id)
    }

    /// The bytes of a blob.
    pub(crate) fn read_blob(&self, id: BlobId) -> Result<Vec<u8>, StoreError> {
        let path = self.objects.path(id);
        for _ in 0..2 {
            match std::fs::read(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                read => return read.at("read", &path),
            }
            let Some(slot) = self.packs.slot(id) else {
                break;
            };
            match slot.bytes(id, &self.packs, &self.objects) {
                Err(error) if is_gone(&error) => {}
                read => return read.map_err(|error| slot.error(error)),
            }
        }
        let mut bytes = Vec::new();
        self.open_below(id)
            .and_then(|mut file| file.read_to_end(&mut bytes))
            .at("read", &path)?;
        Ok(bytes)
    }
}

impl Store {
    /// Opens a blob for reading, wherever it is.
    ///
    /// # Errors
    ///
    /// What the system says; `InvalidData` where a pack does not have the bytes that it should.
    pub fn open_blob(&self, id: BlobId) -> io::Result<File> {
        self.inner.open_blob(id)
    }

    /// The bytes of a blob, wherever it is.
    pub fn read_blob(&self, id: BlobId) -> Result<Vec<u8>, StoreError> {
        self.inner.read_blob(id)
    }
}

/// Whether the file of a pack is not there any more.
fn is_gone(error: &ImageError) -> bool {
    matches!(error, ImageError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

/// As the traits of `std::io` carry it.
pub(super) fn as_io(error: ImageError) -> io::Error {
    match error {
        ImageError::Io { source, .. } | ImageError::Store(StoreError::Io { source, .. }) => source,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}
