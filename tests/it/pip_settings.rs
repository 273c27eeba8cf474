//! Settings of pip's (`pip.conf`, `PIP_*`) that choose versions and files: heeded, or told.

use blast_harness::{Release, SdistSpec, WheelSpec};

use crate::world::{World, demo_wheels, packages};

fn world() -> Option<World> {
    let early = [
        WheelSpec::simple("early", "1.0"),
        WheelSpec::simple("early", "2.0a1"),
    ];
    let mut world = World::started(demo_wheels().into_iter().chain(early))?;
    world.write("limits.txt", "demo<2\n");
    let file = world.write(
        "pip.conf",
        "[global]\nconstraint = limits.txt\nuser = false\n[install]\npre = true\nno-deps = true\n",
    );
    world.sandbox.set("PIP_CONFIG_FILE", file);
    Some(world)
}

#[test]
fn what_means_the_same_is_heeded_and_the_rest_is_told_once() {
    let Some(mut world) = world() else { return };
    let run = world.install("demo", &["demo", "early"]).success();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "1.0"), ("helper", "1.0"), ("early", "2.0a1")])
    );
    assert_eq!(
        run.stderr.matches("mean nothing to blast").count(),
        1,
        "{run}"
    );
    let run = run.says("no-deps (").says("pip.conf)");
    assert!(
        !run.stderr.contains("user ("),
        "what is off is not told: {run}"
    );

    // What a project says is nearer, and so is a flag.
    world.write(
        "pyproject.toml",
        "[project]\nname = \"p\"\nversion = \"1\"\n[tool.blast]\nprerelease = \"disallow\"\n",
    );
    world.start("second");
    world.install("second", &["early"]).success();
    assert_eq!(world.inside("second"), packages([("early", "1.0")]));

    world.sandbox.set("PIP_REQUIRE_HASHES", "1");
    world
        .install("second", &["demo"])
        .exits(1)
        .says("`demo` has no hash")
        .says("PIP_REQUIRE_HASHES");
    world.sandbox.set("PIP_REQUIRE_HASHES", "perhaps");
    world
        .install("second", &["demo"])
        .exits(2)
        .says("PIP_REQUIRE_HASHES");
}

#[test]
fn files_are_chosen_and_built_as_pips_settings_say() {
    let Some(mut world) = World::started([]) else {
        return;
    };
    let wheel = WheelSpec::new("made", "1.0").file("made.py", "origin = 'wheel'\n");
    let sdist = SdistSpec::simple("made", "1.0").file("src/made.py", "origin = 'sources'\n");
    world.index.publish(Release::of(&wheel));
    world.index.publish(Release::sdist(&sdist));
    world.sandbox.set("PIP_NO_BINARY", "made");
    world.sandbox.set("PIP_CONFIG_SETTINGS", "mood=good");
    world.install("demo", &["made"]).success();
    let tell = "import made, pathlib; print(made.origin, (pathlib.Path(made.__file__).parent / 'settings.txt').read_text())";
    let run = world.python_in("demo", tell);
    assert_eq!(run.out(), "sources [('mood', 'good')]");
    world.sandbox.unset("PIP_NO_BINARY");
    world.sandbox.set("PIP_ONLY_BINARY", ":all:");
    world.start("second");
    world.install("second", &["made"]).success();
    let run = world.python_in("second", "import made; print(made.origin)");
    assert_eq!(run.out(), "wheel");
    world.sandbox.set("PIP_UPLOADED_PRIOR_TO", "2020-01-01");
    world.start("third");
    world.install("third", &["made"]).exits(1);
}

#[test]
fn the_pip_of_an_environment_takes_every_option_from_its_files() {
    let Some(world) = world() else { return };
    let pip = [
        "run", "--env", "demo", "--", "python", "-m", "pip", "install",
    ];
    let run = world.blast(pip.iter().chain(&["demo", "early"])).success();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "1.0"), ("early", "2.0a1")]),
        "without what it needs: {run}"
    );
    assert!(!run.stderr.contains("mean nothing"), "{run}");
}
