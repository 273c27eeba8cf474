//! `blast start`.

use std::fs;

use crate::world::{World, sandbox};

#[test]
fn a_new_environment_is_a_prefix_with_an_interpreter() {
    let Some(world) = World::with([]) else { return };
    let run = world.start("demo");
    assert!(
        run.stdout.contains("VIRTUAL_ENV"),
        "an activation script goes to stdout: {run}"
    );
    let prefix = world.live().join("demo");
    for part in ["bin/python", "bin/python3", "pyvenv.cfg"] {
        assert!(prefix.join(part).exists(), "{part}");
    }
    let told = world
        .python_in(
            "demo",
            "import sys; print(sys.prefix); print(sys.prefix != sys.base_prefix)",
        )
        .success();
    assert_eq!(told.out(), format!("{}\nTrue", prefix.display()));
}

#[test]
fn a_dry_run_makes_nothing_and_prints_nothing_to_evaluate() {
    let Some(world) = World::with([]) else { return };
    let run = world.blast(["start", "--dry-run", "demo"]).success();
    let run = run.says("would make environment demo");
    assert_eq!(run.out(), "");
    let project = "[project]\nname = 'app'\nversion = '1'\ndependencies = []\n";
    world.write("pyproject.toml", project);
    let run = world.blast(["start", "--dry-run"]).success();
    let run = run.says("would make environment app").says("would link");
    run.says("pyproject.toml");
    assert!(!world.project().join(".venv").exists());
    let envs = world.blast(["envs", "--json"]).success().json();
    assert_eq!(envs["environments"], serde_json::json!([]));
    world.blast(["start", "--shell", "bash"]).success();
    let run = world.blast(["start", "--dry-run", "--python", "2.7"]);
    assert_ne!(run.code, 0, "what could not be started is told: {run}");
    let run = world.blast(["start", "--dry-run"]).success();
    assert_eq!(run.says("is there").out(), "");
}

#[test]
fn starting_again_changes_nothing() {
    let Some(world) = World::started([]) else {
        return;
    };
    let again = world.start("demo");
    let log = world
        .blast(["log", "--env", "demo", "--json"])
        .success()
        .json();
    assert_eq!(
        log["operations"].as_array().map(Vec::len),
        Some(1),
        "{again}"
    );
}

#[test]
fn the_interpreter_can_be_chosen_by_version_and_by_path() {
    let Some(world) = World::with([]) else { return };
    let python = world.python().clone();
    let path = python.executable.to_string_lossy().into_owned();
    for (env, wanted) in [("by-version", python.minor()), ("by-path", &path)] {
        world
            .blast(["start", env, "--shell", "bash", "--python", wanted])
            .success();
        let code = "import platform; print(platform.python_version())";
        assert_eq!(world.python_in(env, code).out(), python.version, "{env}");
    }
}

#[test]
fn a_python_that_nobody_has_is_an_error_with_a_way_out() {
    let Some(world) = World::with([]) else { return };
    let run = world.blast(["start", "demo", "--shell", "bash", "--python", "3.99"]);
    assert_ne!(run.code, 0, "{run}");
    assert_eq!(run.stdout, "", "nothing to eval");
    run.says("3.99").says("blast python list");
    world.blast(["list", "--env", "demo"]).exits(2);
}

#[test]
fn variables_given_at_start_are_set_for_commands() {
    let Some(world) = World::with([]) else { return };
    world
        .blast([
            "start",
            "demo",
            "--shell",
            "bash",
            "--env",
            "GREETING=hello world",
        ])
        .success();
    let run = world
        .python_in("demo", "import os; print(os.environ['GREETING'])")
        .success();
    assert_eq!(run.out(), "hello world");
}

#[test]
fn names_that_are_no_plain_file_name_are_refused() {
    let Some(sandbox) = sandbox() else { return };
    for name in ["a/b", "../x", "..", ".hidden", "a b", ""] {
        let run = sandbox.blast(["start", "--shell", "bash", "--", name]);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{name:?}: {run}");
    }
    let made = fs::read_dir(sandbox.live()).map_or(0, Iterator::count);
    assert_eq!(made, 0, "nothing was made");
}

#[test]
fn a_name_with_a_slash_is_explained() {
    let Some(sandbox) = sandbox() else { return };
    insta::assert_snapshot!(sandbox.blast(["start", "a/b"]), @"
    exit status: 2
    --- stderr
    error: invalid value 'a/b' for '[NAME]': `a/b` is no usable name: use letters, digits, `-`, `_` and `.`, and start with a letter, a digit or `_`

    For more information, try '--help'.
    ");
}

#[test]
fn without_a_name_and_a_project_the_way_out_is_told() {
    let Some(sandbox) = sandbox() else { return };
    insta::assert_snapshot!(sandbox.blast(["start", "--shell", "bash"]), @"
    exit status: 2
    --- stderr
    error: there is no pyproject.toml here or above, so the environment needs a name
    hint: name it: `blast start demo`
    hint: or make one for this directory: `blast start --path .`
    ");
}
