//! Collection: mark from what is in use, sweep the rest.
//!
//! Roots are the heads, the kept operations, the snapshots, what the caller says is in use (live
//! mounts, running processes), and what running stagings and transactions have pinned. What they
//! reach stays: generations, their layers, the bytecode of those layers, the wheel records that
//! name them, and all their blobs.
//!
//! # Order
//! The journal is rewritten without what is dropped, the index follows, then objects move to the
//! staging area and are unlinked there. After a crash at any point nothing that stays is missing;
//! at worst, garbage stays for the next time.
//!
//! # Concurrency
//! Mark and move happen behind the closed gate: nobody looks an object up meanwhile. Unlinking,
//! the slow part, happens after it opened again.

mod mark;
mod sweep;

use std::collections::BTreeMap;

use blast_types::{EnvName, GenerationId};
use serde::Serialize;

use self::mark::{Garbage, Live};
use crate::store::{Inner, Writer};
use crate::{Operation, Store, StoreError};

/// How to collect.
#[derive(Debug, Clone, Default)]
pub struct CleanOptions {
    /// Only say what would be freed.
    pub dry_run: bool,
    /// How many operations of each environment's history stay.
    pub keep_operations: Option<usize>,
    /// Operations that are not older stay too; in milliseconds since the epoch. Where neither this
    /// nor a number is given, all stay.
    pub keep_since_ms: Option<i64>,
    /// What stays of single environments instead.
    pub keep_of: BTreeMap<EnvName, Retention>,
    /// Generations that are mounted, or that running processes stand in.
    pub in_use: Vec<GenerationId>,
}

/// How much of a history stays: what either of the two lets stay; all, where neither is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// The newest so many operations.
    pub operations: Option<usize>,
    /// Operations of this time and later; in milliseconds since the epoch.
    pub since_ms: Option<i64>,
}

impl Retention {
    /// How many operations go, of a history that is given oldest first.
    fn surplus(self, history: &[Operation]) -> usize {
        if self == Self::default() {
            return 0;
        }
        let by_number = self.operations.map_or(0, |keep| keep.min(history.len()));
        let by_age = self.since_ms.map_or(0, |since| {
            let first = history
                .iter()
                .position(|operation| operation.at_ms >= since);
            first.map_or(0, |first| history.len() - first)
        });
        history.len() - by_number.max(by_age)
    }
}

/// Objects of one kind, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Count {
    /// How many.
    pub count: u64,
    /// The sum of their sizes in bytes.
    pub bytes: u64,
}

impl Count {
    pub(crate) fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

/// What a collection freed, or would free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct CleanReport {
    /// Whether nothing was touched.
    pub dry_run: bool,
    /// Blobs. Those that have another name elsewhere, as plain files, free no bytes; a dry run cannot
    /// know, and counts them.
    pub blobs: Count,
    /// Packs of images that were not unpacked yet, and that nobody needs any more.
    pub packs: Count,
    /// Layers.
    pub layers: Count,
    /// Generations.
    pub generations: Count,
    /// Operations dropped from histories, those of removed environments among them.
    pub operations: u64,
    /// Wheels that will have to be unpacked again.
    pub wheels: u64,
    /// Bytes by which the journal shrank.
    pub journal_bytes: u64,
}

impl CleanReport {
    /// How many objects were freed.
    pub fn objects(&self) -> u64 {
        self.blobs.count + self.packs.count + self.layers.count + self.generations.count
    }

    /// All bytes of objects that were freed.
    pub fn object_bytes(&self) -> u64 {
        self.blobs.bytes + self.packs.bytes + self.layers.bytes + self.generations.bytes
    }
}

impl Store {
    /// Frees what nothing uses. Safe beside anything else that uses this store.
    pub fn clean(&self, options: &CleanOptions) -> Result<CleanReport, StoreError> {
        self.clean_observed(options, &mut |_, _| {})
    }

    /// [`Store::clean`], which tells how many objects are freed of how many.
    pub fn clean_observed(
        &self,
        options: &CleanOptions,
        tell: &mut dyn FnMut(u64, u64),
    ) -> Result<CleanReport, StoreError> {
        let inner = &self.inner;
        let gate = inner.close_gate();
        let mut writer = inner.writer();
        let live = Live::mark(inner, options)?;
        let garbage = live.garbage(inner, options.dry_run)?;
        let mut report = garbage.report;
        if options.dry_run {
            report.journal_bytes = sweep::shrinkage(inner, &writer, &live, &garbage)?;
            return Ok(report);
        }
        report.journal_bytes = sweep::rewrite_records(inner, &mut writer, &live, &garbage)?;
        drop(writer);
        inner.caches.clear();
        for &pack in &garbage.packs {
            inner.packs.remove(pack);
        }
        let trash = sweep::move_away(inner, &garbage)?;
        drop(gate);
        sweep::empty(&trash, tell)?;
        Ok(report)
    }
}

impl Inner {
    /// Writes the journal anew from the index, without the rows of these keys, which the index
    /// forgets too.
    pub(crate) fn rewrite_journal(
        &self,
        writer: &mut Writer,
        dead: Vec<Vec<u8>>,
    ) -> Result<(), StoreError> {
        let live = Live::histories_of(self)?;
        let garbage = Garbage {
            records: dead,
            ..Garbage::default()
        };
        sweep::rewrite_records(self, writer, &live, &garbage).map(drop)
    }
}
