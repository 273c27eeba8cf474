//! Source distributions: building them, and what builds do wrong.

use std::fs;
use std::time::Duration;

use blast_harness::{Release, SdistSpec, WheelSpec};

use crate::world::{World, packages};

/// A world with `demo` and these source distributions on its index.
fn with(sdists: impl IntoIterator<Item = SdistSpec>) -> Option<World> {
    let world = World::started([WheelSpec::simple("helper", "1.0")])?;
    for sdist in sdists {
        world.index.publish(Release::sdist(&sdist));
    }
    Some(world)
}

/// A hook that is never reached without being noticed.
const NEVER: &str = "def build_wheel(*_, **__):\n    raise RuntimeError('was called')\n";

#[test]
fn a_source_distribution_is_built_once() {
    let sdist = SdistSpec::simple("made", "1.0").requires("helper");
    let Some(world) = with([sdist]) else { return };
    world.install("demo", &["made"]).success();
    assert_eq!(
        world.inside("demo"),
        packages([("made", "1.0"), ("helper", "1.0")])
    );
    world.python_in("demo", "import made, helper").success();
    world.start("second");
    let again = world.install("second", &["-v", "made"]).success();
    assert!(!again.stderr.contains("building"), "{again}");
    world.python_in("second", "import made").success();
    let same = world.install("demo", &["made"]).success();
    assert!(same.stderr.contains("nothing to do"), "{same}");
}

#[test]
fn a_wheel_is_taken_before_sources_unless_told_otherwise() {
    let sdist = SdistSpec::simple("made", "1.0").file("src/made.py", "origin = 'sources'\n");
    let Some(world) = with([sdist]) else { return };
    let wheel = WheelSpec::new("made", "1.0").file("made.py", "origin = 'wheel'\n");
    world.index.publish(Release::of(&wheel));
    world.install("demo", &["made"]).success();
    let origin = |env| {
        let run = world.python_in(env, "import made; print(made.origin)");
        run.out().to_owned()
    };
    assert_eq!(origin("demo"), "wheel");
    world.start("second");
    world
        .install("second", &["--no-binary", "made", "made"])
        .success();
    assert_eq!(origin("second"), "sources");
    let run = world.install("demo", &["--only-binary", ":all:", "made==1.0"]);
    run.success();
}

#[test]
fn static_metadata_needs_no_build() {
    let info = "Metadata-Version: 2.2\nName: made\nVersion: 1.0\nRequires-Dist: helper\n";
    let sdist = SdistSpec::simple("made", "1.0")
        .file("PKG-INFO", info)
        .backend(NEVER);
    let Some(world) = with([sdist]) else { return };
    let run = world.blast(["lock", "made"]).success();
    assert!(run.stdout.contains("helper") || world.project().join("pylock.toml").exists());
}

#[test]
fn build_requirements_are_had_for_the_build_alone() {
    let sdist = SdistSpec::simple("made", "1.0")
        .build_requires("helper")
        .backend("import helper\nREQUIRES = ['second']\n")
        .backend(
            "_build = build_wheel\n\
             def build_wheel(*args, **named):\n    import second\n    return _build(*args, **named)\n",
        );
    let Some(world) = with([sdist, SdistSpec::simple("second", "2.0")]) else {
        return;
    };
    world.install("demo", &["made"]).success();
    assert_eq!(world.inside("demo"), packages([("made", "1.0")]));
    let envs = world.blast(["envs"]).success();
    assert!(!envs.stdout.contains("_build"), "{envs}");
}

#[test]
fn settings_reach_the_backend_and_make_another_wheel() {
    let Some(world) = with([SdistSpec::simple("made", "1.0")]) else {
        return;
    };
    world.install("demo", &["made"]).success();
    world.start("second");
    world
        .install("second", &["-C", "a=1", "-C", "a=2", "made"])
        .success();
    let code = "import made, os; p = os.path.join(os.path.dirname(made.__file__), 'settings.txt')\n\
                print(open(p).read() if os.path.exists(p) else 'none')";
    assert_eq!(world.python_in("demo", code).out(), "none");
    assert_eq!(world.python_in("second", code).out(), "[('a', ['1', '2'])]");
}

/// A hook that prepares metadata with a mark, and a wheel that must be told of it. The folder that it
/// gets is one of its own: with a link out of it, which nobody follows.
const PREPARING: &str = "
import shutil
def prepare_metadata_for_build_wheel(folder, config_settings=None):
    name = _stem() + '.dist-info'
    info = os.path.join(folder, name)
    os.mkdir(info)
    shutil.copy('METADATA', os.path.join(info, 'METADATA'))
    os.symlink('/', os.path.join(info, 'root'))
    with open(os.path.join(info, 'mark'), 'w') as file:
        file.write('prepared')
    with open('left-in-the-sources', 'w') as file:
        file.write('as setuptools does')
    return name

prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel
_build = build_wheel
_build_editable = build_editable

def _told(metadata_directory):
    assert os.path.basename(metadata_directory) == _stem() + '.dist-info', metadata_directory
    assert _read(os.path.join(metadata_directory, 'mark')) == 'prepared'
    assert os.path.islink(os.path.join(metadata_directory, 'root'))

def build_wheel(folder, config_settings=None, metadata_directory=None):
    _told(metadata_directory)
    return _build(folder, config_settings)

def build_editable(folder, config_settings=None, metadata_directory=None):
    _told(metadata_directory)
    return _build_editable(folder, config_settings)
";

#[test]
fn what_was_prepared_is_handed_to_the_build_that_follows() {
    let sdist = SdistSpec::simple("made", "1.0")
        .requires("helper")
        .backend(PREPARING);
    let Some(world) = with([sdist.clone()]) else {
        return;
    };
    world.install("demo", &["made"]).success();
    assert_eq!(
        world.inside("demo"),
        packages([("made", "1.0"), ("helper", "1.0")])
    );
    for (env, editable) in [("folder", false), ("editable", true)] {
        let folder = sdist.write_to(&world.project().join(env));
        world.start(env);
        let place = folder.display().to_string();
        let arguments: &[&str] = if editable {
            &["--editable", &place]
        } else {
            &[&place]
        };
        world.install(env, arguments).success();
        world.python_in(env, "import made").success();
    }
}

#[test]
fn zips_and_old_projects_with_setup_py_alone_are_looked_into() {
    let sdist = SdistSpec::simple("made", "1.0");
    let Some(world) = with([]) else { return };
    world
        .index
        .publish(Release::raw("made", "made-1.0.zip", sdist.zip()));
    world.install("demo", &["made"]).success();
    world.python_in("demo", "import made").success();
}

#[test]
fn a_failing_backend_shows_its_last_words_and_its_log() {
    let sdist = SdistSpec::simple("made", "1.0").backend(
        "def build_wheel(*_, **__):\n\
         \x20   for number in range(100000):\n        print('line', number)\n\
         \x20   raise RuntimeError('no luck')\n",
    );
    let Some(world) = with([sdist]) else { return };
    let run = world.install("demo", &["made"]);
    assert_eq!(run.code, 1, "{run}");
    for word in ["made 1.0", "build_wheel", "no luck", "line 99999"] {
        assert!(run.stderr.contains(word), "{word}: {run}");
    }
    assert!(!run.stderr.contains("line 99000"), "{run}");
    let log = run
        .stderr
        .split_whitespace()
        .find(|word| word.contains("/logs/"));
    let log = log
        .expect("the log is named")
        .replace("[ROOT]", &world.root().display().to_string());
    let text = fs::read_to_string(log).expect("the log is there");
    assert!(text.contains("line 0\n") && text.contains("no luck"));
    assert_eq!(world.inside("demo"), packages([]));
}

#[test]
fn a_build_that_needs_itself_is_refused() {
    let a = SdistSpec::simple("a", "1.0").build_requires("b");
    let b = SdistSpec::simple("b", "1.0").build_requires("a");
    let Some(world) = with([a, b]) else { return };
    let run = world.install("demo", &["a"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("a 1.0 -> b 1.0 -> a 1.0"), "{run}");
}

#[test]
fn what_is_built_must_be_what_was_promised() {
    let other = SdistSpec::simple("made", "1.0").file("NAME", "made 1.1\n");
    let name = SdistSpec::simple("nice", "1.0").backend("_stem = lambda: 'nasty-1.0'\n");
    let nothing = SdistSpec::simple("empty", "1.0")
        .backend("def build_wheel(*_, **__):\n    return '../../x.whl'\n");
    let Some(world) = with([other, name, nothing]) else {
        return;
    };
    for (package, word) in [("made", "1.1"), ("nice", "nasty"), ("empty", "wrote no")] {
        let run = world.install("demo", &[package]);
        assert_eq!(run.code, 1, "{run}");
        assert!(run.stderr.contains(word), "{run}");
    }
    assert_eq!(world.inside("demo"), packages([]));
}

#[test]
fn hostile_archives_are_refused_by_name() {
    let Some(world) = with([]) else { return };
    let evil = SdistSpec::simple("evil", "1.0").file("../../out.txt", "gone\n");
    let zip = Release::raw("evil", "evil-1.0.zip", evil.zip());
    world.index.publish(zip);
    world.index.publish(Release::raw(
        "junk",
        "junk-1.0.tar.gz",
        b"no archive".to_vec(),
    ));
    for (package, word) in [("evil", "leads out of the archive"), ("junk", "no archive")] {
        let run = world.install("demo", &[package]);
        assert_eq!(run.code, 1, "{run}");
        assert!(run.stderr.contains(word), "{run}");
    }
    let wrong = Release::sdist(&SdistSpec::simple("wrong", "1.0").backend(NEVER));
    world.index.publish(wrong.hash(Some(&"00".repeat(32))));
    let run = world.install("demo", &["wrong"]);
    assert!(run.code == 1 && run.stderr.contains("0000"), "{run}");
    assert!(!run.stderr.contains("was called"), "{run}");
}

#[test]
fn a_build_ends_with_its_request_and_leaves_no_process() {
    let sdist = SdistSpec::simple("slow", "1.0").backend(
        "def build_wheel(*_, **__):\n\
         \x20   import subprocess, sys, time\n\
         \x20   code = 'import time; time.sleep(600)  # SLEEPER'\n\
         \x20   subprocess.Popen([sys.executable, '-c', code], start_new_session=True)\n\
         \x20   print('waiting', flush=True)\n    time.sleep(600)\n",
    );
    let Some(world) = with([sdist]) else { return };
    let mut install = world.blast_in_background(["install", "--env", "demo", "slow"]);
    let of_build = || sleepers(world.root());
    assert!(within(|| of_build() >= 2), "the build did not begin");
    install.kill();
    assert!(
        within(|| of_build() == 0),
        "a process of the build lives on"
    );
    assert_eq!(world.inside("demo"), packages([]));
}

/// Python processes that run out of this folder's view.
fn sleepers(root: &std::path::Path) -> usize {
    let marker = format!("{}/", root.display());
    let processes = fs::read_dir("/proc").expect("there").flatten();
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines
        .filter(|line| {
            let line = String::from_utf8_lossy(line);
            line.starts_with(&marker) && line.contains("/_build-")
        })
        .count()
}

fn within(done: impl Fn() -> bool) -> bool {
    (0..600).any(|_| {
        if done() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(100));
        false
    })
}

#[test]
fn a_build_may_be_had_in_the_environment_itself() {
    let sdist = SdistSpec::simple("made", "1.0")
        .build_requires("absent")
        .backend("import helper\n");
    let Some(world) = with([sdist]) else { return };
    let run = world.install("demo", &["--no-build-isolation", "made"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("helper"), "{run}");
    world.install("demo", &["helper"]).success();
    world
        .install("demo", &["--no-build-isolation", "made"])
        .success();
    world.python_in("demo", "import made").success();
}

#[test]
fn a_build_may_be_had_in_plain_files_too() {
    let world = World::plain([WheelSpec::simple("helper", "1.0")]);
    let sdist = SdistSpec::simple("made", "1.0")
        .build_requires("absent")
        .backend("import helper\n");
    world.index.publish(Release::sdist(&sdist));
    world.install("demo", &["helper"]).success();
    // Nobody has looked at the environment since, so its files need not be there.
    world.blast(["kill", "demo"]).success();
    world
        .install("demo", &["--no-build-isolation", "made"])
        .success();
    assert!(world.mounts().is_empty(), "nothing is mounted for it");
    world.python_in("demo", "import made").success();
}
