//! `blast revert`, `redo`, `log` and `diff`.

use crate::world::{World, demo_wheels, packages};

/// An environment with two installs behind it.
fn changed_twice() -> Option<World> {
    let world = World::started(demo_wheels())?;
    world.install("demo", &["demo==1.0"]).success();
    world.install("demo", &["demo==2.0"]).success();
    Some(world)
}

#[test]
fn revert_brings_the_former_state_back() {
    let Some(world) = changed_twice() else { return };
    insta::assert_snapshot!(world.change("revert", "demo", &[]), @"
    exit status: 0
    --- stderr
    undid operation 3 (install demo helper)
     ~ demo 2.0 -> 1.0
     ~ helper 2.0 -> 1.0
    operation 4 · undo with `blast redo --env demo` (2 packages, [TIME])
    ");
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "1.0"), ("helper", "1.0")])
    );
    world
        .python_in("demo", "import demo; assert demo.__version__ == '1.0'")
        .success();
}

#[test]
fn revert_again_goes_further_back_and_redo_forward() {
    let Some(world) = changed_twice() else { return };
    world.change("revert", "demo", &[]).success();
    world.change("revert", "demo", &[]).success();
    assert_eq!(world.inside("demo"), packages([]));
    world.change("redo", "demo", &[]).success();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "1.0"), ("helper", "1.0")])
    );
    world.change("redo", "demo", &[]).success();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "2.0"), ("helper", "2.0")])
    );
    insta::assert_snapshot!(world.change("redo", "demo", &[]), @"
    exit status: 1
    --- stderr
    error: there is nothing to redo in `demo`
    hint: `blast log --env demo` shows the history
    ");
}

#[test]
fn going_back_and_forth_is_told_as_json() {
    let Some(world) = changed_twice() else { return };
    world.change("save", "demo", &["good"]).success();
    let told = world.change("revert", "demo", &["--json"]).success().json();
    assert_eq!(told["operation"], 5, "{told}");
    assert_eq!(told["changes"][0]["after"], "1.0", "{told}");
    let told = world.change("redo", "demo", &["--json", "--dry-run"]);
    let told = told.success().json();
    assert_eq!(told["dry_run"], true, "{told}");
    assert_eq!(told["changes"][0]["after"], "2.0", "{told}");
    let told = world.change("load", "demo", &["--json", "good"]);
    assert_eq!(told.success().json()["operation"], 6);
    for line in [&["revert", "--json", "999"][..], &["load", "--json", "no"]] {
        let told = world.change(line[0], "demo", &line[1..]).exits(1).json();
        assert_eq!(told["error"]["kind"], "no", "{told}");
    }
}

#[test]
fn before_the_first_operation_there_is_nothing_to_revert_to() {
    let Some(world) = World::started([]) else {
        return;
    };
    insta::assert_snapshot!(world.change("revert", "demo", &[]), @"
    exit status: 1
    --- stderr
    error: there is nothing to undo in `demo`
    hint: `blast log --env demo` shows the history
    ");
}

#[test]
fn an_install_after_a_revert_leaves_nothing_to_redo() {
    let Some(world) = changed_twice() else { return };
    world.change("revert", "demo", &[]).success();
    world.install("demo", &["helper==1.0"]).success();
    let run = world.change("redo", "demo", &[]);
    assert_ne!(run.code, 0, "{run}");
}

#[test]
fn a_state_is_named_by_operation_by_distance_or_by_generation() {
    let Some(world) = changed_twice() else { return };
    let log = world.change("log", "demo", &["--json"]).success().json();
    let operations = log["operations"].as_array().expect("a list").clone();
    let second = operations
        .iter()
        .find(|op| op["id"] == 2)
        .expect("the first install");
    let generation = second["after"].as_str().expect("an id");
    let old = packages([("demo", "1.0"), ("helper", "1.0")]);
    for target in ["2", "@{-1}", &generation[..12]] {
        world.change("revert", "demo", &[target]).success();
        assert_eq!(world.inside("demo"), old, "{target}");
        world.install("demo", &["demo==2.0"]).success();
    }
}

#[test]
fn an_unknown_state_is_named() {
    let Some(world) = changed_twice() else { return };
    for target in ["99", "ffffffffffff", "no-such-snapshot", "@{-99}"] {
        let run = world.change("revert", "demo", &[target]);
        assert_ne!(run.code, 0, "{run}");
        run.says(target);
    }
}

#[test]
fn the_log_tells_every_operation_newest_first() {
    let Some(world) = changed_twice() else { return };
    world.change("revert", "demo", &[]).success();
    let log = world.change("log", "demo", &[]).success();
    let rows: Vec<_> = log.stdout.lines().collect();
    assert_eq!(rows.len(), 5, "{log}");
    for (row, parts) in rows[1..].iter().zip([
        ["@  4 ", "undo operation 3", "~2", "revert --env demo"],
        [
            "   3 ",
            "install demo helper",
            "~2",
            "install --env demo demo==2.0",
        ],
        [
            "   2 ",
            "install demo helper",
            "+2",
            "install --env demo demo==1.0",
        ],
        [
            "   1 ",
            "create",
            "no package changed",
            "start demo --shell bash",
        ],
    ]) {
        for part in parts {
            assert!(row.contains(part), "{part} in {row}");
        }
    }
    let json = world
        .change("log", "demo", &["--json", "-n", "2"])
        .success()
        .json();
    assert_eq!(json["operations"].as_array().map(Vec::len), Some(2));
    assert_eq!(json["operations"][0]["kind"], "undo");
    for operation in json["operations"].as_array().expect("a list") {
        assert!(operation["who"].as_str().is_some_and(|who| !who.is_empty()));
        assert!(operation["at_ms"].as_i64() > Some(0), "{operation}");
        assert!(operation["duration_ms"].is_u64(), "{operation}");
        assert!(
            operation["command"]
                .as_array()
                .is_some_and(|words| words.len() > 3)
        );
        let changes = operation["changes"].as_array().map(Vec::len);
        assert_eq!(changes, Some(2), "{operation}");
    }
}

#[test]
fn diff_tells_what_the_last_operation_changed() {
    let Some(world) = changed_twice() else { return };
    insta::assert_snapshot!(world.change("diff", "demo", &[]), @"
    exit status: 0
    --- stdout
     ~ demo 1.0 -> 2.0
     ~ helper 1.0 -> 2.0
    ");
}

#[test]
fn diff_compares_any_two_states() {
    let Some(world) = changed_twice() else { return };
    insta::assert_snapshot!(world.change("diff", "demo", &["1", "2"]), @"
    exit status: 0
    --- stdout
     + demo==1.0
     + helper==1.0
    ");
    insta::assert_snapshot!(world.change("diff", "demo", &["3", "3"]), @"
    exit status: 0
    --- stderr
    no package differs
    ");
}

#[test]
fn a_dry_revert_changes_nothing() {
    let Some(world) = changed_twice() else { return };
    insta::assert_snapshot!(world.change("revert", "demo", &["--dry-run"]), @"
    exit status: 0
    --- stdout
     ~ demo 2.0 -> 1.0
     ~ helper 2.0 -> 1.0
    --- stderr
    would undo operation 3 (install demo helper)
    dry run: nothing was changed; it would then hold 2 packages
    ");
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "2.0"), ("helper", "2.0")])
    );
}

#[test]
fn history_survives_the_daemon() {
    let Some(world) = changed_twice() else { return };
    let before = world.change("log", "demo", &["--json"]).success().stdout;
    world.blast(["kill", "--all"]).success();
    assert_eq!(
        world.change("log", "demo", &["--json"]).success().stdout,
        before
    );
    world.change("revert", "demo", &[]).success();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "1.0"), ("helper", "1.0")])
    );
}
