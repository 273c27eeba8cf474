//! Blobs as files of plain trees.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;

use blast_types::BlobId;

use crate::fixture::{Home, Twin};

#[test]
fn a_blob_takes_mode_and_time_of_its_first_link_and_keeps_them() {
    let home = Home::new();
    let store = Twin::Memory.open(&home.path());
    let staging = store.stage().unwrap();
    let blob = staging.blob(b"content").unwrap();
    staging.publish().unwrap();
    let place = |name: &str| home.path().join(name);
    let link = |executable, mtime, name: &str| {
        store
            .link_blob(blob, executable, mtime, &place(name))
            .unwrap()
    };
    assert!(link(false, 1000, "first"));
    assert!(link(false, 1000, "second"), "the same is shared");
    assert!(!link(false, 2000, "third"), "another time is not");
    assert!(!link(true, 1000, "third"), "nor is another mode");
    let meta = fs::metadata(place("second")).unwrap();
    assert_eq!((meta.mode() & 0o777, meta.mtime()), (0o444, 1000));
    assert_eq!(
        meta.ino(),
        fs::metadata(store.blob_path(blob)).unwrap().ino()
    );
    for name in ["first", "second"] {
        fs::remove_file(place(name)).unwrap();
    }
    assert!(
        link(true, 2000, "third"),
        "once it is free it can be another's"
    );
    let meta = fs::metadata(place("third")).unwrap();
    assert_eq!((meta.mode() & 0o777, meta.mtime()), (0o555, 2000));
    assert!(store.check(true).unwrap().findings.is_empty());
}

#[test]
fn what_cannot_be_linked_is_an_error_and_changes_nothing() {
    let home = Home::new();
    let store = Twin::Memory.open(&home.path());
    let missing = store.link_blob(BlobId::of(b"none"), false, 1, &home.path().join("x"));
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
    let staging = store.stage().unwrap();
    let blob = staging.blob(b"content").unwrap();
    staging.publish().unwrap();
    let taken = home.path().join("taken");
    fs::write(&taken, "mine").unwrap();
    let refused = store.link_blob(blob, false, 1, &taken);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&taken).unwrap(), b"mine");
}
