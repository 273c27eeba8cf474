//! What a client can ask.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use blast_index::Sources;
use blast_resolver::lock::Limits;
use blast_resolver::{PrereleaseMode, ResolutionMode};
use blast_sandbox::{Level, Policy};
use blast_types::{
    EnvName, ExtraName, GenerationId, GroupName, NamedPlatform, PackageName, SnapshotName,
};
use serde::{Deserialize, Serialize};

use crate::ipc::images::ImageRequest;

/// What a client can ask.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub(crate) enum Request {
    /// Is anybody there? Answered by [`super::Reply::Pong`].
    Ping,
    /// Create an environment unless it exists. Answered by [`super::Reply::Started`], or
    /// [`super::Reply::WouldStart`].
    Start(Start),
    /// Change what an environment holds. Answered by [`super::Reply::Changed`].
    Change(Box<Change>),
    /// Go to another generation. Answered by [`super::Reply::Changed`].
    Move(Move),
    /// The history. Answered by [`super::Reply::History`].
    Log {
        /// Whose.
        env: EnvName,
        /// At most so many, newest first.
        limit: Option<usize>,
    },
    /// One operation with all that is known of it. Answered by [`super::Reply::Operation`].
    Show {
        /// Whose.
        env: EnvName,
        /// Number, `@` or `@{-N}`; default: the newest.
        operation: Option<String>,
    },
    /// Which operations brought a package. Answered by [`super::Reply::Blame`].
    Blame {
        /// Whose.
        env: EnvName,
        /// Normalised or not.
        package: String,
    },
    /// What differs between two generations. Answered by [`super::Reply::Diff`].
    Diff {
        /// Whose.
        env: EnvName,
        /// Older side, as [`MoveTarget::Named`], or `ENV@STATE`; default: the state before the
        /// head's operation.
        from: Option<String>,
        /// Newer side; default: the head.
        to: Option<String>,
        /// Also which files differ.
        #[serde(default)]
        files: bool,
    },
    /// Name the head. Answered by [`super::Reply::Snapshots`] with the one made.
    Save {
        /// Whose.
        env: EnvName,
        /// The name; made from the time where absent.
        name: Option<SnapshotName>,
        /// Only say what would be done.
        dry_run: bool,
    },
    /// Forget a snapshot. Answered by [`super::Reply::Snapshots`] with the one forgotten.
    DeleteSnapshot {
        /// Whose.
        env: EnvName,
        /// Which.
        name: SnapshotName,
        /// Only say what would be done.
        dry_run: bool,
    },
    /// All snapshots of an environment. Answered by [`super::Reply::Snapshots`].
    Snapshots {
        /// Whose.
        env: EnvName,
    },
    /// Resolve without touching an environment. Answered by [`super::Reply::Locked`].
    Lock(Box<LockRequest>),
    /// Make an area for what one program writes into an environment. Answered by
    /// [`super::Reply::Area`].
    Area {
        /// Whose.
        env: EnvName,
    },
    /// Make an operation of what was written. Answered by [`super::Reply::Changed`].
    Capture(Capture),
    /// Fetch distributions to a folder, without installing them. Answered by
    /// [`super::Reply::Fetched`].
    Fetch(Box<Fetch>),
    /// The marker values (PEP 508) of an environment's interpreter. Answered by
    /// [`super::Reply::Markers`].
    Markers {
        /// Whose.
        env: EnvName,
    },
    /// What an environment holds. Answered by [`super::Reply::Packages`].
    List {
        /// Whose.
        env: EnvName,
    },
    /// Who requires whom. Answered by [`super::Reply::Graph`].
    Graph {
        /// Whose.
        env: EnvName,
    },
    /// Which packages have newer versions. Answered by [`super::Reply::Outdated`].
    Outdated(Box<OutdatedRequest>),
    /// Which versions of a package could be installed. Answered by [`super::Reply::Versions`].
    Versions(Box<VersionsRequest>),
    /// The state of the daemon, and of one environment if named. Answered by [`super::Reply::Status`].
    Status {
        /// Whose.
        env: Option<EnvName>,
    },
    /// All environments. Answered by [`super::Reply::Environments`].
    Environments {
        /// Only that of the project with this root.
        #[serde(default)]
        project: Option<PathBuf>,
    },
    /// Delete environments. Answered by [`super::Reply::Environments`] with those deleted.
    RemoveEnvironments {
        /// Which.
        names: Vec<EnvName>,
        /// Only say what would be done.
        dry_run: bool,
    },
    /// Make sure that the environment is visible and say where. Answered by [`super::Reply::Entered`].
    Enter {
        /// Which.
        env: EnvName,
        /// Name the generation's own tree, which never changes.
        pin: bool,
    },
    /// Write an environment to a directory as plain files. Answered by [`super::Reply::Materialised`].
    Materialise(Materialise),
    /// Install into a folder that is no environment. Answered by [`super::Reply::Changed`].
    InstallTo(Box<InstallTo>),
    /// About images. Answered as [`ImageRequest`] says.
    Image(ImageRequest),
    /// Compile the bytecode of an environment that is not compiled yet, and wait for it. Answered
    /// by [`super::Reply::Compiled`].
    Compile {
        /// Whose.
        env: EnvName,
    },
    /// Look for damage. Answered by [`super::Reply::Checked`].
    Check {
        /// Read every byte.
        deep: bool,
    },
    /// Mend damage. Answered by [`super::Reply::Repaired`].
    Repair {
        /// Where packages come from.
        sources: Sources,
    },
    /// Free what nothing refers to. Answered by [`super::Reply::Cleaned`].
    Clean {
        /// Only say what would be freed.
        dry_run: bool,
        /// What stays of each environment's history.
        keep: Keep,
        /// What stays of the histories of these instead.
        keep_of: BTreeMap<EnvName, Keep>,
    },
    /// Bring cached pages of indexes up to date. Answered by [`super::Reply::Refreshed`].
    Refresh {
        /// Of these packages; none: of what all environments hold.
        packages: Vec<String>,
        /// Where packages come from.
        sources: Sources,
    },
    /// All interpreters. Answered by [`super::Reply::Pythons`].
    Pythons {
        /// Where to look.
        search: PythonSearch,
    },
    /// Stop showing an environment (or all), without deleting it. Answered by [`super::Reply::Done`].
    Hide {
        /// Which; `None`: the whole view of this home.
        env: Option<EnvName>,
        /// Even while programs use it.
        force: bool,
    },
    /// Unmount everything and end the daemon. Answered by [`super::Reply::Done`] just before it ends.
    Shutdown {
        /// Do not wait for running requests.
        force: bool,
    },
}

/// How much of a history a collection keeps: what either of the two lets stay, and all where neither
/// is said. Also the setting `keep`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keep {
    /// The newest so many operations.
    pub(crate) operations: Option<usize>,
    /// Operations that are not older than so many days.
    pub(crate) days: Option<u32>,
}

/// See [`super::Request::Start`].
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
    /// Answer what would be, and make nothing.
    #[serde(default)]
    pub(crate) dry_run: bool,
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

/// See [`super::Request::Change`].
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
    /// Answer also where what is new came from.
    #[serde(default)]
    pub(crate) origins: bool,
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
        /// Refuse a lock that does not fit, rather than resolve anew what does not.
        #[serde(default)]
        only_locked: bool,
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
    /// Limits on what a build needs, as PEP 508 texts (`--build-constraint`).
    #[serde(default)]
    pub(crate) constraints: Vec<String>,
    /// Build in the environment as it is (`--no-build-isolation`).
    #[serde(default)]
    pub(crate) no_isolation: bool,
    /// Those that git is given beside them.
    #[serde(default)]
    pub(crate) git_variables: BTreeMap<String, String>,
    /// What they may touch.
    #[serde(default)]
    pub(crate) sandbox: BuildSandbox,
}

/// What builds may touch: `[tool.blast.sandbox.build]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BuildSandbox {
    /// What is allowed.
    pub(crate) policy: Policy,
    /// Somebody wrote the level down: a host that cannot keep it builds nothing.
    pub(crate) demanded: bool,
    /// Places that nobody may allow.
    pub(crate) secret: Vec<PathBuf>,
    /// Files that say what programs may do: no build changes them, wherever they are.
    #[serde(default)]
    pub(crate) frozen: Vec<PathBuf>,
}

impl Default for BuildSandbox {
    fn default() -> Self {
        Self {
            policy: Policy {
                level: Level::Strict,
                ..Policy::default()
            },
            demanded: false,
            secret: Vec::new(),
            frozen: Vec::new(),
        }
    }
}

/// See [`super::Request::Capture`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Capture {
    /// Whose.
    pub(crate) env: EnvName,
    /// The area: [`super::Area::folder`].
    pub(crate) folder: PathBuf,
    /// The state that the program saw: [`super::Area::generation`].
    pub(crate) generation: GenerationId,
    /// The program's command line.
    pub(crate) command: Vec<String>,
    /// Throw away what was written.
    pub(crate) discard: bool,
}

/// See [`super::Request::Fetch`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Fetch {
    /// The environment whose interpreter they are for.
    pub(crate) env: EnvName,
    /// What is asked for.
    pub(crate) requirements: RequirementSet,
    /// Without what they need.
    pub(crate) no_deps: bool,
    /// How to resolve.
    pub(crate) options: ResolveOptions,
    /// Where packages come from.
    pub(crate) sources: Sources,
    /// Only wheels, built where there are none.
    pub(crate) wheels: bool,
    /// The platform that they are for, by name; the interpreter's own where absent.
    #[serde(default)]
    pub(crate) platform: Option<NamedPlatform>,
    /// The version of Python that they are for, as `3.12` or `3.12.1`; likewise.
    #[serde(default)]
    pub(crate) python: Option<String>,
    /// Where to: absolute, made where it is missing.
    pub(crate) to: PathBuf,
}

/// See [`super::Request::InstallTo`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct InstallTo {
    /// What is asked for; of its environment only the interpreter counts.
    pub(crate) change: Change,
    /// Where to: absolute, made where it is missing, else empty.
    pub(crate) to: PathBuf,
    /// What goes where in it.
    pub(crate) layout: FolderLayout,
}

/// Where files of packages go in a folder that is no environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FolderLayout {
    /// Modules into the folder itself, scripts and data beside them: `pip install --target`.
    Modules,
    /// As below the prefix of an environment: `pip install --prefix`, `--root`.
    Prefix,
}

/// See [`super::Request::Outdated`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OutdatedRequest {
    /// Whose.
    pub(crate) env: EnvName,
    /// How to choose.
    pub(crate) options: ResolveOptions,
    /// Where to look.
    pub(crate) sources: Sources,
}

/// See [`super::Request::Versions`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct VersionsRequest {
    /// Whose interpreter they must fit.
    pub(crate) env: EnvName,
    /// Of which package.
    pub(crate) package: PackageName,
    /// How to choose.
    pub(crate) options: ResolveOptions,
    /// Where to look.
    pub(crate) sources: Sources,
}

/// See [`super::Request::Move`].
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
    /// Undo the newest undo or revert.
    Redo,
    /// The state after an operation (`12`), a generation (hexadecimal prefix), a snapshot's name
    /// or `@{-N}`.
    Named {
        /// As typed.
        target: String,
    },
    /// The state that there was at a time.
    Time {
        /// Milliseconds since the Unix epoch.
        at_ms: i64,
    },
    /// A snapshot.
    Snapshot {
        /// The environment that it is of, where it is another: what it holds is carried over.
        #[serde(default)]
        from: Option<EnvName>,
        /// Its name.
        name: SnapshotName,
    },
}

/// See [`super::Request::Materialise`].
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

/// See [`super::Request::Lock`].
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

/// What the lock of a project lets be chosen; the requirements say by markers to what they belong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LockChoices {
    /// Extras.
    pub(crate) extras: Vec<ExtraName>,
    /// Dependency groups.
    pub(crate) groups: Vec<GroupName>,
    /// Those of the groups that are installed unless others are chosen.
    pub(crate) default_groups: Vec<GroupName>,
    /// What the project says that limits versions.
    pub(crate) limits: Limits,
}
