//! `blast envs`.

use blast_harness::WheelSpec;

use crate::world::World;

#[test]
fn environments_are_listed() {
    let Some(world) = World::started([WheelSpec::simple("demo", "1.0")]) else {
        return;
    };
    world.install("demo", &["demo"]).success();
    world.start("other");
    insta::assert_snapshot!(world.blast(["envs"]), @"
    exit status: 0
    --- stdout
    Environment  Python  Packages  Changed           Project
    demo         [PYTHON]  1         [DATE]
    other        [PYTHON]  0         [DATE]
    ");
}

#[test]
fn a_deleted_environment_is_gone_from_list_and_view() {
    let Some(world) = World::started([]) else {
        return;
    };
    world.start("other");
    insta::assert_snapshot!(world.blast(["envs", "rm", "demo"]), @"
    exit status: 0
    --- stderr
    deleted environment demo (0 packages)
    ");
    assert!(!world.live().join("demo").join("bin/python").exists());
    assert!(world.live().join("other/bin/python").exists());
    let json = world.blast(["envs", "--json"]).success().json();
    assert_eq!(json["environments"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_deleted_name_can_be_used_again_and_has_no_history() {
    let Some(world) = World::started([WheelSpec::simple("demo", "1.0")]) else {
        return;
    };
    world.install("demo", &["demo"]).success();
    world.blast(["envs", "rm", "demo"]).success();
    world.start("demo");
    assert!(world.inside("demo").is_empty());
    let log = world
        .blast(["log", "--env", "demo", "--json"])
        .success()
        .json();
    assert_eq!(log["operations"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_dry_deletion_deletes_nothing() {
    let Some(world) = World::started([]) else {
        return;
    };
    insta::assert_snapshot!(world.blast(["envs", "rm", "--dry-run", "demo"]), @"
    exit status: 0
    --- stdout
    would delete demo (0 packages)
    ");
    assert!(world.live().join("demo/bin/python").exists());
}

#[test]
fn one_bad_name_among_several_deletes_none() {
    let Some(world) = World::started([]) else {
        return;
    };
    insta::assert_snapshot!(world.blast(["envs", "rm", "demo", "ghost"]), @"
    exit status: 2
    --- stderr
    error: there is no environment `ghost`
    hint: `blast envs` lists those that there are
    ");
    assert!(world.live().join("demo/bin/python").exists());
}
