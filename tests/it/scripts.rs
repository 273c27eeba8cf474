//! Scripts that say what they need (PEP 723), run by their name.

use std::fs;

use blast_harness::{SdistSpec, WheelSpec};

use crate::world::World;

fn world() -> Option<World> {
    World::with([
        WheelSpec::new("one", "1.0").file("one.py", "version = '1.0'\n"),
        WheelSpec::new("one", "2.0").file("one.py", "version = '2.0'\n"),
        WheelSpec::new("two", "1.0").file("two.py", "version = '1.0'\n"),
    ])
}

fn script(needs: &str, body: &str) -> String {
    let lines = needs.lines().map(|line| format!("# {line}\n"));
    let block: String = lines.collect();
    format!("#!/usr/bin/env -S blast run --script\n# /// script\n{block}# ///\n{body}")
}

const SHOW: &str = "import one, sys\nprint(one.version, sys.argv[1:])\n";

fn names(world: &World) -> Vec<String> {
    let listed = world.blast(["envs", "--json"]).success().json();
    let all = listed["environments"].as_array().expect("a list").iter();
    all.map(|env| env["name"].as_str().expect("a name").to_owned())
        .collect()
}

fn operations(world: &World, env: &str) -> usize {
    let log = world
        .blast(["log", "--env", env, "--json"])
        .success()
        .json();
    log["operations"].as_array().expect("a list").len()
}

#[test]
fn a_script_gets_what_it_says_and_keeps_it() {
    let Some(world) = world() else { return };
    world.write("tool.py", script("dependencies = [\"one<2\"]", SHOW));
    let first = world.blast(["run", "tool.py", "--flag", "x y"]).success();
    assert_eq!(first.out(), "1.0 ['--flag', 'x y']");
    assert!(first.stderr.contains("made environment tool-"), "{first}");
    let [env] = &names(&world)[..] else {
        panic!("{:?}", names(&world))
    };
    assert_eq!(operations(&world, env), 2);

    // Nothing is asked of an index again, and nothing said.
    let requests = world.index.hits().len();
    let again = world.blast(["run", "tool.py"]).success();
    assert_eq!((again.out(), again.stderr.as_str()), ("1.0 []", ""));
    assert_eq!(world.index.hits().len(), requests);

    // Another block makes another state of the same environment, with a history.
    let both = "dependencies = [\"one>=2\", \"two\"]";
    world.write("tool.py", script(both, SHOW));
    let changed = world.blast(["run", "tool.py"]).success();
    assert_eq!(changed.out(), "2.0 []");
    assert!(
        changed.stderr.contains("blast revert --env tool-"),
        "{changed}"
    );
    assert_eq!(operations(&world, env), 3);

    // What others do to it is not the script's.
    world.blast(["remove", "--env", env, "two"]).success();
    world.write("tool.py", script(both, "import two"));
    world.blast(["run", "tool.py"]).success();
    assert_eq!(names(&world).len(), 1);
}

#[test]
fn a_script_without_a_block_runs_in_the_environment_that_is_meant() {
    let Some(world) = world() else { return };
    world.start("demo");
    world.install("demo", &["one"]).success();
    world.write("plain.py", SHOW);
    let run = world.blast(["run", "--env", "demo", "plain.py", "a"]);
    assert_eq!(run.success().out(), "2.0 ['a']");
    // Who names an environment means it.
    world.write("tool.py", script("dependencies = [\"one<2\"]", SHOW));
    let run = world.blast(["run", "--env", "demo", "tool.py"]);
    assert_eq!(run.success().out(), "2.0 []");
    assert_eq!(names(&world), ["demo"]);
    world
        .blast(["run", "plain.py"])
        .exits(2)
        .says("no environment is active");
    world
        .blast(["run", "--env", "demo", "nosuch.py"])
        .exits(127)
        .says("there is no script of that name here");
    // No environment is needed to say so.
    world
        .blast(["run", "./nosuch.py"])
        .exits(127)
        .says("there is no script");
    world
        .blast(["run", "--script", "nosuch"])
        .exits(2)
        .says("there is no script");
}

#[test]
fn a_script_of_any_name_is_run_by_its_first_line() {
    let Some(world) = world() else { return };
    world.write("tool", script("dependencies = [\"one\"]", SHOW));
    let run = world.blast(["run", "--script", "./tool", "a"]);
    assert_eq!(run.success().out(), "2.0 ['a']");
    let run = world.blast(["run", "-s", "tool"]);
    assert_eq!(run.success().out(), "2.0 []");
}

#[test]
fn a_scripts_settings_are_its_own() {
    let Some(world) = world() else { return };
    // Those of the project here are not.
    world.write(
        "pyproject.toml",
        "[project]\nname = 'p'\n[tool.blast]\nconstraints = ['one<2']\n",
    );
    let local = |version: &str| SdistSpec::simple("local", "3").file("src/local.py", version);
    let place = local("version = '3'").write_to(&world.project().join("libs"));
    let folder = place.file_name().expect("a name").to_string_lossy();
    let needs = format!(
        "dependencies = [\"one\", \"local\"]\n[tool.blast.sources]\nlocal = {{ path = \"{folder}\" }}"
    );
    let body = "import local, one\nprint(one.version, local.version)\n";
    world.write("tool.py", script(&needs, body));
    let run = world.blast(["run", "tool.py"]).success();
    assert_eq!(run.out(), "2.0 3");
    // What is at that place may be another thing the next time.
    fs::write(place.join("src/local.py"), "version = 'another'").expect("written");
    let run = world.blast(["run", "tool.py"]).success();
    assert_eq!(run.out(), "2.0 another");
    world.write(
        "tool.py",
        script(
            "dependencies = [\"one\"]\n[tool.blast]\nconstraints = [\"one<2\"]",
            SHOW,
        ),
    );
    let run = world.blast(["run", "tool.py"]).success();
    assert_eq!(run.out(), "1.0 []");
}

#[test]
fn a_script_that_is_started_by_several_at_once_runs_for_all() {
    let Some(world) = world() else { return };
    world.write("tool.py", script("dependencies = [\"one\", \"two\"]", SHOW));
    let runs: Vec<_> = (0..6)
        .map(|_| world.blast_in_background(["run", "tool.py"]))
        .collect();
    for run in runs {
        assert_eq!(world.finish(run).success().out(), "2.0 []");
    }
    assert_eq!(names(&world).len(), 1);
}

#[test]
fn what_a_script_cannot_say_is_refused_by_name() {
    let Some(world) = world() else { return };
    for (needs, words) in [
        (
            "dependencies = [\"one==\"]",
            "`one==` in dependencies of tool.py is no requirement",
        ),
        (
            "dependencies = 1",
            "its block `# /// script` cannot be understood",
        ),
        ("dependencies = [\"nosuch\"]", "nosuch"),
        ("requires-python = \">=3.99\"", "3.99"),
        (
            "[tool.blast.sandbox]\nlevel = \"none\"",
            "cannot say how the script is confined",
        ),
        ("[tool.blast]\nexclude-never = 1", "`exclude-never`"),
    ] {
        world.write("tool.py", script(needs, "print('it ran')"));
        let run = world.blast(["run", "tool.py"]);
        assert!(run.code != 0 && run.out().is_empty(), "{run}");
        assert!(run.stderr.contains(words), "{run}");
    }
    world.write("tool.py", script("dependencies = []", "print('it ran')"));
    assert_eq!(world.blast(["run", "tool.py"]).success().out(), "it ran");
}
