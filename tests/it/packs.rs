//! Images that are large enough to come in packs: there at once, unpacked behind, whole at any failure.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use blast_harness::WheelSpec;
use blast_store::failpoint::Point;

use crate::host::noise;
use crate::world::{World, packages};

/// More than is unpacked before a load returns, in files of all sizes.
fn large_wheels() -> Vec<WheelSpec> {
    let large = (0..20).fold(WheelSpec::simple("large", "1.0"), |wheel, number| {
        let text = format!("value = {number}\n#").repeat(500 * (number + 1));
        wheel.file(&format!("large/m{number}.py"), &text)
    });
    vec![
        large.file("large/data.txt", &noise(6 << 20)),
        WheelSpec::simple("small", "1.0").file("small/text.py", &noise(9000).replace('\n', "\n#")),
    ]
}

const READS_ALL: &str = "
import hashlib, importlib, os, large
sums = [importlib.import_module(f'large.m{n}').value for n in range(20)]
assert sums == list(range(20)), sums
data = open(os.path.join(os.path.dirname(large.__file__), 'data.txt'), 'rb').read()
print(len(data), hashlib.sha256(data).hexdigest())
";

/// The image of an environment with large packages, and what a program finds in it.
fn image(here: &World) -> (PathBuf, String) {
    here.install("demo", &["large", "small"]).success();
    let build = ["image", "build", "demo", "-o", "large.blast"];
    here.blast(build).success();
    let read = here.python_in("demo", READS_ALL).success();
    (here.project().join("large.blast"), read.out().to_owned())
}

fn files(world: &World, kind: &str) -> usize {
    let folder = world.blast_home().join("store").join(kind);
    let shards = fs::read_dir(folder).into_iter().flatten().flatten();
    shards
        .map(|shard| fs::read_dir(shard.path()).map_or(0, Iterator::count))
        .sum()
}

/// Waits for what happens in the background.
#[track_caller]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(2);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} does not happen");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn elsewhere(file: &Path) -> Option<(World, String)> {
    let mut world = World::with([])?;
    world.sandbox.set("PIP_NO_INDEX", "1");
    let taken = world.write("project/large.blast", fs::read(file).expect("built"));
    Some((world, taken.display().to_string()))
}

#[test]
fn a_large_image_can_be_used_at_once_and_is_unpacked_behind() {
    let Some(here) = World::mounted(large_wheels()) else {
        return;
    };
    let (file, expected) = image(&here);
    let Some((there, file)) = elsewhere(&file) else {
        return;
    };
    there
        .blast(["image", "load", &file, "--no-bytecode"])
        .success();
    let read = there.python_in("demo", READS_ALL).success();
    assert_eq!(read.out(), expected);
    there.blast(["check", "--deep"]).success();
    wait_until("unpacking", || files(&there, "packs") == 0);
    assert!(files(&there, "blobs") > 10);
    there.crash_daemon();
    let read = there.python_in("demo", READS_ALL).success();
    assert_eq!(read.out(), expected);
    there.blast(["check", "--deep"]).success();
    // What came from packs is what the other store has.
    there
        .blast(["image", "build", "demo", "-o", "again.blast"])
        .success();
    let again = fs::read(there.project().join("again.blast")).expect("built");
    assert!(fs::read(file).expect("ours") == again);
}

#[test]
fn a_load_that_fails_at_any_step_is_made_or_not_made_and_says_which() {
    let Some(here) = World::mounted(large_wheels()) else {
        return;
    };
    let (file, expected) = image(&here);
    let Some((mut there, file)) = elsewhere(&file) else {
        return;
    };
    let points = there.root().join("points");
    fs::create_dir(&points).expect("ours");
    there.sandbox.set("BLAST_FAILPOINTS", &points);
    let before = [
        Point::ImageStage,
        Point::PackCopy,
        Point::StageWrite,
        Point::StageSync,
        Point::PlaceRename,
        Point::PlaceSync,
        Point::ImagePublish,
        Point::CommitReserve,
    ];
    let behind = [Point::PackUnpack, Point::PackRemove];
    let mut cases = 0;
    for point in before.iter().chain(&behind) {
        for action in ["kill", "enospc", "eio"] {
            cases += 1;
            let case = format!("{} {action}", point.name());
            there.note(&case);
            there.blast(["envs"]).success();
            let armed = points.join(point.name());
            fs::write(&armed, action).expect("ours");
            let run = there.blast(["image", "load", &file, "--no-bytecode"]);
            wait_until(&case, || !armed.exists());
            let envs = there.blast(["envs", "--json"]).success().json();
            let made = envs["environments"].as_array().map(Vec::len) == Some(1);
            if behind.contains(point) {
                // A daemon may die before it answered; the load is made.
                assert!(made && (run.code == 0 || action == "kill"), "{case}: {run}");
            } else {
                assert!(!made && run.code != 0, "{case}: {run}");
            }
            there.blast(["check", "--deep"]).success();
            if made {
                assert_eq!(
                    there.inside("demo"),
                    packages([("large", "1.0"), ("small", "1.0")])
                );
                let read = there.python_in("demo", READS_ALL).success();
                assert_eq!(read.out(), expected, "{case}");
                there.blast(["envs", "rm", "demo"]).success();
            }
            there.blast(["clean"]).success();
            there.blast(["check", "--deep"]).success();
            assert_eq!(files(&there, "packs"), 0, "{case}");
            assert_eq!(files(&there, "blobs"), 0, "{case}");
        }
    }
    for point in before.iter().chain(&behind) {
        let hit = points.join(format!("hit-{}", point.name()));
        assert!(hit.exists(), "{} is never hit", point.name());
    }
    there.note(&format!("{cases} loads that failed, losses: 0"));
}
