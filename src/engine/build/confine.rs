//! What keeps builds of one request in bounds, and what is told of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use blast_sandbox::Level;
use blast_sandbox::audit::Who;
use blast_types::Reporter;
use nix::unistd::Uid;

use super::environment::BuildEnvironment;
use super::step::{Confinement, Report};
use crate::ipc::protocol::BuildSandbox;

/// The bounds of all builds of a request.
pub(super) struct Confiner {
    sandbox: BuildSandbox,
    home: PathBuf,
    secret: Vec<PathBuf>,
    reporter: Arc<dyn Reporter>,
    told: AtomicBool,
}

/// The bounds of one build.
pub(super) struct Bounds {
    confiner: Arc<Confiner>,
    label: String,
    reads: Vec<PathBuf>,
}

impl Confiner {
    pub(super) fn new(
        sandbox: &BuildSandbox,
        home: &Path,
        cache: &Path,
        reporter: Arc<dyn Reporter>,
    ) -> Self {
        let own = [home.to_owned(), cache.to_owned()];
        Self {
            sandbox: sandbox.clone(),
            home: home.to_owned(),
            secret: sandbox.secret.iter().cloned().chain(own).collect(),
            reporter,
            told: AtomicBool::new(false),
        }
    }

    /// For the build of this; `reads` is seen too, though it is secret.
    pub(super) fn of(self: &Arc<Self>, label: &str, reads: Vec<PathBuf>) -> Bounds {
        Bounds {
            confiner: Arc::clone(self),
            label: label.to_owned(),
            reads,
        }
    }
}

impl Bounds {
    /// For a hook, called in this environment, on sources at `tree`, with what it makes below `workshop`. None where
    /// the policy wants none.
    pub(super) fn confinement(
        &self,
        environment: &BuildEnvironment,
        hook: &str,
        tree: &Path,
        workshop: &Path,
    ) -> Option<Confinement> {
        let confiner = &self.confiner;
        let sandbox = &confiner.sandbox;
        if sandbox.policy.level == Level::None {
            return None;
        }
        let elsewhere = !tree.starts_with(workshop);
        Some(Confinement {
            policy: sandbox.policy.clone(),
            demanded: sandbox.demanded,
            prefix: environment.prefix.clone(),
            interpreter: environment.interpreter.clone(),
            reads: self.reads.clone(),
            writes: elsewhere.then(|| tree.to_owned()).into_iter().collect(),
            workshop: workshop.to_owned(),
            // A tree that is not ours may be a project with environments of its own.
            frozen: (elsewhere.then(|| tree.join("pyproject.toml")).into_iter())
                .chain(sandbox.frozen.iter().cloned())
                .collect(),
            secret: confiner.secret.clone(),
            home: confiner.home.clone(),
            who: Who {
                environment: format!("build of {}", self.label),
                command: vec![hook.to_owned()],
                uid: Uid::current().as_raw(),
            },
        })
    }

    /// Tells, once for a request, that builds run without a sandbox.
    pub(super) fn heard(&self, report: &Report) {
        let Some(reason) = &report.unconfined else {
            return;
        };
        if !self.confiner.told.swap(true, Ordering::Relaxed) {
            self.confiner.reporter.warn(format!(
                "builds of packages run WITHOUT a sandbox: none can be made on this machine ({reason}); they can do \
                 all that you can. `blast doctor` says what is missing; \
                 `[tool.blast.sandbox.build] level = \"strict\"` refuses such builds"
            ));
        }
    }
}
