//! `blast run`.

use blast_harness::WheelSpec;

use crate::world::{World, demo_wheels};

#[test]
fn the_exit_status_is_that_of_the_command() {
    let Some(world) = World::started([]) else {
        return;
    };
    for code in [0, 1, 7, 255] {
        world
            .python_in("demo", &format!("raise SystemExit({code})"))
            .exits(code);
    }
    world
        .blast(["run", "--env", "demo", "--", "sh", "-c", "kill -9 $$"])
        .exits(128 + 9);
}

#[test]
fn a_command_that_is_missing_or_no_program_has_the_status_of_shells() {
    let Some(world) = World::started([]) else {
        return;
    };
    insta::assert_snapshot!(world.blast(["run", "--env", "demo", "--", "no-such-thing"]), @"
    exit status: 127
    --- stderr
    error: cannot find the command `no-such-thing`
    hint: environment demo has no such program: `blast install` the package that brings it
    ");
    let text = world.write("text", "no program");
    world
        .blast(["run", "--env", "demo", "--", &text.to_string_lossy()])
        .exits(126);
}

#[test]
fn the_separator_may_be_left_out() {
    let Some(world) = World::started([]) else {
        return;
    };
    let run = world
        .blast(["run", "--env", "demo", "python", "-c", "print('--json')"])
        .success();
    assert_eq!(run.out(), "--json");
}

#[test]
fn streams_and_working_directory_are_the_commands_own() {
    let Some(world) = World::started([]) else {
        return;
    };
    let code = "import sys, os; print(sys.stdin.read()); print(os.getcwd()); sys.stderr.write('e')";
    let program = world.program().to_owned();
    let command = world.command(
        program,
        ["run", "--env", "demo", "--", "python", "-c", code],
    );
    let run = world.run_with_input(command, "typed").success();
    assert_eq!(
        run.stdout,
        format!("typed\n{}\n", world.project().display())
    );
    assert_eq!(run.stderr, "e");
}

#[test]
fn console_scripts_run_with_the_environments_interpreter() {
    let Some(world) = World::started([WheelSpec::simple("demo", "1.0")
        .file(
            "demo/cli.py",
            "import sys\ndef main():\n    print(sys.prefix, sys.argv[1:])\n    return 3\n",
        )
        .entry_point("demo-tool", "demo.cli:main")
        .script("old-tool", "#!python\nimport sys\nprint(sys.prefix)\n")])
    else {
        return;
    };
    world.install("demo", &["demo"]).success();
    let prefix = world.live().join("demo");
    let run = world
        .blast(["run", "--env", "demo", "--", "demo-tool", "a b"])
        .exits(3);
    assert_eq!(run.out(), format!("{} ['a b']", prefix.display()));
    let run = world
        .blast(["run", "--env", "demo", "--", "old-tool"])
        .success();
    assert_eq!(run.out(), prefix.to_string_lossy());
    // By their path they work too, with no `blast` around them.
    let run = world
        .run(world.command(prefix.join("bin/demo-tool"), ["x"]))
        .exits(3);
    assert_eq!(run.out(), format!("{} ['x']", prefix.display()));
}

#[test]
fn a_pinned_program_does_not_see_what_happens_meanwhile() {
    let Some(world) = World::started(demo_wheels()) else {
        return;
    };
    world.install("demo", &["demo==1.0"]).success();
    let code = "import sys, time, pathlib\n\
                pathlib.Path('ready').touch()\n\
                while not pathlib.Path('go').exists(): time.sleep(0.01)\n\
                import demo; print(demo.__version__)";
    let args = |pin: &[&'static str]| {
        let mut args = vec!["run", "--env", "demo"];
        args.extend(pin);
        args.extend(["--", "python", "-c", code]);
        args
    };
    let mut seen = Vec::new();
    for pin in [&["--pin"][..], &[]] {
        let background = world.blast_in_background(args(pin));
        wait_for(&world, "ready");
        world.install("demo", &["demo==2.0"]).success();
        world.write("go", "");
        seen.push(world.finish(background).success().out().to_owned());
        for mark in ["ready", "go"] {
            std::fs::remove_file(world.project().join(mark)).expect("the mark is there");
        }
        world.install("demo", &["demo==1.0"]).success();
    }
    assert_eq!(seen, ["1.0", "2.0"], "pinned, then live");
}

#[test]
fn the_environment_is_told_by_variables() {
    let Some(world) = World::started([]) else {
        return;
    };
    let code = "import os; print(os.environ['VIRTUAL_ENV'], os.environ['BLAST_ENV'])";
    let run = world.python_in("demo", code).success();
    assert_eq!(
        run.out(),
        format!("{} demo", world.live().join("demo").display())
    );
}

fn wait_for(world: &World, mark: &str) {
    let path = world.project().join(mark);
    for _ in 0..6000 {
        if path.exists() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{} did not appear", path.display());
}
