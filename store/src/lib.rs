//! The store of blast: blobs, layers, generations and operations, with transactions over them.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod apply;
mod check;
mod clean;
mod error;
mod generation;
mod index;
mod journal;
mod layer;
mod map;
mod numbers;
mod objects;
mod pins;
mod record;
mod staging;
mod store;
mod transaction;
mod usage;

pub use check::{CheckReport, Finding, Problem};
pub use clean::{CleanOptions, CleanReport, Count};
pub use error::StoreError;
pub use generation::{Artifact, GENERATION_VERSION, Generation, InterpreterRef, Package};
pub use journal::JOURNAL_VERSION;
pub use layer::{
    EncodedLayer, Entry, EntryIndex, EntryKind, INLINE_BYTES, LAYER_VERSION, Layer, LayerBuilder,
    LayerError, LayerFormatError, MAX_ENTRIES,
};
pub use numbers::{LayerNumber, OperationId, TreeNumber};
pub use record::{
    Changes, EntryPoint, EnvRecord, EnvState, Operation, OperationDraft, OperationKind,
    PackageChange, PythonScript, Snapshot, TreeRecord, WheelKey, WheelRecord,
};
pub use staging::{BlobWriter, Staging};
pub use store::Store;
pub use transaction::{PublishError, Transaction, Unpublished};
pub use usage::{StoreCounters, Usage};
