//! `blast sync`: exactly what a file says.

use blast_harness::{Release, SdistSpec, WheelSpec};

use crate::world::{World, demo_wheels, packages};

#[test]
fn what_the_file_does_not_name_goes() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["demo"]).success();
    world.write("requirements.txt", "helper==1.0\n");
    insta::assert_snapshot!(world.change("sync", "demo", &["requirements.txt"]), @"
    exit status: 0
    --- stderr
     - demo==2.0
     ~ helper 2.0 -> 1.0
    operation 3 · undo with `blast revert --env demo` (1 package, [TIME])
    ");
    assert_eq!(world.inside("demo"), packages([("helper", "1.0")]));
}

#[test]
fn syncing_twice_is_nothing_to_do() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.write("requirements.txt", "demo==1.0\nhelper==1.0\n");
    world
        .change("sync", "demo", &["requirements.txt"])
        .success();
    let before = world.change("log", "demo", &["--json"]).success().stdout;
    world
        .change("sync", "demo", &["requirements.txt"])
        .success();
    assert_eq!(
        world.change("log", "demo", &["--json"]).success().stdout,
        before
    );
}

#[test]
fn a_lock_is_followed_to_the_letter_and_needs_no_index_page() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world
        .blast(["lock", "demo==1.0", "--output", "pylock.toml"])
        .success();
    world.index.forget_hits();
    world.change("sync", "demo", &["pylock.toml"]).success();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "1.0"), ("helper", "1.0")])
    );
    assert_eq!(
        world.index.count("/simple/"),
        0,
        "the lock says where files are"
    );
}

#[test]
fn what_is_new_in_a_lock_of_a_later_minor_version_is_told() {
    let Some(world) = World::started([]) else {
        return;
    };
    let lock = |format: &str| {
        format!("lock-version = \"{format}\"\ncreated-by = \"x\"\nmood = 1\npackages = []\n")
    };
    world.write("pylock.toml", lock("1.7"));
    let run = world.change("sync", "demo", &["pylock.toml"]).success();
    run.says("format version 1.7").says("passed over: mood");
    world.write("pylock.toml", lock("2.0"));
    let run = world.change("sync", "demo", &["pylock.toml"]);
    assert_ne!(run.code, 0, "{run}");
    run.says("format version 2.0");
}

#[test]
fn a_lock_whose_hash_is_not_that_of_the_file_is_refused() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world
        .blast(["lock", "helper==1.0", "--output", "pylock.toml"])
        .success();
    let path = world.project().join("pylock.toml");
    let lock = std::fs::read_to_string(&path).expect("the lock was written");
    let at = lock.find("sha256 = \"").expect("the lock has hashes") + "sha256 = \"".len();
    let forged = format!("{}{}{}", &lock[..at], "0".repeat(64), &lock[at + 64..]);
    world.write("pylock.toml", forged);
    world
        .change("sync", "demo", &["pylock.toml"])
        .exits(1)
        .says("helper");
    assert_eq!(world.inside("demo"), packages([]));
}

#[test]
fn a_missing_or_broken_file_is_named() {
    let Some(world) = World::started([]) else {
        return;
    };
    world
        .change("sync", "demo", &["gone.txt"])
        .exits(2)
        .says("gone.txt");
    world.write("pylock.toml", "lock-version = \"99.0\"\n");
    let run = world.change("sync", "demo", &["pylock.toml"]);
    assert_ne!(run.code, 0, "{run}");
    run.says("pylock.toml");
}

#[test]
fn of_a_lock_for_another_platform_only_what_must_differ_is_resolved_again() {
    let windows = "py3-none-win_amd64";
    let Some(world) = World::started([
        WheelSpec::simple("app", "1.0")
            .requires("native")
            .requires("pure"),
        WheelSpec::simple("pure", "1.0"),
        WheelSpec::simple("moved", "2.0").tag(windows),
        WheelSpec::simple("moved", "1.0"),
        WheelSpec::simple("native", "1.0").tag(windows),
    ]) else {
        return;
    };
    world.index.set_cache_control(Some("no-cache"));
    let args = ["lock", "app", "moved", "--python-platform", "windows"];
    let output = ["--output", "pylock.toml"];
    world.blast(args.iter().chain(&output)).success();
    for newer in [
        WheelSpec::simple("app", "2.0"),
        WheelSpec::simple("pure", "2.0"),
        WheelSpec::simple("native", "2.0"),
        WheelSpec::simple("native", "1.0"),
    ] {
        world.index.add(&newer);
    }
    let refused = world.change("sync", "demo", &["pylock.toml", "--locked"]);
    refused
        .exits(1)
        .says("the lock is not for this environment");
    let run = world.change("sync", "demo", &["pylock.toml"]).success();
    for part in [
        "what does not fit here was resolved again",
        "other versions: moved 2.0 -> 1.0",
        "files that the lock does not vouch for: native-1.0-py3-none-any.whl",
    ] {
        assert!(run.stderr.contains(part), "{part} in {run}");
    }
    let held = [
        ("app", "1.0"),
        ("moved", "1.0"),
        ("native", "1.0"),
        ("pure", "1.0"),
    ];
    assert_eq!(world.inside("demo"), packages(held));
    world
        .change("sync", "demo", &["pylock.toml"])
        .success()
        .says("nothing to do");
}

/// A lock may say of one file both where it is beside the lock and where on the network (PEP 751).
#[test]
fn of_a_path_and_a_url_the_path_is_taken_where_its_file_is_the_right_one() {
    let Some(world) = World::started([]) else {
        return;
    };
    let there = world.project().join("vendor");
    let files = |version: &str| {
        let wheel = WheelSpec::simple("wheeled", version);
        let sources = SdistSpec::simple("sources", version);
        let archive = WheelSpec::simple("archive", version);
        [
            ("wheeled", wheel.filename(), wheel.bytes()),
            ("sources", sources.filename(), sources.tar_gz()),
            ("archive", archive.filename(), archive.bytes()),
        ]
    };
    let lock = |version: &str| {
        let mut lock = vec!["lock-version = \"1.0\"\ncreated-by = \"x\"".to_owned()];
        for (name, file, bytes) in files(version) {
            let url = world.index.file_url(&file);
            let hash = blast_types::Sha256::of(&bytes).to_hex();
            let places = format!(
                "path = \"vendor/{file}\", url = \"{url}\", hashes = {{ sha256 = \"{hash}\" }}"
            );
            let (key, value) = match name {
                "wheeled" => ("wheels", format!("[{{ {places} }}]")),
                "sources" => ("sdist", format!("{{ {places} }}")),
                _ => ("archive", format!("{{ {places} }}")),
            };
            lock.push(format!("[[packages]]\nname = \"{name}\"\n{key} = {value}"));
            world.index.publish(Release::raw(name, &file, bytes));
        }
        world.write("pylock.toml", lock.join("\n"));
    };
    for (version, case) in [("1.0", "right"), ("2.0", "missing"), ("3.0", "others")] {
        lock(version);
        for (_, file, bytes) in files(version) {
            let path = there.join(file);
            std::fs::create_dir_all(&there).expect("a folder can be made");
            match case {
                "right" => std::fs::write(path, bytes).expect("written"),
                "others" => std::fs::write(path, "other bytes").expect("written"),
                _ => assert!(!path.exists()),
            }
        }
        world.index.forget_hits();
        world.change("sync", "demo", &["pylock.toml"]).success();
        assert_eq!(
            world.inside("demo"),
            packages([
                ("wheeled", version),
                ("sources", version),
                ("archive", version)
            ]),
            "{case}"
        );
        for (_, file, _) in files(version) {
            let hits = world.index.hits();
            let asked = hits.iter().any(|hit| hit.path.ends_with(&file));
            assert_eq!(asked, case != "right", "{case} {file}");
        }
    }
    lock("4.0");
    for (name, file, _) in files("4.0") {
        let changed = Release::raw(name, &file, b"changed".to_vec());
        world.index.publish(changed);
    }
    let refused = world.change("sync", "demo", &["pylock.toml"]);
    assert_ne!(refused.code, 0, "{refused}");
    assert_eq!(world.inside("demo")["wheeled"], "3.0");
}
