//! Opening an image: its members, documents and the indices of its packs. No pack is unpacked.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use blast_types::{LayerId, Sha256};
use rustc_hash::FxHashSet;
use sha2::Digest as _;

use super::error::{ImageError, at};
use super::format::{
    ARTIFACT_TYPE, BLOBS_DIR, Descriptor, ENVIRONMENT_TYPE, INDEX_FILE, LAYER_NOTE, LAYOUT_FILE,
    LOCK_TYPE, MANIFEST_TYPE, MAX_DOCUMENT_BYTES, MAX_MEMBERS, Manifest, NAME_NOTE, OciIndex,
    PACK_TYPE, TITLE_NOTE,
};
use super::pack::{Pack, PackFile, Place};

/// How much of a pack is hashed at a time.
const HASH_BYTES: usize = 1 << 20;

/// An image file that is open, its documents read and checked.
#[derive(Debug)]
pub struct Image {
    file: PackFile,
    digest: Sha256,
    name: String,
    bytes: u64,
    environment: Vec<u8>,
    lock: Vec<u8>,
    packs: Vec<ImagePack>,
}

/// A pack of an image.
#[derive(Debug)]
pub struct ImagePack {
    digest: Sha256,
    pub(super) pack: Arc<Pack>,
}

impl ImagePack {
    /// The layer that it holds.
    pub fn layer(&self) -> LayerId {
        self.pack.layer()
    }

    /// What it is, in the image's words.
    pub fn title(&self) -> &str {
        &self.pack.title
    }

    /// Its bytes in the image.
    pub fn packed_bytes(&self) -> u64 {
        self.pack.packed_bytes()
    }

    /// The bytes of its layer and its blobs, as the image states them.
    pub fn content_bytes(&self) -> u64 {
        self.pack.content_bytes()
    }
}

impl Image {
    /// Opens an image. Reads its documents and the index of each pack.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let file = File::open(path).map_err(at("open", path))?;
        let metadata = file.metadata().map_err(at("examine", path))?;
        if !metadata.is_file() {
            return Err(ImageError::NotAnImage {
                path: path.to_owned(),
                reason: "it is no regular file".to_owned(),
            });
        }
        let bytes = metadata.len();
        let members = members(&file, path, bytes)?;
        let file = PackFile {
            file,
            path: path.to_owned(),
            is_pack: false,
        };
        let mut opening = Opening {
            members,
            file: &file,
            named: FxHashSet::default(),
        };
        opening.check_layout()?;
        let (digest, name, manifest) = opening.manifest()?;
        let lock = opening.blob(&manifest.config, LOCK_TYPE)?;
        let [environment, packs @ ..] = manifest.layers.as_slice() else {
            return Err(opening.damaged("the manifest", "it describes no environment"));
        };
        let environment = opening.blob(environment, ENVIRONMENT_TYPE)?;
        let packs = packs
            .iter()
            .map(|descriptor| opening.pack(descriptor))
            .collect::<Result<Vec<_>, _>>()?;
        opening.nothing_else()?;
        Ok(Self {
            file,
            digest,
            name,
            bytes,
            environment,
            lock,
            packs,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// SHA-256 of the manifest: the image's name in a registry.
    pub fn digest(&self) -> Sha256 {
        self.digest
    }

    /// The environment's name, in the image's words.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The description of the environment.
    pub fn environment(&self) -> &[u8] {
        &self.environment
    }

    /// The lock, in `pylock.toml` form.
    pub fn lock(&self) -> &[u8] {
        &self.lock
    }

    /// The packs, in order.
    pub fn packs(&self) -> &[ImagePack] {
        &self.packs
    }

    /// The error for a part that is not what it should be.
    pub fn damaged(&self, part: &str, reason: impl Into<String>) -> ImageError {
        self.file.damaged(part, reason)
    }

    /// The file, as one that packs are read from.
    pub(super) fn pack_file(&self) -> &PackFile {
        &self.file
    }

    /// Whether a pack has the bytes that its name says.
    pub(super) fn check_digest(&self, pack: &ImagePack) -> Result<(), ImageError> {
        let mut hasher = sha2::Sha256::new();
        self.file.pieces(&pack.pack, HASH_BYTES, |bytes| {
            hasher.update(bytes);
            Ok(())
        })?;
        if Sha256::from_bytes(hasher.finalize().into()) == pack.digest {
            Ok(())
        } else {
            Err(self.damaged(
                pack.title(),
                "its bytes do not have the digest by which it is named",
            ))
        }
    }
}

type Members = HashMap<Box<[u8]>, Place>;

/// The members of a tar file, all of them regular files within its length.
fn members(file: &File, path: &Path, length: u64) -> Result<Members, ImageError> {
    let not_a_tar = |error: std::io::Error| ImageError::NotAnImage {
        path: path.to_owned(),
        reason: format!("it is no tar file, or is cut short ({error})"),
    };
    let refuse = |reason: String| ImageError::NotAnImage {
        path: path.to_owned(),
        reason,
    };
    let mut archive = tar::Archive::new(file);
    let mut members = Members::new();
    let entries = archive.entries_with_seek().map_err(not_a_tar)?.raw(true);
    for entry in entries {
        let entry = entry.map_err(not_a_tar)?;
        let name = entry.path_bytes();
        let shown = name.escape_ascii().to_string();
        if entry.header().entry_type() != tar::EntryType::Regular {
            return Err(refuse(format!("`{shown}` in it is no regular file")));
        }
        let place = Place {
            offset: entry.raw_file_position(),
            size: entry.header().entry_size().map_err(not_a_tar)?,
        };
        if place
            .offset
            .checked_add(place.size)
            .is_none_or(|end| end > length)
        {
            return Err(refuse(format!("it is cut short in `{shown}`")));
        }
        if members.insert(name.as_ref().into(), place).is_some() {
            return Err(refuse(format!("`{shown}` is in it twice")));
        }
        if members.len() > MAX_MEMBERS {
            return Err(refuse("it has too many members".to_owned()));
        }
    }
    Ok(members)
}

/// An image whose documents are being read.
struct Opening<'a> {
    file: &'a PackFile,
    members: Members,
    /// Members that something names.
    named: FxHashSet<Box<[u8]>>,
}

impl Opening<'_> {
    fn damaged(&self, part: &str, reason: impl Into<String>) -> ImageError {
        ImageError::Damaged {
            path: self.file.path.clone(),
            part: part.to_owned(),
            reason: reason.into(),
        }
    }

    fn unknown(&self, found: String) -> ImageError {
        ImageError::Unknown {
            path: self.file.path.clone(),
            found,
        }
    }

    fn not_an_image(&self, reason: &str) -> ImageError {
        ImageError::NotAnImage {
            path: self.file.path.clone(),
            reason: reason.to_owned(),
        }
    }

    fn place(&mut self, name: &str) -> Option<Place> {
        let place = self.members.get(name.as_bytes()).copied()?;
        self.named.insert(name.as_bytes().into());
        Some(place)
    }

    fn read(&self, place: Place, part: &str) -> Result<Vec<u8>, ImageError> {
        if place.size > MAX_DOCUMENT_BYTES {
            return Err(self.damaged(part, "it is too large"));
        }
        let mut bytes = vec![0; place.size as usize];
        let PackFile { file, path, .. } = self.file;
        file.read_exact_at(&mut bytes, place.offset)
            .map_err(at("read", path))?;
        Ok(bytes)
    }

    fn document(&mut self, name: &str) -> Result<Vec<u8>, ImageError> {
        let place = self.place(name).ok_or_else(|| {
            self.not_an_image(&format!("`{name}` is missing; it may be cut short"))
        })?;
        self.read(place, name)
    }

    fn check_layout(&mut self) -> Result<(), ImageError> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Layout {
            image_layout_version: String,
        }
        let layout: Layout = self.json(LAYOUT_FILE)?;
        match layout.image_layout_version.as_str() {
            "1.0.0" => Ok(()),
            other => Err(self.unknown(format!("the layout version {other}"))),
        }
    }

    fn json<T: serde::de::DeserializeOwned>(&mut self, name: &str) -> Result<T, ImageError> {
        let bytes = self.document(name)?;
        serde_json::from_slice(&bytes).map_err(|error| self.damaged(name, error.to_string()))
    }

    /// A member that has the digest and size that a descriptor states.
    fn blob(&mut self, descriptor: &Descriptor, media_type: &str) -> Result<Vec<u8>, ImageError> {
        let (digest, place) = self.find(descriptor, media_type)?;
        let bytes = self.read(place, &descriptor.digest)?;
        if Sha256::of(&bytes) != digest {
            let reason = "its bytes do not have the digest by which it is named";
            return Err(self.damaged(&descriptor.digest, reason));
        }
        Ok(bytes)
    }

    fn find(
        &mut self,
        descriptor: &Descriptor,
        media_type: &str,
    ) -> Result<(Sha256, Place), ImageError> {
        let part = descriptor.digest.as_str();
        if descriptor.media_type != media_type {
            return Err(self.unknown(format!("a part of type `{}`", descriptor.media_type)));
        }
        let digest = descriptor
            .sha256()
            .ok_or_else(|| self.damaged(part, "it is no SHA-256"))?;
        let place = self
            .place(&format!("{BLOBS_DIR}{digest}"))
            .ok_or_else(|| self.damaged(part, "it is missing"))?;
        if place.size != descriptor.size {
            return Err(self.damaged(part, "it does not have the size that is stated"));
        }
        Ok((digest, place))
    }

    fn manifest(&mut self) -> Result<(Sha256, String, Manifest), ImageError> {
        let index: OciIndex = self.json(INDEX_FILE)?;
        let [descriptor] = index.manifests.as_slice() else {
            return Err(self.not_an_image("its index does not name one manifest"));
        };
        let bytes = self.blob(descriptor, MANIFEST_TYPE)?;
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|_| self.not_an_image("its manifest is not one of blast"))?;
        if manifest.artifact_type != ARTIFACT_TYPE {
            let found = manifest.artifact_type;
            return Err(if found.starts_with("application/vnd.blast.image.") {
                self.unknown(format!("the type `{found}`"))
            } else {
                self.not_an_image("it holds something else than an environment of blast")
            });
        }
        let name = descriptor.annotations.get(NAME_NOTE).cloned();
        Ok((Sha256::of(&bytes), name.unwrap_or_default(), manifest))
    }

    fn pack(&mut self, descriptor: &Descriptor) -> Result<ImagePack, ImageError> {
        let (digest, place) = self.find(descriptor, PACK_TYPE)?;
        let note = |key| descriptor.annotations.get(key).map(String::as_str);
        let title = note(TITLE_NOTE).unwrap_or(&descriptor.digest).to_owned();
        let index = self.file.pack_index(place, &title)?;
        if note(LAYER_NOTE) != Some(&index.layer.to_hex()) {
            return Err(self.damaged(&title, "manifest and pack name different layers"));
        }
        let pack = Arc::new(Pack {
            title,
            place,
            index,
        });
        Ok(ImagePack { digest, pack })
    }

    /// A member that nothing names has no business in an image.
    fn nothing_else(&self) -> Result<(), ImageError> {
        let stranger = self.members.keys().find(|name| !self.named.contains(*name));
        match stranger {
            None => Ok(()),
            Some(name) => {
                let name = name.escape_ascii().to_string();
                Err(self.damaged(&name, "nothing names it"))
            }
        }
    }
}
