//! The pip of an environment: commands of pip's, carried out by blast.

use std::fs;

use blast_harness::{HostPython, Means, Release, SdistSpec, WheelSpec, require};

use crate::world::{World, demo_wheels, packages};

/// `python -m pip …` in the environment `demo`.
fn pip(world: &World, words: &[&str]) -> blast_harness::Run {
    let all = ["run", "--env", "demo", "--", "python", "-m", "pip"];
    world.blast(all.iter().chain(words))
}

/// What is in a folder, sorted.
fn names_in(folder: &std::path::Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("made");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("readable").file_name();
    let mut names: Vec<_> = entries
        .map(|entry| name(entry).into_string().expect("text"))
        .collect();
    names.sort();
    names
}

#[test]
fn every_way_to_call_pip_is_one_operation_that_revert_takes_back() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    let code = "import subprocess, sys\n\
                sys.exit(subprocess.call([sys.executable, '-m', 'pip', 'install', 'demo==1.0']))";
    let from_main = "import pip; raise SystemExit(pip.main(['install', 'demo==1.0']))";
    let inside =
        "from pip._internal.cli.main import main; raise SystemExit(main(['install', 'demo==1.0']))";
    let ways: [&[&str]; 6] = [
        &["python", "-m", "pip", "install", "demo==1.0"],
        &["pip", "install", "demo==1.0"],
        &["pip3", "install", "demo==1.0"],
        &["python", "-c", code],
        &["python", "-c", from_main],
        &["python", "-c", inside],
    ];
    for way in ways {
        let run = world
            .blast(["run", "--env", "demo", "--"].iter().chain(way))
            .success();
        assert_eq!(
            run.out(),
            "Successfully installed demo-1.0 helper-1.0",
            "{way:?}"
        );
        assert_eq!(
            world.inside("demo"),
            packages([("demo", "1.0"), ("helper", "1.0")])
        );
        world.change("revert", "demo", &[]).success();
        assert_eq!(world.inside("demo"), packages([]), "{way:?}");
    }
    let log = world
        .blast(["log", "--env", "demo", "--json"])
        .success()
        .json();
    let commands = log["operations"].as_array().expect("a list").iter();
    let by_pip = commands.filter(|operation| {
        operation["command"] == serde_json::json!(["pip", "install", "demo==1.0"])
    });
    assert_eq!(by_pip.count(), ways.len(), "{log:#}");
}

#[test]
fn last_lines_and_statuses_are_those_of_pip() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    let status = world
        .blast(["status", "--env", "demo", "--json"])
        .success()
        .json();
    let site = status["environment"]["site_packages"]
        .as_str()
        .expect("a path")
        .to_owned();
    pip(&world, &["install", "demo"]).success();
    let again = pip(&world, &["install", "demo>1"]).success();
    assert_eq!(
        again.out(),
        format!("Requirement already satisfied: demo>1 in {site} (2.0)")
    );
    assert_eq!(pip(&world, &["-q", "install", "demo"]).success().stdout, "");
    let dry = pip(&world, &["install", "--dry-run", "demo==1.0"]).success();
    assert_eq!(dry.out(), "Would install demo-1.0 helper-1.0");
    let older = pip(&world, &["install", "demo==1.0"]).success();
    assert!(
        older.stdout.contains("Successfully uninstalled demo-2.0\n"),
        "{older}"
    );
    pip(&world, &["install", "missing"]).exits(1);
    pip(&world, &["install"]).exits(1);
    pip(&world, &["install", "--user", "demo"]).exits(1);
    pip(&world, &["install", "--timeout", "none", "demo"]).exits(2);
    let unknown = pip(&world, &["install", "--frobnicate", "demo"]).exits(2);
    assert!(
        unknown.stderr.contains("no such option: --frobnicate"),
        "{unknown}"
    );
    pip(&world, &["frobnicate"]).exits(1);
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "1.0"), ("helper", "1.0")])
    );
    let gone = pip(&world, &["uninstall", "-y", "demo", "missing"]).success();
    assert!(
        gone.stdout.contains("Successfully uninstalled demo-1.0\n"),
        "{gone}"
    );
    assert!(
        gone.stderr
            .contains("Skipping missing as it is not installed"),
        "{gone}"
    );
    assert_eq!(world.inside("demo"), packages([]));
    pip(&world, &["uninstall", "-y", "demo"]).success();
}

#[test]
fn what_is_installed_is_told_in_the_forms_of_pip() {
    let wheels = [
        WheelSpec::simple("Demo", "1.0").requires("helper<2"),
        WheelSpec::simple("helper", "1.0"),
    ];
    let Some(world) = World::started(wheels) else {
        return;
    };
    pip(&world, &["install", "demo"]).success();
    let out = |words: &[&str]| pip(&world, words).success().stdout;
    assert_eq!(out(&["freeze"]), "Demo==1.0\nhelper==1.0\n");
    assert_eq!(
        out(&["list", "--format=freeze", "--exclude", "pip"]),
        "Demo==1.0\nhelper==1.0\n"
    );
    let listed = out(&["list", "--format=json", "--not-required", "--exclude=pip"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(
        listed,
        serde_json::json!([{"name": "Demo", "version": "1.0"}])
    );
    let shown = out(&["show", "-f", "demo"]);
    for line in [
        "Name: Demo\n",
        "Requires: helper\n",
        "  Demo-1.0.dist-info/METADATA\n",
    ] {
        assert!(
            shown.to_lowercase().contains(&line.to_lowercase()),
            "{line}{shown}"
        );
    }
    assert!(out(&["show", "helper"]).contains("Required-by: Demo\n"));
    pip(&world, &["show", "missing"]).exits(1);
    assert_eq!(out(&["check"]), "No broken requirements found.\n");
    let report: serde_json::Value = serde_json::from_str(&out(&["inspect"])).expect("JSON");
    assert_eq!(report["installed"][0]["metadata"]["name"], "Demo");
    assert_eq!(report["installed"][0]["requested"], true);
    assert_eq!(report["installed"][1]["requested"], false);
    assert_eq!(report["environment"]["implementation_name"], "cpython");
    let version = out(&["--version"]);
    let words: Vec<_> = version.split(' ').collect();
    assert!(
        matches!(words[..], ["pip", _, "from", _, "(python", _]),
        "{version}"
    );
}

#[test]
fn a_requirement_that_is_not_met_fails_the_check() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    pip(&world, &["install", "--no-deps", "demo==1.0"]).success();
    let run = pip(&world, &["check"]).exits(1);
    assert_eq!(
        run.out(),
        "demo 1.0 requires helper, which is not installed."
    );
}

#[test]
fn distributions_are_fetched_without_touching_the_environment() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    let run = pip(&world, &["download", "-d", "files", "demo==1.0"]).success();
    assert!(
        run.stdout
            .ends_with("Successfully downloaded demo helper\n"),
        "{run}"
    );
    pip(&world, &["wheel", "-w", "wheels", "--no-deps", "demo==2.0"]).success();
    let names = |folder: &str| names_in(&world.project().join(folder));
    assert_eq!(
        names("files"),
        ["demo-1.0-py3-none-any.whl", "helper-1.0-py3-none-any.whl"]
    );
    assert_eq!(names("wheels"), ["demo-2.0-py3-none-any.whl"]);
    assert_eq!(world.inside("demo"), packages([]));
}

#[test]
fn downloads_are_aimed_at_another_python_and_platform() {
    let far = "cp39-cp39-manylinux_2_17_x86_64";
    let other = "cp39-cp39-win_amd64";
    let built = |tag: &str| {
        WheelSpec::simple("native", "1.0")
            .tag(tag)
            .requires("near; python_version < '3.10'")
    };
    let Some(world) = World::started([
        built(far),
        built(other),
        built("cp313-cp313-manylinux_2_17_x86_64"),
        WheelSpec::simple("near", "1.0"),
    ]) else {
        return;
    };
    let fetch = |words: &[&str]| {
        let all = [&["download", "-d", "files", "native"], words].concat();
        pip(&world, &all)
    };
    let wheels = "--only-binary=:all:";
    let aimed = [
        "--implementation",
        "cp",
        "--python-version",
        "39",
        "--abi",
        "cp39",
    ];
    let at = |platforms: &[&str], wanted: &[&str]| {
        let run = fetch(&[&aimed[..], platforms, &[wheels]].concat()).success();
        assert!(
            run.stdout
                .ends_with("Successfully downloaded native near\n"),
            "{run}"
        );
        let folder = world.project().join("files");
        assert_eq!(names_in(&folder), wanted);
        fs::remove_dir_all(folder).expect("made");
    };
    let linux = [
        "--platform",
        "manylinux1_x86_64",
        "--platform",
        "manylinux2014_x86_64",
    ];
    at(
        &linux,
        &[
            &format!("native-1.0-{far}.whl"),
            "near-1.0-py3-none-any.whl",
        ],
    );
    at(
        &["--platform", "win_amd64"],
        &[
            &format!("native-1.0-{other}.whl"),
            "near-1.0-py3-none-any.whl",
        ],
    );
    // pip's own words, and exit status.
    fetch(&aimed)
        .exits(1)
        .says("--only-binary=:all: must be set");
    // Nothing fits.
    fetch(&["--platform", "macosx_13_0_arm64", wheels]).exits(1);
    for refused in [
        &["--platform", "any"][..],
        &["--platform", "win_amd64", "--platform", "manylinux1_x86_64"],
        &["--implementation", "pp"],
        &["--python-version", "3"],
        &["--python-version", "2.7"],
        &["--python-version", "3.9", "--abi", "cp38"],
    ] {
        let run = fetch(&[refused, &["--no-deps"]].concat()).exits(2);
        assert!(run.stderr.contains(refused[1]), "{run}");
    }
}

#[test]
fn a_pip_that_is_installed_takes_the_place_of_ours() {
    let real = WheelSpec::simple("pip", "99.0")
        .file("pip/__main__.py", "print('the real one')\n")
        .entry_point("pip", "pip.__main__:main");
    let Some(world) = World::started([real]) else {
        return;
    };
    // What ours meets is there already; another version is meant.
    let met = pip(&world, &["install", "--upgrade", "pip"]).success();
    assert!(
        met.stdout
            .starts_with("Requirement already satisfied: pip in"),
        "{met}"
    );
    pip(&world, &["install", "pip==99.0"]).success();
    assert_eq!(pip(&world, &["--version"]).success().out(), "the real one");
    let prefix = world.live().join("demo");
    assert!(prefix.join("bin/pip").exists() && !prefix.join(".blast").exists());
    world.change("remove", "demo", &["pip"]).success();
    assert!(!prefix.join("bin/pip").exists());
    pip(&world, &["list"]).success();
}

#[test]
fn the_shim_is_no_distribution_and_lists_nowhere() {
    let Some(world) = World::started([]) else {
        return;
    };
    assert_eq!(world.inside("demo"), packages([]));
    let prefix = world.live().join("demo");
    let programs = fs::read_dir(prefix.join("bin")).expect("readable");
    let ours = programs
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("pip"));
    assert_eq!(ours.count(), 0);
    let list = world
        .blast(["list", "--env", "demo", "--json"])
        .success()
        .json();
    assert_eq!(list["packages"], serde_json::json!([]));
}

#[test]
fn real_pip_runs_with_its_writes_captured() {
    if !require(Means::Overlay) {
        return;
    }
    // Stands in for pip: says so, and writes a module.
    let code = "import pathlib, sys, sysconfig\n\
                pathlib.Path(sysconfig.get_paths()['purelib'], 'written.py').write_text('x = 1')\n\
                print('real', *sys.argv[1:])\n";
    let real = WheelSpec::simple("pip", "99.0").file("pip/__main__.py", code);
    let Some(mut world) = World::started([real]) else {
        return;
    };
    world.sandbox.set("BLAST_PIP", "real");
    assert_eq!(
        pip(&world, &["install", "x"]).success().out(),
        "real install x"
    );
    world.python_in("demo", "import written").success();
    let log = world
        .blast(["log", "--env", "demo", "--json"])
        .success()
        .json();
    let newest = &log["operations"][0];
    assert_eq!(newest["kind"], "capture", "{log:#}");
    assert_eq!(
        newest["command"],
        serde_json::json!(["pip", "install", "x"])
    );
    assert_eq!(
        world.inside("demo"),
        packages([]),
        "pip itself is not installed"
    );
    world.change("revert", "demo", &[]).success();
    world.python_in("demo", "import written").exits(1);
}

#[test]
fn pip_works_in_plain_files_too() {
    let world = World::plain(demo_wheels());
    pip(&world, &["install", "demo==1.0"]).success();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "1.0"), ("helper", "1.0")])
    );
}

#[test]
fn pip_works_under_every_interpreter() {
    let Some(world) = World::with([WheelSpec::simple("demo", "1.0")]) else {
        return;
    };
    for python in HostPython::all() {
        let env = format!("py{}", python.minor().replace('.', ""));
        let executable = python.executable.to_string_lossy().into_owned();
        world
            .blast(["start", &env, "--shell", "bash", "--python", &executable])
            .success();
        let words = [
            "run", "--env", &env, "--", "python", "-m", "pip", "install", "demo",
        ];
        let run = world.blast(words).success();
        assert_eq!(
            run.out(),
            "Successfully installed demo-1.0",
            "{}",
            python.minor()
        );
    }
}

#[test]
fn a_report_tells_what_was_installed_or_would_be() {
    let wheels = [
        WheelSpec::simple("Demo", "1.0")
            .requires("helper")
            .extra("more", &["other"]),
        WheelSpec::simple("helper", "1.0"),
        WheelSpec::simple("other", "1.0"),
    ];
    let Some(world) = World::started(wheels) else {
        return;
    };
    let words = ["install", "-q", "--report", "-", "demo[more]"];
    let dry = pip(&world, &[&words[..], &["--dry-run"]].concat()).success();
    assert_eq!(world.inside("demo"), packages([]));
    pip(
        &world,
        &["install", "--report", "report.json", "demo[more]"],
    )
    .success();
    let text = fs::read_to_string(world.project().join("report.json")).expect("written");
    let dry = dry.json();
    let done: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        dry, done,
        "one says beforehand what the other says afterwards"
    );
    assert_eq!(done["version"], "1");
    assert_eq!(done["environment"]["implementation_name"], "cpython");
    let install = done["install"].as_array().expect("a list");
    let names: Vec<_> = install
        .iter()
        .map(|entry| entry["metadata"]["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, ["Demo", "helper", "other"]);
    let demo = &install[0];
    assert_eq!(demo["requested"], true);
    assert_eq!(demo["requested_extras"], serde_json::json!(["more"]));
    assert_eq!(install[1]["requested"], false);
    assert_eq!(install[1].get("requested_extras"), None);
    assert_eq!(
        (&demo["is_direct"], &demo["is_yanked"]),
        (&false.into(), &false.into())
    );
    let filename = WheelSpec::simple("Demo", "1.0").filename();
    let info = &demo["download_info"];
    assert_eq!(info["url"], world.index.file_url(&filename));
    let sha256 = info["archive_info"]["hashes"]["sha256"]
        .as_str()
        .expect("a hash");
    assert_eq!(info["archive_info"]["hash"], format!("sha256={sha256}"));
    let again = pip(&world, &words).success();
    assert_eq!(again.json()["install"], serde_json::json!([]));
}

#[test]
fn a_report_tells_where_it_was_that_something_was_taken_from() {
    let Some(world) = World::started([]) else {
        return;
    };
    let withdrawn = Release::of(&WheelSpec::simple("old", "1.0")).yanked("broken");
    world.index.publish(withdrawn);
    let wheel = WheelSpec::simple("near", "1.0").write_to(&world.project());
    let wheel = wheel.to_string_lossy().into_owned();
    for (name, sdist) in [("folder", "made"), ("editable", "kept")] {
        SdistSpec::simple(sdist, "1.0").write_to(&world.project().join(name));
    }
    let words = [
        "install",
        "-q",
        "--report",
        "-",
        "old==1.0",
        &wheel,
        "./folder",
        "-e",
        "./editable",
    ];
    let dry = pip(&world, &[&words[..], &["--dry-run"]].concat()).success();
    let done = pip(&world, &words).success();
    let told = |run: &blast_harness::Run| -> Vec<serde_json::Value> {
        let report = run.json();
        let mut entries = report["install"].as_array().expect("a list").clone();
        for entry in &mut entries {
            let version = &entry["metadata"]["version"];
            assert_eq!(version, "1.0", "{entry:#}");
        }
        entries
    };
    let (dry, done) = (told(&dry), told(&done));
    let by_name = |entries: &[serde_json::Value], name: &str| {
        let mut entries = entries.iter();
        let found = entries.find(|entry| entry["metadata"]["name"] == name);
        found.expect("told").clone()
    };
    for entries in [&dry, &done] {
        assert_eq!(entries.len(), 4);
        let old = by_name(entries, "old");
        assert_eq!(
            (&old["is_yanked"], &old["is_direct"]),
            (&true.into(), &false.into())
        );
        let near = by_name(entries, "near");
        assert_eq!(near["is_direct"], true);
        assert_eq!(near["download_info"]["url"], format!("file://{wheel}"));
        let made = by_name(entries, "made");
        assert_eq!(made["download_info"]["dir_info"], serde_json::json!({}));
        let kept = by_name(entries, "kept");
        assert_eq!(
            kept["download_info"]["dir_info"],
            serde_json::json!({"editable": true})
        );
    }
    let near = by_name(&done, "near");
    let hash = near["download_info"]["archive_info"]["hash"].as_str();
    assert!(
        hash.is_some_and(|hash| hash.starts_with("sha256=")),
        "{near:#}"
    );
}

#[test]
fn a_folder_gets_modules_scripts_and_metadata_and_the_environment_stays() {
    let tool = WheelSpec::simple("tool", "1.0")
        .file(
            "tool/cli.py",
            "import sys, helper\ndef main():\n    print(sys.argv[1:])\n",
        )
        .file("tool/big.py", &"x = 1\n".repeat(4000))
        .entry_point("tool", "tool.cli:main")
        .script("old-tool", "#!python\nprint('old')\n")
        .data("share/tool.txt", "data")
        .requires("helper");
    let Some(world) = World::started(demo_wheels().into_iter().chain([tool])) else {
        return;
    };
    pip(&world, &["install", "helper==1.0"]).success();
    let count = world.history_length("demo");
    let dry = pip(&world, &["install", "--dry-run", "-t", "out", "tool"]).success();
    assert_eq!(dry.out(), "Would install helper-2.0 tool-1.0");
    let out = world.project().join("deep/out");
    assert!(!out.exists());
    let run = pip(&world, &["install", "--target", "./deep/out", "tool"]).success();
    assert_eq!(run.out(), "Successfully installed helper-2.0 tool-1.0");
    assert_eq!(world.history_length("demo"), count);
    assert_eq!(world.inside("demo"), packages([("helper", "1.0")]));
    let mut names: Vec<_> = std::fs::read_dir(&out)
        .expect("made")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("text")
        })
        .collect();
    names.sort();
    let all = [
        "bin",
        "helper",
        "helper-2.0.dist-info",
        "share",
        "tool",
        "tool-1.0.dist-info",
    ];
    assert_eq!(names, all);
    let mut scripts: Vec<_> = std::fs::read_dir(out.join("bin"))
        .expect("made")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    scripts.sort();
    assert_eq!(scripts, ["old-tool", "tool"]);
    // Any Python takes it from there, and it is the user's to change.
    let code = "import sys; sys.path.insert(0, 'deep/out')\n\
                import tool.big, helper, importlib.metadata as m\n\
                assert m.version('tool') == '1.0' and m.version('helper') == '2.0'\n\
                assert helper.__file__.startswith('deep/out') or 'deep/out' in helper.__file__\n\
                open(tool.big.__file__, 'a').write('y = 2')";
    let python = world.python().executable.clone();
    world.run(world.command(&python, ["-c", code])).success();
    let script = std::fs::read_to_string(out.join("bin/tool")).expect("a script");
    let env = world.live().join("demo/bin/python");
    assert!(script.contains(&*env.to_string_lossy()), "{script}");
    // What is there already is left alone.
    let again = pip(&world, &["install", "--target", "deep/out", "demo"]).exits(2);
    assert!(again.stderr.contains("not empty"), "{again}");
    assert!(out.join("tool").exists() && !out.join("demo").exists());
    pip(&world, &["install", "--target", "x", "missing"]).exits(1);
    assert!(!world.project().join("x").exists());
    world.blast(["check", "--deep"]).success();
}
