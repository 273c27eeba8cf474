//! `blast list`.

use blast_harness::WheelSpec;

use crate::world::{World, demo_wheels, sandbox};

#[test]
fn packages_are_listed_by_name_with_their_versions() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["demo"]).success();
    insta::assert_snapshot!(world.change("list", "demo", &[]), @"
    exit status: 0
    --- stdout
    Package  Version
    demo     2.0
    helper   2.0
    ");
}

#[test]
fn json_tells_who_was_asked_for() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["demo"]).success();
    let json = world.change("list", "demo", &["--json"]).success().json();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["environment"], "demo");
    let told: Vec<_> = json["packages"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|package| (package["name"].as_str(), package["requested"].as_bool()))
        .collect();
    assert_eq!(
        told,
        [(Some("demo"), Some(true)), (Some("helper"), Some(false))]
    );
}

#[test]
fn an_empty_environment_lists_nothing() {
    let Some(world) = World::started([]) else {
        return;
    };
    insta::assert_snapshot!(world.change("list", "demo", &[]), @"
    exit status: 0
    --- stderr
    environment demo holds no packages
    ");
}

#[test]
fn an_environment_that_does_not_exist_is_named() {
    let Some(sandbox) = sandbox() else { return };
    insta::assert_snapshot!(sandbox.blast(["list", "--env", "ghost"]), @"
    exit status: 2
    --- stderr
    error: there is no environment `ghost`
    hint: `blast start ghost` makes it
    hint: `blast envs` lists those that there are
    ");
}

#[test]
fn where_no_environment_is_meant_the_way_out_is_told() {
    let Some(sandbox) = sandbox() else { return };
    insta::assert_snapshot!(sandbox.blast(["list"]), @"
    exit status: 2
    --- stderr
    error: no environment is active, and there is no project here
    hint: name one: `--env NAME` (`blast envs` lists them)
    hint: or make one: `blast start NAME`
    ");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let Some(world) = World::started((0..40).map(|n| WheelSpec::simple(&format!("p{n}"), "1")))
    else {
        return;
    };
    let all: Vec<String> = (0..40).map(|n| format!("p{n}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    world.install("demo", &all).success();
    let script = "set -o pipefail; \"$0\" list --env demo | head -1; echo ${PIPESTATUS[0]}";
    let program = world.program().to_owned();
    let run = world.run(world.command(
        "bash",
        ["-c".as_ref(), script.as_ref(), program.as_os_str()],
    ));
    assert!(run.stdout.ends_with("\n0\n"), "{run}");
    assert_eq!(run.stderr, "");
}
