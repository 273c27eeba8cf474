//! What most tests start from: a sandbox and an index with a few wheels.

use std::collections::BTreeMap;
use std::ops::Deref;

use blast_harness::{LocalIndex, Means, Run, Sandbox, TestUser, WheelSpec, require};

/// A sandbox without an index, for tests that need none.
pub(crate) fn sandbox() -> Option<Sandbox> {
    require(Means::View).then(|| Sandbox::new(env!("CARGO_BIN_EXE_blast")))
}

/// Whether this comes to be so within a minute.
pub(crate) fn wait_until(what: impl Fn() -> bool) -> bool {
    for _ in 0..600 {
        if what() {
            return true;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    false
}

/// A sandbox and the index that its commands ask. Reads as the sandbox.
#[derive(Debug)]
pub(crate) struct World {
    /// Dropped first: its daemon may still talk to the index.
    pub(crate) sandbox: Sandbox,
    /// The index.
    pub(crate) index: LocalIndex,
}

impl World {
    /// With these wheels on the index; `None`, having said so, where nothing can show
    /// environments.
    pub(crate) fn with(wheels: impl IntoIterator<Item = WheelSpec>) -> Option<Self> {
        let sandbox = sandbox()?;
        let index = LocalIndex::with(wheels);
        Some(Self {
            sandbox: sandbox.with_index(&index),
            index,
        })
    }

    /// [`World::started`] with environments in a mounted view; `None`, having said so, where tests
    /// run with plain files.
    pub(crate) fn mounted(wheels: impl IntoIterator<Item = WheelSpec>) -> Option<Self> {
        if !require(Means::Mount) {
            return None;
        }
        Self::started(wheels)
    }

    /// [`World::started`] with environments as plain files, whatever the host has.
    pub(crate) fn plain(wheels: impl IntoIterator<Item = WheelSpec>) -> Self {
        let index = LocalIndex::with(wheels);
        let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_blast")).with("BLAST_VIEW", "files");
        let world = Self {
            sandbox: sandbox.with_index(&index),
            index,
        };
        world.start("demo");
        world
    }

    /// The same for commands of a user without privilege.
    pub(crate) fn plain_unprivileged(wheels: impl IntoIterator<Item = WheelSpec>) -> Option<Self> {
        let mut world = Self::unprivileged(wheels)?;
        world.sandbox.set("BLAST_VIEW", "files");
        world.start("demo");
        Some(world)
    }

    /// Waits until all bytecode is compiled.
    #[track_caller]
    pub(crate) fn compiled(&self) {
        for _ in 0..3000 {
            let status = self.blast(["status", "--json"]).success().json();
            if status["view"]["bytecode_pending"] == 0 {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("bytecode is not compiled in a minute");
    }

    /// The same for commands of a user without privilege.
    pub(crate) fn unprivileged(wheels: impl IntoIterator<Item = WheelSpec>) -> Option<Self> {
        if !require(Means::User) {
            return None;
        }
        let index = LocalIndex::with(wheels);
        let sandbox = Sandbox::as_user(env!("CARGO_BIN_EXE_blast")).with_index(&index);
        assert_ne!(
            TestUser::ensure().expect("required above").uid,
            0,
            "the user is not root"
        );
        Some(Self { sandbox, index })
    }

    /// [`World::with`], and an environment `demo` that exists.
    pub(crate) fn started(wheels: impl IntoIterator<Item = WheelSpec>) -> Option<Self> {
        let world = Self::with(wheels)?;
        world.start("demo");
        Some(world)
    }

    /// Makes an environment.
    #[track_caller]
    pub(crate) fn start(&self, env: &str) -> Run {
        self.blast(["start", env, "--shell", "bash"]).success()
    }

    /// Makes sure that the view is mounted, for tests that look into it by path.
    #[track_caller]
    pub(crate) fn show(&self, env: &str) {
        self.python_in(env, "pass").success();
    }

    /// Installs into an environment.
    #[track_caller]
    pub(crate) fn install(&self, env: &str, requirements: &[&str]) -> Run {
        self.change("install", env, requirements)
    }

    /// Runs a command that takes `--env` and words.
    #[track_caller]
    pub(crate) fn change(&self, command: &str, env: &str, words: &[&str]) -> Run {
        self.blast(
            ["--color", "never", command, "--env", env]
                .iter()
                .chain(words),
        )
    }

    /// Asserts that programs see this, now or in a moment: a daemon may be on its way that shows it.
    #[track_caller]
    pub(crate) fn shows(&self, env: &str, expected: &BTreeMap<String, String>, case: &str) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let mut seen = self.inside(env);
        while seen != *expected && std::time::Instant::now() < deadline {
            std::thread::sleep(std::time::Duration::from_millis(50));
            seen = self.inside(env);
        }
        assert_eq!(seen, *expected, "{case}");
    }

    /// Names and versions as `blast list` has them.
    #[track_caller]
    pub(crate) fn listed(&self, env: &str) -> BTreeMap<String, String> {
        let json = self
            .blast(["list", "--env", env, "--json"])
            .success()
            .json();
        let packages = json["packages"].as_array().or(json.as_array());
        let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
        packages
            .expect("a list of packages")
            .iter()
            .map(|package| (text(&package["name"]), text(&package["version"])))
            .collect()
    }

    /// How many operations the history has.
    #[track_caller]
    pub(crate) fn history_length(&self, env: &str) -> usize {
        let json = self.blast(["log", "--env", env, "--json"]).success().json();
        let operations = json["operations"].as_array().or(json.as_array());
        operations.expect("a list of operations").len()
    }

    /// Distributions and versions as `importlib.metadata` sees them inside the environment.
    #[track_caller]
    pub(crate) fn inside(&self, env: &str) -> BTreeMap<String, String> {
        let run = self
            .python_in(
                env,
                "import json, importlib.metadata as m; print(json.dumps(\
                 {d.metadata['Name']: d.version for d in m.distributions()}))",
            )
            .success();
        serde_json::from_str(&run.stdout).expect("a map of names to versions")
    }
}

impl Deref for World {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        &self.sandbox
    }
}

/// Names and versions, for comparing with [`World::inside`].
pub(crate) fn packages<const N: usize>(packages: [(&str, &str); N]) -> BTreeMap<String, String> {
    packages
        .into_iter()
        .map(|(name, version)| (name.to_owned(), version.to_owned()))
        .collect()
}

/// `demo` in two versions, each with the `helper` it needs.
pub(crate) fn demo_wheels() -> [WheelSpec; 4] {
    [
        WheelSpec::simple("demo", "1.0").requires("helper<2"),
        WheelSpec::simple("demo", "2.0").requires("helper>=2"),
        WheelSpec::simple("helper", "1.0"),
        WheelSpec::simple("helper", "2.0"),
    ]
}
