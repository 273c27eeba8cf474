//! Changing what an environment holds: install, update, remove, sync.
//!
//! Each action first decides on a [`Plan`]: the direct requirements afterwards and, for each
//! package, either the one that is installed or an artifact to bring in. What follows is the same
//! for all: ingest what is missing, build the generated layer, write the generation, publish the
//! operation by one compare-and-swap, and swap the view. Its cost grows with the number of
//! packages, never with their files. Nothing is visible before the last step, so a request that is
//! cancelled or fails at any point before it leaves the environment as it was. Others are kept out of
//! the environment for that last step only; what becomes of a change that another one overtook is
//! up to [`super::overtaken`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use blast_index::{Index, RedactedUrl, Sources};
use blast_store::{EnvState, Generation, OperationDraft, OperationKind, Package, WheelRecord};
use blast_types::{Event, Interpreter, PackageName, Reporter};

use super::build::Builder;
use super::error::{EngineError, at};
use super::home::{Home, Turn, now_ms};
use super::ingest::{Ingest, ingest};
use super::overtaken::Overtaken;
use super::plan::Plan;
use super::records;
use super::requirements::{package_name, understand};
use super::resolve;
use super::secrets;
use super::views;
use crate::ipc::protocol::{Action, Change, Changed};

/// Everything that one change works with.
pub(crate) struct Job {
    pub(crate) home: Arc<Home>,
    pub(crate) state: EnvState,
    pub(crate) before: Arc<Generation>,
    pub(crate) index: Index,
    pub(crate) builder: Builder,
    pub(crate) reporter: Arc<dyn Reporter>,
}

/// What a [`Job`] shall do.
struct Order {
    kind: OperationKind,
    plan: Plan,
    dry_run: bool,
    no_bytecode: bool,
    origins: bool,
    asker: Asker,
    started_ms: i64,
}

/// What became of it.
enum Outcome {
    Done(Changed),
    /// Another change was published first.
    Overtaken(Box<Overtaken>),
}

/// After so many attempts that others overtook, a change keeps them out.
const PATIENCE: usize = 3;

/// Who asked for a change, and how.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    /// User name.
    pub(crate) who: String,
    /// Command line.
    pub(crate) command: Vec<String>,
}

/// Carries out one change.
pub(crate) async fn change(
    home: Arc<Home>,
    mut change: Change,
    asker: Asker,
    reporter: Arc<dyn Reporter>,
) -> Result<Changed, EngineError> {
    let (started, started_ms) = (Instant::now(), now_ms());
    if let Action::Install { requirements, .. } | Action::SyncRequirements { requirements } =
        &mut change.action
    {
        secrets::separate(requirements, &mut change.options, &mut change.sources);
    }
    let mut overtaken: Option<Box<Overtaken>> = None;
    let mut attempts = 0;
    loop {
        // Others are kept out only of a change that was overtaken again and again.
        let turn = if attempts < PATIENCE {
            None
        } else {
            Some(home.turn(&change.env).await)
        };
        attempts += 1;
        let job = Job::begin(&home, &change, &reporter).await?;
        let planned = plan(&job, change.action.clone(), &change.options).await;
        let (kind, plan) = match (planned, &overtaken) {
            (Err(error), Some(overtaken)) => {
                // Who contradicts the other change is told of that rather than of what follows.
                overtaken.rebase(&job, &[], &asker)?;
                return Err(error);
            }
            (planned, _) => planned?,
        };
        let order = Order {
            kind,
            plan,
            dry_run: change.dry_run,
            no_bytecode: change.no_bytecode,
            origins: change.origins,
            asker: asker.clone(),
            started_ms,
        };
        match job.carry_out(order, turn, overtaken.as_deref()).await? {
            Outcome::Done(changed) => {
                return Ok(Changed {
                    took_ms: started.elapsed().as_secs_f64() * 1000.0,
                    ..changed
                });
            }
            Outcome::Overtaken(by) => overtaken = Some(by),
        }
    }
}

/// Fills in the index that the interpreter's own pip would use, where none is named.
pub(crate) async fn complete(
    home: &Arc<Home>,
    mut sources: Sources,
    interpreter: &Interpreter,
) -> Result<Sources, EngineError> {
    if sources.needs_default_index() {
        let (caches, interpreter) = (home.caches(), interpreter.clone());
        let url =
            tokio::task::spawn_blocking(move || caches.probes.default_index(&interpreter)).await?;
        let url = url
            .as_deref()
            .and_then(|url| url.parse::<RedactedUrl>().ok());
        sources.set_default_index(url.ok_or(EngineError::NoIndex)?);
    }
    home.remember(&sources);
    Ok(sources)
}

/// What the action means for the environment of a job.
pub(super) async fn plan(
    job: &Job,
    action: Action,
    options: &crate::ipc::protocol::ResolveOptions,
) -> Result<(OperationKind, Plan), EngineError> {
    Ok(match action {
        Action::Install {
            requirements,
            upgrade,
            no_deps,
        } => {
            let asked = understand(&job.builder, &requirements.requirements).await?;
            let plan = resolve::install(job, &asked, options, upgrade, no_deps).await?;
            resolve::all_hashed(job, &asked, &plan)?;
            (OperationKind::Install, plan)
        }
        Action::Update { packages } => {
            let names = packages
                .iter()
                .map(|name| package_name(name))
                .collect::<Result<_, _>>()?;
            (
                OperationKind::Update,
                resolve::update(job, names, options).await?,
            )
        }
        Action::Remove { packages } => {
            let names = packages
                .iter()
                .map(|name| package_name(name))
                .collect::<Result<Vec<_>, _>>()?;
            (OperationKind::Remove, job.without(&names)?)
        }
        Action::SyncRequirements { requirements } => (
            OperationKind::Sync,
            resolve::sync_requirements(job, &requirements, options).await?,
        ),
        Action::SyncLock {
            path,
            text,
            extras,
            groups,
            default_groups,
            only_locked,
            project,
        } => {
            let follow = (default_groups, only_locked);
            let lock = (&*path, &*text);
            let locked =
                super::follow_lock::sync_lock(job, lock, &extras, &groups, follow, options);
            let mut plan = locked.await?;
            if let Some(line) = project {
                super::follow_lock::add_project(job, &mut plan, line).await?;
            }
            (OperationKind::Sync, plan)
        }
    })
}

impl Job {
    /// Looks at the environment as it is now.
    pub(super) async fn begin(
        home: &Arc<Home>,
        change: &Change,
        reporter: &Arc<dyn Reporter>,
    ) -> Result<Self, EngineError> {
        let home = Arc::clone(home);
        let state = home.env(&change.env)?;
        let before = home.store.generation(state.head)?;
        let sources = complete(&home, change.sources.clone(), &state.record.interpreter).await?;
        let index = home.caches().index.index(sources);
        let builder = Builder::new(
            &home,
            index.clone(),
            state.record.interpreter.clone(),
            &resolve::resolver_options(&change.options)?,
            &change.options.build,
            Arc::clone(reporter),
        );
        let builder = if change.options.build.no_isolation {
            builder.within(&change.env, &before)
        } else {
            builder
        };
        for direct in before
            .packages
            .iter()
            .filter_map(|package| package.direct_url.as_ref())
        {
            if let Ok(url) = direct.url.parse() {
                builder.set_editable(&url, direct.is_editable());
            }
        }
        Ok(Self {
            home,
            state,
            before,
            index,
            builder,
            reporter: Arc::clone(reporter),
        })
    }

    /// The metadata of all installed packages.
    pub(crate) fn records(&self) -> Result<HashMap<PackageName, Arc<WheelRecord>>, EngineError> {
        self.before
            .packages
            .iter()
            .map(|package| Ok((package.name.clone(), self.record(package)?)))
            .collect()
    }

    pub(super) fn record(&self, package: &Package) -> Result<Arc<WheelRecord>, EngineError> {
        records::of_package(&self.home.store, package)
    }

    /// Makes the plan true, unless another change is published first. `turn` is there where others
    /// are kept out already.
    async fn carry_out(
        self,
        order: Order,
        turn: Option<Turn>,
        overtaken: Option<&Overtaken>,
    ) -> Result<Outcome, EngineError> {
        let Order {
            kind,
            mut plan,
            dry_run,
            no_bytecode,
            origins,
            asker,
            started_ms,
        } = order;
        plan.packages.sort_by(|a, b| a.name.cmp(&b.name));
        self.recognise(&mut plan)?;
        let changes = views::planned_changes(&self.before, &plan);
        let unchanged = changes.is_empty()
            && plan.requirements == self.before.requirements
            && plan.lock == self.before.lock
            && self.is_installed(&plan);
        let mut outcome = Changed {
            operation: None,
            generation: (!dry_run).then_some(self.state.head),
            dry_run,
            changes,
            packages: plan.packages.len(),
            took_ms: 0.0,
            summary: None,
            origins: Vec::new(),
        };
        if origins {
            outcome.origins = plan.origins(&outcome.changes);
        }
        if unchanged || dry_run {
            return Ok(Outcome::Done(outcome));
        }
        let base = overtaken
            .map(|overtaken| overtaken.rebase(&self, &outcome.changes, &asker))
            .transpose()?;
        let (ingested, staging) = self.bring_in(&plan).await?;
        for origin in &mut outcome.origins {
            let at = plan
                .packages
                .iter()
                .position(|package| package.name == origin.name);
            if let Some(sha256) = at.and_then(|at| ingested[at].sha256) {
                origin.is_file_with(sha256);
            }
        }
        self.reporter.report(Event::Phase {
            name: "committing".to_owned(),
        });
        let draft = OperationDraft {
            kind,
            command: asker.command,
            who: asker.who,
            started_ms,
            note: base
                .as_ref()
                .map(|base| format!("planned again after operation {}", base.id)),
        };
        outcome.summary = base.map(|base| {
            let (id, what) = (base.id, views::summary(&base));
            format!("operation {id} ({what}) was made meanwhile; this comes after it")
        });
        let turn = match turn {
            Some(turn) => turn,
            None => self.home.turn(&self.state.record.name).await,
        };
        // On a blocking thread and not cancellable from here on: it is one short write.
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let home = Arc::clone(&self.home);
            let written = self.write(plan, &ingested, staging)?;
            if home.env(&self.state.record.name)?.head != self.state.head {
                let kept = self.set_aside(&written.generation, written.staging, &ingested)?;
                let overtaken = Overtaken::new(&self, outcome.changes, kept);
                return Ok(Outcome::Overtaken(Box::new(overtaken)));
            }
            let operation = self.publish(written, &ingested, draft)?;
            if !no_bytecode {
                home.compile(&*home.store.generation(operation.after)?)?;
            }
            outcome.operation = Some(operation.id.0);
            outcome.generation = Some(operation.after);
            Ok(Outcome::Done(outcome))
        })
        .await?
    }

    pub(super) async fn bring_in(
        &self,
        plan: &Plan,
    ) -> Result<(Vec<super::ingest::Ingested>, Arc<blast_store::Staging>), EngineError> {
        let downloads = self.home.caches().index.wheels_dir();
        std::fs::create_dir_all(&downloads).map_err(at(&downloads))?;
        let staging = Arc::new(self.home.store.stage()?);
        let work = Ingest {
            store: Arc::clone(&self.home.store),
            staging: Arc::clone(&staging),
            index: self.index.clone(),
            builder: self.builder.clone(),
            downloads,
            scheme: self.state.record.interpreter.scheme.clone(),
            reporter: Arc::clone(&self.reporter),
            anew: false,
        };
        let artifacts = plan
            .packages
            .iter()
            .map(|planned| planned.artifact.clone())
            .collect();
        Ok((ingest(Arc::new(work), artifacts).await?, staging))
    }
}
