//! What a lock is made for: a Python, which need not be installed, on a platform.

use blast_types::{Interpreter, MarkerTree, MarkerVariables, NamedPlatform, PlatformInfo, Version};

use super::environment::find_interpreter;
use super::error::EngineError;
use super::home::Home;
use crate::interpreter::{FindError, RequestError};
use crate::ipc::protocol::LockRequest;

/// The interpreter to lock for, and the marker values of the Python asked for. A version that is
/// not installed is locked for all the same, on the platform of an interpreter that is.
pub(super) fn target_of(
    home: &Home,
    request: &LockRequest,
) -> Result<(Interpreter, MarkerVariables), EngineError> {
    if let (Some(env), None) = (&request.env, &request.python) {
        let interpreter = home.env(env)?.record.interpreter;
        let markers = interpreter.markers.clone();
        return Ok((interpreter, markers));
    }
    let wanted = request.python.as_deref();
    let version = wanted.and_then(plain_version);
    let found = find_interpreter(
        home,
        wanted,
        request.requires_python.as_deref(),
        &request.search,
    );
    let interpreter = match (found, &version) {
        (Err(EngineError::Interpreter(FindError::NotFound { .. })), version)
            if version.is_some() || request.universal =>
        {
            find_interpreter(home, None, None, &request.search)?
        }
        (found, _) => found?,
    };
    let markers = match version {
        Some(version) => of_version(&interpreter.markers, &version),
        None => interpreter.markers.clone(),
    };
    Ok((interpreter, markers))
}

/// `3.12` or `3.12.1`, of a CPython that environments could be made for.
pub(super) fn plain_version(text: &str) -> Option<Version> {
    let version = blast_types::versions::version(text).ok()?;
    let release = version.release().to_vec();
    let supported = matches!(*release, [3, 8..=14] | [3, 8..=14, _]);
    supported.then_some(version)
}

/// The marker values of another Python on another platform, where those are named; the interpreter's own else.
///
/// # Errors
/// Nothing is made for that Python.
pub(super) fn aimed_at(
    interpreter: &Interpreter,
    python: Option<&str>,
    platform: Option<&NamedPlatform>,
) -> Result<(MarkerVariables, PlatformInfo), EngineError> {
    let python = match python {
        None => interpreter.markers.clone(),
        Some(text) => {
            let version =
                plain_version(text).ok_or_else(|| RequestError::Implementation(text.to_owned()))?;
            of_version(&interpreter.markers, &version)
        }
    };
    Ok(match platform {
        None => (python, interpreter.platform.clone()),
        Some(named) => (named.markers(&python), named.platform()),
    })
}

/// The same platform with another Python. A version without a patch number stands for all of
/// them, so it is resolved for the first: what fits that fits the later ones.
fn of_version(markers: &MarkerVariables, version: &Version) -> MarkerVariables {
    let release = version.release();
    let short = format!("{}.{}", release[0], release[1]);
    let full = if release.len() > 2 {
        version.to_string()
    } else {
        format!("{short}.0")
    };
    MarkerVariables {
        python_version: short,
        implementation_version: full.clone(),
        python_full_version: full,
        ..markers.clone()
    }
}

/// What the lock is for, as PEP 751 states it: one kind of Python on one platform.
pub(super) fn environment_of(markers: &MarkerVariables) -> Result<MarkerTree, EngineError> {
    let text = format!(
        "python_version == '{}' and implementation_name == '{}' and sys_platform == '{}' and \
         platform_machine == '{}'",
        markers.python_version,
        markers.implementation_name,
        markers.sys_platform,
        markers.platform_machine,
    );
    blast_types::pep508::marker(&text).map_err(|error| EngineError::Bug(format!("{text}: {error}")))
}

/// The lower bound where no project says which Pythons it is for: the one asked for, without a
/// patch number unless that was given.
pub(super) fn asked_python(wanted: Option<&str>, markers: &MarkerVariables) -> String {
    wanted.and_then(plain_version).map_or_else(
        || markers.python_version.clone(),
        |version| version.to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_supported_pythons_are_locked_for_without_being_installed() {
        for text in ["3.8", "3.14", "3.12.4"] {
            assert!(plain_version(text).is_some(), "{text}");
        }
        for text in ["3", "3.7", "3.99", "2.7", "4.1", "cpython", "3.12.1.2"] {
            assert!(plain_version(text).is_none(), "{text}");
        }
    }
}
