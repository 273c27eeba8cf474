//! A store below another: what is read from it, what is not, and what its keeper may not lose.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use blast_types::{BlobId, LayerId, Sha256};

use super::*;
use crate::image::tests::{Lab, sample};
use crate::{Bring, CleanOptions};

const SCHEME: &str =
    "lib/python3.12/site-packages|lib/python3.12/site-packages|bin||include/python3.12";

fn key(number: u8) -> WheelKey {
    WheelKey {
        sha256: Sha256::from_bytes([number; 32]),
        scheme: SCHEME.to_owned(),
    }
}

fn first_blob(lab: &Lab, layer: LayerId) -> BlobId {
    lab.store.layer(layer).unwrap().blobs().next().unwrap()
}

fn record(lab: &Lab, layer: LayerId) -> WheelRecord {
    let blob = first_blob(lab, layer);
    WheelRecord {
        name: "demo".parse().unwrap(),
        version: "1".parse().unwrap(),
        layer,
        dist_info: "demo-1.dist-info".to_owned(),
        record_blob: blob,
        record_size: 0,
        scripts: Vec::new(),
        python_scripts: Vec::new(),
        requires_dist: Vec::new(),
        requires_python: None,
        provides_extra: Vec::new(),
        files: 1,
        bytes: 1,
    }
}

/// A store that is kept for all, with two wheels, one of which was there before it was shared.
fn kept() -> (Lab, Vec<LayerId>) {
    let keeper = Lab::of(Bring::Unpacked);
    let layers = sample(&keeper);
    let put = |number, layer| {
        let record = record(&keeper, layer);
        keeper.store.put_wheel(&key(number), &record).unwrap();
    };
    put(0, layers[0]);
    keeper.store.share().unwrap();
    put(1, layers[1]);
    (keeper, layers)
}

fn above(keeper: &Lab) -> Lab {
    let user = Lab::of(Bring::Unpacked);
    let below = MachineStore::open(keeper.store.home()).unwrap();
    user.store.read_below(below);
    user
}

fn object(keeper: &Lab, blob: BlobId) -> PathBuf {
    keeper.store.blob_path(blob)
}

/// Writes other bytes of the same length, as nobody but a file's owner can.
fn tamper(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[0] ^= 1;
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o444)).unwrap();
}

fn own_files(lab: &Lab) -> usize {
    let usage = lab.store.usage().unwrap();
    usize::try_from(usage.blobs.count + usage.layers.count).unwrap()
}

#[test]
fn wheels_are_known_and_read_without_a_byte_of_ones_own() {
    let (keeper, layers) = kept();
    let user = above(&keeper);
    for (number, &layer) in (0..).zip(&layers) {
        let found = user.store.wheel(&key(number)).unwrap().expect("shared");
        assert_eq!(found.layer, layer);
        assert_eq!(*found, record(&keeper, layer));
    }
    assert!(user.store.wheel(&key(2)).unwrap().is_none());
    for path in ["lib/a.py", "lib/shared"] {
        let (ours, theirs) = (
            user.bytes_of(layers[0], path),
            keeper.bytes_of(layers[0], path),
        );
        assert_eq!(ours, theirs, "{path}");
    }
    // Who brings what is below writes nothing.
    let blob = first_blob(&keeper, layers[0]);
    let bytes = keeper.store.read_blob(blob).unwrap();
    let staging = user.store.stage().unwrap();
    assert_eq!(staging.blob(&bytes).unwrap(), blob);
    staging.publish().unwrap();
    assert_eq!(own_files(&user), 0);
    assert!(user.store.check(true).unwrap().findings.is_empty());
}

#[test]
fn tampered_bytes_are_found_and_not_used() {
    let (keeper, layers) = kept();
    let user = above(&keeper);
    user.store.wheel(&key(0)).unwrap().expect("shared");
    let blob = first_blob(&keeper, layers[0]);
    let bytes = user.store.read_blob(blob).unwrap();
    tamper(&object(&keeper, blob));
    let refused = user.store.open_blob(blob).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
    assert!(refused.to_string().contains("its name says"), "{refused}");
    let report = user.store.check(true).unwrap();
    assert!(!report.findings.is_empty(), "a check finds it");
    // Brought again, it is one's own, and that counts.
    let staging = user.store.stage_anew(&report.damage()).unwrap();
    staging.blob(&bytes).unwrap();
    staging.publish().unwrap();
    assert_eq!(user.store.read_blob(blob).unwrap(), bytes);
    assert!(user.store.check(true).unwrap().findings.is_empty());

    let layer = keeper.store.home().join("store/layers");
    let hex = layers[1].to_hex();
    tamper(&layer.join(&hex[..2]).join(&hex[2..]));
    assert!(
        user.store.wheel(&key(1)).unwrap().is_none(),
        "its layer is another"
    );
}

#[test]
fn what_others_could_have_written_is_not_used() {
    let (keeper, layers) = kept();
    let home = keeper.store.home();
    let blob = first_blob(&keeper, layers[0]);
    fs::set_permissions(object(&keeper, blob), Permissions::from_mode(0o464)).unwrap();
    let user = above(&keeper);
    assert!(user.store.wheel(&key(0)).unwrap().is_none(), "a blob of it");
    assert!(user.store.wheel(&key(1)).unwrap().is_some());
    fs::set_permissions(home.join("store/wheels"), Permissions::from_mode(0o775)).unwrap();
    let refused = MachineStore::open(home).unwrap_err();
    assert!(
        format!("{refused:?}").contains("others than its owner"),
        "{refused:?}"
    );
}

#[test]
fn a_record_under_the_name_of_another_wheel_says_nothing() {
    let (keeper, _) = kept();
    let root = keeper.store.home().join("store");
    let path = |number| wheel_path(&root, &key(number));
    fs::create_dir_all(path(2).parent().unwrap()).unwrap();
    fs::copy(path(1), path(2)).unwrap();
    let user = above(&keeper);
    assert!(user.store.wheel(&key(2)).unwrap().is_none());
    assert!(user.store.wheel(&key(1)).unwrap().is_some());
}

#[test]
fn only_what_is_shared_is_seen_and_a_collection_keeps_it() {
    let (keeper, layers) = kept();
    let home = keeper.store.home();
    for entry in fs::read_dir(home).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().mode() & 0o077;
        assert_eq!(
            mode == 0,
            entry.file_name() != "store",
            "{:?}",
            entry.path()
        );
    }
    assert_eq!(fs::metadata(home).unwrap().mode() & 0o777, 0o711);
    // No environment refers to any of it.
    keeper.store.clean(&CleanOptions::default()).unwrap();
    let user = above(&keeper);
    for (number, &layer) in (0..).zip(&layers) {
        assert!(user.store.wheel(&key(number)).unwrap().is_some());
        for blob in user.store.layer(layer).unwrap().blobs() {
            user.store.read_blob(blob).unwrap();
        }
    }
}
