//! `blast lock`: PEP 751 files.

use std::fs;

use blast_harness::WheelSpec;

use crate::world::{World, demo_wheels};

#[test]
fn a_lock_pins_everything_with_hashes() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world
        .blast(["lock", "demo<2", "--env", "demo", "--output", "pylock.toml"])
        .success();
    let text = fs::read_to_string(world.project().join("pylock.toml")).expect("written");
    for wanted in [
        "lock-version",
        "name = \"demo\"",
        "name = \"helper\"",
        "1.0",
        "sha256 = ",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    // pip and Python read it as TOML: so must anybody.
    let code = "import sys, json\n\
                try:\n    import tomllib\nexcept ImportError:\n    sys.exit()\n\
                lock = tomllib.load(open('pylock.toml', 'rb'))\n\
                assert [p['name'] for p in lock['packages']] == ['demo', 'helper'], lock\n\
                assert all(p['wheels'][0]['hashes']['sha256'] for p in lock['packages'])";
    world.python_in("demo", code).success();
}

#[test]
fn locking_again_gives_the_same_bytes() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    let lock = |name| {
        let run = world.blast(["lock", "demo", "--env", "demo", "--output", name]);
        run.success()
    };
    for name in ["pylock.one.toml", "pylock.two.toml"] {
        let run = lock(name);
        assert!(!run.stderr.contains("PEP 751"), "{run}");
    }
    lock("mine.toml").says("mine.toml").says("pylock.NAME.toml");
    let read = |name: &str| fs::read_to_string(world.project().join(name)).expect("written");
    assert_eq!(read("pylock.one.toml"), read("pylock.two.toml"));
}

#[test]
fn versions_of_the_present_lock_stay_unless_asked() {
    let Some(world) = World::with([WheelSpec::simple("demo", "1.0")]) else {
        return;
    };
    world.index.set_cache_control(Some("no-cache"));
    let lock = |more: &[&str]| {
        let args = ["lock", "demo", "--output", "pylock.toml"];
        world.blast(args.iter().chain(more)).success();
        fs::read_to_string(world.project().join("pylock.toml")).expect("written")
    };
    assert!(lock(&[]).contains("version = \"1.0\""));
    world.index.add(&WheelSpec::simple("demo", "2.0"));
    assert!(
        lock(&[]).contains("version = \"1.0\""),
        "the lock is preferred"
    );
    assert!(lock(&["--upgrade"]).contains("version = \"2.0\""));
}

#[test]
fn nothing_is_written_where_there_is_no_solution() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    let run = world.blast([
        "lock",
        "demo==1.0",
        "helper==2.0",
        "--output",
        "pylock.toml",
    ]);
    run.exits(1).says("helper");
    assert!(!world.project().join("pylock.toml").exists());
}

#[test]
fn requirements_files_are_locked() {
    let Some(world) = World::with(demo_wheels()) else {
        return;
    };
    world.write("requirements.in", "demo\n");
    let args = [
        "lock",
        "--requirements",
        "requirements.in",
        "--output",
        "pylock.toml",
    ];
    world.blast(args).success();
    let text = fs::read_to_string(world.project().join("pylock.toml")).expect("written");
    assert!(text.contains("name = \"helper\""), "{text}");
}
