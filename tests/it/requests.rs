//! What the kernel asks the daemon for, by the counters of `blast status --json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use blast_harness::WheelSpec;

use crate::files::eventually;
use crate::world::World;

const MODULES: usize = 300;

/// A package whose import reads 300 modules, each big enough to be a blob.
fn large() -> WheelSpec {
    let names: Vec<_> = (0..MODULES).map(|n| format!("m{n}")).collect();
    let all = format!("from . import {}\n", names.join(", "));
    let body = "VALUE = 'some text that makes the module longer'\n".repeat(60);
    names.iter().fold(
        WheelSpec::simple("large", "1.0").file("large/all_of_it.py", &all),
        |wheel, name| wheel.file(&format!("large/{name}.py"), &body),
    )
}

fn requests(world: &World) -> BTreeMap<String, u64> {
    let json = world.blast(["status", "--json"]).success().json();
    let counters = json["view"]["requests"].as_object().expect("a map").clone();
    counters
        .into_iter()
        .map(|(kind, count)| (kind, count.as_u64().expect("a count")))
        .collect()
}

/// What was asked between two counts. Pythons up to 3.13 ask each opened file whether it is a
/// terminal, which no answer can make the kernel remember; `forget` is no question.
fn asked(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    after
        .iter()
        .map(|(kind, count)| (kind.clone(), count - before[kind]))
        .filter(|(kind, count)| *count > 0 && !matches!(kind.as_str(), "ioctl" | "forget"))
        .collect()
}

/// The environment `demo` with the large package and its bytecode.
fn world_with_large() -> Option<World> {
    let world = World::started([large()])?;
    let install = ["large", "--compile-bytecode"];
    world.install("demo", &install).success();
    Some(world)
}

fn import(world: &World, env: &str) {
    world.python_in(env, "import large.all_of_it").success();
}

#[test]
fn a_second_import_asks_for_nothing() {
    let Some(world) = world_with_large() else {
        return;
    };
    let start = requests(&world);
    assert!(start.is_empty(), "nothing is mounted yet: {start:?}");
    import(&world, "demo");
    let first = requests(&world);
    assert!(first["lookup"] as usize > MODULES, "{first:?}");
    assert!(first["read"] as usize > MODULES, "{first:?}");
    // The kernel may take pages back whenever it likes, and reads them again then; it does not do so each time.
    let mut before = first;
    let mut more = BTreeMap::new();
    for _ in 0..3 {
        import(&world, "demo");
        let after = requests(&world);
        more = asked(&before, &after);
        if more.is_empty() {
            return;
        }
        before = after;
    }
    panic!("each import asks again: {more:?}");
}

/// The files that say what was read of each layer.
fn kept(world: &World) -> Vec<PathBuf> {
    let folder = fs::read_dir(world.root().join("cache/blast/read-ahead-v1"));
    let entries = folder.into_iter().flatten();
    entries
        .map(|entry| entry.expect("readable").path())
        .collect()
}

#[test]
fn what_programs_read_before_is_read_ahead_of_the_next() {
    let Some(world) = world_with_large() else {
        return;
    };
    import(&world, "demo");
    world.blast(["kill", "--all"]).success();
    assert!(!kept(&world).is_empty());

    // One module of the package, and another process asks for the other ones: in a moment.
    world.python_in("demo", "import large.m0").success();
    let mut before = BTreeMap::new();
    eventually("what was read before is read again", || {
        before = requests(&world);
        before["read"] as usize > MODULES
    });
    import(&world, "demo");
    let more = asked(&before, &requests(&world));
    let of = |kind: &str| more.get(kind).copied().unwrap_or_default() as usize;
    assert!(of("read") < MODULES / 10, "{more:?}");
    assert!(of("lookup") < MODULES / 10, "{more:?}");
    // Who reads ahead is nobody that the end waits for.
    world.blast(["kill", "--all"]).success();
}

#[test]
fn who_reads_all_files_leaves_nothing_to_read_ahead() {
    let Some(world) = world_with_large() else {
        return;
    };
    let walk = "import os, sys\n\
        for folder, _, files in os.walk(os.path.join(sys.prefix, 'lib')):\n\
        \x20   for name in files:\n\
        \x20       open(os.path.join(folder, name), 'rb').read()";
    world.python_in("demo", walk).success();
    let read = requests(&world)["read"] as usize;
    assert!(read > 2 * MODULES, "{read} reads");
    world.blast(["kill", "--all"]).success();
    let lines = |path| fs::read_to_string(path).expect("readable").lines().count();
    let most = kept(&world).iter().map(lines).max();
    assert!(most.unwrap_or(0) < MODULES / 2, "{most:?} lines");
}

#[test]
fn damage_to_what_is_kept_for_reading_ahead_costs_nothing_else() {
    let Some(world) = world_with_large() else {
        return;
    };
    import(&world, "demo");
    world.blast(["kill", "--all"]).success();
    let files = kept(&world);
    assert!(!files.is_empty());
    for (number, path) in files.iter().enumerate() {
        let bytes = fs::read(path).expect("readable");
        let damaged = match number % 3 {
            0 => bytes[..bytes.len() - 1].to_vec(),
            1 => Vec::new(),
            _ => bytes.iter().map(|byte| !byte).collect(),
        };
        fs::write(path, damaged).expect("writable");
    }
    import(&world, "demo");
    world.blast(["kill", "--all"]).success();
    let folder = files[0].parent().expect("a file has a folder");
    fs::remove_dir_all(folder).expect("ours");
    fs::write(folder, "in the way").expect("writable");
    import(&world, "demo");
    world.blast(["kill", "--all"]).success();
}

#[test]
fn ten_environments_with_one_layer_read_its_bytes_once() {
    let Some(world) = world_with_large() else {
        return;
    };
    let others: Vec<_> = (2..=10).map(|n| format!("demo{n}")).collect();
    for env in &others {
        world.start(env);
        world.install(env, &["large"]).success();
    }
    import(&world, "demo");
    let first = requests(&world)["read"] as usize;
    for env in &others {
        import(&world, env);
    }
    // What each has of its own is read for each: `pyvenv.cfg` and the like.
    let rest = requests(&world)["read"] as usize - first;
    assert!(first > MODULES, "{first} reads");
    assert!(rest < 10 * others.len(), "{rest} reads of nine others");
}

#[test]
fn an_environment_that_is_made_again_finds_its_files_in_memory() {
    let Some(world) = world_with_large() else {
        return;
    };
    import(&world, "demo");
    // A second time, as bytecode may have come in between.
    import(&world, "demo");
    let before = requests(&world);
    world.blast(["envs", "rm", "demo"]).success();
    let live = world.blast_home().join("live");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("readable");
    assert!(!mounts.contains(&live.display().to_string()), "{mounts}");
    world.start("demo");
    world.install("demo", &["large"]).success();
    import(&world, "demo");
    let more = asked(&before, &requests(&world));
    let of = |kind: &str| more.get(kind).copied().unwrap_or_default() as usize;
    assert!(of("read") < MODULES / 10, "{more:?}");
    assert!(of("lookup") < MODULES / 10, "{more:?}");
    // Gone for good, the directory is like any other.
    world.blast(["envs", "rm", "demo"]).success();
    std::fs::remove_dir_all(world.blast_home()).expect("nothing is mounted");
}
