//! `blast image build`: an environment as an image file, which appears whole or not at all.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use blast_store::{Generation, Image, ImageError, ImageSpec, PackSource, Package, Store, WheelKey};
use blast_types::{BlobId, Event, LayerId, Reporter, SchemePaths};

use super::description::{self, BaseNote, Carried, Description};
use super::error::ImageTrouble;
use super::lock;
use crate::engine::error::{EngineError, at};
use crate::engine::home::Home;
use crate::engine::ingest::scheme_key;
use crate::engine::target;
use crate::ipc::images::{BuildImage, BuiltImage, ImageBase};

/// Builds an image. Dropping the future stops it.
pub(crate) async fn build(
    home: Arc<Home>,
    request: BuildImage,
    reporter: Arc<dyn Reporter>,
) -> Result<BuiltImage, EngineError> {
    let asking = super::load::Asking::default();
    let stop = asking.flag();
    tokio::task::spawn_blocking(move || build_now(&home, &request, &*reporter, &stop)).await?
}

fn build_now(
    home: &Home,
    request: &BuildImage,
    reporter: &dyn Reporter,
    stop: &AtomicBool,
) -> Result<BuiltImage, EngineError> {
    let began = Instant::now();
    let state = home.env(&request.env)?;
    let id = match &request.target {
        Some(target) => target::state_named(home, &state, target)?,
        None => state.head,
    };
    // Keeps everything that it consists of from being collected meanwhile.
    let kept = home.store.begin(&request.env)?.select(id)?;
    let generation = home.store.generation(id)?;
    let interpreter = &state.record.interpreter;
    let packages = carried(home, &generation, &interpreter.scheme)?;
    warn_of_places(&packages, reporter);
    let lock = lock::text(&packages, interpreter)?;
    let mut description = Description::new(request.env.clone(), interpreter, packages);
    description.captured.clone_from(&generation.captured);
    description
        .requirements
        .clone_from(&generation.requirements);
    description.lock = generation.lock;
    let base = match &request.base {
        Some(base) => Base::read(home, base)?,
        None => Base::default(),
    };
    description.base.clone_from(&base.note);
    let packs = packs(&description, &base);
    home.store.unpack(&|| stop.load(Ordering::Relaxed))?;
    let written = write(
        &home.store,
        &request.to,
        &description,
        &ImageSpec {
            name: request.env.as_str(),
            environment: &serde_json::to_vec(&description)
                .map_err(|error| EngineError::Bug(error.to_string()))?,
            lock: lock.as_bytes(),
            packs: &packs,
            base_blobs: base.blobs.into_iter().collect(),
            level: request.level,
        },
        (reporter, stop),
    )?;
    kept.discard();
    Ok(BuiltImage {
        environment: request.env.clone(),
        generation: id,
        path: request.to.clone(),
        digest: written.digest.to_hex(),
        bytes: written.bytes,
        content_bytes: written.content_bytes,
        packages: description.packages.len(),
        packs: packs.len(),
        took_ms: began.elapsed().as_secs_f64() * 1000.0,
    })
}

/// The packages with all that loading them takes; an error that names those that cannot be carried.
fn carried(
    home: &Home,
    generation: &Generation,
    scheme: &SchemePaths,
) -> Result<Vec<Carried>, EngineError> {
    let editable: Vec<String> = generation
        .packages
        .iter()
        .filter_map(|package| {
            let direct = package.direct_url.as_ref()?;
            direct
                .is_editable()
                .then(|| format!("{} ({})", package.name, direct.url))
        })
        .collect();
    if !editable.is_empty() {
        return Err(ImageTrouble::Editable { packages: editable }.into());
    }
    for &layer in &generation.captured {
        if let Some(path) = description::link_out(&*home.store.layer(layer)?) {
            return Err(EngineError::from(ImageError::NotPortable {
                what: path,
                reason: "the link leads out of the environment".to_owned(),
            }));
        }
    }
    let read = |blob: BlobId| Ok(home.store.read_blob(blob)?);
    let mut carried = Vec::new();
    for package in &generation.packages {
        let lost = || EngineError::Bug(format!("the record of {} is lost", package.name));
        let key = WheelKey {
            sha256: package.artifact.wheel().ok_or_else(lost)?,
            scheme: package.scheme.clone(),
        };
        let record = home.store.wheel(&key)?.ok_or_else(lost)?;
        let layer = home.store.layer(package.layer)?;
        let tags = description::tags(&layer, &record, &read)?;
        // Under which scheme a store remembers it is no business of others.
        let package = Package {
            scheme: scheme_key(scheme),
            ..package.clone()
        };
        carried.push(Carried {
            package,
            record: (*record).clone(),
            tags,
        });
    }
    Ok(carried)
}

/// Says which packages only the image has: their sources are in a place of this machine.
fn warn_of_places(packages: &[Carried], reporter: &dyn Reporter) {
    for carried in packages {
        if let Some(direct) = &carried.package.direct_url
            && direct.url.starts_with("file:")
        {
            reporter.warn(format!(
                "{} is in the image as it is installed; its source {} is not",
                carried.title(),
                direct.url
            ));
        }
    }
}

/// What an image may leave out.
#[derive(Debug, Default)]
struct Base {
    note: Option<BaseNote>,
    layers: HashSet<LayerId>,
    blobs: HashSet<BlobId>,
}

impl Base {
    fn read(home: &Home, base: &ImageBase) -> Result<Self, EngineError> {
        match base {
            ImageBase::Environment { name } => {
                let generation = home.store.generation(home.env(name)?.head)?;
                let mut found = Self {
                    note: Some(BaseNote {
                        name: name.clone(),
                        image: None,
                    }),
                    ..Self::default()
                };
                let packages = generation.packages.iter().map(|package| package.layer);
                for layer in packages.chain(generation.captured.iter().copied()) {
                    found.add(&*home.store.layer(layer)?);
                }
                Ok(found)
            }
            ImageBase::Image { path } => Self::of_image(home, path),
        }
    }

    fn of_image(home: &Home, path: &Path) -> Result<Self, EngineError> {
        let image = Image::open(path)?;
        let description = Description::of(&image)?;
        let content = image.content(|_| true)?;
        let mut found = Self {
            note: Some(BaseNote {
                name: description.name.clone(),
                image: Some(image.digest()),
            }),
            layers: description.layers().collect(),
            blobs: HashSet::new(),
        };
        for layer in content.layers() {
            found.add(layer);
        }
        // What it leaves to its own base is left out only as far as it can be seen.
        for id in description.layers() {
            if content.layer(id).is_none()
                && let Ok(layer) = home.store.layer(id)
            {
                found.add(&layer);
            }
        }
        Ok(found)
    }

    fn add(&mut self, layer: &blast_store::Layer) {
        self.layers.insert(layer.id());
        self.blobs.extend(layer.blobs());
    }
}

fn packs(description: &Description, base: &Base) -> Vec<PackSource> {
    let packages = description.packages.iter().map(|carried| PackSource {
        layer: carried.package.layer,
        title: carried.title(),
        extra: carried
            .record
            .python_scripts
            .iter()
            .map(|script| (script.body, script.size))
            .collect(),
    });
    let captured = description.captured.iter().map(|&layer| PackSource {
        layer,
        title: "captured writes".to_owned(),
        extra: Vec::new(),
    });
    let mut seen = base.layers.clone();
    packages
        .chain(captured)
        .filter(|pack| seen.insert(pack.layer))
        .collect()
}

fn write(
    store: &Store,
    to: &Path,
    description: &Description,
    spec: &ImageSpec<'_>,
    (reporter, stop): (&dyn Reporter, &AtomicBool),
) -> Result<blast_store::WrittenImage, EngineError> {
    let Some(parent) = to.parent().filter(|_| to.is_absolute()) else {
        return Err(EngineError::NotFree {
            path: to.to_owned(),
            what: "is no name for a file",
        });
    };
    if to.is_dir() {
        return Err(EngineError::NotFree {
            path: to.to_owned(),
            what: "is a directory",
        });
    }
    reporter.report(Event::Phase {
        name: format!("packing {} packages", description.packages.len()),
    });
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    let temporary = tempfile::Builder::new()
        .prefix(".blast-image-")
        .permissions(mode)
        .tempfile_in(parent)
        .map_err(at(parent))?;
    let written = store.write_image(
        spec,
        temporary.as_file(),
        to,
        &|| stop.load(Ordering::Relaxed),
        &|pack| {
            reporter.report(Event::Unpacked {
                package: pack.title.clone(),
            });
        },
    )?;
    temporary.as_file().sync_all().map_err(at(to))?;
    temporary.persist(to).map_err(|error| at(to)(error.error))?;
    Ok(written)
}
