//! Environments as plain files, where no view can be mounted or is wanted.
//!
//! These tests ask for plain files themselves. What all commands do in this mode is shown by running
//! the other tests with `BLAST_TEST_VIEW=files`.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use blast_harness::WheelSpec;

use crate::world::{World, demo_wheels, packages};

/// Path to kind and mode, time, and bytes or target. Sizes of directories are the file system's own.
type Found = BTreeMap<PathBuf, (u32, (i64, i64), Vec<u8>)>;

fn walk(root: &Path) -> Found {
    let mut found = Found::new();
    let mut open = vec![PathBuf::new()];
    while let Some(path) = open.pop() {
        let full = root.join(&path);
        // The prefix itself is a link.
        let meta = if path.as_os_str().is_empty() {
            fs::metadata(&full)
        } else {
            fs::symlink_metadata(&full)
        };
        let meta = meta.expect("it was listed");
        let bytes = if meta.is_dir() {
            for entry in fs::read_dir(&full).expect("a directory") {
                open.push(path.join(entry.expect("an entry").file_name()));
            }
            Vec::new()
        } else if meta.is_symlink() {
            let target = fs::read_link(&full).expect("a link");
            target.into_os_string().into_encoded_bytes()
        } else {
            fs::read(&full).expect("a file")
        };
        let time = (meta.mtime(), meta.mtime_nsec());
        found.insert(path, (meta.mode(), time, bytes));
    }
    found
}

/// A package with all that an environment can hold: big and small files, programs, data.
fn rich() -> WheelSpec {
    WheelSpec::simple("rich", "1.0")
        .file("rich/big.py", &"x = 1\n".repeat(4000))
        .file(
            "rich/cli.py",
            "import sys\ndef main():\n    print(sys.prefix)\n",
        )
        .file("rich/deep/er/data.txt", "small")
        .executable("rich/native.so", &"not really\n".repeat(2000))
        .entry_point("rich-tool", "rich.cli:main")
        .script("rich-script", "#!python\nimport sys\nprint(sys.prefix)\n")
        .data("share/rich.txt", "data")
}

fn link_of(world: &World) -> PathBuf {
    fs::read_link(world.live().join("demo")).expect("the environment is a link")
}

/// The names of all trees, those on their way in or out among them.
fn trees(world: &World) -> Vec<String> {
    let folder = fs::read_dir(world.live().join(".generation")).expect("trees are there");
    let mut names: Vec<_> = folder
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if is_so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("after half a minute, not yet: {what}");
}

#[test]
fn plain_files_are_what_the_view_shows() {
    let Some(mut world) = World::mounted([rich()]) else {
        return;
    };
    world.install("demo", &["rich"]).success();
    world.show("demo");
    world.compiled();
    let prefix = world.live().join("demo");
    let shown = walk(&prefix);
    assert!(
        shown
            .keys()
            .any(|path| path.to_string_lossy().ends_with(".pyc"))
    );
    world.blast(["kill", "--all"]).success();
    world.sandbox.set("BLAST_VIEW", "files");
    let run = world
        .blast(["run", "--env", "demo", "--", "true"])
        .success();
    assert_eq!(run.stderr, "", "what was asked for is no news");
    assert!(world.mounts().is_empty());
    let mut plain = walk(&prefix);
    if plain != shown {
        plain.retain(|path, found| shown.get(path) != Some(found));
        let names: Vec<_> = plain.keys().collect();
        panic!("these differ, or others are missing: {names:?}");
    }
}

#[test]
fn a_view_and_plain_files_take_turns() {
    let Some(mut world) = World::mounted([rich()]) else {
        return;
    };
    world.install("demo", &["rich"]).success();
    let works = |world: &World| {
        let run = world
            .blast(["run", "--env", "demo", "--", "rich-tool"])
            .success();
        assert_eq!(run.out(), world.live().join("demo").to_string_lossy());
    };
    for _ in 0..2 {
        world.sandbox.set("BLAST_VIEW", "files");
        works(&world);
        assert!(world.mounts().is_empty());
        let status = world.blast(["status", "--json"]).success().json();
        assert_eq!(status["view"]["mode"], "materialised");
        world.sandbox.set("BLAST_VIEW", "fuse");
        works(&world);
        assert_eq!(world.mounts().len(), 1);
        let status = world.blast(["status", "--json"]).success().json();
        assert_eq!(status["view"]["mode"], "view");
    }
    world.blast(["kill", "--all"]).success();
    eventually("what lay below the view is gone", || {
        world.blast(["clean"]).success();
        trees(&world).is_empty()
    });
}

#[test]
fn environments_outlive_the_daemon_and_need_none() {
    let world = World::plain([rich()]);
    world.install("demo", &["rich"]).success();
    world.show("demo");
    world.blast(["kill", "--all"]).success();
    let tool = world.live().join("demo/bin/rich-tool");
    let run = world.run(world.command(&tool, [""; 0])).success();
    assert_eq!(run.out(), world.live().join("demo").to_string_lossy());
    assert_eq!(world.daemon(), None);
    // The next daemon finds it there, and goes on from it.
    let before = link_of(&world);
    world.change("remove", "demo", &["rich"]).success();
    assert_ne!(link_of(&world), before);
    assert_eq!(world.inside("demo"), packages([]));
}

#[test]
fn a_tree_stays_while_it_is_used_and_goes_when_it_is_not() {
    let world = World::plain(demo_wheels());
    world.install("demo", &["demo==1.0"]).success();
    let old = link_of(&world);
    let old = old.file_name().expect("a generation").to_owned();
    let code = "import time, sys; print('up', flush=True)\n\
                while True:\n    time.sleep(0.05)\n";
    // By its own path, as `run --pin` has it, with nothing of it open.
    let tree = world.live().join(".generation").join(&old);
    let mut command = world.command(tree.join("bin/python"), ["-c", code]);
    let mut program = command
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("the tree has a Python");
    world.install("demo", &["demo==2.0"]).success();
    world.blast(["clean"]).success();
    assert!(tree.is_dir(), "a program was started from it");
    world.change("revert", "demo", &[]).success();
    assert_eq!(link_of(&world).file_name(), Some(old.as_os_str()));
    world.change("redo", "demo", &[]).success();
    program.kill().expect("ours");
    program.wait().expect("ours");
    let told = world
        .blast(["clean", "--dry-run", "--json"])
        .success()
        .json();
    assert_eq!(
        told["trees"], 1,
        "that of the empty environment went before"
    );
    assert!(tree.is_dir());
    let told = world.blast(["clean", "--json"]).success().json();
    assert_eq!(told["trees"], 1);
    assert_eq!(trees(&world).len(), 1);
    world.change("revert", "demo", &[]).success();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "1.0"), ("helper", "1.0")])
    );
}

#[test]
fn a_removed_environment_takes_its_files_along() {
    let world = World::plain(demo_wheels());
    world.start("other");
    world.install("demo", &["demo"]).success();
    world.blast(["envs", "rm", "demo"]).success();
    assert!(fs::symlink_metadata(world.live().join("demo")).is_err());
    eventually("only the other one's tree is left", || {
        trees(&world).len() == 1
    });
    world.python_in("other", "pass").success();
}

#[test]
fn a_hidden_environment_is_a_skeleton_that_shows_itself_again() {
    let world = World::plain([rich()]);
    world.install("demo", &["rich"]).success();
    world.blast(["kill", "demo"]).success();
    let prefix = world.live().join("demo");
    let meta = fs::symlink_metadata(&prefix).expect("the skeleton");
    assert!(meta.is_dir());
    assert!(prefix.join("pyvenv.cfg").exists());
    eventually("its files are gone", || trees(&world).is_empty());
    let code = "import rich, sys; print(sys.prefix)";
    let run = world.run(world.command(prefix.join("bin/python"), ["-c", code]));
    assert_eq!(run.success().out(), prefix.to_string_lossy());
    assert_eq!(trees(&world).len(), 1);
}

#[test]
fn what_a_dead_daemon_left_half_done_is_cleared_away() {
    let world = World::plain(demo_wheels());
    world.install("demo", &["demo"]).success();
    world.crash_daemon();
    let generations = world.live().join(".generation");
    for left in [".new-abc/lib", ".old-123-1-0/lib"] {
        fs::create_dir_all(generations.join(left)).expect("ours");
        fs::write(generations.join(left).join("half"), "ha").expect("ours");
    }
    std::os::unix::fs::symlink("nowhere", world.live().join(".link-demo")).expect("ours");
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "2.0"), ("helper", "2.0")])
    );
    eventually("only trees are left", || {
        trees(&world).iter().all(|name| !name.starts_with('.'))
    });
    assert!(fs::symlink_metadata(world.live().join(".link-demo")).is_err());
}

#[test]
fn bytecode_that_is_compiled_later_is_added() {
    let world = World::plain([rich()]);
    world.install("demo", &["rich"]).success();
    world.compiled();
    let code = "import rich.big, os; print(rich.big.__cached__)\n\
                assert os.path.exists(rich.big.__cached__)";
    // Python itself writes none here.
    let words = ["run", "--env", "demo", "--", "python", "-B", "-c", code];
    let run = world.blast(words).success();
    let cached = Path::new(run.out());
    let meta = fs::metadata(cached).expect("it is there");
    let bytes = fs::read(cached).expect("it is there");
    // PEP 552: flags, then the time of the source.
    let source = fs::metadata(cached.with_file_name("../big.py")).expect("the source");
    let stated = u32::from_le_bytes(bytes[8..12].try_into().expect("four bytes"));
    assert_eq!(i64::from(stated), source.mtime());
    assert_eq!(meta.mtime(), source.mtime(), "as the view shows it");
}

#[test]
fn user_files_share_their_bytes_and_cannot_be_written_through() {
    let Some(world) = World::plain_unprivileged([rich()]) else {
        return;
    };
    world.start("other");
    for env in ["demo", "other"] {
        world.install(env, &["rich"]).success();
    }
    let status = world.blast(["status", "--json"]).success().json();
    let site = |env: &str| {
        let code = "import rich, os; print(os.path.dirname(rich.__file__))";
        PathBuf::from(world.python_in(env, code).success().out())
    };
    let (demo, other) = (site("demo"), site("other"));
    let meta = |path: PathBuf| fs::metadata(path).expect("it is there");
    match status["view"]["links"].as_str() {
        Some("hard links") => {
            assert_eq!(
                meta(demo.join("big.py")).ino(),
                meta(other.join("big.py")).ino()
            );
            assert_eq!(meta(demo.join("big.py")).mode() & 0o777, 0o444);
            assert_eq!(meta(demo.join("native.so")).mode() & 0o777, 0o555);
            let code = "import rich.big, sys\n\
                        try:\n    open(rich.big.__file__, 'a')\n\
                        except PermissionError:\n    sys.exit(7)\n";
            world.python_in("demo", code).exits(7);
        }
        Some("reflinks") => assert_ne!(
            meta(demo.join("big.py")).ino(),
            meta(other.join("big.py")).ino()
        ),
        kind => panic!("one home is one file system: {kind:?}"),
    }
    world
        .python_in("demo", "import rich.big; assert rich.big.x == 1")
        .success();
    world.blast(["check", "--deep"]).success();
}

#[test]
fn a_store_is_never_written_through_an_environment() {
    let world = World::plain([rich()]);
    world.install("demo", &["rich"]).success();
    let code = "import rich.big; print(rich.big.__file__)";
    let run = world.python_in("demo", code).success();
    let path = Path::new(run.out());
    match OpenOptions::new().append(true).open(path) {
        Ok(file) => {
            use std::io::Write as _;
            writeln!(&file, "x = 2").expect("a copy is the environment's own");
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::PermissionDenied),
    }
    world.blast(["check", "--deep"]).success();
    world.start("other");
    world.install("other", &["rich"]).success();
    world
        .python_in("other", "import rich.big; assert rich.big.x == 1")
        .success();
}

#[test]
fn the_setting_may_stand_in_the_file_and_a_bad_one_is_named() {
    let mut world = World::plain([]);
    world.blast(["kill", "--all"]).success();
    world.sandbox.unset("BLAST_VIEW");
    let config = world.root().join("config/blast/config.toml");
    fs::create_dir_all(config.parent().expect("below")).expect("ours");
    fs::write(&config, "view = \"files\"\n").expect("ours");
    world.show("demo");
    assert!(world.mounts().is_empty());
    fs::write(&config, "view = \"filez\"\n").expect("ours");
    let run = world.blast(["run", "--env", "demo", "--", "true"]).exits(2);
    run.says("config.toml").says("filez");
    fs::remove_file(&config).expect("ours");
    world.sandbox.set("BLAST_VIEW", "filez");
    world
        .blast(["envs"])
        .exits(2)
        .says("BLAST_VIEW")
        .says("hint:");
    world.sandbox.set("BLAST_VIEW", "files");
}
