//! Which environment variables a program gets: those that say how to speak, not those that hold
//! secrets or lead to other programs' sockets.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::{Caller, Environment, User};
use crate::{Level, Policy};

/// Kept at every level.
const ALWAYS: &[&str] = &[
    "COLORTERM",
    "COLUMNS",
    "FORCE_COLOR",
    "HOME",
    "LANG",
    "LANGUAGE",
    "LINES",
    "LOGNAME",
    "NO_COLOR",
    "PATH",
    "SHELL",
    "TERM",
    "TZ",
    "USER",
];
/// Names that begin so are kept at every level.
const ALWAYS_BEGINNING: &[&str] = &["LC_"];

/// Kept at level standard.
const STANDARD: &[&str] = &[
    "CI",
    "DJANGO_SETTINGS_MODULE",
    "EDITOR",
    "FLASK_APP",
    "FLASK_DEBUG",
    "MPLBACKEND",
    "PAGER",
    "VISUAL",
];
/// Names that begin so are kept at level standard.
const STANDARD_BEGINNING: &[&str] = &["MKL_", "NUMEXPR_", "OMP_", "OPENBLAS_", "PYTHON"];

/// Tells blast, should it be started inside, that there is no way out; holds the level.
pub const INSIDE: &str = "BLAST_INSIDE";

/// Leads every interpreter but its own astray.
const MISLEADING: &str = "PYTHONHOME";

/// What the caller's variables become.
pub(super) fn of(
    policy: &Policy,
    environment: &Environment,
    caller: &Caller,
    user: Option<&User>,
    directory: &Path,
) -> BTreeMap<OsString, OsString> {
    let mut kept: BTreeMap<OsString, OsString> = caller
        .variables
        .iter()
        .filter(|(name, _)| is_kept(name, policy.level))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if let Some(name) = user.and_then(|user| user.name.as_ref()) {
        for variable in ["USER", "LOGNAME"] {
            kept.insert(variable.into(), name.into());
        }
    }
    for (name, value) in &policy.variables {
        let value = match value {
            Some(value) => Some(OsString::from(value)),
            None => caller.variables.get(OsStr::new(name)).cloned(),
        };
        kept.extend(value.map(|value| (OsString::from(name), value)));
    }
    kept.insert(INSIDE.into(), policy.level.as_str().into());
    let own = &environment.variables;
    kept.extend(
        own.iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    kept.insert("PWD".into(), directory.into());
    kept
}

fn is_kept(name: &OsStr, level: Level) -> bool {
    let among = |names: &[&str], beginnings: &[&str]| {
        names.iter().any(|known| name == *known)
            || beginnings
                .iter()
                .any(|beginning| name.as_bytes().starts_with(beginning.as_bytes()))
    };
    among(ALWAYS, ALWAYS_BEGINNING)
        || level < Level::Strict && name != MISLEADING && among(STANDARD, STANDARD_BEGINNING)
}
