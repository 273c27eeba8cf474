//! Hosts that lack something: disk space, FUSE.

use std::fmt::Write as _;
use std::fs;

use blast_harness::{LocalIndex, Means, Sandbox, WheelSpec, require};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::world::{World, packages};

/// Pseudo-random text that no compression makes small.
fn noise(bytes: usize) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut text = String::with_capacity(bytes + 20);
    while text.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        writeln!(text, "{state:016x}").expect("writing to memory");
    }
    text
}

/// A small file system as the store's home, unmounted at the end.
struct SmallDisk<'a>(&'a std::path::Path);

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        if let Err(error) = umount2(self.0, MntFlags::MNT_DETACH) {
            assert!(
                std::thread::panicking(),
                "the small disk cannot be unmounted: {error}"
            );
        }
    }
}

#[test]
fn root_disk_full_in_ingest_is_told_and_undone() {
    if !require(Means::Root) || !require(Means::Fuse) {
        return;
    }
    let index = LocalIndex::with([
        WheelSpec::simple("small", "1.0"),
        WheelSpec::simple("huge", "1.0").file("huge/data.txt", &noise(24 << 20)),
    ]);
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_blast")).with_index(&index);
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
    let world = World {
        sandbox: sandbox.with("BLAST_HOME", disk.join("home")),
        index,
    };
    world.start("demo");
    world.install("demo", &["small"]).success();
    let run = world.install("demo", &["huge"]);
    assert_eq!(run.code, 2, "{run}");
    run.says("No space left on device");
    assert_eq!(world.inside("demo"), packages([("small", "1.0")]));
    world.blast(["check", "--deep"]).success();
    let staged = fs::read_dir(disk.join("home/store/staging")).map_or(0, Iterator::count);
    assert_eq!(staged, 0, "what did not fit is gone");
    world.change("revert", "demo", &[]).success();
    assert_eq!(world.inside("demo"), packages([]));
    world.blast(["kill", "--all"]).success();
}

#[test]
fn root_without_a_fuse_device_the_reason_and_the_way_out_are_told() {
    if !require(Means::Root) {
        return;
    }
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_blast"));
    // A /dev of its own for this one process tree, with all that Python needs but fuse.
    let script = "mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && \
                  mknod -m 666 /dev/urandom c 1 9 && mknod -m 666 /dev/zero c 1 5 && \
                  \"$0\" \"$@\"; code=$?; \"$0\" kill --all --force >/dev/null 2>&1; exit $code";
    let without_fuse = |args: &[&str]| {
        let program = sandbox.program().to_string_lossy().into_owned();
        let mut words = vec!["--mount", "sh", "-c", script, &program];
        words.extend(args);
        sandbox.run(sandbox.command("unshare", words))
    };
    let doctor = without_fuse(&["doctor"]).exits(1);
    assert!(doctor.stdout.contains("/dev/fuse"), "{doctor}");
    // Making an environment needs no view; using it does.
    without_fuse(&["start", "demo", "--shell", "bash"]).success();
    let run = without_fuse(&["run", "--env", "demo", "--", "python", "-c", "pass"]).exits(2);
    run.says("/dev/fuse").says("hint:");
}

#[test]
fn a_home_that_cannot_be_written_is_named() {
    let Some(world) = World::unprivileged([]) else {
        return;
    };
    let mut world = world;
    world.sandbox.set("BLAST_HOME", "/proc/nowhere");
    let run = world.blast(["start", "demo", "--shell", "bash"]);
    assert_eq!(run.code, 2, "{run}");
    run.says("/proc/nowhere");
}

#[test]
fn without_any_home_the_variable_to_set_is_named() {
    let Some(mut sandbox) = crate::world::sandbox() else {
        return;
    };
    for variable in ["HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"] {
        sandbox.unset(variable);
    }
    sandbox.blast(["envs"]).exits(2).says("BLAST_HOME");
}
