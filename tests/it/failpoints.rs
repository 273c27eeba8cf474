//! Whole commands at failpoints (`blast_store::failpoint`): the daemon is killed at a step, or the disk
//! says no there. Afterwards every byte is right, the environment is wholly as it was or wholly
//! changed, and what the command said is so. The points of the engine must all be hit; of those of the
//! store, the ones of a commit and a collection are tried here too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use blast_harness::WheelSpec;
use blast_store::failpoint::Point;

use crate::world::{World, packages};

const ACTIONS: [&str; 4] = ["kill", "enospc", "eio", "erofs"];

/// Points of the store that an install comes by, and that a command has to answer for.
const OF_A_COMMIT: [Point; 7] = [
    Point::StageWrite,
    Point::StageSync,
    Point::PlaceRename,
    Point::CommitReserve,
    Point::CommitPlace,
    Point::CommitAppend,
    Point::CommitIndex,
];

/// Points of a collection.
const OF_A_COLLECTION: [Point; 6] = [
    Point::JournalWrite,
    Point::JournalRename,
    Point::CleanIndex,
    Point::CleanTrash,
    Point::CleanMove,
    Point::CleanEmpty,
];

fn wheels() -> Vec<WheelSpec> {
    let wheel = |version: &str| {
        (0..12).fold(WheelSpec::simple("demo", version), |wheel, number| {
            let text = format!("# {version} {number}\n").repeat(2500);
            wheel.file(&format!("demo/m{number}.py"), &text)
        })
    };
    (1..60)
        .map(|number| wheel(&format!("{number}.0")))
        .collect()
}

/// An environment with failpoints, none of them armed.
fn world() -> Option<(World, PathBuf)> {
    let mut world = World::with(wheels())?;
    let points = world.root().join("points");
    fs::create_dir(&points).expect("a folder of ours");
    world.sandbox.set("BLAST_FAILPOINTS", &points);
    world.start("demo");
    world.install("demo", &["demo==1.0"]).success();
    Some((world, points))
}

fn arm(points: &Path, point: Point, action: &str) {
    fs::write(points.join(point.name()), action).expect("ours");
}

fn version(number: usize) -> BTreeMap<String, String> {
    packages([("demo", &format!("{number}.0"))])
}

#[test]
fn an_install_that_fails_at_any_step_is_made_or_not_made_and_says_which() {
    let Some((world, points)) = world() else {
        return;
    };
    let engine = Point::ALL
        .iter()
        .filter(|point| point.name().starts_with("engine."));
    let (mut at, mut cases) = (1, 0);
    for &point in engine.clone().chain(&OF_A_COMMIT) {
        for action in ACTIONS {
            cases += 1;
            let case = format!("{} {action}", point.name());
            world.note(&case);
            let before = world.history_length("demo");
            arm(&points, point, action);
            let run = world.install("demo", &[&format!("demo=={}.0", at + 1)]);
            assert!(!points.join(point.name()).exists(), "{case}: never came by");
            let made = world.history_length("demo") == before + 1;
            assert_eq!(
                world.history_length("demo"),
                before + usize::from(made),
                "{case}: {run}"
            );
            at += usize::from(made);
            world.shows("demo", &version(at), &case);
            let says_made = run.code == 0
                || run.stderr.contains("the change is made")
                || run.stderr.contains("is changed, but");
            if action != "kill" {
                assert_eq!(says_made, made, "{case}: {run}");
            } else if run.code == 0 {
                assert!(made, "{case}: {run}");
            }
            world.blast(["check", "--deep"]).success();
        }
    }
    let hit = |point: &&Point| points.join(format!("hit-{}", point.name())).exists();
    let missed: BTreeSet<_> = engine
        .filter(|point| !hit(point))
        .map(|point| point.name())
        .collect();
    assert!(missed.is_empty(), "never hit: {missed:?}");
    world.note(&format!("{cases} installs that failed, losses: 0"));
}

#[test]
fn a_collection_that_fails_at_any_step_loses_nothing() {
    let Some((world, points)) = world() else {
        return;
    };
    let (mut at, mut cases) = (1, 0);
    for point in OF_A_COLLECTION {
        for action in ["kill", "eio"] {
            cases += 1;
            let case = format!("{} {action}", point.name());
            at += 1;
            world.install("demo", &[&format!("demo=={at}.0")]).success();
            arm(&points, point, action);
            let run = world.blast(["clean", "--keep", "1"]);
            assert!(!points.join(point.name()).exists(), "{case}: never came by");
            assert_eq!(world.inside("demo"), version(at), "{case}: {run}");
            world.blast(["check", "--deep"]).success();
            world.blast(["clean", "--keep", "1"]).success();
            world.blast(["check", "--deep"]).success();
        }
    }
    world.note(&format!("{cases} collections that failed, losses: 0"));
}
