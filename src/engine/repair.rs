//! `check --repair`: bring back what is lost or damaged.
//!
//! The store mends by itself what it can: journal and index from each other, generations from their
//! copies; it forgets what nothing needs. What came from wheels is brought again by its hash, from the
//! cache of built wheels or from the index, and unpacked; what was generated is generated again. All of
//! it is believed only where the name comes out the same. Each round looks at every byte, until
//! nothing is wrong or a round mended nothing.
//!
//! Of what cannot be mended the answer says whom it touches, why, and what can be done.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use blast_index::Sources;
use blast_store::{CheckReport, Damage, Finding, Package, Problem, Staging, WheelKey};
use blast_types::{EnvName, Event, Reporter, SchemePaths};

use super::build::Builder;
use super::change::complete;
use super::error::{EngineError, at};
use super::home::Home;
use super::ingest::{Ingest, bring_again};
use super::{findings, generated, resolve};
use crate::ipc::protocol::{BuildOptions, Reply, ResolveOptions};

/// What was damaged may hide more: a layer that comes back names blobs that nobody missed before.
const ROUNDS: usize = 5;

/// Why packages could not be brought again, by `name==version`.
type Failures = BTreeMap<String, String>;

/// Mends what can be mended. Reads the whole store, several times where there is damage.
pub(crate) async fn repair(
    home: Arc<Home>,
    sources: Sources,
    reporter: Arc<dyn Reporter>,
) -> Result<Reply, EngineError> {
    let mut seen: Vec<Finding> = Vec::new();
    let mut failures = Failures::new();
    let mut report = look(&home).await?;
    for _ in 0..ROUNDS {
        if report.is_clean() {
            break;
        }
        remember(&mut seen, &report);
        failures = mend(&home, &report, &sources, &reporter).await?;
        let before = std::mem::replace(&mut report, look(&home).await?);
        if before.findings == report.findings {
            break;
        }
    }
    let mended = seen
        .iter()
        .filter(|finding| {
            !report
                .findings
                .iter()
                .any(|left| left.problem == finding.problem)
        })
        .map(findings::view)
        .collect();
    let left = report.findings.iter().map(|finding| {
        let mut view = findings::view(finding);
        view.remedy = Some(remedy(finding, &failures));
        view
    });
    if !seen.is_empty() {
        let home = Arc::clone(&home);
        tokio::task::spawn_blocking(move || home.renew_files()).await??;
    }
    let objects = report.generations + report.layers + report.blobs;
    Ok(Reply::Repaired {
        objects: objects as u64,
        bytes: report.bytes_read,
        mended,
        findings: left.collect(),
        in_use: !seen.is_empty() && home.is_shown() && home.is_used(),
    })
}

async fn look(home: &Arc<Home>) -> Result<CheckReport, EngineError> {
    let home = Arc::clone(home);
    Ok(tokio::task::spawn_blocking(move || home.store.check(true)).await??)
}

fn remember(seen: &mut Vec<Finding>, report: &CheckReport) {
    for finding in &report.findings {
        if !seen.iter().any(|known| known.problem == finding.problem) {
            seen.push(finding.clone());
        }
    }
}

/// One round.
async fn mend(
    home: &Arc<Home>,
    report: &CheckReport,
    sources: &Sources,
    reporter: &Arc<dyn Reporter>,
) -> Result<Failures, EngineError> {
    let (at_home, found) = (Arc::clone(home), report.clone());
    let (damage, packages) = tokio::task::spawn_blocking(move || {
        let store = &at_home.store;
        let damage = found.damage();
        store.mend_records(&found)?;
        store.restore_copies(&damage)?;
        store.drop_needless(&found)?;
        let packages = store.packages_with(&damage)?;
        Ok::<_, EngineError>((damage, packages))
    })
    .await??;
    let failures = bring_packages(home, &damage, packages, sources, reporter).await?;
    let at_home = Arc::clone(home);
    let made_again = tokio::task::spawn_blocking(move || {
        bring_pip(&at_home, &damage)?;
        generate(&at_home, &damage)
    });
    made_again.await??;
    Ok(failures)
}

/// Brings the wheels of these packages again, and takes of them what is damaged.
async fn bring_packages(
    home: &Arc<Home>,
    damage: &Damage,
    packages: Vec<(EnvName, Package)>,
    sources: &Sources,
    reporter: &Arc<dyn Reporter>,
) -> Result<Failures, EngineError> {
    let mut failures = Failures::new();
    let mut by_env: HashMap<EnvName, Vec<Package>> = HashMap::new();
    for (env, package) in packages {
        by_env.entry(env).or_default().push(package);
    }
    for (env, packages) in by_env {
        let interpreter = home.env(&env)?.record.interpreter;
        let sources = complete(home, sources.clone(), &interpreter).await?;
        let index = home.caches().index.index(sources);
        let builder = Builder::new(
            home,
            index.clone(),
            interpreter,
            &resolve::resolver_options(&ResolveOptions::default())?,
            &BuildOptions::default(),
            Arc::clone(reporter),
        );
        let downloads = home.caches().index.wheels_dir();
        std::fs::create_dir_all(&downloads).map_err(at(&downloads))?;
        for package in packages {
            let name = format!("{}=={}", package.name, package.version);
            reporter.report(Event::Phase {
                name: format!("bringing {name} again"),
            });
            // One staging each: of two packages the one that can be had is mended.
            let staging = Arc::new(home.store.stage_anew(damage)?);
            let ingest = Ingest {
                store: Arc::clone(&home.store),
                staging: Arc::clone(&staging),
                index: index.clone(),
                builder: builder.clone(),
                downloads: downloads.clone(),
                scheme: scheme_of(&package.scheme),
                reporter: Arc::clone(reporter),
                anew: true,
            };
            match bring_again(Arc::new(ingest), &package).await {
                Ok((key, record)) => {
                    let home = Arc::clone(home);
                    let publish = move || publish(&home, staging, &key, &record);
                    tokio::task::spawn_blocking(publish).await??;
                }
                Err(error) => {
                    failures.insert(name, in_one_line(&error));
                }
            }
        }
    }
    Ok(failures)
}

fn publish(
    home: &Home,
    staging: Arc<Staging>,
    key: &WheelKey,
    record: &blast_store::WheelRecord,
) -> Result<(), EngineError> {
    Arc::into_inner(staging)
        .ok_or_else(|| EngineError::Bug("something still writes to the staging".to_owned()))?
        .publish()?;
    if home.store.wheel(key)?.as_deref() != Some(record) {
        home.store.put_wheel(key, record)?;
    }
    Ok(())
}

/// Brings the blobs of the shim of pip, which no wheel has.
fn bring_pip(home: &Home, damage: &Damage) -> Result<(), EngineError> {
    if damage.blobs.is_empty() {
        return Ok(());
    }
    let staging = home.store.stage_anew(damage)?;
    for state in home.store.envs()? {
        home.caches()
            .shims
            .stage(&state.record.interpreter, &staging)?;
    }
    Ok(staging.publish()?)
}

/// Makes damaged generated layers again. One that comes out otherwise (another blast made it, or the
/// environment had other variables then) stays as it is.
fn generate(home: &Home, damage: &Damage) -> Result<(), EngineError> {
    // Blobs were brought by now, as far as they can be.
    let layers = Damage {
        layers: damage.layers.clone(),
        ..Damage::default()
    };
    for (env, generation) in home.store.generated_with(damage)? {
        let record = home.env(&env)?.record;
        let mut wheels = Vec::new();
        for package in &generation.packages {
            let scheme = package.scheme.clone();
            let key = package
                .artifact
                .wheel()
                .map(|sha256| WheelKey { sha256, scheme });
            if let Some(key) = key
                && let Some(wheel) = home.store.wheel(&key)?
            {
                wheels.push(wheel);
            }
        }
        if wheels.len() != generation.packages.len() {
            continue;
        }
        let blast = std::env::current_exe().map_err(at("/proc/self/exe"))?;
        let staging = home.store.stage_anew(&layers)?;
        let pip = home.caches().shims.stage(&record.interpreter, &staging)?;
        let spec = generated::Spec::of(&record, &generation.prefix, &blast).with_pip(&pip);
        let read_blob = |blob| Ok(home.store.read_blob(blob)?);
        let wheels = wheels.iter().map(|wheel| &**wheel);
        let packages = generation.packages.iter().zip(wheels);
        // Fails, like staging it, where a blob of it is still lost: that is a finding of its own.
        let Ok(layer) = generated::layer(&spec, packages, &read_blob) else {
            continue;
        };
        if staging
            .layer(layer)
            .is_ok_and(|id| id == generation.generated)
        {
            staging.publish()?;
        }
    }
    Ok(())
}

/// The install paths that [`super::ingest::scheme_key`] names.
fn scheme_of(key: &str) -> SchemePaths {
    let mut parts = key.split('|').map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    SchemePaths {
        purelib: next(),
        platlib: next(),
        scripts: next(),
        data: next(),
        headers: next(),
    }
}

fn in_one_line(error: &EngineError) -> String {
    let failure = error.failure();
    let causes = failure.causes.iter().map(String::as_str);
    let parts: Vec<_> = std::iter::once(failure.message.as_str())
        .chain(causes)
        .collect();
    parts.join(": ")
}

/// What can be done about what could not be mended.
fn remedy(finding: &Finding, failures: &Failures) -> String {
    let env = finding.environments.first();
    let in_env = env.map(|env| format!(" --env {env}")).unwrap_or_default();
    let package = finding
        .packages
        .iter()
        .find(|name| failures.contains_key(*name));
    if let Some(package) = package {
        let name = package.split("==").next().unwrap_or(package);
        return format!(
            "{package} could not be had again: {}; repeat `blast check --repair` with an index that \
             has it (`--index-url`), or take it out and install it anew: `blast remove{in_env} {name}`, \
             `blast clean --keep 0`, `blast install{in_env} {package}`",
            failures[package],
        );
    }
    match &finding.problem {
        Problem::MissingGeneration { .. } | Problem::DamagedGeneration { .. } => format!(
            "this state cannot be returned to; `blast log{in_env}` shows those around it, \
             `blast clean --keep NUMBER` forgets it where it is older, and where it is the newest, \
             `blast envs rm` and `blast start` make the environment anew"
        ),
        Problem::HeadWithoutOperation { .. } => format!(
            "the environment itself is whole; any change of it, such as `blast save{in_env}`, gives it \
             a newest operation again"
        ),
        Problem::DamagedJournal { path, .. } | Problem::StaleIndex { path, .. } => format!(
            "look whether `{}` can be written, then repeat `blast check --repair`",
            path.display()
        ),
        _ => format!(
            "no wheel brings it again; `blast log{in_env}` shows what made it: take that back with \
             `blast revert{in_env}` and do it anew"
        ),
    }
}
