//! What blast does, without sockets and terminals: environments over a store, an index, a
//! resolver and a view.
//!
//! [`Home`] is one `$BLAST_HOME` with everything that is open in it. [`environment`] makes and
//! deletes environments, [`change`] changes what they hold, [`history`] moves them between
//! generations, [`lock`] resolves without touching any. Requests of the daemon map onto these one
//! to one; the protocol's types are the vocabulary, so that nothing is translated twice.

mod at_once;
pub(crate) mod blame;
pub(crate) mod build;
mod bytecode;
mod caches;
pub(crate) mod capture;
mod carry;
pub(crate) mod change;
pub(crate) mod clean;
mod content;
pub(crate) mod environment;
mod error;
pub(crate) mod fetch;
mod file_diff;
mod files;
mod findings;
mod follow_lock;
mod foreign_lock;
mod generated;
pub(crate) mod graph;
pub(crate) mod history;
mod home;
pub(crate) mod image;
mod ingest;
pub(crate) mod install_to;
mod keeper;
mod landing;
pub(crate) mod lock;
mod lock_hashes;
mod lock_paths;
mod lock_target;
pub(crate) mod materialise;
pub(crate) mod outdated;
mod overtaken;
mod pip_shim;
mod plan;
mod processes;
mod provider;
mod publish;
mod records;
pub(crate) mod refresh;
pub(crate) mod repair;
mod requirements;
mod resolve;
mod secrets;
mod showing;
pub(crate) mod skeleton;
pub(crate) mod snapshots;
pub(crate) mod status;
mod target;
mod undo;
mod unpack;
pub(crate) mod versions;
mod views;

pub(crate) use self::generated::{ENTER, VENV_FILE};
pub(crate) use at_once::at_once;
pub(crate) use change::Asker;
pub(crate) use error::EngineError;
pub(crate) use home::Home;
pub(crate) use keeper::{Keeper, Kept};
