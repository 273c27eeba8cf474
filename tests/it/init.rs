//! `blast init` and `blast lock --export`: from other tools, and back to them.

use std::fs;

use blast_harness::WheelSpec;

use crate::world::{World, demo_wheels};

fn read(world: &World, name: &str) -> String {
    fs::read_to_string(world.project().join(name)).expect("written")
}

#[test]
fn what_a_lock_pinned_is_locked_again_and_exported() {
    let wheels = demo_wheels()
        .into_iter()
        .chain([WheelSpec::simple("tester", "1.0")]);
    let Some(world) = World::with(wheels) else {
        return;
    };
    world.write(
        "Pipfile",
        "[packages]\ndemo = \"*\"\n[dev-packages]\ntester = \"*\"\n[scripts]\ngo = \"x\"\n",
    );
    world.write(
        "Pipfile.lock",
        r#"{"_meta": {}, "default": {"demo": {"version": "==1.0"}}, "develop": {}}"#,
    );
    let run = world.blast([
        "init",
        "--from",
        "Pipfile.lock",
        "--name",
        "app",
        "--python",
        "3.8",
    ]);
    run.success().says("not carried: go");
    let text = read(&world, "pyproject.toml");
    for wanted in [
        "name = \"app\"",
        "requires-python = \">=3.8\"",
        "\"demo==1.0\"",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    world.blast(["lock"]).success();
    let lock = read(&world, "pylock.toml");
    assert!(
        lock.contains("demo-1.0-") && !lock.contains("demo-2.0-"),
        "{lock}"
    );
    let run = world.blast(["lock", "--export", "requirements"]).success();
    for wanted in ["demo==1.0", "helper==1.0", "tester==1.0", "--hash=sha256:"] {
        assert!(run.stdout.contains(wanted), "{wanted}: {}", run.stdout);
    }
    let args = ["lock", "--export", "requirements", "--no-default-groups"];
    let run = world.blast(args.iter().chain(&["-o", "out.txt"])).success();
    assert_eq!(run.stdout, "");
    let text = read(&world, "out.txt");
    assert!(
        text.contains("demo==1.0") && !text.contains("tester"),
        "{text}"
    );
    // What was written is what blast itself installs from.
    world.blast(["start", "other"]).success();
    world.blast(["sync", "--env", "other", "out.txt"]).success();
    let run = world.blast(["lock", "--export", "pylock"]).success();
    assert!(run.stdout.starts_with("lock-version") && !run.stdout.contains("tool"));
    world
        .blast(["lock", "--export", "requirements", "--extra", "none"])
        .exits(2)
        .says("none");
}

#[test]
fn nothing_is_overwritten_and_the_error_says_what_to_do() {
    let world = World::plain(demo_wheels());
    world.write("requirements.txt", "demo\n");
    world
        .blast(["init", "--from", "requirements.txt"])
        .success();
    let text = read(&world, "pyproject.toml");
    assert!(text.contains("\"demo\","), "{text}");
    let run = world.blast(["init", "--from", "requirements.txt"]).exits(2);
    run.says("pyproject.toml").says("move it away");
    assert_eq!(read(&world, "pyproject.toml"), text);
    let poetry = "# ours\n[tool.poetry.dependencies]\npython = \"^3.8\"\ndemo = \"^1\"\n";
    world.write("pyproject.toml", poetry);
    world.blast(["init"]).exits(2).says("--from pyproject.toml");
    assert_eq!(read(&world, "pyproject.toml"), poetry);
    world
        .blast(["init", "--from", "pyproject.toml"])
        .success()
        .says("amended");
    let text = read(&world, "pyproject.toml");
    for wanted in [poetry, "\"demo>=1,<2\"", "requires-python = \">=3.8,<4\""] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
}

#[test]
fn a_project_that_says_what_it_needs_gets_the_versions_of_a_lock_and_no_more() {
    let world = World::plain(demo_wheels());
    let ours = "[project]\nname = \"app\"\nversion = \"1\"\ndependencies = [\"demo\"] # ours\n";
    world.write("pyproject.toml", ours);
    world.write(
        "uv.lock",
        "version = 1\n[[package]]\nname = \"app\"\nsource = { virtual = \".\" }\n\
         [package.metadata]\nrequires-dist = [{ name = \"demo\" }]\n\
         [[package]]\nname = \"demo\"\nversion = \"1.0\"\nsource = { registry = \"x\" }\n",
    );
    let run = world
        .blast(["init", "--from", "uv.lock", "--json"])
        .success();
    let document: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(document["dependencies"], 0);
    assert_eq!(document["constraints"], 1);
    let text = read(&world, "pyproject.toml");
    assert!(text.starts_with(ours), "{text}");
    assert!(
        text.ends_with("[tool.blast]\nconstraints = [\n    \"demo==1.0\",\n]\n"),
        "{text}"
    );
    world
        .blast(["init", "--from", "uv.lock"])
        .exits(2)
        .says("constraints");
    assert_eq!(read(&world, "pyproject.toml"), text);
}

#[test]
fn json_lists_what_was_not_carried_and_errors_name_the_place() {
    let world = World::plain(demo_wheels());
    world.write(
        "environment.yml",
        "dependencies:\n  - numpy\n  - pip:\n    - demo\n",
    );
    let run = world.blast(["init", "--from", "environment.yml", "--json"]);
    let run = run.success();
    let document: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    let left = &document["not_carried"][0];
    assert_eq!(left["what"], "numpy");
    assert_eq!(document["dependencies"], 1);
    world.write("requirements.txt", "demo\n==\n");
    let run = world.blast(["init", "--from", "requirements.txt"]);
    run.exits(2).says("requirements.txt:2");
    world
        .blast(["init", "--python", "three"])
        .exits(2)
        .says("three");
    world
        .blast(["init", "--from", "none.txt"])
        .exits(2)
        .says("none.txt");
    world
        .blast(["lock", "--export", "requirements"])
        .exits(2)
        .says("blast lock");
}
