//! Who changes something now: work in the background waits, so that a change has disk and processors for itself.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;

/// How many changes are made, or wait for their turn.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    number: Mutex<usize>,
    fewer: Condvar,
}

impl Changes {
    /// Counts one until what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Changing {
        *self.number() += 1;
        Changing(Arc::clone(self))
    }

    /// Whether there is one.
    pub(crate) fn are_made(&self) -> bool {
        *self.number() > 0
    }

    /// Waits until there is none. Blocks.
    pub(crate) fn wait(&self) {
        let number = self.number();
        drop(
            self.fewer
                .wait_while(number, |number| *number > 0)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    fn number(&self) -> MutexGuard<'_, usize> {
        self.number.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A change that is made, or waits for its turn.
#[derive(Debug)]
pub(super) struct Changing(Arc<Changes>);

impl Drop for Changing {
    fn drop(&mut self) {
        *self.0.number() -= 1;
        self.0.fewer.notify_all();
    }
}

/// The right to change one environment. Who works on a blocking thread takes it there: a client that goes away drops
/// the future that waits for the thread, and not the work.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(super) _right: OwnedMutexGuard<()>,
    pub(super) _changing: Changing,
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_background_waits_for_all_changes() {
        let changes = Arc::new(Changes::default());
        changes.wait();
        assert!(!changes.are_made());
        let (one, two) = (changes.begin(), changes.begin());
        let went_on = Arc::new(AtomicBool::new(false));
        let background = {
            let (changes, went_on) = (Arc::clone(&changes), Arc::clone(&went_on));
            thread::spawn(move || {
                changes.wait();
                went_on.store(true, Ordering::SeqCst);
            })
        };
        drop(one);
        assert!(changes.are_made());
        thread::sleep(Duration::from_millis(20));
        assert!(!went_on.load(Ordering::SeqCst), "one is left");
        drop(two);
        background.join().expect("no panic");
        assert!(went_on.load(Ordering::SeqCst));
    }
}
