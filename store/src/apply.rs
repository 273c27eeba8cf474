//! What an event of the journal does to the index. Used alike when the event happens and when it
//! is replayed, so that a replayed index cannot differ from one that was there.

use crate::index::{Batch, EnvEntry, Index, JOURNAL, Key, MARKS, Marks, get_json};
use crate::journal::{EnvironmentEvent, Epoch, Event};
use crate::{EnvRecord, Operation, OperationKind, Snapshot, StoreError};

/// The changes that `event` makes to `index`, and to the marks, which live in memory too.
pub(crate) fn changes_of(
    event: &Event,
    index: &dyn Index,
    marks: &mut Marks,
) -> Result<Batch, StoreError> {
    let mut batch = Batch::default();
    let before = *marks;
    match event {
        Event::Environment(event) => environment(event, marks, &mut batch)?,
        Event::Operation { operation } => operate(operation, index, &mut batch)?,
        Event::Update { record } => update(record, index, &mut batch)?,
        Event::Remove { env, .. } => batch.delete(Key::env(env)),
        Event::Layer { layer, number } => {
            marks.layer = marks.layer.max(number.0.saturating_add(1));
            batch.put(Key::layer(*layer), number.0.to_le_bytes());
            batch.put(Key::layer_number(*number), *layer.as_bytes());
        }
        Event::Tree { tree } => {
            marks.tree = marks.tree.max(tree.number.0.saturating_add(1));
            marks.shown_at_ns = marks.shown_at_ns.max(tree.shown_at_ns);
            batch.put_json(Key::tree(tree.generation), tree)?;
            batch.put(Key::tree_number(tree.number), *tree.generation.as_bytes());
        }
        Event::Wheel { key, record } => batch.put_json(Key::wheel(key), record)?,
        Event::Bytecode {
            layer,
            tag,
            bytecode,
        } => {
            batch.put(Key::bytecode(*layer, tag), *bytecode.as_bytes());
        }
        Event::Marks { marks: given } => {
            marks.layer = marks.layer.max(given.layer);
            marks.tree = marks.tree.max(given.tree);
            marks.serial = marks.serial.max(given.serial);
            marks.shown_at_ns = marks.shown_at_ns.max(given.shown_at_ns);
        }
    }
    if *marks != before {
        batch.put_json(MARKS, marks)?;
    }
    Ok(batch)
}

/// Records in `batch` how far the journal is applied once the batch is.
pub(crate) fn set_position(batch: &mut Batch, epoch: Epoch, offset: u64) {
    let mut value = Vec::with_capacity(24);
    value.extend_from_slice(&epoch.0);
    value.extend_from_slice(&offset.to_le_bytes());
    batch.put(JOURNAL, value);
}

/// How far the journal of which epoch is applied.
pub(crate) fn position(index: &dyn Index) -> Result<Option<(Epoch, u64)>, StoreError> {
    let Some(value) = index.get(JOURNAL)? else {
        return Ok(None);
    };
    let (Some(epoch), Some(offset)) = (
        value.get(..16).and_then(|bytes| bytes.try_into().ok()),
        value.get(16..).and_then(|bytes| bytes.try_into().ok()),
    ) else {
        return Ok(None);
    };
    Ok(Some((Epoch(epoch), u64::from_le_bytes(offset))))
}

fn environment(
    event: &EnvironmentEvent,
    marks: &mut Marks,
    batch: &mut Batch,
) -> Result<(), StoreError> {
    let EnvironmentEvent {
        serial,
        head,
        operation,
        record,
        operations,
        snapshots,
    } = event;
    marks.serial = marks.serial.max(serial + 1);
    for operation in operations {
        batch.put_json(Key::operation(*serial, operation.id), operation)?;
    }
    for snapshot in snapshots {
        batch.put_json(Key::snapshot(*serial, &snapshot.name), snapshot)?;
    }
    let entry = EnvEntry {
        serial: *serial,
        head: *head,
        operation: *operation,
        record: record.clone(),
    };
    batch.put_json(Key::env(&record.name), &entry)
}

fn operate(operation: &Operation, index: &dyn Index, batch: &mut Batch) -> Result<(), StoreError> {
    let key = Key::env(&operation.env);
    // Only a damaged journal has an operation of an environment that it never saw created.
    let Some(mut entry) = get_json::<EnvEntry>(index, &key)? else {
        return Ok(());
    };
    entry.head = operation.after;
    entry.operation = operation.id;
    match &operation.kind {
        OperationKind::Save {
            snapshot,
            generation,
        } => {
            let name = snapshot.clone();
            let snapshot = Snapshot {
                name,
                generation: *generation,
                created_ms: operation.at_ms,
            };
            batch.put_json(Key::snapshot(entry.serial, &snapshot.name), &snapshot)?;
        }
        OperationKind::DeleteSnapshot { snapshot, .. } => {
            batch.delete(Key::snapshot(entry.serial, snapshot));
        }
        _ => {}
    }
    batch.put_json(Key::operation(entry.serial, operation.id), operation)?;
    batch.put_json(key, &entry)
}

fn update(record: &EnvRecord, index: &dyn Index, batch: &mut Batch) -> Result<(), StoreError> {
    let key = Key::env(&record.name);
    let Some(mut entry) = get_json::<EnvEntry>(index, &key)? else {
        return Ok(());
    };
    entry.record = record.clone();
    batch.put_json(key, &entry)
}
