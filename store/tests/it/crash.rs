//! A process that is killed at a random moment of its commits leaves a store that opens, checks
//! clean, and shows for every environment the state after its last acknowledged operation, or
//! after the one that was in flight.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use blast_store::CleanOptions;

use crate::fixture::{Home, Twin, create, env, install, packages_of};

const HOME: &str = "BLAST_STORE_CRASH_HOME";

/// What operation `round` installs: different objects each time, some of them found again.
fn wanted(round: u64) -> [(&'static str, u8); 2] {
    [("a", (round % 250) as u8), ("b", (round % 7) as u8)]
}

#[test]
#[expect(clippy::print_stdout, reason = "how the victim acknowledges")]
#[ignore = "the victim of the crash test, which starts it"]
fn victim() {
    let home = std::env::var_os(HOME).expect("the crash test says where");
    let store = Twin::Sled.open(Path::new(&home));
    let demo = env("demo");
    if store.env(&demo).unwrap().is_none() {
        create(&store, "demo", &wanted(1));
    }
    loop {
        let round = store.env(&demo).unwrap().expect("created").operation.0 + 1;
        let operation = install(&store, "demo", &wanted(round));
        println!("done {}", operation.id);
        if round.is_multiple_of(10) {
            store
                .clean(&CleanOptions {
                    keep_operations: Some(3),
                    ..CleanOptions::default()
                })
                .unwrap();
        }
    }
}

/// Runs the victim for a while and kills it; gives the last operation that it acknowledged.
fn kill_after(home: &Path, time: Duration) -> u64 {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["crash::victim", "--exact", "--ignored", "--nocapture"])
        .env(HOME, home)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let output = victim.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut last = 0;
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some((_, id)) = line.split_once("done ") {
                last = id.parse().unwrap_or(last);
            }
        }
        last
    });
    std::thread::sleep(time);
    victim.kill().unwrap();
    let status = victim.wait().unwrap();
    assert_eq!(
        status.code(),
        None,
        "it was killed and did not end by itself"
    );
    reader.join().unwrap()
}

#[test]
fn a_store_survives_being_killed_at_any_moment() {
    let home = Home::new();
    let mut acknowledged = 0;
    for round in 0..30_u64 {
        // Moments spread over start, commits and collections; odd enough to fall anywhere.
        let last = kill_after(
            &home.path(),
            Duration::from_micros(20_000 + round * 7_919 % 130_000),
        );
        acknowledged = last.max(acknowledged);
        let store = Twin::BOTH[(round % 2) as usize].open(&home.path());
        let report = store.check(true).unwrap();
        assert!(report.is_clean(), "round {round}: {report:#?}");
        let staging = home.path().join("store/staging");
        assert_eq!(
            std::fs::read_dir(staging).unwrap().count(),
            0,
            "leftovers are cleared"
        );
        let Some(state) = store.env(&env("demo")).unwrap() else {
            assert_eq!(acknowledged, 0, "an acknowledged environment is gone");
            continue;
        };
        let at = state.operation.0;
        assert!(
            at == acknowledged || at == acknowledged + 1 || acknowledged == 0,
            "round {round}: at {at}, acknowledged {acknowledged}"
        );
        let shown = packages_of(&store.generation(state.head).unwrap());
        assert_eq!(
            shown,
            crate::fixture::packages(&wanted(at)),
            "round {round}"
        );
        acknowledged = at;
    }
    assert!(
        acknowledged > 30,
        "the victim got something done: {acknowledged}"
    );
}
