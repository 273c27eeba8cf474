//! `blast save` and `blast load`.

use blast_harness::WheelSpec;

use crate::world::{World, demo_wheels, packages};

#[test]
fn a_saved_state_is_loaded_by_its_name() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["demo==1.0"]).success();
    insta::assert_snapshot!(world.change("save", "demo", &["good"]), @"
    exit status: 0
    --- stderr
    saved snapshot good (2 packages)
    return to it with `blast load good --env demo`
    ");
    world.install("demo", &["demo==2.0"]).success();
    insta::assert_snapshot!(world.change("load", "demo", &["good"]), @"
    exit status: 0
    --- stderr
    loaded the snapshot good
     ~ demo 2.0 -> 1.0
     ~ helper 2.0 -> 1.0
    operation 5 · undo with `blast revert --env demo` (2 packages, [TIME])
    ");
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "1.0"), ("helper", "1.0")])
    );
}

#[test]
fn loading_is_undone_like_any_change() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.change("save", "demo", &["empty"]).success();
    world.install("demo", &["helper"]).success();
    world.change("load", "demo", &["empty"]).success();
    world.change("revert", "demo", &[]).success();
    assert_eq!(world.inside("demo"), packages([("helper", "2.0")]));
}

#[test]
fn another_environment_gets_what_a_snapshot_holds() {
    let script = WheelSpec::simple("tool", "1.0").entry_point("tool", "tool:main");
    let wheels = demo_wheels().into_iter().chain([script]);
    let Some(mut world) = World::started(wheels) else {
        return;
    };
    world.install("demo", &["demo==1.0", "tool"]).success();
    world.change("save", "demo", &["good"]).success();
    world.start("other");
    world.install("other", &["helper==2.0"]).success();
    world.index.stop();
    let dry = world.change("load", "other", &["demo@good", "--dry-run"]);
    dry.success().says("would load the snapshot good of demo");
    insta::assert_snapshot!(world.change("load", "other", &["demo@good"]), @"
    exit status: 0
    --- stderr
    loaded the snapshot good of demo
     + demo==1.0
     ~ helper 2.0 -> 1.0
     + tool==1.0
    operation 3 · undo with `blast revert --env other` (3 packages, [TIME])
    ");
    let held = packages([("demo", "1.0"), ("helper", "1.0"), ("tool", "1.0")]);
    assert_eq!(world.inside("other"), held);
    let script = world.blast([
        "run",
        "--env",
        "other",
        "--",
        "sh",
        "-c",
        "head -1 $(command -v tool)",
    ]);
    script.success().prints("live/other/bin/python");
    let again = world.change("load", "other", &["demo@good"]).success();
    again.says("nothing to do");
    let log = world.change("log", "other", &["--json"]).success().json();
    assert_eq!(log["operations"][0]["summary"], "load demo@good");
    world.blast(["envs", "rm", "demo"]).success();
    world.blast(["clean"]).success();
    assert_eq!(world.inside("other"), held);
    world.change("revert", "other", &[]).success();
    assert_eq!(world.inside("other"), packages([("helper", "2.0")]));
    world
        .change("load", "other", &["demo@good"])
        .exits(2)
        .says("demo");
    world.blast(["check", "--deep"]).success();
}

#[test]
fn a_snapshot_can_be_forgotten() {
    let Some(world) = World::started([]) else {
        return;
    };
    world.change("save", "demo", &["one"]).success();
    insta::assert_snapshot!(world.change("save", "demo", &["--delete", "one"]), @"
    exit status: 0
    --- stderr
    forgot snapshot one (0 packages)
    ");
    insta::assert_snapshot!(world.change("load", "demo", &["one"]), @"
    exit status: 1
    --- stderr
    error: there is no snapshot `one` of `demo`
    hint: `blast save --list --env demo` shows the snapshots
    ");
    let run = world.change("save", "demo", &["--delete", "one"]);
    assert_ne!(run.code, 0, "{run}");
}

#[test]
fn a_name_that_is_given_anew_tells_the_way_to_what_it_stood_for() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["helper==1.0"]).success();
    world.change("save", "demo", &["one"]).success();
    let same = world.change("save", "demo", &["one"]).success();
    assert!(!same.stderr.contains("stood for"), "{same}");
    world.install("demo", &["helper==2.0"]).success();
    let told = world
        .change("save", "demo", &["one", "--json"])
        .success()
        .json();
    let before = told["snapshots"][0]["replaced"].as_str().expect("an id");
    world.change("revert", "demo", &[before]).success();
    assert_eq!(world.inside("demo"), packages([("helper", "1.0")]));
    let again = world.change("save", "demo", &["one"]).success();
    assert!(again.stderr.contains("the name stood for "), "{again}");
    world.install("demo", &["helper==2.0"]).success();
    world.change("load", "demo", &["one"]).success();
    assert_eq!(world.inside("demo"), packages([("helper", "1.0")]));
}

#[test]
fn snapshots_are_listed() {
    let Some(world) = World::started([]) else {
        return;
    };
    world.change("save", "demo", &["b"]).success();
    world.change("save", "demo", &["a"]).success();
    let json = world
        .change("save", "demo", &["--list", "--json"])
        .success()
        .json();
    let names: Vec<_> = json["snapshots"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|s| &s["name"])
        .collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn a_snapshot_without_a_name_gets_one_that_can_be_loaded() {
    let Some(world) = World::started([]) else {
        return;
    };
    let json = world.change("save", "demo", &["--json"]).success().json();
    let name = json["snapshots"][0]["name"]
        .as_str()
        .expect("a name")
        .to_owned();
    world.change("load", "demo", &[&name]).success();
}

#[test]
fn a_snapshot_keeps_its_state_from_being_cleaned() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["demo==1.0"]).success();
    world.change("save", "demo", &["kept"]).success();
    world.install("demo", &["demo==2.0"]).success();
    world.blast(["clean", "--keep", "1"]).success();
    world.change("load", "demo", &["kept"]).success();
    world
        .python_in("demo", "import demo; assert demo.__version__ == '1.0'")
        .success();
}
