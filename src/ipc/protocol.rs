//! The messages between the command line and the daemon.
//!
//! One connection carries one request: the client writes one [`Envelope`] as a line of JSON, the
//! daemon answers with any number of [`Frame::Event`] lines and then exactly one
//! [`Frame::Reply`] or [`Frame::Error`]. A client that hangs up before that cancels its request;
//! nothing is half-done then, since a change becomes visible by one compare-and-swap at its end.
//!
//! JSON lines, so that the Python side can speak it with its standard library alone. The protocol
//! is versioned by [`VERSION`]; a daemon refuses versions it does not know by
//! [`ErrorKind::Version`], and the client then replaces an idle daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use blast_index::Sources;
use blast_resolver::{PrereleaseMode, ResolutionMode};
use blast_types::{
    EnvName, Event, ExtraName, GenerationId, GroupName, NamedPlatform, PackageName, SnapshotName,
};
use serde::{Deserialize, Serialize};

use super::packages::{DependencyGraph, OutdatedPackage};

/// Version of the message format.
pub(crate) const VERSION: u32 = 1;

/// The first and only line of a client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Envelope {
    /// [`VERSION`] of the client.
    pub(crate) v: u32,
    /// Build of the client (`CARGO_PKG_VERSION`), for `status` and version mismatches.
    pub(crate) build: String,
    /// `$BLAST_HOME` or its default; absolute.
    pub(crate) home: PathBuf,
    /// `$BLAST_CACHE` or its default; absolute.
    pub(crate) cache: PathBuf,
    /// How environments shall be shown.
    #[serde(default)]
    pub(crate) view: ViewChoice,
    /// What the user typed, for the history.
    pub(crate) command: Vec<String>,
    /// What is asked.
    pub(crate) request: Request,
}

/// How environments are to be shown: the setting `view`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ViewChoice {
    /// In a view where one can be mounted, else as plain files.
    #[default]
    Auto,
    /// In a view, or not at all.
    Fuse,
    /// As plain files.
    Files,
}

/// What a client can ask.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub(crate) enum Request {
    /// Is anybody there? Answered by [`Reply::Pong`].
    Ping,
    /// Create an environment unless it exists. Answered by [`Reply::Started`].
    Start(Start),
    /// Change what an environment holds. Answered by [`Reply::Changed`].
    Change(Change),
    /// Go to another generation. Answered by [`Reply::Changed`].
    Move(Move),
    /// The history. Answered by [`Reply::History`].
    Log {
        /// Whose.
        env: EnvName,
        /// At most so many, newest first.
        limit: Option<usize>,
    },
    /// What differs between two generations. Answered by [`Reply::Diff`].
    Diff {
        /// Whose.
        env: EnvName,
        /// Older side, as [`Move::target`]; default: the state before the head's operation.
        from: Option<String>,
        /// Newer side; default: the head.
        to: Option<String>,
    },
    /// Name the head. Answered by [`Reply::Snapshots`] with the one made.
    Save {
        /// Whose.
        env: EnvName,
        /// The name; made from the time where absent.
        name: Option<SnapshotName>,
        /// Only say what would be done.
        dry_run: bool,
    },
    /// Forget a snapshot. Answered by [`Reply::Snapshots`] with the one forgotten.
    DeleteSnapshot {
        /// Whose.
        env: EnvName,
        /// Which.
        name: SnapshotName,
        /// Only say what would be done.
        dry_run: bool,
    },
    /// All snapshots of an environment. Answered by [`Reply::Snapshots`].
    Snapshots {
        /// Whose.
        env: EnvName,
    },
    /// Resolve without touching an environment. Answered by [`Reply::Locked`].
    Lock(LockRequest),
    /// What an environment holds. Answered by [`Reply::Packages`].
    List {
        /// Whose.
        env: EnvName,
    },
    /// Who requires whom. Answered by [`Reply::Graph`].
    Graph {
        /// Whose.
        env: EnvName,
    },
    /// Which packages have newer versions. Answered by [`Reply::Outdated`].
    Outdated(OutdatedRequest),
    /// The state of the daemon, and of one environment if named. Answered by [`Reply::Status`].
    Status {
        /// Whose.
        env: Option<EnvName>,
    },
    /// All environments. Answered by [`Reply::Environments`].
    Environments,
    /// Delete environments. Answered by [`Reply::Environments`] with those deleted.
    RemoveEnvironments {
        /// Which.
        names: Vec<EnvName>,
        /// Only say what would be done.
        dry_run: bool,
    },
    /// Make sure that the environment is visible and say where. Answered by [`Reply::Entered`].
    Enter {
        /// Which.
        env: EnvName,
        /// Name the generation's own tree, which never changes.
        pin: bool,
    },
    /// Write an environment to a directory as plain files. Answered by [`Reply::Materialised`].
    Materialise(Materialise),
    /// Compile the bytecode of an environment that is not compiled yet, and wait for it. Answered
    /// by [`Reply::Compiled`].
    Compile {
        /// Whose.
        env: EnvName,
    },
    /// Look for damage. Answered by [`Reply::Checked`].
    Check {
        /// Read every byte.
        deep: bool,
    },
    /// Free what nothing refers to. Answered by [`Reply::Cleaned`].
    Clean {
        /// Only say what would be freed.
        dry_run: bool,
        /// Keep at most so many operations of each environment.
        keep_operations: Option<usize>,
    },
    /// Bring cached pages of indexes up to date. Answered by [`Reply::Refreshed`].
    Refresh {
        /// Of these packages; none: of what all environments hold.
        packages: Vec<String>,
        /// Where packages come from.
        sources: Sources,
    },
    /// All interpreters. Answered by [`Reply::Pythons`].
    Pythons {
        /// Where to look.
        search: PythonSearch,
    },
    /// Stop showing an environment (or all), without deleting it. Answered by [`Reply::Done`].
    Hide {
        /// Which; `None`: the whole view of this home.
        env: Option<EnvName>,
        /// Even while programs use it.
        force: bool,
    },
    /// Unmount everything and end the daemon. Answered by [`Reply::Done`] just before it ends.
    Shutdown {
        /// Do not wait for running requests.
        force: bool,
    },
}

/// See [`Request::Start`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Start {
    /// Its name.
    pub(crate) name: EnvName,
    /// `--python`, as typed.
    pub(crate) python: Option<String>,
    /// `requires-python` of the project.
    pub(crate) requires_python: Option<String>,
    /// Root of the project it belongs to.
    pub(crate) project: Option<PathBuf>,
    /// Variables that activation and `run` set; merged over those it has.
    pub(crate) variables: BTreeMap<String, String>,
    /// Where interpreters are looked for.
    pub(crate) search: PythonSearch,
}

/// The client's view of the world, for finding interpreters.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct PythonSearch {
    /// `$PATH`.
    pub(crate) path: String,
    /// Working directory.
    pub(crate) cwd: PathBuf,
    /// `$HOME`.
    pub(crate) home: Option<PathBuf>,
    /// `$PYENV_ROOT`.
    pub(crate) pyenv_root: Option<PathBuf>,
}

/// See [`Request::Change`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Change {
    /// Whose.
    pub(crate) env: EnvName,
    /// What.
    pub(crate) action: Action,
    /// How to resolve.
    pub(crate) options: ResolveOptions,
    /// Where packages come from.
    pub(crate) sources: Sources,
    /// Compile bytecode only for what programs import.
    #[serde(default)]
    pub(crate) no_bytecode: bool,
    /// Only say what would be done.
    pub(crate) dry_run: bool,
}

/// The changes of what an environment holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub(crate) enum Action {
    /// Add requirements to the direct ones, resolve, install.
    Install {
        /// What to add.
        requirements: RequirementSet,
        /// Take newest versions also of what is installed.
        upgrade: bool,
        /// Do not add dependencies.
        no_deps: bool,
    },
    /// Newest versions of some packages (none named: of all) within the direct requirements.
    Update {
        /// Normalised or not.
        packages: Vec<String>,
    },
    /// Take direct requirements away, and what only they needed.
    Remove {
        /// Normalised or not.
        packages: Vec<String>,
    },
    /// Exactly the content of a PEP 751 lock.
    SyncLock {
        /// Where it was read from, for messages.
        path: PathBuf,
        /// Its text.
        text: String,
        /// Extras of the lock to include.
        extras: Vec<String>,
        /// Dependency groups of the lock to include.
        groups: Vec<String>,
        /// Include those that the lock names as default ones, too.
        default_groups: bool,
        /// The project that the lock is of, to be installed beside it.
        #[serde(default)]
        project: Option<RequirementLine>,
    },
    /// Exactly these requirements: pins are taken as they are, anything else is resolved.
    SyncRequirements {
        /// All of them.
        requirements: RequirementSet,
    },
}

/// Requirements as the user gave them, in PEP 508 form with file and relative paths made absolute.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct RequirementSet {
    /// All of them.
    pub(crate) requirements: Vec<RequirementLine>,
}

/// One requirement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RequirementLine {
    /// PEP 508 text.
    pub(crate) text: String,
    /// `--hash` values, `sha256:…`; if any is given one must match.
    #[serde(default)]
    pub(crate) hashes: Vec<String>,
    /// Where it stands (`requirements.txt:3`), for messages.
    #[serde(default)]
    pub(crate) origin: Option<String>,
    /// `-e`.
    #[serde(default)]
    pub(crate) editable: bool,
    /// The text is the URL of sources, which must be looked into for the project's name.
    #[serde(default)]
    pub(crate) unnamed: bool,
    /// Extras of such sources.
    #[serde(default)]
    pub(crate) extras: Vec<String>,
}

/// How to resolve.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct ResolveOptions {
    /// Limits on what is needed anyway, as PEP 508 texts.
    #[serde(default)]
    pub(crate) constraints: Vec<String>,
    /// What replaces every requirement on the same package, as PEP 508 texts.
    #[serde(default)]
    pub(crate) overrides: Vec<String>,
    /// Packages to leave out, whoever requires them.
    #[serde(default)]
    pub(crate) excludes: BTreeSet<PackageName>,
    /// Which pre-releases are candidates.
    #[serde(default)]
    pub(crate) prereleases: PrereleaseMode,
    /// Which end of a range is tried first.
    #[serde(default)]
    pub(crate) resolution: ResolutionMode,
    /// Files uploaded at this time or later do not exist, nor those without an upload time;
    /// milliseconds since the Unix epoch.
    #[serde(default)]
    pub(crate) exclude_newer: Option<i64>,
    /// The same for single packages; `None`: no limit.
    #[serde(default)]
    pub(crate) exclude_newer_package: BTreeMap<PackageName, Option<i64>>,
    /// Names never taken as a wheel; `:all:` is the word for all.
    pub(crate) no_binary: Vec<String>,
    /// Names never taken as a source distribution; `:all:` likewise.
    pub(crate) only_binary: Vec<String>,
    /// How to build what comes as sources.
    #[serde(default)]
    pub(crate) build: BuildOptions,
}

/// How to build.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct BuildOptions {
    /// Settings for the backends (`--config-settings`): texts, or lists of texts.
    pub(crate) settings: BTreeMap<String, serde_json::Value>,
    /// Those of the user's environment variables that builds are given.
    pub(crate) variables: BTreeMap<String, String>,
    /// Build in the environment as it is (`--no-build-isolation`).
    #[serde(default)]
    pub(crate) no_isolation: bool,
    /// Those that git is given beside them.
    #[serde(default)]
    pub(crate) git_variables: BTreeMap<String, String>,
}

/// See [`Request::Outdated`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OutdatedRequest {
    /// Whose.
    pub(crate) env: EnvName,
    /// How to choose.
    pub(crate) options: ResolveOptions,
    /// Where to look.
    pub(crate) sources: Sources,
}

/// See [`Request::Move`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Move {
    /// Whose.
    pub(crate) env: EnvName,
    /// Where to.
    pub(crate) target: MoveTarget,
    /// Only say what would be done.
    pub(crate) dry_run: bool,
}

/// Where a [`Move`] goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "to", rename_all = "kebab-case")]
pub(crate) enum MoveTarget {
    /// Undo the newest operation that is not undone yet.
    Undo,
    /// Undo the newest undo.
    Redo,
    /// The state after an operation (`12`), a generation (hexadecimal prefix), a snapshot's name
    /// or `@{-N}`.
    Named {
        /// As typed.
        target: String,
    },
    /// A snapshot.
    Snapshot {
        /// Its name.
        name: SnapshotName,
    },
}

/// See [`Request::Materialise`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Materialise {
    /// Whose.
    pub(crate) env: EnvName,
    /// Which state, as [`MoveTarget::Named`]; default: the head.
    pub(crate) target: Option<String>,
    /// Where to: absolute, empty or not there.
    pub(crate) to: PathBuf,
    /// By hard links to the store.
    pub(crate) link: bool,
}

/// See [`Request::Lock`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LockRequest {
    /// The environment whose interpreter and versions are preferred.
    pub(crate) env: Option<EnvName>,
    /// `--python`, as typed: the interpreter or version to lock for.
    pub(crate) python: Option<String>,
    /// The platform to lock for, by name; the interpreter's own where absent.
    #[serde(default)]
    pub(crate) platform: Option<NamedPlatform>,
    /// `requires-python` of the project.
    pub(crate) requires_python: Option<String>,
    /// Where interpreters are looked for.
    pub(crate) search: PythonSearch,
    /// What to lock.
    pub(crate) requirements: RequirementSet,
    /// Lock the direct requirements of `env`.
    #[serde(default)]
    pub(crate) of_env: bool,
    /// For every environment, not for one.
    #[serde(default)]
    pub(crate) universal: bool,
    /// What a whole project lets be chosen; `None`: something else is locked.
    #[serde(default)]
    pub(crate) choices: Option<LockChoices>,
    /// Text of the lock that is there, whose versions are preferred.
    pub(crate) previous: Option<String>,
    /// The file that the lock is for, to which it states paths relative; none for a lock that is only
    /// shown.
    #[serde(default)]
    pub(crate) output: Option<PathBuf>,
    /// Take newest versions, whatever `previous` or the environment have.
    pub(crate) upgrade: bool,
    /// How to resolve.
    pub(crate) options: ResolveOptions,
    /// Where packages come from.
    pub(crate) sources: Sources,
}

/// See [`Reply::Refreshed`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refreshed {
    /// Pages looked at.
    pub(crate) pages: usize,
    /// Pages that the index confirmed as unchanged.
    pub(crate) unchanged: usize,
    /// Pages that are new or changed.
    pub(crate) changed: usize,
    /// Packages that no index has.
    pub(crate) missing: Vec<String>,
}

/// What the lock of a project lets be chosen; the requirements say by markers to what they belong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LockChoices {
    /// Extras.
    pub(crate) extras: Vec<ExtraName>,
    /// Dependency groups.
    pub(crate) groups: Vec<GroupName>,
    /// Those of the groups that are installed unless others are chosen.
    pub(crate) default_groups: Vec<GroupName>,
}

/// A line of the daemon.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "frame", rename_all = "kebab-case")]
pub(crate) enum Frame {
    /// Progress.
    Event {
        /// What happened.
        #[serde(flatten)]
        event: Event,
    },
    /// The answer; nothing follows.
    Reply {
        /// It.
        reply: Box<Reply>,
    },
    /// There is no answer; nothing follows.
    Error {
        /// Why.
        error: Failure,
    },
}

/// Why a request failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// Decides the exit status.
    pub(crate) kind: ErrorKind,
    /// One sentence.
    pub(crate) message: String,
    /// What lies behind it, outermost first.
    pub(crate) causes: Vec<String>,
    /// What to do: commands to type, facts to check.
    pub(crate) hints: Vec<String>,
    /// Where requirements are in conflict: the explanation as data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) conflict: Option<Box<serde_json::Value>>,
}

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ErrorKind {
    /// The answer is no: no solution, no such package, a hash that differs. Exit status 1.
    No,
    /// The request makes no sense: no such environment, a bad name. Exit status 2.
    Usage,
    /// The host or our own code failed. Exit status 2.
    Internal,
    /// The daemon speaks another version.
    Version,
}

/// The answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Reply {
    /// To [`Request::Ping`].
    Pong {
        /// Build of the daemon.
        build: String,
        /// Its process.
        pid: u32,
    },
    /// To [`Request::Start`].
    Started {
        /// Whether it was made just now.
        created: bool,
        /// Where it is.
        place: Place,
    },
    /// To changes and moves.
    Changed(Changed),
    /// To [`Request::Log`].
    History {
        /// Newest first.
        operations: Vec<OperationView>,
    },
    /// To [`Request::Diff`].
    Diff {
        /// Older side.
        from: GenerationId,
        /// Newer side.
        to: GenerationId,
        /// What differs.
        changes: Vec<PackageChangeView>,
    },
    /// To [`Request::Compile`].
    Compiled {
        /// Sources that had to be compiled.
        modules: u64,
    },
    /// To requests about snapshots.
    Snapshots {
        /// By name.
        snapshots: Vec<SnapshotView>,
    },
    /// To [`Request::Lock`].
    Locked {
        /// The lock, in `pylock.toml` form.
        text: String,
        /// Number of packages in it.
        packages: usize,
        /// Against `previous`.
        changes: Vec<PackageChangeView>,
        /// Of a universal lock the regions that have versions of their own; else empty.
        forks: Vec<ForkView>,
        /// What finding it took.
        effort: Effort,
    },
    /// To [`Request::List`].
    Packages {
        /// By name.
        packages: Vec<PackageView>,
    },
    /// To [`Request::Graph`].
    Graph(DependencyGraph),
    /// To [`Request::Outdated`].
    Outdated {
        /// By name.
        packages: Vec<OutdatedPackage>,
    },
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To requests about environments.
    Environments {
        /// By name.
        environments: Vec<EnvironmentView>,
    },
    /// To [`Request::Enter`].
    Entered {
        /// Where it is.
        place: Place,
    },
    /// To [`Request::Materialise`].
    Materialised(Materialised),
    /// To [`Request::Check`].
    Checked {
        /// Objects looked at.
        objects: u64,
        /// Bytes read.
        bytes: u64,
        /// Sentences, one a defect; empty: all is well.
        findings: Vec<FindingView>,
    },
    /// To [`Request::Clean`].
    Cleaned {
        /// Objects freed (or to be freed).
        objects: u64,
        /// Bytes freed (or to be freed).
        bytes: u64,
        /// Operations forgotten.
        operations: u64,
        /// Trees of plain files removed.
        #[serde(default)]
        trees: u64,
    },
    /// To [`Request::Refresh`].
    Refreshed(Refreshed),
    /// To [`Request::Pythons`].
    Pythons {
        /// In order of preference.
        pythons: Vec<PythonView>,
    },
    /// Done, nothing to say.
    Done,
}

/// A region of environments with versions of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ForkView {
    /// Which environments, as a marker; absent: all.
    pub(crate) environments: Option<String>,
    /// Why it is one, a sentence for each split; empty where the previous lock had it.
    pub(crate) because: Vec<String>,
}

/// What a resolution took.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Effort {
    /// Project pages that an index or its cache was asked for.
    pub(crate) projects: usize,
    /// Versions looked at: their metadata were asked for.
    pub(crate) versions: usize,
}

/// Where an environment is to be found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Its name.
    pub(crate) env: EnvName,
    /// Its prefix: `live/<env>`, or the generation's own tree if pinned.
    pub(crate) prefix: PathBuf,
    /// Root of its project.
    pub(crate) project: Option<PathBuf>,
    /// Variables that activation and `run` set.
    pub(crate) variables: BTreeMap<String, String>,
    /// Full version of its Python.
    pub(crate) python: String,
    /// Its base interpreter.
    pub(crate) interpreter: PathBuf,
    /// `lib/python3.12/site-packages`, below the prefix.
    pub(crate) site_packages: String,
    /// The head.
    pub(crate) generation: GenerationId,
    /// How it is shown: `view` (FUSE) or `materialised`.
    pub(crate) mode: String,
}

/// What [`Request::Materialise`] wrote.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Materialised {
    /// Whose.
    pub(crate) environment: EnvName,
    /// Which state.
    pub(crate) generation: GenerationId,
    /// Where to.
    pub(crate) path: PathBuf,
    /// Directories.
    pub(crate) directories: u64,
    /// Files.
    pub(crate) files: u64,
    /// Symbolic links.
    pub(crate) symlinks: u64,
    /// Bytes of all files.
    pub(crate) bytes: u64,
    /// Files that share their bytes with the store by a reflink.
    pub(crate) reflinks: u64,
    /// Files that are the store's own by another name.
    pub(crate) hard_links: u64,
    /// Milliseconds inside the daemon.
    pub(crate) took_ms: f64,
}

/// What a change did, or would do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Changed {
    /// The operation; `None` if nothing had to be done, or on a dry run.
    pub(crate) operation: Option<u64>,
    /// The head afterwards.
    pub(crate) generation: Option<GenerationId>,
    /// Whether this was a dry run.
    pub(crate) dry_run: bool,
    /// By name.
    pub(crate) changes: Vec<PackageChangeView>,
    /// Packages in the environment afterwards.
    pub(crate) packages: usize,
    /// Milliseconds inside the daemon.
    pub(crate) took_ms: f64,
    /// What the operation was, in words: `undid operation 4 (install flask)`.
    pub(crate) summary: Option<String>,
}

/// One package that differs: added (no `before`), removed (no `after`) or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PackageChangeView {
    /// Normalised name.
    pub(crate) name: String,
    /// Version before.
    pub(crate) before: Option<String>,
    /// Version after. Equal to `before` where only the artifact differs.
    pub(crate) after: Option<String>,
}

/// One operation of the history.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OperationView {
    /// Its number within the environment.
    pub(crate) id: u64,
    /// `install`, `undo`, …
    pub(crate) kind: String,
    /// In words.
    pub(crate) summary: String,
    /// Milliseconds since the Unix epoch.
    pub(crate) at_ms: i64,
    /// How long it took.
    pub(crate) duration_ms: u64,
    /// User name, or number.
    pub(crate) who: String,
    /// What was typed.
    pub(crate) command: Vec<String>,
    /// State before.
    pub(crate) before: Option<GenerationId>,
    /// State after.
    pub(crate) after: GenerationId,
    /// Whether `after` is the head's state.
    pub(crate) current: bool,
    /// What it changed.
    pub(crate) changes: Vec<PackageChangeView>,
}

/// One snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SnapshotView {
    /// Its name.
    pub(crate) name: SnapshotName,
    /// What it names.
    pub(crate) generation: GenerationId,
    /// Milliseconds since the Unix epoch.
    pub(crate) at_ms: i64,
    /// Packages in it.
    pub(crate) packages: usize,
}

/// One installed package.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PackageView {
    /// Normalised name.
    pub(crate) name: String,
    /// Version.
    pub(crate) version: String,
    /// Whether the user asked for it by name.
    pub(crate) requested: bool,
    /// Where it came from, if from no index.
    pub(crate) direct_url: Option<String>,
    /// Its layer.
    pub(crate) layer: String,
}

/// One environment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EnvironmentView {
    /// Its name.
    pub(crate) name: EnvName,
    /// Its prefix.
    pub(crate) prefix: PathBuf,
    /// Root of its project.
    pub(crate) project: Option<PathBuf>,
    /// Full version of its Python.
    pub(crate) python: String,
    /// Packages in it.
    pub(crate) packages: usize,
    /// The head.
    pub(crate) generation: GenerationId,
    /// The head's operation.
    pub(crate) operation: u64,
    /// When that was, in milliseconds since the Unix epoch.
    pub(crate) changed_ms: i64,
}

/// The state of things.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Status {
    /// The daemon.
    pub(crate) daemon: DaemonStatus,
    /// The view of this home.
    pub(crate) view: ViewStatus,
    /// The store of this home.
    pub(crate) store: StoreStatus,
    /// The environment asked about.
    pub(crate) environment: Option<EnvironmentStatus>,
}

/// The daemon, for `status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DaemonStatus {
    /// Build.
    pub(crate) build: String,
    /// Process.
    pub(crate) pid: u32,
    /// Seconds since it started.
    pub(crate) uptime_s: u64,
    /// Resident memory in bytes.
    pub(crate) memory_bytes: u64,
    /// The process that keeps the mounts should the daemon die.
    #[serde(default)]
    pub(crate) holder: Option<u32>,
    /// Requests being served, this one included.
    pub(crate) requests: usize,
}

/// The view, for `status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ViewStatus {
    /// `view`, `materialised` or `hidden` (nothing is mounted now).
    pub(crate) mode: String,
    /// Why, where it is not `view`.
    pub(crate) reason: Option<String>,
    /// How plain files share their bytes with the store, where environments are plain files:
    /// `reflinks`, `hard links` or `copies`.
    #[serde(default)]
    pub(crate) links: Option<String>,
    /// Where it is mounted.
    pub(crate) live: PathBuf,
    /// FUSE requests served, by kind.
    pub(crate) requests: BTreeMap<String, u64>,
    /// Whether the mount outlives its daemon: the kernel can send requests again (Linux 6.9).
    #[serde(default)]
    pub(crate) resend: bool,
    /// How often the mount was taken over from a daemon that was gone.
    #[serde(default)]
    pub(crate) takeovers: u32,
    /// Layers whose bytecode is being compiled or waits for it.
    pub(crate) bytecode_pending: usize,
}

/// The store, for `status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StoreStatus {
    /// Where it is.
    pub(crate) home: PathBuf,
    /// Environments in it.
    pub(crate) environments: usize,
}

/// An environment, for `status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EnvironmentStatus {
    /// As in the list.
    #[serde(flatten)]
    pub(crate) view: EnvironmentView,
    /// Base interpreter.
    pub(crate) interpreter: PathBuf,
    /// Absolute path of site-packages.
    pub(crate) site_packages: PathBuf,
    /// Direct requirements.
    pub(crate) requirements: Vec<String>,
    /// The operation that `blast revert` would undo, in words.
    pub(crate) undo: Option<String>,
    /// The operation that `blast redo` would do again, in words.
    pub(crate) redo: Option<String>,
}

/// A defect that `check` found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FindingView {
    /// What is wrong, as a word: `missing-blob`, …
    pub(crate) kind: String,
    /// One sentence that names object and path.
    pub(crate) message: String,
    /// Environments that are touched.
    pub(crate) environments: Vec<String>,
}

/// An interpreter.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PythonView {
    /// Full version.
    pub(crate) version: String,
    /// `cpython`.
    pub(crate) implementation: String,
    /// Its executable.
    pub(crate) path: PathBuf,
    /// Where it was found: `PATH`, `pyenv`, `system`.
    pub(crate) source: String,
    /// Why it cannot be used, if so.
    pub(crate) unusable: Option<String>,
}
