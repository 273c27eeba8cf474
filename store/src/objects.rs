//! Where objects lie: `<kind>/ab/<62 digits>`, by the hexadecimal form of their name.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use blast_types::{BlobId, GenerationId, LayerId, PackId};

use crate::StoreError;
use crate::error::At as _;
use crate::failpoint::{self, Point};

/// How temporary files beside objects begin. A dot keeps them apart from objects, whose names are
/// digits.
pub(crate) const TEMPORARY: &str = ".staged-";

/// The directories of the store.
#[derive(Debug)]
pub(crate) struct Objects {
    blobs: PathBuf,
    layers: PathBuf,
    packs: PathBuf,
    generations: PathBuf,
    staging: PathBuf,
    /// Kept open for `syncfs`.
    root: File,
    root_path: PathBuf,
}

/// Names one object of any kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum ObjectId {
    Blob(BlobId),
    Pack(PackId),
    Layer(LayerId),
    Generation(GenerationId),
}

impl ObjectId {
    /// The digest in its name.
    pub(crate) fn digest(&self) -> &[u8; 32] {
        match self {
            Self::Blob(id) => id.as_bytes(),
            Self::Pack(id) => id.as_bytes(),
            Self::Layer(id) => id.as_bytes(),
            Self::Generation(id) => id.as_bytes(),
        }
    }
}

impl From<BlobId> for ObjectId {
    fn from(id: BlobId) -> Self {
        Self::Blob(id)
    }
}

impl From<PackId> for ObjectId {
    fn from(id: PackId) -> Self {
        Self::Pack(id)
    }
}

impl From<LayerId> for ObjectId {
    fn from(id: LayerId) -> Self {
        Self::Layer(id)
    }
}

impl From<GenerationId> for ObjectId {
    fn from(id: GenerationId) -> Self {
        Self::Generation(id)
    }
}

/// The kinds of objects, each with a directory of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Blobs,
    Packs,
    Layers,
    Generations,
}

impl Objects {
    /// Makes the directories below `root`, the store's own directory.
    pub(crate) fn open(root: &Path) -> Result<Self, StoreError> {
        let part = |name| {
            let path = root.join(name);
            std::fs::create_dir_all(&path)
                .at("create", &path)
                .map(|()| path)
        };
        Ok(Self {
            blobs: part("blobs")?,
            layers: part("layers")?,
            packs: part("packs")?,
            generations: part("generations")?,
            staging: part("staging")?,
            root: File::open(root).at("open", root)?,
            root_path: root.to_owned(),
        })
    }

    /// Where the object is, or would be.
    pub(crate) fn path(&self, id: impl Into<ObjectId>) -> PathBuf {
        let (dir, hex) = match id.into() {
            ObjectId::Blob(id) => (&self.blobs, id.to_hex()),
            ObjectId::Pack(id) => (&self.packs, id.to_hex()),
            ObjectId::Layer(id) => (&self.layers, id.to_hex()),
            ObjectId::Generation(id) => (&self.generations, id.to_hex()),
        };
        let mut path = PathBuf::with_capacity(dir.as_os_str().len() + 66);
        path.push(dir);
        path.push(&hex[..2]);
        path.push(&hex[2..]);
        path
    }

    /// Size of the object in bytes, if it is there.
    pub(crate) fn size(&self, id: impl Into<ObjectId>) -> Option<u64> {
        std::fs::symlink_metadata(self.path(id))
            .ok()
            .map(|metadata| metadata.size())
    }

    /// Whether the object is there.
    pub(crate) fn has(&self, id: impl Into<ObjectId>) -> bool {
        self.size(id).is_some()
    }

    /// The bytes of an object, if they are what its name says.
    pub(crate) fn read_whole(path: &Path, id: ObjectId) -> Option<Vec<u8>> {
        let bytes = std::fs::read(path).ok()?;
        (blake3::hash(&bytes).as_bytes() == id.digest()).then_some(bytes)
    }

    /// The directory for work in flight.
    pub(crate) fn staging(&self) -> &Path {
        &self.staging
    }

    fn dir(&self, kind: Kind) -> &Path {
        match kind {
            Kind::Blobs => &self.blobs,
            Kind::Packs => &self.packs,
            Kind::Layers => &self.layers,
            Kind::Generations => &self.generations,
        }
    }

    /// Calls `visit` with every object of a kind and its size in bytes; files that are no objects
    /// (work in flight, strangers) are passed over.
    pub(crate) fn walk(
        &self,
        kind: Kind,
        mut visit: impl FnMut([u8; 32], u64) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.walk_files(kind, |shard, name, path| {
            let mut id = [0; 32];
            if hex::decode_to_slice(format!("{shard}{name}"), &mut id).is_ok() {
                let size = std::fs::symlink_metadata(path).at("examine", path)?.size();
                visit(id, size)?;
            }
            Ok(())
        })
    }

    /// The objects of a kind whose hexadecimal names begin so, which takes two digits at least.
    pub(crate) fn beginning(&self, kind: Kind, digits: &str) -> Result<Vec<[u8; 32]>, StoreError> {
        let digits = digits.to_ascii_lowercase();
        let Some((shard, rest)) = digits.split_at_checked(2) else {
            return Ok(Vec::new());
        };
        let dir = self.dir(kind).join(shard);
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) || !dir.is_dir() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for file in std::fs::read_dir(&dir).at("list", &dir)? {
            let name = file.at("list", &dir)?.file_name();
            let Some(name) = name.to_str().filter(|name| name.starts_with(rest)) else {
                continue;
            };
            let mut id = [0; 32];
            if hex::decode_to_slice(format!("{shard}{name}"), &mut id).is_ok() {
                found.push(id);
            }
        }
        Ok(found)
    }

    /// Calls `visit` with shard, name and path of every file below a kind's directory.
    pub(crate) fn walk_files(
        &self,
        kind: Kind,
        mut visit: impl FnMut(&str, &str, &Path) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let dir = self.dir(kind);
        for shard in std::fs::read_dir(dir).at("list", dir)? {
            let shard = shard.at("list", dir)?.path();
            let Some(prefix) = shard.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if prefix.len() != 2 {
                continue;
            }
            for file in std::fs::read_dir(&shard).at("list", &shard)? {
                let file = file.at("list", &shard)?;
                if let Some(name) = file.file_name().to_str() {
                    visit(prefix, name, &file.path())?;
                }
            }
        }
        Ok(())
    }

    /// Puts an object back, durably, unless it is there with just these bytes.
    pub(crate) fn restore(&self, id: ObjectId, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path(id);
        if std::fs::read(&path).is_ok_and(|found| found == bytes) {
            return Ok(());
        }
        tracing::warn!(path = %path.display(), "an object that was lost is put back");
        failpoint::hit(Point::RecoverObject).at("write", &path)?;
        make_shard(&path)?;
        let fresh = path.with_file_name(format!("{TEMPORARY}restored"));
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result.at("remove", &fresh)?,
        }
        let mut file = create_new(&fresh)?;
        file.write_all(bytes)
            .and_then(|()| file.sync_all())
            .at("write", &fresh)?;
        std::fs::rename(&fresh, &path).at("rename into place", &path)
    }

    /// Makes everything on the store's file system durable.
    pub(crate) fn sync_all(&self) -> Result<(), StoreError> {
        nix::unistd::syncfs(&self.root).at("sync", &self.root_path)
    }

    /// Makes one file or directory durable.
    pub(crate) fn sync_one(path: &Path) -> Result<(), StoreError> {
        File::open(path)
            .and_then(|file| file.sync_all())
            .at("sync", path)
    }

    /// Moves a finished file to its place. Says whether it went there: where the object exists
    /// already, the temporary one is removed instead.
    pub(crate) fn place(from: &Path, to: &Path) -> Result<bool, StoreError> {
        use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
        let flags = RenameFlags::RENAME_NOREPLACE;
        match renameat2(AT_FDCWD, from, AT_FDCWD, to, flags) {
            Ok(()) => Ok(true),
            Err(nix::Error::EEXIST) => {
                std::fs::remove_file(from).at("remove", from)?;
                Ok(false)
            }
            // A file system without the flag: replacing an equal object is harmless.
            Err(nix::Error::EINVAL) => std::fs::rename(from, to)
                .at("rename into place", to)
                .map(|()| true),
            Err(error) => Err(error).at("rename into place", to),
        }
    }
}

/// Creates a temporary file that no other has, readable to all and writable only through this
/// descriptor.
pub(crate) fn create_new(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o444)
        .open(path)
        .at("create", path)
}

/// Makes the directory of an object's shard; says whether it was missing.
pub(crate) fn make_shard(object: &Path) -> Result<bool, StoreError> {
    let shard = object.parent().unwrap_or(object);
    failpoint::hit(Point::StageShard).at("create", shard)?;
    match std::fs::create_dir(shard) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error).at("create", shard),
    }
}
