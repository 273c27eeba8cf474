//! At every failpoint of the store: the process is killed, or the disk says no. Afterwards every byte
//! is right, the environment is wholly as it was or wholly changed, and what the caller was told is
//! so. Each point must be hit; a step that is never come by would not be tested.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use blast_store::failpoint::Point;
use blast_store::{CleanOptions, OperationKind, PublishError, Store, StoreError};

use crate::fixture::{Twin, create, draft, env, packages, packages_of, try_stage_generation};
use crate::images::{is_from_image, stage_image, write_images};

const HOME: &str = "BLAST_STORE_FAIL_HOME";
const VARIABLE: &str = "BLAST_FAILPOINTS";

/// What round `round` makes the environment hold.
pub(crate) fn wanted(round: u64) -> Vec<(&'static str, u8)> {
    let version = (round % 200) as u8;
    let mut wanted = vec![("a", version)];
    // So many files that they are published before the commit.
    if round.is_multiple_of(3) {
        wanted.extend(["b", "c", "d", "e", "f", "g"].map(|name| (name, version)));
    }
    wanted
}

/// What the caller knows after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Made,
    NotMade,
    Either,
}

fn told(error: &StoreError) -> Told {
    match error {
        StoreError::Unfinished { .. } => Told::Made,
        StoreError::Uncertain { .. } => Told::Either,
        _ => Told::NotMade,
    }
}

/// One change, in all the ways in which objects come.
pub(crate) fn change(store: &Store, round: u64) -> Told {
    let try_it = || -> Result<(), StoreError> {
        let transaction = store.begin(&env("demo"))?;
        let staging = store.stage()?;
        let wanted = packages(&wanted(round));
        // Bigger than what is held in memory.
        let mut big = staging.blob_writer();
        std::io::Write::write_all(&mut big, &round.to_le_bytes().repeat(60_000)).map_err(
            |error| StoreError::Io {
                action: "write",
                path: PathBuf::new(),
                source: error,
            },
        )?;
        if round.is_multiple_of(3) {
            big.finish()?;
        }
        if is_from_image(round) {
            stage_image(store, &staging, round)?;
        }
        let generation = try_stage_generation(&staging, &wanted)?;
        match transaction
            .write(&generation, staging)?
            .publish(draft(OperationKind::Install), 7)
        {
            Ok(_) => Ok(()),
            Err(PublishError::Store(error)) => Err(error),
            Err(error) => panic!("{error}"),
        }
    };
    match try_it() {
        Ok(()) => Told::Made,
        Err(error) => told(&error),
    }
}

/// The state, by what is shown and how many operations there were.
pub(crate) fn observe(store: &Store) -> (u64, bool) {
    let state = store.env(&env("demo")).unwrap().expect("it was created");
    let shown = packages_of(&store.generation(state.head).unwrap());
    let id = state.operation.0;
    (id, shown == packages(&wanted(id)))
}

#[test]
#[ignore = "the victim of the test below, which starts it"]
fn victim() {
    let home = std::env::var_os(HOME).expect("the test below says where");
    let home = Path::new(&home);
    let reopen = |store: Store| {
        drop(store);
        (0..3).find_map(|_| Twin::Sled.try_open(home).ok())
    };
    let mut store = (0..3)
        .find_map(|_| Twin::Sled.try_open(home).ok())
        .expect("it opens again");
    for _ in 0..7 {
        let (before, _) = observe(&store);
        let said = change(&store, before + 1);
        if said != Told::Made || store.is_stuck() {
            store = reopen(store).expect("it opens");
        }
        let (after, right) = observe(&store);
        assert!(right, "what {after} shows is another state's");
        match said {
            Told::Made => assert_eq!(after, before + 1, "told that it is made"),
            Told::NotMade => assert_eq!(after, before, "told that it is not made"),
            Told::Either => assert!(after == before || after == before + 1),
        }
        assert!(!store.is_stuck());
        if after.is_multiple_of(3) {
            let options = CleanOptions {
                keep_operations: Some(2),
                ..CleanOptions::default()
            };
            if store.clean(&options).is_err() {
                store = reopen(store).expect("it opens");
            }
        }
        if !is_from_image(after) && store.unpack(&|| false).is_err() {
            store = reopen(store).expect("it opens");
        }
        drop(store.rest());
        wait_for_a_log_to_be_made();
    }
}

/// A log that is missing is made in the background, a moment after a commit.
fn wait_for_a_log_to_be_made() {
    let points = std::env::var_os(VARIABLE).expect("the test below says where");
    let armed = Path::new(&points).join(Point::LogCreate.name());
    let deadline = Instant::now() + Duration::from_secs(10);
    while armed.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A store with a write-ahead log and an environment.
fn prepared(dir: &Path) -> PathBuf {
    let home = dir.join("home");
    write_images(&home, 40);
    let store = Twin::Sled.open(&home);
    create(&store, "demo", &wanted(1));
    wait_for(&home.join("wal"));
    home
}

pub(crate) fn wait_for(path: &Path) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !path.exists() {
        assert!(
            Instant::now() < deadline,
            "{} does not appear",
            path.display()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn run_victim(home: &Path, points: &Path) -> std::process::Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["failpoints::victim", "--exact", "--ignored", "--nocapture"])
        .env(HOME, home)
        .env(VARIABLE, points)
        .output()
        .unwrap()
}

/// One case: the point armed, the victim run, and run again where it was killed.
fn try_case(point: Point, action: &str, passes: usize) -> Result<BTreeSet<String>, String> {
    let dir = tempfile::tempdir().unwrap();
    let points = dir.path().join("points");
    fs::create_dir(&points).unwrap();
    let home = prepared(dir.path());
    if point == Point::LogCreate || point == Point::CommitSync {
        fs::remove_file(home.join("wal")).unwrap();
    }
    let recovers = matches!(point, Point::RecoverObject | Point::RecoverJournal);
    if recovers {
        fs::write(points.join(Point::CommitPlace.name()), "kill").unwrap();
    }
    let armed = points.join(point.name());
    fs::write(&armed, format!("{action} {passes}")).unwrap();
    let mut killed = 0;
    loop {
        let output = run_victim(&home, &points);
        match output.status.code() {
            Some(0) => break,
            None if killed < 3 => killed += 1,
            _ => {
                let text = String::from_utf8_lossy(&output.stderr);
                return Err(format!("{} {action}: {text}", point.name()));
            }
        }
        if recovers && killed == 1 {
            continue; // for the victim to recover
        }
        let store = Twin::Sled.open(&home);
        let (id, right) = observe(&store);
        if !right {
            return Err(format!(
                "{} {action}: {id} shows another state",
                point.name()
            ));
        }
    }
    let store = Twin::Sled.open(&home);
    let report = store.check(true).unwrap();
    if !report.is_clean() || !observe(&store).1 {
        return Err(format!("{} {action}: {report:#?}", point.name()));
    }
    let staging = fs::read_dir(home.join("store/staging")).unwrap().count();
    if staging > 0 {
        return Err(format!("{} {action}: leftovers in staging", point.name()));
    }
    let hits = fs::read_dir(&points).unwrap().flatten();
    let names = hits.filter_map(|file| file.file_name().into_string().ok());
    let hit = names
        .filter_map(|name| Some(name.strip_prefix("hit-")?.to_owned()))
        .collect();
    if passes == 0 && armed.exists() {
        return Err(format!("{} {action}: never came by", point.name()));
    }
    Ok(hit)
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures of the recipe")]
fn at_every_failpoint_all_is_old_or_new_and_as_told() {
    let points = Point::ALL
        .iter()
        .filter(|point| !point.name().starts_with("engine."))
        .filter(|point| !point.name().starts_with("client."));
    let mut cases: Vec<(Point, &str, usize)> = Vec::new();
    let all = std::env::var_os("BLAST_TEST_ALL_FAILPOINTS").is_some();
    let errors = ["enospc", "eio", "erofs"];
    for (number, &point) in points.clone().enumerate() {
        cases.extend([(point, "kill", 0), (point, errors[number % 3], 0)]);
        if all {
            cases.extend([
                (point, errors[(number + 1) % 3], 0),
                (point, errors[(number + 2) % 3], 0),
            ]);
            // Not only the first time.
            cases.extend([(point, "kill", 1), (point, "kill", 4), (point, "eio", 2)]);
        }
    }
    let tried = cases.len();
    let waiting = Mutex::new(cases);
    let outcome = Mutex::new((BTreeSet::new(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap().pop();
                    let Some((point, action, passes)) = next else {
                        return;
                    };
                    let case = try_case(point, action, passes);
                    let mut outcome = outcome.lock().unwrap();
                    match case {
                        Ok(hit) => outcome.0.extend(hit),
                        Err(told) => outcome.1.push(told),
                    }
                }
            });
        }
    });
    let (hit, losses) = outcome.into_inner().unwrap();
    assert!(
        losses.is_empty(),
        "{} of {tried}:\n{}",
        losses.len(),
        losses.join("\n")
    );
    println!(
        "{tried} cases at {} failpoints, losses: 0",
        points.clone().count()
    );
    for point in points {
        assert!(hit.contains(point.name()), "{} is never hit", point.name());
    }
}

#[test]
fn names_of_failpoints_differ() {
    let names: BTreeSet<_> = Point::ALL.iter().map(|point| point.name()).collect();
    assert_eq!(names.len(), Point::ALL.len());
}
