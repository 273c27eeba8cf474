//! What a repair needs of the store. It is led by who can bring lost bytes again (`check` finds, the
//! engine fetches); here is what the store can do by itself.
//!
//! # Order
//! Records first: what is needed is known from them alone. Then what has a copy ([`Store::restore_copies`])
//! and what nothing needs, then wheels ([`Store::packages_with`], [`Store::stage_anew`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;

use blast_types::{EnvName, GenerationId, LayerId};

use crate::check::difference;
use crate::error::At as _;
use crate::index::{Key, from_json};
use crate::objects::ObjectId;
use crate::staging::Staging;
use crate::{
    CheckReport, Damage, Generation, Package, Problem, Store, StoreError, WheelKey, WheelRecord,
};

impl Store {
    /// Mends journal and index from each other: a damaged journal is written anew from the index, a
    /// stale index is made anew from the journal. Says whether there was anything to do.
    pub fn mend_records(&self, report: &CheckReport) -> Result<bool, StoreError> {
        let inner = &self.inner;
        let mut mended = false;
        for finding in &report.findings {
            match finding.problem {
                Problem::DamagedJournal { .. } => {
                    let _gate = inner.gate();
                    inner.rewrite_journal(&mut inner.writer(), Vec::new())?;
                    mended = true;
                }
                Problem::StaleIndex { .. } => {
                    self.rebuild_index()?;
                    mended = true;
                }
                _ => {}
            }
        }
        Ok(mended)
    }

    fn rebuild_index(&self) -> Result<(), StoreError> {
        let inner = &self.inner;
        let _gate = inner.close_gate();
        let mut writer = inner.writer();
        let batch = difference(inner.index.as_ref(), &writer.journal)?;
        inner
            .index
            .apply(batch)
            .inspect_err(|_| writer.journal.mark_broken())?;
        inner.caches.clear();
        Ok(())
    }

    /// Begins to add objects, of which those that are damaged are taken anew and put in the place of
    /// what is there.
    pub fn stage_anew(&self, damage: &Damage) -> Result<Staging, StoreError> {
        // For the look at the home.
        drop(self.stage()?);
        let blobs = damage.blobs.iter().copied().map(ObjectId::from);
        let layers = damage.layers.iter().copied().map(ObjectId::from);
        let generations = damage.generations.iter().copied().map(ObjectId::from);
        let anew = blobs.chain(layers).chain(generations).collect();
        Ok(Staging::anew(std::sync::Arc::clone(&self.inner), anew))
    }

    /// The packages, of any generation that an environment needs, whose wheel brings something of
    /// this damage, or of which the store forgot what their wheel became.
    pub fn packages_with(&self, damage: &Damage) -> Result<Vec<(EnvName, Package)>, StoreError> {
        let mut found = BTreeMap::new();
        for (env, _, generation) in self.needed_generations()? {
            for package in &generation.packages {
                if !found.contains_key(&package.layer) && self.is_touched(package, damage)? {
                    found.insert(package.layer, (env.clone(), package.clone()));
                }
            }
        }
        Ok(found.into_values().collect())
    }

    fn is_touched(&self, package: &Package, damage: &Damage) -> Result<bool, StoreError> {
        let Some(sha256) = package.artifact.wheel() else {
            return Ok(self.is_damaged(package.layer, damage));
        };
        let scheme = package.scheme.clone();
        let record = self.wheel(&WheelKey { sha256, scheme })?;
        Ok(self.is_damaged(package.layer, damage)
            || record.is_none_or(|record| names_damaged(&record, damage)))
    }

    /// Whether a layer or any blob of it is damaged.
    fn is_damaged(&self, layer: LayerId, damage: &Damage) -> bool {
        if damage.layers.contains(&layer) {
            return true;
        }
        match self.inner.map_layer(layer) {
            Ok(layer) => layer.blobs().any(|blob| damage.blobs.contains(&blob)),
            Err(_) => true,
        }
    }

    /// The generations with a damaged generated layer, with an environment that needs each.
    pub fn generated_with(
        &self,
        damage: &Damage,
    ) -> Result<Vec<(EnvName, Generation)>, StoreError> {
        let mut found = BTreeMap::new();
        for (env, _, generation) in self.needed_generations()? {
            if damage.layers.contains(&generation.generated) {
                found.insert(generation.generated, (env, generation));
            }
        }
        Ok(found.into_values().collect())
    }

    /// Every generation that an environment needs and that can be read, once.
    fn needed_generations(&self) -> Result<Vec<(EnvName, GenerationId, Generation)>, StoreError> {
        let inner = &self.inner;
        let mut seen = BTreeSet::new();
        let mut needed = Vec::new();
        for entry in inner.env_entries()? {
            let mut ids = vec![entry.head];
            for operation in inner.operations_of(entry.serial)? {
                ids.push(operation.after);
                ids.extend(operation.before);
            }
            let snapshots = inner.snapshots_of(entry.serial)?.into_iter();
            ids.extend(snapshots.map(|snapshot| snapshot.generation));
            for id in ids {
                if let (true, Ok(generation)) = (seen.insert(id), inner.read_generation(id)) {
                    needed.push((entry.record.name.clone(), id, generation));
                }
            }
        }
        Ok(needed)
    }

    /// Forgets damaged bytecode, which is compiled again, and damaged wheels that no environment
    /// needs; removes damaged objects that nothing needs. Says how many objects and records went.
    pub fn drop_needless(&self, report: &CheckReport) -> Result<usize, StoreError> {
        let inner = &self.inner;
        let damage = report.damage();
        let needed: BTreeSet<LayerId> = self
            .needed_generations()?
            .iter()
            .flat_map(|(_, _, generation)| generation.layers().collect::<Vec<_>>())
            .collect();
        let mut dead = Vec::new();
        let mut needless = Vec::new();
        let _gate = inner.close_gate();
        for (key, value) in inner.index.scan(Key::BYTECODES)? {
            let Ok(companion) = <[u8; 32]>::try_from(value).map(LayerId::from_bytes) else {
                continue;
            };
            if !needed.contains(&companion) && self.is_damaged(companion, &damage) {
                needless.push(ObjectId::from(companion));
                dead.push(key);
            }
        }
        for (key, value) in inner.index.scan(Key::WHEELS)? {
            let record: WheelRecord = from_json(&value)?;
            let bad = self.is_damaged(record.layer, &damage) || names_damaged(&record, &damage);
            if !needed.contains(&record.layer) && bad {
                needless.push(record.layer.into());
                dead.push(key);
            }
        }
        for finding in &report.findings {
            if !finding.environments.is_empty() {
                continue;
            }
            match finding.problem {
                Problem::DamagedLayer { layer, .. } => needless.push(layer.into()),
                Problem::DamagedBlob { blob }
                | Problem::WrongSize { blob, .. }
                | Problem::UnreadableBlob { blob, .. } => needless.push(blob.into()),
                _ => {}
            }
        }
        let mut dropped = dead.len();
        if !dead.is_empty() {
            inner.rewrite_journal(&mut inner.writer(), dead)?;
        }
        for id in needless {
            let path = inner.objects.path(id);
            match fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => {
                    removed.at("remove", &path)?;
                    dropped += 1;
                }
            }
        }
        inner.caches.clear();
        Ok(dropped)
    }
}

fn names_damaged(record: &WheelRecord, damage: &Damage) -> bool {
    let scripts = record.python_scripts.iter().map(|script| script.body);
    let mut blobs = scripts.chain([record.record_blob]);
    blobs.any(|blob| damage.blobs.contains(&blob))
}
