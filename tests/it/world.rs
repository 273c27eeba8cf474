//! What most tests start from: a sandbox and an index with a few wheels.

use std::collections::BTreeMap;
use std::ops::Deref;

use blast_harness::{LocalIndex, Means, Run, Sandbox, TestUser, WheelSpec, require};

/// A sandbox without an index, for tests that need none.
pub(crate) fn sandbox() -> Option<Sandbox> {
    require(Means::Fuse).then(|| Sandbox::new(env!("CARGO_BIN_EXE_blast")))
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
    /// With these wheels on the index; `None`, having said so, where there is no FUSE.
    pub(crate) fn with(wheels: impl IntoIterator<Item = WheelSpec>) -> Option<Self> {
        let sandbox = sandbox()?;
        let index = LocalIndex::with(wheels);
        Some(Self {
            sandbox: sandbox.with_index(&index),
            index,
        })
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
