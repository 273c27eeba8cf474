//! Checks of where things come from: interpreters, and package indexes with the origin of each
//! setting.

use std::ffi::OsString;

use super::Check;
use crate::cli::context::Context;
use crate::cli::options::SourceOptions;
use crate::cli::sources;
use crate::error::Error;
use crate::interpreter::{Found, FoundState, ProbeCache, SUPPORTED, Search, find_all};

/// All of them.
pub(super) fn checks(context: &Context, options: &SourceOptions) -> Result<Vec<Check>, Error> {
    let mut checks = vec![interpreters(context)?];
    checks.extend(indexes(context, options));
    Ok(checks)
}

fn interpreters(context: &Context) -> Result<Check, Error> {
    let asked = Context::python_search(context.cwd()?);
    let search = Search::new(
        OsString::from(asked.path),
        asked.cwd,
        asked.home,
        asked.pyenv_root,
    );
    let found = find_all(&search, &ProbeCache::new(&context.places()?.cache));
    Ok(judged(&found))
}

fn judged(found: &[Found]) -> Check {
    const NAME: &str = "python";
    let usable: Vec<String> = found
        .iter()
        .filter_map(|found| match &found.state {
            FoundState::Usable(interpreter) => Some(format!(
                "{} ({})",
                interpreter.markers.python_full_version,
                found.path.display()
            )),
            FoundState::Unsupported { .. } | FoundState::Broken(_) => None,
        })
        .collect();
    match usable.as_slice() {
        [] => Check::fail(NAME, format!("none that is supported ({SUPPORTED})"))
            .hint("install one, or name it: `blast start NAME --python /path/to/python`"),
        [first, rest @ ..] => {
            let more = match rest.len() {
                0 => String::new(),
                number => format!(" and {number} more, see `blast python list`"),
            };
            Check::ok(NAME, format!("{first}{more}"))
        }
    }
}

fn indexes(context: &Context, options: &SourceOptions) -> Vec<Check> {
    const NAME: &str = "index";
    match sources::describe(context, options) {
        Ok(settings) => settings
            .into_iter()
            .map(|setting| Check::ok(NAME, setting))
            .collect(),
        Err(error) => {
            let mut message = error.message;
            for cause in error.causes {
                message.push_str(": ");
                message.push_str(&cause);
            }
            vec![
                error
                    .hints
                    .into_iter()
                    .fold(Check::fail(NAME, message), Check::hint),
            ]
        }
    }
}
