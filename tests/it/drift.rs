//! What programs write into environments that are plain files, by path and looked after by nobody: the next
//! command makes an operation of it, or takes it back.

use std::fs;
use std::path::{Path, PathBuf};

use blast_harness::{Fault, Run, WheelSpec};

use crate::files::eventually;
use crate::world::{World, demo_wheels, packages};

fn site(world: &World) -> PathBuf {
    let status = world
        .blast(["status", "--env", "demo", "--json"])
        .success()
        .json();
    let site = &status["environment"]["site_packages"];
    site.as_str().expect("a path").into()
}

/// A program that nobody asked blast for.
fn run(world: &World, program: &str, words: &[&str]) -> Run {
    world.run(world.command(program, words))
}

fn edit(world: &World, file: &Path, script: &str) {
    run(world, "sed", &["-i", script, &file.to_string_lossy()]).success();
}

fn drift(world: &World) -> Vec<String> {
    let check = world.blast(["check", "--json"]).success().json();
    let drift = check["drift"].as_array().expect("a list");
    let text = |one: &serde_json::Value| one["message"].as_str().expect("a text").to_owned();
    drift.iter().map(text).collect()
}

fn newest(world: &World) -> serde_json::Value {
    let log = world.blast(["log", "--env", "demo", "--json"]).success();
    log.json()["operations"][0].clone()
}

const VERSION: &str = "import demo; print(demo.__version__)";

fn an_edit_becomes_an_operation(world: &World) {
    world.install("demo", &["demo==1.0"]).success();
    world.show("demo");
    let module = site(world).join("demo/__init__.py");
    edit(world, &module, "s/1\\.0/edited/");
    let found = drift(world);
    assert!(
        found.len() == 1
            && found[0].contains("not in the history")
            && found[0].contains("demo/__init__.py"),
        "{found:?}"
    );
    world
        .blast(["list", "--env", "demo"])
        .success()
        .prints("captured writes")
        .says("blast revert");
    let operation = newest(world);
    assert_eq!(operation["kind"], "capture", "{operation:#}");
    assert_eq!(
        operation["command"],
        serde_json::json!([]),
        "nobody knows it"
    );
    world
        .blast(["log", "--env", "demo"])
        .success()
        .prints("written by programs");
    let found = drift(world);
    assert!(
        found.len() == 1 && found[0].contains("files that programs changed"),
        "{found:?}"
    );
    assert_eq!(world.python_in("demo", VERSION).success().out(), "edited");
    let count = world.history_length("demo");
    world.blast(["list", "--env", "demo"]).success();
    assert_eq!(world.history_length("demo"), count, "once is enough");
    world.change("revert", "demo", &[]).success();
    assert_eq!(world.python_in("demo", VERSION).success().out(), "1.0");
    assert_eq!(drift(world), [""; 0]);
    world.change("redo", "demo", &[]).success();
    assert_eq!(world.python_in("demo", VERSION).success().out(), "edited");
    world.blast(["check", "--deep"]).success();
}

#[test]
fn an_edit_by_path_becomes_an_operation_and_one_revert_undoes_it() {
    an_edit_becomes_an_operation(&World::plain(demo_wheels()));
}

#[test]
fn user_edits_by_path_become_operations() {
    if let Some(world) = World::plain_unprivileged(demo_wheels()) {
        an_edit_becomes_an_operation(&world);
    }
}

#[test]
fn what_the_real_pip_writes_by_path_is_a_package() {
    let scripted = WheelSpec::simple("scripted", "1.0")
        .file("scripted/cli.py", "def main():\n    print('ran')\n")
        .entry_point("scripted-tool", "scripted.cli:main");
    let mut world = World::plain(demo_wheels().into_iter().chain([scripted.clone()]));
    world.install("demo", &["helper==1.0"]).success();
    world.show("demo");
    let wheel = scripted.write_to(&world.wheels());
    let venv = world.project().join("venv");
    let python = world.python().executable.clone();
    let words = ["-m".as_ref(), "venv".as_ref(), venv.as_os_str()];
    world.run(world.command(&python, words)).success();
    // Without a sandbox, where what is written would be private.
    world.sandbox.set("BLAST_SANDBOX", "none");
    let pip = |words: &[&str]| {
        let env = world.live().join("demo/bin/python");
        let env = env.to_string_lossy();
        let first = ["-m", "pip", "--python", &env, "--disable-pip-version-check"];
        let all: Vec<&str> = first.iter().chain(words).copied().collect();
        let program = venv.join("bin/python").to_string_lossy().into_owned();
        run(&world, &program, &all).success()
    };
    let wheel = wheel.to_string_lossy().into_owned();
    pip(&["install", "--no-index", "--no-deps", &wheel]);
    // It is there at once, and known and kept from the next command on.
    world.install("demo", &["demo==1.0"]).success();
    let list = world.blast(["list", "--env", "demo", "--json"]).success();
    assert_eq!(list.json()["packages"][2]["name"], "scripted", "{list}");
    assert_eq!(list.json()["packages"][2]["captured"], true, "{list}");
    let all = [("demo", "1.0"), ("helper", "1.0"), ("scripted", "1.0")];
    assert_eq!(world.inside("demo"), packages(all));
    let ran = world.blast(["run", "--env", "demo", "--", "scripted-tool"]);
    assert_eq!(ran.success().out(), "ran");
    pip(&["uninstall", "-y", "scripted"]);
    world.blast(["list", "--env", "demo"]).success();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "1.0"), ("helper", "1.0")])
    );
    for _ in 0..3 {
        world.change("revert", "demo", &[]).success();
    }
    assert_eq!(world.inside("demo"), packages([("helper", "1.0")]));
    world.blast(["check", "--deep"]).success();
}

#[test]
fn files_of_nobody_are_kept_too_and_what_is_removed_is_gone() {
    let world = World::plain(demo_wheels());
    world.install("demo", &["demo==1.0"]).success();
    world.show("demo");
    let site = site(&world);
    // As `setup.py develop` does.
    fs::write(site.join("mine.egg-link"), "/nowhere").expect("written");
    fs::write(site.join("easy-install.pth"), "/nowhere").expect("written");
    fs::remove_file(site.join("helper/__init__.py")).expect("removed");
    world.change("update", "demo", &[]).success();
    assert_eq!(
        newest(&world)["kind"],
        "capture",
        "an update had nothing else to do"
    );
    assert!(site.join("mine.egg-link").exists() && site.join("easy-install.pth").exists());
    assert!(!site.join("helper/__init__.py").exists());
    world.change("revert", "demo", &[]).success();
    assert!(!site.join("mine.egg-link").exists());
    assert!(site.join("helper/__init__.py").exists());
}

#[test]
fn writes_that_are_not_wanted_are_taken_back() {
    for writes in ["discard", "deny"] {
        let mut world = World::plain(demo_wheels());
        world.sandbox.set("BLAST_WRITES", writes);
        world.install("demo", &["demo==1.0"]).success();
        world.show("demo");
        let module = site(&world).join("demo/__init__.py");
        let (count, before) = (
            world.history_length("demo"),
            fs::read(&module).expect("there"),
        );
        edit(&world, &module, "s/1\\.0/edited/");
        fs::write(module.with_file_name("new.py"), "").expect("written");
        let listed = world.blast(["list", "--env", "demo"]).success();
        listed.says("2 of its files is taken back");
        assert_eq!(fs::read(&module).expect("there"), before);
        assert!(!module.with_file_name("new.py").exists());
        assert_eq!(world.history_length("demo"), count);
        assert_eq!(drift(&world), [""; 0]);
    }
}

#[test]
fn nothing_is_lost_when_a_view_takes_the_place_of_files() {
    let Some(mut world) = World::mounted(demo_wheels()) else {
        return;
    };
    world.sandbox.set("BLAST_VIEW", "files");
    world.install("demo", &["demo==1.0"]).success();
    world.show("demo");
    edit(
        &world,
        &site(&world).join("demo/__init__.py"),
        "s/1\\.0/edited/",
    );
    world.sandbox.set("BLAST_VIEW", "fuse");
    world.show("demo");
    assert_eq!(world.python_in("demo", VERSION).success().out(), "edited");
    assert_eq!(newest(&world)["kind"], "capture");
    world.change("revert", "demo", &[]).success();
    assert_eq!(world.python_in("demo", VERSION).success().out(), "1.0");
}

#[test]
fn what_cannot_be_taken_stops_the_change_that_would_replace_it() {
    let mut world = World::plain(demo_wheels());
    world.install("demo", &["demo==1.0"]).success();
    world.show("demo");
    let metadata = site(&world).join("broken-1.dist-info");
    fs::create_dir(&metadata).expect("made");
    fs::write(metadata.join("METADATA"), "nothing that is metadata").expect("written");
    fs::write(metadata.join("RECORD"), "").expect("written");
    let install = || world.install("demo", &["demo==2.0"]);
    install().exits(2).says("broken-1.dist-info");
    world
        .blast(["list", "--env", "demo"])
        .success()
        .says("cannot be taken");
    assert!(metadata.join("METADATA").exists());
    world.sandbox.set("BLAST_WRITES", "discard");
    world.install("demo", &["demo==2.0"]).success();
    assert!(!metadata.exists());
}

#[test]
fn what_is_written_while_a_change_is_made_is_kept_aside() {
    let late = WheelSpec::simple("late", "1.0");
    let world = World::plain(demo_wheels().into_iter().chain([late.clone()]));
    world.install("demo", &["demo==1.0"]).success();
    world.show("demo");
    let module = site(&world).join("demo/__init__.py");
    let file = late.filename();
    world.index.fault(&format!("/files/{file}"), Fault::Held, 1);
    let waiting = world.blast_in_background(["install", "--env", "demo", "late"]);
    eventually("the wheel is asked for", || {
        let hits = world.index.hits();
        hits.iter().any(|hit| hit.path.contains(&file))
    });
    edit(&world, &module, "s/1\\.0/edited/");
    world.index.heal();
    world.finish(waiting).success();
    assert_eq!(world.python_in("demo", VERSION).success().out(), "1.0");
    let areas = world.blast_home().join("upper/demo");
    let kept: Vec<_> = fs::read_dir(&areas)
        .expect("made")
        .map(|entry| entry.expect("an entry").path().join("tree"))
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    let below = module
        .strip_prefix(world.live().join("demo"))
        .expect("in it");
    let text = fs::read_to_string(kept[0].join(below)).expect("kept");
    assert!(text.contains("edited"), "{text}");
    // The state before is found as it was.
    world.change("revert", "demo", &[]).success();
    assert_eq!(world.python_in("demo", VERSION).success().out(), "1.0");
    // What nobody wants any more is no reason to keep anything.
    edit(&world, &module, "s/1\\.0/edited/");
    world.blast(["envs", "remove", "demo"]).success();
    assert_eq!(fs::read_dir(&areas).map_or(1, Iterator::count), 1);
    world.blast(["check", "--deep"]).success();
}
