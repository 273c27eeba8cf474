//! Carrying a collection out: records first, then objects.

use std::fs;
use std::path::{Path, PathBuf};

use blast_types::LayerId;

use super::mark::{Garbage, Live};
use crate::apply::set_position;
use crate::error::At as _;
use crate::failpoint::{self, Point};
use crate::index::{Batch, Key, from_json};
use crate::journal::{EnvironmentEvent, Event};
use crate::store::{Inner, Writer};
use crate::{LayerNumber, StoreError, WheelKey};

/// Rewrites the journal with what stays and drops the rest from the index. Gives the bytes by
/// which the journal shrank.
pub(super) fn rewrite_records(
    inner: &Inner,
    writer: &mut Writer,
    live: &Live,
    garbage: &Garbage,
) -> Result<u64, StoreError> {
    let dead = garbage.records.iter().map(Vec::as_slice).collect();
    let events = events_that_stay(inner, writer, live, &dead)?;
    let before = writer.journal.length();
    // Records of the log are of the old journal and mean nothing to the new one.
    inner.wal.settle(&writer.journal)?;
    writer.journal.rewrite(&events)?;
    inner.wal.follow(&writer.journal);
    let mut batch = Batch::default();
    for key in &garbage.records {
        batch.delete(key.as_slice());
    }
    set_position(&mut batch, writer.journal.epoch(), writer.journal.length());
    failpoint::hit(Point::CleanIndex)
        .at("write", inner.home())
        .and_then(|()| inner.index.apply(batch))
        // A database of the old journal would be made anew at the next opening.
        .and_then(|()| inner.index.flush())
        .inspect_err(|_| writer.journal.mark_broken())?;
    Ok(before.saturating_sub(writer.journal.length()))
}

/// By how many bytes [`rewrite_records`] would make the journal shrink.
pub(super) fn shrinkage(
    inner: &Inner,
    writer: &Writer,
    live: &Live,
    garbage: &Garbage,
) -> Result<u64, StoreError> {
    let dead = garbage.records.iter().map(Vec::as_slice).collect();
    let events = events_that_stay(inner, writer, live, &dead)?;
    let after = writer.journal.length_with(&events)?;
    Ok(writer.journal.length().saturating_sub(after))
}

type Keys<'a> = rustc_hash::FxHashSet<&'a [u8]>;

fn events_that_stay(
    inner: &Inner,
    writer: &Writer,
    live: &Live,
    dead: &Keys<'_>,
) -> Result<Vec<Event>, StoreError> {
    let mut events = vec![Event::Marks {
        marks: writer.marks,
    }];
    let rows = |prefix| {
        let rows = inner.index.scan(prefix)?;
        let stay = rows
            .into_iter()
            .filter(|(key, _)| !dead.contains(key.as_slice()));
        Ok::<_, StoreError>(stay.collect::<Vec<_>>())
    };
    for (key, value) in rows(Key::LAYERS)? {
        if let (Some(layer), Ok(number)) = (Key::digest_of(&key), value.try_into()) {
            let (layer, number) = (LayerId::from_bytes(layer), u32::from_le_bytes(number));
            events.push(Event::Layer {
                layer,
                number: LayerNumber(number),
            });
        }
    }
    for (_, value) in rows(Key::TREES)? {
        events.push(Event::Tree {
            tree: from_json(&value)?,
        });
    }
    for (key, value) in rows(Key::WHEELS)? {
        if let (Some(sha256), Some(scheme)) = (Key::digest_of(&key), Key::text_of(&key)) {
            let sha256 = blast_types::Sha256::from_bytes(sha256);
            let key = WheelKey {
                sha256,
                scheme: scheme.to_owned(),
            };
            events.push(Event::Wheel {
                key,
                record: Box::new(from_json(&value)?),
            });
        }
    }
    for (key, value) in rows(Key::BYTECODES)? {
        let ids = (Key::digest_of(&key), Key::text_of(&key), value.try_into());
        if let (Some(layer), Some(tag), Ok(bytecode)) = ids {
            let (layer, bytecode) = (LayerId::from_bytes(layer), LayerId::from_bytes(bytecode));
            events.push(Event::Bytecode {
                layer,
                tag: tag.to_owned(),
                bytecode,
            });
        }
    }
    for history in &live.histories {
        events.push(Event::Environment(Box::new(EnvironmentEvent {
            serial: history.entry.serial,
            head: history.entry.head,
            operation: history.entry.operation,
            record: history.entry.record.clone(),
            operations: history.operations.clone(),
            snapshots: history.snapshots.clone(),
        })));
    }
    Ok(events)
}

/// Takes the objects out of the store, into a directory of the staging area.
pub(super) fn move_away(inner: &Inner, garbage: &Garbage) -> Result<PathBuf, StoreError> {
    let name = format!("trash-{}-{}", std::process::id(), inner.next_staging());
    let trash = inner.objects.staging().join(name);
    failpoint::hit(Point::CleanTrash).at("create", &trash)?;
    fs::create_dir(&trash).at("create", &trash)?;
    // Collected from blobs to generations; taken the other way round, so that a crash leaves
    // nothing whose parts are gone.
    for (number, path) in garbage.objects.iter().rev().enumerate() {
        failpoint::hit(Point::CleanMove).at("remove", path)?;
        fs::rename(path, trash.join(number.to_string())).at("remove", path)?;
    }
    Ok(trash)
}

/// Frees what was moved away. What a crash leaves of it, opening frees.
pub(super) fn empty(trash: &Path, tell: &mut dyn FnMut(u64, u64)) -> Result<(), StoreError> {
    let files = fs::read_dir(trash).and_then(Iterator::collect);
    let files: Vec<_> = files.at("list", trash)?;
    failpoint::hit(Point::CleanEmpty).at("remove", trash)?;
    let total = files.len() as u64;
    for (done, file) in (1..).zip(files) {
        let path = file.path();
        fs::remove_file(&path).at("remove", &path)?;
        tell(done, total);
    }
    fs::remove_dir(trash).at("remove", trash)
}
