//! The cache: how little is asked, what keeps it up to date, and who may share it.

use std::time::Duration;

use blast_harness::{LocalIndex, Means, Release, Sandbox, WheelSpec, require};

use crate::world::{World, demo_wheels};

#[test]
fn a_lock_costs_one_page_and_one_metadata_file_a_package() {
    let chain = |name: &str, next: &str| {
        let versions = (1..=20).map(|minor| format!("1.{minor}"));
        let wheels = versions.map(|version| WheelSpec::simple(name, &version).requires(next));
        wheels.collect::<Vec<_>>()
    };
    let last = (1..=20).map(|minor| WheelSpec::simple("last", &format!("1.{minor}")));
    let wheels = [chain("first", "middle<1.15"), chain("middle", "last")].concat();
    let Some(world) = World::started(wheels.into_iter().chain(last)) else {
        return;
    };
    let lock = ["lock", "--env", "demo", "--output", "-", "first"];
    world.blast(lock).success();
    let hits = world.index.hits();
    assert_eq!(world.index.count("/simple/"), 3, "{hits:?}");
    assert_eq!(world.index.count("/files/"), 3, "{hits:?}");
    world.index.forget_hits();
    world.blast(lock).success();
    assert_eq!(world.index.hits(), [], "all of it is fresh");
}

#[test]
fn a_refresh_asks_for_what_environments_hold_or_what_is_named() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["demo"]).success();
    world.index.forget_hits();
    let refreshed = |words: &[&str]| {
        let run = world.blast([&["cache", "refresh", "--json"][..], words].concat());
        let json = run.json();
        ["pages", "unchanged", "changed"].map(|key| json[key].as_u64().expect("a number"))
    };
    assert_eq!(refreshed(&[]), [2, 2, 0]);
    assert_eq!(world.index.hits().len(), 2);
    assert!(world.index.hits().iter().all(|hit| hit.status == 304));
    world.index.add(&WheelSpec::simple("demo", "3.0"));
    assert_eq!(refreshed(&["--all-used"]), [2, 1, 1]);
    world.index.forget_hits();
    world.install("demo", &["--upgrade", "demo"]).success();
    assert_eq!(world.inside("demo")["demo"], "3.0");
    assert_eq!(world.index.count("/simple/"), 0, "the pages were fresh");
    let missing = world.blast(["cache", "refresh", "helper", "nothing"]);
    missing.exits(1).says("`nothing`");
    let dir = world.blast(["cache", "dir"]).success();
    assert!(
        std::path::Path::new(dir.out().trim())
            .join("simple-v1")
            .is_dir()
    );
}

#[test]
fn an_idle_daemon_refreshes_what_is_too_old_unless_it_shall_not() {
    for on in [true, false] {
        let Some(mut world) = World::with(demo_wheels()) else {
            return;
        };
        let refresh = if on { "true" } else { "false" };
        for (name, value) in [
            ("BLAST_BACKGROUND_REFRESH", refresh),
            ("BLAST_REFRESH_TTL", "0"),
            ("BLAST_REFRESH_IDLE", "0"),
        ] {
            world.sandbox.set(name, value);
        }
        world.start("demo");
        world.install("demo", &["demo"]).success();
        let asked_again = || {
            world
                .index
                .hits()
                .iter()
                .filter(|hit| hit.status == 304)
                .count()
        };
        // Where it shall come it is waited for as long as it takes; where not, for a while.
        for _ in 0..if on { 600 } else { 5 } {
            if asked_again() >= 2 {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(asked_again(), if on { 2 } else { 0 });
    }
}

#[test]
fn several_daemons_share_one_cache() {
    if !require(Means::Fuse) {
        return;
    }
    let index = LocalIndex::start();
    for wheel in demo_wheels() {
        index.publish(Release::of(&wheel).without_metadata());
    }
    // Metadata then comes out of whole wheels, which wait in the cache to be installed: all
    // daemons write and take the same ones.
    index.set_ranges(false);
    let cache = tempfile::tempdir().expect("a temporary folder");
    let sandboxes: Vec<_> = (0..3)
        .map(|_| {
            Sandbox::new(env!("CARGO_BIN_EXE_blast"))
                .with_index(&index)
                .with("BLAST_CACHE", cache.path())
        })
        .collect();
    for sandbox in &sandboxes {
        sandbox
            .blast(["start", "demo", "--shell", "bash"])
            .success();
    }
    let installs: Vec<_> = sandboxes
        .iter()
        .map(|sandbox| sandbox.blast_in_background(["install", "--env", "demo", "demo"]))
        .collect();
    for (sandbox, install) in sandboxes.iter().zip(installs) {
        sandbox.finish(install).success();
        let list = sandbox.blast(["list", "--env", "demo", "--json"]).success();
        assert!(list.stdout.contains("helper"), "{list}");
    }
    index.forget_hits();
    let lock = ["lock", "--env", "demo", "--output", "-", "demo"];
    for sandbox in &sandboxes {
        sandbox.blast(lock).success();
    }
    assert_eq!(index.hits(), [], "what one learned all know");
}
