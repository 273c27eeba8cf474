//! A store below this one: objects that somebody keeps for all users of a machine, and that are only read here.
//!
//! # What is shared
//! Blobs and layers, by name, and what wheels became: `store/wheels/ab/<62 digits>.<16 digits>`, where the digits are
//! the SHA-256 of the wheel and the first of the BLAKE3 of its scheme. Who keeps such a store writes these
//! ([`Store::share`]); histories, bytecode and all else stay with each user.
//!
//! # Trust
//! Which layer a wheel became cannot be told from the bytes, so its keeper is trusted: root, or the user. Nobody else:
//! a directory or file that somebody else owns, or that others may write, is not used. An object whose bytes are not what
//! its name says is not used either, whoever wrote it.
//!
//! # Concurrency
//! Any thread may read. The keeper adds objects by rename and never changes one.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use blast_types::{BlobId, LayerId};
use nix::fcntl::OFlag;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::error::At as _;
use crate::index::{Key, from_json};
use crate::objects::{ObjectId, TEMPORARY};
use crate::store::Inner;
use crate::{Layer, LayerFormatError, Store, StoreError, WheelKey, WheelRecord};

/// Version of the files below `wheels`.
const VERSION: u32 = 1;
const FORMAT: &str = "blast-wheel";
const WHEELS: &str = "wheels";
/// Permission bits by which others than the owner could change something.
const WRITABLE: u32 = 0o022;

/// A file of `wheels`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shared {
    format: String,
    version: u32,
    features: Vec<String>,
    /// What it is about: a file under another wheel's name says nothing.
    key: WheelKey,
    wheel: WheelRecord,
}

/// What a file was when its bytes were compared with its name.
type Stamp = (u64, u64, u64, i64, i64);

/// A store that is only read.
#[derive(Debug)]
pub struct MachineStore {
    root: PathBuf,
    owner: u32,
    checked: Mutex<FxHashMap<ObjectId, Stamp>>,
}

impl MachineStore {
    /// The store that is kept in this directory, which is a `BLAST_HOME` of its keeper's.
    ///
    /// # Errors
    /// If it is not there or cannot be read, or somebody could change it whom nobody trusts.
    pub fn open(home: &Path) -> Result<Self, StoreError> {
        let root = home.join("store");
        let metadata = fs::metadata(home).at("examine", home)?;
        let owner = metadata.uid();
        let here = Self {
            root: root.clone(),
            owner,
            checked: Mutex::default(),
        };
        for part in [
            home.to_owned(),
            root.clone(),
            root.join("blobs"),
            root.join("layers"),
            root.join(WHEELS),
        ] {
            let metadata = fs::metadata(&part).at("examine", &part)?;
            here.trust(&metadata).at("trust", &part)?;
            fs::read_dir(&part)
                .map(drop)
                // Of its keeper's home only the store is to be seen.
                .or_else(|error| if part == home { Ok(()) } else { Err(error) })
                .at("list", &part)?;
        }
        Ok(here)
    }

    /// Whether only its keeper can have made this.
    fn trust(&self, metadata: &Metadata) -> io::Result<()> {
        let ours = nix::unistd::Uid::effective().as_raw();
        let problem = if metadata.uid() != self.owner || ![0, ours].contains(&metadata.uid()) {
            format!(
                "it belongs to user {}, who is not its trusted keeper",
                metadata.uid()
            )
        } else if metadata.mode() & WRITABLE != 0 {
            format!(
                "others than its owner can change it (mode {:04o})",
                metadata.mode() & 0o7777
            )
        } else {
            return Ok(());
        };
        Err(io::Error::new(io::ErrorKind::PermissionDenied, problem))
    }

    fn path(&self, id: ObjectId) -> Option<PathBuf> {
        let (kind, hex) = match id {
            ObjectId::Blob(id) => ("blobs", id.to_hex()),
            ObjectId::Layer(id) => ("layers", id.to_hex()),
            ObjectId::Pack(_) | ObjectId::Generation(_) => return None,
        };
        Some(self.root.join(kind).join(&hex[..2]).join(&hex[2..]))
    }

    /// Size of the object in bytes, if it is there.
    pub(crate) fn size(&self, id: impl Into<ObjectId>) -> Option<u64> {
        let path = self.path(id.into())?;
        let metadata = fs::symlink_metadata(path).ok()?;
        (metadata.is_file() && self.trust(&metadata).is_ok()).then_some(metadata.len())
    }

    /// Opens an object whose bytes are what its name says; the first time it is read for that.
    pub(crate) fn open_object(&self, id: impl Into<ObjectId>) -> io::Result<File> {
        let id = id.into();
        let path = self.path(id).ok_or(io::ErrorKind::NotFound)?;
        let file = open(&path)?;
        let metadata = file.metadata()?;
        self.trust(&metadata)?;
        let stamp = stamp(&metadata);
        if self.checked().get(&id) == Some(&stamp) {
            return Ok(file);
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&file)?;
        if hasher.finalize().as_bytes() != id.digest() {
            tracing::warn!(path = %path.display(), "an object of the machine's store was changed, and is not used");
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "{} does not have the bytes that its name says",
                    path.display()
                ),
            ));
        }
        io::Seek::rewind(&mut &file)?;
        self.checked().insert(id, stamp);
        Ok(file)
    }

    /// Reads an object whatever was known of it.
    pub(crate) fn read(&self, id: impl Into<ObjectId>) -> io::Result<()> {
        let id = id.into();
        self.checked().remove(&id);
        self.open_object(id).map(drop)
    }

    /// The layer of this name.
    pub(crate) fn layer(&self, id: LayerId) -> Result<Layer, LayerFormatError> {
        let unreadable = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => LayerFormatError::Missing,
            _ => LayerFormatError::Unreadable(error.to_string()),
        };
        let file = self.open_object(id).map_err(unreadable)?;
        Layer::map_file(&file, id)
    }

    /// What a wheel became, if all of that is there.
    pub(crate) fn wheel(&self, key: &WheelKey) -> Option<WheelRecord> {
        let path = wheel_path(&self.root, key);
        let file = open(&path).ok()?;
        let metadata = file.metadata().ok()?;
        let shared: Shared = self
            .trust(&metadata)
            .and_then(|()| Ok(serde_json::from_reader(io::BufReader::new(file))?))
            .inspect_err(
                |error| tracing::warn!(path = %path.display(), %error, "what a wheel became is not used"),
            )
            .ok()?;
        if (shared.format.as_str(), shared.version) != (FORMAT, VERSION)
            || !shared.features.is_empty()
            || shared.key != *key
        {
            return None;
        }
        let record = shared.wheel;
        let layer = self.layer(record.layer).ok()?;
        layer.verify().ok()?;
        let scripts = record.python_scripts.iter().map(|script| script.body);
        let mut blobs = layer.blobs().chain(scripts).chain([record.record_blob]);
        blobs
            .all(|blob| self.size(blob).is_some())
            .then_some(record)
    }

    fn checked(&self) -> std::sync::MutexGuard<'_, FxHashMap<ObjectId, Stamp>> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// The times cannot be set back: nobody but root decides what change a file had last (`ctime`, inode(7)).
fn stamp(metadata: &Metadata) -> Stamp {
    (
        metadata.dev(),
        metadata.ino(),
        metadata.len(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    )
}

/// Where it is said what a wheel became. A scheme is a list of paths, so its digest names it.
fn wheel_path(root: &Path, key: &WheelKey) -> PathBuf {
    let hex = key.sha256.to_hex();
    let scheme = blake3::hash(key.scheme.as_bytes()).to_hex();
    let name = format!("{}.{}", &hex[2..], &scheme[..16]);
    root.join(WHEELS).join(&hex[..2]).join(name)
}

impl Store {
    /// Reads from this store, too, what is not here.
    pub fn read_below(&self, below: MachineStore) {
        // Said once, when the store is opened.
        self.inner.below.set(below).unwrap_or_default();
    }

    /// Lets all users of the machine read blobs, layers, and what wheels became, now and from now on; nothing else that
    /// lies beside the store. Collections keep what they could be reading.
    pub fn share(&self) -> Result<(), StoreError> {
        let inner = &self.inner;
        let root = inner.home().join("store");
        let entries = fs::read_dir(inner.home()).at("list", inner.home())?;
        for entry in entries {
            let path = entry.at("list", inner.home())?.path();
            let metadata = fs::symlink_metadata(&path).at("examine", &path)?;
            let is_ours = metadata.is_dir() || metadata.is_file();
            if is_ours && !path.ends_with("store") && !path.ends_with("live") {
                let mode = Permissions::from_mode(metadata.mode() & 0o700);
                fs::set_permissions(&path, mode).at("protect", &path)?;
            }
        }
        let wheels = root.join(WHEELS);
        let anew = !wheels.exists();
        for (path, mode) in [
            (inner.home(), 0o711),
            (&root, 0o755),
            (&root.join("blobs"), 0o755),
            (&root.join("layers"), 0o755),
            (&wheels, 0o755),
        ] {
            DirBuilder::new()
                .recursive(true)
                .mode(mode)
                .create(path)
                .at("create", path)?;
            fs::set_permissions(path, Permissions::from_mode(mode)).at("open up", path)?;
        }
        inner.shares.set(()).unwrap_or_default();
        if anew {
            for (key, value) in inner.index.scan(Key::WHEELS)? {
                if let (Some(sha256), Some(scheme)) = (Key::digest_of(&key), Key::text_of(&key)) {
                    let sha256 = blast_types::Sha256::from_bytes(sha256);
                    let scheme = scheme.to_owned();
                    inner.share_wheel(&WheelKey { sha256, scheme }, &from_json(&value)?);
                }
            }
        }
        Ok(())
    }
}

impl Inner {
    /// Size of a blob or layer, here or below.
    pub(crate) fn size_anywhere(&self, id: impl Into<ObjectId>) -> Option<u64> {
        let id = id.into();
        let below = || self.below.get()?.size(id);
        self.objects.size(id).or_else(below)
    }

    /// Opens a blob of the store below.
    pub(crate) fn open_below(&self, id: BlobId) -> io::Result<File> {
        let below = self.below.get().ok_or(io::ErrorKind::NotFound)?;
        below.open_object(id)
    }

    /// A layer as it is on disk, here or below.
    pub(crate) fn map_layer(&self, id: LayerId) -> Result<Layer, LayerFormatError> {
        match (Layer::map(&self.objects.path(id), id), self.below.get()) {
            (Err(LayerFormatError::Missing), Some(below)) => below.layer(id),
            (found, _) => found,
        }
    }

    /// Tells other users what a wheel became, where they read this store. They do without if it fails.
    pub(crate) fn share_wheel(&self, key: &WheelKey, record: &WheelRecord) {
        if self.shares.get().is_none() {
            return;
        }
        let path = wheel_path(&self.home().join("store"), key);
        if let Err(error) = write_shared(&path, key, record) {
            tracing::warn!(path = %path.display(), %error, "what a wheel became is not shared");
        }
    }
}

fn write_shared(path: &Path, key: &WheelKey, record: &WheelRecord) -> io::Result<()> {
    let shared = Shared {
        format: FORMAT.to_owned(),
        version: VERSION,
        features: Vec::new(),
        key: key.clone(),
        wheel: record.clone(),
    };
    let folder = path.parent().unwrap_or(path);
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(folder)?;
    let name = path.file_name().unwrap_or_default().display();
    let fresh = path.with_file_name(format!("{TEMPORARY}{name}"));
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        removed => removed?,
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o444)
        .open(&fresh)?;
    file.write_all(&serde_json::to_vec(&shared)?)?;
    fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests;
