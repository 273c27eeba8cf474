//! What `prepare_metadata_for_build_wheel` left, kept for the `build_wheel` that follows in the same
//! request: given it, a backend must make a wheel of exactly that metadata (PEP 517, 660).
//!
//! A backend wrote it, so it is moved and never copied: nobody follows the links it may hold.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::error::{BuildError, Failed};
use super::hooks::Workshop;
use super::source::Source;
use super::{Builder, blocking};
use crate::engine::home::lock;

/// A `.dist-info` folder whose build is still to come.
pub(super) struct Prepared {
    path: PathBuf,
    _above: TempDir,
}

impl Builder {
    /// Keeps what a hook made of these sources until a wheel is made of them.
    pub(super) async fn keep_prepared(
        &self,
        source: &Source,
        dist_info: PathBuf,
    ) -> Result<(), Failed> {
        // Of a folder this is what it holds now: backends write into their sources.
        let key = self.find(source).await?.key;
        let cache = self.shared.cache.clone();
        let prepared = blocking(move || {
            let above = cache.workshop()?;
            let path = moved(&dist_info, above.path())?;
            Ok(Prepared {
                path,
                _above: above,
            })
        });
        let prepared = prepared.await?;
        lock(&self.shared.prepared).insert(key, prepared);
        Ok(())
    }

    /// Puts what was kept for these sources where their wheel is made; once.
    pub(super) fn take_prepared(
        &self,
        key: &str,
        shop: &Workshop,
    ) -> Result<Option<PathBuf>, BuildError> {
        let Some(prepared) = lock(&self.shared.prepared).remove(key) else {
            return Ok(None);
        };
        moved(&prepared.path, &shop.output("metadata")?).map(Some)
    }
}

fn moved(dist_info: &Path, into: &Path) -> Result<PathBuf, BuildError> {
    let path = into.join(dist_info.file_name().unwrap_or_default());
    fs::rename(dist_info, &path).map_err(BuildError::io("move", dist_info))?;
    Ok(path)
}
