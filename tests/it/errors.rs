//! Bad input: what cannot be installed is explained, changes nothing, and exits with 1.

use blast_harness::WheelSpec;
use serde_json::Value;

use crate::world::{World, demo_wheels, packages};

#[test]
fn an_unknown_package_is_named() {
    let Some(world) = World::started([]) else {
        return;
    };
    insta::assert_snapshot!(world.install("demo", &["no-such-package"]), @"
    exit status: 1
    --- stderr
    error: no set of versions meets the requirements:
        because you require `no-such-package`,
        and no-such-package is not on the index
    hint: check the spelling of `no-such-package`, and whether the index in use has it
    ");
}

#[test]
fn an_unknown_dependency_is_named_with_who_needs_it() {
    let Some(world) = World::started([WheelSpec::simple("demo", "1.0").requires("ghost")]) else {
        return;
    };
    insta::assert_snapshot!(world.install("demo", &["demo"]), @"
    exit status: 1
    --- stderr
    error: no set of versions meets the requirements:
        because you require `demo`,
        and demo 1.0 depends on `ghost`,
        and ghost is not on the index
    hint: check the spelling of `ghost`, and whether the index in use has it
    ");
}

#[test]
fn a_version_that_nobody_made_is_named_with_those_there_are() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    insta::assert_snapshot!(world.install("demo", &["demo>=3"]), @"
    exit status: 1
    --- stderr
    error: no set of versions meets the requirements:
        because you require `demo>=3`,
        and no version of demo matches `demo>=3` (there are 1.0 and 2.0)
    ");
}

#[test]
fn requirements_that_exclude_each_other_are_explained() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    insta::assert_snapshot!(world.install("demo", &["demo==1.0", "helper==2.0"]), @"
    exit status: 1
    --- stderr
    error: no set of versions meets the requirements:
        because you require `demo==1.0` and `helper==2.0`,
        and demo 1.0 depends on `helper<2`
    hint: lift the pin of your `helper==2.0`: demo 1.0 asks for `helper<2`
    ");
    assert_eq!(world.inside("demo"), packages([]));
}

#[test]
fn a_conflict_deep_down_is_explained_by_its_chain() {
    let Some(world) = World::started([
        WheelSpec::simple("app", "1.0")
            .requires("left")
            .requires("right"),
        WheelSpec::simple("left", "1.0").requires("shared<2"),
        WheelSpec::simple("right", "1.0").requires("shared>=2"),
        WheelSpec::simple("shared", "1.0"),
        WheelSpec::simple("shared", "2.0"),
    ]) else {
        return;
    };
    insta::assert_snapshot!(world.install("demo", &["app"]), @"
    exit status: 1
    --- stderr
    error: no set of versions meets the requirements:
        because you require `app`,
        and app 1.0 depends on `left` and `right`,
        and left 1.0 depends on `shared<2`,
        and right 1.0 depends on `shared>=2`
    hint: left 1.0 keeps `shared` to `<2`, while right 1.0 asks for `shared>=2`: ask for other versions of one of them, or lift the bound by `--override FILE` with `shared>=2` in it, at your own risk
    ");
}

#[test]
fn a_package_for_other_pythons_only_says_so() {
    let Some(world) = World::started([WheelSpec::simple("demo", "1.0").tag("cp27-cp27m-win32")])
    else {
        return;
    };
    insta::assert_snapshot!(world.install("demo", &["demo"]), @"
    exit status: 1
    --- stderr
    error: no set of versions meets the requirements:
        because you require `demo`,
        and demo 1.0 is without a wheel for this platform (there is cp27-cp27m-win32)
    hint: `demo` has neither a wheel for Python [MINOR] on this platform nor a source distribution: another Python version may have one
    ");
}

#[test]
fn a_requirement_that_cannot_be_read_is_shown() {
    let Some(world) = World::started([]) else {
        return;
    };
    insta::assert_snapshot!(world.install("demo", &["demo=>1"]), @r#"
    exit status: 2
    --- stderr
    error: `demo=>1` is no requirement: no such comparison operator "=>", must be one of ~= == != <= >= < > ===
    hint: a requirement looks like `flask`, `"flask>=3"` or `name @ URL`
    "#);
    world.write("requirements.txt", "fine\n\nnot fine at all!\n");
    let run = world.install("demo", &["-r", "requirements.txt"]);
    assert_ne!(run.code, 0, "{run}");
    run.says("requirements.txt").says("3");
}

#[test]
fn nothing_asked_for_is_a_usage_error() {
    let Some(world) = World::started([]) else {
        return;
    };
    insta::assert_snapshot!(world.install("demo", &[]), @"
    exit status: 2
    --- stderr
    error: nothing to install
    hint: name packages: `blast install flask`
    hint: or a file: `blast install -r requirements.txt`
    ");
}

#[test]
fn a_file_that_two_packages_bring_is_no_secret() {
    let both =
        |name: &str| WheelSpec::simple(name, "1.0").file("shared.py", &format!("who = '{name}'\n"));
    let Some(world) = World::started([both("a"), both("b")]) else {
        return;
    };
    world.install("demo", &["a", "b"]).success();
    // One of the two wins for good; both packages work.
    let code = "import a, b, shared; print(shared.who)";
    let first = world.python_in("demo", code).success();
    assert_eq!(world.python_in("demo", code).out(), first.out());
}

#[test]
fn a_conflict_is_data_where_json_is_asked_for() {
    let Some(world) = World::started([
        WheelSpec::simple("app", "1.0").requires("shared<2"),
        WheelSpec::simple("shared", "1.0"),
        WheelSpec::simple("shared", "2.0"),
        WheelSpec::simple("shared", "3.0rc1"),
    ]) else {
        return;
    };
    world.write("r.txt", "app\nshared>=2\n");
    for args in [
        &["install", "--env", "demo", "app", "shared>=2"][..],
        &["sync", "--env", "demo", "r.txt"],
        &["lock", "app", "shared>=2"],
    ] {
        let run = world
            .blast(args.iter().chain(&["--json"]))
            .exits(1)
            .says("lower the bound of your `shared>=2`: app 1.0 asks for `shared<2`");
        let document: Value = serde_json::from_str(&run.stdout).expect("JSON on stdout");
        let error = &document["error"];
        assert_eq!(
            (&document["schema"], &error["kind"]),
            (&1.into(), &"conflict".into())
        );
        let steps = error["steps"].as_array().expect("steps");
        let kinds: Vec<_> = steps.iter().map(|step| step["kind"].as_str()).collect();
        assert_eq!(kinds, [Some("asked"), Some("depends")], "{steps:?}");
        assert_eq!(steps[1]["versions"]["range"], "==1.0");
        assert_eq!(steps[1]["requirements"][0], "shared<2");
        assert_eq!(steps[1]["text"], "app 1.0 depends on `shared<2`");
        let remedy = &error["remedies"][0];
        assert_eq!(remedy["kind"], "lower-bound");
        assert_eq!(
            (&remedy["package"], &remedy["range"]),
            (&"shared".into(), &"shared>=2".into())
        );
    }
    let fine = world.blast(["install", "--env", "demo", "app", "--json"]);
    assert_eq!(fine.success().json()["changes"][0]["name"], "app");
    let locked = world.blast(["lock", "app", "--json"]).success().json();
    assert_eq!(
        (&locked["packages"], &locked["unchanged"]),
        (&2.into(), &false.into())
    );
    let bad = world.blast(["install", "--env", "demo", "a b", "--json"]);
    assert_eq!(bad.exits(2).json()["error"]["kind"], "usage");
}
