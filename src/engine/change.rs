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

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use blast_index::{Index, RedactedUrl, Sources};
use blast_store::failpoint::{self, Point};
use blast_store::{
    Artifact as StoredArtifact, EnvState, Generation, InterpreterRef, Kept, OperationDraft,
    OperationKind, Package, WheelRecord,
};
use blast_types::{
    ArchiveInfo, DirectUrl, Event, ExtraName, Interpreter, PackageName, Reporter, Requirement,
    Version,
};

use super::build::Builder;
use super::error::{EngineError, at};
use super::generated;
use super::home::{Home, now_ms};
use super::ingest::{Artifact, Ingest, ingest, scheme_key};
use super::overtaken::Overtaken;
use super::records;
use super::requirements::{Needs, merged, package_name, understand};
use super::resolve;
use super::secrets;
use super::views;
use crate::ipc::protocol::{Action, Change, Changed};

/// What an environment shall hold.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Direct requirements, as PEP 508 texts.
    pub(crate) requirements: Vec<String>,
    /// All packages.
    pub(crate) packages: Vec<Planned>,
    /// SHA-256 of the lock that the plan follows.
    pub(crate) lock: Option<blast_types::Sha256>,
}

/// One package of a [`Plan`].
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) name: PackageName,
    pub(crate) version: Version,
    pub(crate) artifact: Artifact,
    pub(crate) index: Option<String>,
    pub(crate) direct_url: Option<DirectUrl>,
    pub(crate) requested: bool,
    pub(crate) extras: Vec<ExtraName>,
}

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
    asker: Asker,
    started_ms: i64,
}

/// What became of it.
enum Outcome {
    Done(Changed),
    /// Another change was published first.
    Overtaken(Box<Overtaken>),
}

/// The right to publish.
type Turn = tokio::sync::OwnedMutexGuard<()>;

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

async fn plan(
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
            let plan = resolve::install(job, &asked, options, upgrade, no_deps);
            (OperationKind::Install, plan.await?)
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
            let locked = super::lock::sync_lock(job, lock, &extras, &groups, follow, options);
            let mut plan = locked.await?;
            if let Some(line) = project {
                super::lock::add_project(job, &mut plan, line).await?;
            }
            (OperationKind::Sync, plan)
        }
    })
}

impl Job {
    /// Looks at the environment as it is now.
    async fn begin(
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

    fn record(&self, package: &Package) -> Result<Arc<WheelRecord>, EngineError> {
        records::of_package(&self.home.store, package)
    }

    /// An installed package as part of a plan.
    pub(crate) fn keep(&self, package: &Package) -> Result<Planned, EngineError> {
        Ok(Planned {
            name: package.name.clone(),
            version: package.version.clone(),
            artifact: Artifact::installed(package, Some(&*self.record(package)?))?,
            index: package.artifact.index.clone(),
            direct_url: package.direct_url.clone(),
            requested: package.requested,
            extras: package.extras.clone(),
        })
    }

    /// The plan that takes packages out, and what only they needed. No index is asked.
    fn without(&self, names: &[PackageName]) -> Result<Plan, EngineError> {
        let env = &self.state.record.name;
        for name in names {
            if self.before.package(name).is_none() {
                return Err(EngineError::NotInstalled {
                    package: name.clone(),
                    env: env.clone(),
                });
            }
        }
        let requirements = merged(&self.before.requirements, &[])?
            .into_iter()
            .filter(|requirement| !names.contains(&requirement.name))
            .collect::<Vec<Requirement>>();
        let markers = self.state.record.interpreter.markers.environment()?;
        let needs = Needs::new(&self.before, &self.records()?, &markers);
        let kept = needs.closure(
            requirements
                .iter()
                .map(|requirement| requirement.name.clone()),
        );
        if let Some(name) = names.iter().find(|name| kept.contains(*name)) {
            let needed_by = needs
                .needed_by(name, &kept)
                .iter()
                .map(ToString::to_string)
                .collect();
            return Err(EngineError::StillNeeded {
                package: name.clone(),
                needed_by,
            });
        }
        let packages = self
            .before
            .packages
            .iter()
            .filter(|package| kept.contains(&package.name))
            .map(|package| self.keep(package))
            .collect::<Result<_, _>>()?;
        let requirements = requirements.iter().map(ToString::to_string).collect();
        Ok(Plan {
            requirements,
            packages,
            lock: None,
        })
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
        };
        if unchanged || dry_run {
            return Ok(Outcome::Done(outcome));
        }
        let base = overtaken
            .map(|overtaken| overtaken.rebase(&self, &outcome.changes, &asker))
            .transpose()?;
        let (ingested, staging) = self.bring_in(&plan).await?;
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

    /// Notes which sources of the plan are installed as they are now.
    fn recognise(&self, plan: &mut Plan) -> Result<(), EngineError> {
        let own = scheme_key(&self.state.record.interpreter.scheme);
        for planned in &mut plan.packages {
            if let Some(package) = self.before.package(&planned.name)
                && package.scheme != own
                && package.artifact.sha256.is_some()
                && package.artifact.sha256 == planned.artifact.file.sha256
            {
                // It came from an image, which alone says what this file became.
                planned.artifact.scheme = Some(package.scheme.clone());
                planned.artifact.built = planned.artifact.built.or(package.artifact.built);
            }
            let Some(source) = &planned.artifact.source else {
                // What programs wrote into a package stays while its version does.
                if let Some(package) = self.before.package(&planned.name)
                    && package.artifact.captured
                    && package.version == planned.version
                    && package.artifact.sha256 == planned.artifact.file.sha256
                    && planned.artifact.built.is_none()
                {
                    *planned = Planned {
                        requested: planned.requested,
                        extras: std::mem::take(&mut planned.extras),
                        ..self.keep(package)?
                    };
                }
                continue;
            };
            if let Some(package) = self.before.package(&planned.name)
                && !source.is_file()
                && same_origin(planned.direct_url.as_ref(), package.direct_url.as_ref())
                && let Some((built, _)) = self.builder.built_before(source)
                && package.artifact.built == Some(built)
            {
                *planned = Planned {
                    requested: planned.requested,
                    extras: std::mem::take(&mut planned.extras),
                    ..self.keep(package)?
                };
            }
        }
        Ok(())
    }

    /// Whether the plan's artifacts are those that are installed.
    fn is_installed(&self, plan: &Plan) -> bool {
        plan.packages.len() == self.before.packages.len()
            && plan
                .packages
                .iter()
                .zip(&self.before.packages)
                .all(|(planned, package)| {
                    planned.name == package.name
                        && planned.version == package.version
                        && planned.requested == package.requested
                        && same_origin(planned.direct_url.as_ref(), package.direct_url.as_ref())
                        && !planned.artifact.is_new()
                        && (planned.artifact.file.sha256.is_none()
                            || planned.artifact.file.sha256 == package.artifact.sha256)
                })
    }

    async fn bring_in(
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

    /// The generation that the plan describes, with all that is staged for it.
    fn write(
        &self,
        plan: Plan,
        ingested: &[super::ingest::Ingested],
        staging: Arc<blast_store::Staging>,
    ) -> Result<Written, EngineError> {
        failpoint::hit(Point::EngineWrite).map_err(at(self.home.store.home()))?;
        let record = &self.state.record;
        let mut packages = Vec::with_capacity(plan.packages.len());
        for (planned, ingested) in plan.packages.into_iter().zip(ingested) {
            let mut package = planned.installed(ingested);
            let before = self.before.package(&package.name);
            package.artifact.captured = before
                .is_some_and(|before| before.artifact.captured && before.layer == package.layer);
            packages.push(package);
        }
        let prefix = self.home.prefix(&record.name);
        let blast = std::env::current_exe().map_err(at("/proc/self/exe"))?;
        let pip = self
            .home
            .caches()
            .shims
            .stage(&record.interpreter, &staging)?;
        let spec = generated::Spec::of(record, &prefix, &blast).with_pip(&pip);
        let read_blob = |blob| {
            // A blob that this very change brings is still staged under another name.
            let path = staging.blob_path(blob);
            std::fs::read(&path).map_err(at(path))
        };
        let records = ingested.iter().map(|ingested| &*ingested.record);
        let generated = generated::layer(&spec, packages.iter().zip(records), &read_blob)?;
        let generation = Generation {
            interpreter: InterpreterRef::from(&record.interpreter),
            prefix: prefix.clone(),
            generated: staging.layer(generated)?,
            packages,
            captured: self.before.captured.clone(),
            requirements: plan.requirements,
            lock: plan.lock,
            policy: self.before.policy,
        };
        let staging = Arc::into_inner(staging)
            .ok_or_else(|| EngineError::Bug("something still writes to the staging".to_owned()))?;
        Ok(Written {
            generation,
            staging,
        })
    }

    /// Has the store keep what was brought in for a generation that does not become the head.
    fn set_aside(
        &self,
        generation: &Generation,
        staging: blast_store::Staging,
        ingested: &[super::ingest::Ingested],
    ) -> Result<Kept, EngineError> {
        let kept = self.home.store.keep(generation, staging)?;
        for ingested in ingested {
            if let Some(key) = &ingested.fresh {
                self.home.store.put_wheel(key, &ingested.record)?;
            }
        }
        Ok(kept)
    }

    fn publish(
        &self,
        written: Written,
        ingested: &[super::ingest::Ingested],
        draft: OperationDraft,
    ) -> Result<blast_store::Operation, EngineError> {
        let env = &self.state.record.name;
        let transaction = self.home.store.begin(env)?;
        let mut unpublished = transaction.write(&written.generation, written.staging)?;
        let held = self.home.prepare(env, &mut unpublished)?;
        for ingested in ingested {
            if let Some(key) = &ingested.fresh {
                unpublished.remember(key.clone(), Arc::clone(&ingested.record));
            }
        }
        failpoint::hit(Point::EnginePublish).map_err(at(self.home.store.home()))?;
        let operation = unpublished.publish(draft, now_ms())?;
        self.home.swap(env, operation.after)?;
        drop(held);
        Ok(operation)
    }
}

/// A generation that is not in the store yet, and what is staged for it.
struct Written {
    generation: Generation,
    staging: blast_store::Staging,
}

impl Planned {
    /// The package that it became.
    pub(super) fn installed(self, ingested: &super::ingest::Ingested) -> Package {
        let file = &self.artifact.file;
        Package {
            name: self.name,
            version: self.version,
            layer: ingested.record.layer,
            artifact: StoredArtifact {
                filename: ingested
                    .filename
                    .clone()
                    .unwrap_or_else(|| file.filename.to_string()),
                sha256: ingested.sha256,
                built: ingested.built,
                url: Some(blast_index::bare(&file.url)),
                index: self.index,
                captured: false,
            },
            direct_url: self.direct_url.map(|direct| match ingested.sha256 {
                Some(sha256) => with_hash(direct, sha256),
                None => direct,
            }),
            requested: self.requested,
            extras: self.extras,
            scheme: ingested.scheme.clone(),
        }
    }
}

/// Whether two distributions come from one place; the hash of an archive is compared elsewhere.
fn same_origin(one: Option<&DirectUrl>, other: Option<&DirectUrl>) -> bool {
    let bare = |direct: &DirectUrl| DirectUrl {
        archive_info: direct.archive_info.as_ref().map(|_| ArchiveInfo::default()),
        ..direct.clone()
    };
    one.map(bare) == other.map(bare)
}

/// States the archive's hash in `direct_url.json`, as PEP 610 asks.
fn with_hash(mut direct: DirectUrl, sha256: blast_types::Sha256) -> DirectUrl {
    if let Some(archive) = &mut direct.archive_info {
        archive.hashes = BTreeMap::from([("sha256".to_owned(), sha256.to_hex())]);
    }
    direct
}

/// Marks what was asked for by name.
pub(crate) fn requested_names(requirements: &[Requirement]) -> BTreeSet<PackageName> {
    requirements
        .iter()
        .map(|requirement| requirement.name.clone())
        .collect()
}
