//! `blast remove` and `blast update`.

use blast_harness::WheelSpec;

use crate::world::{World, demo_wheels, packages};

#[test]
fn what_only_the_removed_package_needed_goes_with_it() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["demo"]).success();
    insta::assert_snapshot!(world.change("remove", "demo", &["demo"]), @"
    exit status: 0
    --- stderr
     - demo==2.0
     - helper==2.0
    operation 3 · undo with `blast revert --env demo` (0 packages, [TIME])
    ");
    assert_eq!(world.inside("demo"), packages([]));
}

#[test]
fn what_was_asked_for_by_name_stays() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["demo", "helper"]).success();
    world.change("remove", "demo", &["demo"]).success();
    assert_eq!(world.inside("demo"), packages([("helper", "2.0")]));
}

#[test]
fn a_name_is_known_in_any_spelling() {
    let Some(world) = World::started([WheelSpec::simple("my-pkg", "1.0")]) else {
        return;
    };
    world.install("demo", &["My.Pkg"]).success();
    world.change("remove", "demo", &["MY_PKG"]).success();
    assert_eq!(world.inside("demo"), packages([]));
}

#[test]
fn a_package_that_is_not_there_cannot_be_removed() {
    let Some(world) = World::started([]) else {
        return;
    };
    insta::assert_snapshot!(world.change("remove", "demo", &["ghost"]), @"
    exit status: 1
    --- stderr
    error: ghost is not installed in `demo`
    hint: `blast list --env demo` shows what is installed
    ");
}

#[test]
fn update_takes_the_newest_within_what_was_asked_for() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["demo==1.0"]).success();
    world.install("demo", &["demo<3"]).success();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "1.0"), ("helper", "1.0")])
    );
    world.index.add(&WheelSpec::simple("demo", "3.0"));
    world.index.set_cache_control(Some("no-cache"));
    let updated = world.change("update", "demo", &[]).success();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "2.0"), ("helper", "2.0")]),
        "{updated}"
    );
}

#[test]
fn update_of_one_package_leaves_the_others() {
    let wheels = ["a", "b"].map(|name| WheelSpec::simple(name, "1.0"));
    let Some(world) = World::started(wheels) else {
        return;
    };
    world.index.set_cache_control(Some("no-cache"));
    world.install("demo", &["a", "b"]).success();
    for name in ["a", "b"] {
        world.index.add(&WheelSpec::simple(name, "2.0"));
    }
    world.change("update", "demo", &["a"]).success();
    assert_eq!(world.inside("demo"), packages([("a", "2.0"), ("b", "1.0")]));
}
