//! The store of blast: blobs, layers, generations and operations, with transactions over them.
//!
//! - A **blob** is the bytes of one file, a **layer** the tree one distribution adds to a prefix, a
//!   **generation** a whole environment; all three are immutable files named by their BLAKE3.
//!   [`Staging`] brings them in, durable before they are visible.
//! - An **operation** moves the head of an environment from one generation to another. A
//!   [`Transaction`] writes the generation, then publishes it by one line of the journal.
//! - The index (sled, or a map in memory) answers lookups; it is derived from the journal.
//! - [`Store::check`] says what is damaged and who needs it, `repair` mends what the store can mend
//!   by itself, [`Store::clean`] frees what nothing uses.
//!
//! Times come in as parameters, in milliseconds since the epoch; only the time of a tree is read
//! from the clock. Formats: `docs/on-disk-format.md`. Crashes: `docs/durability.md`.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod apply;
mod below;
mod check;
mod clean;
mod copies;
mod error;
pub mod failpoint;
mod generation;
mod image;
mod index;
mod journal;
mod layer;
mod map;
mod numbers;
mod objects;
mod packs;
mod pins;
mod record;
mod repair;
mod staging;
mod store;
mod transaction;
mod usage;
mod wal;

pub use below::MachineStore;
pub use check::{CheckReport, Damage, Finding, Problem};
pub use clean::{CleanOptions, CleanReport, Count, Retention};
pub use error::StoreError;
pub use generation::{Artifact, GENERATION_VERSION, Generation, InterpreterRef, Package};
pub use image::{
    Bring, IMAGE_VERSION, Image, ImageContent, ImageError, ImagePack, ImageSpec, PackSource,
    WrittenImage,
};
pub use journal::JOURNAL_VERSION;
pub use layer::{
    EncodedLayer, Entry, EntryIndex, EntryKind, INLINE_BYTES, LAYER_VERSION, Layer, LayerBuilder,
    LayerError, LayerFormatError, MAX_ENTRIES,
};
pub use numbers::{LayerNumber, OperationId, TreeNumber};
pub use packs::Unpacked;
pub use record::{
    Changes, EntryPoint, EnvRecord, EnvState, Operation, OperationDraft, OperationKind,
    PackageChange, PythonScript, Snapshot, TreeRecord, WheelKey, WheelRecord,
};
pub use staging::{BlobWriter, Staging};
pub use store::{EnvChange, Store};
pub use transaction::{Kept, PublishError, Transaction, Unpublished};
pub use usage::{StoreCounters, Usage};
