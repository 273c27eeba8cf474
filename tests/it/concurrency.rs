//! Several commands at once.

use blast_harness::WheelSpec;

use crate::world::{World, packages};

fn wheels(names: &[&str]) -> Vec<WheelSpec> {
    names
        .iter()
        .map(|name| WheelSpec::simple(name, "1.0"))
        .collect()
}

#[test]
fn two_installs_into_one_environment_both_count() {
    let Some(world) = World::started(wheels(&["a", "b"])) else {
        return;
    };
    let both = ["a", "b"].map(|name| world.blast_in_background(["install", "--env", "demo", name]));
    for running in both {
        world.finish(running).success();
    }
    assert_eq!(world.inside("demo"), packages([("a", "1.0"), ("b", "1.0")]));
    let log = world.change("log", "demo", &["--json"]).success().json();
    assert_eq!(
        log["operations"].as_array().map(Vec::len),
        Some(3),
        "each is an operation"
    );
}

#[test]
fn two_installs_into_two_environments_do_not_meet() {
    let Some(world) = World::started(wheels(&["shared", "a", "b"])) else {
        return;
    };
    world.start("other");
    let both = [("demo", "a"), ("other", "b")]
        .map(|(env, name)| world.blast_in_background(["install", "--env", env, "shared", name]));
    for running in both {
        world.finish(running).success();
    }
    assert_eq!(
        world.inside("demo"),
        packages([("a", "1.0"), ("shared", "1.0")])
    );
    assert_eq!(
        world.inside("other"),
        packages([("b", "1.0"), ("shared", "1.0")])
    );
    world.blast(["check", "--deep"]).success();
}

#[test]
fn many_first_commands_start_one_daemon() {
    let Some(world) = World::with([]) else { return };
    let names = ["e1", "e2", "e3", "e4", "e5", "e6"];
    let all = names.map(|name| world.blast_in_background(["start", name, "--shell", "bash"]));
    for running in all {
        world.finish(running).success();
    }
    let json = world.blast(["envs", "--json"]).success().json();
    assert_eq!(
        json["environments"].as_array().map(Vec::len),
        Some(names.len())
    );
}

#[test]
fn the_same_environment_started_twice_at_once_is_made_once() {
    let Some(world) = World::with([]) else { return };
    let both = [(); 2].map(|()| world.blast_in_background(["start", "demo", "--shell", "bash"]));
    for running in both {
        world.finish(running).success();
    }
    let log = world.change("log", "demo", &["--json"]).success().json();
    assert_eq!(log["operations"].as_array().map(Vec::len), Some(1));
}

#[test]
fn cleaning_beside_installs_takes_nothing_they_need() {
    let names: Vec<String> = (0..8).map(|n| format!("p{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let Some(world) = World::started(wheels(&names)) else {
        return;
    };
    for name in &names {
        let install = world.blast_in_background(["install", "--env", "demo", name]);
        let clean = world.blast_in_background(["clean"]);
        world.finish(install).success();
        world.finish(clean).success();
    }
    assert_eq!(world.inside("demo").len(), names.len());
    world.blast(["check", "--deep"]).success();
}
