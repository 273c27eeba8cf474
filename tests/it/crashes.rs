//! `kill -9` of the daemon, of the client, of both, at random moments of commands that change an
//! environment. It is wholly old or wholly new, and what was told as done is done.
//!
//! `BLAST_TEST_CRASHES` says how many (50 in `make test`, 1,000 in `make crashes`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use blast_harness::{Random, WheelSpec};
use nix::sys::signal::Signal;

use crate::world::World;

const VERSIONS: usize = 12;

fn wheels() -> Vec<WheelSpec> {
    let wheel = |name: &str, version: usize| {
        (0..10).fold(
            WheelSpec::simple(name, &format!("{version}.0")),
            |wheel, number| {
                let text = format!("# {name} {version} {number}\n").repeat(1200);
                wheel.file(&format!("{name}/m{number}.py"), &text)
            },
        )
    };
    (1..=VERSIONS)
        .flat_map(|version| [wheel("one", version), wheel("two", version)])
        .collect()
}

type State = BTreeMap<String, String>;

/// A command, and what it leads to from this state; nothing where it does nothing.
fn command(random: &mut Random, state: &State, undo: &[State]) -> (Vec<String>, Option<State>) {
    let name = ["one", "two"][random.below(2)];
    let words = |words: &[&str]| {
        words
            .iter()
            .map(|&word| word.to_owned())
            .collect::<Vec<_>>()
    };
    match random.below(8) {
        0 if state.contains_key(name) => {
            let mut after = state.clone();
            after.remove(name);
            (words(&["remove", "--env", "demo", name]), Some(after))
        }
        1 if !undo.is_empty() => (words(&["revert", "--env", "demo"]), undo.last().cloned()),
        2 => (words(&["clean"]), None),
        _ => {
            let version = format!("{}.0", random.below(VERSIONS) + 1);
            let mut after = state.clone();
            after.insert(name.to_owned(), version.clone());
            let requirement = format!("{name}=={version}");
            let after = Some(after).filter(|after| after != state);
            (words(&["install", "--env", "demo", &requirement]), after)
        }
    }
}

#[test]
fn kills_at_random_leave_the_old_or_the_new_state() {
    let crashes =
        std::env::var("BLAST_TEST_CRASHES").map_or(50, |text| text.parse().expect("a number"));
    let Some(world) = World::started(wheels()) else {
        return;
    };
    let mut random = Random::new();
    world.note(&format!("seed {}", random.seed()));
    let (mut state, mut undo, mut count) = (State::new(), Vec::new(), world.history_length("demo"));
    let (mut made, mut kept) = (0, 0);
    for crash in 0..crashes {
        let (words, after) = command(&mut random, &state, &undo);
        let pause = Duration::from_micros(random.below(160_000) as u64);
        let victim = random.below(3);
        let case = format!(
            "crash {crash}: {} after {pause:?}, victim {victim}",
            words.join(" ")
        );
        let began = Instant::now();
        let running = world.blast_in_background(&words);
        std::thread::sleep(pause.saturating_sub(began.elapsed()));
        if victim != 1
            && let Some(daemon) = world.daemon()
        {
            world.crash(daemon);
        }
        if victim != 0 {
            running.signal(Signal::SIGKILL);
        }
        let run = world.finish(running);
        let settled = settle(&world);
        let Some(after) = after else {
            assert_eq!(settled, count, "{case}: {run}");
            assert_eq!(world.listed("demo"), state, "{case}: {run}");
            continue;
        };
        let is_undo = words[0] == "revert";
        if settled == count {
            assert_ne!(run.code, 0, "{case}: told as done, and is not: {run}");
            assert_eq!(world.listed("demo"), state, "{case}: {run}");
            kept += 1;
        } else {
            assert_eq!(settled, count + 1, "{case}: {run}");
            assert_eq!(world.listed("demo"), after, "{case}: {run}");
            if is_undo {
                undo.pop();
            } else {
                undo.push(state);
            }
            (state, count) = (after, settled);
            made += 1;
        }
        if crash % 10 == 9 {
            world.shows("demo", &state, &case);
            world.blast(["check", "--deep"]).success();
        }
    }
    world.blast(["check", "--deep"]).success();
    world.shows("demo", &state, "in the end");
    world.note(&format!(
        "{crashes} kills: {made} changes made, {kept} not made, losses: 0"
    ));
}

/// How many operations there are once nothing is under way: a request whose client is gone is
/// cancelled, or commits. The daemon may not have read it yet when it is first asked, so it is asked twice.
fn settle(world: &World) -> usize {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut before = None;
    while Instant::now() < deadline {
        let status = world.blast(["status", "--json"]).success().json();
        // The one that asks is not counted, or is the only one.
        let is_quiet = status["daemon"]["requests"].as_u64() <= Some(1);
        let now = is_quiet.then(|| world.history_length("demo"));
        if let Some(length) = now.filter(|_| now == before) {
            return length;
        }
        before = now;
        std::thread::sleep(Duration::from_millis(30));
    }
    panic!("the daemon is still busy");
}
