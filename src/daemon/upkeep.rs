//! What the daemon does when nobody asks for anything: one timer, set when the last request ends
//! and stopped by the next, after which the caches of the homes that were used are refreshed once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::homes::Homes;
use crate::engine::refresh;

/// The timer and the work behind it.
#[derive(Debug, Default)]
pub(super) struct Upkeep(Mutex<Option<JoinHandle<()>>>);

impl Upkeep {
    /// Makes way for a request.
    pub(super) fn stop(&self) {
        if let Some(task) = self.slot().take() {
            task.abort();
        }
    }

    /// Sets the timer, where a home has anything to refresh.
    pub(super) fn start(&self, homes: &Homes) {
        let due: Vec<_> = homes
            .all()
            .into_iter()
            .filter_map(|home| Some((home.refreshable()?, Arc::downgrade(&home))))
            .collect();
        let idle = due.iter().map(|(sources, _)| sources.refresh.idle_s).min();
        let task = idle.map(|idle| {
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(idle)).await;
                for (sources, home) in due {
                    if let Some(home) = home.upgrade() {
                        refresh::while_idle(home, sources).await;
                    }
                }
            })
        });
        let mut slot = self.slot();
        if let Some(old) = std::mem::replace(&mut *slot, task) {
            old.abort();
        }
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<JoinHandle<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
