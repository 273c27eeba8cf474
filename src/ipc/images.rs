//! Requests about images, and their answers; part of the protocol.

use std::path::PathBuf;

use blast_types::{EnvName, GenerationId};
use serde::{Deserialize, Serialize};

use super::protocol::PythonSearch;

/// What a client can ask of images.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "image", rename_all = "kebab-case")]
pub(crate) enum ImageRequest {
    /// Write an environment to an image. Answered by `Reply::ImageBuilt`.
    Build(BuildImage),
    /// Make an environment what an image holds. Answered by `Reply::Changed`.
    Load(LoadImage),
    /// What an image says of itself. Answered by `Reply::Image`.
    Inspect {
        /// The file; absolute.
        path: PathBuf,
    },
    /// Read every byte of an image. Answered by `Reply::Image`.
    Verify {
        /// The file; absolute.
        path: PathBuf,
    },
}

/// See [`ImageRequest::Build`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BuildImage {
    /// Whose.
    pub(crate) env: EnvName,
    /// Which state, as `MoveTarget::Named`; default: the head.
    pub(crate) target: Option<String>,
    /// Where to; absolute. A file there is replaced.
    pub(crate) to: PathBuf,
    /// What to leave out.
    pub(crate) base: Option<ImageBase>,
    /// Level of zstd, 1 to 19.
    pub(crate) level: i32,
}

/// Where what an image leaves out is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "base", rename_all = "kebab-case")]
pub(crate) enum ImageBase {
    /// In another environment.
    Environment {
        /// Its name.
        name: EnvName,
    },
    /// In another image.
    Image {
        /// The file; absolute.
        path: PathBuf,
    },
}

/// See [`ImageRequest::Load`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LoadImage {
    /// The file; absolute.
    pub(crate) path: PathBuf,
    /// The environment; default: the one that the image names. Made unless it exists.
    pub(crate) env: Option<EnvName>,
    /// Where an interpreter for a new environment is looked for.
    pub(crate) search: PythonSearch,
    /// Compile bytecode only for what programs import.
    pub(crate) no_bytecode: bool,
    /// Only say what would be done.
    pub(crate) dry_run: bool,
}

/// An image that was built.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BuiltImage {
    /// Whose.
    pub(crate) environment: EnvName,
    /// Which state.
    pub(crate) generation: GenerationId,
    /// The file.
    pub(crate) path: PathBuf,
    /// SHA-256 of the manifest.
    pub(crate) digest: String,
    /// Bytes of the file.
    pub(crate) bytes: u64,
    /// Bytes of what it holds, unpacked.
    pub(crate) content_bytes: u64,
    /// Packages of the environment.
    pub(crate) packages: usize,
    /// Packages that the image itself holds.
    pub(crate) packs: usize,
    /// Milliseconds inside the daemon.
    pub(crate) took_ms: f64,
}

/// What an image says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ImageView {
    /// The file.
    pub(crate) path: PathBuf,
    /// Version of its format.
    pub(crate) version: u32,
    /// SHA-256 of the manifest.
    pub(crate) digest: String,
    /// Name of the environment.
    pub(crate) environment: EnvName,
    /// What it runs with, in words.
    pub(crate) python: String,
    /// Bytes of the file.
    pub(crate) bytes: u64,
    /// Bytes of what it holds, unpacked.
    pub(crate) content_bytes: u64,
    /// What was asked for.
    pub(crate) requirements: Vec<String>,
    /// By name.
    pub(crate) packages: Vec<ImagePackage>,
    /// The environment that it leaves the rest to.
    pub(crate) base: Option<EnvName>,
    /// Digest of the image that it leaves the rest to.
    pub(crate) base_digest: Option<String>,
    /// The lock, in `pylock.toml` form.
    pub(crate) lock: String,
    /// Whether every byte was read.
    pub(crate) verified: bool,
}

/// A package of an image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ImagePackage {
    /// Normalised name.
    pub(crate) name: String,
    /// Version.
    pub(crate) version: String,
    /// Whether the user asked for it by name.
    pub(crate) requested: bool,
    /// Its layer.
    pub(crate) layer: String,
    /// Where it came from, if from no index.
    pub(crate) direct_url: Option<String>,
    /// Its bytes in the image; nothing where the base has it.
    pub(crate) packed_bytes: Option<u64>,
    /// The same, unpacked.
    pub(crate) content_bytes: Option<u64>,
}
