//! Work of a few milliseconds, done where it is asked for.
//!
//! To wake a thread for it, and be woken by that, takes a good part of what a swap takes.

/// Does this on the thread of the task that asks, while another thread takes over the tasks that wait. What it reports is
/// passed on afterwards.
pub(crate) fn at_once<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}
