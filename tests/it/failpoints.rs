//! Whole commands at failpoints (`blast_store::failpoint`): the daemon is killed at a step, or the disk
//! says no there. Afterwards every byte is right, the environment is wholly as it was or wholly
//! changed, and what the command said is so. The points of the engine must all be hit; of those of the
//! store, the ones of a commit and a collection are tried here too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use blast_harness::{Means, WheelSpec, require};
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

/// Points of taking what a program wrote.
const OF_A_CAPTURE: [Point; 3] = [
    Point::CaptureRead,
    Point::CapturePublish,
    Point::CaptureRemove,
];

/// Points of loading an image, which `packs` tries.
const OF_A_LOAD: [Point; 2] = [Point::ImageStage, Point::ImagePublish];

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
        .filter(|point| point.name().starts_with("engine."))
        .filter(|point| !OF_A_CAPTURE.contains(point) && !OF_A_LOAD.contains(point));
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

#[test]
fn writes_whose_capture_fails_at_any_step_are_taken_or_kept() {
    if !require(Means::Overlay) {
        return;
    }
    let Some((world, points)) = world() else {
        return;
    };
    let (mut cases, mut taken) = (0, 0);
    let of_the_store = [
        Point::StageWrite,
        Point::StageSync,
        Point::PlaceRename,
        Point::CommitReserve,
    ];
    for point in OF_A_CAPTURE.into_iter().chain(of_the_store) {
        for action in ["kill", "enospc", "eio"] {
            cases += 1;
            let case = format!("{} {action}", point.name());
            let before = world.history_length("demo");
            arm(&points, point, action);
            // More than the record of a commit holds.
            let text = format!("{cases:06}\n").repeat(100_000);
            let script = format!("yes {cases:06} | head -c 700000 > \"$VIRTUAL_ENV/written\"");
            let words = [
                "run", "--env", "demo", "--writes", "capture", "--", "sh", "-c",
            ];
            let run = world.blast(words.iter().copied().chain([script.as_str()]));
            assert!(!points.join(point.name()).exists(), "{case}: never came by");
            let made = world.history_length("demo") == before + 1;
            assert!(
                made || world.history_length("demo") == before,
                "{case}: {run}"
            );
            world.blast(["check", "--deep"]).success();
            let written = fs::read_to_string(world.live().join("demo/written"));
            if made {
                taken += 1;
                assert_eq!(written.ok(), Some(text), "{case}: {run}");
            } else {
                // What was written is in a folder that the message names.
                let (_, folder) = run.stderr.split_once("is kept in ").expect(&case);
                let folder = Path::new(folder.lines().next().unwrap_or_default());
                let kept = fs::read_to_string(folder.join("upper/written"));
                assert_eq!(kept.ok(), Some(text), "{case}: {run}");
                assert_ne!(run.code, 0, "{case}: {run}");
            }
            // A daemon that died is asked again.
            assert!(made || action != "kill", "{case}: {run}");
        }
    }
    for point in OF_A_CAPTURE {
        let hit = points.join(format!("hit-{}", point.name()));
        assert!(hit.exists(), "{} is never hit", point.name());
    }
    world.note(&format!(
        "{cases} captures that failed, {taken} taken, losses: 0"
    ));
}

/// Points of a command that changes files of a project.
const OF_A_PROJECT: [Point; 4] = [
    Point::ClientRecord,
    Point::ClientWrite,
    Point::EnginePublish,
    Point::ClientDone,
];

#[test]
fn files_of_a_project_change_with_its_environment_or_not_at_all() {
    let Some((world, points)) = world() else {
        return;
    };
    let pyproject = world.project().join("pyproject.toml");
    let lock = world.project().join("pylock.toml");
    fs::write(
        &pyproject,
        "[project]\nname = 'mine'\nversion = '1'\nrequires-python = '>=3.8'\n",
    )
    .expect("ours");
    world.blast(["start", "--shell", "bash"]).success();
    world.blast(["lock"]).success();
    let state = || {
        let asked = fs::read_to_string(&pyproject).expect("there");
        let locked = fs::read_to_string(&lock).expect("there");
        let listed = world.blast(["list", "--json"]).success().json();
        let is_installed = listed["packages"]
            .as_array()
            .is_some_and(|all| !all.is_empty());
        [
            asked.contains("demo"),
            locked.contains("demo"),
            is_installed,
        ]
    };
    let mut cases = 0;
    for point in OF_A_PROJECT {
        // Before the first file, and between the two.
        for action in ["kill", "kill 1", "eio", "erofs"] {
            if action == "kill 1" && point != Point::ClientWrite {
                continue;
            }
            cases += 1;
            let case = format!("{} {action}", point.name());
            world.note(&case);
            arm(&points, point, action);
            let run = world.blast(["add", "demo==1.0"]);
            assert!(!points.join(point.name()).exists(), "{case}: never came by");
            let [asked, locked, installed] = {
                // The next command, whichever it is, settles what was left.
                world.blast(["envs"]).success();
                state()
            };
            assert_eq!((asked, locked), (installed, installed), "{case}: {run}");
            assert!(run.code != 0 || installed, "{case}: {run}");
            let left = fs::read_dir(world.blast_home().join("intents"));
            assert_eq!(left.expect("made").count(), 0, "{case}");
            if installed {
                world.blast(["remove", "demo"]).success();
            }
            assert_eq!(state(), [false; 3], "{case}");
        }
    }
    for point in OF_A_PROJECT {
        let hit = points.join(format!("hit-{}", point.name()));
        assert!(hit.exists(), "{} is never hit", point.name());
    }
    world.note(&format!("{cases} additions that failed, losses: 0"));
}

/// Points of commands that write one file, and of those that link to an environment.
const OF_A_FILE: [Point; 4] = [
    Point::ClientRecord,
    Point::ClientWrite,
    Point::ClientReplace,
    Point::ClientDone,
];
const OF_A_LINK: [Point; 3] = [Point::ClientRecord, Point::ClientLink, Point::ClientDone];

/// The names in a folder; nothing where it is not there.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn files_that_commands_write_are_whole_and_nothing_stays_beside_them() {
    let Some((world, points)) = world() else {
        return;
    };
    let intents = world.blast_home().join("intents");
    let mut cases = 0;
    for point in OF_A_FILE {
        for action in ["kill", "eio"] {
            let folder = world.project().join(format!("{}-{action}", point.name()));
            fs::create_dir(&folder).expect("ours");
            let tried = |words: &[&str], file: &str| {
                let case = format!("{} {action}: {}", point.name(), words.join(" "));
                let path = folder.join(file);
                let before = fs::read_to_string(&path).ok();
                arm(&points, point, action);
                let run = world.blast_in(&folder, words);
                assert!(!points.join(point.name()).exists(), "{case}: never came by");
                // The next command, whichever it is, settles what was left.
                world.blast(["envs"]).success();
                assert_eq!(names(&intents), BTreeSet::new(), "{case}: {run}");
                let beside = names(&folder);
                assert!(
                    beside.iter().all(|name| !name.starts_with('.')),
                    "{case}: {beside:?}"
                );
                let after = fs::read_to_string(&path).ok();
                if run.code != 0 && before != after {
                    assert_eq!(point, Point::ClientDone, "{case}: {run}");
                }
                world.blast_in(&folder, words);
                let text = fs::read_to_string(&path).expect("by now");
                text.parse::<toml::Table>().expect("whole");
                if run.code == 0 {
                    assert_eq!(Some(text), after, "{case}: told as done, and is not");
                }
            };
            tried(&["init"], "pyproject.toml");
            let pyproject = folder.join("pyproject.toml");
            let text = fs::read_to_string(&pyproject).expect("made");
            fs::write(&pyproject, text.replace("[]", "['demo==1.0']")).expect("ours");
            tried(&["lock"], "pylock.toml");
            tried(
                &["lock", "demo==2.0", "--output", "pylock.more.toml"],
                "pylock.more.toml",
            );
            cases += 3;
        }
    }
    let of_clients = Point::ALL
        .iter()
        .filter(|point| point.name().starts_with("client."));
    let tried = |point: &&Point| {
        OF_A_FILE.contains(point) || OF_A_LINK.contains(point) || OF_A_PROJECT.contains(point)
    };
    assert!(
        of_clients.copied().all(|point| tried(&&point)),
        "one is not tried"
    );
    for point in OF_A_FILE {
        let hit = points.join(format!("hit-{}", point.name()));
        assert!(hit.exists(), "{} is never hit", point.name());
    }
    world.note(&format!(
        "{cases} files that were not written at once, losses: 0"
    ));
}

#[test]
fn links_to_environments_follow_them() {
    let Some((world, points)) = world() else {
        return;
    };
    let intents = world.blast_home().join("intents");
    let mut cases = 0;
    for point in OF_A_LINK {
        for action in ["kill", "eio"] {
            cases += 1;
            let case = format!("{} {action}", point.name());
            let folder = world.project().join(format!("{}-{action}", point.name()));
            fs::create_dir(&folder).expect("ours");
            let name = format!("link{cases}");
            let exists = || {
                let json = world.blast(["envs", "--json"]).success().json();
                let all = json["environments"].as_array().expect("a list");
                all.iter().any(|env| env["name"] == *name)
            };
            let is_linked = || fs::symlink_metadata(folder.join(".venv")).is_ok();
            arm(&points, point, action);
            let start = ["start", &name, "--path", ".", "--shell", "bash"];
            let run = world.blast_in(&folder, start);
            assert!(!points.join(point.name()).exists(), "{case}: never came by");
            assert_eq!(exists(), is_linked(), "{case}: {run}");
            assert_eq!(names(&intents), BTreeSet::new(), "{case}: {run}");
            world.blast_in(&folder, start).success();
            assert!(exists() && is_linked(), "{case}");
            arm(&points, point, action);
            let run = world.blast(["envs", "remove", &name]);
            assert!(!points.join(point.name()).exists(), "{case}: never came by");
            assert_eq!(exists(), is_linked(), "{case}: {run}");
            assert_eq!(names(&intents), BTreeSet::new(), "{case}: {run}");
            if exists() {
                world.blast(["envs", "remove", &name]).success();
            }
            assert!(names(&folder).is_empty(), "{case}: {:?}", names(&folder));
        }
    }
    world.note(&format!("{cases} links, losses: 0"));
}
