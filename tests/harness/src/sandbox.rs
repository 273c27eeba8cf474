//! A home of its own for one test.
//!
//! ```text
//! ROOT/                temporary, 0700
//!   home/              HOME (no XDG directory is the user's)
//!   data/ cache/ config/ run/     XDG_{DATA,CACHE,CONFIG}_HOME, XDG_RUNTIME_DIR
//!   project/           the working directory of commands
//!   wheels/            for tests that write wheels
//! ```
//!
//! Commands get these variables and no other; `BLAST_INDEX_URL` points to a port where nobody
//! listens until a test names an index, so that no test talks to the world by accident.

mod cleanup;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::{Pid, Uid};
use tempfile::TempDir;

use crate::gate::files_wanted;
use crate::index::LocalIndex;
use crate::process::Background;
use crate::python::HostPython;
use crate::redact::Redactions;
use crate::run::Run;
use crate::user::TestUser;

/// More than any command takes on a loaded machine: it only bounds a hang.
const LIMIT: Duration = Duration::from_mins(3);
/// The discard port, where nobody listens.
const NO_INDEX: &str = "http://127.0.0.1:9/simple/";
/// How the host reaches its package registry; handed on only where a test asks for it.
const NETWORK_VARIABLES: &[&str] = &[
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_CERT",
    "PIP_PROXY",
    "PIP_TRUSTED_HOST",
    "PIP_CONFIG_FILE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
];

/// See the module's documentation.
#[derive(Debug)]
pub struct Sandbox {
    root: PathBuf,
    /// `None` once the folder is kept for inspection.
    folder: Option<TempDir>,
    program: PathBuf,
    python: HostPython,
    user: TestUser,
    variables: BTreeMap<OsString, OsString>,
    redactions: Redactions,
}

impl Sandbox {
    /// A sandbox for this `blast`, as the user who runs the tests.
    pub fn new(program: impl AsRef<Path>) -> Self {
        Self::for_user(program.as_ref(), TestUser::current())
    }

    /// The same with commands run as a user without privilege.
    pub fn as_user(program: impl AsRef<Path>) -> Self {
        let user = TestUser::ensure().expect("the test asked for a user by `require`");
        Self::for_user(program.as_ref(), user)
    }

    fn for_user(program: &Path, user: TestUser) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("blast-")
            .tempdir()
            .expect("a temporary folder");
        let root = folder.path().canonicalize().expect("the folder exists");
        let other = user != TestUser::current();
        let program = program_for(program, &root, other);
        let python = HostPython::find(other);
        let redactions = redactions(&root, &program, &python);
        let variables = variables(&root, &python, user);
        let sandbox = Self {
            root,
            folder: Some(folder),
            program,
            python,
            user,
            variables,
            redactions,
        };
        for part in [
            "home", "data", "cache", "config", "run", "project", "wheels",
        ] {
            let path = sandbox.root.join(part);
            fs::create_dir(&path).expect("the sandbox is empty");
            sandbox.hand_over(&path);
        }
        sandbox.hand_over(&sandbox.root);
        sandbox
    }

    /// Sets a variable for all further commands.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.set(name, value);
        self
    }

    /// Sets a variable for all further commands.
    pub fn set(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.variables
            .insert(name.into(), value.as_ref().to_owned());
    }

    /// Takes a variable away from all further commands.
    pub fn unset(&mut self, name: &str) {
        self.variables.remove(OsStr::new(name));
    }

    /// Makes an index the one to use.
    #[must_use]
    pub fn with_index(self, index: &LocalIndex) -> Self {
        self.with("BLAST_INDEX_URL", index.url())
    }

    /// Lets the commands reach the host's package registry the way the host's pip does.
    #[must_use]
    pub fn with_network(mut self) -> Self {
        self.unset("BLAST_INDEX_URL");
        for name in NETWORK_VARIABLES {
            if let Some(value) = std::env::var_os(name) {
                self.set(name, value);
            }
        }
        self
    }

    /// Runs `blast` with these arguments in the project folder.
    #[track_caller]
    pub fn blast<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Run {
        self.run(self.command(&self.program, args))
    }

    /// Runs `blast` with these arguments in another folder.
    #[track_caller]
    pub fn blast_in<A: AsRef<OsStr>>(
        &self,
        folder: &Path,
        args: impl IntoIterator<Item = A>,
    ) -> Run {
        let mut command = self.command(&self.program, args);
        command.current_dir(folder);
        self.run(command)
    }

    /// Starts `blast` and leaves it running.
    pub fn blast_in_background<A: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = A>,
    ) -> Background {
        Background::start(self.command(&self.program, args), None)
    }

    /// Says something to who reads the test's output: what was measured.
    pub fn note(&self, text: &str) {
        eprintln!("{text}");
    }

    /// Starts a program and leaves it running.
    pub fn in_background(&self, command: Command) -> Background {
        Background::start(command, None)
    }

    /// Runs Python code inside an environment.
    #[track_caller]
    pub fn python_in(&self, env: &str, code: &str) -> Run {
        self.blast(["run", "--env", env, "--", "python", "-c", code])
    }

    /// A program with the sandbox's variables, user and working directory.
    pub fn command<A: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .envs(&self.variables)
            .current_dir(self.project());
        if self.user != TestUser::current() {
            // The program runs with no supplementary group of root's: setuid below drops them.
            command.uid(self.user.uid).gid(self.user.gid);
        }
        command
    }

    /// Runs a program to its end.
    #[track_caller]
    pub fn run(&self, command: Command) -> Run {
        self.finish(Background::start(command, None))
    }

    /// Runs a program to its end, with this on its standard input.
    #[track_caller]
    pub fn run_with_input(&self, command: Command, input: &str) -> Run {
        self.finish(Background::start(command, Some(input)))
    }

    /// Waits for a program that was left running.
    #[track_caller]
    pub fn finish(&self, background: Background) -> Run {
        let described = background.described().to_owned();
        Run::new(
            described,
            &background.finish(LIMIT),
            self.redactions.clone(),
        )
    }

    /// Writes a file below the project folder and returns its path.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.project().join(path);
        let folder = path.parent().expect("a file has a folder");
        fs::create_dir_all(folder).expect("the project can be written");
        fs::write(&path, content).expect("the project can be written");
        self.hand_over(folder);
        self.hand_over(&path);
        path
    }

    /// The sandbox's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The working directory of commands.
    pub fn project(&self) -> PathBuf {
        self.root.join("project")
    }

    /// A folder for wheels.
    pub fn wheels(&self) -> PathBuf {
        self.root.join("wheels")
    }

    /// The store's home: `BLAST_HOME`, or the XDG place.
    pub fn blast_home(&self) -> PathBuf {
        self.variables
            .get(OsStr::new("BLAST_HOME"))
            .map_or_else(|| self.root.join("data/blast"), PathBuf::from)
    }

    /// Where environments appear.
    pub fn live(&self) -> PathBuf {
        self.blast_home().join("live")
    }

    /// The program under test.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The interpreter on PATH.
    pub fn python(&self) -> &HostPython {
        &self.python
    }

    /// The daemon's process, if its pid file names one that is alive.
    pub fn daemon(&self) -> Option<i32> {
        let text = fs::read_to_string(self.root.join("run/blast/daemon.pid")).ok()?;
        let pid = text.trim().parse().ok()?;
        signal::kill(Pid::from_raw(pid), None)
            .is_ok()
            .then_some(pid)
    }

    /// The process that holds the mounts, if one does.
    pub fn holder(&self) -> Option<i32> {
        let run = self.run(self.command(&self.program, ["daemon", "status", "--json"]));
        let pid = run.json()["holder"].as_i64()?;
        i32::try_from(pid).ok()
    }

    /// Kills a process of this sandbox, and waits until it is gone.
    ///
    /// # Panics
    /// If it lives on.
    pub fn crash(&self, pid: i32) {
        // It may have died by itself meanwhile.
        let _ = signal::kill(Pid::from_raw(pid), Signal::SIGKILL);
        assert!(
            cleanup::gone_within(pid, Duration::from_secs(10)),
            "process {pid} outlived SIGKILL"
        );
    }

    /// Kills the daemon as a crash would, and waits until it is gone.
    ///
    /// # Panics
    /// If there is none.
    pub fn crash_daemon(&self) {
        let pid = self.daemon().expect("a daemon runs");
        self.crash(pid);
    }

    /// The mounts that are below the sandbox now.
    pub fn mounts(&self) -> Vec<PathBuf> {
        cleanup::mounts_below(&self.root)
    }

    /// Gives a path to the user whose commands run here.
    fn hand_over(&self, path: &Path) {
        if Uid::effective().is_root() {
            chown(path, Some(self.user.uid), Some(self.user.gid)).expect("root may chown");
        }
    }
}

/// The program, or a copy of it where the other user cannot reach it.
fn program_for(program: &Path, root: &Path, other: bool) -> PathBuf {
    let program =
        std::env::var_os("BLAST_TEST_BIN").map_or_else(|| program.to_owned(), PathBuf::from);
    let closed = |path: &Path| fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o001 == 0);
    if !other || !program.ancestors().any(closed) {
        return program;
    }
    let near = root.join("blast");
    if fs::hard_link(&program, &near).is_err() {
        fs::copy(&program, &near).expect("the program can be copied");
    }
    near
}

fn variables(root: &Path, python: &HostPython, user: TestUser) -> BTreeMap<OsString, OsString> {
    let path = format!(
        "{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        python.bin.display()
    );
    let name = if user.uid == 0 { "root" } else { "tester" };
    let mut variables: BTreeMap<OsString, OsString> = [
        ("PATH", path.as_str()),
        ("LANG", "C.UTF-8"),
        ("TZ", "UTC"),
        ("COLUMNS", "100"),
        ("NO_COLOR", "1"),
        ("SHELL", "/bin/bash"),
        ("USER", name),
        ("BLAST_INDEX_URL", NO_INDEX),
        // Tests of the sandbox say which.
        ("BLAST_SANDBOX", "none"),
        // Backtraces of a panic would differ between builds.
        ("RUST_BACKTRACE", "0"),
    ]
    .into_iter()
    .map(|(name, value)| (name.into(), value.into()))
    .collect();
    for (name, part) in [
        ("HOME", "home"),
        ("XDG_DATA_HOME", "data"),
        ("XDG_CACHE_HOME", "cache"),
        ("XDG_CONFIG_HOME", "config"),
        ("XDG_RUNTIME_DIR", "run"),
    ] {
        variables.insert(name.into(), root.join(part).into());
    }
    if files_wanted() {
        variables.insert("BLAST_VIEW".into(), "files".into());
    }
    variables
}

fn redactions(root: &Path, program: &Path, python: &HostPython) -> Redactions {
    let mut redactions = Redactions::new();
    redactions.path(root, "[ROOT]");
    redactions.path(program, "[BLAST]");
    redactions.path(&python.bin, "[PYTHON_BIN]");
    redactions.text(&python.version, "[PYTHON]");
    for word in ["python", "Python "] {
        redactions.text(
            &format!("{word}{}", python.minor()),
            &format!("{word}[MINOR]"),
        );
    }
    redactions
}
