//! Several indexes, and who may see what one asks for a password.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use blast_harness::{LocalIndex, Release, Run, WheelSpec};

use crate::world::{World, packages};

const PASSWORD: &str = "s3cret-w0rd";

fn project(world: &World, settings: &str) {
    let text = format!("[project]\nname = 'p'\nversion = '1'\n{settings}");
    world.write("pyproject.toml", text);
}

#[test]
fn a_project_names_indexes_and_pins_packages_to_them() {
    let Some(world) = World::started([
        WheelSpec::simple("demo", "1.0"),
        WheelSpec::simple("plain", "1.0"),
    ]) else {
        return;
    };
    let special = LocalIndex::with([
        WheelSpec::simple("demo", "2.0"),
        WheelSpec::simple("plain", "9.0"),
    ]);
    project(
        &world,
        &format!(
            "[[tool.blast.index]]\nname = 'special'\nurl = '{}'\nexplicit = true\n\
             [tool.blast.sources]\ndemo = {{ index = 'special' }}\n",
            special.url()
        ),
    );
    world.install("demo", &["demo", "plain"]).success();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "2.0"), ("plain", "1.0")])
    );
    assert_eq!(special.count("/simple/plain/"), 0, "the index is explicit");
    assert_eq!(
        world.index.count("/simple/demo/"),
        0,
        "the package is pinned"
    );
}

#[test]
fn nobody_can_shadow_a_package_of_the_first_index() {
    let Some(world) = World::started([WheelSpec::simple("demo", "1.0")]) else {
        return;
    };
    let public = LocalIndex::with([WheelSpec::simple("demo", "99.0")]);
    let (ours, theirs) = (world.index.url(), public.url());
    let both = ["--index-url", &theirs, "--extra-index-url", &ours, "demo"];
    world.install("demo", &both).success();
    assert_eq!(world.inside("demo"), packages([("demo", "1.0")]));
    let strategy = ["--index-strategy", "unsafe-best-match", "--upgrade"];
    world
        .install("demo", &[&both[..], &strategy].concat())
        .success();
    assert_eq!(world.inside("demo"), packages([("demo", "99.0")]));
    let lock = world
        .blast([&["lock", "--output", "-"][..], &both, &strategy[..2]].concat())
        .success();
    assert!(
        lock.stdout.contains(&theirs),
        "it says where the file is from: {lock}"
    );
}

#[test]
fn an_index_that_nobody_named_is_a_usage_error() {
    let Some(world) = World::started([]) else {
        return;
    };
    project(
        &world,
        "[tool.blast.sources]\ndemo = { index = 'nowhere' }\n",
    );
    let run = world.install("demo", &["demo"]);
    assert_eq!(run.code, 2, "{run}");
    run.says("`nowhere`").says("[[tool.blast.index]]");
}

/// Looks for the password in all that is said and in all that is kept.
#[track_caller]
fn is_secret(run: &Run) {
    assert!(!run.to_string().contains(PASSWORD), "{run}");
}

fn files_with_password(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let kind = entry.file_type().expect("known");
        let path = entry.path();
        if kind.is_dir() {
            files_with_password(&path, found);
        } else if kind.is_file() {
            let bytes = std::fs::read(&path).expect("readable");
            if bytes
                .windows(PASSWORD.len())
                .any(|part| part == PASSWORD.as_bytes())
            {
                found.push(path.display().to_string());
            }
        }
    }
}

/// A world whose index wants a password, and the URL that has it.
fn private() -> Option<(World, String)> {
    let mut world = World::with([
        WheelSpec::simple("demo", "1.0"),
        WheelSpec::simple("other", "1.0"),
    ])?;
    // The daemon's log is looked through as well.
    world.sandbox.set("BLAST_LOG", "trace");
    world.start("demo");
    world.index.require_login("me", PASSWORD);
    let url = world
        .index
        .url()
        .replace("//", &format!("//me:{PASSWORD}@"));
    Some((world, url))
}

#[test]
fn a_password_in_the_index_url_is_never_shown_nor_kept() {
    let Some((world, url)) = private() else {
        return;
    };
    is_secret(
        &world
            .install("demo", &["-vv", "--index-url", &url, "demo"])
            .success(),
    );
    is_secret(&world.install("demo", &["-vv", "--index-url", &url, "missing"]));
    let wrong = url.replace("me:", "you:");
    is_secret(&world.install("demo", &["--index-url", &wrong, "other"]));
    is_secret(&world.install(
        "demo",
        &["--index-url", &format!("ftp{}", &url[4..]), "other"],
    ));
    for words in [
        &["lock", "-vv", "--output", "-", "--index-url", &url, "demo"][..],
        &["doctor", "--index-url", &url],
        &["doctor", "--json", "--index-url", &url],
        &["log", "--env", "demo", "--json"],
        &["log", "--env", "demo"],
        &["list", "--env", "demo", "--json"],
        &["status", "--env", "demo", "--json"],
        &["check", "--json"],
    ] {
        is_secret(&world.blast(words));
    }
    let log = world.blast(["log", "--env", "demo", "--json"]).success();
    assert!(
        log.stdout.contains("****@127.0.0.1"),
        "the rest of the command stays: {log}"
    );
    let mut found = Vec::new();
    for folder in ["data", "cache", "run", "project"] {
        files_with_password(&world.root().join(folder), &mut found);
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_password_in_a_requirement_is_never_shown() {
    let Some((world, _)) = private() else {
        return;
    };
    let wheel = world.index.file_url("demo-1.0-py3-none-any.whl");
    let url = wheel.replace("//", &format!("//me:{PASSWORD}@"));
    is_secret(&world.install("demo", &[&format!("demo @ {url}")]).success());
    assert_eq!(world.inside("demo"), packages([("demo", "1.0")]));
    for words in [
        &["list", "--env", "demo", "--json"][..],
        &["status", "--env", "demo", "--json"],
        &["log", "--env", "demo", "--json"],
        &["lock", "--env", "demo", "--output", "-"],
        &["lock", "--output", "-", &format!("demo @ {url}")],
        &[
            "install",
            "--env",
            "demo",
            &format!("demo @ {}", url.replace("demo-1", "demo-2")),
        ],
    ] {
        is_secret(&world.blast(words));
    }
    let direct = world
        .python_in("demo", "import importlib.metadata as m; print(m.distribution('demo').read_text('direct_url.json'))")
        .success();
    is_secret(&direct);
    assert!(
        direct.stdout.contains(&wheel),
        "PEP 610 wants it without credentials: {direct}"
    );
    let mut found = Vec::new();
    for folder in ["data", "cache", "run", "project"] {
        files_with_password(&world.root().join(folder), &mut found);
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn credentials_come_from_netrc_and_from_a_keyring() {
    let Some((mut world, url)) = private() else {
        return;
    };
    is_secret(&world.install("demo", &["demo"]).says("401"));
    let program = world.write(
        "bin/keyring",
        format!("#!/bin/sh\n[ \"$3\" = me ] && echo {PASSWORD}\n"),
    );
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("set");
    let path = world.project().join("bin").display().to_string();
    world.sandbox.set("PATH", format!("{path}:/usr/bin:/bin"));
    let user = url.replace(&format!(":{PASSWORD}"), "");
    let keyring = [
        "--index-url",
        &user,
        "--keyring-provider",
        "subprocess",
        "demo",
    ];
    is_secret(&world.install("demo", &keyring).success());
    world.sandbox.set("HOME", world.project());
    world.write(
        ".netrc",
        format!("machine 127.0.0.1 login me password {PASSWORD}\n"),
    );
    is_secret(&world.install("demo", &["other"]).success());
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "1.0"), ("other", "1.0")])
    );
}

#[test]
fn a_direct_url_is_held_to_its_hash() {
    let Some(world) = World::started([WheelSpec::simple("demo", "1.0")]) else {
        return;
    };
    let url = world.index.file_url("demo-1.0-py3-none-any.whl");
    let wrong = format!("demo @ {url}#sha256={}", "0".repeat(64));
    let run = world.install("demo", &[&wrong]);
    assert_eq!(run.code, 1, "{run}");
    run.says("demo-1.0-py3-none-any.whl").says(&"0".repeat(64));
    assert_eq!(world.inside("demo"), packages([]));
}

#[test]
fn a_folder_of_wheels_is_enough_without_any_index() {
    let Some(world) = World::started([]) else {
        return;
    };
    let wheels = world.wheels();
    WheelSpec::simple("demo", "1.0")
        .requires("helper")
        .write_to(&wheels);
    WheelSpec::simple("helper", "2.0").write_to(&wheels);
    let folder = wheels.display().to_string();
    let words = ["--no-index", "--find-links", &folder, "demo"];
    world.install("demo", &words).success();
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "1.0"), ("helper", "2.0")])
    );
    assert_eq!(world.index.hits().len(), 0);
    let tree = world.project().join("tree/demo");
    std::fs::create_dir_all(&tree).expect("made");
    WheelSpec::simple("demo", "3.0").write_to(&tree);
    let url = format!("file://{}", world.project().join("tree").display());
    world
        .install("demo", &["--index-url", &url, "demo==3.0"])
        .success();
    assert_eq!(world.inside("demo"), packages([("demo", "3.0")]));
}

#[test]
fn what_has_no_hash_is_fetched_to_be_locked() {
    let Some(world) = World::started([]) else {
        return;
    };
    let wheels = world.wheels();
    WheelSpec::simple("demo", "1.0").write_to(&wheels);
    let bare = Release::of(&WheelSpec::simple("bare", "1.0")).hash(None);
    world.index.publish(bare);
    let folder = wheels.display().to_string();
    let lock = ["lock", "demo", "bare", "--find-links", &folder];
    for more in [&[][..], &["--universal"]] {
        let line = lock.iter().chain(more).chain(&["--output", "pylock.toml"]);
        let run = world.blast(line).success();
        run.says("no hash is stated of the files of bare, demo");
        world.change("sync", "demo", &["pylock.toml"]).success();
        assert_eq!(
            world.inside("demo"),
            packages([("bare", "1.0"), ("demo", "1.0")])
        );
    }
}

#[test]
fn lies_of_an_index_are_named_by_file_and_hash() {
    let Some(world) = World::started([]) else {
        return;
    };
    let wheel = WheelSpec::simple("demo", "1.0");
    let promised = "1".repeat(64);
    world
        .index
        .publish(Release::of(&wheel).hash(Some(&promised)));
    let run = world.install("demo", &["demo"]);
    assert_eq!(run.code, 1, "{run}");
    run.says("demo-1.0-py3-none-any.whl").says(&promised);
    assert_eq!(world.inside("demo"), packages([]));
}
