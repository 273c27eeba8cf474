//! Environments, their histories and their snapshots.

use std::sync::Arc;

use blast_types::{EnvName, GenerationId, SnapshotName};

use super::{Durability, Inner, Store, Writer};
use crate::index::{EnvEntry, Key, from_json, get_json};
use crate::journal::{EnvironmentEvent, Event};
use crate::{
    Changes, EnvRecord, EnvState, Generation, Operation, OperationDraft, OperationId,
    OperationKind, Snapshot, Staging, StoreError, WheelKey, WheelRecord,
};

impl From<EnvEntry> for EnvState {
    fn from(entry: EnvEntry) -> Self {
        Self {
            record: entry.record,
            head: entry.head,
            operation: entry.operation,
        }
    }
}

/// The first change of an environment that is made with it.
#[derive(Debug)]
pub struct EnvChange<'a> {
    /// What it shows afterwards.
    pub generation: &'a Generation,
    /// What is done.
    pub draft: OperationDraft,
    /// What wheels of it became.
    pub wheels: Vec<(WheelKey, Arc<WheelRecord>)>,
}

impl Store {
    /// Creates an environment with its first generation, whose objects `staging` holds as far as
    /// they are new.
    pub fn create_env(
        &self,
        record: EnvRecord,
        first: &Generation,
        staging: Staging,
        draft: OperationDraft,
        now_ms: i64,
    ) -> Result<Operation, StoreError> {
        self.create(record, first, None, staging, draft, now_ms)
    }

    /// Creates an environment and changes it by a first operation, both or neither. What the wheels
    /// of the second generation became is remembered with it.
    pub fn create_env_with(
        &self,
        record: EnvRecord,
        first: &Generation,
        change: EnvChange<'_>,
        staging: Staging,
        draft: OperationDraft,
        now_ms: i64,
    ) -> Result<Operation, StoreError> {
        self.create(record, first, Some(change), staging, draft, now_ms)
    }

    fn create(
        &self,
        record: EnvRecord,
        first: &Generation,
        change: Option<EnvChange<'_>>,
        staging: Staging,
        draft: OperationDraft,
        now_ms: i64,
    ) -> Result<Operation, StoreError> {
        let inner = &self.inner;
        let name = record.name.clone();
        // Asked first without the lock, so that the usual mistake costs no disk write.
        if inner.find_env(&name)?.is_some() {
            return Err(StoreError::EnvExists(name));
        }
        let made = staging.generation(first)?;
        let last = change.as_ref().map_or(first, |change| change.generation);
        let (head, pending) = staging.write_generation(last)?;
        let _gate = inner.gate();
        let mut writer = inner.writer();
        if inner.find_env(&name)?.is_some() {
            return Err(StoreError::EnvExists(name));
        }
        let changes = Changes::between(None, first);
        let step = HeadMove {
            env: name.clone(),
            id: OperationId(1),
            before: None,
            after: made,
        };
        let mut operation = step.operation(draft, now_ms, changes);
        let mut operations = vec![operation.clone()];
        let mut events = Vec::new();
        let mut wheels = Vec::new();
        if let Some(change) = change {
            let step = HeadMove {
                env: name,
                id: OperationId(2),
                before: Some(made),
                after: head,
            };
            let changes = Changes::between(Some(first), last);
            operation = step.operation(change.draft, now_ms, changes);
            operations.push(operation.clone());
            wheels = change.wheels;
            events.extend(wheels.iter().map(|(key, record)| Event::Wheel {
                key: key.clone(),
                record: Box::new(WheelRecord::clone(record)),
            }));
        }
        events.push(Event::Environment(Box::new(EnvironmentEvent {
            serial: writer.marks.serial,
            head,
            operation: operation.id,
            record,
            operations,
            snapshots: Vec::new(),
        })));
        inner.commit_with(&mut writer, &events, pending)?;
        for (key, record) in wheels {
            inner.caches.wheels.replace(key, record);
        }
        Ok(operation)
    }

    /// Removes an environment with its history and its snapshots. What only they referred to is
    /// freed by the next collection.
    pub fn remove_env(
        &self,
        env: &EnvName,
        draft: OperationDraft,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let inner = &self.inner;
        let mut writer = inner.writer();
        inner.expect_env(env)?;
        let OperationDraft { who, command, .. } = draft;
        let event = Event::Remove {
            env: env.clone(),
            at_ms: now_ms,
            who,
            command,
        };
        inner.commit(&mut writer, &event, Durability::Now)
    }

    /// Replaces the record of an environment; its name says which.
    pub fn update_env(&self, record: EnvRecord) -> Result<(), StoreError> {
        let inner = &self.inner;
        let mut writer = inner.writer();
        inner.expect_env(&record.name)?;
        let event = Event::Update {
            record: Box::new(record),
        };
        inner.commit(&mut writer, &event, Durability::Now)
    }

    /// The environment of this name.
    pub fn env(&self, env: &EnvName) -> Result<Option<EnvState>, StoreError> {
        Ok(self.inner.find_env(env)?.map(EnvState::from))
    }

    /// All environments, by name.
    pub fn envs(&self) -> Result<Vec<EnvState>, StoreError> {
        Ok(self
            .inner
            .env_entries()?
            .into_iter()
            .map(EnvState::from)
            .collect())
    }

    /// The history of an environment, newest first.
    pub fn operations(
        &self,
        env: &EnvName,
    ) -> Result<impl Iterator<Item = Result<Operation, StoreError>> + use<>, StoreError> {
        let entry = self.inner.expect_env(env)?;
        let inner = std::sync::Arc::clone(&self.inner);
        // Collection takes the oldest operations, so the first that is missing ends the history.
        Ok((1..=entry.operation.0).rev().map_while(move |id| {
            let key = Key::operation(entry.serial, OperationId(id));
            get_json(inner.index.as_ref(), &key).transpose()
        }))
    }

    /// One operation of an environment's history.
    pub fn operation(&self, env: &EnvName, id: OperationId) -> Result<Operation, StoreError> {
        let entry = self.inner.expect_env(env)?;
        get_json(self.inner.index.as_ref(), &Key::operation(entry.serial, id))?.ok_or_else(|| {
            StoreError::NoSuchOperation {
                env: env.clone(),
                id,
            }
        })
    }

    /// Names a generation. A name that is in use passes to the new generation. The operation it
    /// becomes leaves the head where it is.
    pub fn save_snapshot(
        &self,
        env: &EnvName,
        name: SnapshotName,
        generation: GenerationId,
        draft: OperationDraft,
        now_ms: i64,
    ) -> Result<Operation, StoreError> {
        let inner = &self.inner;
        let _gate = inner.gate();
        let mut writer = inner.writer();
        let entry = inner.expect_env(env)?;
        if generation != entry.head && !inner.objects.has(generation) {
            return Err(StoreError::MissingGeneration { id: generation });
        }
        let kind = OperationKind::Save {
            snapshot: name,
            generation,
        };
        inner.annotate(
            &mut writer,
            &entry,
            OperationDraft { kind, ..draft },
            now_ms,
        )
    }

    /// Gives up a snapshot's name. The operation it becomes leaves the head where it is.
    pub fn delete_snapshot(
        &self,
        env: &EnvName,
        name: &SnapshotName,
        draft: OperationDraft,
        now_ms: i64,
    ) -> Result<Operation, StoreError> {
        let inner = &self.inner;
        let _gate = inner.gate();
        let mut writer = inner.writer();
        let entry = inner.expect_env(env)?;
        let generation = inner.expect_snapshot(&entry, name)?.generation;
        let kind = OperationKind::DeleteSnapshot {
            snapshot: name.clone(),
            generation,
        };
        inner.annotate(
            &mut writer,
            &entry,
            OperationDraft { kind, ..draft },
            now_ms,
        )
    }

    /// The snapshots of an environment, by name.
    pub fn snapshots(&self, env: &EnvName) -> Result<Vec<Snapshot>, StoreError> {
        let entry = self.inner.expect_env(env)?;
        self.inner.snapshots_of(entry.serial)
    }

    /// One snapshot of an environment.
    pub fn snapshot(&self, env: &EnvName, name: &SnapshotName) -> Result<Snapshot, StoreError> {
        let entry = self.inner.expect_env(env)?;
        self.inner.expect_snapshot(&entry, name)
    }
}

/// An operation's place in the history, and what it does to the head.
#[derive(Debug)]
pub(crate) struct HeadMove {
    pub(crate) env: EnvName,
    pub(crate) id: OperationId,
    pub(crate) before: Option<GenerationId>,
    pub(crate) after: GenerationId,
}

impl HeadMove {
    pub(crate) fn operation(
        self,
        draft: OperationDraft,
        now_ms: i64,
        changes: Changes,
    ) -> Operation {
        Operation {
            id: self.id,
            env: self.env,
            kind: draft.kind,
            before: self.before,
            after: self.after,
            at_ms: now_ms,
            duration_ms: now_ms.saturating_sub(draft.started_ms).max(0),
            who: draft.who,
            command: draft.command,
            note: draft.note,
            changes,
        }
    }
}

impl Inner {
    pub(crate) fn find_env(&self, env: &EnvName) -> Result<Option<EnvEntry>, StoreError> {
        get_json(self.index.as_ref(), &Key::env(env))
    }

    pub(crate) fn expect_env(&self, env: &EnvName) -> Result<EnvEntry, StoreError> {
        self.find_env(env)?
            .ok_or_else(|| StoreError::NoSuchEnv(env.clone()))
    }

    pub(crate) fn env_entries(&self) -> Result<Vec<EnvEntry>, StoreError> {
        self.index
            .scan(Key::ENVS)?
            .iter()
            .map(|(_, value)| from_json(value))
            .collect()
    }

    pub(crate) fn snapshots_of(&self, serial: u64) -> Result<Vec<Snapshot>, StoreError> {
        let rows = self.index.scan(&Key::snapshots(serial))?;
        rows.iter().map(|(_, value)| from_json(value)).collect()
    }

    /// The operations of one incarnation, oldest first.
    pub(crate) fn operations_of(&self, serial: u64) -> Result<Vec<Operation>, StoreError> {
        let rows = self.index.scan(&Key::operations(serial))?;
        rows.iter().map(|(_, value)| from_json(value)).collect()
    }

    fn expect_snapshot(
        &self,
        entry: &EnvEntry,
        name: &SnapshotName,
    ) -> Result<Snapshot, StoreError> {
        get_json(self.index.as_ref(), &Key::snapshot(entry.serial, name))?.ok_or_else(|| {
            StoreError::NoSuchSnapshot {
                env: entry.record.name.clone(),
                name: name.clone(),
            }
        })
    }

    /// Writes an operation that leaves the head where it is.
    fn annotate(
        &self,
        writer: &mut Writer,
        entry: &EnvEntry,
        draft: OperationDraft,
        now_ms: i64,
    ) -> Result<Operation, StoreError> {
        let step = HeadMove {
            env: entry.record.name.clone(),
            id: OperationId(entry.operation.0 + 1),
            before: Some(entry.head),
            after: entry.head,
        };
        let operation = step.operation(draft, now_ms, Changes::default());
        let event = Event::Operation {
            operation: Box::new(operation.clone()),
        };
        self.commit(writer, &event, Durability::Now)?;
        Ok(operation)
    }
}
