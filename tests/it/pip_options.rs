//! Options of pip's that reach beyond one command: where settings come from, which environment is meant, what is looked
//! at, and what is said where a command line makes no sense.

use std::fs;

use blast_harness::{Release, Run, SdistSpec, WheelSpec};

use crate::world::{World, demo_wheels, packages};

/// `python -m pip …` in the environment `demo`.
fn pip(world: &World, words: &[&str]) -> Run {
    let all = ["run", "--env", "demo", "--", "python", "-m", "pip"];
    world.blast(all.iter().chain(words))
}

#[test]
fn general_options_stand_before_and_after_any_command() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    let before = [
        "--trusted-host",
        "localhost",
        "--cache-dir",
        "elsewhere",
        "--exists-action",
        "w",
        "--use-feature",
        "truststore",
    ];
    let install = ["install", "--dry-run", "helper"];
    let run = pip(&world, &[&before[..], &install[..]].concat()).success();
    assert_eq!(run.out(), "Would install helper-2.0");
    let run = pip(&world, &[&install[..], &before[..]].concat()).success();
    assert_eq!(run.out(), "Would install helper-2.0");
    pip(&world, &[&["list"], &before[..]].concat()).success();
    // A proxy that nobody answers at is used, wherever it stands.
    let proxy = ["--proxy", "http://127.0.0.1:9", "--retries", "0"];
    let far = ["install", "--index-url", "http://192.0.2.1/simple/", "demo"];
    let run = pip(&world, &[&proxy[..], &far[..]].concat());
    assert_ne!(run.code, 0, "{run}");
    assert!(!world.project().join("elsewhere").exists());
    pip(&world, &["--exists-action", "frobnicate", "list"]).exits(2);
    pip(&world, &["--use-feature", "frobnicate", "list"]).exits(2);
}

#[test]
fn isolated_commands_heed_no_settings_of_the_user() {
    let Some(mut world) = World::started(demo_wheels()) else {
        return;
    };
    world.sandbox.set("PIP_NO_DEPS", "1");
    let with = pip(&world, &["install", "--dry-run", "demo"]).success();
    assert_eq!(with.out(), "Would install demo-2.0");
    let without = pip(&world, &["--isolated", "install", "--dry-run", "demo"]);
    assert_ne!(without.out(), with.out(), "{without}");
}

#[test]
fn a_log_gets_what_was_told_and_what_went_wrong() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    pip(
        &world,
        &["-q", "--log", "logs/pip.log", "install", "helper"],
    )
    .success();
    pip(&world, &["install", "missing", "--log", "logs/pip.log"]).exits(1);
    let log = fs::read_to_string(world.project().join("logs/pip.log")).expect("written");
    for line in [
        " pip -q --log logs/pip.log install helper\n",
        " Successfully installed helper-2.0\n",
        " ERROR: no set of versions",
    ] {
        assert!(log.contains(line), "{line}: {log}");
    }
}

#[test]
fn another_environment_is_named_by_its_interpreter_or_folder() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.start("other");
    let prefix = world.live().join("other");
    let python = prefix.join("bin/python");
    let named = |path: &std::path::Path| path.to_string_lossy().into_owned();
    pip(&world, &["--python", &named(&python), "install", "helper"]).success();
    let list = pip(&world, &["--python", &named(&prefix), "freeze"]).success();
    assert_eq!(list.out(), "helper==2.0");
    assert_eq!(world.inside("other"), packages([("helper", "2.0")]));
    assert_eq!(world.inside("demo"), packages([]));
    let host = named(&world.python().executable.clone());
    let run = pip(&world, &["--python", &host, "list"]).exits(1);
    assert!(run.stderr.contains("no environment of blast"), "{run}");
}

#[test]
fn folders_are_listed_and_files_keep_their_order() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    pip(&world, &["install", "helper==1.0"]).success();
    pip(&world, &["install", "-q", "--target", "out", "demo==2.0"]).success();
    let run = pip(&world, &["freeze", "--path", "out"]).success();
    assert_eq!(run.out(), "demo==2.0\nhelper==2.0");
    let run = pip(&world, &["list", "--path", "out", "--format", "freeze"]).success();
    assert_eq!(run.out(), "demo==2.0\nhelper==2.0");
    let inspected = pip(&world, &["inspect", "--path", "out"]).success().json();
    assert_eq!(inspected["installed"].as_array().map(Vec::len), Some(2));
    assert_eq!(pip(&world, &["list", "--user"]).success().out(), "");
    assert_eq!(pip(&world, &["freeze", "--user"]).success().out(), "");

    pip(&world, &["install", "demo"]).success();
    world.write(
        "wanted.txt",
        "# first\nhelper>=1  # why\n--no-index\nmissing==1.0\n\n",
    );
    let run = pip(&world, &["freeze", "-r", "wanted.txt"]).success();
    assert_eq!(
        run.stdout,
        "# first\nhelper==1.0\n--no-index\n\n\
         ## The following requirements were added by pip freeze:\ndemo==1.0\n"
    );
    assert!(
        run.stderr.contains("package 'missing' is not installed"),
        "{run}"
    );
    pip(&world, &["freeze", "-r", "none.txt"]).exits(1);

    let site = world.live().join("demo");
    let verbose = pip(&world, &["list", "-v", "--format", "json"]).success();
    let verbose: serde_json::Value = serde_json::from_str(verbose.out()).expect("JSON");
    for package in verbose.as_array().expect("a list") {
        assert_eq!(package["installer"], "blast", "{package}");
        let location = package["location"].as_str().expect("a path");
        assert!(location.starts_with(&*site.to_string_lossy()), "{package}");
    }
    let columns = pip(&world, &["list", "-v"]).success();
    assert!(columns.stdout.contains(" Installer\n"), "{columns}");
    let outdated = ["list", "--outdated", "--format", "json"];
    let outdated = pip(&world, &outdated).success();
    let outdated: serde_json::Value = serde_json::from_str(outdated.out()).expect("JSON");
    let newer = |name: &str| {
        serde_json::json!({
            "name": name,
            "version": "1.0",
            "latest_version": "2.0",
            "latest_filetype": "wheel",
        })
    };
    assert_eq!(
        outdated,
        serde_json::json!([newer("demo"), newer("helper")])
    );
}

#[test]
fn groups_of_a_project_are_installed() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    let text = "[project]\nname = \"p\"\nversion = \"1\"\n[dependency-groups]\n\
                dev = [{include-group = \"few\"}, \"demo==1.0\"]\nfew = [\"helper\"]\n";
    world.write("pyproject.toml", text);
    world.write("sub/pyproject.toml", text);
    let run = pip(&world, &["install", "--dry-run", "--group", "dev"]).success();
    assert_eq!(run.out(), "Would install demo-1.0 helper-1.0");
    pip(&world, &["install", "--group", "sub/pyproject.toml:few"]).success();
    assert_eq!(world.inside("demo"), packages([("helper", "2.0")]));
    pip(&world, &["download", "-q", "-d", "files", "--group", "few"]).success();
    assert!(world.project().join("files").is_dir());
    let lock = pip(&world, &["lock", "-o", "-", "--group", "few"]).success();
    assert!(lock.stdout.contains("name = \"helper\""), "{lock}");
    pip(&world, &["install", "--group", "none"]).exits(1);
    pip(&world, &["install", "--group", "none/pyproject.toml:few"]).exits(1);
    pip(&world, &["install", "--group", "sub/setup.cfg:few"]).exits(2);
}

#[test]
fn constraints_of_builds_choose_what_builds_need() {
    let Some(world) = World::started([
        WheelSpec::simple("helper", "1.0"),
        WheelSpec::simple("helper", "2.0"),
    ]) else {
        return;
    };
    let sdist = SdistSpec::simple("made", "1.0").build_requires("helper");
    world.index.publish(Release::sdist(&sdist));
    world.write("none.txt", "helper<1\n");
    let run = pip(
        &world,
        &["install", "--build-constraint", "none.txt", "made"],
    );
    assert_ne!(run.code, 0, "{run}");
    assert!(run.stderr.contains("helper<1"), "{run}");
    world.write("one.txt", "helper<2\n");
    pip(
        &world,
        &["install", "--build-constraint", "one.txt", "made"],
    )
    .success();
    assert_eq!(world.inside("demo"), packages([("made", "1.0")]));
}

#[test]
fn a_prefix_gets_what_an_environment_would_and_a_root_all_of_it() {
    let tool = WheelSpec::simple("tool", "1.0")
        .file("tool/cli.py", "def main():\n    print('ran')\n")
        .entry_point("tool", "tool.cli:main")
        .data("share/tool.txt", "data")
        .requires("helper");
    let Some(world) = World::started(demo_wheels().into_iter().chain([tool])) else {
        return;
    };
    let count = world.history_length("demo");
    let status = world
        .blast(["status", "--env", "demo", "--json"])
        .success()
        .json();
    let site = status["environment"]["site_packages"].as_str();
    let live = world.live().join("demo");
    let below = std::path::Path::new(site.expect("a path"));
    let below = below.strip_prefix(&live).expect("below the prefix");
    let run = pip(&world, &["install", "--prefix", "./made", "tool"]).success();
    assert_eq!(run.out(), "Successfully installed helper-2.0 tool-1.0");
    let made = world.project().join("made");
    assert!(made.join(below).join("tool/cli.py").is_file());
    assert!(made.join(below).join("tool-1.0.dist-info/RECORD").is_file());
    assert!(made.join("share/tool.txt").is_file());
    assert!(!made.join("pyvenv.cfg").exists());
    assert!(!made.join("bin/python").exists());
    let script = fs::read_to_string(made.join("bin/tool")).expect("a script");
    assert!(script.contains(&*live.to_string_lossy()), "{script}");
    // A prefix is below the root; without one it is the environment's.
    pip(
        &world,
        &["install", "--root", "r", "--prefix", "/usr", "helper"],
    )
    .success();
    assert!(
        world
            .project()
            .join("r/usr")
            .join(below)
            .join("helper")
            .is_dir()
    );
    pip(&world, &["install", "--root", "s", "helper"]).success();
    let inside = live.strip_prefix("/").expect("absolute");
    assert!(world.project().join("s").join(inside).join(below).is_dir());
    // What is there is left alone, and so is the environment.
    pip(&world, &["install", "--prefix", "made", "demo"]).exits(2);
    pip(
        &world,
        &["install", "--prefix", "a", "--target", "b", "demo"],
    )
    .exits(2);
    assert_eq!(world.history_length("demo"), count);
    assert_eq!(world.inside("demo"), packages([]));
    world.blast(["check", "--deep"]).success();
}

#[test]
fn a_command_line_that_lacks_something_ends_as_with_pip() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    for (words, code, says) in [
        (
            &["cache"][..],
            1,
            "Need an action (dir, info, list, purge, remove)",
        ),
        (&["cache", "frobnicate"], 1, "Need an action"),
        (
            &["config"],
            1,
            "Need an action (debug, edit, get, list, set, unset)",
        ),
        (&["index"], 1, "Need an action (versions)"),
        (&["hash"], 1, "FILE"),
        (
            &["instal"],
            1,
            "unknown command \"instal\" - maybe you meant \"install\"",
        ),
        (
            &["install", "-r", "none.txt"],
            1,
            "Could not open requirements file",
        ),
        (
            &["uninstall", "-y", "-r", "none.txt"],
            1,
            "Could not open requirements file",
        ),
        (
            &["install", "demo>9"],
            1,
            "No matching distribution found for demo>9",
        ),
        (
            &["install", "missing"],
            1,
            "No matching distribution found for missing",
        ),
        (
            &["install", "demo==1.0", "helper==2.0"],
            1,
            "ResolutionImpossible",
        ),
        (&["install", "-r"], 2, ""),
        (&["list", "--format", "xx"], 2, "xx"),
    ] {
        let run = pip(&world, words).exits(code);
        assert!(run.stderr.contains(says), "{words:?}: {run}");
    }
    pip(&world, &["install", "demo"]).success();
    let show = pip(&world, &["show", "helper"]).success();
    assert!(show.stdout.ends_with("Required-by: demo\n"), "{show}");
}
