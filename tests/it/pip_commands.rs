//! The commands of pip that install nothing: settings, cache, hashes, versions, locks, completion.

use std::fs;

use blast_harness::{Release, Run, SdistSpec, WheelSpec};

use crate::world::{World, demo_wheels, packages};

fn pip(world: &World, words: &[&str]) -> Run {
    let all = ["run", "--env", "demo", "--", "python", "-m", "pip"];
    world.blast(all.iter().chain(words))
}

#[test]
fn settings_are_changed_in_the_users_file_and_comments_stay() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    let run = pip(&world, &["config", "debug"]).success();
    let path = run
        .stdout
        .lines()
        .filter_map(|line| line.trim().strip_suffix(", exists: False"))
        .rfind(|line| line.ends_with("pip.conf"))
        .expect("the user's file is last")
        .to_owned();
    fs::create_dir_all(std::path::Path::new(&path).parent().expect("a folder")).expect("made");
    fs::write(&path, "# mine\n[global]\ntimeout = 10\n").expect("written");
    let set = pip(
        &world,
        &[
            "config",
            "set",
            "global.extra-index-url",
            "http://u:p@127.0.0.1:1/",
        ],
    );
    assert_eq!(set.success().out(), format!("Writing to {path}"));
    let text = fs::read_to_string(&path).expect("readable");
    assert_eq!(
        text,
        "# mine\n[global]\ntimeout = 10\nextra-index-url = http://u:p@127.0.0.1:1/\n"
    );
    let listed = pip(&world, &["config", "--user", "list"]).success();
    assert_eq!(
        listed.stdout,
        "global.extra-index-url='http://****@127.0.0.1:1/'\nglobal.timeout='10'\n"
    );
    pip(&world, &["config", "unset", "global.extra-index-url"]).success();
    assert_eq!(
        fs::read_to_string(&path).expect("readable"),
        "# mine\n[global]\ntimeout = 10\n"
    );
    let get = pip(&world, &["config", "get", "--user", "global.timeout"]).success();
    assert_eq!(get.out(), "10");
    let debug = pip(&world, &["config", "debug"]).success();
    let shown = format!("  {path}, exists: True\n    global.timeout: 10\n");
    assert!(debug.stdout.contains(&shown), "{debug}");
    for (words, exit, said) in [
        (
            &["config", "unset", "global.nothing"][..],
            1,
            "No such key - global.nothing",
        ),
        (
            &["config", "get", "global.nothing"],
            1,
            "No such key - global.nothing",
        ),
        (
            &["config", "set", "nothing", "1"],
            1,
            "Perhaps you wanted to use 'global.nothing'",
        ),
        (
            &["config", "--user", "--global", "list"],
            1,
            "Need exactly one file",
        ),
        (
            &["config", "--site", "set", "global.a", "1"],
            2,
            "--site is not supported",
        ),
        (&["config", "set", "global.a"], 1, "<VALUE>"),
        (
            &["config", "edit", "--editor", "false"],
            1,
            "exited with exit code 1",
        ),
    ] {
        let run = pip(&world, words).exits(exit);
        assert!(run.stderr.contains(said), "{words:?}: {run}");
    }
    pip(&world, &["config", "edit", "--editor", "sed -i s/10/20/"]).success();
    assert_eq!(
        fs::read_to_string(&path).expect("readable"),
        "# mine\n[global]\ntimeout = 20\n"
    );
}

#[test]
fn wheels_that_were_built_are_listed_and_removed() {
    let Some(world) = World::started([]) else {
        return;
    };
    let cached = |words: &[&str]| pip(&world, &[&["cache"], words].concat());
    assert_eq!(
        cached(&["list"]).success().out(),
        "No locally built wheels cached."
    );
    assert_eq!(
        cached(&["list", "--format", "abspath"]).success().stdout,
        ""
    );
    world
        .index
        .publish(Release::sdist(&SdistSpec::simple("made", "1.0")));
    pip(&world, &["install", "made"]).success();
    let listed = cached(&["list"]).success();
    assert!(
        listed
            .stdout
            .starts_with("Cache contents:\n\n - made-1.0-py3-none-any.whl ("),
        "{listed}"
    );
    let path = cached(&["list", "--format=abspath", "made"]).success();
    assert!(fs::metadata(path.out()).is_ok(), "{path}");
    let none = cached(&["remove", "other"]).success();
    assert!(
        none.stderr
            .contains("WARNING: No matching packages for pattern \"other\""),
        "{none}"
    );
    assert!(
        none.stdout.starts_with("Files removed: 0 (0 bytes)\n"),
        "{none}"
    );
    let one = cached(&["remove", "made"]).success();
    assert!(one.stdout.starts_with("Files removed: 1 ("), "{one}");
    cached(&["remove"]).exits(1);
    cached(&["purge"]).success();
    let info = cached(&["info"]).success();
    assert!(info.stdout.contains("Number of HTTP files: 0\n"), "{info}");
    assert!(
        info.stdout.contains("Number of locally built wheels: 0\n"),
        "{info}"
    );
    // What is installed needs none of it, and what is gone is made again.
    world.blast(["check", "--deep"]).success();
    pip(&world, &["uninstall", "-y", "made"]).success();
    pip(&world, &["install", "--no-cache-dir", "made"]).success();
    assert_eq!(world.inside("demo"), packages([("made", "1.0")]));
}

#[test]
fn files_are_hashed_by_the_algorithm_that_is_named() {
    let Some(world) = World::started([]) else {
        return;
    };
    fs::write(world.project().join("file"), "abc").expect("written");
    // FIPS 180-4 has `abc` as its example.
    for (words, begins) in [
        (&["hash", "file"][..], "--hash=sha256:ba7816bf8f01cfea"),
        (
            &["hash", "-a", "sha384", "file"],
            "--hash=sha384:cb00753f45a35e8b",
        ),
        (
            &["hash", "--algorithm=sha512", "file"],
            "--hash=sha512:ddaf35a193617aba",
        ),
    ] {
        let run = pip(&world, words).success();
        assert!(run.stdout.starts_with(&format!("file:\n{begins}")), "{run}");
    }
    pip(&world, &["hash", "-a", "md5", "file"]).exits(2);
    pip(&world, &["hash", "missing"]).exits(2);
}

#[test]
fn versions_that_could_be_installed_are_listed() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.index.add(&WheelSpec::simple("demo", "3.0a1"));
    let for_others = Release::of(&WheelSpec::simple("demo", "4.0")).requires_python("<3");
    world.index.publish(for_others);
    let withdrawn = Release::of(&WheelSpec::simple("demo", "5.0")).yanked("broken");
    world.index.publish(withdrawn);
    let run = pip(&world, &["index", "versions", "demo"]).success();
    assert_eq!(run.stdout, "demo (2.0)\nAvailable versions: 2.0, 1.0\n");
    pip(&world, &["install", "demo==1.0"]).success();
    let run = pip(&world, &["index", "versions", "Demo"]).success();
    assert_eq!(
        run.stdout,
        "Demo (2.0)\nAvailable versions: 2.0, 1.0\n  INSTALLED: 1.0\n  LATEST:    2.0\n"
    );
    let run = pip(&world, &["index", "versions", "--pre", "--json", "demo"]).success();
    assert_eq!(
        run.json(),
        serde_json::json!({
            "name": "demo",
            "versions": ["3.0a1", "2.0", "1.0"],
            "latest": "3.0a1",
            "installed_version": "1.0",
        })
    );
    let run = pip(&world, &["index", "versions", "missing"]).exits(1);
    assert!(
        run.stderr
            .contains("ERROR: No matching distribution found for missing"),
        "{run}"
    );
}

#[test]
fn a_lock_is_written_that_installs_the_same() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    pip(&world, &["lock", "demo==1.0"]).success();
    let text = fs::read_to_string(world.project().join("pylock.toml")).expect("written");
    assert!(text.contains("name = \"helper\""), "{text}");
    let shown = pip(&world, &["lock", "-o", "-", "demo==1.0"]).success();
    assert_eq!(shown.stdout, text);
    assert_eq!(world.inside("demo"), packages([]), "nothing is installed");
    world.change("sync", "demo", &["pylock.toml"]).success();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "1.0"), ("helper", "1.0")])
    );
    let run = pip(&world, &["lock", "-o", "other.toml", "demo==1.0"]).success();
    assert!(
        run.stderr
            .contains("other.toml is not a valid lock file name."),
        "{run}"
    );
    let run = pip(&world, &["lock"]).exits(1);
    assert!(
        run.stderr
            .contains("You must give at least one requirement to lock"),
        "{run}"
    );
}

#[test]
fn completion_is_for_the_shell_that_is_named() {
    let Some(world) = World::started([]) else {
        return;
    };
    for (shell, sign) in [
        ("--bash", "complete -F _pip"),
        ("--zsh", "#compdef pip"),
        ("--fish", "complete -c pip"),
    ] {
        let run = pip(&world, &["completion", shell]).success();
        assert!(run.stdout.contains(sign), "{shell}: {run}");
    }
    let none = pip(&world, &["completion"]).success();
    assert!(none.stderr.contains("You must pass --bash"), "{none}");
    let search = pip(&world, &["search", "demo"]).exits(1);
    assert!(search.stderr.contains("no longer supports"), "{search}");
}
