//! When a dead daemon is replaced, and when one gives up: no clock, no process, only the rule.
//!
//! The first deaths are answered at once, since a program that waits for the view cannot know why it
//! waits. A daemon that keeps dying is started less and less often, and after [`HOPELESS`] failures in a row
//! not at all: programs then get an error, which is better than waiting for ever. All those tries take
//! less than two seconds. One that was killed (`SIGKILL`: by a user, or for want of memory) did nothing
//! wrong; that is never a reason to give up, only to pause.

use std::time::{Duration, Instant};

/// How long a daemon that leaves may take until its successor says hello.
const SUCCESSION: Duration = Duration::from_secs(1);
/// A daemon that lived shorter than this was no success.
const SHORT_LIFE: Duration = Duration::from_millis(250);
/// Failures that are answered at once.
const FREE: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The pause after a daemon found that another lives, and how often that is believed: for half a minute.
const ANOTHER: Duration = Duration::from_millis(100);
const FOUND: u32 = 300;
/// Failures in a row after which nothing is tried any more.
const HOPELESS: u32 = 9;
/// What failures count for at most once a daemon was killed by somebody else.
const KILLED: u32 = FREE + 2;

/// What is known of the daemon.
#[derive(Debug, Default)]
pub(super) struct Revival {
    serving_since: Option<Instant>,
    failures: u32,
    /// How often in a row a daemon found that another still lives.
    found: u32,
    due: Option<Instant>,
}

impl Revival {
    /// A daemon said hello.
    pub(super) fn serving(&mut self, now: Instant) {
        self.serving_since = Some(now);
        self.found = 0;
        self.due = None;
    }

    /// The daemon is gone; `leaving` if it said that somebody starts another.
    pub(super) fn gone(&mut self, now: Instant, leaving: bool) {
        let lived = self.serving_since.take().map(|since| now - since);
        if leaving {
            self.due = Some(now + SUCCESSION);
        } else {
            self.failed(now, lived.is_some_and(|lived| lived >= SHORT_LIFE));
        }
    }

    /// A daemon that was started has ended without a hello.
    pub(super) fn start_failed(&mut self, now: Instant) {
        if self.serving_since.is_none() {
            self.failed(now, false);
        }
    }

    /// A daemon that was started has found another and left it the place: that one is about to say hello,
    /// or was killed and is not gone to its last thread, which may wait for a disk. No failure, for a while.
    pub(super) fn found_another(&mut self, now: Instant) {
        self.found += 1;
        if self.found > FOUND {
            self.start_failed(now);
        } else if self.serving_since.is_none() {
            self.due = Some(now + ANOTHER);
        }
    }

    /// The last daemon, which is known to be gone, was killed by somebody else.
    pub(super) fn killed(&mut self) {
        self.failures = self.failures.min(KILLED);
    }

    fn failed(&mut self, now: Instant, lived_well: bool) {
        self.failures = if lived_well { 1 } else { self.failures + 1 };
        let pause = match self.failures.checked_sub(FREE + 1) {
            None => Duration::ZERO,
            Some(more) => FIRST_PAUSE * 2_u32.saturating_pow(more),
        };
        self.due = Some(now + pause);
    }

    /// The daemon is being started.
    pub(super) fn starting(&mut self) {
        self.due = None;
    }

    /// When one is to be started.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether trying on makes no sense.
    pub(super) fn is_hopeless(&self) -> bool {
        self.failures >= HOPELESS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_deaths_are_answered_at_once() {
        let now = Instant::now();
        let mut revival = Revival::default();
        assert_eq!(revival.due(), None);
        for _ in 0..FREE {
            revival.serving(now);
            revival.gone(now, false);
            assert_eq!(revival.due(), Some(now));
        }
        revival.serving(now);
        assert_eq!(revival.due(), None);
        revival.gone(now, false);
        assert_eq!(revival.due(), Some(now + FIRST_PAUSE));
    }

    #[test]
    fn one_that_never_lives_is_given_up_within_two_seconds() {
        let began = Instant::now();
        let mut now = began;
        let mut revival = Revival::default();
        while !revival.is_hopeless() {
            revival.start_failed(now);
            now = revival.due().expect("tried again");
        }
        assert!(now - began < Duration::from_secs(2), "{:?}", now - began);
    }

    #[test]
    fn one_that_is_not_gone_yet_is_waited_for() {
        let began = Instant::now();
        let mut now = began;
        let mut revival = Revival::default();
        for _ in 0..FOUND {
            revival.found_another(now);
            assert!(!revival.is_hopeless());
            now = revival.due().expect("tried again");
        }
        assert!(now - began > Duration::from_secs(20));
        while !revival.is_hopeless() {
            revival.found_another(now);
            now = revival.due().expect("tried again");
        }
        revival.serving(now);
        revival.gone(now + SHORT_LIFE, false);
        revival.found_another(now);
        assert!(!revival.is_hopeless());
    }

    #[test]
    fn one_that_is_killed_again_and_again_is_never_given_up() {
        let now = Instant::now();
        let mut revival = Revival::default();
        for _ in 0..10 * HOPELESS {
            revival.serving(now);
            revival.gone(now, false);
            revival.killed();
            assert!(!revival.is_hopeless());
            let pause = revival.due().expect("tried again") - now;
            assert!(pause <= FIRST_PAUSE * 4, "{pause:?}");
        }
    }

    #[test]
    fn a_life_that_was_long_enough_forgives_what_was_before() {
        let now = Instant::now();
        let mut revival = Revival::default();
        for _ in 0..HOPELESS - 1 {
            revival.start_failed(now);
        }
        revival.serving(now);
        revival.gone(now + SHORT_LIFE, false);
        assert!(!revival.is_hopeless());
        assert_eq!(revival.due(), Some(now + SHORT_LIFE));
    }

    #[test]
    fn one_that_leaves_gives_its_successor_time() {
        let now = Instant::now();
        let mut revival = Revival::default();
        revival.serving(now);
        revival.gone(now, true);
        assert_eq!(revival.due(), Some(now + SUCCESSION));
        assert!(!revival.is_hopeless());
        // A second daemon that found the first one and ended is no failure.
        revival.serving(now);
        revival.start_failed(now);
        assert_eq!(revival.due(), None);
    }
}
