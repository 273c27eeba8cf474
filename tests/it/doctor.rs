//! `blast doctor` and `blast python list`.

use crate::world::{World, sandbox};

#[test]
fn a_machine_that_shows_views_is_well() {
    let Some(sandbox) = sandbox() else { return };
    let run = sandbox.blast(["doctor"]).success();
    run.prints("fuse");
    let json = sandbox.blast(["doctor", "--json"]).success().json();
    assert_eq!(json["schema"], 1);
}

#[test]
fn credentials_in_an_index_address_are_not_told() {
    let Some(sandbox) = sandbox() else { return };
    let sandbox = sandbox.with("BLAST_INDEX_URL", "http://user:s3cret@127.0.0.1:9/simple/");
    for args in [&["doctor"][..], &["doctor", "--json"], &["-v", "doctor"]] {
        let run = sandbox.blast(args);
        assert!(
            !run.stdout.contains("s3cret") && !run.stderr.contains("s3cret"),
            "{run}"
        );
    }
}

#[test]
fn interpreters_are_listed_with_the_one_on_path() {
    let Some(world) = World::with([]) else { return };
    let json = world.blast(["python", "list", "--json"]).success().json();
    let version = world.python().version.clone();
    let found = json["pythons"]
        .as_array()
        .expect("a list")
        .iter()
        .any(|p| p["version"] == version);
    assert!(found, "{json}");
}
