//! What an environment is while nothing is mounted: its programs mount it, its settings can be read.

use std::fs;
use std::path::{Path, PathBuf};

use blast_harness::{Means, Run, WheelSpec, require};

use crate::world::World;

/// A wheel with a console script, a script for Python and one for the shell.
fn tools(version: &str) -> WheelSpec {
    let code = format!("def main():\n    import sys\n    print('{version}', *sys.argv[1:])\n");
    WheelSpec::new("tools", version)
        .file("tools.py", &code)
        .entry_point("tool", "tools:main")
        .script("worded", "#!python\nimport tools\nprint('worded')\n")
        .script("shelled", "#!/bin/sh\necho shelled \"$@\"\n")
}

/// The same, and a console script that later versions lack.
fn first() -> WheelSpec {
    tools("1.0").entry_point("old-tool", "tools:main")
}

/// An environment with the first version, and a project's link to it.
fn linked(world: &World) -> PathBuf {
    world.install("demo", &["tools==1.0"]).success();
    let link = world.project().join(".venv");
    if fs::symlink_metadata(&link).is_err() {
        std::os::unix::fs::symlink(world.live().join("demo"), &link).expect("ours");
    }
    link
}

#[track_caller]
fn unmount(world: &World) {
    world.blast(["kill", "--all", "--force"]).success();
    assert!(world.mounts().is_empty());
}

fn run(world: &World, program: &Path, words: &[&str]) -> Run {
    world.run(world.command(program, words.iter().copied()))
}

#[test]
fn every_program_of_an_environment_mounts_it_and_goes_on() {
    let Some(world) = World::mounted([first()]) else {
        return;
    };
    let bin = linked(&world).join("bin");
    for (name, said) in [
        ("tool", "1.0 a b"),
        ("old-tool", "1.0 a b"),
        ("worded", "worded"),
        ("shelled", "shelled a b"),
    ] {
        unmount(&world);
        let run = run(&world, &bin.join(name), &["a", "b"]);
        assert_eq!(run.success().out(), said, "{name}");
        assert!(!world.mounts().is_empty(), "{name}");
    }
    // By its name alone, and by a link that somebody made.
    unmount(&world);
    let mut command = world.command("sh", ["-c", "PATH=\"$1:$PATH\"; tool by name", "sh"]);
    command.arg(&bin);
    assert_eq!(world.run(command).success().out(), "1.0 by name");
    unmount(&world);
    let mine = world.project().join("mine");
    std::os::unix::fs::symlink(bin.join("tool"), &mine).expect("ours");
    assert_eq!(run(&world, &mine, &["link"]).success().out(), "1.0 link");
}

#[test]
fn programs_come_and_go_with_the_environment() {
    let Some(world) = World::mounted([first(), tools("2.0")]) else {
        return;
    };
    let bin = linked(&world).join("bin");
    world.install("demo", &["tools==2.0"]).success();
    unmount(&world);
    assert!(fs::symlink_metadata(bin.join("old-tool")).is_err());
    assert_eq!(run(&world, &bin.join("tool"), &[]).success().out(), "2.0");
    world.change("revert", "demo", &[]).success();
    unmount(&world);
    let old = run(&world, &bin.join("old-tool"), &["again"]);
    assert_eq!(old.success().out(), "1.0 again");
    world.change("remove", "demo", &["tools"]).success();
    unmount(&world);
    for name in ["tool", "old-tool", "worded", "shelled"] {
        assert!(fs::symlink_metadata(bin.join(name)).is_err(), "{name}");
    }
    run(&world, &bin.join("python"), &["-c", "pass"]).success();
}

#[test]
fn settings_are_read_without_mounting() {
    let Some(world) = World::mounted([first()]) else {
        return;
    };
    let link = linked(&world);
    world.show("demo");
    let shown = fs::read_to_string(link.join("pyvenv.cfg")).expect("shown");
    unmount(&world);
    let there = fs::read_to_string(link.join("pyvenv.cfg")).expect("on disk");
    assert_eq!(there, shown);
    assert!(there.contains("home = ") && there.contains("version = "));
    assert!(world.mounts().is_empty(), "reading mounts nothing");
}

#[test]
fn user_programs_mount_their_environment() {
    if !require(Means::Mount) {
        return;
    }
    let Some(world) = World::unprivileged([first()]) else {
        return;
    };
    world.start("demo");
    world.install("demo", &["tools==1.0"]).success();
    let bin = world.live().join("demo/bin");
    for (name, said) in [("tool", "1.0 x"), ("shelled", "shelled x")] {
        unmount(&world);
        assert_eq!(run(&world, &bin.join(name), &["x"]).success().out(), said);
    }
}

#[test]
fn programs_show_plain_files_again() {
    let world = World::plain([first()]);
    let bin = linked(&world).join("bin");
    world.blast(["kill", "demo"]).success();
    let meta = fs::symlink_metadata(world.live().join("demo")).expect("the skeleton");
    assert!(meta.is_dir());
    assert_eq!(
        run(&world, &bin.join("tool"), &["x"]).success().out(),
        "1.0 x"
    );
}
