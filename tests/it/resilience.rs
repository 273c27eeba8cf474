//! Programs that die at a bad moment.

use std::fs;
use std::time::Duration;

use blast_harness::{Fault, WheelSpec};
use nix::sys::signal::Signal;

use crate::world::{World, demo_wheels, packages};

#[test]
fn a_daemon_that_died_is_replaced_by_the_next_command() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["demo==1.0"]).success();
    world.crash_daemon();
    world.install("demo", &["demo==2.0"]).success();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "2.0"), ("helper", "2.0")])
    );
    world.crash_daemon();
    world.change("revert", "demo", &[]).success();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "1.0"), ("helper", "1.0")])
    );
    world.blast(["check", "--deep"]).success();
}

#[test]
fn a_daemon_that_dies_in_an_install_leaves_the_old_state() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["demo==1.0"]).success();
    world
        .index
        .always("/files/helper-2.0", Fault::Slow(Duration::from_secs(3)));
    let install = world.blast_in_background(["install", "--env", "demo", "demo==2.0"]);
    wait_for_request(&world, "/files/helper-2.0");
    world.crash_daemon();
    let told = world.finish(install);
    assert_ne!(told.code, 0, "{told}");
    world.index.heal();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "1.0"), ("helper", "1.0")])
    );
    world.blast(["check", "--deep"]).success();
    world.install("demo", &["demo==2.0"]).success();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "2.0"), ("helper", "2.0")])
    );
}

#[test]
fn a_client_that_goes_away_cancels_its_install() {
    for signal in [Signal::SIGINT, Signal::SIGKILL] {
        let Some(world) = World::started(demo_wheels()) else {
            return;
        };
        world
            .index
            .always("/files/helper-2.0", Fault::Slow(Duration::from_secs(2)));
        let install = world.blast_in_background(["install", "--env", "demo", "demo==2.0"]);
        wait_for_request(&world, "/files/helper-2.0");
        install.signal(signal);
        let told = world.finish(install);
        assert_ne!(told.code, 0, "{told}");
        world.index.heal();
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(
            world.inside("demo"),
            packages([]),
            "{signal}: nothing was committed later"
        );
        world.install("demo", &["demo==2.0"]).success();
    }
}

#[test]
fn a_stale_socket_and_pid_file_are_no_obstacle() {
    let Some(world) = World::with([]) else { return };
    let run = world.root().join("run/blast");
    fs::create_dir_all(&run).expect("the runtime directory is ours");
    fs::write(run.join("daemon.pid"), "999999\n").expect("ours");
    fs::write(run.join("daemon.sock"), "no socket").expect("ours");
    world.start("demo");
    world.python_in("demo", "pass").success();
}

#[test]
fn programs_by_path_mount_the_view_themselves() {
    let Some(world) = World::mounted([WheelSpec::simple("demo", "1.0")
        .file("demo/cli.py", "def main():\n    print('here')\n")
        .entry_point("demo-tool", "demo.cli:main")])
    else {
        return;
    };
    world.install("demo", &["demo"]).success();
    world.blast(["kill", "--all"]).success();
    assert!(world.mounts().is_empty());
    let python = world.live().join("demo/bin/python");
    let code = "import sys, demo; print(sys.prefix)";
    let run = world.run(world.command(&python, ["-c", code])).success();
    assert_eq!(run.out(), world.live().join("demo").to_string_lossy());
}

#[test]
fn a_log_that_cannot_be_written_stops_nothing() {
    let Some(mut world) = World::started(demo_wheels()) else {
        return;
    };
    // As on a full disk, with much to say.
    world.blast(["kill", "--all"]).success();
    let root = world.project().parent().expect("a parent").to_owned();
    let log = root.join("run/blast/daemon.log");
    fs::remove_file(&log).expect("removed");
    std::os::unix::fs::symlink("/dev/full", &log).expect("linked");
    world.sandbox.set("BLAST_LOG", "trace");
    world.install("demo", &["demo==1.0"]).success();
    world.crash_daemon();
    world.install("demo", &["demo==2.0"]).success();
    world.change("revert", "demo", &[]).success();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "1.0"), ("helper", "1.0")])
    );
    world.blast(["check", "--deep"]).success();
    assert!(log.is_symlink());
}

#[test]
fn the_daemon_keeps_no_descriptor_of_who_started_it() {
    let Some(world) = World::with([]) else {
        return;
    };
    // As in `out=$(blast … 2> >(tee log))`: somebody waits for the end of a pipe that the shell
    // left open beyond the three streams. The harness fails if that end does not come.
    let script = "exec 7>&1; \"$0\" start demo --shell bash >/dev/null 2>&1";
    let program = world.program().to_owned();
    let words = ["-c".as_ref(), script.as_ref(), program.as_os_str()];
    world.run(world.command("bash", words)).success();
    assert!(
        world.daemon().is_some(),
        "it is the daemon that was started so"
    );
}

fn wait_for_request(world: &World, path: &str) {
    for _ in 0..6000 {
        if world.index.count(path) > 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("nobody asked for {path}");
}
