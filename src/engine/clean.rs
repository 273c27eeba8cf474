//! `clean`: what of the histories stays, and what may go.
//!
//! What running programs see is kept, whether or not a history still names it. The store does the
//! rest, safely beside all that uses it.

use std::collections::BTreeMap;

use blast_store::{CleanOptions, Retention};
use blast_types::{EnvName, Event, Reporter};

use super::error::EngineError;
use super::home::{Home, now_ms};
use crate::ipc::protocol::{Cleaned, Keep};

const DAY_MS: i64 = 86_400_000;

/// Frees what nothing refers to; of histories `keep` stays, or what `keep_of` says of single
/// environments. Blocks.
pub(crate) fn clean(
    home: &Home,
    dry_run: bool,
    keep: Keep,
    keep_of: BTreeMap<EnvName, Keep>,
    reporter: &dyn Reporter,
) -> Result<Cleaned, EngineError> {
    home.drop_aside();
    home.retire_old_trees();
    let (trees, going) = if dry_run {
        let going = home.files.retirable();
        (going.len(), going)
    } else {
        (home.retire_files(), Vec::new())
    };
    let now = now_ms();
    let Retention {
        operations,
        since_ms,
    } = retention(keep, now);
    let keep_of = keep_of.into_iter();
    let options = CleanOptions {
        dry_run,
        keep_operations: operations,
        keep_since_ms: since_ms,
        keep_of: keep_of
            .map(|(env, keep)| (env, retention(keep, now)))
            .collect(),
        in_use: home.generations_in_use(&going)?,
    };
    let mut tell = |done, total| reporter.report(Event::Cleaning { done, total });
    let report = home.store.clean_observed(&options, &mut tell)?;
    Ok(Cleaned {
        dry_run,
        objects: report.objects(),
        bytes: report.object_bytes() + report.journal_bytes,
        operations: report.operations,
        trees: trees as u64,
    })
}

fn retention(keep: Keep, now_ms: i64) -> Retention {
    Retention {
        operations: keep.operations,
        since_ms: keep
            .days
            .map(|days| now_ms.saturating_sub(i64::from(days) * DAY_MS)),
    }
}
