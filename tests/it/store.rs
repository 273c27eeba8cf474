//! `blast check` and `blast clean`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use blast_harness::{LocalIndex, WheelSpec};

use crate::world::{World, demo_wheels, packages};

#[test]
fn a_healthy_store_is_well_both_ways() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["demo"]).success();
    world.blast(["check"]).success().says("all is well");
    world.blast(["check", "--deep"]).success();
    let json = world.blast(["check", "--deep", "--json"]).success().json();
    assert_eq!(json["findings"].as_array().map(Vec::len), Some(0));
}

/// A wheel whose module is big enough to be a blob of its own.
fn big_wheel() -> WheelSpec {
    WheelSpec::simple("demo", "1.0").file("demo/big.py", &"x = 1  # padding\n".repeat(1500))
}

/// The blobs that hold this text.
fn blobs_with(home: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let blobs = home.join("store/blobs");
    for folder in fs::read_dir(&blobs).expect("the store has blobs") {
        for blob in fs::read_dir(folder.expect("an entry").path()).expect("a folder") {
            let path = blob.expect("an entry").path();
            if fs::read_to_string(&path).is_ok_and(|content| content.contains(text)) {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn a_missing_blob_is_found_with_the_environment_it_touches() {
    let Some(world) = World::started([big_wheel()]) else {
        return;
    };
    world.install("demo", &["demo"]).success();
    let blobs = blobs_with(&world.blast_home(), "# padding");
    assert_eq!(blobs.len(), 1, "one blob holds the module");
    fs::remove_file(&blobs[0]).expect("the blob can be removed");
    let json = world.blast(["check", "--json"]).exits(1).json();
    assert_eq!(json["findings"][0]["environments"][0], "demo", "{json}");
}

#[test]
fn a_changed_byte_is_found_by_reading_deep() {
    let Some(world) = World::started([big_wheel()]) else {
        return;
    };
    world.install("demo", &["demo"]).success();
    let blob = blobs_with(&world.blast_home(), "# padding").remove(0);
    fs::set_permissions(&blob, fs::Permissions::from_mode(0o644)).expect("ours");
    let text = fs::read_to_string(&blob)
        .expect("text")
        .replacen("x = 1", "x = 2", 1);
    fs::write(&blob, text).expect("ours");
    world.blast(["check"]).success();
    world.blast(["check", "--deep"]).exits(1).prints("demo");
}

#[test]
fn clean_frees_what_only_a_deleted_environment_used() {
    let Some(world) = World::started([big_wheel(), WheelSpec::simple("kept", "1.0")]) else {
        return;
    };
    world.install("demo", &["demo"]).success();
    world.start("other");
    world.install("other", &["kept"]).success();
    world.blast(["envs", "rm", "demo"]).success();
    let dry = world
        .blast(["clean", "--dry-run", "--json"])
        .success()
        .json();
    assert!(dry["bytes"].as_u64() > Some(0), "{dry}");
    assert_eq!(
        blobs_with(&world.blast_home(), "# padding").len(),
        1,
        "a dry run frees nothing"
    );
    world.blast(["clean"]).success();
    assert_eq!(blobs_with(&world.blast_home(), "# padding").len(), 0);
    assert_eq!(world.inside("other"), packages([("kept", "1.0")]));
    world.blast(["check", "--deep"]).success();
}

#[test]
fn what_history_needs_is_kept() {
    let Some(world) = World::started([big_wheel()]) else {
        return;
    };
    world.install("demo", &["demo"]).success();
    world.change("remove", "demo", &["demo"]).success();
    world.blast(["clean"]).success();
    world.change("revert", "demo", &[]).success();
    world.python_in("demo", "import demo.big").success();
}

#[test]
fn a_cleaned_package_is_installed_anew() {
    let Some(world) = World::started([big_wheel()]) else {
        return;
    };
    world.install("demo", &["demo"]).success();
    world.blast(["envs", "rm", "demo"]).success();
    world.blast(["clean"]).success();
    world.start("demo");
    world.install("demo", &["demo"]).success();
    world.python_in("demo", "import demo.big").success();
    world.blast(["check", "--deep"]).success();
}

#[test]
fn a_cache_that_was_deleted_is_fetched_again() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["demo==1.0"]).success();
    fs::remove_dir_all(world.root().join("cache/blast")).expect("the cache is ours to delete");
    world.install("demo", &["demo==2.0"]).success();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "2.0"), ("helper", "2.0")])
    );
}

#[test]
fn places_can_be_chosen_by_variables() {
    let index = LocalIndex::with([WheelSpec::simple("demo", "1.0")]);
    let Some(sandbox) = crate::world::sandbox() else {
        return;
    };
    let (home, cache) = (
        sandbox.project().join("my home"),
        sandbox.project().join("my cache"),
    );
    let sandbox = sandbox
        .with_index(&index)
        .with("BLAST_HOME", &home)
        .with("BLAST_CACHE", &cache);
    let world = World { sandbox, index };
    world.start("demo");
    world.install("demo", &["demo"]).success();
    assert!(home.join("live/demo/bin/python").exists());
    assert!(cache.is_dir());
    assert!(!world.root().join("data/blast").exists());
    assert_eq!(world.inside("demo"), packages([("demo", "1.0")]));
}
