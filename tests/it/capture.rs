//! Captured writes: what programs write into an environment becomes an operation.

use std::path::PathBuf;

use blast_harness::{Means, Run, WheelSpec, require};

use crate::world::{World, demo_wheels, packages};

/// Runs a command in the environment `demo` whose writes are captured.
fn capturing(world: &World, words: &[&str]) -> Run {
    let all = ["run", "--env", "demo", "--writes", "capture", "--"];
    world.blast(all.iter().chain(words))
}

/// A world whose host can cover environments for writing.
fn started(wheels: impl IntoIterator<Item = WheelSpec>) -> Option<World> {
    require(Means::Overlay)
        .then(|| World::started(wheels))
        .flatten()
}

fn site(world: &World) -> PathBuf {
    let status = world
        .blast(["status", "--env", "demo", "--json"])
        .success()
        .json();
    status["environment"]["site_packages"]
        .as_str()
        .expect("a path")
        .into()
}

/// Hashes of `demo`'s record against its files, as `importlib.metadata` sees them.
const RECORD_IS_TRUE: &str = r"
import base64, csv, hashlib, importlib.metadata as m
dist = m.distribution('demo')
for name, digest, size in csv.reader(dist.read_text('RECORD').splitlines()):
    body = dist.locate_file(name).read_bytes()
    if digest:
        kind, _, want = digest.partition('=')
        have = base64.urlsafe_b64encode(hashlib.new(kind, body).digest()).rstrip(b'=').decode()
        assert (have, len(body)) == (want, int(size)), name
";

fn edits_a_module(world: &World) {
    world.install("demo", &["demo==1.0"]).success();
    let module = site(world).join("demo/__init__.py");
    let module = module.to_string_lossy().into_owned();
    capturing(world, &["sed", "-i", "s/1\\.0/edited/", &module]).success();
    let version = "import demo; print(demo.__version__)";
    assert_eq!(world.python_in("demo", version).success().out(), "edited");
    world.python_in("demo", RECORD_IS_TRUE).success();
    let list = world
        .blast(["list", "--env", "demo", "--json"])
        .success()
        .json();
    assert_eq!(list["packages"][0]["captured"], true, "{list:#}");
    assert_eq!(list["packages"][1]["captured"], false, "{list:#}");
    let log = world
        .blast(["log", "--env", "demo", "--json"])
        .success()
        .json();
    let newest = &log["operations"][0];
    assert_eq!(newest["kind"], "capture", "{log:#}");
    assert_eq!(newest["command"][0], "sed", "{log:#}");
    let diff = world
        .blast(["diff", "--env", "demo", "--files", "--json"])
        .success()
        .json();
    let files = diff["files"].as_array().expect("a list");
    let is_module = |file: &&serde_json::Value| {
        let path = file["path"].as_str().expect("a path");
        path.ends_with("site-packages/demo/__init__.py") && file["change"] == "changed"
    };
    assert_eq!(files.iter().filter(is_module).count(), 1, "{diff:#}");
    let check = world.blast(["check", "--json"]).success().json();
    assert_eq!(check["drift"][0]["package"], "demo", "{check:#}");
    world.change("revert", "demo", &[]).success();
    let check = world.blast(["check", "--json"]).success().json();
    assert_eq!(check["drift"], serde_json::json!([]), "{check:#}");
    assert_eq!(world.python_in("demo", version).success().out(), "1.0");
    world.python_in("demo", RECORD_IS_TRUE).success();
}

#[test]
fn an_edited_module_is_an_operation_and_one_revert_undoes_it() {
    let Some(world) = started(demo_wheels()) else {
        return;
    };
    edits_a_module(&world);
}

#[test]
fn user_edits_are_captured_without_privilege() {
    if !require(Means::Overlay) {
        return;
    }
    let Some(world) = World::unprivileged(demo_wheels()) else {
        return;
    };
    world.start("demo");
    edits_a_module(&world);
}

#[test]
fn edits_of_plain_files_are_captured_and_the_store_stays_as_it_is() {
    if !require(Means::Overlay) {
        return;
    }
    let world = World::plain(demo_wheels());
    edits_a_module(&world);
    world.blast(["check", "--deep"]).success();
}

#[test]
fn an_edit_stays_with_its_version_and_goes_with_it() {
    let Some(world) = started(
        demo_wheels()
            .into_iter()
            .chain([WheelSpec::simple("other", "1.0")]),
    ) else {
        return;
    };
    world.install("demo", &["demo==1.0"]).success();
    let module = site(&world).join("demo/__init__.py");
    capturing(
        &world,
        &["sed", "-i", "s/1\\.0/edited/", &module.to_string_lossy()],
    )
    .success();
    let version = "import demo; print(demo.__version__)";
    world.install("demo", &["other"]).success();
    assert_eq!(world.python_in("demo", version).success().out(), "edited");
    world.change("update", "demo", &["other"]).success();
    assert_eq!(world.python_in("demo", version).success().out(), "edited");
    world.install("demo", &["demo==2.0"]).success();
    assert_eq!(world.python_in("demo", version).success().out(), "2.0");
}

#[test]
fn what_the_real_pip_does_is_an_operation_each() {
    let scripted = WheelSpec::simple("scripted", "1.0")
        .file("scripted/cli.py", "def main():\n    print('ran')\n")
        .entry_point("scripted-tool", "scripted.cli:main")
        .script("old-tool", "#!python\nprint('old')\n")
        .requires("helper");
    let Some(world) = started(demo_wheels().into_iter().chain([scripted.clone()])) else {
        return;
    };
    world.install("demo", &["helper==1.0"]).success();
    let wheel = scripted.write_to(&world.wheels());
    let plain = world.project().join("plain");
    let python = world.python().executable.clone();
    world
        .run(world.command(&python, ["-m".as_ref(), "venv".as_ref(), plain.as_os_str()]))
        .success();
    let plain = plain.join("bin/python").to_string_lossy().into_owned();
    let prefix = world.live().join("demo");
    let env = prefix.join("bin/python").to_string_lossy().into_owned();
    let pip = [
        &plain,
        "-m",
        "pip",
        "--python",
        &env,
        "--disable-pip-version-check",
    ];
    let with = |words: &[&str]| {
        let all: Vec<&str> = pip.iter().copied().chain(words.iter().copied()).collect();
        capturing(&world, &all).success()
    };
    with(&[
        "install",
        "--no-index",
        "--no-deps",
        &wheel.to_string_lossy(),
    ]);
    let both = packages([("helper", "1.0"), ("scripted", "1.0")]);
    assert_eq!(world.inside("demo"), both);
    let list = world
        .blast(["list", "--env", "demo", "--json"])
        .success()
        .json();
    assert_eq!(list["packages"][1]["name"], "scripted", "{list:#}");
    assert_eq!(list["packages"][1]["captured"], true, "{list:#}");
    for (script, said) in [("scripted-tool", "ran"), ("old-tool", "old")] {
        let run = world
            .blast(["run", "--env", "demo", "--", script])
            .success();
        assert_eq!(run.out(), said);
    }
    world.change("revert", "demo", &[]).success();
    assert_eq!(world.inside("demo"), packages([("helper", "1.0")]));
    assert!(!prefix.join("bin/scripted-tool").exists());
    world.change("redo", "demo", &[]).success();
    // It is a package like any other: what is installed later leaves it, and it can be removed.
    world.install("demo", &["demo==1.0"]).success();
    assert!(world.inside("demo").contains_key("scripted"));
    with(&["uninstall", "-y", "scripted"]);
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "1.0"), ("helper", "1.0")])
    );
    world.change("revert", "demo", &[]).success();
    world.change("remove", "demo", &["scripted"]).success();
    assert!(!world.inside("demo").contains_key("scripted"));
    world.blast(["check", "--deep"]).success();
}

#[test]
fn files_that_no_package_owns_come_and_go() {
    let Some(world) = started([WheelSpec::simple("demo", "1.0")]) else {
        return;
    };
    let site = site(&world);
    // What `setup.py develop` leaves: a link to sources elsewhere, and a script.
    let code = "import pathlib, sys\n\
                site = pathlib.Path(sys.argv[1])\n\
                (site / 'mine.egg-link').write_text('/nowhere')\n\
                (site / 'easy-install.pth').write_text('/nowhere')\n\
                (site / 'single.py').write_text('x = 1')\n\
                tool = pathlib.Path(sys.prefix, 'bin', 'mine')\n\
                tool.write_text('#!/bin/sh\\necho mine\\n'); tool.chmod(0o755)";
    capturing(&world, &["python", "-c", code, &site.to_string_lossy()]).success();
    world.install("demo", &["demo"]).success();
    world.python_in("demo", "import demo, single").success();
    let run = world
        .blast(["run", "--env", "demo", "--", "mine"])
        .success();
    assert_eq!(run.out(), "mine");
    let single = site.join("single.py");
    capturing(&world, &["rm", &single.to_string_lossy()]).success();
    world.python_in("demo", "import single").exits(1);
    world.change("revert", "demo", &[]).success();
    world.python_in("demo", "import single").success();
}

#[test]
fn writes_can_be_discarded_or_denied() {
    let Some(world) = started([]) else {
        return;
    };
    let file = site(&world).join("new.py").to_string_lossy().into_owned();
    let writing = |writes: &str| {
        let script = format!("echo x > {file} && cat {file}");
        world.blast([
            "run", "--env", "demo", "--writes", writes, "--", "sh", "-c", &script,
        ])
    };
    assert_eq!(writing("discard").success().out(), "x");
    assert_ne!(writing("deny").code, 0);
    let log = world
        .blast(["log", "--env", "demo", "--json"])
        .success()
        .json();
    assert_eq!(
        log["operations"].as_array().map(Vec::len),
        Some(1),
        "{log:#}"
    );
    let upper = world.live().parent().expect("the home").join("upper/demo");
    assert_eq!(std::fs::read_dir(upper).expect("readable").count(), 0);
}

/// What a program in a sandbox tries beside writing into its environment.
const IN_A_SANDBOX: &str = r"
import os, sys
site, secret, home = sys.argv[1:]
told = []
def tries(name, work):
    try:
        work(); told.append(name)
    except OSError:
        pass
tries('secret', lambda: open(secret).read())
tries('area', lambda: os.listdir(home + '/upper'))
tries('new', lambda: open(site + '/new.py', 'w').write('x = 1'))
tries('edit', lambda: open(site + '/demo/__init__.py', 'a').write('edited = 1\n'))
tries('folder', lambda: os.makedirs(sys.prefix + '/share/more'))
tries('remove', lambda: os.unlink(site + '/demo/old.py'))
tries('inside', lambda: 'BLAST_INSIDE' in os.environ or open('/no'))
print(' '.join(told))
sys.exit(5)
";

fn captured_in_a_sandbox(make: impl FnOnce([WheelSpec; 1]) -> Option<World>) {
    if !require(Means::Overlay) || !require(Means::Namespaces) {
        return;
    }
    let wheel = WheelSpec::new("demo", "1.0");
    let wheel = wheel.file("demo/__init__.py", "version = 1\n");
    let Some(mut world) = make([wheel.file("demo/old.py", "x = 1\n")]) else {
        return;
    };
    world.sandbox.unset("BLAST_SANDBOX");
    world.start("demo");
    world.install("demo", &["demo"]);
    let site = site(&world).to_string_lossy().into_owned();
    let secret = world
        .write("../home/secret", "s")
        .to_string_lossy()
        .into_owned();
    let home = world.blast_home().to_string_lossy().into_owned();
    let run = |writes: &str, level: &str| {
        let options = [
            "run",
            "--env",
            "demo",
            "--writes",
            writes,
            "--sandbox",
            level,
        ];
        let code = ["--", "python", "-c", IN_A_SANDBOX, &site, &secret, &home];
        world.blast(options.iter().chain(&code)).exits(5)
    };
    let operations = || world.history_length("demo");
    let before = operations();
    assert_eq!(run("deny", "standard").out(), "inside");
    assert_eq!(
        run("discard", "strict").out(),
        "new edit folder remove inside"
    );
    assert_eq!(operations(), before, "nothing stays");
    let run = run("capture", "standard");
    assert_eq!(run.out(), "new edit folder remove inside");
    run.says("blast revert");
    assert_ne!(operations(), before);
    let code =
        "import demo, new, importlib.util as u; print(demo.edited, new.x, u.find_spec('demo.old'))";
    let seen = ["run", "--env", "demo", "--", "python", "-c", code];
    assert_eq!(world.blast(seen).success().out(), "1 1 None");
    let diff = world.blast(["diff", "--env", "demo", "--files", "--json"]);
    assert!(diff.stdout.contains("demo/old.py"), "{diff}");
    assert!(!diff.stdout.contains("bin/python"), "{diff}");
    // What did not start changes nothing.
    let none = [
        "run",
        "--env",
        "demo",
        "--writes",
        "capture",
        "--sandbox",
        "strict",
        "--",
    ];
    let after = operations();
    world
        .blast(none.iter().chain(&["no-such-thing"]))
        .exits(127);
    assert_eq!(operations(), after);
    world.blast(["revert", "--env", "demo"]).success();
    let code = "import demo.old, demo; print(hasattr(demo, 'edited'))";
    let seen = ["run", "--env", "demo", "--", "python", "-c", code];
    assert_eq!(world.blast(seen).success().out(), "False");
    let upper = world.blast_home().join("upper/demo");
    assert_eq!(std::fs::read_dir(upper).expect("readable").count(), 0);
}

#[test]
fn writes_are_captured_in_a_sandbox_that_somebody_wants() {
    captured_in_a_sandbox(World::with);
}

#[test]
fn user_writes_are_captured_in_a_sandbox_that_somebody_wants() {
    captured_in_a_sandbox(World::unprivileged);
}

#[test]
fn the_exit_status_is_that_of_the_command() {
    let Some(world) = started([]) else {
        return;
    };
    for code in [0, 1, 7, 255] {
        capturing(&world, &["sh", "-c", &format!("exit {code}")]).exits(code);
    }
    capturing(&world, &["no-such-thing"]).exits(127);
}

/// A command that writes `text` to a file and then has blast do something to the environment.
fn writes_and(world: &World, file: &std::path::Path, text: &str, words: &str) -> Run {
    let (file, blast) = (file.display(), world.program().display());
    let script = format!("printf %s '{text}' > {file}; {blast} {words} --env demo");
    capturing(world, &["sh", "-c", &script])
}

#[test]
fn writes_beside_a_change_of_other_packages_are_taken() {
    let Some(world) = started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["helper==1.0"]).success();
    let site = site(&world);
    writes_and(&world, &site.join("new.py"), "x = 1", "install demo==1.0").success();
    world.python_in("demo", "import demo, new").success();
    // An edit of one package while another comes or goes.
    let module = site.join("helper/__init__.py");
    writes_and(&world, &module, "edited = 1", "remove demo").success();
    let edited = "import helper, new; assert helper.edited";
    world.python_in("demo", edited).success();
    assert_eq!(world.inside("demo"), packages([("helper", "1.0")]));
    world.change("revert", "demo", &[]).success();
    world.python_in("demo", edited).exits(1);
    assert_eq!(world.inside("demo"), packages([("helper", "1.0")]));
    world.blast(["check", "--deep"]).success();
}

#[test]
fn writes_into_what_others_changed_are_kept_aside() {
    let Some(world) = started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["demo==1.0"]).success();
    let module = site(&world).join("demo/__init__.py");
    let run = writes_and(&world, &module, "edited = 1", "install demo==2.0").exits(1);
    assert!(run.stderr.contains("is kept in"), "{run}");
    assert!(run.stderr.contains("`demo` was changed meanwhile"), "{run}");
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "2.0"), ("helper", "2.0")])
    );
    // It stays there, whatever is captured later.
    let (_, kept) = run.stderr.split_once("is kept in ").expect("a folder");
    let kept = PathBuf::from(kept.lines().next().expect("a folder"));
    capturing(&world, &["true"]).success();
    assert!(kept.join("upper").is_dir());
}
