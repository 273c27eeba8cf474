//! What `status` and `check` say.

use blast_types::EnvName;

use super::error::EngineError;
use super::home::Home;
use super::{environment, findings, history, views};
use crate::ipc::protocol::{DriftView, EnvironmentStatus, Reply, StoreStatus, ViewStatus};

/// So many files are named.
const NAMED: usize = 3;

/// The view of a home.
pub(crate) fn view_status(home: &Home) -> ViewStatus {
    let files = home.why_files();
    let (mode, reason) = match (home.is_shown(), files) {
        (_, Some(reason)) => ("materialised", Some(reason)),
        (true, None) => ("view", None),
        (false, None) => {
            let reason = "nothing has asked for it since the daemon started";
            ("hidden", Some(reason.to_owned()))
        }
    };
    let kind = (mode == "materialised").then(|| home.files.kind());
    let (resend, takeovers) = home.succession().unwrap_or_default();
    ViewStatus {
        mode: mode.to_owned(),
        reason,
        links: kind.and_then(Result::ok).map(|kind| kind.to_string()),
        live: home.live().to_owned(),
        namespace: (mode == "view").then(|| home.namespace()).flatten(),
        requests: home.requests(),
        resend,
        takeovers,
        bytecode_pending: home.compiler.pending(),
    }
}

/// The store of a home.
pub(crate) fn store_status(home: &Home) -> Result<StoreStatus, EngineError> {
    Ok(StoreStatus {
        home: home.store.home().to_owned(),
        environments: home.store.envs()?.len(),
    })
}

/// One environment.
pub(crate) fn environment_status(
    home: &Home,
    name: &EnvName,
) -> Result<EnvironmentStatus, EngineError> {
    let state = home.env(name)?;
    let generation = home.store.generation(state.head)?;
    let in_words = |found: Option<(blast_store::Operation, _)>| {
        found.map(|(operation, _)| format!("{} ({})", operation.id, views::summary(&operation)))
    };
    Ok(EnvironmentStatus {
        view: environment::view(home, &state)?,
        interpreter: state.record.interpreter.executable.clone(),
        site_packages: home
            .prefix(name)
            .join(&state.record.interpreter.scheme.purelib),
        requirements: generation.requirements.clone(),
        undo: in_words(history::undoable(home, &state)?),
        redo: in_words(history::redoable(home, &state)?),
    })
}

/// Looks for damage. Blocks for as long as reading the store takes.
pub(crate) fn check(home: &Home, deep: bool) -> Result<Reply, EngineError> {
    let report = home.store.check(deep)?;
    let objects = report.generations + report.layers + report.blobs;
    Ok(Reply::Checked {
        objects: objects as u64,
        bytes: report.bytes_read,
        findings: report.findings.iter().map(findings::view).collect(),
        drift: drift(home)?,
    })
}

/// Where environments are not what their packages brought.
fn drift(home: &Home) -> Result<Vec<DriftView>, EngineError> {
    let mut drift = Vec::new();
    for state in home.store.envs()? {
        // One that is lost is a finding.
        let Ok(generation) = home.store.generation(state.head) else {
            continue;
        };
        let environment = &state.record.name;
        drift.extend(not_taken(home, environment));
        for package in generation.packages.iter().filter(|p| p.artifact.captured) {
            let (name, version) = (&package.name, &package.version);
            let message = if package.artifact.sha256.is_some() {
                format!("{name} {version} has files that programs changed")
            } else {
                format!("{name} {version} was installed by another tool")
            };
            drift.push(DriftView {
                environment: environment.clone(),
                package: Some(name.to_string()),
                message,
            });
        }
        if !generation.captured.is_empty() {
            drift.push(DriftView {
                environment: environment.clone(),
                package: None,
                message: "there are files that no package owns".to_owned(),
            });
        }
    }
    Ok(drift)
}

/// What programs wrote into plain files since the last request that looked.
fn not_taken(home: &Home, env: &EnvName) -> Option<DriftView> {
    let message = match home.files.drift(env) {
        Ok(None) => return None,
        Ok(Some((_, drift))) if drift.is_empty() => return None,
        Ok(Some((_, drift))) => {
            let paths = drift.written.keys().chain(&drift.removed);
            let mut named: Vec<_> = paths.map(|path| path.display().to_string()).collect();
            let more = named.len().saturating_sub(NAMED);
            named.truncate(NAMED);
            let rest = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            format!(
                "programs wrote to its plain files, which is not in the history yet: {}{rest}",
                named.join(", ")
            )
        }
        Err(error) => format!("its plain files cannot be looked at: {error}"),
    };
    Some(DriftView {
        environment: env.clone(),
        package: None,
        message,
    })
}
