//! What the store knows of installed packages: the records of the wheels that they were.

use std::sync::Arc;

use blast_store::{Generation, Package, Store, WheelKey, WheelRecord};

use super::error::EngineError;

/// The record of one installed package.
pub(crate) fn of_package(
    store: &Store,
    package: &Package,
) -> Result<Arc<WheelRecord>, EngineError> {
    let missing = || EngineError::Bug(format!("the record of {} is lost", package.name));
    let key = WheelKey {
        sha256: package.artifact.wheel().ok_or_else(missing)?,
        scheme: package.scheme.clone(),
    };
    store.wheel(&key)?.ok_or_else(missing)
}

/// The records of all packages of a generation, in their order.
pub(crate) fn of_generation(
    store: &Store,
    generation: &Generation,
) -> Result<Vec<Arc<WheelRecord>>, EngineError> {
    let packages = generation.packages.iter();
    packages.map(|package| of_package(store, package)).collect()
}
