//! A store that root keeps for all users of a machine: a user's environments read from it, and believe nobody else.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use blast_harness::{Means, Sandbox, WheelSpec, require};

use crate::world::World;

const MACHINE_STORE: &str = "BLAST_MACHINE_STORE";

/// Big enough to be a blob.
fn wheel() -> WheelSpec {
    let body = format!("VALUE = '{}'\n", "x".repeat(40_000));
    WheelSpec::simple("shared", "1.0").file("shared/big.py", &body)
}

/// A store with the package that root keeps, and an environment of a user who has nothing of it yet.
struct Machine {
    /// Dropped first: it reads what the other keeps.
    user: World,
    keeper: Sandbox,
    home: tempfile::TempDir,
}

fn machine() -> Option<Machine> {
    if !require(Means::View) {
        return None;
    }
    let home = tempfile::tempdir().expect("temporary directory");
    let mut user = World::unprivileged([wheel()])?;
    let keeper = Sandbox::new(env!("CARGO_BIN_EXE_blast"))
        .with("BLAST_HOME", home.path())
        .with(MACHINE_STORE, home.path())
        .with_index(&user.index);
    // Layers are shared by interpreters that agree where files go.
    let python = user.python().bin.join("python3").display().to_string();
    keeper
        .blast(["start", "all", "--shell", "bash", "--python", &python])
        .success();
    keeper
        .blast(["install", "--env", "all", "shared"])
        .success();
    keeper.blast(["kill", "--all", "--force"]).success();
    user.index.forget_hits();
    user.sandbox.set(MACHINE_STORE, home.path());
    user.start("demo");
    Some(Machine { user, keeper, home })
}

impl Machine {
    fn downloads(&self) -> usize {
        let hits = self.user.index.hits();
        // Its metadata has a name of its own.
        let wheels = hits
            .iter()
            .filter(|hit| hit.path.contains(".whl") && !hit.path.ends_with(".metadata"));
        wheels.count()
    }

    fn value(&self) -> String {
        let code = "import shared.big; print(len(shared.big.VALUE))";
        self.user.python_in("demo", code).success().stdout
    }

    /// Objects of a kind that a home has.
    fn objects(home: &Path, kind: &str) -> Vec<PathBuf> {
        let shards = fs::read_dir(home.join("store").join(kind)).expect("there");
        let shards = shards
            .flatten()
            .filter_map(|shard| fs::read_dir(shard.path()).ok());
        shards
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect()
    }
}

#[test]
fn a_user_downloads_and_keeps_nothing_that_the_machine_has() {
    let Some(machine) = machine() else { return };
    machine.user.install("demo", &["shared"]).success();
    assert_eq!(machine.downloads(), 0);
    assert_eq!(machine.value(), "40000\n");
    let own = machine.user.blast_home();
    for kind in ["blobs", "layers"] {
        let theirs = Machine::objects(machine.home.path(), kind);
        for object in Machine::objects(&own, kind) {
            let name = object.file_name();
            let twice = theirs.iter().any(|path| path.file_name() == name);
            assert!(!twice, "{} is kept twice", object.display());
        }
    }
    machine.user.blast(["check", "--deep"]).success();
    // The keeper's collection does not take away what others may use.
    machine.keeper.blast(["envs", "rm", "all"]).success();
    machine.keeper.blast(["clean"]).success();
    machine.user.blast(["check", "--deep"]).success();
    assert_eq!(machine.value(), "40000\n");
}

#[test]
fn bytes_that_were_changed_are_told_and_brought_again() {
    let Some(machine) = machine() else { return };
    machine.user.install("demo", &["shared"]).success();
    let blobs = Machine::objects(machine.home.path(), "blobs");
    // Its bytecode may be there by now, which is as big.
    let module = |path: &&PathBuf| fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"VALUE"));
    let blob = blobs.iter().find(module).expect("the module");
    let mut bytes = fs::read(blob).expect("readable");
    bytes[9] = b'y';
    fs::set_permissions(blob, Permissions::from_mode(0o644)).expect("ours");
    fs::write(blob, bytes).expect("ours");
    fs::set_permissions(blob, Permissions::from_mode(0o444)).expect("ours");
    let found = machine.user.blast(["check", "--deep"]).exits(1);
    assert!(
        found.stdout.contains("shared"),
        "the package is named: {found}"
    );
    machine
        .user
        .blast(["check", "--deep", "--repair"])
        .success();
    assert_eq!(machine.downloads(), 1);
    machine.user.blast(["check", "--deep"]).success();
    assert_eq!(machine.value(), "40000\n");
}

#[test]
fn a_store_that_others_can_write_is_told_and_not_used() {
    let Some(machine) = machine() else { return };
    machine.user.blast(["kill", "--all", "--force"]).success();
    let wheels = machine.home.path().join("store/wheels");
    let mode = fs::metadata(&wheels).expect("there").mode();
    fs::set_permissions(&wheels, Permissions::from_mode(mode | 0o002)).expect("ours");
    let run = machine.user.install("demo", &["shared"]).success();
    run.says("the store of the machine is not used")
        .says("others than its owner can change it");
    assert_eq!(machine.downloads(), 1);
    assert_eq!(machine.value(), "40000\n");
}
