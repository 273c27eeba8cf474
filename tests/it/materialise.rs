//! `blast materialise`: environments that stand alone.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;

use blast_harness::{Run, WheelSpec};

use crate::world::{World, demo_wheels};

fn tool() -> WheelSpec {
    WheelSpec::simple("tool", "1.0")
        .file(
            "tool/cli.py",
            "import sys\ndef main():\n    print(sys.prefix)\n",
        )
        .file("tool/big.py", &"x = 1\n".repeat(4000))
        .entry_point("tool", "tool.cli:main")
}

fn materialise(world: &World, to: &Path, more: &[&str]) -> Run {
    let words = ["materialise", "--env", "demo", "--to"].map(OsStr::new);
    let more = more.iter().map(OsStr::new);
    world.blast(words.into_iter().chain([to.as_os_str()]).chain(more))
}

/// All names in the project folder.
fn names(world: &World) -> Vec<String> {
    let folder = fs::read_dir(world.project()).expect("the project is ours");
    let mut names: Vec<_> = folder
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn it_stands_alone() {
    let Some(world) = World::started([tool()]) else {
        return;
    };
    world.install("demo", &["tool"]).success();
    world.compiled();
    let run = world
        .blast(["materialise", "--env", "demo", "--to", "out"])
        .success();
    run.says("demo").says("out");
    world.blast(["kill", "--all"]).success();
    fs::remove_dir_all(world.blast_home()).expect("nothing is mounted");
    let out = world.project().join("out");
    let prefix = out.to_string_lossy();
    let run = world
        .run(world.command(out.join("bin/tool"), [""; 0]))
        .success();
    assert_eq!(run.out(), prefix);
    // Activating it asks for no blast, and `blast` would not take it for one of its own.
    let script =
        ". out/bin/activate && tool && echo \"$VIRTUAL_ENV ${BLAST_ENV-none}\" && deactivate";
    let run = world.run(world.command("bash", ["-euc", script])).success();
    assert_eq!(run.out(), format!("{prefix}\n{prefix} none"));
    assert!(run.stderr.is_empty(), "{run}");
    let scripts = ["activate", "activate.csh", "activate.fish", "activate.ps1"];
    for file in scripts
        .map(|name| out.join("bin").join(name))
        .iter()
        .chain([&out.join("pyvenv.cfg")])
    {
        let text = fs::read_to_string(file).expect("written");
        for word in ["view --env", "blast:", "BLAST_ENV"] {
            assert!(!text.contains(word), "{}: {word}", file.display());
        }
    }
    let code = "import importlib.metadata as m, pathlib\n\
                for file in m.distribution('tool').files:\n\
                \x20   assert file.locate().exists(), file\n\
                \x20   assert not file.size or file.locate().stat().st_size == file.size, file\n\
                import tool.big; print(tool.big.__cached__)";
    let python = out.join("bin/python");
    let run = world
        .run(world.command(&python, ["-B", "-c", code]))
        .success();
    assert!(Path::new(run.out()).exists(), "bytecode comes along: {run}");
    // It is the user's to change.
    let run = world.run(world.command(
        &python,
        ["-c", "import tool.big as b; open(b.__file__, 'a')"],
    ));
    run.success();
}

#[test]
fn an_older_state_can_be_had_too() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["demo==1.0"]).success();
    world.install("demo", &["demo==2.0"]).success();
    let version = |to: &str, more: &[&str]| {
        let to = world.project().join(to);
        materialise(&world, &to, more).success();
        let code = "import demo; print(demo.__version__)";
        let run = world.run(world.command(to.join("bin/python"), ["-c", code]));
        run.success().out().to_owned()
    };
    assert_eq!(version("new", &[]), "2.0");
    assert_eq!(version("old", &["--generation", "2"]), "1.0");
    assert_eq!(version("back", &["--generation", "@{-1}"]), "1.0");
    let run = materialise(&world, &world.project().join("x"), &["--generation", "99"]);
    run.exits(1).says("99").says("blast log");
    assert_eq!(names(&world), ["back", "new", "old"]);
}

#[test]
fn nothing_is_overwritten_and_nothing_left() {
    let Some(world) = World::started([tool()]) else {
        return;
    };
    world.write("full/mine.txt", "mine");
    world.write("file", "mine");
    symlink("full", world.project().join("link")).expect("ours");
    fs::create_dir(world.project().join("empty")).expect("ours");
    let before = names(&world);
    for (to, word) in [
        ("full", "not empty"),
        ("link", "not empty"),
        ("file", "no directory"),
        ("no/such/parent", "mkdir -p"),
    ] {
        materialise(&world, &world.project().join(to), &[])
            .exits(2)
            .says(word);
        assert_eq!(names(&world), before, "{to}");
    }
    let inside = world.blast_home().join("mine");
    materialise(&world, &inside, &[])
        .exits(2)
        .says("blast's own");
    assert!(!inside.exists());
    let json = materialise(&world, &world.project().join("empty"), &["--json"])
        .success()
        .json();
    assert_eq!(json["environment"], "demo");
    assert_eq!(
        json["path"],
        *world.project().join("empty").to_string_lossy()
    );
    assert!(json["files"].as_u64().expect("a count") > 4, "{json}");
    assert_eq!(names(&world), before);
    assert!(world.project().join("empty/bin/python").exists());
}

#[test]
fn user_hard_links_are_made_on_request_and_refused_elsewhere() {
    let Some(world) = World::unprivileged([tool()]) else {
        return;
    };
    world.start("demo");
    world.install("demo", &["tool"]).success();
    let home = fs::metadata(world.blast_home()).expect("it is there").dev();
    let to = world.project().join("linked");
    let json = materialise(&world, &to, &["--link", "--json"])
        .success()
        .json();
    assert!(json["hard_links"].as_u64().expect("a count") > 0, "{json}");
    let run = world
        .run(world.command(to.join("bin/tool"), [""; 0]))
        .success();
    assert_eq!(run.out(), to.to_string_lossy());
    let shm = Path::new("/dev/shm");
    if fs::metadata(shm).is_ok_and(|meta| meta.dev() != home && meta.mode() & 0o1002 == 0o1002) {
        let to = shm.join(format!("blast-test-{}", std::process::id()));
        let run = materialise(&world, &to, &["--link"]).exits(2);
        run.says("hard links").says("hint:");
        assert!(!to.exists());
    }
}

#[test]
fn root_gets_no_hard_links_even_on_request() {
    if !blast_harness::require(blast_harness::Means::Root) {
        return;
    }
    let Some(world) = World::started([]) else {
        return;
    };
    let run = materialise(&world, &world.project().join("x"), &["--link"]);
    run.exits(2).says("root").says("hint:");
    assert!(names(&world).is_empty());
}
