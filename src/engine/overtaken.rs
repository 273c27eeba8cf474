//! Two changes of one environment at once.
//!
//! A change keeps nobody out while it resolves and downloads; only its publishing takes the
//! environment's turn. Where another was published in between, it is planned anew on top of that:
//! what it brought in is in the store by then, so this takes no time to speak of. It goes on if the
//! two change different packages, or change the same ones alike. Else it is refused: whoever asked
//! did not know of the other, and has to say what they want now.

use std::collections::{BTreeMap, BTreeSet};

use blast_store::{EnvState, Generation, Kept, Operation, OperationId};
use blast_types::{EnvName, Hint};

use super::change::{Asker, Job};
use super::error::EngineError;
use super::history::operation;
use super::home::Home;
use super::views;
use crate::command_line::command_line;
use crate::ipc::protocol::{Capture, PackageChangeView};

/// Why a change is not made.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{env}` was changed meanwhile: {who} did `{command}` (operation {operation}), which is about {} too",
    packages.join(", ")
)]
pub(crate) struct Refusal {
    env: EnvName,
    /// What was made instead, by whom and by which command.
    operation: u64,
    who: String,
    command: String,
    /// What both are about.
    packages: Vec<String>,
    /// The command that is refused.
    repeat: String,
}

impl Hint for Refusal {
    fn hints(&self) -> Vec<String> {
        let Self {
            env,
            operation,
            repeat,
            ..
        } = self;
        vec![
            format!("`blast show {operation} --env {env}` tells what that changed"),
            format!("to change it all the same: `{repeat}`"),
        ]
    }
}

/// A change that another one overtook.
#[derive(Debug)]
pub(super) struct Overtaken {
    /// What it began from.
    began: EnvState,
    /// What it was about to change.
    ours: Vec<PackageChangeView>,
    /// Keeps what it brought in from being collected until the next attempt has it.
    _kept: Kept,
}

impl Overtaken {
    /// The change of this job, with what it brought in.
    pub(super) fn new(job: &Job, ours: Vec<PackageChangeView>, kept: Kept) -> Self {
        Self {
            began: job.state.clone(),
            ours,
            _kept: kept,
        }
    }

    /// Whether the change may go on as it is planned now, and after which operation. Blocks.
    pub(super) fn rebase(
        &self,
        job: &Job,
        again: &[PackageChangeView],
        asker: &Asker,
    ) -> Result<Operation, EngineError> {
        let old = job.home.store.generation(self.began.head)?;
        let theirs = changes(&old, &job.before);
        let contested = contested(&self.ours, &theirs, again);
        let since = since(&job.home, &self.began, &job.state)?;
        let newest = || EngineError::Bug("a head moved without an operation".to_owned());
        if contested.is_empty() {
            return since.into_iter().next().ok_or_else(newest);
        }
        let touches = |operation: &&Operation| {
            let changed = views::changes(&operation.changes);
            changed
                .iter()
                .any(|change| contested.contains(&change.name))
        };
        let culprit = since.iter().find(touches).or(since.first());
        let culprit = culprit.ok_or_else(newest)?;
        let env = job.state.record.name.clone();
        Err(refusal(env, culprit, contested, &asker.command))
    }
}

fn refusal(
    env: EnvName,
    culprit: &Operation,
    contested: BTreeSet<String>,
    repeat: &[String],
) -> EngineError {
    EngineError::Overtaken(Box::new(Refusal {
        env,
        operation: culprit.id.0,
        who: culprit.who.clone(),
        command: command_line(&culprit.command),
        packages: contested.into_iter().collect(),
        repeat: command_line(repeat),
    }))
}

/// Why what a program wrote cannot be taken: others changed the same since it began.
pub(super) fn refuse(
    home: &Home,
    now: &EnvState,
    request: &Capture,
    contested: BTreeSet<String>,
) -> EngineError {
    let env = &now.record.name;
    let mut newest = None;
    for id in (1..=now.operation.0).rev() {
        match operation(home, env, OperationId(id)) {
            Ok(Some(found)) if found.after == request.generation => break,
            Ok(Some(found)) => {
                let changed = views::changes(&found.changes);
                let touches = changed
                    .iter()
                    .any(|change| contested.contains(&change.name));
                if touches {
                    return refusal(env.clone(), &found, contested, &request.command);
                }
                newest.get_or_insert(found);
            }
            Ok(None) => break,
            Err(error) => return error.into(),
        }
    }
    match newest {
        Some(newest) => refusal(env.clone(), &newest, contested, &request.command),
        None => EngineError::Bug("a head moved without an operation".to_owned()),
    }
}

fn changes(old: &Generation, new: &Generation) -> Vec<PackageChangeView> {
    views::changes_between(Some(old), new)
}

/// The operations after one state up to another, newest first.
fn since(home: &Home, old: &EnvState, new: &EnvState) -> Result<Vec<Operation>, EngineError> {
    let env = &new.record.name;
    let ids = (old.operation.0 + 1..=new.operation.0).rev();
    let found = ids.map(|id| operation(home, env, OperationId(id)));
    Ok(found
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .flatten()
        .collect())
}

/// The packages that both sides change: `ours` before, `again` on top of `theirs`. Those that end in
/// the same version are not among them.
fn contested(
    ours: &[PackageChangeView],
    theirs: &[PackageChangeView],
    again: &[PackageChangeView],
) -> BTreeSet<String> {
    let theirs: BTreeMap<_, _> = theirs
        .iter()
        .map(|change| (&change.name, &change.after))
        .collect();
    let differ = ours.iter().filter(|change| {
        theirs
            .get(&change.name)
            .is_some_and(|after| **after != change.after)
    });
    let touched = again
        .iter()
        .filter(|change| theirs.contains_key(&change.name));
    differ
        .chain(touched)
        .map(|change| change.name.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(changes: &[(&str, Option<&str>, Option<&str>)]) -> Vec<PackageChangeView> {
        let own = |version: Option<&str>| version.map(ToOwned::to_owned);
        changes
            .iter()
            .map(|&(name, before, after)| PackageChangeView {
                name: name.to_owned(),
                before: own(before),
                after: own(after),
            })
            .collect()
    }

    #[test]
    fn only_what_ends_differently_is_contested() {
        let ours = all(&[("a", None, Some("1")), ("shared", None, Some("1"))]);
        let again = all(&[("a", None, Some("1"))]);
        let contested =
            |theirs: &[_], again: &[_]| Vec::from_iter(contested(&ours, &all(theirs), again));
        let b = ("b", None, Some("1"));
        assert!(contested(&[b], &ours).is_empty());
        assert!(contested(&[b, ("shared", None, Some("1"))], &again).is_empty());
        assert_eq!(
            contested(&[b, ("shared", None, Some("2"))], &again),
            ["shared"]
        );
        assert_eq!(contested(&[("a", Some("1"), None)], &again), ["a"]);
        let removes_b = all(&[("a", None, Some("1")), ("b", Some("1"), None)]);
        assert_eq!(contested(&[b], &removes_b), ["b"]);
    }
}
