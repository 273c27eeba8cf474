//! The main job as a user without privilege, over `fusermount3`.

use std::os::unix::fs::MetadataExt as _;

use blast_harness::{Means, require};

use crate::world::{World, demo_wheels, packages};

#[test]
fn user_main_job_start_install_run_revert() {
    let Some(world) = World::unprivileged(demo_wheels()) else {
        return;
    };
    world.start("demo");
    world.install("demo", &["demo==1.0"]).success();
    world.install("demo", &["demo==2.0"]).success();
    world
        .python_in("demo", "import demo, os; assert os.getuid() != 0")
        .success();
    world.change("revert", "demo", &[]).success();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "1.0"), ("helper", "1.0")])
    );
    world.start("second");
    world.install("second", &["demo==1.0"]).success();
    assert_eq!(world.inside("second"), world.inside("demo"));
    world.blast(["check", "--deep"]).success();
    world.blast(["doctor"]).success();
}

#[test]
fn user_files_belong_to_the_user_and_the_socket_is_private() {
    let Some(world) = World::unprivileged([]) else {
        return;
    };
    world.start("demo");
    let socket = world.root().join("run/blast/daemon.sock");
    let meta = std::fs::metadata(&socket).expect("the daemon listens");
    assert_eq!(meta.mode() & 0o777, 0o600);
    assert_ne!(meta.uid(), 0);
    let home = std::fs::metadata(world.blast_home()).expect("the store is there");
    assert_eq!(home.uid(), meta.uid());
}

#[test]
fn user_daemon_crash_is_survived() {
    let Some(world) = World::unprivileged(demo_wheels()) else {
        return;
    };
    world.start("demo");
    world.install("demo", &["demo"]).success();
    world.crash_daemon();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "2.0"), ("helper", "2.0")])
    );
}

#[test]
fn user_kill_leaves_nothing() {
    if !require(Means::Mount) {
        return;
    }
    let Some(world) = World::unprivileged([]) else {
        return;
    };
    world.start("demo");
    world.show("demo");
    assert!(!world.mounts().is_empty());
    world.blast(["kill", "--all"]).success();
    assert!(world.mounts().is_empty());
}
