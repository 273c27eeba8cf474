//! Why the engine could not do what it was asked.

mod telling;

use std::io;
use std::path::PathBuf;

use blast_index::wheel::{WheelError, WheelProblem};
use blast_types::{EnvName, PackageName};

use crate::interpreter::FindError;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    /// No environment of this name.
    #[error("there is no environment `{0}`")]
    NoEnvironment(EnvName),
    /// The name belongs to another project.
    #[error("the environment `{name}` belongs to the project {project}")]
    OtherProject {
        /// The name asked for.
        name: EnvName,
        /// Whose it is.
        project: PathBuf,
    },
    /// It exists, with an interpreter other than the one asked for.
    #[error("the environment `{name}` exists with Python {has}, not {wanted}")]
    OtherPython {
        /// The environment.
        name: EnvName,
        /// Its version.
        has: String,
        /// What was asked for.
        wanted: String,
    },
    /// A state of an environment with another Python.
    #[error("`{from}` has Python {wanted} there, and `{env}` has {has}")]
    OtherInterpreter {
        /// The environment that it shall come to.
        env: EnvName,
        /// Its version.
        has: String,
        /// The environment that the state is of.
        from: EnvName,
        /// The version that it has there.
        wanted: String,
    },
    /// A requirement cannot be read.
    #[error("`{text}`{origin} is no requirement: {reason}")]
    BadRequirement {
        /// As written.
        text: String,
        /// ` (requirements.txt:3)` or empty.
        origin: String,
        /// What the parser says.
        reason: String,
    },
    /// A project name cannot be read.
    #[error("`{0}` is no valid package name")]
    BadPackageName(String),
    /// A package came from something that is no file of an index and was built here, and the cache has
    /// no wheel of it any more.
    #[error("the wheel of `{package}` was built here and is not kept any more")]
    NotToBeHad {
        /// The package.
        package: PackageName,
    },
    /// A wheel that is brought again gives another layer than it did.
    #[error("the wheel of `{package}` gives other files than it did when it was installed")]
    OtherLayer {
        /// The package.
        package: PackageName,
    },
    /// The change is made, and programs do not see it.
    #[error("the environment `{env}` is changed, but still shows what it was")]
    NotShown {
        /// The environment.
        env: EnvName,
        /// Why.
        source: Box<EngineError>,
    },
    /// A build failed.
    #[error("cannot build {what}")]
    Build {
        /// Name and version, or where the sources are.
        what: String,
        /// Why.
        source: Box<super::build::BuildError>,
    },
    /// `--no-build-isolation` without an environment.
    #[error("there is no environment to build in")]
    NothingToBuildIn,
    /// A URL that leads to nothing that could be installed.
    #[error("`{0}` names no distribution")]
    NoDistribution(String),
    /// No hash was stated of what would come, while one was of something else.
    #[error("no hash was stated of {}, while hashes were of others", packages.join(", "))]
    Unhashed {
        /// What would come, each with its version.
        packages: Vec<String>,
    },
    /// Sources of something else than was said.
    #[error("{place} is {found}, not {expected}")]
    OtherSources {
        /// Where they are.
        place: String,
        /// What was asked for.
        expected: PackageName,
        /// What they are.
        found: PackageName,
    },
    /// A package to remove or update is not there.
    #[error("{package} is not installed in `{env}`")]
    NotInstalled {
        /// The package.
        package: PackageName,
        /// Where it was looked for.
        env: EnvName,
    },
    /// A package to remove is needed by others.
    #[error("{package} is needed by {}", needed_by.join(", "))]
    StillNeeded {
        /// The package.
        package: PackageName,
        /// Installed packages that require it.
        needed_by: Vec<String>,
    },
    /// Nothing to undo or do again.
    #[error("there is nothing to {verb} in `{env}`")]
    NothingTo {
        /// `undo` or `redo`.
        verb: &'static str,
        /// Where.
        env: EnvName,
    },
    /// A target of `revert` or `diff` that names nothing.
    #[error("`{target}` names no operation, generation or snapshot of `{env}`")]
    NoSuchState {
        /// As typed.
        target: String,
        /// Where it was looked for.
        env: EnvName,
    },
    /// A target of `show` that names nothing.
    #[error("`{target}` names no operation of `{env}`")]
    NoSuchOperation {
        /// As typed.
        target: String,
        /// Where it was looked for.
        env: EnvName,
    },
    /// A time before all that the history tells.
    #[error("the history of `{env}` does not reach back to {}", in_words(*at_ms))]
    TooLongAgo {
        /// Whose.
        env: EnvName,
        /// The time, in milliseconds since the Unix epoch.
        at_ms: i64,
    },
    /// A package that an environment never had.
    #[error("{package} was never installed in `{env}`, as far as its history tells")]
    NeverInstalled {
        /// The package.
        package: PackageName,
        /// Where it was looked for.
        env: EnvName,
    },
    /// No snapshot of this name.
    #[error("there is no snapshot `{name}` of `{env}`")]
    NoSnapshot {
        /// As typed.
        name: String,
        /// Where it was looked for.
        env: EnvName,
    },
    /// The hash that a lock or `--hash` states is not the artifact's.
    #[error("{file} does not have the hash that {stated_by} states")]
    WrongHash {
        /// The artifact.
        file: String,
        /// Lock or requirements file.
        stated_by: String,
    },
    /// No file of a pinned version can be installed.
    #[error("{package}=={version} cannot be used for {target}: it is {reason}")]
    NoWheel {
        /// The package.
        package: PackageName,
        /// The version.
        version: String,
        /// The interpreter, in words.
        target: String,
        /// Why the file that came closest does not do.
        reason: String,
    },
    /// The index has no such version.
    #[error("{package}=={version} is not to be found")]
    NoVersion {
        /// The package.
        package: PackageName,
        /// The version.
        version: String,
        /// Versions near it.
        near: Vec<String>,
    },
    /// A lock is not what PEP 751 allows, or not for this interpreter.
    #[error("{path} cannot be used")]
    Lock {
        /// The lock.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A resolution that no lock can state.
    #[error(transparent)]
    NotLockable(#[from] blast_resolver::lock::LockError),
    /// A name, path or variable that no activation script can hold.
    #[error(transparent)]
    Activation(#[from] crate::activation::ActivationError),
    /// Nobody says where packages come from.
    #[error("no package index is configured, and the interpreter has no pip that knows one")]
    NoIndex,
    /// Two pins of one package.
    #[error("{package} is pinned twice: {} and {}", pins[0], pins[1])]
    TwoPins {
        /// The package.
        package: PackageName,
        /// Both, as written.
        pins: [String; 2],
    },
    /// The daemon shall end while it works for others.
    #[error("the daemon is working for another command")]
    Busy,
    /// A `--python` that cannot be read.
    #[error(transparent)]
    PythonRequest(#[from] crate::interpreter::RequestError),
    /// The view shall go while programs use it.
    #[error("programs use the environments in {live}")]
    InUse {
        /// Where the view is mounted.
        live: PathBuf,
    },
    /// Finding an interpreter.
    #[error(transparent)]
    Interpreter(#[from] FindError),
    /// Resolving.
    #[error(transparent)]
    Resolve(#[from] blast_resolver::ResolveError),
    /// The index.
    #[error(transparent)]
    Index(#[from] blast_index::IndexError),
    /// A wheel that is refused.
    #[error(transparent)]
    Wheel(WheelError),
    /// The content of a wheel cannot be written.
    #[error("cannot unpack {wheel} into the store")]
    Unpack {
        /// File name of the wheel.
        wheel: String,
        /// Why.
        source: io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] blast_store::StoreError),
    /// Another change was made meanwhile, of what this one is about.
    #[error("{0}")]
    Overtaken(Box<super::overtaken::Refusal>),
    /// A head that moved at the last moment.
    #[error(transparent)]
    Publish(#[from] blast_store::PublishError),
    /// An image.
    #[error(transparent)]
    Image(#[from] super::image::ImageTrouble),
    /// A layer cannot be made.
    #[error("the layer of {what} cannot be made")]
    Layer {
        /// The distribution.
        what: String,
        /// Why.
        source: blast_store::LayerError,
    },
    /// Mounting the view.
    #[error(transparent)]
    Mount(#[from] blast_fs::MountError),
    /// The plain files of an environment.
    #[error("cannot write the files of the environment at {path}")]
    Files {
        /// Where it is to be.
        path: PathBuf,
        /// Why.
        source: blast_fs::plain::PlainError,
    },
    /// A place for plain files that has something in it.
    #[error("{path} {what}")]
    NotFree {
        /// The place.
        path: PathBuf,
        /// `is not empty`, …
        what: &'static str,
    },
    /// Hard links that cannot be.
    #[error("{path} cannot have hard links to the store")]
    NoHardLinks {
        /// The place.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of ours.
    #[error("cannot access {path}")]
    Io {
        /// It.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Marker values or tags of an interpreter.
    #[error(transparent)]
    Target(#[from] blast_types::TargetError),
    /// A broken promise of our own.
    #[error("internal error: {0}")]
    Bug(String),
    /// Metadata that another tool wrote.
    #[error("the distribution at {folder} cannot be understood: {reason}")]
    CapturedMetadata {
        /// Its metadata folder, below the prefix.
        folder: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No area for writes.
    #[error("{0} is no area that writes of this environment are captured from")]
    NoArea(PathBuf),
}

impl From<WheelError> for EngineError {
    fn from(error: WheelError) -> Self {
        match error.problem {
            // Not the wheel failed, but the disk that it is unpacked to.
            WheelProblem::Sink(source) => Self::Unpack {
                wheel: error.wheel,
                source,
            },
            _ => Self::Wheel(error),
        }
    }
}

/// A time as people read it, where we are.
fn in_words(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).map_or_else(
        |_| format!("{at_ms} ms"),
        |time| {
            let zoned = time.to_zoned(jiff::tz::TimeZone::system());
            zoned.strftime("%Y-%m-%d %H:%M:%S").to_string()
        },
    )
}

impl From<blast_store::ImageError> for EngineError {
    fn from(error: blast_store::ImageError) -> Self {
        Self::Image(error.into())
    }
}

/// Gives an I/O error its path.
pub(crate) fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> EngineError {
    let path = path.into();
    move |source| EngineError::Io { path, source }
}
