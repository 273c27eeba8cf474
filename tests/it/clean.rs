//! `blast clean`: what of histories it keeps, and what programs that run keep.

use std::fs;
use std::path::Path;

use blast_harness::WheelSpec;

use crate::world::World;

/// Three versions, each with a module that is a blob of its own.
fn versions() -> Vec<WheelSpec> {
    let of = |version: &str| {
        let line = format!("version = '{version}'\n");
        WheelSpec::simple("demo", version).file("demo/big.py", &line.repeat(2500))
    };
    ["1.0", "2.0", "3.0"].map(of).into()
}

/// An environment that had all of them.
fn upgraded() -> Option<World> {
    let world = World::started(versions())?;
    for version in ["demo==1.0", "demo==2.0", "demo==3.0"] {
        world.install("demo", &[version]).success();
    }
    world.compiled();
    Some(world)
}

fn operations(world: &World, env: &str) -> usize {
    let log = world.change("log", env, &["--json"]).success().json();
    log["operations"].as_array().expect("a list").len()
}

/// Bytes of all files that are kept for good.
fn stored(home: &Path) -> u64 {
    fn below(path: &Path) -> u64 {
        let meta = fs::symlink_metadata(path).expect("it is there");
        if !meta.is_dir() {
            return meta.len();
        }
        let entries = fs::read_dir(path).expect("a folder");
        entries
            .map(|entry| below(&entry.expect("an entry").path()))
            .sum()
    }
    let parts = [
        "store/blobs",
        "store/layers",
        "store/generations",
        "journal",
    ];
    parts.map(|part| below(&home.join(part))).iter().sum()
}

#[test]
fn what_is_freed_is_exact_to_the_byte_and_foretold() {
    let Some(world) = upgraded() else { return };
    let keep = ["clean", "--keep", "1", "--json"];
    let dry = world
        .blast(keep.iter().chain(&["--dry-run"]))
        .success()
        .json();
    let before = stored(&world.blast_home());
    let done = world.blast(keep).success().json();
    let after = stored(&world.blast_home());
    assert_eq!(done["bytes"].as_u64(), Some(before - after), "{done}");
    for field in ["bytes", "objects", "operations", "trees"] {
        assert_eq!(dry[field], done[field], "{field}");
    }
    assert!(done["bytes"].as_u64() > Some(8000), "{done}");
    assert_eq!(operations(&world, "demo"), 1);
    world.blast(["check", "--deep"]).success();
    world.blast(["clean"]).success().says("nothing to free");
}

#[test]
fn the_setting_keep_cuts_histories_and_a_project_has_its_own() {
    let Some(world) = upgraded() else { return };
    let project = world.project();
    let pyproject = |keep: &str| {
        let text = format!("[project]\nname = 'work'\nversion = '1'\n[tool.blast]\n{keep}\n");
        fs::write(project.join("pyproject.toml"), text).expect("ours");
    };
    pyproject("keep = { operations = 2 }");
    world.blast(["start", "--shell", "bash"]).success();
    for version in ["demo==1.0", "demo==2.0", "demo==3.0"] {
        world.install("work", &[version]).success();
    }
    world.blast(["clean"]).success();
    assert_eq!(
        (operations(&world, "demo"), operations(&world, "work")),
        (4, 2)
    );
    let folder = world.root().join("config/blast");
    fs::create_dir_all(&folder).expect("ours");
    let settings = folder.join("config.toml");
    fs::write(&settings, "keep = { operations = 3, days = 0 }\n").expect("ours");
    world.blast(["clean"]).success();
    assert_eq!(
        (operations(&world, "demo"), operations(&world, "work")),
        (3, 2)
    );
    pyproject("keep = { opps = 1 }");
    let run = world.blast(["clean"]).success();
    run.says("all of the history of work is kept");
    assert_eq!(operations(&world, "work"), 2);
    let run = world
        .blast(["clean", "--keep", "1", "--keep-days", "1000"])
        .success();
    run.says("nothing to free");
    world
        .blast(["clean", "--keep", "1"])
        .success()
        .says("forgot 3 operations");
    assert_eq!(
        (operations(&world, "demo"), operations(&world, "work")),
        (1, 1)
    );
}

#[test]
fn a_running_program_keeps_what_it_was_started_with() {
    let Some(world) = World::started(versions()) else {
        return;
    };
    world.install("demo", &["demo==1.0"]).success();
    let (ready, go) = (world.project().join("ready"), world.project().join("go"));
    let code = format!(
        "import os, time, demo\nopen({ready:?}, 'w').close()\n\
         while not os.path.exists({go:?}): time.sleep(0.01)\n\
         import demo.big; assert demo.big.version == '1.0', demo.big.version"
    );
    let program = ["run", "--pin", "--env", "demo", "--", "python", "-c", &code];
    let running = world.blast_in_background(program);
    for _ in 0..3000 {
        if ready.exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    for version in ["demo==2.0", "demo==3.0"] {
        world.install("demo", &[version]).success();
        world.blast(["clean", "--keep", "0"]).success();
    }
    fs::write(&go, "").expect("ours");
    world.finish(running).success();
    world.blast(["clean", "--keep", "0"]).success();
    world.blast(["check", "--deep"]).success();
}
