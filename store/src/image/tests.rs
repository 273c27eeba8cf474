//! Round trips, and images that somebody tampered with.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use blast_types::{BlobId, LayerId, Sha256};
use proptest::prelude::*;
use rustc_hash::FxHashSet;

use super::format::{BLOBS_DIR, CHUNK_BYTES, Footer, PackIndex};
use super::*;
use crate::{LayerBuilder, Store};

const BOTH: [Bring; 2] = [Bring::Unpacked, Bring::Packed];

pub(crate) struct Lab {
    dir: tempfile::TempDir,
    pub(crate) store: Store,
    bring: Bring,
}

/// A file of a layer that is put together for a test.
#[derive(Debug, Clone)]
pub(crate) struct TestFile {
    path: String,
    bytes: Vec<u8>,
    inline: bool,
}

fn file(path: &str, bytes: impl Into<Vec<u8>>) -> TestFile {
    TestFile {
        path: path.to_owned(),
        bytes: bytes.into(),
        inline: false,
    }
}

impl Lab {
    fn new() -> Self {
        Self::of(Bring::Unpacked)
    }

    /// A store into which images come in this way.
    pub(crate) fn of(bring: Bring) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_in_memory(&dir.path().join("home")).unwrap();
        Self { dir, store, bring }
    }

    /// Closes the store and opens it again.
    pub(crate) fn reopened(self) -> Self {
        let Self { dir, store, bring } = self;
        drop(store);
        let store = Store::open_in_memory(&dir.path().join("home")).unwrap();
        Self { dir, store, bring }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn layer(&self, files: &[TestFile]) -> LayerId {
        let staging = self.store.stage().unwrap();
        let mut builder = LayerBuilder::new();
        for TestFile {
            path,
            bytes,
            inline,
        } in files
        {
            if *inline {
                builder.inline(path, 0o644, 7, bytes.clone()).unwrap();
            } else {
                let blob = staging.blob(bytes).unwrap();
                builder
                    .file(path, 0o755, 9, blob, bytes.len() as u64)
                    .unwrap();
            }
        }
        let id = staging.layer(builder).unwrap();
        staging.publish().unwrap();
        id
    }

    pub(crate) fn write(&self, name: &str, layers: &[LayerId], base: &[BlobId]) -> PathBuf {
        let packs: Vec<_> = layers
            .iter()
            .map(|&layer| PackSource {
                layer,
                title: layer.short(),
                extra: Vec::new(),
            })
            .collect();
        let path = self.path(name);
        let out = File::create(&path).unwrap();
        let spec = ImageSpec {
            name: "demo",
            environment: b"{}",
            lock: b"lock-version = \"1.0\"\n",
            packs: &packs,
            base_blobs: base.iter().copied().collect(),
            level: 1,
        };
        let written = self
            .store
            .write_image(&spec, &out, &path, &|| false, &|_| ())
            .unwrap();
        assert_eq!(written.bytes, fs::metadata(&path).unwrap().len());
        path
    }

    /// Loads all of an image into this store.
    pub(crate) fn load(&self, path: &Path) -> Result<(), ImageError> {
        let image = Image::open(path)?;
        let content = image.content(|_| true)?;
        content.is_complete(&self.store, [])?;
        let staging = self.store.stage()?;
        content.stage(&staging, self.bring, &|| false, &|_| ())?;
        Ok(staging.publish()?)
    }

    pub(crate) fn bytes_of(&self, id: LayerId, path: &str) -> Vec<u8> {
        let layer = self.store.layer(id).unwrap();
        match layer.entry(layer.find(path).unwrap()).kind {
            crate::EntryKind::File { blob } => self.store.read_blob(blob).unwrap(),
            crate::EntryKind::Inline { bytes } => bytes.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    /// Nothing but directories.
    fn assert_empty(&self) {
        let mut left = vec![self.dir.path().join("home/store")];
        while let Some(dir) = left.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    left.push(path);
                } else {
                    assert!(path.ends_with("lock"), "{} is left", path.display());
                }
            }
        }
    }
}

/// Bytes that zstd cannot make much of.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new()
        .update(&seed.to_le_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

pub(crate) fn sample(lab: &Lab) -> Vec<LayerId> {
    let shared = noise(1, 9000);
    vec![
        lab.layer(&[
            file("lib/a.py", b"a".repeat(5000)),
            file("lib/shared", shared.clone()),
            TestFile {
                inline: true,
                ..file("lib/small", *b"small")
            },
        ]),
        lab.layer(&[
            file("lib/b.so", noise(2, 2 * CHUNK_BYTES as usize + 17)),
            file("lib/shared_too", shared),
            file("lib/none", *b""),
        ]),
    ]
}

#[test]
fn an_image_brings_layers_and_blobs_to_another_store() {
    for bring in BOTH {
        let (from, to) = (Lab::new(), Lab::of(bring));
        let layers = sample(&from);
        to.load(&from.write("image", &layers, &[])).unwrap();
        for (id, path) in [
            (layers[0], "lib/a.py"),
            (layers[0], "lib/small"),
            (layers[0], "lib/shared"),
            (layers[1], "lib/b.so"),
            (layers[1], "lib/shared_too"),
            (layers[1], "lib/none"),
        ] {
            assert_eq!(to.bytes_of(id, path), from.bytes_of(id, path), "{path}");
        }
        assert!(to.store.check(true).unwrap().findings.is_empty());
    }
}

#[test]
fn equal_content_gives_equal_bytes() {
    let (one, other) = (Lab::new(), Lab::new());
    let first = fs::read(one.write("x", &sample(&one), &[])).unwrap();
    let second = fs::read(other.write("y", &sample(&other), &[])).unwrap();
    assert!(first == second);
}

#[test]
fn a_blob_is_packed_once_and_never_if_the_base_has_it() {
    let lab = Lab::new();
    let layers = sample(&lab);
    let count = |path: &Path| {
        let image = Image::open(path).unwrap();
        let packs = image.packs().iter();
        let blobs = packs
            .flat_map(|pack| &pack.pack.index.groups)
            .map(|g| g.blobs.len());
        blobs.sum::<usize>()
    };
    assert_eq!(count(&lab.write("whole", &layers, &[])), 4);
    let shared = BlobId::of(&noise(1, 9000));
    let delta = lab.write("delta", &layers, &[shared]);
    assert_eq!(count(&delta), 3);

    let empty = Lab::new();
    let error = empty.load(&delta).unwrap_err();
    assert!(matches!(&error, ImageError::NeedsBase { missing, .. } if missing.len() == 2));
    empty.assert_empty();
    empty.layer(&[file("x", noise(1, 9000))]);
    empty.load(&delta).unwrap();
    assert_eq!(empty.bytes_of(layers[1], "lib/shared_too"), noise(1, 9000));
}

#[test]
fn the_file_is_a_tar_of_an_oci_layout() {
    let lab = Lab::new();
    let path = lab.write("image", &sample(&lab), &[]);
    let mut archive = tar::Archive::new(File::open(path).unwrap());
    let mut names = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        if let Some(digest) = name.strip_prefix(BLOBS_DIR) {
            assert_eq!(digest, Sha256::of(&bytes).to_hex());
        }
        names.push(name);
    }
    assert_eq!(names[0], "oci-layout");
    assert_eq!(names.last().unwrap(), "index.json");
    // Two packs, the lock, the description and the manifest.
    assert_eq!(names.len(), 7);
}

/// A file cut anywhere, or with any byte changed that matters, is refused and leaves nothing.
#[test]
fn an_image_that_is_cut_short_is_refused() {
    let (from, labs) = (Lab::new(), BOTH.map(Lab::of));
    let bytes = fs::read(from.write("image", &sample(&from), &[])).unwrap();
    let path = from.path("cut");
    for length in (0..bytes.len() - 1024).step_by(bytes.len() / 97) {
        fs::write(&path, &bytes[..length]).unwrap();
        for to in &labs {
            to.load(&path).unwrap_err();
            to.assert_empty();
        }
    }
}

#[test]
fn a_flipped_bit_is_refused_or_changes_nothing() {
    let (from, labs) = (Lab::new(), BOTH.map(Lab::of));
    let layers = sample(&from);
    let bytes = fs::read(from.write("image", &layers, &[])).unwrap();
    let path = from.path("flipped");
    let mut refused = 0;
    for (at, to) in (0..bytes.len())
        .step_by(bytes.len() / 211)
        .zip(labs.iter().cycle())
    {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, &bytes).unwrap();
        let to = if to.load(&path).is_err() {
            refused += 1;
            to.assert_empty();
            continue;
        } else {
            to
        };
        // A byte that means nothing, such as padding.
        assert_eq!(to.bytes_of(layers[0], "lib/shared"), noise(1, 9000));
        return;
    }
    assert!(refused > 200);
}

/// Writes an image anew with a pack that was changed, so that all digests are right again.
fn forge(from: &Lab, image: &Path, change: impl Fn(&mut Vec<u8>, &mut PackIndex)) -> PathBuf {
    let opened = Image::open(image).unwrap();
    let mut archive = tar::Archive::new(File::open(image).unwrap());
    let mut members = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        members.push((name, bytes));
    }
    let pack = &opened.packs()[0];
    let mut index = pack.pack.index.clone();
    let (old, bytes) = &members[1];
    let old = old.clone();
    let mut chunks = bytes[..index.packed_bytes().unwrap() as usize].to_vec();
    change(&mut chunks, &mut index);
    let json = serde_json::to_vec(&index).unwrap();
    let packed = zstd::bulk::compress(&json, 1).unwrap();
    let footer = Footer {
        packed: packed.len() as u64,
        size: json.len() as u64,
    };
    let bytes = [chunks, packed, footer.encode().to_vec()].concat();
    let digest = Sha256::of(&bytes).to_hex();
    let size_of = |bytes: &[u8]| format!("\"size\":{}", bytes.len());
    let (old_size, size) = (size_of(&members[1].1), size_of(&bytes));
    members[1] = (format!("{BLOBS_DIR}{digest}"), bytes);
    let old_digest = old.strip_prefix(BLOBS_DIR).unwrap().to_owned();
    let manifest = members.len() - 2;
    let text = String::from_utf8(members[manifest].1.clone()).unwrap();
    let before = format!("\"digest\":\"sha256:{old_digest}\",{old_size}");
    let after = format!("\"digest\":\"sha256:{digest}\",{size}");
    assert!(text.contains(&before));
    let text = text.replace(&before, &after);
    let text = text.replace(&pack.layer().to_hex(), &index.layer.to_hex());
    let digest = Sha256::of(text.as_bytes()).to_hex();
    let old_manifest = members[manifest].0.clone();
    let before = old_manifest.strip_prefix(BLOBS_DIR).unwrap().to_owned();
    let old_size = size_of(&members[manifest].1);
    members[manifest] = (format!("{BLOBS_DIR}{digest}"), text.clone().into_bytes());
    let last = members.len() - 1;
    let index_text = String::from_utf8(members[last].1.clone()).unwrap();
    members[last].1 = index_text
        .replace(&before, &digest)
        .replace(&old_size, &size_of(text.as_bytes()))
        .into_bytes();
    tar_of(from, &members)
}

fn tar_of(lab: &Lab, members: &[(String, Vec<u8>)]) -> PathBuf {
    let path = lab.path("forged");
    let mut builder = tar::Builder::new(File::create(&path).unwrap());
    for (name, bytes) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder
            .append_data(&mut header, name, bytes.as_slice())
            .unwrap();
    }
    builder.finish().unwrap();
    path
}

/// What a forged image is refused for.
fn refusal(change: impl Fn(&mut Vec<u8>, &mut PackIndex)) -> String {
    let from = Lab::new();
    let image = from.write("image", &sample(&from), &[]);
    let forged = forge(&from, &image, change);
    let [unpacked, packed] = BOTH.map(|bring| {
        let to = Lab::of(bring);
        let error = to.load(&forged).expect_err("forged");
        to.assert_empty();
        error.to_string()
    });
    assert_eq!(unpacked, packed);
    packed
}

#[test]
fn forging_nothing_is_no_forgery() {
    let (from, to) = (Lab::new(), Lab::new());
    let image = from.write("image", &sample(&from), &[]);
    to.load(&forge(&from, &image, |_, _| ())).unwrap();
}

#[test]
fn lies_about_content_are_refused() {
    let said = refusal(|chunks, index| {
        // The bytes of the first blob group, true in everything but content.
        let start = index.encoding[0].packed() as usize;
        let group = &mut index.groups[0].chunks[0];
        let raw = vec![b'x'; group.size() as usize];
        let packed = zstd::bulk::compress(&raw, 1).unwrap();
        let end = start + group.packed() as usize;
        chunks.splice(start..end, packed.iter().copied());
        group.0 = packed.len() as u64;
    });
    assert!(said.contains("are others"), "{said}");
    let said = refusal(|_, index| index.layer = LayerId::from_bytes([7; 32]));
    assert!(said.contains("does not have the name"), "{said}");
}

#[test]
fn lies_about_sizes_are_refused() {
    let said = refusal(|_, index| index.groups[0].blobs[0].1 += 1);
    assert!(said.contains("differ in size"), "{said}");
    let said = refusal(|_, index| {
        index.groups[0].blobs[0].1 += 1;
        index.groups[0].chunks[0].1 += 1;
    });
    assert!(said.contains("differ about a blob"), "{said}");
    let said = refusal(|_, index| index.groups[0].chunks[0].0 += 1);
    assert!(said.contains("do not fill it"), "{said}");
    let said = refusal(|_, index| index.groups[0].blobs[0].0 = 1000);
    assert!(said.contains("differ about a blob"), "{said}");
}

#[test]
fn bombs_are_refused_before_memory_is_taken() {
    let said = refusal(|_, index| index.groups[0].chunks[0].1 = 1 << 50);
    assert!(said.contains("too large"), "{said}");
    // A frame that has more in it than the index says.
    let said = refusal(|chunks, index| {
        let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap();
        let start = index.encoding[0].packed() as usize;
        chunks.truncate(start);
        chunks.extend(&bomb);
        index.groups[0].chunks[0].0 = bomb.len() as u64;
    });
    assert!(said.contains("is damaged"), "{said}");
    let said = refusal(|_, index| index.groups[0].blobs = vec![(0, u64::MAX), (1, 2)]);
    assert!(said.contains("do not add up"), "{said}");
}

#[test]
fn a_layer_that_breaks_its_rules_is_refused() {
    let said = refusal(|chunks, index| {
        let size = index.encoding[0].size() as usize;
        let packed = index.encoding[0].packed() as usize;
        let mut layer = zstd::bulk::decompress(&chunks[..packed], size).unwrap();
        // `lib` becomes `..b`: another length would move everything.
        let at = layer
            .windows(3)
            .rposition(|window| window == b"lib")
            .unwrap();
        layer[at..at + 3].copy_from_slice(b"a/b");
        index.layer = LayerId::from_bytes(*blake3::hash(&layer).as_bytes());
        let again = zstd::bulk::compress(&layer, 1).unwrap();
        index.encoding[0].0 = again.len() as u64;
        chunks.splice(..packed, again);
    });
    assert!(said.contains("not a plain name"), "{said}");
}

#[test]
fn members_that_an_image_does_not_have_are_refused() {
    let (from, to) = (Lab::new(), Lab::new());
    let image = from.write("image", &sample(&from), &[]);
    let mut archive = tar::Archive::new(File::open(&image).unwrap());
    let mut members: Vec<(String, Vec<u8>)> = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        members.push((entry.path().unwrap().display().to_string(), bytes));
    }
    let refuse = |members: &[(String, Vec<u8>)], why: &str| {
        let said = to.load(&tar_of(&from, members)).unwrap_err().to_string();
        assert!(said.contains(why), "{said}");
        to.assert_empty();
    };
    let with = |name: &str| {
        let mut members = members.clone();
        members.push((name.to_owned(), b"x".to_vec()));
        members
    };
    refuse(&with("blobs/sha256/x"), "nothing names it");
    refuse(&with("index.json"), "twice");
    refuse(&members[..members.len() - 1], "`index.json` is missing");
    refuse(&members[1..], "`oci-layout` is missing");
    let without_pack = [&members[..1], &members[2..]].concat();
    refuse(&without_pack, "is missing");

    let path = from.path("linked");
    let mut builder = tar::Builder::new(File::create(&path).unwrap());
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder
        .append_link(&mut header, "index.json", "/etc/passwd")
        .unwrap();
    builder.finish().unwrap();
    let said = to.load(&path).unwrap_err().to_string();
    assert!(said.contains("no regular file"), "{said}");
}

#[test]
fn a_later_version_is_told_from_damage() {
    let (from, to) = (Lab::new(), Lab::new());
    let image = from.write("image", &sample(&from), &[]);
    let bytes = fs::read(&image).unwrap();
    let text = b"\"imageLayoutVersion\":\"1.0.0\"";
    let at = bytes
        .windows(text.len())
        .position(|window| window == text)
        .unwrap();
    let mut bytes = bytes;
    bytes[at + text.len() - 6] = b'2';
    fs::write(&image, bytes).unwrap();
    assert!(matches!(to.load(&image), Err(ImageError::Unknown { .. })));
}

#[test]
fn a_damaged_store_gives_no_image() {
    let lab = Lab::new();
    let layers = sample(&lab);
    let victim = lab.store.blob_path(BlobId::of(&noise(1, 9000)));
    fs::remove_file(&victim).unwrap();
    fs::write(&victim, noise(3, 9000)).unwrap();
    let path = lab.path("bad");
    let packs = [PackSource {
        layer: layers[0],
        title: "a".to_owned(),
        extra: Vec::new(),
    }];
    let spec = ImageSpec {
        name: "demo",
        environment: b"{}",
        lock: b"",
        packs: &packs,
        base_blobs: FxHashSet::default(),
        level: 1,
    };
    let out = File::create(&path).unwrap();
    let written = lab
        .store
        .write_image(&spec, &out, &path, &|| false, &|_| ());
    assert!(matches!(
        written,
        Err(ImageError::Store(crate::StoreError::DamagedBlob { .. }))
    ));
}

#[test]
fn work_that_nobody_waits_for_ends_and_leaves_nothing() {
    let (from, to) = (Lab::new(), Lab::new());
    let image = Image::open(&from.write("image", &sample(&from), &[])).unwrap();
    let content = image.content(|_| true).unwrap();
    for bring in BOTH {
        let staging = to.store.stage().unwrap();
        let stopped = content.stage(&staging, bring, &|| true, &|_| ());
        assert!(matches!(stopped, Err(ImageError::Stopped)));
        drop(staging);
        to.assert_empty();
    }
}

fn any_files() -> impl Strategy<Value = Vec<TestFile>> {
    let file = (0..6_u8, 0..4_u8, 0..40_000_usize, any::<bool>());
    prop::collection::btree_map((0..6_u8, 0..8_u8), file, 0..12).prop_map(|files| {
        let files = files.into_iter();
        files
            .map(|((dir, name), (seed, _, length, noisy))| TestFile {
                path: format!("d{dir}/f{name}.x{}", seed % 3),
                bytes: if noisy {
                    noise(u64::from(seed), length)
                } else {
                    vec![seed; length]
                },
                inline: length <= crate::INLINE_BYTES,
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever trees go in come out, and every byte of them.
    #[test]
    fn any_layers_make_the_round_trip(
        layers in prop::collection::vec(any_files(), 1..5),
        known in 0..5_usize,
        packed in any::<bool>(),
    ) {
        let (from, to) = (Lab::new(), Lab::of(BOTH[usize::from(packed)]));
        let mut ids: Vec<_> = layers.iter().map(|files| from.layer(files)).collect();
        ids.sort();
        ids.dedup();
        if let Some(files) = layers.get(known) {
            to.layer(files);
        }
        let path = from.write("image", &ids, &[]);
        to.load(&path).unwrap();
        for files in &layers {
            let id = from.layer(files);
            for file in files {
                prop_assert_eq!(&to.bytes_of(id, &file.path), &file.bytes);
            }
        }
        prop_assert!(to.store.check(true).unwrap().findings.is_empty());
        prop_assert_eq!(to.store.unpack(&|| false).unwrap().left, 0);
        // And the other store writes the same image.
        prop_assert!(fs::read(&path).unwrap() == fs::read(to.write("again", &ids, &[])).unwrap());
        prop_assert!(to.store.check(true).unwrap().findings.is_empty());
    }
}
