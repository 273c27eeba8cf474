//! The lock of a project: for every environment, followed and renewed by other commands.

use std::fs;

use blast_harness::WheelSpec;

use crate::world::{World, demo_wheels, packages};

const PYPROJECT: &str = r#"
[project]
name = "my-app"
version = "0"
requires-python = ">=3.8"
dependencies = ["demo<2", "helper; sys_platform == 'win32'"]

[project.optional-dependencies]
extra = ["bonus"]

[dependency-groups]
dev = ["tester"]
docs = ["writer"]
"#;

fn world() -> Option<World> {
    let more = ["tester", "writer", "bonus", "late"].map(|name| WheelSpec::simple(name, "1.0"));
    let world = World::with(demo_wheels().into_iter().chain(more))?;
    world.write("pyproject.toml", PYPROJECT);
    Some(world)
}

fn lock(world: &World) -> String {
    fs::read_to_string(world.project().join("pylock.toml")).expect("written")
}

#[test]
fn a_project_is_locked_for_every_environment_with_all_its_parts() {
    let Some(world) = world() else { return };
    world.blast(["lock"]).success();
    let text = lock(&world);
    for wanted in [
        "requires-python = \">=3.8\"",
        "extras = [\"extra\"]",
        "dependency-groups = [\"dev\", \"docs\"]",
        "default-groups = [\"dev\"]",
        "marker = \"'extra' in extras\"",
        "marker = \"'dev' in dependency_groups\"",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert!(!text.contains("environments"), "nothing forks: {text}");
    world.blast(["lock"]).success().says("nothing to do");
    assert_eq!(text, lock(&world));
}

#[test]
fn a_locked_project_is_synced_by_extras_and_groups() {
    let Some(world) = world() else { return };
    world.blast(["lock"]).success();
    world.blast(["start", "--shell", "bash"]).success();
    let base = [("demo", "1.0"), ("helper", "1.0")];
    let with = |more: &[&str]| {
        let mut all = packages(base);
        all.extend(
            more.iter()
                .map(|name| ((*name).to_owned(), "1.0".to_owned())),
        );
        all
    };
    assert_eq!(world.inside("my-app"), with(&["tester"]));
    let args = ["sync", "--extra", "extra", "--group", "docs"];
    world.blast(args).success();
    assert_eq!(world.inside("my-app"), with(&["bonus", "tester", "writer"]));
    world.blast(["sync", "--no-groups"]).success();
    assert_eq!(world.inside("my-app"), with(&[]));
    world
        .blast(["sync", "--group", "none"])
        .exits(1)
        .says("none");
}

#[test]
fn a_lock_is_renewed_only_when_the_project_asks_for_something_else() {
    let Some(world) = world() else { return };
    world.blast(["lock"]).success();
    world.blast(["start", "--shell", "bash"]).success();
    let before = lock(&world);
    world.blast(["sync"]).success();
    assert_eq!(before, lock(&world), "nothing changed, so the lock stays");
    world.index.add(&WheelSpec::simple("demo", "1.5"));
    world.write(
        "pyproject.toml",
        PYPROJECT.replace("[\"demo<2\"", "[\"late\", \"demo<2\""),
    );
    let run = world.blast(["sync", "--dry-run"]);
    run.success().says("would be renewed");
    assert_eq!(before, lock(&world), "a dry run writes nothing");
    world.blast(["sync"]).success().says("renewed");
    let after = lock(&world);
    assert!(after.contains("name = \"late\""), "{after}");
    assert!(!after.contains("1.5"), "what was locked stays: {after}");
    let now = world.inside("my-app");
    assert!(now.contains_key("late"), "{now:?}");
}

#[test]
fn a_lock_is_renewed_when_the_project_limits_something_else() {
    let Some(world) = world() else { return };
    let with = |table: &str| {
        world.write(
            "pyproject.toml",
            format!("{PYPROJECT}\n[tool.blast]\n{table}\n"),
        );
    };
    with("constraints = ['tester>=1', 'demo>0']");
    world.blast(["lock"]).success();
    world.blast(["start", "--shell", "bash"]).success();
    let before = lock(&world);
    // The order says nothing.
    with("constraints = ['demo>0', 'tester>=1']");
    world.blast(["sync"]).success();
    assert_eq!(before, lock(&world));
    for table in [
        "constraints = ['demo>0']",
        "overrides = ['helper==1.0']",
        "exclude = ['helper']",
    ] {
        with(table);
        world.blast(["sync"]).success().says("it was renewed");
        let now = lock(&world);
        world.blast(["sync"]).success();
        assert_eq!(now, lock(&world), "{table}");
    }
    assert!(!world.inside("my-app").contains_key("helper"));
}

#[test]
fn adding_to_a_lock_looks_at_the_addition_and_says_so() {
    let Some(world) = world() else { return };
    world.blast(["lock"]).success();
    world.write(
        "pyproject.toml",
        PYPROJECT.replace("[\"demo<2\"", "[\"late\", \"demo<2\""),
    );
    let run = world.blast(["lock", "--json", "--verbose"]);
    let run = run.success().says("looked at 1 version of 1 project");
    let document = run.json();
    assert_eq!(document["effort"]["versions"], 1, "{document}");
    assert_eq!(document["unchanged"], false, "{document}");
    assert_eq!(document["changes"][0]["name"], "late", "{document}");
}

#[test]
fn a_fork_is_told_with_its_reason_and_followed_here() {
    let Some(world) = World::with(demo_wheels()) else {
        return;
    };
    let args = [
        "lock",
        "--universal",
        "--verbose",
        "--python",
        "3.8",
        "--output",
        "pylock.toml",
        "demo<2; sys_platform == 'linux'",
        "demo>=2; sys_platform != 'linux'",
    ];
    world
        .blast(args)
        .success()
        .says("fork sys_platform == 'linux'")
        .says("you require");
    let text = lock(&world);
    assert!(text.contains("requires-python = \">=3.8\""), "{text}");
    assert!(text.contains("sys_platform != 'linux'"), "{text}");
    world.blast(["start", "here", "--shell", "bash"]).success();
    world
        .blast(["sync", "pylock.toml", "--env", "here"])
        .success();
    assert_eq!(
        world.inside("here"),
        packages([("demo", "1.0"), ("helper", "1.0")])
    );
}
