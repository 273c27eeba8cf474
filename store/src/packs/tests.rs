//! What is read from packs, what comes out of them, and what damage does.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use blast_types::{BlobId, LayerId};

use crate::image::tests::{Lab, noise, sample};
use crate::objects::Kind;
use crate::{Bring, CleanOptions, Problem, Store};

/// A store with a sample in packs, and its layers.
fn loaded() -> (Lab, Lab, Vec<LayerId>) {
    let (from, to) = (Lab::of(Bring::Unpacked), Lab::of(Bring::Packed));
    let layers = sample(&from);
    to.load(&from.write("image", &layers, &[])).unwrap();
    (from, to, layers)
}

fn files(store: &Store, kind: Kind) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let walked = store.inner.objects.walk_files(kind, |_, _, path| {
        found.push(path.to_owned());
        Ok(())
    });
    walked.unwrap();
    found
}

fn assert_same(from: &Lab, to: &Lab, layers: &[LayerId]) {
    for (id, path) in [
        (layers[0], "lib/a.py"),
        (layers[0], "lib/shared"),
        (layers[1], "lib/b.so"),
        (layers[1], "lib/none"),
    ] {
        assert_eq!(to.bytes_of(id, path), from.bytes_of(id, path), "{path}");
    }
    assert!(to.store.check(true).unwrap().findings.is_empty());
}

#[test]
fn blobs_are_read_from_packs_until_they_are_files() {
    let (from, to, layers) = loaded();
    assert!(files(&to.store, Kind::Blobs).is_empty());
    assert_eq!(files(&to.store, Kind::Packs).len(), 2);
    assert!(to.store.has_packs());
    assert_same(&from, &to, &layers);

    let to = to.reopened();
    assert!(to.store.has_packs());
    assert_same(&from, &to, &layers);

    let done = to.store.unpack(&|| false).unwrap();
    assert_eq!((done.packs, done.left), (2, 0));
    assert!(!to.store.has_packs());
    assert!(files(&to.store, Kind::Packs).is_empty());
    assert_eq!(
        files(&to.store, Kind::Blobs).len(),
        files(&from.store, Kind::Blobs).len()
    );
    assert_same(&from, &to, &layers);
}

#[test]
fn an_open_file_has_the_bytes_of_its_blob_alone() {
    let (_from, to, _) = loaded();
    let big = noise(2, 2 * (4 << 20) + 17);
    for bytes in [noise(1, 9000), big, Vec::new()] {
        let file = to.store.open_blob(BlobId::of(&bytes)).unwrap();
        assert_eq!(file.metadata().unwrap().len(), bytes.len() as u64);
        let mut read = vec![0; bytes.len()];
        file.read_exact_at(&mut read, 0).unwrap();
        assert!(read == bytes);
    }
    let missing = to.store.open_blob(BlobId::of(b"nobody has it"));
    assert_eq!(missing.unwrap_err().kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn unpacking_that_is_stopped_leaves_what_it_found() {
    let (from, to, layers) = loaded();
    let done = to.store.unpack(&|| true).unwrap();
    assert_eq!((done.packs, done.left), (0, 2));
    assert_same(&from, &to, &layers);
    assert_eq!(to.store.unpack(&|| false).unwrap().left, 0);
}

#[test]
fn who_brings_a_blob_that_is_in_a_pack_writes_nothing() {
    let (_from, to, _) = loaded();
    let staging = to.store.stage().unwrap();
    let blob = staging.blob(&noise(1, 9000)).unwrap();
    assert!(staging.has_blob(blob));
    staging.publish().unwrap();
    assert!(files(&to.store, Kind::Blobs).is_empty());
    // As plain files it has to be copied.
    let link = to.path("link");
    assert!(!to.store.link_blob(blob, false, 7, &link).unwrap());
    to.store.unpack(&|| false).unwrap();
    assert!(to.store.link_blob(blob, false, 7, &link).unwrap());
}

#[test]
fn damage_in_a_pack_is_found_and_all_else_is_saved() {
    let (from, to, layers) = loaded();
    // The bytes of the big library, which is most of its pack.
    let packs = files(&to.store, Kind::Packs);
    let big = packs
        .iter()
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    let mut bytes = fs::read(big).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::remove_file(big).unwrap();
    fs::write(big, &bytes).unwrap();

    let blob = BlobId::of(&from.bytes_of(layers[1], "lib/b.so"));
    assert!(to.store.read_blob(blob).is_err());
    assert!(to.store.open_blob(blob).is_err());
    let done = to.store.unpack(&|| false).unwrap();
    assert_eq!((done.packs, done.left), (1, 1));
    for (id, path) in [(layers[0], "lib/a.py"), (layers[1], "lib/shared_too")] {
        assert_eq!(to.bytes_of(id, path), from.bytes_of(id, path), "{path}");
    }
    // The sample has no environment, so that nobody is blamed, but the blob is named.
    let report = to.store.check(true).unwrap();
    let problems: Vec<_> = report.findings.iter().map(|found| &found.problem).collect();
    assert_eq!(problems, [&Problem::DamagedBlob { blob }]);

    // Brought again, it is read from its file, and the pack can go.
    let staging = to.store.stage_anew(&report.damage()).unwrap();
    staging.blob(&from.bytes_of(layers[1], "lib/b.so")).unwrap();
    staging.publish().unwrap();
    assert_eq!(to.store.unpack(&|| false).unwrap().left, 0);
    assert_same(&from, &to, &layers);
}

#[test]
fn a_pack_that_cannot_be_read_is_passed_over_and_collected() {
    let (_from, to, _) = loaded();
    for path in files(&to.store, Kind::Packs) {
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    }
    let to = to.reopened();
    assert!(!to.store.has_packs());
    let report = to.store.clean(&CleanOptions::default()).unwrap();
    assert_eq!(report.packs.count, 2);
    assert!(files(&to.store, Kind::Packs).is_empty());
}

#[test]
fn collection_takes_packs_that_nobody_needs_without_unpacking_them() {
    let (_from, to, _) = loaded();
    let dry = CleanOptions {
        dry_run: true,
        ..CleanOptions::default()
    };
    let size = to.store.usage().unwrap().packs;
    assert_eq!(to.store.clean(&dry).unwrap().packs, size);
    assert!(to.store.has_packs());
    assert_eq!(
        to.store.clean(&CleanOptions::default()).unwrap().packs,
        size
    );
    assert!(!to.store.has_packs());
    assert_eq!(to.store.usage().unwrap().packs.count, 0);
    assert!(!to.store.has_blob(BlobId::of(&noise(1, 9000))));
}
