//! Images of small environments: some of the changes that are killed, failed and cut come from one.

use std::path::{Path, PathBuf};

use blast_store::{Bring, Image, ImageError, ImageSpec, PackSource, Staging, Store, StoreError};

use crate::failpoints::wanted;
use crate::fixture::{packages, stage_generation};

/// Every fifth state comes from an image, in packs, and the next change unpacks them.
pub(crate) fn is_from_image(round: u64) -> bool {
    round % 5 == 4
}

fn path(home: &Path, round: u64) -> PathBuf {
    let dir = home.parent().expect("a directory around the home");
    dir.join("images").join(round.to_string())
}

/// Writes the images that changes up to `last` may come from, beside the home.
pub(crate) fn write_images(home: &Path, last: u64) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_in_memory(&dir.path().join("home")).unwrap();
    std::fs::create_dir(home.parent().unwrap().join("images")).unwrap();
    for round in (0..=last).filter(|&round| is_from_image(round)) {
        let staging = store.stage().unwrap();
        let generation = stage_generation(&staging, &packages(&wanted(round)));
        staging.publish().unwrap();
        let packs: Vec<_> = generation
            .packages
            .iter()
            .map(|package| PackSource {
                layer: package.layer,
                title: package.name.to_string(),
                extra: Vec::new(),
            })
            .collect();
        let spec = ImageSpec {
            name: "demo",
            environment: b"{}",
            lock: b"lock-version = \"1.0\"\n",
            packs: &packs,
            base_blobs: std::iter::empty().collect(),
            level: 1,
        };
        let to = path(home, round);
        let file = std::fs::File::create(&to).unwrap();
        store
            .write_image(&spec, &file, &to, &|| false, &|_| ())
            .unwrap();
    }
}

/// Stages what the image of this state holds.
pub(crate) fn stage_image(store: &Store, staging: &Staging, round: u64) -> Result<(), StoreError> {
    let stage = || -> Result<(), ImageError> {
        let image = Image::open(&path(store.home(), round))?;
        let content = image.content(|_| true)?;
        content.stage(staging, Bring::Packed, &|| false, &|_| ())
    };
    stage().map_err(|error| match error {
        ImageError::Store(error) => error,
        ImageError::Io {
            action,
            path,
            source,
        } => StoreError::Io {
            action,
            path,
            source,
        },
        other => panic!("{other}"),
    })
}
