//! `blast kill`.

use std::time::Duration;

use crate::world::{World, sandbox};

#[test]
fn killing_all_leaves_no_process_and_no_mount() {
    let Some(world) = World::mounted([]) else {
        return;
    };
    world.show("demo");
    assert!(world.daemon().is_some());
    assert!(!world.mounts().is_empty());
    insta::assert_snapshot!(world.blast(["kill", "--all"]), @"
    exit status: 0
    --- stderr
    the daemon has ended; nothing of blast is running or mounted
    ");
    for _ in 0..500 {
        if world.daemon().is_none() && world.mounts().is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(world.daemon(), None);
    assert!(world.mounts().is_empty());
    let run = world.root().join("run/blast");
    assert!(
        !run.join("daemon.pid").exists(),
        "the pid file goes with its process"
    );
    assert!(!run.join("daemon.sock").exists(), "so does the socket");
}

#[test]
fn killing_when_nothing_runs_starts_nothing() {
    let Some(sandbox) = sandbox() else { return };
    insta::assert_snapshot!(sandbox.blast(["kill", "--all"]), @"
    exit status: 0
    --- stderr
    nothing to end: the daemon is not running
    ");
    insta::assert_snapshot!(sandbox.blast(["kill", "demo"]), @"
    exit status: 0
    --- stderr
    nothing is shown: the daemon is not running
    ");
    assert_eq!(sandbox.daemon(), None);
}

#[test]
fn the_next_command_shows_everything_again() {
    let Some(world) = World::started([]) else {
        return;
    };
    world.blast(["kill", "--all"]).success();
    world.python_in("demo", "pass").success();
}

#[test]
fn one_environment_can_be_hidden_and_comes_back_on_use() {
    let Some(world) = World::started([]) else {
        return;
    };
    world.start("other");
    world.blast(["kill", "demo"]).success();
    assert!(world.live().join("other/bin/python").exists());
    world.python_in("demo", "pass").success();
}

#[test]
fn a_program_inside_is_not_pulled_from_under_itself() {
    let Some(world) = World::started([]) else {
        return;
    };
    let code = "import sys, time; sys.stdout.write('up'); sys.stdout.flush(); time.sleep(60)";
    let mut program =
        world.blast_in_background(["run", "--env", "demo", "--", "python", "-c", code]);
    let executable = format!("/proc/{}/cmdline", program.pid());
    for _ in 0..1000 {
        if std::fs::read_to_string(&executable).is_ok_and(|line| line.starts_with("python")) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    world.blast(["kill", "--all", "--force"]).success();
    assert!(
        program.is_running(),
        "the view is detached lazily, the program lives on"
    );
    program.kill();
}

#[test]
fn a_dry_run_says_what_would_end_and_ends_nothing() {
    let Some(world) = World::started([]) else {
        return;
    };
    world.show("demo");
    let daemon = world.daemon();
    let mounts = world.mounts();
    let run = world.blast(["kill", "demo", "--dry-run"]).success();
    assert_eq!(run.out(), "would stop showing environment demo");
    let run = world.blast(["kill", "--all", "--dry-run"]).success();
    run.prints("would end the daemon");
    world
        .blast(["kill", "ghost", "--dry-run"])
        .exits(2)
        .says("ghost");
    assert_eq!(world.daemon(), daemon);
    assert_eq!(world.mounts(), mounts);
}

#[test]
fn settings_that_cannot_be_read_do_not_keep_a_daemon_alive() {
    let Some(world) = World::started([]) else {
        return;
    };
    let config = world.root().join("config/blast/config.toml");
    std::fs::create_dir_all(config.parent().expect("has one")).expect("made");
    std::fs::write(&config, "vieww = 1\n").expect("written");
    world.blast(["list", "--env", "demo"]).exits(2);
    let run = world.blast(["kill", "--all", "--force"]).success();
    run.says("config.toml")
        .says("nothing of blast is running or mounted");
}
