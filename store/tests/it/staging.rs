//! Objects on their way in.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use blast_store::{LayerBuilder, Store, StoreError};
use blast_types::BlobId;

use crate::fixture::{Home, Twin};

fn files_below(dir: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path.display().to_string());
        }
    }
    files
}

fn blobs(store: &Store) -> Vec<String> {
    files_below(&store.home().join("store/blobs"))
}

#[test]
fn nothing_is_visible_before_publication_and_all_is_after() {
    let home = Home::new();
    let store = Twin::Memory.open(&home.path());
    let staging = store.stage().unwrap();
    let small = staging.blob(b"small").unwrap();
    let mut writer = staging.blob_writer();
    let big_bytes = vec![7; 1 << 20];
    for chunk in big_bytes.chunks(1000) {
        writer.write_all(chunk).unwrap();
    }
    let (big, size) = writer.finish().unwrap();
    assert_eq!((big, size), (BlobId::of(&big_bytes), 1 << 20));
    assert!(!store.has_blob(small) && !store.has_blob(big));
    assert_eq!(
        staging.read_blob(big).unwrap(),
        big_bytes,
        "readable meanwhile"
    );
    staging.publish().unwrap();
    assert_eq!(std::fs::read(store.blob_path(small)).unwrap(), b"small");
    assert_eq!(std::fs::read(store.blob_path(big)).unwrap(), big_bytes);
    let mode = std::fs::metadata(store.blob_path(big)).unwrap().mode();
    assert_eq!(mode & 0o222, 0, "blobs are read-only");
    assert_eq!(blobs(&store).len(), 2, "no temporary file is left");
    assert_eq!(
        files_below(&store.home().join("store/staging")),
        Vec::<String>::new()
    );
}

#[test]
fn a_dropped_staging_leaves_nothing() {
    let home = Home::new();
    let store = Twin::Memory.open(&home.path());
    let staging = store.stage().unwrap();
    staging.blob(b"small").unwrap();
    let mut abandoned = staging.blob_writer();
    abandoned.write_all(&vec![1; 1 << 20]).unwrap();
    staging.layer(LayerBuilder::new()).unwrap();
    drop((abandoned, staging));
    assert_eq!(
        files_below(&store.home().join("store/blobs")),
        Vec::<String>::new()
    );
    assert_eq!(
        std::fs::read_dir(store.home().join("store/staging"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn equal_bytes_are_stored_once_within_and_across_stagings() {
    let home = Home::new();
    let store = Twin::Memory.open(&home.path());
    let (one, two) = (store.stage().unwrap(), store.stage().unwrap());
    let id = one.blob(b"same").unwrap();
    assert_eq!(one.blob(b"same").unwrap(), id);
    assert_eq!(two.blob(b"same").unwrap(), id);
    one.publish().unwrap();
    let inode = std::fs::metadata(store.blob_path(id)).unwrap().ino();
    two.publish().unwrap();
    let three = store.stage().unwrap();
    three.blob(b"same").unwrap();
    three.publish().unwrap();
    assert_eq!(
        std::fs::metadata(store.blob_path(id)).unwrap().ino(),
        inode,
        "the first stays"
    );
    assert_eq!(blobs(&store).len(), 1);
}

#[test]
fn many_threads_may_fill_one_staging() {
    let home = Home::new();
    let store = Twin::Memory.open(&home.path());
    let staging = store.stage().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let staging = &staging;
            scope.spawn(move || {
                for item in 0..200 {
                    // Half are shared by all threads, to race for them.
                    let who = if item % 2 == 0 { 0 } else { thread };
                    staging.blob(format!("{who} {item}").as_bytes()).unwrap();
                }
            });
        }
    });
    staging.publish().unwrap();
    assert_eq!(blobs(&store).len(), 100 + 4 * 100);
    assert!(store.check(true).unwrap().is_clean());
}

#[test]
fn a_layer_must_not_name_blobs_that_are_not_there() {
    let home = Home::new();
    let store = Twin::Memory.open(&home.path());
    let staging = store.stage().unwrap();
    let mut layer = LayerBuilder::new();
    layer
        .file("x", 0o644, 0, BlobId::of(b"nowhere"), 7)
        .unwrap();
    let error = staging.layer(layer).unwrap_err();
    assert!(matches!(error, StoreError::MissingBlob { .. }), "{error}");
}

#[test]
fn a_blob_that_was_cut_short_is_healed_by_the_next_that_brings_it() {
    let home = Home::new();
    let store = Twin::Memory.open(&home.path());
    let staging = store.stage().unwrap();
    let id = staging.blob(b"whole").unwrap();
    staging.publish().unwrap();
    std::fs::remove_file(store.blob_path(id)).unwrap();
    std::fs::write(store.blob_path(id), b"").unwrap();
    let staging = store.stage().unwrap();
    staging.blob(b"whole").unwrap();
    staging.publish().unwrap();
    assert_eq!(std::fs::read(store.blob_path(id)).unwrap(), b"whole");
}

#[test]
fn files_are_taken_from_the_file_system() {
    let home = Home::new();
    let store = Twin::Memory.open(&home.path());
    let staging = store.stage().unwrap();
    let path = home.path().join("a file");
    std::fs::write(&path, b"contents").unwrap();
    assert_eq!(
        staging.blob_from_file(&path).unwrap(),
        (BlobId::of(b"contents"), 8)
    );
    let missing = staging
        .blob_from_file(&home.path().join("none"))
        .unwrap_err();
    let StoreError::Io { path, .. } = missing else {
        panic!("{missing}")
    };
    assert!(path.ends_with("none"));
}

#[test]
fn a_failed_write_names_its_path_and_the_staging_cannot_be_published() {
    let home = Home::new();
    let store = Twin::Memory.open(&home.path());
    let staging = store.stage().unwrap();
    staging.blob(b"first").unwrap();
    // A file in the place of the shard directory makes the next write fail, also for root.
    let victim = store.blob_path(BlobId::of(b"second"));
    let shard = victim.parent().unwrap();
    std::fs::write(shard, "in the way").unwrap();
    let error = staging.blob(b"second").unwrap_err();
    let StoreError::Io { path, .. } = &error else {
        panic!("{error}")
    };
    assert!(path.starts_with(shard), "{}", path.display());
    assert!(matches!(staging.publish(), Err(StoreError::StagingFailed)));
    assert!(!store.has_blob(BlobId::of(b"first")));
}
