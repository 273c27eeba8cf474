//! `blast show`, `blame`, going to a time, and states of other environments.

use blast_harness::WheelSpec;

use crate::world::{World, demo_wheels, packages};

/// An environment with two installs behind it, and an index that is gone.
fn changed_twice() -> Option<World> {
    let mut world = World::started(demo_wheels())?;
    world.install("demo", &["demo==1.0"]).success();
    world.install("demo", &["demo==2.0"]).success();
    world.index.stop();
    Some(world)
}

fn times(world: &World) -> Vec<i64> {
    let log = world.change("log", "demo", &["--json"]).success().json();
    let operations = log["operations"].as_array().expect("a list").iter().rev();
    operations
        .map(|operation| operation["at_ms"].as_i64().expect("a time"))
        .collect()
}

fn written(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms)
        .expect("a time")
        .to_string()
}

#[test]
fn an_operation_is_shown_with_all_that_it_changed() {
    let Some(world) = changed_twice() else { return };
    let shown = world.change("show", "demo", &["2"]).success();
    for part in [
        "operation 2: install demo helper",
        "took ",
        "install --env demo demo==1.0",
        " + demo==1.0",
        " + helper==1.0",
        "+ asked for: demo==1.0",
        "2 packages afterwards",
    ] {
        assert!(shown.stdout.contains(part), "{part} in {shown}");
    }
    let json = world
        .change("show", "demo", &["@{-1}", "--json"])
        .success()
        .json();
    assert_eq!(json["id"], 2);
    assert_eq!(json["environment"], "demo");
    assert_eq!(json["requirements_added"][0], "demo==1.0");
    let newest = world.change("show", "demo", &["--json"]).success().json();
    assert_eq!(
        (&newest["id"], &newest["current"]),
        (&3.into(), &true.into())
    );
    world
        .change("show", "demo", &["9"])
        .exits(1)
        .says("`9` names no operation");
}

#[test]
fn blame_tells_the_operation_of_a_version_and_those_before() {
    let Some(world) = changed_twice() else { return };
    let json = world
        .change("blame", "demo", &["Helper", "--json"])
        .success()
        .json();
    assert_eq!(json["version"], "2.0");
    let ids = |json: &serde_json::Value| -> Vec<u64> {
        let operations = json["operations"].as_array().expect("a list");
        operations
            .iter()
            .filter_map(|operation| operation["id"].as_u64())
            .collect()
    };
    assert_eq!((ids(&json), &json["origin"]), (vec![3, 2], &3.into()));
    assert_eq!(
        json["operations"][0]["changes"].as_array().map(Vec::len),
        Some(1)
    );

    world.change("revert", "demo", &[]).success();
    let run = world.change("blame", "demo", &["helper"]).success();
    run.says("operation 4 went back to 1.0, which operation 2 had brought");
    let json = world
        .change("blame", "demo", &["helper", "--json"])
        .success()
        .json();
    assert_eq!((ids(&json), &json["origin"]), (vec![4, 3, 2], &2.into()));

    world.change("remove", "demo", &["demo"]).success();
    world
        .change("blame", "demo", &["demo"])
        .success()
        .says("demo is not installed now");
    world
        .change("blame", "demo", &["flask"])
        .exits(1)
        .says("flask was never installed");
}

#[test]
fn a_time_means_the_state_that_there_was_then() {
    let Some(world) = changed_twice() else { return };
    let times = times(&world);
    let old = packages([("demo", "1.0"), ("helper", "1.0")]);
    for between in [times[1], times[2] - 1] {
        world
            .change("revert", "demo", &["--to", &written(between)])
            .success();
        assert_eq!(world.inside("demo"), old);
        world.change("redo", "demo", &[]).success();
        assert_eq!(
            world.inside("demo"),
            packages([("demo", "2.0"), ("helper", "2.0")])
        );
    }
    world
        .change("revert", "demo", &["--to", &written(times[0])])
        .success();
    assert_eq!(world.inside("demo"), packages([]));
    let run = world
        .change("revert", "demo", &["--to", &written(times[0] - 1)])
        .exits(1);
    run.says("does not reach back to");
    world.change("revert", "demo", &["--to", "1 week"]).exits(1);
    world
        .change("revert", "demo", &["--to", "some day"])
        .exits(2);
    world
        .change("revert", "demo", &["--to", "1h", "2"])
        .exits(2);
}

#[test]
fn a_revert_to_a_state_is_taken_back_by_redo() {
    let Some(world) = changed_twice() else { return };
    world
        .change("revert", "demo", &["1"])
        .success()
        .says("undo with `blast redo --env demo`");
    world.change("redo", "demo", &[]).success();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "2.0"), ("helper", "2.0")])
    );
}

#[test]
fn states_of_two_environments_are_compared() {
    let Some(world) =
        World::started([WheelSpec::simple("a", "1.0"), WheelSpec::simple("b", "1.0")])
    else {
        return;
    };
    world.start("other");
    world.install("demo", &["a"]).success();
    world.install("other", &["b"]).success();
    world.change("save", "other", &["good"]).success();
    world.change("remove", "other", &["b"]).success();
    insta::assert_snapshot!(world.change("diff", "demo", &["@", "other@good"]), @"
    exit status: 0
    --- stdout
     - a==1.0
     + b==1.0
    ");
    world
        .change("diff", "demo", &["demo@1", "other@"])
        .success()
        .says("no package differs");
    world
        .change("diff", "demo", &["nobody@1"])
        .exits(2)
        .says("nobody");
}
