//! What the checker says: plain data that names objects, environments, packages and paths.

use std::collections::BTreeSet;
use std::path::PathBuf;

use blast_types::{BlobId, EnvName, GenerationId, LayerId};
use serde::Serialize;

use crate::OperationId;

/// What the checker found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Whether every byte was read.
    pub deep: bool,
    /// Environments whose history was followed.
    pub environments: usize,
    /// Generations that were read.
    pub generations: usize,
    /// Layers that were verified.
    pub layers: usize,
    /// Blobs that were looked for, or hashed.
    pub blobs: usize,
    /// Bytes that were hashed.
    pub bytes_read: u64,
    /// What is wrong, in no order of weight.
    pub findings: Vec<Finding>,
}

impl CheckReport {
    /// Whether all is well.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// The objects that are lost or not what their names say.
    pub fn damage(&self) -> Damage {
        let mut damage = Damage::default();
        for finding in &self.findings {
            match finding.problem {
                Problem::MissingGeneration { generation }
                | Problem::DamagedGeneration { generation, .. } => {
                    damage.generations.insert(generation);
                }
                Problem::MissingLayer { layer } | Problem::DamagedLayer { layer, .. } => {
                    damage.layers.insert(layer);
                }
                Problem::MissingBlob { blob }
                | Problem::WrongSize { blob, .. }
                | Problem::DamagedBlob { blob }
                | Problem::UnreadableBlob { blob, .. } => {
                    damage.blobs.insert(blob);
                }
                Problem::HeadWithoutOperation { .. }
                | Problem::DamagedJournal { .. }
                | Problem::StaleIndex { .. } => {}
            }
        }
        damage
    }
}

/// Objects that are lost or not what their names say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Damage {
    /// Blobs.
    pub blobs: BTreeSet<BlobId>,
    /// Layers.
    pub layers: BTreeSet<LayerId>,
    /// Generations.
    pub generations: BTreeSet<GenerationId>,
}

impl Damage {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.blobs.is_empty() && self.layers.is_empty() && self.generations.is_empty()
    }
}

/// One thing that is wrong, and who suffers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is wrong.
    #[serde(flatten)]
    pub problem: Problem,
    /// The environments whose head, history or snapshots need the object.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub environments: BTreeSet<EnvName>,
    /// The packages that it belongs to, as `name==version`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub packages: BTreeSet<String>,
    /// The paths in the prefix that it stands for.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub paths: BTreeSet<String>,
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "problem", rename_all = "kebab-case")]
pub enum Problem {
    /// A generation is not there.
    MissingGeneration {
        /// Its name.
        generation: GenerationId,
    },
    /// A generation cannot be read, or is not what its name says.
    DamagedGeneration {
        /// Its name.
        generation: GenerationId,
        /// What is wrong with it.
        reason: String,
    },
    /// A layer is not there.
    MissingLayer {
        /// Its name.
        layer: LayerId,
    },
    /// A layer breaks a rule of its encoding, or is not what its name says.
    DamagedLayer {
        /// Its name.
        layer: LayerId,
        /// What is wrong with it.
        reason: String,
    },
    /// A blob is not there.
    MissingBlob {
        /// Its name.
        blob: BlobId,
    },
    /// A blob has another size than its layer says.
    WrongSize {
        /// Its name.
        blob: BlobId,
        /// Size in bytes that the layer states.
        expected: u64,
        /// Size in bytes that it has.
        found: u64,
    },
    /// A blob's bytes are not what its name says.
    DamagedBlob {
        /// Its name.
        blob: BlobId,
    },
    /// A blob cannot be read.
    UnreadableBlob {
        /// Its name.
        blob: BlobId,
        /// Why not.
        reason: String,
    },
    /// The newest operation of an environment is not in its history, or names another head.
    HeadWithoutOperation {
        /// The head.
        head: GenerationId,
        /// The operation that should have led to it.
        operation: OperationId,
    },
    /// Lines of the journal are unreadable, or it is gone. What the index knows of them stays; where it
    /// was made from this journal, nobody knows what they said.
    DamagedJournal {
        /// The journal.
        path: PathBuf,
        /// How many lines.
        lines: usize,
    },
    /// The index does not say what the journal says.
    StaleIndex {
        /// The database.
        path: PathBuf,
        /// How many of its rows differ or are missing.
        rows: usize,
    },
}
