//! The environment variables that the command line reads or sets, each in one place.
//!
//! Those that say where packages come from (`PIP_*`, `BLAST_INDEX_URL`, …) are listed in
//! `blast_index::config`, those of the XDG base directories in [`crate::ipc::paths`].

/// Name of the active environment. Set by activation and `run`, read to find the default.
pub(crate) const BLAST_ENV: &str = "BLAST_ENV";
/// Prefix of the active environment, as all Python tools know it. Set and read likewise.
pub(crate) const VIRTUAL_ENV: &str = "VIRTUAL_ENV";
/// What the prompt shows of the active environment. Set by `run` and activation.
pub(crate) const VIRTUAL_ENV_PROMPT: &str = "VIRTUAL_ENV_PROMPT";
/// Another standard library; removed by `run`, since it would break any environment.
pub(crate) const PYTHONHOME: &str = "PYTHONHOME";
/// Where programs are looked for.
pub(crate) const PATH: &str = "PATH";
/// `real` asks the shim of pip for pip itself.
pub(crate) const BLAST_PIP: &str = "BLAST_PIP";
/// Set by Jupyter for the kernels of notebooks.
pub(crate) const JPY_PARENT_PID: &str = "JPY_PARENT_PID";
/// The user's home directory.
pub(crate) const HOME: &str = "HOME";
/// The user's login shell.
pub(crate) const SHELL: &str = "SHELL";
/// Where pyenv keeps its interpreters.
pub(crate) const PYENV_ROOT: &str = "PYENV_ROOT";
/// How environments are shown: `auto`, `fuse` or `files`; wins over `view` of the settings.
pub(crate) const BLAST_VIEW: &str = "BLAST_VIEW";
/// The home of the store that is kept for all users of the machine; wins over `machine-store` of the settings.
pub(crate) const BLAST_MACHINE_STORE: &str = "BLAST_MACHINE_STORE";
/// The level of the sandbox, where no option says it: `none`, `standard` or `strict`.
pub(crate) const BLAST_SANDBOX: &str = "BLAST_SANDBOX";
/// Set where a command began again in a scope of the user's service manager, so that it asks for one once.
pub(crate) const BLAST_SCOPE: &str = "BLAST_SCOPE";
/// What happens to what programs write: `capture`, `discard` or `deny`; wins over `writes` of the
/// settings.
pub(crate) const BLAST_WRITES: &str = "BLAST_WRITES";
/// Where the sockets of the user's session are.
pub(crate) const XDG_RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";
/// Where the user's settings are, below `blast/`.
pub(crate) const XDG_CONFIG_HOME: &str = "XDG_CONFIG_HOME";
/// Filter of the daemon's log (`debug`, `blast=trace`); default `info`.
pub(crate) const BLAST_LOG: &str = "BLAST_LOG";
