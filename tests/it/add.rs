//! `blast add`, and `blast remove` in a project: file, lock and environment together.

use std::fs;

use blast_harness::WheelSpec;

use crate::world::{World, demo_wheels, packages};

const PYPROJECT: &str = r#"# the head
[project]
name = "my-app"
version = "0"
requires-python = ">=3.8"
dependencies = [
    "demo<2",  # not yet
]

[dependency-groups]
dev = ["tester"]
"#;

fn world() -> Option<World> {
    let more = ["tester", "late"].map(|name| WheelSpec::simple(name, "1.5"));
    let world = World::with(demo_wheels().into_iter().chain(more))?;
    world.write("pyproject.toml", PYPROJECT);
    world.blast(["start", "--shell", "bash"]).success();
    Some(world)
}

fn read(world: &World, file: &str) -> String {
    fs::read_to_string(world.project().join(file)).expect("there")
}

#[test]
fn what_is_added_is_written_down_with_a_lower_bound_and_installed() {
    let Some(world) = world() else { return };
    let run = world.blast(["add", "late"]).success();
    let run = run.says("added `late>=1.5` to pyproject.toml, its dependencies");
    run.says("undo with `blast revert`");
    let wanted = PYPROJECT.replace(
        "\"demo<2\",  # not yet\n",
        "\"demo<2\",  # not yet\n    \"late>=1.5\",\n",
    );
    assert_eq!(read(&world, "pyproject.toml"), wanted);
    assert!(world.inside("my-app").contains_key("late"));
    let run = world.blast(["remove", "late"]).success();
    run.says(
        "took late out of pyproject.toml, its dependencies; `blast add late` puts it back there",
    );
    assert_eq!(read(&world, "pyproject.toml"), PYPROJECT);
    assert!(!world.inside("my-app").contains_key("late"));
    let run = world.blast(["add", "--dev", "late"]).success();
    run.says("`blast remove late` takes it out again");
    let run = world.blast(["remove", "late"]).success();
    run.says("its group dev; `blast add --group dev late` puts it back there");
    assert_eq!(read(&world, "pyproject.toml"), PYPROJECT);
    world.blast(["sync"]).success();
    assert!(!world.inside("my-app").contains_key("late"));
}

#[test]
fn what_was_added_is_told_as_json() {
    let Some(world) = world() else { return };
    let told = world.blast(["add", "--json", "--dev", "late"]).success();
    let told = told.json();
    assert_eq!(told["added"], serde_json::json!(["late>=1.5"]));
    assert_eq!(told["group"], "dev");
    assert!(told["extra"].is_null(), "{told}");
    assert_eq!(told["changes"][0]["name"], "late");
    assert_eq!(told["lock_renewed"], false);
    assert_eq!(told["dry_run"], false);
    let run = world.blast(["add", "--json", "nowhere-to-be-found"]);
    let told = run.exits(1).json();
    let message = told["error"]["message"].to_string();
    assert!(message.contains("nowhere-to-be-found"), "{told}");
}

#[test]
fn what_was_removed_is_told_as_json() {
    let Some(world) = world() else { return };
    world.blast(["lock"]).success();
    world.blast(["add", "late"]).success();
    let with = read(&world, "pyproject.toml");
    let remove = |more: &[&str]| world.blast(["remove", "--json", "late"].iter().chain(more));
    let told = remove(&["--dry-run"]).success();
    assert_eq!(told.stdout.matches("\"dry_run\"").count(), 1, "{told}");
    let told = told.json();
    assert_eq!(told["dry_run"], true, "{told}");
    assert_eq!(told["removed"], serde_json::json!(["late"]));
    assert_eq!(told["lock_renewed"], false, "{told}");
    assert_eq!(read(&world, "pyproject.toml"), with);
    let told = remove(&[]).success().json();
    assert_eq!(told["changes"][0]["name"], "late");
    assert!(told["changes"][0]["after"].is_null(), "{told}");
    assert_eq!(told["lock_renewed"], true, "{told}");
    assert_eq!(read(&world, "pyproject.toml"), PYPROJECT);
    // What the project does not name is taken out of the environment alone.
    let told = world.blast(["remove", "--json", "demo", "--env", "my-app"]);
    assert_eq!(told.success().json()["removed"][0], "demo");
    let told = remove(&[]).exits(1).json();
    assert_eq!(told["error"]["kind"], "no", "{told}");
}

#[test]
fn the_lock_is_renewed_with_the_file() {
    let Some(world) = world() else { return };
    world.blast(["lock"]).success();
    let before = read(&world, "pylock.toml");
    world.index.add(&WheelSpec::simple("tester", "1.6"));
    world
        .blast(["add", "--dry-run", "late"])
        .success()
        .says("would add `late>=1.5`");
    world
        .blast(["add", "--dry-run", "--no-sync", "late"])
        .success();
    assert_eq!(read(&world, "pyproject.toml"), PYPROJECT);
    assert_eq!(read(&world, "pylock.toml"), before);
    assert!(!world.inside("my-app").contains_key("late"));
    world
        .blast(["add", "--dev", "late"])
        .success()
        .says("its group dev");
    let text = read(&world, "pyproject.toml");
    assert!(text.contains("dev = [\"tester\", \"late>=1.5\"]"), "{text}");
    let locked = read(&world, "pylock.toml");
    assert!(locked.contains("name = \"late\""), "{locked}");
    assert!(!locked.contains("1.6"), "what was locked stays: {locked}");
    // Nothing is left to renew.
    world.blast(["sync"]).success();
    assert_eq!(read(&world, "pylock.toml"), locked);
    let with = [
        ("demo", "1.0"),
        ("helper", "1.0"),
        ("late", "1.5"),
        ("tester", "1.5"),
    ];
    assert_eq!(world.inside("my-app"), packages(with));
}

#[test]
fn what_cannot_be_added_changes_nothing() {
    let Some(world) = world() else { return };
    world.blast(["lock"]).success();
    let lock = read(&world, "pylock.toml");
    for wanted in ["late>=9", "demo>=9", "missing", "./late"] {
        let run = world.blast(["add", wanted]);
        assert_ne!(run.code, 0, "{wanted}: {}", run.stderr);
        assert_eq!(read(&world, "pyproject.toml"), PYPROJECT, "{wanted}");
        assert_eq!(read(&world, "pylock.toml"), lock, "{wanted}");
    }
    assert!(!world.inside("my-app").contains_key("late"));
}

#[test]
fn an_environment_that_cannot_follow_leaves_the_files_as_they_were() {
    let Some(world) = world() else { return };
    // It is written down, but the environment has it no more.
    world
        .blast(["remove", "--env", "my-app", "tester"])
        .success();
    let text = PYPROJECT.replace("\"demo<2\"", "\"late\", \"demo<2\"");
    world.write("pyproject.toml", &text);
    world.blast(["remove", "late"]).exits(1).says("late");
    assert_eq!(read(&world, "pyproject.toml"), text);
}

#[test]
fn without_a_project_adding_is_installing() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.blast(["add", "--env", "demo", "helper"]).success();
    assert!(world.inside("demo").contains_key("helper"));
    world
        .blast(["add", "--env", "demo", "--dev", "helper"])
        .exits(2)
        .says("blast init");
}
