//! Hosts that lack something: disk space, FUSE.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::CommandExt as _;

use blast_harness::{LocalIndex, Means, Run, Sandbox, TestUser, WheelSpec, require};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::files::eventually;
use crate::world::{World, demo_wheels, packages};

/// Pseudo-random text that no compression makes small.
pub(crate) fn noise(bytes: usize) -> String {
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
pub(crate) struct SmallDisk<'a>(pub(crate) &'a std::path::Path);

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
    if !require(Means::Root) || !require(Means::View) {
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

/// A /dev of its own for one process tree, with all that Python needs but fuse, for this user.
const WITHOUT_FUSE: &str = r#"
mount -t tmpfs -o mode=755 none /dev
mknod -m 666 /dev/null c 1 3
mknod -m 666 /dev/zero c 1 5
mknod -m 666 /dev/urandom c 1 9
user=$0
[ "$user" = 0:0 ] || set -- setpriv --reuid "${user%:*}" --regid "${user#*:}" --clear-groups "$@"
"$@"
"#;

impl World {
    /// Runs a shell script with no `/dev/fuse`; `$blast` is the program. What is left running is
    /// ended with it.
    fn without_fuse(&self, user: TestUser, script: &str) -> Run {
        let blast = self.program().display();
        let script = format!(
            "blast={blast}; trap '$blast kill --all --force >/dev/null 2>&1' EXIT; {script}"
        );
        let user = format!("{}:{}", user.uid, user.gid);
        let words = [
            "--mount",
            "sh",
            "-ec",
            WITHOUT_FUSE,
            &user,
            "sh",
            "-ec",
            &script,
        ];
        let mut command = self.command("unshare", words);
        command.uid(0).gid(0);
        self.run(command)
    }
}

/// What works with no `/dev/fuse`, and what is said, for whichever user.
fn works_without_fuse(mut world: World, user: TestUser) {
    world.sandbox.unset("BLAST_VIEW");
    let run = world.without_fuse(
        user,
        "eval \"$($blast start demo --shell bash)\"
         $blast install demo==2.0 && $blast install helper==2.0 demo==2.0
         $blast save good && $blast remove demo && $blast load good
         $blast run --pin -- python -c 'import demo; print(demo.__version__)'
         $blast revert && $blast redo && $blast check --deep && $blast clean
         $blast doctor && $blast status --json",
    );
    let run = run
        .success()
        .says("/dev/fuse")
        .says("plain files")
        .prints("2.0")
        .prints("\"mode\": \"materialised\"")
        .prints("\"reason\": \"/dev/fuse");
    let told = run.stderr.matches("no view can be mounted here").count();
    assert_eq!(told, 1, "{run}");
    // Not what was asked for: an error, and the way out.
    world.sandbox.set("BLAST_VIEW", "fuse");
    let refused = world.without_fuse(user, "$blast run --env demo -- python -c pass");
    refused.exits(2).says("/dev/fuse").says("hint:");
    let doctor = world.without_fuse(user, "$blast doctor");
    assert!(doctor.exits(1).stdout.contains("fail  fuse"));
}

#[test]
fn root_without_a_fuse_device_environments_are_plain_files() {
    if !require(Means::Root) {
        return;
    }
    let index = LocalIndex::with(demo_wheels());
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_blast")).with_index(&index);
    works_without_fuse(World { sandbox, index }, TestUser::current());
}

#[test]
fn root_without_a_fuse_device_normal_users_have_plain_files() {
    if !require(Means::Root) {
        return;
    }
    let Some(world) = World::unprivileged(demo_wheels()) else {
        return;
    };
    works_without_fuse(world, TestUser::ensure().expect("required above"));
}

#[test]
fn root_disk_too_full_for_plain_files_changes_nothing() {
    if !require(Means::Root) {
        return;
    }
    let index = LocalIndex::with([
        WheelSpec::simple("small", "1.0"),
        WheelSpec::simple("big", "1.0").file("big/data.txt", &noise(9 << 20)),
    ]);
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_blast"))
        .with_index(&index)
        .with("BLAST_VIEW", "files");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let disk = folder.path().to_owned();
    let none = MsFlags::empty();
    mount(Some("none"), &disk, Some("tmpfs"), none, Some("size=20m")).expect("root may mount");
    let _unmounted = SmallDisk(&disk);
    let home = disk.join("home");
    let world = World {
        sandbox: sandbox.with("BLAST_HOME", &home),
        index,
    };
    world.start("demo");
    world.install("demo", &["small"]).success();
    eventually("the write-ahead log has its room", || {
        home.join("wal").exists()
    });
    // Once in the store is what there is room for, and not for the file of the environment.
    let run = world.install("demo", &["big"]).exits(2);
    run.says("No space left on device").says("blast clean");
    assert_eq!(world.inside("demo"), packages([("small", "1.0")]));
    let log = world.change("log", "demo", &["--json"]).success().json();
    assert_eq!(log["operations"].as_array().map(Vec::len), Some(2));
    let half: Vec<_> = fs::read_dir(home.join("live/.generation"))
        .expect("trees are there")
        .map(|entry| entry.expect("an entry").file_name())
        .filter(|name| name.as_encoded_bytes().starts_with(b"."))
        .collect();
    assert!(half.is_empty(), "{half:?}");
    // Nor does an environment that does not fit leave anything at the place where it was to be.
    world.blast(["start", "other", "--shell", "bash"]).success();
    let to = disk.join("to");
    fs::write(disk.join("filling"), noise(6 << 20)).expect("there is room");
    let room = world.install("other", &["big"]);
    assert_ne!(room.code, 0, "{room}");
    fs::write(disk.join("more"), noise(19 << 20)).expect_err("the disk is full");
    let words = ["materialise", "--env", "demo", "--to"].map(std::ffi::OsStr::new);
    let run = world.blast(words.into_iter().chain([to.as_os_str()]));
    run.exits(2).says("No space left on device");
    let left: Vec<_> = fs::read_dir(&disk)
        .expect("ours")
        .map(|entry| entry.expect("an entry").file_name())
        .filter(|name| name.to_string_lossy().contains("to"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    world.blast(["kill", "--all"]).success();
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
