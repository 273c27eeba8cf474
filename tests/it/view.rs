//! What programs see in the view.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;

use blast_harness::WheelSpec;

use crate::world::{World, demo_wheels};

#[test]
fn environments_with_one_package_share_its_files() {
    let big = "x = 1\n".repeat(4000);
    let Some(world) = World::mounted([WheelSpec::simple("demo", "1.0").file("demo/big.py", &big)])
    else {
        return;
    };
    world.start("other");
    let inode = |env: &str| {
        world.install(env, &["demo"]).success();
        let run = world
            .python_in(env, "import demo.big; print(demo.big.__file__)")
            .success();
        let meta = fs::metadata(run.out()).expect("the view shows it");
        (meta.dev(), meta.ino())
    };
    assert_eq!(inode("demo"), inode("other"));
}

#[test]
fn an_unchanged_file_keeps_its_node_over_a_swap() {
    let Some(world) = World::mounted(demo_wheels()) else {
        return;
    };
    world.install("demo", &["helper==1.0"]).success();
    let run = world
        .python_in("demo", "import helper; print(helper.__file__)")
        .success();
    let before = fs::metadata(run.out()).expect("shown").ino();
    world.install("demo", &["demo==1.0"]).success();
    assert_eq!(fs::metadata(run.out()).expect("shown").ino(), before);
}

#[test]
fn an_open_file_stays_readable_when_its_package_goes() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["helper==1.0"]).success();
    let run = world
        .python_in("demo", "import helper; print(helper.__file__)")
        .success();
    let file = fs::File::open(run.out()).expect("shown");
    world.change("remove", "demo", &["helper"]).success();
    assert!(!std::path::Path::new(run.out()).exists());
    let text = std::io::read_to_string(file).expect("still served");
    assert!(text.contains("1.0"));
}

#[test]
fn the_view_cannot_be_written() {
    let Some(world) = World::mounted([WheelSpec::simple("demo", "1.0")]) else {
        return;
    };
    world.install("demo", &["demo"]).success();
    let run = world
        .python_in("demo", "import demo; print(demo.__file__)")
        .success();
    let opened = OpenOptions::new().append(true).open(run.out());
    let made = fs::write(world.live().join("demo/new.txt"), "x");
    for error in [opened.err(), made.err(), fs::remove_file(run.out()).err()] {
        let kind = error.map(|error| error.kind());
        let refused = [ErrorKind::ReadOnlyFilesystem, ErrorKind::PermissionDenied];
        assert!(kind.is_some_and(|kind| refused.contains(&kind)), "{kind:?}");
    }
}

#[test]
fn a_running_import_system_finds_what_was_installed_meanwhile() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    let code = "import subprocess, sys, importlib\n\
        try:\n    import helper\n    raise SystemExit('there already')\n\
        except ImportError:\n    pass\n\
        subprocess.run([sys.argv[1], 'install', '--env', 'demo', 'helper'], check=True)\n\
        import helper\n";
    let program = world.program().to_string_lossy().into_owned();
    world
        .blast(["run", "--env", "demo", "--", "python", "-c", code, &program])
        .success();
}

#[test]
fn every_file_of_the_environment_can_be_walked_and_read() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["demo"]).success();
    world.show("demo");
    let script = "cd \"$0\" && find . -type f | sort > ../../../project/listed && \
                  find . -type f -exec cat {} + > /dev/null && wc -l < ../../../project/listed";
    let prefix = world.live().join("demo");
    let script = script.replace("../../..", &world.root().to_string_lossy());
    let run = world.run(world.command(
        "bash",
        ["-ec".as_ref(), script.as_ref(), prefix.as_os_str()],
    ));
    assert!(run.success().out().parse::<usize>().expect("a count") > 8);
}
