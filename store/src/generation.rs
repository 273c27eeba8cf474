//! Generations: immutable descriptions of whole environments.
//!
//! Encoding: one line of JSON, fields in the order of the structs here, no optional white space,
//! beginning with the format's name, version and features; the file is named by the BLAKE3 of its
//! bytes. Packages are sorted by name, so that equal environments have equal names. The size grows
//! with the number of packages, never with the number of files.

use std::path::PathBuf;

use blast_types::{
    DirectUrl, ExtraName, GenerationId, Interpreter, LayerId, PackageName, Sha256, Version,
};
use serde::{Deserialize, Serialize};

use crate::StoreError;

/// Version of the encoding; a decoder refuses any other.
pub const GENERATION_VERSION: u32 = 1;
const FORMAT: &str = "blast-generation";

/// The part of an interpreter that a generation depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InterpreterRef {
    /// Absolute path of the base executable.
    pub executable: PathBuf,
    /// Full version, as `python_full_version`.
    pub version: String,
    /// `sys.implementation.cache_tag`.
    pub cache_tag: String,
    /// Bytecode magic number, in hexadecimal.
    pub magic: String,
}

impl InterpreterRef {
    /// The tag under which bytecode for this interpreter is shared: `<cache_tag>-<magic>`.
    pub fn bytecode_tag(&self) -> String {
        format!("{}-{}", self.cache_tag, self.magic)
    }
}

impl From<&Interpreter> for InterpreterRef {
    fn from(interpreter: &Interpreter) -> Self {
        Self {
            executable: interpreter.executable.clone(),
            version: interpreter.markers.python_full_version.clone(),
            cache_tag: interpreter.cache_tag.clone(),
            magic: interpreter.bytecode_magic.clone(),
        }
    }
}

/// The file that a package was installed from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// File name, as the index states it.
    pub filename: String,
    /// SHA-256 of the file; absent for what was never one file (a local project).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// SHA-256 of the wheel that was built from it, where it is no wheel itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built: Option<Sha256>,
    /// Where it was downloaded from, without credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The index that named it, without credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// Whether another tool installed it, or programs changed its files: its layer is not what the
    /// file holds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub captured: bool,
}

impl Artifact {
    /// SHA-256 of the wheel that was unpacked: the file itself, or what was built from it.
    pub fn wheel(&self) -> Option<Sha256> {
        self.built.or(self.sha256)
    }
}

/// One installed distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Normalised name.
    pub name: PackageName,
    /// Version.
    pub version: Version,
    /// What it adds to the prefix.
    pub layer: LayerId,
    /// What it came from.
    pub artifact: Artifact,
    /// `direct_url.json`, where no index named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct_url: Option<DirectUrl>,
    /// Whether the user asked for it, rather than a dependency.
    pub requested: bool,
    /// Extras that are in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extras: Vec<ExtraName>,
    /// The install scheme its layer was made for, such as `cpython-312`.
    pub scheme: String,
}

/// An immutable description of a whole environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// What runs it.
    pub interpreter: InterpreterRef,
    /// What `sys.prefix` is: the project's path, or the environment's in the view.
    pub prefix: PathBuf,
    /// Distributions, sorted by name ([`Generation::encode`] sorts).
    pub packages: Vec<Package>,
    /// `pyvenv.cfg`, console scripts, activation scripts, records of this environment.
    pub generated: LayerId,
    /// What other tools wrote, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub captured: Vec<LayerId>,
    /// What the user asked for, as requirement texts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requirements: Vec<String>,
    /// Digest of the lock that it follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Sha256>,
    /// Digest of the sandbox policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Sha256>,
}

#[derive(Serialize)]
struct EnvelopeRef<'a> {
    format: &'static str,
    version: u32,
    features: [&'static str; 0],
    generation: &'a Generation,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    #[serde(rename = "format")]
    _format: String,
    #[serde(rename = "version")]
    _version: u32,
    #[serde(rename = "features")]
    _features: Vec<String>,
    generation: Generation,
}

/// The beginning of any generation file, whatever its version.
#[derive(Deserialize)]
struct Heading {
    format: String,
    version: u32,
    features: Vec<String>,
}

impl Generation {
    /// All layers, lowest first: where two have the same path, the later one wins.
    pub fn layers(&self) -> impl Iterator<Item = LayerId> + '_ {
        self.packages
            .iter()
            .map(|package| package.layer)
            .chain(self.captured.iter().copied())
            .chain([self.generated])
    }

    /// The package of this name.
    pub fn package(&self, name: &PackageName) -> Option<&Package> {
        self.packages.iter().find(|package| &package.name == name)
    }

    /// The canonical encoding and its name.
    pub fn encode(&self) -> Result<(GenerationId, Vec<u8>), StoreError> {
        let mut sorted;
        let generation = if self.packages.is_sorted_by(|a, b| a.name <= b.name) {
            self
        } else {
            sorted = self.clone();
            sorted.packages.sort_by(|a, b| a.name.cmp(&b.name));
            &sorted
        };
        let mut bytes = serde_json::to_vec(&EnvelopeRef {
            format: FORMAT,
            version: GENERATION_VERSION,
            features: [],
            generation,
        })
        .map_err(|source| StoreError::Record {
            what: "generation",
            source,
        })?;
        bytes.push(b'\n');
        Ok((
            GenerationId::from_bytes(*blake3::hash(&bytes).as_bytes()),
            bytes,
        ))
    }

    /// Reads a generation file that should be called `id`.
    pub fn decode(id: GenerationId, bytes: &[u8]) -> Result<Self, StoreError> {
        let damaged = |reason: String| StoreError::DamagedGeneration { id, reason };
        if blake3::hash(bytes).as_bytes() != id.as_bytes() {
            return Err(damaged("its bytes do not match its name".to_owned()));
        }
        let heading: Heading =
            serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        if heading.format != FORMAT {
            return Err(damaged(format!("it is a `{}`", heading.format)));
        }
        if heading.version != GENERATION_VERSION {
            return Err(damaged(format!(
                "it has version {}, this blast reads {GENERATION_VERSION}",
                heading.version
            )));
        }
        if let Some(feature) = heading.features.first() {
            return Err(damaged(format!("it needs the unknown feature `{feature}`")));
        }
        serde_json::from_slice::<Envelope>(bytes)
            .map(|envelope| envelope.generation)
            .map_err(|error| damaged(error.to_string()))
    }
}
