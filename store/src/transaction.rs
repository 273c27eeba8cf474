//! Transactions: the head of one environment, moved in two steps. [`Transaction::write`] does the
//! work, yet changes nothing that anybody sees; [`Unpublished::publish`] is one line of the journal,
//! durable with all that it refers to. A head that moved in between is a [`PublishError::Conflict`], and
//! nothing happened.

use std::sync::Arc;

use blast_types::{EnvName, GenerationId, Hint};

use crate::index::EnvEntry;
use crate::journal::Event;
use crate::pins::Guard;
use crate::staging::Pending;
use crate::store::HeadMove;
use crate::{
    Changes, EnvRecord, Generation, Operation, OperationDraft, OperationId, Staging, Store,
    StoreError, WheelKey, WheelRecord,
};

/// Work on one environment, begun from its head.
#[derive(Debug)]
pub struct Transaction {
    store: Store,
    entry: EnvEntry,
    generation: Arc<Generation>,
    guard: Guard,
}

/// A generation that is complete, and that no environment shows yet.
#[must_use = "a generation takes effect only when it is published"]
#[derive(Debug)]
pub struct Unpublished {
    store: Store,
    entry: EnvEntry,
    after: GenerationId,
    changes: Changes,
    pending: Pending,
    wheels: Vec<(WheelKey, Arc<WheelRecord>)>,
    _guard: Guard,
}

/// A generation that no environment shows, such as one that something is built in. It stays in the
/// store for as long as this lives; then collection may take it.
#[must_use = "without it, collection may take the generation"]
#[derive(Debug)]
pub struct Kept {
    id: GenerationId,
    _guard: Guard,
}

impl Kept {
    /// The generation.
    pub fn generation(&self) -> GenerationId {
        self.id
    }
}

/// Why a generation did not become the head.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The environment changed, or went, since the transaction began.
    #[error("the environment `{env}` changed in the meantime")]
    Conflict {
        /// The environment.
        env: EnvName,
        /// The head that the transaction began from.
        expected: GenerationId,
        /// The head now; nothing where the environment is gone.
        found: Option<GenerationId>,
    },
    /// The operation could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Hint for PublishError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Conflict { env, .. } => {
                vec![format!(
                    "see what happened with `blast log --env {env}`, then try again"
                )]
            }
            Self::Store(error) => error.hints(),
        }
    }
}

impl Store {
    /// Begins to work on an environment.
    pub fn begin(&self, env: &EnvName) -> Result<Transaction, StoreError> {
        let guard = self.inner.pins.guard();
        let _gate = self.inner.gate();
        let entry = self.inner.expect_env(env)?;
        self.inner.pins.touch(entry.head);
        let generation = self.inner.generation(entry.head)?;
        Ok(Transaction {
            store: self.clone(),
            entry,
            generation,
            guard,
        })
    }

    /// Makes a generation durable that no environment will show, with what is staged for it. All
    /// its layers must be in the store or in `staging`.
    pub fn keep(&self, generation: &Generation, staging: Staging) -> Result<Kept, StoreError> {
        let guard = self.inner.pins.guard();
        let (id, pending) = staging.write_generation(generation)?;
        pending.publish()?;
        self.inner.pins.touch(id);
        Ok(Kept { id, _guard: guard })
    }
}

impl Transaction {
    /// The head that this transaction began from.
    pub fn head(&self) -> GenerationId {
        self.entry.head
    }

    /// The generation at that head.
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// The newest operation when this transaction began.
    pub fn operation(&self) -> OperationId {
        self.entry.operation
    }

    /// The environment's record when this transaction began.
    pub fn record(&self) -> &EnvRecord {
        &self.entry.record
    }

    /// Completes a generation with what is staged for it. All its layers must be in the
    /// store or in `staging`.
    pub fn write(
        self,
        generation: &Generation,
        staging: Staging,
    ) -> Result<Unpublished, StoreError> {
        let (after, pending) = staging.write_generation(generation)?;
        let changes = Changes::between(Some(&self.generation), generation);
        Ok(self.unpublished(after, changes, pending))
    }

    /// Chooses a generation that is in the store already, as reverting does. Writes nothing.
    pub fn select(self, id: GenerationId) -> Result<Unpublished, StoreError> {
        let generation = {
            let _gate = self.store.inner.gate();
            self.store.inner.pins.touch(id);
            let generation = self.store.inner.generation(id)?;
            for layer in generation.layers() {
                self.store.inner.require_layer(layer)?;
            }
            generation
        };
        let changes = Changes::between(Some(&self.generation), &generation);
        Ok(self.unpublished(id, changes, Pending::default()))
    }

    fn unpublished(self, after: GenerationId, changes: Changes, pending: Pending) -> Unpublished {
        let Self {
            store,
            entry,
            guard,
            ..
        } = self;
        Unpublished {
            store,
            entry,
            after,
            changes,
            pending,
            wheels: Vec::new(),
            _guard: guard,
        }
    }
}

impl Unpublished {
    /// The generation that waits.
    pub fn generation(&self) -> GenerationId {
        self.after
    }

    /// What it changes, by package.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Puts all that the generation consists of in its place now rather than with the commit, for who
    /// reads it before. It stays there if the generation is let go, and collection will take it.
    pub fn settle(&mut self) -> Result<(), StoreError> {
        std::mem::take(&mut self.pending).publish()
    }

    /// Has the store remember with the generation what a wheel of it became.
    pub fn remember(&mut self, key: WheelKey, record: Arc<WheelRecord>) {
        self.wheels.push((key, record));
    }

    /// Makes the generation the environment's head, if the head is still the one that the
    /// transaction began from.
    pub fn publish(self, draft: OperationDraft, now_ms: i64) -> Result<Operation, PublishError> {
        let inner = &self.store.inner;
        let env = self.entry.record.name;
        let _gate = inner.gate();
        let mut writer = inner.writer();
        let now = inner.find_env(&env)?;
        let (expected, serial) = (self.entry.head, self.entry.serial);
        let Some(now) = now.filter(|now| now.serial == serial && now.head == expected) else {
            let found = inner.find_env(&env)?.map(|now| now.head);
            return Err(PublishError::Conflict {
                env,
                expected,
                found,
            });
        };
        let id = OperationId(now.operation.0 + 1);
        let step = HeadMove {
            env,
            id,
            before: Some(expected),
            after: self.after,
        };
        let operation = step.operation(draft, now_ms, self.changes);
        let wheels = self.wheels.iter().map(|(key, record)| Event::Wheel {
            key: key.clone(),
            record: Box::new(WheelRecord::clone(record)),
        });
        let operated = Event::Operation {
            operation: Box::new(operation.clone()),
        };
        let events: Vec<_> = wheels.chain([operated]).collect();
        inner.commit_with(&mut writer, &events, self.pending)?;
        for (key, record) in self.wheels {
            inner.share_wheel(&key, &record);
            inner.caches.wheels.replace(key, record);
        }
        Ok(operation)
    }

    /// Lets the generation go; collection will take it.
    pub fn discard(self) {
        drop(self);
    }
}
