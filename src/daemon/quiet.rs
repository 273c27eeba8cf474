//! What is done once nobody asks for anything.
//!
//! A request that ends begins a quiet time, and the next one ends it. The longer the quiet lasts the
//! more is done: old trees are retired, then memory and connections are given back, then a daemon
//! that shows nothing ends. Nothing is polled: when all is done, the next request is waited for. Only
//! a tree that a program still uses is looked at again, at ever longer distances, as the kernel does
//! not tell when the last user of a directory is gone.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{Daemon, memory};

/// Threads for blocking work end when they had none for so long.
pub(super) const KEEP_THREADS: Duration = Duration::from_secs(3);

/// Quiet for so long: trees that a swap left behind are retired. Longer than somebody looks at a new
/// state before he goes back to the old one, whose files the kernel still has then.
const RETIRE: Duration = Duration::from_secs(10);
/// Quiet for so long: what is kept to answer faster is given back.
const REST: Duration = Duration::from_secs(20);
/// After rest, when all threads for blocking work are gone: freed memory goes back to the system.
const RETURN_MEMORY: Duration = Duration::from_secs(5);
/// Quiet for so long: a daemon that shows nothing ends.
const END: Duration = Duration::from_mins(10);
/// Trees in use are looked at again after twice the time that went by, up to this.
const LONGEST: Duration = Duration::from_hours(1);

/// What comes next in a quiet time, and how long after its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Retire,
    Rest,
    ReturnMemory,
    End,
}

/// The steps of one quiet time that are still to come.
#[derive(Debug)]
struct Plan(Vec<(Duration, Step)>);

impl Plan {
    fn new() -> Self {
        Self(vec![
            (RETIRE, Step::Retire),
            (REST, Step::Rest),
            (END, Step::End),
        ])
    }

    /// The next step and when, since the beginning of the quiet.
    fn next(&self) -> Option<(Duration, Step)> {
        self.0.iter().copied().min_by_key(|(at, _)| *at)
    }

    /// A step was taken; `left` says that it has more to do.
    fn taken(&mut self, (at, step): (Duration, Step), left: bool) {
        self.0.retain(|planned| *planned != (at, step));
        match step {
            Step::Retire if left => self.0.push((at + at.min(LONGEST), Step::Retire)),
            Step::Rest if left => self.0.push((at + REST, Step::Rest)),
            Step::Rest => self.0.push((at + RETURN_MEMORY, Step::ReturnMemory)),
            _ => {}
        }
    }
}

/// Tidies up in quiet times; ends when the daemon is not needed any more.
pub(super) async fn tidy_up(daemon: Arc<Daemon>) {
    loop {
        let began = Instant::now();
        let mut plan = Plan::new();
        loop {
            let Some((after, step)) = plan.next() else {
                daemon.used.notified().await;
                break;
            };
            tokio::select! {
                () = daemon.used.notified() => break,
                () = sleep_until(began + after) => {}
            }
            if daemon.active.load(Ordering::Relaxed) > 0 {
                // Its end will begin the next quiet time.
                daemon.used.notified().await;
                break;
            }
            if step == Step::End && !daemon.homes.shows_anything() {
                return;
            }
            let homes = Arc::clone(&daemon);
            let left = tokio::task::spawn_blocking(move || match step {
                Step::Retire => homes.homes.retire_old_trees() > 0,
                Step::Rest => !homes.homes.rest(),
                Step::ReturnMemory => {
                    memory::give_back();
                    false
                }
                Step::End => false,
            });
            plan.taken((after, step), left.await.unwrap_or(false));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(mut plan: Plan, left: impl Fn(Step, usize) -> bool) -> Vec<(u64, Step)> {
        let mut taken = Vec::new();
        while let Some(next) = plan.next() {
            assert!(taken.len() < 100, "it never ends: {taken:?}");
            let times = taken.iter().filter(|(_, step)| *step == next.1).count();
            taken.push((next.0.as_secs(), next.1));
            plan.taken(next, left(next.1, times));
        }
        taken
    }

    #[test]
    fn each_step_is_taken_once_and_then_nothing_wakes_up() {
        let taken = run(Plan::new(), |_, _| false);
        let expected = [
            (10, Step::Retire),
            (20, Step::Rest),
            (25, Step::ReturnMemory),
            (600, Step::End),
        ];
        assert_eq!(taken, expected);
    }

    #[test]
    fn what_could_not_be_done_is_tried_again_less_and_less_often() {
        let taken = run(Plan::new(), |step, times| {
            step == Step::Retire && times < 14
        });
        let tries: Vec<_> = taken
            .iter()
            .filter(|(_, step)| *step == Step::Retire)
            .collect();
        assert_eq!(tries.len(), 15);
        assert_eq!(tries[3].0, 80);
        let distances: Vec<_> = tries.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert!(distances.is_sorted());
        assert_eq!(distances.last(), Some(&LONGEST.as_secs()));
    }

    #[test]
    fn a_home_that_compiles_rests_later() {
        let taken = run(Plan::new(), |step, times| step == Step::Rest && times < 2);
        let rests: Vec<_> = taken
            .iter()
            .filter(|(_, step)| *step == Step::Rest)
            .collect();
        assert_eq!(
            rests.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
            [20, 40, 60]
        );
    }
}
