//! The checker: whether everything that environments, operations, snapshots, wheels and bytecode
//! records refer to is there and whole.
//!
//! Fast: every line of the journal is verified, and compared with what the index knows; every generation is read and its name compared with its bytes, every layer's structure is
//! verified, every blob's presence and size is asked of the file system. Deep: every byte of every
//! layer and of every blob on disk is hashed as well, also of blobs that nothing refers to now,
//! because the next installation would take them for good.
//!
//! It takes no lock for longer than a read of the index, so what is collected or published while
//! it runs may be reported as missing: the daemon runs it with no other work in flight.

mod records;
mod report;

use std::collections::{BTreeMap, BTreeSet};

use blast_types::{BlobId, EnvName, GenerationId, LayerId};
use rustc_hash::{FxHashMap, FxHashSet};

pub(crate) use records::difference;
pub use report::{CheckReport, Damage, Finding, Problem};

use crate::error::At as _;
use crate::index::{Key, from_json};
use crate::objects::Kind;
use crate::store::Inner;
use crate::{EntryKind, Generation, Layer, LayerFormatError, Store, StoreError, WheelRecord};

impl Store {
    /// Checks that all is there and whole; with `deep`, every byte.
    pub fn check(&self, deep: bool) -> Result<CheckReport, StoreError> {
        let mut checker = Checker::new(&self.inner, deep);
        checker.journal_and_index()?;
        checker.histories()?;
        checker.records()?;
        checker.layers();
        if deep {
            checker.hash_blobs()?;
            checker.unpack_blobs();
            checker.read_below();
        }
        checker.blame();
        Ok(checker.report)
    }
}

/// Who needs a layer or a generation.
#[derive(Debug, Default, Clone)]
struct Users {
    environments: BTreeSet<EnvName>,
    packages: BTreeSet<String>,
}

struct Checker<'a> {
    inner: &'a Inner,
    report: CheckReport,
    layers: BTreeMap<LayerId, Users>,
    open: Vec<Layer>,
    seen: FxHashSet<BlobId>,
    /// Blobs with a problem, to be blamed on layers at the end.
    bad: FxHashMap<BlobId, Problem>,
}

impl<'a> Checker<'a> {
    fn new(inner: &'a Inner, deep: bool) -> Self {
        let report = CheckReport {
            deep,
            environments: 0,
            generations: 0,
            layers: 0,
            blobs: 0,
            bytes_read: 0,
            findings: Vec::new(),
        };
        Self {
            inner,
            report,
            layers: BTreeMap::new(),
            open: Vec::new(),
            seen: FxHashSet::default(),
            bad: FxHashMap::default(),
        }
    }

    fn find(&mut self, problem: Problem, users: Users) {
        let Users {
            environments,
            packages,
        } = users;
        self.report.findings.push(Finding {
            problem,
            environments,
            packages,
            paths: BTreeSet::new(),
        });
    }

    /// Reads all generations that environments refer to and collects their layers.
    fn histories(&mut self) -> Result<(), StoreError> {
        let mut generations: BTreeMap<GenerationId, BTreeSet<EnvName>> = BTreeMap::new();
        for entry in self.inner.env_entries()? {
            self.report.environments += 1;
            let env = &entry.record.name;
            let mut need = |id| generations.entry(id).or_default().insert(env.clone());
            need(entry.head);
            let operations = self.inner.operations_of(entry.serial)?;
            for operation in &operations {
                need(operation.after);
                operation.before.map(&mut need);
            }
            for snapshot in self.inner.snapshots_of(entry.serial)? {
                need(snapshot.generation);
            }
            // Collection may have been told to keep no operation at all.
            let last = operations.last();
            if last.is_some_and(|last| last.id != entry.operation || last.after != entry.head) {
                let environments = BTreeSet::from([env.clone()]);
                let (head, operation) = (entry.head, entry.operation);
                self.find(
                    Problem::HeadWithoutOperation { head, operation },
                    Users {
                        environments,
                        ..Users::default()
                    },
                );
            }
        }
        for (id, environments) in generations {
            self.generation(id, environments)?;
        }
        Ok(())
    }

    fn generation(
        &mut self,
        id: GenerationId,
        environments: BTreeSet<EnvName>,
    ) -> Result<(), StoreError> {
        self.report.generations += 1;
        let users = Users {
            environments,
            packages: BTreeSet::new(),
        };
        match self.inner.read_generation(id) {
            Ok(generation) => self.need_layers(&generation, &users),
            Err(StoreError::MissingGeneration { id }) => {
                self.find(Problem::MissingGeneration { generation: id }, users);
            }
            Err(StoreError::DamagedGeneration { id, reason }) => {
                self.find(
                    Problem::DamagedGeneration {
                        generation: id,
                        reason,
                    },
                    users,
                );
            }
            Err(StoreError::Io { source, .. }) => {
                let reason = format!("it cannot be read: {source}");
                self.find(
                    Problem::DamagedGeneration {
                        generation: id,
                        reason,
                    },
                    users,
                );
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn need_layers(&mut self, generation: &Generation, users: &Users) {
        for layer in generation.layers() {
            let known = self.layers.entry(layer).or_default();
            known
                .environments
                .extend(users.environments.iter().cloned());
        }
        for package in &generation.packages {
            let name = format!("{}=={}", package.name, package.version);
            self.layers
                .entry(package.layer)
                .or_default()
                .packages
                .insert(name);
        }
    }

    /// Collects the layers of wheels and of bytecode, which installations rely on.
    fn records(&mut self) -> Result<(), StoreError> {
        for (_, value) in self.inner.index.scan(Key::WHEELS)? {
            let record: WheelRecord = from_json(&value)?;
            let name = format!("{}=={}", record.name, record.version);
            self.layers
                .entry(record.layer)
                .or_default()
                .packages
                .insert(name);
            for script in &record.python_scripts {
                self.blob(script.body, script.size);
            }
        }
        for (key, value) in self.inner.index.scan(Key::BYTECODES)? {
            let (Some(base), Ok(id)) = (Key::digest_of(&key), value.try_into()) else {
                continue;
            };
            let users = self
                .layers
                .entry(LayerId::from_bytes(base))
                .or_default()
                .clone();
            let known = self.layers.entry(LayerId::from_bytes(id)).or_default();
            known.environments.extend(users.environments);
            known.packages.extend(users.packages);
        }
        Ok(())
    }

    fn layers(&mut self) {
        for (id, users) in self.layers.clone() {
            self.report.layers += 1;
            // Mapped anew, past the cache, to see what is on disk.
            let mapped = self.inner.map_layer(id);
            let verified = mapped.and_then(|layer| layer.verify().map(|()| layer));
            match verified {
                Ok(layer) => self.layer(layer, users),
                Err(LayerFormatError::Missing) => {
                    self.find(Problem::MissingLayer { layer: id }, users);
                }
                Err(error) => {
                    let reason = error.to_string();
                    self.find(Problem::DamagedLayer { layer: id, reason }, users);
                }
            }
        }
    }

    fn layer(&mut self, layer: Layer, users: Users) {
        if self.report.deep {
            self.report.bytes_read += layer.encoded().len() as u64;
            if blake3::hash(layer.encoded()).as_bytes() != layer.id().as_bytes() {
                let reason = "its bytes do not match its name".to_owned();
                self.find(
                    Problem::DamagedLayer {
                        layer: layer.id(),
                        reason,
                    },
                    users,
                );
                return;
            }
        }
        for (_, entry) in layer.entries() {
            match entry.kind {
                EntryKind::File { blob } => self.blob(blob, entry.size),
                EntryKind::Extended {
                    blob, base_size, ..
                } => self.blob(blob, base_size),
                _ => {}
            }
        }
        self.open.push(layer);
    }

    fn blob(&mut self, blob: BlobId, expected: u64) {
        if !self.seen.insert(blob) {
            return;
        }
        self.report.blobs += 1;
        let found = self.inner.size_anywhere(blob);
        match found.or_else(|| self.inner.packs.size(blob)) {
            None => self.bad.insert(blob, Problem::MissingBlob { blob }),
            Some(found) if found != expected => self.bad.insert(
                blob,
                Problem::WrongSize {
                    blob,
                    expected,
                    found,
                },
            ),
            Some(_) => None,
        };
    }

    fn hash_blobs(&mut self) -> Result<(), StoreError> {
        let inner = self.inner;
        inner.objects.walk(Kind::Blobs, |digest, size| {
            let blob = BlobId::from_bytes(digest);
            let path = inner.objects.path(blob);
            if self.seen.insert(blob) {
                self.report.blobs += 1;
            }
            self.report.bytes_read += size;
            let mut hasher = blake3::Hasher::new();
            let problem = match hasher.update_mmap(&path).at("read", &path) {
                Ok(hasher) if hasher.finalize().as_bytes() == blob.as_bytes() => return Ok(()),
                Ok(_) => Problem::DamagedBlob { blob },
                Err(StoreError::Io { source, .. }) => Problem::UnreadableBlob {
                    blob,
                    reason: source.to_string(),
                },
                Err(error) => return Err(error),
            };
            self.bad.entry(blob).or_insert(problem);
            Ok(())
        })
    }

    /// Reads the blobs that are in the store below.
    fn read_below(&mut self) {
        let inner = self.inner;
        let Some(below) = inner.below.get() else {
            return;
        };
        for &blob in &self.seen {
            let Some(size) = below.size(blob).filter(|_| !inner.objects.has(blob)) else {
                continue;
            };
            self.report.bytes_read += size;
            if let Err(error) = below.read(blob) {
                tracing::warn!(blob = %blob.short(), %error, "the store below is damaged");
                self.bad
                    .entry(blob)
                    .or_insert(Problem::DamagedBlob { blob });
            }
        }
    }

    /// Reads the blobs that have no file yet.
    fn unpack_blobs(&mut self) {
        let (found, bytes) = self.inner.damaged_in_packs();
        self.report.bytes_read += bytes;
        for (blob, reason) in found {
            tracing::warn!(blob = %blob.short(), reason, "what is in a pack is damaged");
            self.bad
                .entry(blob)
                .or_insert(Problem::DamagedBlob { blob });
        }
    }

    /// Turns bad blobs into findings that name the packages and paths they belong to.
    fn blame(&mut self) {
        let mut findings: BTreeMap<BlobId, Finding> = BTreeMap::new();
        for (&blob, problem) in &self.bad {
            let (environments, packages, paths) = Default::default();
            let problem = problem.clone();
            findings.insert(
                blob,
                Finding {
                    problem,
                    environments,
                    packages,
                    paths,
                },
            );
        }
        if findings.is_empty() {
            return;
        }
        for layer in &self.open {
            let users = &self.layers[&layer.id()];
            for (index, entry) in layer.entries() {
                let (EntryKind::File { blob } | EntryKind::Extended { blob, .. }) = entry.kind
                else {
                    continue;
                };
                if let Some(finding) = findings.get_mut(&blob) {
                    finding
                        .environments
                        .extend(users.environments.iter().cloned());
                    finding.packages.extend(users.packages.iter().cloned());
                    finding.paths.insert(layer.path(index));
                }
            }
        }
        self.report.findings.extend(findings.into_values());
    }
}
