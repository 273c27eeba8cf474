//! `blast add`, and `blast remove` in a project: file, lock and environment together.

use std::fs;
use std::path::{Path, PathBuf};

use blast_harness::{SdistSpec, WheelSpec};

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

/// A project beside or below ours, with a backend of its own; its folder.
fn neighbour(folder: &Path) -> PathBuf {
    let text = "[project]\nname = \"my-lib\"\nversion = \"1.0\"\n\
                [build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n";
    let sources = SdistSpec::simple("my-lib", "1.0");
    sources.file("pyproject.toml", text).write_to(folder)
}

#[test]
fn a_project_of_this_machine_is_named_by_its_path_and_by_its_name_for_others() {
    let Some(world) = world() else { return };
    let place = neighbour(&world.project().join("libs/mine"));
    let folder = place.file_name().expect("a name").to_string_lossy();
    world.blast(["lock"]).success();
    let path = format!("./libs/{folder}");
    let run = world.blast(["add", &path]).success();
    run.says("added `my-lib` to pyproject.toml, its dependencies");
    let listed = "\"demo<2\",  # not yet\n    \"my-lib\",\n";
    let text = PYPROJECT.replace("\"demo<2\",  # not yet\n", listed);
    let source = format!("my-lib = {{ path = \"libs/{folder}\" }}\n");
    let written = read(&world, "pyproject.toml");
    assert_eq!(written, format!("{text}\n[tool.blast.sources]\n{source}"));
    assert!(world.inside("my-app").contains_key("my-lib"));
    let lock = read(&world, "pylock.toml");
    assert!(
        lock.contains(&format!("path = \"libs/{folder}\"")),
        "{lock}"
    );
    let root = world.project().display().to_string();
    assert!(!lock.contains(&root), "{lock}");
    // All that follow the project's files know where it is; a folder is built anew whenever it is.
    for words in [vec!["sync"], vec!["sync", "--locked"]] {
        world.blast(words).success();
    }
    fs::remove_file(world.project().join("pylock.toml")).expect("there");
    world.blast(["sync"]).success();
    assert!(world.inside("my-app").contains_key("my-lib"));
    // A change of its sources counts at once only in editable form.
    let version = "import my_lib; print(my_lib.__version__)";
    let change = || {
        let module = place.join("src/my_lib.py");
        fs::write(module, "__version__ = 'changed'\n").expect("written");
    };
    change();
    assert_eq!(world.python_in("my-app", version).out(), "1.0");
    world.blast(["add", "-e", &path]).success();
    assert!(read(&world, "pyproject.toml").contains("editable = true"));
    assert_eq!(world.python_in("my-app", version).out(), "changed");
    // Named again, with a version perhaps, it stays from there.
    world.blast(["add", "my-lib>=1"]).success();
    let again = read(&world, "pyproject.toml");
    assert!(
        again.contains("\"my-lib>=1\"") && again.contains("editable = true"),
        "{again}"
    );
    assert_eq!(world.python_in("my-app", version).out(), "changed");
    world.blast(["remove", "my-lib"]).success();
    assert_eq!(read(&world, "pyproject.toml"), PYPROJECT);
    assert!(!world.inside("my-app").contains_key("my-lib"));
}

#[test]
fn a_place_that_is_gone_or_says_no_name_is_refused_by_name() {
    let Some(world) = world() else { return };
    let place = neighbour(&world.project().join("libs"));
    let path = place.display().to_string();
    world.blast(["add", &path]).success();
    fs::rename(&place, world.project().join("elsewhere")).expect("moved");
    let run = world.blast(["sync"]).exits(1);
    assert!(run.stderr.contains("takes `my-lib`"), "{run}");
    fs::create_dir(world.project().join("nothing")).expect("made");
    let before = read(&world, "pyproject.toml");
    let run = world.blast(["add", "./nothing"]);
    assert_ne!(run.code, 0, "{run}");
    assert!(run.stderr.contains("nothing"), "{run}");
    let run = world.blast(["add", "."]).exits(2);
    assert!(run.stderr.contains("itself"), "{run}");
    let run = world.blast(["add", "./missing"]).exits(2);
    assert!(run.stderr.contains("missing is not there"), "{run}");
    assert_eq!(read(&world, "pyproject.toml"), before);
}
