//! When bytecode is compiled.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use blast_harness::WheelSpec;

use crate::world::World;

fn wheel() -> WheelSpec {
    WheelSpec::simple("demo", "1.0")
        .file("demo/extra.py", "VALUE = 1\n")
        .file("demo/loud.py", "raise SystemExit('run')\n")
}

/// The names of the bytecode files of the package `demo`, as the view shows them.
fn compiled(world: &World) -> Vec<String> {
    let code = "import demo, os; p = os.path.join(os.path.dirname(demo.__file__), '__pycache__');\
                print(*sorted(n.split('.')[0] for n in os.listdir(p)) if os.path.exists(p) else [])";
    let run = world.blast(["run", "--env", "demo", "--", "python", "-B", "-c", code]);
    run.success()
        .out()
        .split_whitespace()
        .map(Into::into)
        .collect()
}

fn pending(world: &World) -> u64 {
    let json = world.blast(["status", "--json"]).success().json();
    json["view"]["bytecode_pending"].as_u64().expect("a count")
}

#[test]
fn compile_bytecode_waits_until_all_is_there_and_runs_nothing() {
    let Some(world) = World::started([wheel()]) else {
        return;
    };
    let install = world.install("demo", &["demo", "--compile-bytecode"]);
    install.success().says("modules");
    assert_eq!(pending(&world), 0);
    assert_eq!(compiled(&world), ["__init__", "extra", "loud"]);
    // There is nothing left to wait for, and that is no error.
    world
        .install("demo", &["demo", "--compile-bytecode"])
        .success();
}

#[test]
fn without_bytecode_only_what_is_imported_is_compiled() {
    let Some(world) = World::started([wheel()]) else {
        return;
    };
    world.install("demo", &["demo", "--no-bytecode"]).success();
    assert_eq!(pending(&world), 0, "nothing was queued");
    world
        .change(
            "install",
            "demo",
            &["demo", "--no-bytecode", "--compile-bytecode"],
        )
        .exits(2);
}

#[test]
fn a_project_says_when_its_bytecode_is_compiled() {
    let Some(world) = World::with([wheel()]) else {
        return;
    };
    let project = |mode: &str| {
        let text = format!(
            "[project]\nname = 'demo-app'\nversion = '1'\ndependencies = ['demo']\n\
             [tool.blast]\nbytecode = '{mode}'\n"
        );
        world.write("pyproject.toml", text);
    };
    project("later");
    world
        .blast(["start", "--shell", "bash"])
        .exits(2)
        .says("bytecode");
    project("wait");
    world
        .blast(["start", "--shell", "bash"])
        .success()
        .says("modules");
    assert_eq!(pending(&world), 0);
}

#[test]
fn a_source_edited_in_plain_files_never_runs_stale_bytecode() {
    let world = World::plain([wheel()]);
    let words = ["demo", "--compile-bytecode"];
    world.install("demo", &words).success();
    let told = "import demo.extra as e, os; assert os.path.exists(e.__cached__); print(e.__file__)";
    let source = PathBuf::from(world.python_in("demo", told).success().out());
    let value = || {
        let run = world.python_in("demo", "import demo.extra; print(demo.extra.VALUE)");
        run.success().out().to_owned()
    };
    assert_eq!(value(), "1");
    // As editors do it: another file of the same size takes the name, now, or with an age of its own.
    let new = source.with_extension("new");
    let old = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for (text, modified) in [("2", None), ("3", Some(old)), ("4", None)] {
        let mut file = File::create(&new).expect("trees are the user's");
        writeln!(file, "VALUE = {text}").expect("written");
        if let Some(time) = modified {
            file.set_modified(time).expect("ours");
        }
        fs::rename(&new, &source).expect("trees are the user's");
        assert_eq!(value(), text);
        // What blast compiled from its own source is no answer for this one.
        world.install("demo", &words).success();
        assert_eq!(value(), text);
    }
}

#[test]
fn compiling_runs_nothing_that_a_package_brings() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mark = folder.path().join("mark");
    let code = format!("open({mark:?}, 'a').write(__name__)\n");
    // At import, at start, and where a codec is looked for.
    let mut wheel = WheelSpec::new("trap", "1.0");
    for name in [
        "trap",
        "sitecustomize",
        "usercustomize",
        "encodings/trap",
        "trapcodec",
        "json",
        "base64",
        "warnings",
    ] {
        wheel = wheel.file(&format!("{name}.py"), &code);
    }
    wheel = wheel
        .file("named.py", "# -*- coding: trapcodec -*-\nx = 1\n")
        .file("inner.py", "# -*- coding: trap -*-\nx = 1\n")
        .file("trap.pth", &format!("import sys; {code}"));
    let Some(world) = World::started([wheel]) else {
        return;
    };
    let install = world.install("demo", &["trap", "--compile-bytecode"]);
    install.success();
    assert_eq!(pending(&world), 0);
    assert!(!mark.exists(), "{:?}", fs::read_to_string(&mark));
}
