//! `blast image inspect` and `verify`: what an image says, and whether it is true. No store is asked.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use blast_store::Image;

use super::description::{Carried, Description};
use super::fits;
use crate::engine::error::EngineError;
use crate::ipc::images::{ImagePackage, ImageView};

/// What an image says of itself. Reads its documents alone.
pub(crate) async fn inspect(path: PathBuf) -> Result<ImageView, EngineError> {
    tokio::task::spawn_blocking(move || {
        let image = Image::open(&path)?;
        let description = Description::of(&image)?;
        Ok(view(&image, &description, false))
    })
    .await?
}

/// Reads every byte of an image. Dropping the future stops it.
pub(crate) async fn verify(path: PathBuf) -> Result<ImageView, EngineError> {
    let asking = super::load::Asking::default();
    let stop = asking.flag();
    tokio::task::spawn_blocking(move || {
        let image = Image::open(&path)?;
        let description = Description::of(&image)?;
        let content = image.content(|_| true)?;
        for carried in &description.packages {
            if let Some(layer) = content.layer(carried.package.layer) {
                carried
                    .check_layer(layer)
                    .map_err(|reason| image.damaged(&carried.title(), reason))?;
            }
        }
        content.verify(&|| stop.load(Ordering::Relaxed))?;
        Ok(view(&image, &description, true))
    })
    .await?
}

fn view(image: &Image, description: &Description, verified: bool) -> ImageView {
    let pack = |carried: &Carried| {
        let mut packs = image.packs().iter();
        packs.find(|pack| pack.layer() == carried.package.layer)
    };
    let packages = description.packages.iter().map(|carried| {
        let pack = pack(carried);
        ImagePackage {
            name: carried.package.name.to_string(),
            version: carried.package.version.to_string(),
            requested: carried.package.requested,
            layer: carried.package.layer.to_hex(),
            direct_url: carried
                .package
                .direct_url
                .as_ref()
                .map(|direct| direct.url.clone()),
            packed_bytes: pack.map(blast_store::ImagePack::packed_bytes),
            content_bytes: pack.map(blast_store::ImagePack::content_bytes),
        }
    });
    ImageView {
        path: image.path().to_owned(),
        version: blast_store::IMAGE_VERSION,
        digest: image.digest().to_hex(),
        environment: description.name.clone(),
        python: fits::in_words(&description.python),
        bytes: image.bytes(),
        content_bytes: image
            .packs()
            .iter()
            .map(blast_store::ImagePack::content_bytes)
            .fold(0, u64::saturating_add),
        requirements: description.requirements.clone(),
        packages: packages.collect(),
        base: description.base.as_ref().map(|base| base.name.clone()),
        base_digest: description
            .base
            .as_ref()
            .and_then(|base| base.image)
            .map(|digest| digest.to_hex()),
        lock: String::from_utf8_lossy(image.lock()).into_owned(),
        verified,
    }
}
