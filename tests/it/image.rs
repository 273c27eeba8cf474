//! `blast image`: environments carried from one home to another.

use std::fs;
use std::path::{Path, PathBuf};

use blast_harness::{Means, Release, Run, SdistSpec, WheelSpec, require};

use nix::mount::{MsFlags, mount};

use crate::host::{SmallDisk, noise};
use crate::world::{World, demo_wheels, packages};

/// Wheels with all that a package can bring: modules, blobs, scripts of both kinds, data.
fn rich_wheels() -> Vec<WheelSpec> {
    let big = "x = 1  # padding\n".repeat(1500);
    vec![
        WheelSpec::simple("demo", "1.0")
            .requires("helper")
            .file("demo/cli.py", "def main():\n    print('hello')\n")
            .file("demo/big.py", &big)
            .entry_point("hello", "demo.cli:main")
            .script(
                "by-hand",
                "#!python\nimport demo; print(demo.__version__)\n",
            )
            .data("share/demo.txt", "data"),
        WheelSpec::simple("helper", "1.0").file("helper/same.py", &big),
    ]
}

/// A home without an index: what it gets, it gets from images.
fn elsewhere() -> Option<World> {
    let mut world = World::with([])?;
    world.sandbox.set("PIP_NO_INDEX", "1");
    Some(world)
}

impl World {
    fn image(&self, words: &[&str]) -> Run {
        self.blast(["--color", "never", "image"].iter().chain(words))
    }

    /// Builds an image of an environment in this world's project folder.
    #[track_caller]
    fn built(&self, env: &str, name: &str, more: &[&str]) -> PathBuf {
        let words = [&["build", env, "-o", name], more].concat();
        self.image(&words).success();
        self.project().join(name)
    }

    /// Takes a file of another world.
    fn take(&self, file: &Path) -> String {
        let name = file.file_name().and_then(|name| name.to_str());
        let name = format!("project/{}", name.expect("a name"));
        let taken = self.write(&name, fs::read(file).expect("the file is there"));
        taken.display().to_string()
    }

    #[track_caller]
    fn operations(&self, env: &str) -> Vec<String> {
        let log = self.change("log", env, &["--json"]).success().json();
        let operations = log["operations"].as_array().expect("a list").iter();
        let kind = |operation: &serde_json::Value| operation["kind"].as_str().map(Into::into);
        operations.filter_map(kind).collect()
    }

    #[track_caller]
    fn assert_nothing_came(&self) {
        self.blast(["check", "--deep"]).success();
        let json = self.blast(["envs", "--json"]).success().json();
        assert_eq!(json["environments"].as_array().map(Vec::len), Some(0));
        for kind in ["blobs", "packs", "layers", "generations", "staging"] {
            let folder = self.blast_home().join("store").join(kind);
            let shards = fs::read_dir(&folder).expect("the store is there");
            let left: usize = shards
                .map(|shard| {
                    fs::read_dir(shard.expect("an entry").path()).map_or(1, Iterator::count)
                })
                .sum();
            assert_eq!(left, 0, "{kind}");
        }
    }
}

#[test]
fn an_environment_is_the_same_in_another_home_without_an_index() {
    let (Some(here), Some(there)) = (World::started(rich_wheels()), elsewhere()) else {
        return;
    };
    here.install("demo", &["demo"]).success();
    let file = there.take(&here.built("demo", "demo.blast", &[]));
    let run = there.image(&["load", &file]).success();
    assert!(
        run.stderr.contains("into the new environment demo"),
        "{run}"
    );
    assert_eq!(there.inside("demo"), here.inside("demo"));
    let bin = there.live().join("demo/bin");
    let hello = there
        .run(there.command(bin.join("hello"), [""; 0]))
        .success();
    assert_eq!(hello.out(), "hello");
    let by_hand = there
        .run(there.command(bin.join("by-hand"), [""; 0]))
        .success();
    assert_eq!(by_hand.out(), "1.0");
    there
        .python_in(
            "demo",
            "import sys, os, demo.big; assert open(sys.prefix + '/share/demo.txt').read() == 'data'",
        )
        .success();
    there.blast(["check", "--deep"]).success();
    assert_eq!(there.operations("demo"), ["load-image", "create"]);
    there.change("revert", "demo", &[]).success();
    assert_eq!(there.inside("demo"), packages([]));
    there.change("redo", "demo", &[]).success();
    assert_eq!(there.inside("demo"), here.inside("demo"));
}

#[test]
fn the_same_state_gives_the_same_file() {
    let (Some(here), Some(there)) = (World::started(rich_wheels()), elsewhere()) else {
        return;
    };
    here.install("demo", &["demo"]).success();
    let first = here.built("demo", "first.blast", &[]);
    let second = here.built("demo", "second.blast", &[]);
    let bytes = fs::read(&first).expect("built");
    assert!(bytes == fs::read(second).expect("built"));
    // A home that has it from the image writes it again.
    there.image(&["load", &there.take(&first)]).success();
    let third = there.built("demo", "third.blast", &[]);
    assert!(bytes == fs::read(third).expect("built"));
}

#[test]
fn loading_into_an_environment_is_one_operation() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["demo==1.0"]).success();
    let file = world.built("demo", "one.blast", &[]).display().to_string();
    world.install("demo", &["demo==2.0"]).success();
    let before = world.operations("demo").len();
    insta::assert_snapshot!(world.image(&["load", &file, "--env", "demo", "--dry-run"]).stdout, @"
     ~ demo 2.0 -> 1.0
     ~ helper 2.0 -> 1.0
    ");
    assert_eq!(world.operations("demo").len(), before);
    world.image(&["load", &file, "--env", "demo"]).success();
    assert_eq!(world.operations("demo").len(), before + 1);
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "1.0"), ("helper", "1.0")])
    );
    let again = world.image(&["load", &file]).success();
    assert!(again.stderr.contains("nothing to do"), "{again}");
    world.change("revert", "demo", &[]).success();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "2.0"), ("helper", "2.0")])
    );
}

#[test]
fn what_came_from_an_image_can_be_changed_like_anything_else() {
    let (Some(here), Some(there)) = (World::started(demo_wheels()), World::with(demo_wheels()))
    else {
        return;
    };
    here.install("demo", &["demo==1.0"]).success();
    let file = there.take(&here.built("demo", "demo.blast", &[]));
    there.image(&["load", &file, "--env", "mine"]).success();
    there.change("list", "mine", &[]).success();
    there.blast(["why", "--env", "mine", "helper"]).success();
    there.blast(["tree", "--env", "mine"]).success();
    there.install("mine", &["demo==2.0"]).success();
    assert_eq!(
        there.inside("mine"),
        packages([("demo", "2.0"), ("helper", "2.0")])
    );
    there.change("revert", "mine", &[]).success();
    there.change("remove", "mine", &["demo"]).success();
    assert_eq!(there.inside("mine"), packages([]));
}

/// What an image says that a wheel became must not reach environments that install the wheel.
#[test]
fn an_image_says_nothing_to_other_environments() {
    let honest = WheelSpec::simple("demo", "1.0");
    let (Some(here), Some(there)) = (World::started([honest.clone()]), World::with([honest]))
    else {
        return;
    };
    here.install("demo", &["demo"]).success();
    let file = there.take(&here.built("demo", "demo.blast", &[]));
    there.image(&["load", &file]).success();
    let downloads = || {
        let hits = there.index.hits();
        let wheels = hits
            .iter()
            .filter(|hit| hit.method == "GET" && hit.path.contains(".whl"));
        wheels.filter(|hit| !hit.path.contains(".metadata")).count()
    };
    let before = downloads();
    there.start("other");
    there.install("other", &["demo"]).success();
    assert_eq!(downloads(), before + 1, "the wheel itself was asked for");
    // The environment of the image goes on with what it has.
    there.install("demo", &["demo==1.0"]).success();
    assert_eq!(downloads(), before + 1);
}

#[test]
fn a_delta_holds_what_differs_and_needs_the_rest() {
    let wheels = || {
        let mut wheels = rich_wheels();
        wheels.push(WheelSpec::simple("more", "1.0"));
        wheels
    };
    let (Some(here), Some(there)) = (World::started(wheels()), elsewhere()) else {
        return;
    };
    here.install("demo", &["demo"]).success();
    let base = here.built("demo", "base.blast", &[]);
    here.start("two");
    here.install("two", &["demo", "more"]).success();
    let whole = here.built("two", "whole.blast", &[]);
    let delta = here.built("two", "delta.blast", &["--base", "demo"]);
    let of_image = here.built("two", "delta2.blast", &["--base", "./base.blast"]);
    let size = |path: &Path| fs::metadata(path).expect("built").len();
    assert!(size(&delta) < size(&whole));
    assert_eq!(size(&of_image) / 4096, size(&delta) / 4096);
    let json = here
        .image(&["inspect", "delta2.blast", "--json"])
        .success()
        .json();
    assert_eq!(json["base"], "demo");
    assert_eq!(json["packages"][0]["packed_bytes"], serde_json::Value::Null);

    let delta = there.take(&of_image);
    let refused = there.image(&["load", &delta]).exits(1);
    refused
        .says("demo==1.0")
        .says("load the image or environment");
    there.assert_nothing_came();
    there.image(&["load", &there.take(&base)]).success();
    there.image(&["load", &delta]).success();
    assert_eq!(there.inside("two"), here.inside("two"));
    there.blast(["check", "--deep"]).success();
}

#[test]
fn an_image_is_shown_without_being_loaded() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["demo==1.0"]).success();
    world.built("demo", "demo.blast", &[]);
    let json = world
        .image(&["inspect", "demo.blast", "--json"])
        .success()
        .json();
    assert_eq!(json["environment"], "demo");
    assert_eq!(json["requirements"][0], "demo==1.0");
    assert_eq!(json["packages"][1]["name"], "helper");
    let shown = world.image(&["inspect", "demo.blast"]).success();
    assert!(shown.stdout.contains("helper"), "{shown}");
    world
        .image(&["verify", "demo.blast"])
        .success()
        .says("is whole");
    // The lock in it is one that other environments can follow.
    let lock = world.image(&["inspect", "demo.blast", "--lock"]).success();
    let path = world.write("project/pylock.demo.toml", &lock.stdout);
    world.start("locked");
    let path = path.display().to_string();
    world.change("sync", "locked", &[&path]).success();
    assert_eq!(world.inside("locked"), world.inside("demo"));
}

#[test]
fn another_interpreter_is_refused_with_what_is_needed() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    let minor = world.python().minor().to_owned();
    let others = blast_harness::HostPython::all();
    let Some(other) = others.iter().find(|python| python.minor() != minor) else {
        world.note("skipped: there is one Python only");
        return;
    };
    world.install("demo", &["demo"]).success();
    world.built("demo", "demo.blast", &[]);
    let python = other.executable.display().to_string();
    world
        .blast(["start", "old", "--python", &python, "--shell", "bash"])
        .success();
    let run = world
        .image(&["load", "demo.blast", "--env", "old"])
        .exits(1);
    run.says(&format!("needs CPython {minor} on Linux"))
        .says("old has CPython");
    assert_eq!(world.operations("old"), ["create"]);
}

#[test]
fn editable_packages_are_refused_by_name() {
    let Some(world) = World::started([]) else {
        return;
    };
    SdistSpec::simple("mine", "1.0").write_to(&world.project().join("tree"));
    world.install("demo", &["-e", "./tree"]).success();
    let refused = world.image(&["build", "demo"]).exits(1);
    refused.says("editable packages cannot be part of an image: mine");
    assert!(!world.project().join("demo.blast").exists());
}

#[test]
fn what_was_built_from_sources_is_carried() {
    let (Some(here), Some(there)) = (World::started([]), elsewhere()) else {
        return;
    };
    here.index
        .publish(Release::sdist(&SdistSpec::simple("made", "1.0")));
    here.install("demo", &["made"]).success();
    let sdist = SdistSpec::simple("local", "2.0").write_to(&here.wheels());
    here.install("demo", &[&sdist.display().to_string()])
        .success();
    let built = here.image(&["build", "demo"]).success();
    built.says("local==2.0 is in the image as it is installed");
    let file = there.take(&here.project().join("demo.blast"));
    there.image(&["load", &file]).success();
    assert_eq!(
        there.inside("demo"),
        packages([("local", "2.0"), ("made", "1.0")])
    );
    there.change("remove", "demo", &["local"]).success();
    assert_eq!(there.inside("demo"), packages([("made", "1.0")]));
}

#[test]
fn a_damaged_image_is_refused_whole() {
    let (Some(here), Some(there)) = (World::started(rich_wheels()), elsewhere()) else {
        return;
    };
    here.install("demo", &["demo"]).success();
    let bytes = fs::read(here.built("demo", "demo.blast", &[])).expect("built");
    let tries: Vec<(&str, Vec<u8>)> = vec![
        ("cut", bytes[..bytes.len() / 2].to_vec()),
        ("empty", Vec::new()),
        ("text", b"not an image\n".to_vec()),
        ("flipped", {
            let mut bytes = bytes.clone();
            bytes[2000] ^= 1;
            bytes
        }),
    ];
    for (name, bytes) in tries {
        let file = there.write(&format!("project/{name}.blast"), bytes);
        let file = file.display().to_string();
        there.image(&["load", &file]).exits(1).says(name);
        there.image(&["verify", &file]).exits(1);
    }
    there.image(&["load", "not-there.blast"]).exits(2);
    there.image(&["load", "."]).exits(1);
    there.assert_nothing_came();
}

#[test]
fn many_loads_at_once_all_count() {
    let (Some(here), Some(there)) = (World::started(rich_wheels()), elsewhere()) else {
        return;
    };
    here.install("demo", &["demo"]).success();
    let file = there.take(&here.built("demo", "demo.blast", &[]));
    let names = ["a", "b", "c", "a"];
    let all = names.map(|name| there.blast_in_background(["image", "load", &file, "--env", name]));
    for running in all {
        there.finish(running).success();
    }
    for name in ["a", "b", "c"] {
        assert_eq!(there.inside(name), here.inside("demo"));
        assert_eq!(there.operations(name), ["load-image", "create"]);
    }
    there.blast(["check", "--deep"]).success();
}

#[test]
fn a_daemon_that_dies_while_loading_leaves_the_old_state() {
    let (Some(here), Some(there)) = (World::started(rich_wheels()), World::started([])) else {
        return;
    };
    here.install("demo", &["demo"]).success();
    let file = there.take(&here.built("demo", "demo.blast", &[]));
    for round in 0..6 {
        there.blast(["envs"]).success();
        let running = there.blast_in_background(["image", "load", &file, "--env", "demo"]);
        std::thread::sleep(std::time::Duration::from_millis(round * 7));
        there.crash_daemon();
        there.finish(running);
        let inside = there.inside("demo");
        assert!(
            inside.is_empty() || inside == here.inside("demo"),
            "{inside:?}"
        );
        there.blast(["check", "--deep"]).success();
        if !inside.is_empty() {
            there.change("revert", "demo", &[]).success();
        }
    }
    there.image(&["load", &file, "--env", "demo"]).success();
    assert_eq!(there.inside("demo"), here.inside("demo"));
}

#[test]
fn images_serve_environments_of_plain_files() {
    let here = World::plain(rich_wheels());
    here.install("demo", &["demo"]).success();
    let file = here.built("demo", "demo.blast", &[]).display().to_string();
    here.image(&["load", &file, "--env", "copy"]).success();
    assert_eq!(here.inside("copy"), here.inside("demo"));
}

#[test]
fn user_images_are_built_and_loaded() {
    let Some(world) = World::unprivileged(demo_wheels()) else {
        return;
    };
    world.start("demo");
    world.install("demo", &["demo==1.0"]).success();
    world.image(&["build", "demo"]).success();
    world
        .image(&["load", "demo.blast", "--env", "copy"])
        .success();
    assert_eq!(world.inside("copy"), world.inside("demo"));
}

#[test]
fn root_image_that_does_not_fit_is_told_and_undone() {
    if !require(Means::Root) {
        return;
    }
    let wheels = [WheelSpec::simple("huge", "1.0").file("huge/data.txt", &noise(24 << 20))];
    let Some(here) = World::started(wheels) else {
        return;
    };
    here.install("demo", &["huge"]).success();
    let file = here.built("demo", "huge.blast", &[]).display().to_string();
    // Outside the sandbox, which counts the mounts that it leaves.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let disk = folder.path().to_owned();
    let options = Some("size=16m");
    mount(
        Some("none"),
        &disk,
        Some("tmpfs"),
        MsFlags::empty(),
        options,
    )
    .expect("root may mount");
    let _unmounted = SmallDisk(&disk);
    let Some(there) = World::with([]) else { return };
    let there = World {
        sandbox: there.sandbox.with("BLAST_HOME", disk.join("home")),
        index: there.index,
    };
    there.start("demo");
    let run = there.image(&["load", &file, "--env", "demo"]).exits(2);
    run.says("the store's disk has").says("blast clean");
    assert_eq!(there.inside("demo"), packages([]));
    there.blast(["check", "--deep"]).success();
    let staged = fs::read_dir(disk.join("home/store/staging")).map_or(0, Iterator::count);
    assert_eq!(staged, 0, "what did not fit is gone");
    let to = disk.join("out.blast").display().to_string();
    here.image(&["build", "demo", "-o", &to]).exits(2);
    let left = fs::read_dir(&disk).expect("the disk is there").count();
    assert_eq!(left, 1, "half an image is none");
    there.blast(["kill", "--all"]).success();
}
