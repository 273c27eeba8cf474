//! Whether the journal is whole and the index says what it says.

use std::collections::{BTreeMap, BTreeSet};

use blast_types::EnvName;

use super::{Checker, Problem, Users};
use crate::StoreError;
use crate::apply::changes_of;
use crate::index::{Batch, Index, Marks, MemoryIndex};
use crate::journal::{Journal, events_of};

/// Rows by key, without those that say how far the index is.
type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

impl Checker<'_> {
    pub(super) fn journal_and_index(&mut self) -> Result<(), StoreError> {
        let inner = self.inner;
        let writer = inner.writer();
        let damaged = damaged_lines(&writer.journal)?;
        if !damaged.is_empty() {
            let users = Users {
                environments: damaged.iter().filter_map(|line| named_in(line)).collect(),
                packages: BTreeSet::new(),
            };
            let (path, lines) = (inner.home().join("journal"), damaged.len());
            self.find(Problem::DamagedJournal { path, lines }, users);
            return Ok(());
        }
        let rows = difference(inner.index.as_ref(), &writer.journal)?
            .changes
            .len();
        if rows > 0 {
            let path = inner.home().join("db");
            self.find(Problem::StaleIndex { path, rows }, Users::default());
        }
        Ok(())
    }
}

/// The lines that cannot be read; one that is empty, where the whole file is not what was written.
fn damaged_lines(journal: &Journal) -> Result<Vec<Vec<u8>>, StoreError> {
    match journal.damaged_lines() {
        Err(StoreError::Io { .. }) => Ok(vec![Vec::new()]),
        Ok(lines) if lines.is_empty() && !journal.is_in_place() => Ok(vec![Vec::new()]),
        lines => lines,
    }
}

/// The environment that a damaged line seems to be about.
fn named_in(line: &[u8]) -> Option<EnvName> {
    let text = String::from_utf8_lossy(line);
    let (_, rest) = text.split_once("\"env\":\"")?;
    rest.split_once('"')?.0.parse().ok()
}

/// What makes the index say what the journal says.
pub(crate) fn difference(index: &dyn Index, journal: &Journal) -> Result<Batch, StoreError> {
    let said = replayed(journal)?;
    let known = rows_of(index)?;
    let mut batch = Batch::default();
    for key in known.keys().filter(|key| !said.contains_key(*key)) {
        batch.delete(key.as_slice());
    }
    for (key, value) in said {
        if known.get(&key) != Some(&value) {
            batch.put(key, value);
        }
    }
    Ok(batch)
}

/// What an index would know that is made from this journal.
fn replayed(journal: &Journal) -> Result<Rows, StoreError> {
    let index = MemoryIndex::default();
    let mut marks = Marks::default();
    for event in events_of(&journal.read(0)?) {
        index.apply(changes_of(&event, &index, &mut marks)?)?;
    }
    rows_of(&index)
}

fn rows_of(index: &dyn Index) -> Result<Rows, StoreError> {
    let rows = index.scan(b"")?.into_iter();
    Ok(rows.filter(|(key, _)| !key.starts_with(b"m/")).collect())
}
