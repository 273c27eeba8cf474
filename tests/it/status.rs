//! `blast status`.

use crate::world::{World, demo_wheels, sandbox};

#[test]
fn status_tells_environment_view_and_daemon() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["demo"]).success();
    world.show("demo");
    let json = world.change("status", "demo", &["--json"]).success().json();
    assert_eq!(json["schema"], 1);
    assert_eq!(
        json["daemon"]["pid"].as_i64(),
        world.daemon().map(i64::from)
    );
    let mode = &json["view"]["mode"];
    assert!(mode == "view" || mode == "materialised", "{mode}");
    assert_eq!(json["view"]["links"].is_null(), mode == "view");
    assert_eq!(json["environment"]["packages"], 2);
    assert_eq!(json["environment"]["requirements"][0], "demo");
    world
        .change("status", "demo", &[])
        .success()
        .prints("view")
        .prints("daemon");
}

#[test]
fn status_without_an_environment_is_that_of_everything_else() {
    let Some(sandbox) = sandbox() else { return };
    let json = sandbox.blast(["status", "--json"]).success().json();
    assert!(json["environment"].is_null());
}
