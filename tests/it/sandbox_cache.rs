//! `~/.cache` inside a sandbox is a directory that lasts as long as the environment: its programs find there what they kept, no
//! other environment's do, and strict ones find nothing.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use blast_harness::{Means, require};

use crate::world::{World, wait_until};

const KEEP: &str =
    "test ! -e ~/.cache/tool/list && mkdir -p ~/.cache/tool && echo kept > ~/.cache/tool/list";
const FIND: &str = "cat ~/.cache/tool/list";
const MISS: &str = "test ! -e ~/.cache/tool";

fn started(world: Option<World>) -> Option<World> {
    let mut world = world.filter(|_| require(Means::Namespaces))?;
    world.sandbox.unset("BLAST_SANDBOX");
    for name in ["one", "two"] {
        world.blast(["start", name, "--shell", "bash"]).success();
    }
    Some(world)
}

fn sh(world: &World, options: &[&str], script: &str) {
    let words = ["run"].iter().chain(options).chain(&["--", "sh", "-c"]);
    world.blast(words.chain(&[script])).success();
}

/// What is kept outside, whosever it is.
fn kept(world: &World) -> Vec<PathBuf> {
    let folder = world.root().join("cache/blast/programs-v1");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn lasts_as_long_as_the_environment(world: &World) {
    let one = ["--env", "one"];
    sh(world, &one, KEEP);
    // With it end the sandboxes.
    world.blast(["kill", "--all", "--force"]).success();
    sh(world, &one, FIND);
    sh(world, &["--env", "two"], MISS);
    sh(world, &["--env", "one", "--sandbox", "strict"], MISS);
    let cache = world.root().join("home/.cache");
    let hidden = ["--env", "one", "--hide", &cache.to_string_lossy()];
    sh(world, &hidden, MISS);
    let [first, _] = &kept(world)[..] else {
        panic!("one for each environment: {:?}", kept(world));
    };
    assert_eq!(first.metadata().expect("there").mode() & 0o777, 0o700);
    world.blast(["envs", "rm", "one"]).success();
    assert!(wait_until(|| kept(world).len() == 1), "{:?}", kept(world));
    world.blast(["start", "one", "--shell", "bash"]).success();
    sh(world, &one, MISS);
}

#[test]
fn what_programs_keep_lasts_as_long_as_the_environment() {
    if let Some(world) = started(World::with([])) {
        lasts_as_long_as_the_environment(&world);
    }
}

#[test]
fn what_programs_keep_lasts_for_a_normal_user_too() {
    if let Some(world) = started(World::unprivileged([])) {
        lasts_as_long_as_the_environment(&world);
    }
}

#[test]
fn a_cache_that_cannot_be_kept_stops_nobody() {
    let Some(world) = started(World::with([])) else {
        return;
    };
    world.write("../cache/blast/programs-v1", "in the way");
    sh(&world, &["--env", "one"], KEEP);
    sh(&world, &["--env", "one"], MISS);
    let said = world.blast(["run", "-v", "--env", "one", "--", "true"]);
    said.success()
        .says("what programs keep in ~/.cache ends with their sandbox");
}
