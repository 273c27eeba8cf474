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

/// `app` needs `lib`, of which there are three versions and a pre-release, and `extra`.
fn layered() -> Option<World> {
    let libs = ["1.0", "1.5", "2.0", "3.0rc1"].map(|version| WheelSpec::simple("lib", version));
    let app = WheelSpec::simple("app", "1.0")
        .requires("lib>=1")
        .requires("extra");
    World::with(
        libs.into_iter()
            .chain([app, WheelSpec::simple("extra", "1.0")]),
    )
}

/// The version of a package that a lock's text has.
fn locked<'a>(text: &'a str, package: &str) -> Option<&'a str> {
    let (_, after) = text.split_once(&format!("name = \"{package}\"\n"))?;
    after.strip_prefix("version = \"")?.split('"').next()
}

#[test]
fn each_option_changes_what_is_chosen_by_flag_and_by_project() {
    let Some(world) = layered() else { return };
    world.write("c.txt", "lib<2\n");
    world.write("o.txt", "lib>=3.0rc1\n");
    for (flags, setting, lib) in [
        (&["--exclude", "nobody"][..], "exclude = ['nobody']", "2.0"),
        (&["--constraint", "c.txt"], "constraints = ['lib<2']", "1.5"),
        (&["-c", "c.txt"], "constraints = ['lib<2']", "1.5"),
        (
            &["--override", "o.txt"],
            "overrides = ['lib>=3.0rc1']",
            "3.0rc1",
        ),
        (&["--resolution", "lowest"], "resolution = 'lowest'", "1.0"),
        (
            &["--resolution", "lowest-direct"],
            "resolution = 'lowest-direct'",
            "2.0",
        ),
        (&["--prerelease", "allow"], "prerelease = 'allow'", "3.0rc1"),
        (&["--pre"], "prerelease = 'allow'", "3.0rc1"),
        (
            &["--prereleases", "if-necessary-or-explicit"],
            "prerelease = 'if-necessary'",
            "2.0",
        ),
    ] {
        let text = lock(&world, &[&["app"], flags].concat());
        assert_eq!(locked(&text, "lib"), Some(lib), "{flags:?}: {text}");
        world.write(
            "pyproject.toml",
            format!(
                "[project]\nname='x'\nversion='0'\ndependencies=['app']\n[tool.blast]\n{setting}\n"
            ),
        );
        let text = lock(&world, &[]);
        assert_eq!(locked(&text, "lib"), Some(lib), "{setting}: {text}");
        fs::remove_file(world.project().join("pyproject.toml")).expect("written above");
    }
}

#[test]
fn an_excluded_package_is_left_out_whoever_asks() {
    let Some(world) = layered() else { return };
    let text = lock(&world, &["app", "--exclude", "Extra"]);
    assert_eq!(locked(&text, "extra"), None, "{text}");
    assert_eq!(locked(&text, "lib"), Some("2.0"));
    world.start("demo");
    world
        .install("demo", &["app", "--exclude", "extra,lib"])
        .success();
    assert_eq!(world.inside("demo").len(), 1);
    world
        .install("demo", &["extra", "--exclude", "extra"])
        .success()
        .says("it is left out");
}

#[test]
fn constraints_and_overrides_hold_for_every_change() {
    let Some(world) = layered() else { return };
    world.write("c.txt", "lib<2\n");
    world.write("o.txt", "lib==1.0\n");
    world.start("demo");
    world.install("demo", &["app", "-c", "c.txt"]).success();
    assert_eq!(world.inside("demo")["lib"], "1.5");
    world
        .change("update", "demo", &["--override", "o.txt"])
        .success();
    assert_eq!(world.inside("demo")["lib"], "1.0");
    world.change("update", "demo", &["-c", "c.txt"]).success();
    assert_eq!(world.inside("demo")["lib"], "1.5");
    world.write("pins.txt", "app==1.0\nlib==2.0\nextra==1.0\n");
    world
        .change("sync", "demo", &["pins.txt", "-c", "c.txt"])
        .exits(1)
        .says("lib<2");
    world.change("sync", "demo", &["pins.txt"]).success();
    assert_eq!(world.inside("demo")["lib"], "2.0");
}

#[test]
fn a_lock_can_be_for_another_platform() {
    let Some(world) = World::with([]) else { return };
    for tag in [
        "py3-none-win_amd64",
        "py3-none-macosx_11_0_arm64",
        "py3-none-manylinux_2_17_aarch64",
    ] {
        world
            .index
            .add(&WheelSpec::simple("native", "1.0").tag(tag));
    }
    for (platform, machine) in [
        ("windows", "AMD64"),
        ("macos", "arm64"),
        ("aarch64-manylinux_2_28", "aarch64"),
    ] {
        let text = lock(&world, &["native", "--python-platform", platform]);
        assert!(
            text.contains(&format!("platform_machine == '{machine}'")),
            "{text}"
        );
    }
    let args = ["lock", "native", "--python-platform"];
    world
        .blast(args.iter().chain(&["x86_64-apple-darwin"]))
        .exits(1)
        .says("native 1.0 is without a wheel for this platform");
    world
        .blast(args.iter().chain(&["amiga"]))
        .exits(2)
        .says("x86_64-manylinux_2_28");
}

#[test]
fn groups_are_chosen_by_the_same_flags_everywhere() {
    let wheels = ["base", "tester", "docs", "lint"].map(|name| WheelSpec::simple(name, "1.0"));
    let Some(world) = World::with(wheels) else {
        return;
    };
    let project = "[project]\nname='x'\nversion='0'\ndependencies=['base']\n\
                   [dependency-groups]\ndev=['tester']\ndocs=['docs']\nlint=['lint']\n";
    world.write("pyproject.toml", project);
    world.start("demo");
    let names = |world: &World| world.inside("demo").into_keys().collect::<Vec<_>>();
    for (flags, wanted) in [
        (&[][..], &["base", "tester"][..]),
        (&["--group", "docs"], &["base", "docs", "tester"]),
        (&["--no-default-groups"], &["base"]),
        (
            &["--no-groups", "--group", "docs,lint"],
            &["base", "docs", "lint"],
        ),
        (&["--only-group", "docs"], &["docs"]),
    ] {
        let sync = ["pyproject.toml"].iter().chain(flags).copied();
        world
            .change("sync", "demo", &sync.collect::<Vec<_>>())
            .success();
        assert_eq!(names(&world), wanted, "{flags:?}");
        let text = lock(&world, flags);
        for name in ["base", "tester", "docs", "lint"] {
            let is_locked = locked(&text, name).is_some();
            // Without a choice a project is locked with all its groups.
            let wants = flags.is_empty() || wanted.contains(&name);
            assert_eq!(is_locked, wants, "{flags:?} {name}");
        }
    }
    world
        .change("sync", "demo", &["pylock.toml", "--only-group", "docs"])
        .exits(2)
        .says("blast sync pyproject.toml --only-group");
    world.install("demo", &["--group", "lint"]).success();
    assert_eq!(names(&world), ["docs", "lint"]);
    world.write(
        "pyproject.toml",
        format!("{project}[tool.blast]\ndefault-groups=['lint']\n"),
    );
    world.change("sync", "demo", &["pyproject.toml"]).success();
    assert_eq!(names(&world), ["base", "lint"]);
}

#[test]
fn a_lock_is_followed_as_it_stands() {
    let Some(world) = layered() else { return };
    world.start("demo");
    lock(&world, &["app"]);
    world
        .change("sync", "demo", &["pylock.toml", "--resolution", "lowest"])
        .success()
        .says("followed as it stands");
    assert_eq!(world.inside("demo")["lib"], "2.0");
}

#[test]
fn a_key_that_nobody_reads_is_an_error_and_never_passed_over() {
    let Some(world) = dated() else { return };
    world.start("demo");
    let project = "[project]\nname='x'\nversion='0'\ndependencies=['demo']\n[tool.blast]\n";
    for (setting, said) in [
        (
            "exclude-never = 2026-02-01",
            "did you mean `exclude-newer`?",
        ),
        (
            "exclude_newer = 2026-02-01",
            "did you mean `exclude-newer`?",
        ),
        ("defaults-groups = []", "did you mean `default-groups`?"),
        ("lasers = { network = false }", "unknown to this version"),
        ("view = 'files'", "config.toml"),
    ] {
        world.write("pyproject.toml", format!("{project}{setting}\n"));
        for words in [
            &["lock"][..],
            &["sync", "--env", "demo"],
            &["install", "--env", "demo", "bare"],
        ] {
            let key = setting.split(' ').next().expect("a key");
            let run = world.blast(words).exits(2);
            run.says("pyproject.toml")
                .says(&format!("`{key}`"))
                .says(said);
        }
    }
    assert!(!world.project().join("pylock.toml").exists());
    world.write(
        "pyproject.toml",
        format!("{project}exclude-newer = 2026-02-01\n"),
    );
    assert!(lock(&world, &[]).contains("version = \"1.0\""));
}

#[test]
fn the_users_file_has_keys_of_indexes_too_and_no_others() {
    let Some(world) = dated() else { return };
    let config = world.root().join("config/blast/config.toml");
    fs::create_dir_all(config.parent().expect("below")).expect("ours");
    fs::write(
        &config,
        "view = \"auto\"\nindex-strategy = \"first-index\"\n",
    )
    .expect("ours");
    world.blast(["lock", "demo"]).success();
    fs::write(&config, "index-stratgy = \"first-index\"\n").expect("ours");
    let run = world.blast(["lock", "demo"]).exits(2);
    run.says("config.toml")
        .says("did you mean `index-strategy`?");
    fs::remove_file(&config).expect("ours");
}
