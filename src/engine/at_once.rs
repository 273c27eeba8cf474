//! Work of a few milliseconds, done where it is asked for.
//!
//! To wake a thread for it, and be woken by that, takes a good part of what a swap takes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::error::EngineError;

/// Does this on the thread of the task that asks, while another thread takes over the tasks that wait.
///
/// # Errors
/// What `work` says; a panic of it is [`EngineError::Bug`].
pub(crate) fn at_once<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    let work = AssertUnwindSafe(work);
    tokio::task::block_in_place(|| catch_unwind(work))
        .unwrap_or_else(|_| Err(EngineError::Bug("what was asked for panicked".to_owned())))
}
