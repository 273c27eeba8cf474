//! Interpreters: what the user asked for ([`PythonRequest`]), where to look ([`Search`]), which one
//! it is to be ([`find()`]), and what it says of itself ([`ProbeCache`]).
//!
//! An interpreter is known only by its own answer: a candidate is run once with an embedded script
//! (`probe.py`), isolated from the user's environment and bounded in time and output, and the
//! answer is kept under the cache directory until the file changes. Names and directories serve to
//! order and prune candidates, never to conclude a version.
//!
//! Everything here blocks; callers in async code use a blocking thread. Values are plain data, and
//! any number of threads and processes may share one cache directory.

mod base;
mod cache;
mod compile;
mod error;
mod find;
mod probe;
mod request;
mod run;
mod search;
#[cfg(test)]
mod tests;

pub(crate) use cache::ProbeCache;
pub(crate) use compile::compile;
pub(crate) use error::FindError;
pub(crate) use find::{Found, FoundState, find, find_all, without_dots};
pub(crate) use request::{PythonRequest, RequestError};
pub(crate) use search::Search;

use blast_types::Interpreter;

/// Oldest and newest `CPython` minor version that environments are made for.
const SUPPORTED_MINORS: std::ops::RangeInclusive<u8> = 8..=14;

/// The supported range in words.
pub(crate) const SUPPORTED: &str = "CPython 3.8 to 3.14";

/// Whether environments can be made for this interpreter.
fn is_supported(interpreter: &Interpreter) -> bool {
    let (major, minor) = interpreter.version();
    interpreter.markers.implementation_name == "cpython"
        && major == 3
        && SUPPORTED_MINORS.contains(&minor)
}
