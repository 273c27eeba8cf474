//! `blast tree`, `blast why`, `blast outdated`.

use blast_harness::WheelSpec;

use crate::world::World;

fn wheels() -> Vec<WheelSpec> {
    vec![
        WheelSpec::simple("app", "1.0")
            .requires("lib>=1,<2")
            .requires("colour; extra == 'pretty'")
            .requires("winonly; sys_platform == 'win32'")
            .extra("pretty", &["shapes>=1"]),
        WheelSpec::simple("lib", "1.0").requires("core"),
        WheelSpec::simple("lib", "1.5").requires("core"),
        WheelSpec::simple("lib", "2.0").requires("core"),
        WheelSpec::simple("core", "3.0"),
        WheelSpec::simple("core", "4.0rc1"),
        WheelSpec::simple("colour", "1.0"),
        WheelSpec::simple("shapes", "1.0").requires("core>=2"),
    ]
}

#[test]
fn a_tree_shows_who_requires_whom_with_the_extras_in_force() {
    let Some(world) = World::started(wheels()) else {
        return;
    };
    world.install("demo", &["app[pretty]", "lib<2"]).success();
    insta::assert_snapshot!(world.change("tree", "demo", &[]), @"
    exit status: 0
    --- stdout
    app 1.0
    ├── colour 1.0
    ├── lib 1.5  >=1,<2
    │   └── core 3.0
    └── shapes 1.0  >=1
        └── core 3.0  >=2
    lib 1.5 (*)
    ");
    insta::assert_snapshot!(world.change("tree", "demo", &["--invert", "core"]), @"
    exit status: 0
    --- stdout
    core 3.0
    ├── lib 1.5
    │   └── app 1.0  requires lib>=1,<2
    └── shapes 1.0  requires core>=2
        └── app 1.0  requires shapes>=1
    ");
    let json = world.change("tree", "demo", &["--json"]).success().json();
    assert_eq!(json["requirements"][0]["name"], "app");
    assert_eq!(json["requirements"][0]["extras"][0], "pretty");
    let names: Vec<_> = json["packages"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|package| package["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, ["app", "colour", "core", "lib", "shapes"]);
    insta::assert_snapshot!(world.change("tree", "demo", &["ghost"]), @"
    exit status: 1
    --- stderr
    error: package ghost is not installed in environment demo
    hint: `blast list --env demo` lists what is
    ");
}

#[test]
fn why_shows_the_way_from_what_was_asked_for() {
    let Some(world) = World::started(wheels()) else {
        return;
    };
    world.install("demo", &["app[pretty]", "lib<2"]).success();
    insta::assert_snapshot!(world.change("why", "demo", &["core"]), @"
    exit status: 0
    --- stdout
    core 3.0
      asked for: `lib<2`
        lib 1.5 requires core
      asked for: `app[pretty]`
        app 1.0 requires lib>=1,<2
        lib 1.5 requires core
    ");
    insta::assert_snapshot!(world.change("why", "demo", &["app"]), @"
    exit status: 0
    --- stdout
    app 1.0
      asked for as `app[pretty]`
    ");
    let json = world
        .change("why", "demo", &["shapes", "--json"])
        .success()
        .json();
    assert_eq!(json["requested"], false);
    let chain: Vec<_> = json["chains"][0]
        .as_array()
        .expect("a chain")
        .iter()
        .map(|need| need["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(chain, ["app", "shapes"]);
    insta::assert_snapshot!(world.change("why", "demo", &["ghost"]), @"
    exit status: 1
    --- stderr
    error: package ghost is not installed in environment demo
    hint: `blast list --env demo` lists what is
    ");
}

#[test]
fn outdated_tells_what_is_allowed_and_what_holds_the_rest() {
    let Some(world) = World::started(wheels()) else {
        return;
    };
    world.install("demo", &["app", "lib==1.0"]).success();
    insta::assert_snapshot!(world.change("outdated", "demo", &[]), @"
    exit status: 0
    --- stdout
    Package  Version  Allowed  Newest  Held by
    lib      1.0      1.0      2.0     you asked for ==1.0, app requires >=1,<2
    ");
    insta::assert_snapshot!(world.change("outdated", "demo", &["--pre"]), @"
    exit status: 0
    --- stdout
    Package  Version  Allowed  Newest  Held by
    core     3.0      4.0rc1   4.0rc1
    lib      1.0      1.0      2.0     you asked for ==1.0, app requires >=1,<2
    --- stderr
    `blast update --env demo` takes what is allowed, under the same options
    ");
    let json = world
        .change("list", "demo", &["--outdated", "--json"])
        .success()
        .json();
    assert_eq!(json["packages"][0]["name"], "lib");
    assert_eq!(json["packages"][0]["allowed"], "1.0");
    assert_eq!(json["packages"][0]["newest"], "2.0");
    world.install("demo", &["lib<2"]).success();
    let json = world
        .change("outdated", "demo", &["--json"])
        .success()
        .json();
    assert_eq!(json["packages"][0]["allowed"], "1.5");
    world.change("update", "demo", &[]).success();
    let json = world
        .change("outdated", "demo", &["--json"])
        .success()
        .json();
    assert_eq!(json["packages"][0]["version"], "1.5");
    world.change("remove", "demo", &["app", "lib"]).success();
    insta::assert_snapshot!(world.change("outdated", "demo", &[]), @"
    exit status: 0
    --- stderr
    every package of environment demo has its newest version
    ");
}
