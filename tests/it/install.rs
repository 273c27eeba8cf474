//! `blast install`.

use std::fs;

use blast_harness::{Format, Hit, Release, WheelSpec};

use crate::world::{World, demo_wheels, packages};

#[test]
fn a_package_comes_with_what_it_needs() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    insta::assert_snapshot!(world.install("demo", &["demo"]), @"
    exit status: 0
    --- stderr
     + demo==2.0
     + helper==2.0
    operation 2 · undo with `blast revert --env demo` (2 packages, [TIME])
    ");
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "2.0"), ("helper", "2.0")])
    );
    world.python_in("demo", "import demo, helper").success();
}

#[test]
fn another_version_replaces_the_first_with_what_it_needs() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["demo"]).success();
    insta::assert_snapshot!(world.install("demo", &["demo==1.0"]), @"
    exit status: 0
    --- stderr
     ~ demo 2.0 -> 1.0
     ~ helper 2.0 -> 1.0
    operation 3 · undo with `blast revert --env demo` (2 packages, [TIME])
    ");
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "1.0"), ("helper", "1.0")])
    );
}

#[test]
fn what_is_there_already_is_nothing_to_do() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["demo"]).success();
    insta::assert_snapshot!(world.install("demo", &["demo"]), @"
    exit status: 0
    --- stderr
    nothing to do: it holds 2 packages, as asked for
    ");
}

#[test]
fn a_dry_run_says_what_would_happen_and_does_not() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    insta::assert_snapshot!(world.install("demo", &["--dry-run", "demo"]), @"
    exit status: 0
    --- stdout
     + demo==2.0
     + helper==2.0
    --- stderr
    dry run: nothing was changed; it would then hold 2 packages
    ");
    assert_eq!(world.inside("demo"), packages([]));
}

#[test]
fn installed_versions_stay_unless_they_must_change() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["helper==1.0"]).success();
    world.install("demo", &["helper"]).success();
    assert_eq!(world.inside("demo"), packages([("helper", "1.0")]));
    world.install("demo", &["--upgrade", "helper"]).success();
    assert_eq!(world.inside("demo"), packages([("helper", "2.0")]));
}

#[test]
fn dependencies_can_be_left_out() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["--no-deps", "demo"]).success();
    assert_eq!(world.inside("demo"), packages([("demo", "2.0")]));
}

#[test]
fn requirements_and_constraints_come_from_files() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.write(
        "requirements.txt",
        "# what we need\ndemo  # the main thing\n",
    );
    world.write("constraints.txt", "demo<2\n");
    world
        .install("demo", &["-r", "requirements.txt", "-c", "constraints.txt"])
        .success();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "1.0"), ("helper", "1.0")])
    );
}

#[test]
fn extras_and_markers_decide_what_is_needed() {
    let Some(world) = World::started([
        WheelSpec::simple("demo", "1.0")
            .extra("fast", &["speed"])
            .requires("never ; python_version < '3'")
            .requires("always ; python_version >= '3'"),
        WheelSpec::simple("speed", "1.0"),
        WheelSpec::simple("always", "1.0"),
    ]) else {
        return;
    };
    world.install("demo", &["demo"]).success();
    assert_eq!(
        world.inside("demo"),
        packages([("always", "1.0"), ("demo", "1.0")])
    );
    world.install("demo", &["demo[fast]"]).success();
    let want = packages([("always", "1.0"), ("demo", "1.0"), ("speed", "1.0")]);
    assert_eq!(world.inside("demo"), want);
}

#[test]
fn prereleases_yanked_files_and_foreign_pythons_are_passed_over() {
    let Some(world) = World::started([
        WheelSpec::simple("demo", "1.0"),
        WheelSpec::simple("demo", "2.0rc1"),
        WheelSpec::simple("demo", "5.0").tag("cp27-cp27m-win32"),
    ]) else {
        return;
    };
    world
        .index
        .publish(Release::of(&WheelSpec::simple("demo", "3.0")).yanked("broken"));
    let foreign = WheelSpec::simple("demo", "4.0").requires_python(">=3.99");
    world
        .index
        .publish(Release::of(&foreign).requires_python(">=3.99"));
    for format in [Format::Negotiated, Format::Html] {
        world.index.set_format(format);
        let env = format!("{format:?}").to_lowercase();
        world.start(&env);
        world.install(&env, &["demo"]).success();
        assert_eq!(
            world.inside(&env),
            packages([("demo", "1.0")]),
            "{format:?}"
        );
    }
    world.install("demo", &["--pre", "demo"]).success();
    assert_eq!(world.inside("demo"), packages([("demo", "2.0rc1")]));
    world.install("demo", &["demo==3.0"]).success();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "3.0")]),
        "a pin takes a yanked file"
    );
}

#[test]
fn a_wheel_is_installed_from_a_path_and_from_an_address() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    let local = WheelSpec::simple("local", "1.0").write_to(&world.wheels());
    world.install("demo", &[&local.to_string_lossy()]).success();
    let url = world.index.file_url("helper-1.0-py3-none-any.whl");
    world
        .install("demo", &[&format!("helper @ {url}")])
        .success();
    assert_eq!(
        world.inside("demo"),
        packages([("helper", "1.0"), ("local", "1.0")])
    );
    let code = "import importlib.metadata as m, json, sys\n\
                text = m.distribution(sys.argv[1]).read_text('direct_url.json')\n\
                print(json.loads(text)['url'])";
    for (name, want) in [
        ("local", format!("file://{}", local.display())),
        ("helper", url),
    ] {
        let run = world.blast(["run", "--env", "demo", "--", "python", "-c", code, name]);
        assert_eq!(run.success().out(), want);
    }
}

#[test]
fn wheels_are_found_in_a_folder_without_any_index() {
    let Some(world) = World::started([]) else {
        return;
    };
    for wheel in demo_wheels() {
        wheel.write_to(&world.wheels());
    }
    let folder = world.wheels();
    let folder = folder.to_string_lossy();
    world
        .install("demo", &["--no-index", "--find-links", &folder, "demo"])
        .success();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "2.0"), ("helper", "2.0")])
    );
    assert_eq!(world.index.count("/"), 0, "the index was not asked");
}

#[test]
fn hashes_in_a_requirements_file_are_kept_to() {
    let Some(world) = World::started([WheelSpec::simple("demo", "1.0")]) else {
        return;
    };
    let wrong = "0".repeat(64);
    world.write(
        "requirements.txt",
        format!("demo==1.0 --hash=sha256:{wrong}\n"),
    );
    world
        .install("demo", &["-r", "requirements.txt"])
        .exits(1)
        .says("demo");
    assert_eq!(world.inside("demo"), packages([]));
}

#[test]
fn metadata_is_read_without_fetching_files_that_are_not_taken() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["demo"]).success();
    assert_eq!(world.index.count("/files/demo-1.0-py3-none-any.whl"), 0);
    let whole = |hit: &&Hit| {
        hit.path.contains(".whl") && !hit.path.contains(".metadata") && hit.range.is_none()
    };
    assert_eq!(
        world.index.hits().iter().filter(whole).count(),
        2,
        "one download per package"
    );
}

#[test]
fn metadata_comes_out_of_the_wheel_where_the_index_has_none_beside_it() {
    let Some(world) = World::started([]) else {
        return;
    };
    for wheel in demo_wheels() {
        world.index.publish(Release::of(&wheel).without_metadata());
    }
    world.install("demo", &["demo"]).success();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "2.0"), ("helper", "2.0")])
    );
    world.index.set_ranges(false);
    world.blast(["envs", "rm", "demo"]).success();
    fs::remove_dir_all(world.root().join("cache/blast")).expect("the cache can be deleted");
    world.start("again");
    world.install("again", &["demo==1.0"]).success();
    assert_eq!(
        world.inside("again"),
        packages([("demo", "1.0"), ("helper", "1.0")])
    );
}

#[test]
fn the_second_environment_fetches_nothing() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["demo"]).success();
    world.start("second");
    world.index.forget_hits();
    world.install("second", &["demo"]).success();
    assert_eq!(world.index.hits(), [], "all is known and stored");
    assert_eq!(world.inside("second"), world.inside("demo"));
}
