//! Indexes that are down, half down, slow or wrong.

use std::time::Duration;

use blast_harness::{Fault, WheelSpec};

use crate::world::{World, demo_wheels, packages};

#[test]
fn an_index_that_is_down_is_named_and_nothing_changes() {
    let Some(mut world) = World::started([]) else {
        return;
    };
    world.index.stop();
    insta::assert_snapshot!(world.install("demo", &["demo"]), @"
    exit status: 1
    --- stderr
    error: cannot learn what `demo` offers
      caused by: cannot reach http://127.0.0.1:[PORT]/simple/demo/: the connection was refused: error sending request: client error (Connect): tcp connect error: Connection refused (os error 111)
    hint: check host and port of the index URL, and that the server runs
    ");
    assert_eq!(world.inside("demo"), packages([]));
}

#[test]
fn a_passing_failure_is_tried_again() {
    for fault in [Fault::Status(503), Fault::Hangup, Fault::CloseMidBody] {
        let Some(world) = World::started(demo_wheels()) else {
            return;
        };
        world.index.fault("/simple/demo/", fault, 1);
        world
            .index
            .fault("/files/demo-2.0-py3-none-any.whl", fault, 1);
        world.install("demo", &["demo"]).success();
        let want = packages([("demo", "2.0"), ("helper", "2.0")]);
        assert_eq!(world.inside("demo"), want, "{fault:?}");
    }
}

#[test]
fn a_lasting_failure_is_told_with_its_address_and_status() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.index.always("/simple/", Fault::Status(503));
    insta::assert_snapshot!(world.install("demo", &["demo"]), @"
    exit status: 1
    --- stderr
    error: cannot learn what `demo` offers
      caused by: http://127.0.0.1:[PORT]/simple/demo/ answered HTTP 503
    hint: the index has a problem of its own: try again later or use --offline
    ");
}

#[test]
fn files_that_cannot_be_had_change_nothing() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world
        .index
        .always("/files/helper-2.0-py3-none-any.whl", Fault::Status(500));
    let run = world.install("demo", &["demo"]);
    assert_ne!(run.code, 0, "{run}");
    run.says("helper");
    assert_eq!(
        world.inside("demo"),
        packages([]),
        "not even the one that could be had"
    );
    world.index.heal();
    world.install("demo", &["demo"]).success();
}

#[test]
fn bytes_that_are_wrong_on_the_way_are_noticed() {
    let Some(world) = World::started([WheelSpec::simple("demo", "1.0")]) else {
        return;
    };
    world
        .index
        .always("/files/demo-1.0-py3-none-any.whl", Fault::WrongBytes);
    let run = world.install("demo", &["demo"]);
    assert_ne!(run.code, 0, "{run}");
    assert_eq!(world.inside("demo"), packages([]));
}

#[test]
fn a_refusal_says_that_credentials_are_wanted() {
    let Some(world) = World::started([]) else {
        return;
    };
    world.index.always("/simple/", Fault::Status(401));
    let run = world.install("demo", &["demo"]);
    assert_ne!(run.code, 0, "{run}");
    run.says("401");
}

#[test]
fn a_slow_index_is_waited_for() {
    let Some(world) = World::started([WheelSpec::simple("demo", "1.0")]) else {
        return;
    };
    world
        .index
        .always("/", Fault::Slow(Duration::from_millis(300)));
    world.install("demo", &["demo"]).success();
}

#[test]
fn what_is_known_can_be_used_offline() {
    let Some(mut world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["demo"]).success();
    world.index.stop();
    world.start("second");
    world.install("second", &["--offline", "demo"]).success();
    assert_eq!(
        world.inside("second"),
        packages([("demo", "2.0"), ("helper", "2.0")])
    );
    let run = world.install("second", &["--offline", "something-else"]);
    assert_ne!(run.code, 0, "{run}");
    run.says("offline");
}

#[test]
fn a_page_that_is_no_page_is_an_error() {
    let Some(world) = World::started([WheelSpec::simple("demo", "1.0")]) else {
        return;
    };
    world.index.always("/simple/demo/", Fault::WrongBytes);
    let run = world.install("demo", &["demo"]);
    assert_ne!(run.code, 0, "{run}");
    assert_eq!(world.inside("demo"), packages([]));
}

#[test]
fn an_address_that_is_none_is_a_usage_error() {
    let Some(world) = World::started([]) else {
        return;
    };
    let run = world.install("demo", &["--index-url", "not an address", "demo"]);
    assert_ne!(run.code, 0, "{run}");
    run.says("not an address");
}
