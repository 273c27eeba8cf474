//! The store of blast.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod error;
mod generation;
mod layer;
mod map;
mod numbers;
mod record;

pub use error::StoreError;
pub use generation::{Artifact, GENERATION_VERSION, Generation, InterpreterRef, Package};
pub use layer::{
    EncodedLayer, Entry, EntryIndex, EntryKind, INLINE_BYTES, LAYER_VERSION, Layer, LayerBuilder,
    LayerError, LayerFormatError, MAX_ENTRIES,
};
pub use numbers::{LayerNumber, OperationId, TreeNumber};
pub use record::{
    Changes, EntryPoint, EnvRecord, EnvState, Operation, OperationDraft, OperationKind,
    PackageChange, PythonScript, Snapshot, TreeRecord, WheelKey, WheelRecord,
};
