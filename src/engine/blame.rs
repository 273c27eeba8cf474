//! Which operations brought a package: its changes, picked out of the history.

use blast_store::OperationKind;
use blast_types::EnvName;

use super::error::EngineError;
use super::home::Home;
use super::requirements::package_name;
use super::views;
use crate::ipc::protocol::Blame;

/// The operations that changed a package, newest first. Reads the whole history. Blocks.
pub(crate) fn blame(home: &Home, env: &EnvName, package: &str) -> Result<Blame, EngineError> {
    let name = package_name(package)?;
    let state = home.env(env)?;
    let head = home.store.generation(state.head)?;
    let version = head.package(&name).map(|package| package.version.clone());
    let (mut operations, mut origin) = (Vec::new(), None);
    let mut complete = false;
    for operation in home.store.operations(env)? {
        let operation = operation?;
        complete = operation.before.is_none();
        let changed = &operation.changes;
        let mut all = changed.added.iter().chain(&changed.removed);
        let change = all
            .find(|change| change.name == name)
            .or_else(|| changed.changed.iter().find(|change| change.name == name));
        let Some(change) = change else { continue };
        if origin.is_none()
            && version.is_some()
            && change.after == version
            && !goes_back(&operation.kind)
        {
            origin = Some(operation.id.0);
        }
        let mut view = views::operation(&operation, &state);
        view.changes.retain(|change| change.name == name.as_ref());
        operations.push(view);
    }
    if operations.is_empty() && version.is_none() {
        return Err(EngineError::NeverInstalled {
            package: name,
            env: env.clone(),
        });
    }
    Ok(Blame {
        package: name.to_string(),
        version: version.map(|version| version.to_string()),
        operations,
        origin,
        complete,
    })
}

/// Whether an operation only goes to a state that there was, rather than choosing versions.
fn goes_back(kind: &OperationKind) -> bool {
    match kind {
        OperationKind::Undo { .. }
        | OperationKind::Redo { .. }
        | OperationKind::Revert { .. }
        | OperationKind::Load { .. } => true,
        OperationKind::Create
        | OperationKind::Install
        | OperationKind::Update
        | OperationKind::Remove
        | OperationKind::Sync
        | OperationKind::Save { .. }
        | OperationKind::DeleteSnapshot { .. }
        | OperationKind::LoadImage { .. }
        | OperationKind::Capture => false,
    }
}
