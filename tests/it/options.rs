//! Options of resolving, from the command line and `[tool.blast]` down to what is chosen.

use std::fs;

use blast_harness::{Format, Release, WheelSpec};

use crate::world::World;

/// An index with two dated versions of `demo` and one of `bare`, which has no date.
fn dated() -> Option<World> {
    let world = World::with([WheelSpec::simple("bare", "1.0")])?;
    for (version, time) in [("1.0", "2026-01-10"), ("2.0", "2026-02-10")] {
        let release = Release::of(&WheelSpec::simple("demo", version));
        world
            .index
            .publish(release.uploaded(&format!("{time}T12:00:00Z")));
    }
    Some(world)
}

/// Locks and gives the lock's text.
#[track_caller]
fn lock(world: &World, words: &[&str]) -> String {
    let args = ["lock", "--upgrade", "--output", "pylock.toml"];
    world.blast(args.iter().chain(words)).success();
    fs::read_to_string(world.project().join("pylock.toml")).expect("written")
}

#[test]
fn a_limit_of_time_holds_by_flag_and_by_project() {
    let Some(world) = dated() else { return };
    for format in [Format::Negotiated, Format::Html] {
        world.index.set_format(format);
        assert!(lock(&world, &["demo"]).contains("version = \"2.0\""));
        for limit in [
            "2026-02-10T12:00:00Z",
            "2026-02-08",
            "2026-01-10T14:00:01+02:00",
        ] {
            let text = lock(&world, &["demo", "--exclude-newer", limit]);
            assert!(text.contains("version = \"1.0\""), "{limit}: {text}");
        }
    }
    world.write(
        "pyproject.toml",
        "[project]\nname='x'\nversion='0'\ndependencies=['demo']\n\
         [tool.blast]\nexclude-newer = 2026-02-01\n",
    );
    assert!(lock(&world, &[]).contains("version = \"1.0\""));
    let all = lock(&world, &["--exclude-newer", "2026-03-01"]);
    assert!(all.contains("version = \"2.0\""), "the flag wins: {all}");
    let exempt = lock(&world, &["--exclude-newer-package", "demo=false"]);
    assert!(exempt.contains("version = \"2.0\""), "{exempt}");
}

#[test]
fn what_is_of_unknown_age_is_not_taken_under_a_limit_of_time() {
    let Some(world) = dated() else { return };
    let refused = world.blast(["lock", "bare", "--exclude-newer", "2 weeks"]);
    refused
        .exits(1)
        .says("bare 1.0 is without the upload time that exclude-newer needs")
        .says("--exclude-newer-package bare=false");
    let args = ["bare", "demo", "--exclude-newer", "2026-02-01"];
    let exempt = ["--exclude-newer-package", "bare=false"];
    let text = lock(&world, &[&args[..], &exempt[..]].concat());
    assert!(text.contains("name = \"bare\""), "{text}");
    world
        .blast(["lock", "demo", "--exclude-newer", "soon"])
        .exits(2)
        .says("2 weeks");
}

#[test]
fn a_limit_of_time_holds_for_installing_and_spares_what_is_installed() {
    let Some(world) = dated() else { return };
    world.start("demo");
    world.install("demo", &["bare"]).success();
    world
        .install("demo", &["demo", "--exclude-newer", "2026-02-01"])
        .success();
    assert_eq!(world.inside("demo")["demo"], "1.0");
    world.write("pins.txt", "demo==2.0\nbare==1.0\n");
    let args = ["sync", "--env", "demo", "pins.txt", "--exclude-newer"];
    world
        .blast(args.iter().chain(&["2026-02-01"]))
        .exits(1)
        .says("demo==2.0");
    world.blast(args.iter().chain(&["2026-03-01"])).success();
    assert_eq!(world.inside("demo")["demo"], "2.0");
}
