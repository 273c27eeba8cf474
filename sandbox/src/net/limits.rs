//! How much may pass: a rate for each direction, shared by all connections, and a number of connections.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What may pass at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes per second, in each direction.
    pub bandwidth: Option<u64>,
    /// Connections at once, in both directions together.
    pub connections: Option<u32>,
}

/// Connections that nobody limited: more would leave the filter without descriptors.
const CONNECTIONS: u32 = 4096;

/// How much may pass at once after a pause, as time: shorter, and sleeping costs; longer, and it is no limit.
const BURST: Duration = Duration::from_millis(50);

/// A bucket that fills with time. Taking goes into debt and waits until it is paid, so that any
/// amount can be taken, and takers are served in turn.
#[derive(Debug)]
pub(super) struct Bucket {
    per_second: u64,
    /// When all that was taken is paid.
    paid: Mutex<Instant>,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(per_second: u64) -> Self {
        Self {
            per_second: per_second.max(1),
            paid: Mutex::new(Instant::now()),
        }
    }

    /// Takes so many bytes, and waits until they may pass.
    pub(super) async fn take(&self, bytes: usize) {
        let wait = self.charge(bytes, Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// How long to wait for so many bytes.
    fn charge(&self, bytes: usize, now: Instant) -> Duration {
        let nanoseconds = (bytes as u128) * 1_000_000_000 / u128::from(self.per_second);
        let cost = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        *paid = (*paid).max(earliest) + cost;
        paid.saturating_duration_since(now)
    }

    /// How much to read at once, so that a slow connection flows evenly.
    pub(super) fn portion(&self, most: usize) -> usize {
        let burst = u128::from(self.per_second) * BURST.as_millis() / 1000;
        most.min(usize::try_from(burst).unwrap_or(most).max(1024))
    }
}

/// Both at work.
#[derive(Debug)]
pub(super) struct Gauge {
    /// What leaves the sandbox.
    pub(super) out: Option<Bucket>,
    /// What comes in.
    pub(super) back: Option<Bucket>,
    connections: Arc<Semaphore>,
}

impl Gauge {
    /// For these limits.
    pub(super) fn new(limits: Limits) -> Self {
        let most = limits.connections.unwrap_or(CONNECTIONS).min(CONNECTIONS);
        Self {
            out: limits.bandwidth.map(Bucket::new),
            back: limits.bandwidth.map(Bucket::new),
            connections: Arc::new(Semaphore::new(most as usize)),
        }
    }

    /// A place for one more connection, until it is dropped; none if there are too many.
    pub(super) fn enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.connections).try_acquire_owned().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_paid_at_the_rate() {
        let now = Instant::now();
        let bucket = Bucket::new(1000);
        let mut waited = Duration::ZERO;
        for _ in 0..10 {
            waited = bucket.charge(1000, now + Duration::from_secs(5));
        }
        // Ten seconds' worth, less what a pause allows at once.
        assert_eq!(waited + BURST, Duration::from_secs(10));
        let later = now + Duration::from_mins(1);
        assert!(bucket.charge(10, later).is_zero(), "paid");
    }

    #[test]
    fn connections_are_counted_while_they_last() {
        let gauge = Gauge::new(Limits {
            connections: Some(1),
            ..Limits::default()
        });
        let first = gauge.enter().expect("there is a place");
        assert!(gauge.enter().is_none());
        drop(first);
        assert!(gauge.enter().is_some());
    }
}
