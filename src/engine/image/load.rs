//! `blast image load`: an environment becomes what an image holds, by one operation.
//!
//! All is checked and staged first; then the environment is made with two operations at once (it came
//! into being, the image was loaded), or one that exists gets one more. Packs whose layer is in the
//! store are not read.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use blast_store::failpoint::{self, Point};
use blast_store::{
    Bring, EnvChange, EnvRecord, EnvState, Generation, Image, ImageContent, ImageError,
    InterpreterRef, Layer, Operation, OperationDraft, OperationKind, Package, Staging, WheelKey,
    WheelRecord,
};
use blast_types::{BlobId, Event, Interpreter, LayerId, Reporter};

use super::description::{self, Description};
use super::error::ImageTrouble;
use super::fits;
use crate::engine::change::Asker;
use crate::engine::environment::{self, find_interpreter};
use crate::engine::error::{EngineError, at};
use crate::engine::generated;
use crate::engine::home::{Home, now_ms};
use crate::engine::ingest::scheme_key;
use crate::engine::views;
use crate::ipc::images::LoadImage;
use crate::ipc::protocol::Changed;

/// Up to so many bytes are unpacked before the load returns: that takes no longer than to keep packs.
const LITTLE_BYTES: u64 = 1 << 20;

/// Tells the threads that work for a request that nobody waits any more.
#[derive(Debug, Default)]
pub(super) struct Asking(Arc<AtomicBool>);

impl Asking {
    /// True once nobody waits.
    pub(super) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// An image that was opened for an environment.
struct Loading {
    home: Arc<Home>,
    image: Image,
    description: Description,
    record: EnvRecord,
    /// The environment, where it exists.
    state: Option<EnvState>,
    before: Option<Arc<Generation>>,
}

/// Everything that the environment shall hold, staged.
struct Staged {
    staging: Staging,
    packages: Vec<Package>,
    records: Vec<Arc<WheelRecord>>,
}

/// Loads an image. Dropping the future cancels it, up to the moment of publishing.
pub(crate) async fn load(
    home: Arc<Home>,
    request: LoadImage,
    asker: Asker,
    reporter: Arc<dyn Reporter>,
) -> Result<Changed, EngineError> {
    let (started, started_ms) = (Instant::now(), now_ms());
    let (image, description) = {
        let path = request.path.clone();
        tokio::task::spawn_blocking(move || {
            let image = Image::open(&path)?;
            let description = Description::of(&image)?;
            Ok::<_, EngineError>((image, description))
        })
        .await??
    };
    let env = request
        .env
        .clone()
        .unwrap_or_else(|| description.name.clone());
    let turn = home.turn(&env).await;
    let asking = Asking::default();
    let stop = asking.flag();
    let (dry_run, no_bytecode) = (request.dry_run, request.no_bytecode);
    let (loading, staged) = tokio::task::spawn_blocking(move || {
        let loading = Loading::begin(home, image, description, &request, started_ms)?;
        let staged = loading.stage(dry_run, &*reporter, &stop)?;
        Ok::<_, EngineError>((loading, staged))
    })
    .await??;
    drop(asking);
    let Some(staged) = staged else {
        return Ok(loading.outcome(None, true, started));
    };
    // On a blocking thread and not cancellable from here on: it is one short write.
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let operation = loading.publish(staged, &asker, started_ms)?;
        let home = &loading.home;
        home.unpack_in_background();
        if let (Some(operation), false) = (&operation, no_bytecode) {
            home.compile(&*home.store.generation(operation.after)?)?;
        }
        Ok(loading.outcome(operation.as_ref(), false, started))
    })
    .await?
}

impl Loading {
    fn begin(
        home: Arc<Home>,
        image: Image,
        description: Description,
        request: &LoadImage,
        started_ms: i64,
    ) -> Result<Self, EngineError> {
        let name = request.env.as_ref().unwrap_or(&description.name);
        let state = home.store.env(name)?;
        let misfit = |needed: String, found: &Interpreter| ImageTrouble::Misfit {
            path: image.path().to_owned(),
            needed,
            has: format!(
                "{name} has {} ({})",
                fits::in_words(&found.into()),
                found.markers.python_full_version
            ),
        };
        let record = if let Some(state) = &state {
            state.record.clone()
        } else {
            let interpreter = match find_interpreter(
                &home,
                Some(&description.python.version),
                None,
                &request.search,
            ) {
                Err(EngineError::Interpreter(source)) => {
                    return Err(ImageTrouble::WithoutPython {
                        path: image.path().to_owned(),
                        needed: fits::in_words(&description.python),
                        source: Box::new(source),
                    }
                    .into());
                }
                found => found?,
            };
            EnvRecord {
                name: name.clone(),
                project: None,
                variables: std::collections::BTreeMap::new(),
                interpreter,
                created_ms: started_ms,
            }
        };
        if let Some(needed) = fits::refusal(&description, &record.interpreter) {
            return Err(misfit(needed, &record.interpreter).into());
        }
        let before = state
            .as_ref()
            .map(|state| home.store.generation(state.head))
            .transpose()?;
        Ok(Self {
            home,
            image,
            description,
            record,
            state,
            before,
        })
    }

    /// Checks all, and brings what is missing into the store's staging area; nothing on a dry run.
    fn stage(
        &self,
        dry_run: bool,
        reporter: &dyn Reporter,
        stop: &AtomicBool,
    ) -> Result<Option<Staged>, EngineError> {
        let store = &self.home.store;
        let staging = store.stage()?;
        let mut wanted: HashMap<LayerId, bool> = HashMap::new();
        for carried in &self.description.packages {
            let mut scripts = carried.record.python_scripts.iter();
            let there = staging.has_layer(carried.package.layer)
                && scripts.all(|script| staging.has_blob(script.body));
            wanted.insert(carried.package.layer, !there);
        }
        for &layer in &self.description.captured {
            wanted.insert(layer, !staging.has_layer(layer));
        }
        if let Some(stranger) = self
            .image
            .packs()
            .iter()
            .find(|pack| !wanted.contains_key(&pack.layer()))
        {
            let reason = "it belongs to no package of the environment";
            return Err(self.image.damaged(stranger.title(), reason).into());
        }
        let content = self
            .image
            .content(|pack| wanted.get(&pack.layer()).is_some_and(|wanted| *wanted))?;
        self.check_layers(&content, &staging)?;
        content.is_complete(store, self.needed())?;
        if dry_run {
            return Ok(None);
        }
        let bring = self.bring(&content);
        self.check_room(&content, bring)?;
        failpoint::hit(Point::ImageStage).map_err(at(store.home()))?;
        reporter.report(Event::Phase {
            name: format!("loading {}", self.image.path().display()),
        });
        content.stage(
            &staging,
            bring,
            &|| stop.load(Ordering::Relaxed),
            &|title| {
                reporter.report(Event::Unpacked {
                    package: title.to_owned(),
                });
            },
        )?;
        let (packages, records) = self.installed()?;
        Ok(Some(Staged {
            staging,
            packages,
            records,
        }))
    }

    /// Blobs that packages need beside their layers.
    fn needed(&self) -> impl Iterator<Item = (BlobId, String)> + '_ {
        self.description.packages.iter().flat_map(|carried| {
            let scripts = carried.record.python_scripts.iter();
            scripts.map(|script| (script.body, carried.title()))
        })
    }

    /// Whether every layer is in the image or in the store, and is what the description says.
    fn check_layers(
        &self,
        content: &ImageContent<'_>,
        staging: &Staging,
    ) -> Result<(), EngineError> {
        let find = |id: LayerId, title: &str| -> Result<Arc<Layer>, EngineError> {
            if let Some(layer) = content.layer(id) {
                return Ok(Arc::clone(layer));
            }
            if !staging.has_layer(id) {
                return Err(EngineError::from(ImageError::NeedsBase {
                    path: self.image.path().to_owned(),
                    missing: vec![title.to_owned()],
                }));
            }
            Ok(staging.open_layer(id)?)
        };
        for carried in &self.description.packages {
            let title = carried.title();
            carried
                .check_layer(&*find(carried.package.layer, &title)?)
                .map_err(|reason| self.image.damaged(&title, reason))?;
        }
        for &id in &self.description.captured {
            if let Some(path) = description::link_out(&*find(id, "captured writes")?) {
                let reason = format!("the link `{path}` leads out of the environment");
                return Err(self.image.damaged("captured writes", reason).into());
            }
        }
        Ok(())
    }

    /// Blobs that are shown in a view can be read from packs; plain files need files to link to. Little
    /// is unpacked at once.
    fn bring(&self, content: &ImageContent<'_>) -> Bring {
        let little = content.bytes(Bring::Unpacked) <= LITTLE_BYTES;
        if little || self.home.why_files().is_some() {
            Bring::Unpacked
        } else {
            Bring::Packed
        }
    }

    /// A bomb, or an honest image that is too large, is refused before anything of it is written.
    fn check_room(&self, content: &ImageContent<'_>, bring: Bring) -> Result<(), EngineError> {
        let home = self.home.store.home();
        let room = nix::sys::statvfs::statvfs(home).map_err(|error| at(home)(error.into()))?;
        let free = room.blocks_available().saturating_mul(room.fragment_size());
        let needed = content.bytes(bring);
        if needed <= free {
            return Ok(());
        }
        Err(EngineError::from(ImageError::NoRoom {
            path: self.image.path().to_owned(),
            needed,
            free,
        }))
    }

    /// The packages under the names by which the store shall know what they are.
    fn installed(&self) -> Result<(Vec<Package>, Vec<Arc<WheelRecord>>), EngineError> {
        let scheme = scheme_key(&self.record.interpreter.scheme);
        let mut packages = Vec::new();
        let mut records = Vec::new();
        for carried in &self.description.packages {
            let mut package = carried.package.clone();
            let key = |scheme: &str| {
                package.artifact.wheel().map(|sha256| WheelKey {
                    sha256,
                    scheme: scheme.to_owned(),
                })
            };
            let known = key(&scheme)
                .map(|key| self.home.store.wheel(&key))
                .transpose()?
                .flatten();
            package.scheme = match known {
                // What the store found out by itself.
                Some(known) if *known == carried.record => scheme.clone(),
                _ => scheme_of(&scheme, &carried.record)?,
            };
            packages.push(package);
            records.push(Arc::new(carried.record.clone()));
        }
        Ok((packages, records))
    }

    fn publish(
        &self,
        staged: Staged,
        asker: &Asker,
        started_ms: i64,
    ) -> Result<Option<Operation>, EngineError> {
        let (home, record) = (&self.home, &self.record);
        failpoint::hit(Point::ImagePublish).map_err(at(home.store.home()))?;
        let Staged {
            staging,
            packages,
            records,
        } = staged;
        let prefix = home.prefix(&record.name);
        let blast = std::env::current_exe().map_err(at("/proc/self/exe"))?;
        let pip = home.caches().shims.stage(&record.interpreter, &staging)?;
        let spec = generated::Spec::of(record, &prefix, &blast).with_pip(&pip);
        let read_blob = |blob| Ok(staging.read_blob(blob)?);
        let records_of = records.iter().map(|record| &**record);
        let generated = generated::layer(&spec, packages.iter().zip(records_of), &read_blob)?;
        let wheels: Vec<_> = packages
            .iter()
            .zip(records)
            .filter_map(|(package, record)| {
                let sha256 = package.artifact.wheel()?;
                let scheme = package.scheme.clone();
                Some((WheelKey { sha256, scheme }, record))
            })
            .collect();
        let generation = Generation {
            interpreter: InterpreterRef::from(&record.interpreter),
            prefix: prefix.clone(),
            packages,
            generated: staging.layer(generated)?,
            captured: self.description.captured.clone(),
            requirements: self.description.requirements.clone(),
            lock: self.description.lock,
            policy: self.before.as_ref().and_then(|before| before.policy),
        };
        let draft = |kind| OperationDraft {
            kind,
            command: asker.command.clone(),
            who: asker.who.clone(),
            started_ms,
            note: None,
        };
        let kind = OperationKind::LoadImage {
            image: self.image.digest(),
        };
        if self.state.is_none() {
            let first = environment::empty(home, record, &prefix, &staging)?;
            let change = EnvChange {
                generation: &generation,
                draft: draft(kind),
                wheels,
            };
            let operation = home.store.create_env_with(
                record.clone(),
                &first,
                change,
                staging,
                draft(OperationKind::Create),
                now_ms(),
            )?;
            home.make_skeleton(&home.env(&record.name)?)?;
            home.swap(&record.name, operation.after)?;
            return Ok(Some(operation));
        }
        let transaction = home.store.begin(&record.name)?;
        if **transaction.generation() == generation {
            return Ok(None);
        }
        let mut unpublished = transaction.write(&generation, staging)?;
        let held = home.prepare(&record.name, &mut unpublished)?;
        for (key, record) in wheels {
            unpublished.remember(key, record);
        }
        let operation = unpublished.publish(draft(kind), now_ms())?;
        home.swap(&record.name, operation.after)?;
        drop(held);
        Ok(Some(operation))
    }

    fn outcome(&self, operation: Option<&Operation>, dry_run: bool, started: Instant) -> Changed {
        let name = &self.record.name;
        let into = match (&self.state, dry_run) {
            (None, false) => format!("into the new environment {name}"),
            (None, true) => format!("into a new environment {name}"),
            (Some(_), _) => format!("into {name}"),
        };
        let verb = if dry_run { "would load" } else { "loaded" };
        let after: Vec<_> = self
            .description
            .packages
            .iter()
            .map(|carried| carried.package.clone())
            .collect();
        Changed {
            operation: operation.map(|operation| operation.id.0),
            generation: operation
                .map(|operation| operation.after)
                .or(self.state.as_ref().map(|state| state.head)),
            dry_run,
            changes: views::changes_to_packages(self.before.as_deref(), &after),
            packages: after.len(),
            took_ms: started.elapsed().as_secs_f64() * 1000.0,
            summary: (dry_run || operation.is_some())
                .then(|| format!("{verb} the image {} {into}", self.image.digest().short())),
            origins: Vec::new(),
        }
    }
}

/// Under which scheme the store remembers what an image says that a wheel became. Nobody else's wheel
/// is looked up there, and two images that say different things do not meet.
fn scheme_of(scheme: &str, record: &WheelRecord) -> Result<String, EngineError> {
    let json = serde_json::to_vec(record).map_err(|error| EngineError::Bug(error.to_string()))?;
    Ok(format!("{scheme}|image {}", BlobId::of(&json)))
}
