//! Bytecode, compiled once per layer and kind of interpreter, shared by all environments.
//!
//! After an install returned, each new layer is compiled by helper processes (`compile.py` under
//! the environment's base interpreter, isolated, at idle priority; it compiles and never runs a
//! source). The result is a layer of its own, the *companion*: the same folders, holding
//! `__pycache__/*.pyc`. The view merges a companion into every tree that has the source layer.
//! `.pyc` files carry time and size of their source (PEP 552's default), so an edited source is
//! compiled anew by Python itself and never runs stale.
//!
//! Concurrency: a queue behind one mutex and as many threads as there are cores, started when
//! there is work and ended when there is none. A layer is queued in slices, so that a big one is
//! shared by all threads; whoever finishes its last slice publishes it. What a program asks for
//! comes first, a few sources at a time, and is handed over in [`parts`] until the layer is done
//! ([`queue`]). What no environment holds any more is compiled no further, and what is compiled of it is
//! kept for the next that does ([`parked`]).

mod helper;
mod parked;
mod parts;
mod queue;
mod sources;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use base64::Engine as _;
use blast_fs::Bytecode;
use blast_store::{
    EntryIndex, EntryKind, INLINE_BYTES, Layer, LayerBuilder, LayerNumber, Staging, Store,
    StoreError,
};
use blast_types::LayerId;

use helper::Helper;
use parked::{Parked, Shown};
use parts::Parts;
pub(super) use queue::Key;
use queue::{Next, Queue, Slice};
use sources::{bytecode_path, sources};

/// How long a thread with nothing to do right now waits before it asks again.
const PAUSE: Duration = Duration::from_millis(40);

/// For whom bytecode is compiled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Flavour {
    /// The interpreter that compiles.
    pub(crate) executable: PathBuf,
    /// `sys.implementation.cache_tag`.
    pub(crate) cache_tag: String,
    /// `<cache_tag>-<magic>`: companions are shared by interpreters that agree on it.
    pub(crate) tag: String,
}

/// Told when a companion is ready.
pub(crate) trait Listener: Send + Sync {
    /// The layer's bytecode can be shown from now on.
    fn bytecode_ready(&self, layer: LayerNumber);
}

/// Compiles in the background. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Compiler {
    shared: Arc<Shared>,
}

impl fmt::Debug for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiler")
            .field("pending", &self.pending())
            .finish_non_exhaustive()
    }
}

struct Shared {
    store: Arc<Store>,
    state: Mutex<State>,
    /// Taken after `state`, where both are.
    parts: Mutex<Parts>,
    listener: Mutex<Option<Weak<dyn Listener>>>,
    /// Told when sources are compiled or dropped.
    progress: tokio::sync::Notify,
}

#[derive(Default)]
struct State {
    /// How to compile for each tag that was shown.
    flavours: HashMap<String, Arc<Flavour>>,
    /// What could not be stored; not tried again before the daemon's next start.
    failed: HashSet<Key>,
    queue: Queue,
    /// Layers that are queued or being compiled.
    jobs: HashMap<Key, Job>,
    /// What is left of dropped jobs.
    parked: Parked,
    threads: usize,
    /// Jobs so far.
    serial: u64,
    closed: bool,
}

struct Job {
    /// Tells it from an earlier job of the same layer that was dropped while a thread was at it.
    serial: u64,
    layer: Arc<Layer>,
    /// Taken by whoever publishes.
    staging: Option<Arc<Staging>>,
    flavour: Arc<Flavour>,
    /// Sources that are not compiled yet.
    left: usize,
    compiled: Vec<Compiled>,
    /// What was handed over before the rest is done.
    parts: Shown,
    /// What an earlier job did; none of it is in `compiled`.
    resumed: Shown,
}

struct Compiled {
    path: String,
    mtime: i64,
    content: Content,
}

enum Content {
    Inline(Vec<u8>),
    Blob(blast_types::BlobId, u64),
}

impl Job {
    /// What the view can show of it.
    fn shown(&self) -> Shown {
        self.resumed.iter().chain(&self.parts).cloned().collect()
    }
}

impl Compiler {
    /// A compiler with nothing to do. `succeeds`: the view's mount is taken over, and with it what the
    /// kernel knows of parts that were handed over.
    pub(crate) fn new(store: Arc<Store>, succeeds: bool) -> Self {
        let parts = Parts::open(store.home().join("parts"), succeeds);
        Self {
            shared: Arc::new(Shared {
                store,
                state: Mutex::default(),
                parts: Mutex::new(parts),
                listener: Mutex::new(None),
                progress: tokio::sync::Notify::new(),
            }),
        }
    }

    /// Names who is told of companions that are ready.
    pub(crate) fn set_listener(&self, listener: Weak<dyn Listener>) {
        *self
            .shared
            .listener
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(listener);
    }

    /// Says how to compile for a kind of interpreter.
    pub(crate) fn know(&self, flavour: Flavour) {
        let mut state = self.shared.state();
        state
            .flavours
            .entry(flavour.tag.clone())
            .or_insert_with(|| Arc::new(flavour));
    }

    /// Queues those of these layers that have no companion yet; returns at once with all that are
    /// queued or being compiled.
    pub(crate) fn request(&self, layers: &[LayerId], tag: &str) -> Result<Vec<Key>, StoreError> {
        let mut state = self.shared.state();
        let mut queued = Vec::new();
        for &id in layers {
            queued.extend(self.shared.enqueue(&mut state, id, tag)?);
        }
        self.shared.start_threads(&mut state);
        Ok(queued)
    }

    /// Waits until none of these is queued or being compiled, be it compiled or dropped. Tells
    /// `report` how many sources are done, and of how many; answers the latter.
    pub(crate) async fn wait(&self, keys: &[Key], report: impl Fn(u64, u64)) -> u64 {
        let mut total = 0;
        loop {
            // Before the state is read, so that no news in between is missed.
            let mut news = std::pin::pin!(self.shared.progress.notified());
            news.as_mut().enable();
            let Some(left) = self.left(keys) else {
                report(total, total);
                return total;
            };
            total = total.max(left);
            report(total - left, total);
            news.await;
        }
    }

    /// How many sources of these are not compiled yet; `None` when all is done.
    fn left(&self, keys: &[Key]) -> Option<u64> {
        let state = self.shared.state();
        let jobs = keys.iter().filter_map(|key| state.jobs.get(key));
        jobs.map(|job| job.left as u64).reduce(|a, b| a + b)
    }

    /// The state of one layer's companion, for the view.
    pub(crate) fn state(&self, layer: LayerNumber, tag: &str) -> Bytecode {
        match self.shared.companion(layer, tag) {
            Ok(Some((number, companion))) => Bytecode::Ready(number, companion),
            Ok(None) => {
                let state = self.shared.state();
                let key = (layer, tag.to_owned());
                if state.failed.contains(&key) || !state.flavours.contains_key(tag) {
                    return Bytecode::None;
                }
                let job = state.jobs.get(&key);
                Bytecode::Pending(job.map(Job::shown).unwrap_or_default())
            }
            Err(error) => {
                tracing::warn!(%error, "the bytecode of a layer cannot be read");
                Bytecode::None
            }
        }
    }

    /// A part that was handed over while its layer was still being compiled.
    pub(crate) fn part(&self, number: LayerNumber) -> Option<Arc<Layer>> {
        self.shared.parts().get(number)
    }

    /// A program looks for bytecode in this directory of a layer: compile that next.
    pub(crate) fn prefer(&self, layer: LayerNumber, directory: EntryIndex, tag: &str) {
        let mut state = self.shared.state();
        let key = (layer, tag.to_owned());
        if !state.jobs.contains_key(&key) {
            let queued = self
                .shared
                .store
                .layer_by_number(layer)
                .and_then(|found| self.shared.enqueue(&mut state, found.id(), tag))
                .map(drop);
            if let Err(error) = queued {
                tracing::warn!(%error, "the bytecode of a layer cannot be compiled");
                return;
            }
            self.shared.start_threads(&mut state);
        }
        state.queue.ask(key, directory, Instant::now());
    }

    /// Layers that wait or are being compiled.
    pub(crate) fn pending(&self) -> usize {
        self.shared.state().jobs.len()
    }

    /// Drops the work on what `is_needed` does not hold to; what is compiled of it is kept.
    pub(crate) fn retain(&self, is_needed: impl Fn(LayerNumber) -> bool) {
        let mut guard = self.shared.state();
        let state = &mut *guard;
        state.queue.retain(&is_needed);
        for (key, job) in state.jobs.extract_if(|key, _| !is_needed(key.0)) {
            state.parked.leave(key, job);
        }
        self.shared.start_threads(state);
        drop(guard);
        self.shared.progress.notify_waiters();
    }

    /// Drops all work; threads end after the source they are at.
    pub(crate) fn close(&self) {
        let mut state = self.shared.state();
        state.closed = true;
        state.queue.retain(|_| false);
        state.jobs.clear();
        state.parked = Parked::default();
        drop(state);
        self.shared.progress.notify_waiters();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a layer, where it has no companion; answers its key if it waits for one.
    fn enqueue(
        &self,
        state: &mut State,
        id: LayerId,
        tag: &str,
    ) -> Result<Option<Key>, StoreError> {
        let Some(flavour) = state.flavours.get(tag).cloned() else {
            return Ok(None);
        };
        if state.closed || self.store.bytecode(id, tag)?.is_some() {
            return Ok(None);
        }
        let key = (self.store.layer_number(id)?, tag.to_owned());
        if state.failed.contains(&key) {
            return Ok(None);
        }
        if state.jobs.contains_key(&key) {
            return Ok(Some(key));
        }
        let layer = self.store.layer(id)?;
        let mut sources = sources(&layer);
        let found = state.parked.take(&key);
        if !found.compiled.is_empty() {
            let done: HashSet<&str> = found.compiled.iter().map(|done| &*done.path).collect();
            sources
                .retain(|&(_, source)| !done.contains(&*bytecode_path(&layer, source, &flavour)));
        }
        state.serial += 1;
        let job = Job {
            serial: state.serial,
            layer,
            staging: match found.staging {
                Some(staging) => Some(staging),
                None => Some(Arc::new(self.store.stage()?)),
            },
            flavour,
            left: sources.len(),
            compiled: found.compiled,
            parts: found.parts,
            resumed: found.resumed,
        };
        state.jobs.insert(key.clone(), job);
        state.queue.add(&key, &sources);
        Ok(Some(key))
    }

    fn start_threads(self: &Arc<Self>, state: &mut State) {
        let wanted = std::thread::available_parallelism().map_or(1, usize::from);
        let work = state.queue.len() + state.parked.leaving();
        while state.threads < wanted.min(work) {
            let shared = Arc::clone(self);
            let spawned = std::thread::Builder::new()
                .name("bytecode".to_owned())
                .spawn(move || shared.work());
            if let Err(error) = spawned {
                tracing::warn!(%error, "no thread for compiling bytecode");
                break;
            }
            state.threads += 1;
        }
    }

    fn companion(
        &self,
        layer: LayerNumber,
        tag: &str,
    ) -> Result<Option<(LayerNumber, Arc<Layer>)>, StoreError> {
        let id = self.store.layer_by_number(layer)?.id();
        let Some(companion) = self.store.bytecode(id, tag)? else {
            return Ok(None);
        };
        Ok(Some((
            self.store.layer_number(companion)?,
            self.store.layer(companion)?,
        )))
    }

    fn work(&self) {
        let mut helpers: HashMap<PathBuf, Helper> = HashMap::new();
        loop {
            let mut state = self.state();
            if let Some((key, job)) = state.parked.next() {
                drop(state);
                self.park(key, job);
                continue;
            }
            let slice = match state.queue.next(Instant::now()) {
                Next::Work(slice) => slice,
                Next::Wait => {
                    drop(state);
                    std::thread::sleep(PAUSE);
                    continue;
                }
                Next::End => {
                    state.threads -= 1;
                    return;
                }
            };
            let found = state.jobs.get(&slice.key);
            let Some((job, staging)) = found.and_then(|job| Some((job, job.staging.clone()?)))
            else {
                state.queue.done();
                continue;
            };
            let (layer, flavour) = (Arc::clone(&job.layer), Arc::clone(&job.flavour));
            let (serial, resumed) = (job.serial, job.resumed.clone());
            drop(state);
            // Not when the job was queued, which a command waits for.
            let sources = parked::missing(&resumed, (&layer, &flavour), &slice.sources);
            let compiled = compile_slice(
                &self.store,
                &mut helpers,
                &layer,
                &staging,
                &flavour,
                &sources,
            );
            drop(staging);
            self.slice_done(serial, &slice, compiled);
        }
    }

    /// Keeps what a dropped job compiled.
    fn park(&self, key: Key, job: Job) {
        let part = parked::written(&job).and_then(|part| self.parts().add(part));
        let mut shown = job.resumed;
        shown.extend(part);
        self.state().parked.keep(key, shown);
    }

    fn slice_done(&self, serial: u64, slice: &Slice, compiled: Vec<(Compiled, Vec<u8>)>) {
        let key = &slice.key;
        let hand_over = slice.urgent && !compiled.is_empty();
        let part = hand_over.then(|| part_of(&compiled)).flatten();
        let mut state = self.state();
        state.queue.done();
        let job = state.jobs.get_mut(key);
        let Some(job) = job.filter(|job| job.serial == serial) else {
            return; // dropped meanwhile
        };
        job.compiled
            .extend(compiled.into_iter().map(|(compiled, _)| compiled));
        job.left -= slice.sources.len();
        if job.left > 0 {
            job.parts
                .extend(part.and_then(|part| self.parts().add(part)));
            drop(state);
            self.progress.notify_waiters();
            return;
        }
        // All sources are done, so nobody else holds it.
        let staging = job.staging.take().and_then(Arc::into_inner);
        let layer = Arc::clone(&job.layer);
        let compiled = std::mem::take(&mut job.compiled);
        let resumed = std::mem::take(&mut job.resumed);
        // Until it is published, what was shown stays so.
        job.parts.extend(resumed.iter().cloned());
        drop(state);
        let Some(staging) = staging else { return };
        let published = self.publish(&layer, &key.1, staging, compiled, &resumed);
        let mut state = self.state();
        if state.jobs.get(key).is_some_and(|job| job.serial == serial) {
            state.jobs.remove(key);
        }
        drop(state);
        if let Err(error) = published {
            tracing::warn!(%error, "the bytecode of a layer cannot be stored");
            self.state().failed.insert(key.clone());
        }
        // Also where there will be none: that may be cached from now on.
        let listener = self
            .listener
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(listener) = listener.and_then(|listener| listener.upgrade()) {
            listener.bytecode_ready(key.0);
        }
        self.progress.notify_waiters();
    }

    fn publish(
        &self,
        layer: &Layer,
        tag: &str,
        staging: Staging,
        compiled: Vec<Compiled>,
        resumed: &Shown,
    ) -> Result<(), PublishError> {
        let mut builder = LayerBuilder::new();
        for Compiled {
            path,
            mtime,
            content,
        } in compiled
        {
            content.add_to(&mut builder, &path, mtime)?;
        }
        parked::add(&mut builder, &staging, resumed)?;
        let companion = staging.layer(builder)?;
        staging.publish()?;
        self.store.put_bytecode(layer.id(), tag, companion)?;
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Layer(#[from] blast_store::LayerError),
}

/// Bytecode that is handed over before its layer is done.
fn part_of(compiled: &[(Compiled, Vec<u8>)]) -> Option<LayerBuilder> {
    let mut builder = LayerBuilder::new();
    for (compiled, bytes) in compiled {
        builder
            .inline(&compiled.path, 0o644, compiled.mtime, bytes.clone())
            .ok()?;
    }
    Some(builder)
}

fn compile_slice(
    store: &Store,
    helpers: &mut HashMap<PathBuf, Helper>,
    layer: &Layer,
    staging: &Staging,
    flavour: &Flavour,
    sources: &[EntryIndex],
) -> Vec<(Compiled, Vec<u8>)> {
    let mut compiled = Vec::with_capacity(sources.len());
    for &source in sources {
        match compile_one(store, helpers, layer, flavour, source) {
            Ok(Some((path, mtime, bytes))) => match stage(staging, &bytes) {
                Ok(content) => {
                    let file = Compiled {
                        path,
                        mtime,
                        content,
                    };
                    compiled.push((file, bytes));
                }
                Err(error) => tracing::warn!(%error, path, "bytecode cannot be staged"),
            },
            Ok(None) => {} // does not compile: Python will say so if anybody imports it
            Err(error) => {
                // The helper died of this source, or cannot be started: the next gets a new one.
                tracing::debug!(%error, "a bytecode helper failed");
                helpers.remove(&flavour.executable);
            }
        }
    }
    compiled
}

fn stage(staging: &Staging, bytes: &[u8]) -> Result<Content, StoreError> {
    if bytes.len() <= INLINE_BYTES {
        return Ok(Content::Inline(bytes.to_vec()));
    }
    Ok(Content::Blob(staging.blob(bytes)?, bytes.len() as u64))
}

fn inline(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn compile_one(
    store: &Store,
    helpers: &mut HashMap<PathBuf, Helper>,
    layer: &Layer,
    flavour: &Flavour,
    source: EntryIndex,
) -> std::io::Result<Option<(String, i64, Vec<u8>)>> {
    let helper = match helpers.entry(flavour.executable.clone()) {
        std::collections::hash_map::Entry::Occupied(found) => found.into_mut(),
        std::collections::hash_map::Entry::Vacant(free) => {
            free.insert(Helper::start(&flavour.executable)?)
        }
    };
    let entry = layer.entry(source);
    let path = layer.path(source);
    let request = match entry.kind {
        EntryKind::File { blob } => {
            let file = store.blob_path(blob);
            if file.exists() {
                (Some(file), None, &path, entry.mtime, entry.size)
            } else {
                // It is in the pack of an image.
                let bytes = store.read_blob(blob).map_err(std::io::Error::other)?;
                (None, Some(inline(&bytes)), &path, entry.mtime, entry.size)
            }
        }
        EntryKind::Inline { bytes } => (None, Some(inline(bytes)), &path, entry.mtime, entry.size),
        _ => return Ok(None),
    };
    let Some(bytes) = helper.compile(&serde_json::to_vec(&request)?)? else {
        return Ok(None);
    };
    let target = bytecode_path(layer, source, flavour);
    Ok(Some((target, entry.mtime, bytes)))
}
