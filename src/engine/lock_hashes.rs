//! Hashes of files whose index states none, as that of a directory does: a lock must have them, so
//! such files are fetched.

use std::path::Path;
use std::sync::Arc;

use blast_index::Index;
use blast_resolver::ResolvedPackage;
use blast_types::{DistFile, Event, Reporter};
use futures::{StreamExt as _, TryStreamExt as _};

use super::error::{EngineError, at};
use super::landing::Landing;

/// Files that are fetched at once.
const AT_ONCE: usize = 8;

/// Gives the files of these packages the hashes that a lock needs: `every` file of a version, or
/// the chosen one. What is fetched goes below `folder` and is gone afterwards.
///
/// # Errors
/// A file cannot be fetched.
pub(super) async fn complete(
    packages: &mut [ResolvedPackage],
    every: bool,
    index: &Index,
    folder: &Path,
    reporter: &dyn Reporter,
) -> Result<(), EngineError> {
    let lacking: Vec<_> = packages
        .iter_mut()
        .filter(|package| package.locked.is_none() && !is_hashed(&package.file))
        .collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = lacking
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    reporter.warn(format!(
        "no hash is stated of the files of {}: the lock has those of the files as they are now",
        names.join(", ")
    ));
    reporter.report(Event::Phase {
        name: "hashing".to_owned(),
    });
    std::fs::create_dir_all(folder).map_err(at(folder))?;
    for package in lacking {
        let all = package.all_files.iter().filter(|_| every);
        let mut files: Vec<_> = all.filter(|file| !is_hashed(file)).cloned().collect();
        if !files
            .iter()
            .any(|file| file.filename == package.file.filename)
        {
            files.push(Arc::clone(&package.file));
        }
        let hashed = files
            .into_iter()
            .map(|file| hashed(file, index, folder, reporter));
        let hashed: Vec<_> = futures::stream::iter(hashed)
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        for file in hashed {
            let listed = package.all_files.iter_mut().chain([&mut package.file]);
            for slot in listed.filter(|slot| slot.filename == file.filename) {
                *slot = Arc::clone(&file);
            }
        }
    }
    Ok(())
}

fn is_hashed(file: &DistFile) -> bool {
    file.sha256.is_some() || file.other_hash.is_some()
}

async fn hashed(
    file: Arc<DistFile>,
    index: &Index,
    folder: &Path,
    reporter: &dyn Reporter,
) -> Result<Arc<DistFile>, EngineError> {
    let landing = Landing::new(folder);
    let sha256 = index.download(&file, None, &landing, reporter).await?;
    Ok(Arc::new(DistFile {
        sha256: Some(sha256),
        ..DistFile::clone(&file)
    }))
}
