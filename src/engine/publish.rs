//! The end of a change: generated layer, generation, and the operation that makes both the environment's head.

use std::sync::Arc;

use blast_store::failpoint::{self, Point};
use blast_store::{Generation, InterpreterRef, Kept, OperationDraft};

use super::change::Job;
use super::error::{EngineError, at};
use super::generated;
use super::home::now_ms;
use super::plan::Plan;

/// A generation that is not in the store yet, and what is staged for it.
pub(super) struct Written {
    pub(super) generation: Generation,
    pub(super) staging: blast_store::Staging,
}

impl Job {
    /// The generation that the plan describes, with all that is staged for it.
    pub(super) fn write(
        &self,
        plan: Plan,
        ingested: &[super::ingest::Ingested],
        staging: Arc<blast_store::Staging>,
    ) -> Result<Written, EngineError> {
        failpoint::hit(Point::EngineWrite).map_err(at(self.home.store.home()))?;
        let record = &self.state.record;
        let mut packages = Vec::with_capacity(plan.packages.len());
        for (planned, ingested) in plan.packages.into_iter().zip(ingested) {
            let mut package = planned.installed(ingested);
            let before = self.before.package(&package.name);
            package.artifact.captured = before
                .is_some_and(|before| before.artifact.captured && before.layer == package.layer);
            packages.push(package);
        }
        let prefix = self.home.prefix(&record.name);
        let blast = std::env::current_exe().map_err(at("/proc/self/exe"))?;
        let pip = self
            .home
            .caches()
            .shims
            .stage(&record.interpreter, &staging)?;
        let spec = generated::Spec::of(record, &prefix, &blast).with_pip(&pip);
        let read_blob = |blob| Ok(staging.read_blob(blob)?);
        let records = ingested.iter().map(|ingested| &*ingested.record);
        let generated = generated::layer(&spec, packages.iter().zip(records), &read_blob)?;
        let generation = Generation {
            interpreter: InterpreterRef::from(&record.interpreter),
            prefix: prefix.clone(),
            generated: staging.layer(generated)?,
            packages,
            captured: self.before.captured.clone(),
            requirements: plan.requirements,
            lock: plan.lock,
            policy: self.before.policy,
        };
        let staging = Arc::into_inner(staging)
            .ok_or_else(|| EngineError::Bug("something still writes to the staging".to_owned()))?;
        Ok(Written {
            generation,
            staging,
        })
    }

    /// Has the store keep what was brought in for a generation that does not become the head.
    pub(super) fn set_aside(
        &self,
        generation: &Generation,
        staging: blast_store::Staging,
        ingested: &[super::ingest::Ingested],
    ) -> Result<Kept, EngineError> {
        let kept = self.home.store.keep(generation, staging)?;
        for ingested in ingested {
            if let Some(key) = &ingested.fresh {
                self.home.store.put_wheel(key, &ingested.record)?;
            }
        }
        Ok(kept)
    }

    pub(super) fn publish(
        &self,
        written: Written,
        ingested: &[super::ingest::Ingested],
        draft: OperationDraft,
    ) -> Result<blast_store::Operation, EngineError> {
        let env = &self.state.record.name;
        let transaction = self.home.store.begin(env)?;
        let mut unpublished = transaction.write(&written.generation, written.staging)?;
        let held = self.home.prepare(env, &mut unpublished)?;
        for ingested in ingested {
            if let Some(key) = &ingested.fresh {
                unpublished.remember(key.clone(), Arc::clone(&ingested.record));
            }
        }
        failpoint::hit(Point::EnginePublish).map_err(at(self.home.store.home()))?;
        let operation = unpublished.publish(draft, now_ms())?;
        self.home.swap(env, operation.after)?;
        drop(held);
        Ok(operation)
    }
}
