//! Several commands at once.

use std::time::Duration;

use blast_harness::{Background, Fault, WheelSpec};

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

/// An install of `late` 1.0, which `helper` 1.0 comes with, that waits for the index
/// until it is healed.
fn waiting_install() -> Option<(World, Background)> {
    let wheels = [
        WheelSpec::simple("late", "1.0").requires("helper==1.0"),
        WheelSpec::simple("helper", "1.0"),
        WheelSpec::simple("helper", "2.0"),
        WheelSpec::simple("other", "1.0"),
    ];
    let world = World::started(wheels.clone())?;
    let file = wheels[0].filename();
    world.index.fault(&format!("/files/{file}"), Fault::Held, 1);
    let waiting = world.blast_in_background(["install", "--env", "demo", "late"]);
    for _ in 0..3000 {
        if world
            .index
            .hits()
            .iter()
            .any(|hit| hit.path.contains(&file))
        {
            return Some((world, waiting));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the wheel is never asked about");
}

#[test]
fn a_change_that_was_overtaken_comes_after_the_other() {
    let Some((world, waiting)) = waiting_install() else {
        return;
    };
    world.install("demo", &["other"]).success();
    assert_eq!(
        world.inside("demo"),
        packages([("other", "1.0")]),
        "nobody waits for a download of others"
    );
    world.index.heal();
    let run = world.finish(waiting).success();
    run.says("operation 2 (install other) was made meanwhile");
    assert_eq!(
        world.inside("demo"),
        packages([("helper", "1.0"), ("late", "1.0"), ("other", "1.0")])
    );
    let shown = world.change("show", "demo", &["3"]).success();
    shown.prints("planned again after operation 2");
    world.change("revert", "demo", &[]).success();
    assert_eq!(world.inside("demo"), packages([("other", "1.0")]));
}

#[test]
fn a_change_of_what_another_changed_meanwhile_is_refused_and_says_who() {
    let Some((world, waiting)) = waiting_install() else {
        return;
    };
    world.install("demo", &["helper==2.0"]).success();
    world.index.heal();
    let run = world.finish(waiting).exits(1);
    for part in [
        "`demo` was changed meanwhile",
        "install --env demo helper==2.0` (operation 2), which is about helper too",
        "blast show 2 --env demo",
        "install --env demo late`",
    ] {
        assert!(run.stderr.contains(part), "{part} in {run}");
    }
    assert_eq!(world.inside("demo"), packages([("helper", "2.0")]));
    world.blast(["clean"]).success();
    world.blast(["check", "--deep"]).success();
}

#[test]
fn the_same_change_twice_at_once_is_made_once() {
    let Some((world, waiting)) = waiting_install() else {
        return;
    };
    world.index.heal();
    world.install("demo", &["late"]).success();
    world.finish(waiting).success();
    let log = world.change("log", "demo", &["--json"]).success().json();
    assert_eq!(log["operations"].as_array().map(Vec::len), Some(2));
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
