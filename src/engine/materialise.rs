//! `blast materialise`: a generation as a self-standing environment in a directory of the user's.
//!
//! The layers are those of the generation but for the generated one, which is made anew for the new
//! place: `pyvenv.cfg`, the first lines of scripts and what activates it name the directory, and
//! nothing in it needs blast. The directory is written beside its place and renamed, so that it
//! appears whole; what stopped half-way is removed.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use blast_fs::plain::{self, LinkKind, Written};
use blast_fs::{Bytecode, Content, ContentError, TreeSpec};
use blast_store::{EntryIndex, EnvState, Generation, Layer, LayerNumber, TreeNumber};
use blast_types::{BlobId, GenerationId};

use super::content::{StoreContent, flavour};
use super::error::{EngineError, at};
use super::home::Home;
use super::{generated, records, target};
use crate::ipc::protocol::{Materialise, Materialised, Reply};

/// Number of the layer that is made for the directory, which the store never gives.
pub(super) const GENERATED: LayerNumber = LayerNumber(u32::MAX);
/// Likewise of the tree.
pub(super) const TREE: TreeNumber = TreeNumber(u32::MAX);

/// Writes a state of an environment to a directory. Dropping the future stops it.
pub(crate) async fn materialise(
    home: Arc<Home>,
    request: Materialise,
) -> Result<Reply, EngineError> {
    /// Tells the thread that writes that nobody waits any more.
    struct Asking(Arc<AtomicBool>);
    impl Drop for Asking {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let stop = Arc::new(AtomicBool::new(false));
    let asking = Asking(Arc::clone(&stop));
    let reply =
        tokio::task::spawn_blocking(move || materialise_now(&home, &request, &stop)).await?;
    drop(asking);
    reply.map(Reply::Materialised)
}

fn materialise_now(
    home: &Home,
    request: &Materialise,
    stop: &AtomicBool,
) -> Result<Materialised, EngineError> {
    let began = Instant::now();
    let Materialise {
        env,
        target,
        to,
        link,
    } = request;
    let state = home.env(env)?;
    let id = match target {
        Some(target) => target::state_named(home, &state, target)?,
        None => state.head,
    };
    let parent = free(home, to)?;
    let kind = link_kind(home, to, parent, *link)?;
    // Keeps everything that it consists of from being collected meanwhile.
    let kept = home.store.begin(env)?.select(id)?;
    let spec = spec(home, &state, &*home.store.generation(id)?, id, to)?;
    let written = write(home, &spec, to, parent, kind, stop)?;
    kept.discard();
    Ok(Materialised {
        environment: env.clone(),
        generation: id,
        path: to.clone(),
        directories: written.directories,
        files: written.files,
        symlinks: written.symlinks,
        bytes: written.bytes,
        reflinks: written.reflinks,
        hard_links: written.hard_links,
        took_ms: began.elapsed().as_secs_f64() * 1000.0,
    })
}

/// Makes sure that nothing is lost at the place; gives the directory that will hold it.
pub(super) fn free<'a>(home: &Home, to: &'a Path) -> Result<&'a Path, EngineError> {
    let refuse = |what| {
        Err(EngineError::NotFree {
            path: to.to_owned(),
            what,
        })
    };
    let Some(parent) = to.parent().filter(|_| to.is_absolute()) else {
        return refuse("cannot be replaced");
    };
    if to.starts_with(home.store.home()) {
        return refuse("is inside blast's own directory");
    }
    match fs::symlink_metadata(to) {
        Ok(meta) if !meta.is_dir() => return refuse("is there and is no directory"),
        Ok(_) => {
            if fs::read_dir(to).map_err(at(to))?.next().is_some() {
                return refuse("is not empty");
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(at(to)(error)),
    }
    if !fs::metadata(parent).map_err(at(parent))?.is_dir() {
        return refuse("is not inside a directory");
    }
    Ok(parent)
}

pub(super) fn link_kind(
    home: &Home,
    to: &Path,
    parent: &Path,
    link: bool,
) -> Result<LinkKind, EngineError> {
    let store = home.store.home().join("store");
    if link {
        let refused = |source| EngineError::NoHardLinks {
            path: to.to_owned(),
            source,
        };
        if nix::unistd::geteuid().is_root() {
            return Err(refused(io::Error::other(
                "root could write through them into the store, whatever their mode",
            )));
        }
        plain::try_hard_link(&store, parent).map_err(refused)?;
        return Ok(LinkKind::HardLink);
    }
    // Hard links only on request: this directory is the user's to write in.
    Ok(match plain::probe(&store, parent).map_err(at(parent))? {
        LinkKind::Reflink => LinkKind::Reflink,
        LinkKind::HardLink | LinkKind::Copy => LinkKind::Copy,
    })
}

/// The generation as a tree for the directory.
fn spec(
    home: &Home,
    state: &EnvState,
    generation: &Generation,
    id: GenerationId,
    to: &Path,
) -> Result<TreeSpec, EngineError> {
    let store = &home.store;
    let records = records::of_generation(store, generation)?;
    let read_blob = |blob| Ok(store.read_blob(blob)?);
    let files = generated::layer(
        &generated::Spec::standing_alone(&state.record, to),
        generation
            .packages
            .iter()
            .zip(records.iter().map(|record| &**record)),
        &read_blob,
    )?;
    let files = generated::opened(files)?;
    let mut layers = Vec::new();
    for layer in generation
        .layers()
        .filter(|layer| *layer != generation.generated)
    {
        layers.push((store.layer_number(layer)?, store.layer(layer)?));
    }
    layers.push((GENERATED, Arc::new(files)));
    let flavour = flavour(generation);
    let bytecode_tag = Some(flavour.tag.clone());
    home.compiler.know(flavour);
    Ok(TreeSpec {
        number: TREE,
        layers,
        mtime_ns: store.tree_of(id)?.shown_at_ns,
        bytecode_tag,
    })
}

pub(super) fn write(
    home: &Home,
    spec: &TreeSpec,
    to: &Path,
    parent: &Path,
    kind: LinkKind,
    stop: &AtomicBool,
) -> Result<Written, EngineError> {
    let content = Alone(StoreContent::new(
        Arc::clone(&home.store),
        home.compiler.clone(),
    ));
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let folder = tempfile::Builder::new()
        .prefix(&format!(".{name}.blast-"))
        .tempdir_in(parent)
        .map_err(at(parent))?;
    let written = plain::write(&content, spec, folder.path(), kind, stop);
    let written = written.map_err(|source| EngineError::Files {
        path: to.to_owned(),
        source,
    })?;
    // Replaces an empty directory, and nothing else (rename(2)).
    fs::rename(folder.path(), to).map_err(at(to))?;
    // It is not where it was made any more, so there is nothing to remove.
    drop(folder.keep());
    Ok(written)
}

/// The store's content, and one layer that the store does not know and that is never compiled.
struct Alone(StoreContent);

impl Content for Alone {
    fn tree(&self, number: TreeNumber) -> Result<Arc<TreeSpec>, ContentError> {
        self.0.tree(number)
    }

    fn layer(&self, number: LayerNumber) -> Result<Arc<Layer>, ContentError> {
        self.0.layer(number)
    }

    fn open_blob(&self, id: BlobId) -> io::Result<File> {
        self.0.open_blob(id)
    }

    fn link_blob(&self, id: BlobId, executable: bool, mtime: i64, to: &Path) -> io::Result<bool> {
        self.0.link_blob(id, executable, mtime, to)
    }

    fn bytecode(&self, layer: LayerNumber, tag: &str) -> Bytecode {
        if layer == GENERATED {
            return Bytecode::None;
        }
        self.0.bytecode(layer, tag)
    }

    fn bytecode_wanted(&self, layer: LayerNumber, directory: EntryIndex, tag: &str) {
        self.0.bytecode_wanted(layer, directory, tag);
    }
}
