//! `blast start` in a project: an environment from `pyproject.toml`, linked as `.venv`.

use std::fs;

use blast_harness::WheelSpec;

use crate::world::{World, demo_wheels, packages};

const PYPROJECT: &str = r#"
[project]
name = "my-app"
version = "0"
requires-python = ">=3.8"
dependencies = ["demo<2"]

[dependency-groups]
dev = ["tester"]
"#;

fn world() -> Option<World> {
    let world = World::with(
        demo_wheels()
            .into_iter()
            .chain([WheelSpec::simple("tester", "1.0")]),
    )?;
    world.write("pyproject.toml", PYPROJECT);
    Some(world)
}

#[test]
fn a_project_gets_its_dependencies_and_a_link() {
    let Some(world) = world() else { return };
    world.blast(["start", "--shell", "bash"]).success();
    let link = world.project().join(".venv");
    let target = fs::read_link(&link).expect("a link");
    assert_eq!(target, world.live().join("my-app"));
    let want = packages([("demo", "1.0"), ("helper", "1.0"), ("tester", "1.0")]);
    assert_eq!(world.inside("my-app"), want);
    // `.venv` stays the prefix for who goes by it.
    let python = link.join("bin/python");
    let run = world.run(world.command(python, ["-c", "import sys, demo; print(sys.prefix)"]));
    assert_eq!(run.success().out(), link.to_string_lossy());
}

#[test]
fn commands_below_the_project_mean_its_environment() {
    let Some(world) = world() else { return };
    world.blast(["start", "--shell", "bash"]).success();
    let deep = world.project().join("src/deep");
    fs::create_dir_all(&deep).expect("the project is ours");
    world.blast_in(&deep, ["list"]).success().prints("demo");
}

#[test]
fn a_real_venv_directory_is_never_replaced() {
    let Some(world) = world() else { return };
    world.write(".venv/precious.txt", "mine");
    let run = world.blast(["start", "--shell", "bash"]);
    run.says(".venv");
    let kept = fs::read_to_string(world.project().join(".venv/precious.txt"));
    assert_eq!(kept.expect("it is still there"), "mine");
}

#[test]
fn starting_writes_nothing_but_the_link() {
    let Some(world) = world() else { return };
    world.blast(["start", "--shell", "bash"]).success();
    let mut found: Vec<_> = fs::read_dir(world.project())
        .expect("the project")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    found.sort();
    assert_eq!(found, [".venv", "pyproject.toml"]);
}

#[test]
fn sync_follows_the_project_file() {
    let Some(world) = world() else { return };
    world.blast(["start", "--shell", "bash"]).success();
    world.write(
        "pyproject.toml",
        PYPROJECT
            .replace("demo<2", "demo>=2")
            .replace("tester", "helper"),
    );
    world.blast(["sync"]).success();
    assert_eq!(
        world.inside("my-app"),
        packages([("demo", "2.0"), ("helper", "2.0")])
    );
}

#[test]
fn an_outdated_lock_is_refused_where_it_is_to_be_followed_to_the_letter() {
    let Some(world) = world() else { return };
    world.blast(["start", "--shell", "bash"]).success();
    let run = world.blast(["sync", "--locked"]).exits(2);
    run.says("follows a lock").says("blast lock");
    world.blast(["lock"]).success();
    world.blast(["sync", "--locked"]).success();
    let lock = std::fs::read_to_string(world.project().join("pylock.toml")).expect("there");
    let text = std::fs::read_to_string(world.project().join("pyproject.toml")).expect("there");
    world.write("pyproject.toml", text.replace("demo<2", "demo<3"));
    let run = world.blast(["sync", "--locked"]).exits(1);
    run.says("asks for something else").says("blast lock");
    let unchanged = std::fs::read_to_string(world.project().join("pylock.toml"));
    assert_eq!(unchanged.expect("there"), lock);
    let run = world.blast(["lock", "--python-platform", "windows"]);
    run.exits(2).says("for all platforms");
}

#[test]
fn options_of_the_resolver_are_told_where_start_installs_nothing() {
    let Some(world) = world() else { return };
    let start = ["start", "--shell", "bash", "--resolution", "lowest"];
    let first = world.blast(start).success();
    assert!(!first.stderr.contains("no effect"), "{first}");
    world.blast(start).success().says("have no effect");
}

#[test]
fn a_python_outside_the_projects_range_is_refused() {
    let Some(world) = world() else { return };
    world.write("pyproject.toml", PYPROJECT.replace(">=3.8", ">=3.99"));
    let run = world.blast(["start", "--shell", "bash"]);
    assert_ne!(run.code, 0, "{run}");
    run.says("3.99");
}

#[test]
fn a_broken_project_file_is_named() {
    let Some(world) = world() else { return };
    world.write("pyproject.toml", "[project\n");
    world
        .blast(["start", "--shell", "bash"])
        .exits(2)
        .says("pyproject.toml");
}
