//! `blast run --sandbox`: what stays as it is for a command inside, and that nothing is left behind.
//! What is kept from it is in `sandbox_escapes.rs`.

use std::fs;
use std::time::Duration;

use blast_harness::{Means, Sandbox, require};

use crate::world::{World, wait_until};

const LEVELS: [&str; 2] = ["standard", "strict"];

/// An environment, where the host can keep things from anybody.
fn started() -> Option<World> {
    if !require(Means::Namespaces) {
        return None;
    }
    World::started([])
}

fn inside(world: &World, level: &str, command: &[&str]) -> blast_harness::Run {
    let mut words = vec!["run", "--env", "demo", "--sandbox", level, "--"];
    words.extend(command);
    world.blast(words)
}

#[test]
fn statuses_streams_and_directory_are_the_commands_own() {
    let Some(world) = started() else {
        return;
    };
    for level in LEVELS {
        for code in [0, 1, 7, 255] {
            inside(&world, level, &["sh", "-c", &format!("exit {code}")]).exits(code);
        }
        inside(&world, level, &["sh", "-c", "kill -9 $$"]).exits(128 + 9);
        inside(&world, level, &["no-such-thing"]).exits(127);
        let text = world.write("text", "no program");
        inside(&world, level, &[&text.to_string_lossy()]).exits(126);
        let code = "import os, sys; print(os.getcwd()); sys.stderr.write('e')";
        let run = inside(&world, level, &["python", "-c", code]).success();
        assert_eq!(run.out(), world.project().to_string_lossy());
        assert_eq!(run.stderr, "e");
    }
}

#[test]
fn the_environment_is_where_it_is_outside_and_what_is_written_into_it_is_private() {
    let Some(world) = started() else {
        return;
    };
    let code = "import sys; print(sys.prefix); print(sys.executable)";
    let outside = world.python_in("demo", code).success();
    for level in LEVELS {
        let run = inside(&world, level, &["python", "-c", code]).success();
        assert_eq!(run.stdout, outside.stdout);
        let write = "import os, sys; open(os.path.join(sys.prefix, 'mine'), 'w').close()";
        inside(&world, level, &["python", "-c", write]).success();
        let look = "import os, sys; print(os.path.exists(os.path.join(sys.prefix, 'mine')))";
        let run = inside(&world, level, &["python", "-c", look]).success();
        assert_eq!(run.out(), "False");
        assert!(!world.live().join("demo/mine").exists());
    }
}

#[test]
fn the_project_is_written_and_the_rest_of_the_home_is_empty() {
    let Some(world) = started() else {
        return;
    };
    let home = world.root().join("home");
    fs::write(home.join("secret"), "s").expect("possible");
    for level in LEVELS {
        inside(
            &world,
            level,
            &[
                "sh",
                "-c",
                "echo x > made; cd ~; find . > \"$OLDPWD\"/listing",
            ],
        )
        .success();
        assert_eq!(
            fs::read_to_string(world.project().join("made")).expect("possible"),
            "x\n"
        );
        // A place for what is found again (`sandbox_cache.rs`), in which nothing is yet.
        let expected = if level == "strict" {
            ".\n"
        } else {
            ".\n./.cache\n"
        };
        assert_eq!(
            fs::read_to_string(world.project().join("listing")).expect("possible"),
            expected
        );
        inside(&world, level, &["sh", "-c", "echo mine > ~/left"]).success();
    }
    assert!(!home.join("left").exists());
}

#[test]
fn paths_are_given_and_hidden_by_name() {
    let Some(world) = started() else {
        return;
    };
    let given = world.root().join("home/given");
    fs::create_dir(&given).expect("possible");
    fs::write(given.join("file"), "text").expect("possible");
    let hidden = world.write("hidden", "secret");
    let given = given.to_string_lossy().into_owned();
    let script = format!("cat {given}/file; echo y > {given}/new; cat hidden");
    let run = world.blast([
        "run",
        "--env",
        "demo",
        "--sandbox",
        "strict",
        "--read-only",
        &given,
        "--hide",
        &hidden.to_string_lossy(),
        "--",
        "sh",
        "-c",
        &script,
    ]);
    assert_eq!(run.stdout, "text");
    assert!(
        run.stderr.contains("Read-only file system"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("Permission denied"), "{}", run.stderr);
    world
        .blast([
            "run",
            "--env",
            "demo",
            "--sandbox",
            "strict",
            "--read-write",
            &given,
            "--",
            "sh",
            "-c",
            &format!("echo y > {given}/new"),
        ])
        .success();
    assert!(world.root().join("home/given/new").exists());
    let run = world.blast([
        "run",
        "--env",
        "demo",
        "--sandbox",
        "strict",
        "--read-only",
        "/no/such",
        "--",
        "true",
    ]);
    run.exits(2);
}

#[test]
fn variables_are_given_by_name() {
    let Some(mut world) = started() else {
        return;
    };
    world.sandbox.set("SECRET_TOKEN", "s");
    let script = "echo ${SECRET_TOKEN-none} ${MODE-none} $BLAST_ENV";
    let run = inside(&world, "standard", &["sh", "-c", script]).success();
    assert_eq!(run.out(), "none none demo");
    let run = world
        .blast([
            "run",
            "--env",
            "demo",
            "--sandbox",
            "standard",
            "--variable",
            "SECRET_TOKEN",
            "--variable",
            "MODE=test",
            "--",
            "sh",
            "-c",
            script,
        ])
        .success();
    assert_eq!(run.out(), "s test demo");
}

#[test]
fn a_file_can_be_no_larger_than_allowed() {
    let Some(world) = started() else {
        return;
    };
    let run = world.blast([
        "run",
        "--env",
        "demo",
        "--sandbox",
        "standard",
        "--file-size-max",
        "64K",
        "--",
        "python",
        "-c",
        "open('f', 'wb').write(bytes(1 << 20))",
    ]);
    run.exits(1);
    assert!(
        fs::metadata(world.project().join("f"))
            .expect("possible")
            .len()
            <= 64 << 10
    );
}

#[test]
fn a_signal_reaches_the_command_and_nothing_is_left_behind() {
    let Some(world) = started() else {
        return;
    };
    inside(&world, "standard", &["true"]).success();
    let before = left_behind(&world);
    let code = "import signal, time, sys\n\
                signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n\
                open('ready', 'w').close()\n\
                time.sleep(600)";
    let background = world.blast_in_background([
        "run",
        "--env",
        "demo",
        "--sandbox",
        "standard",
        "--",
        "python",
        "-c",
        code,
    ]);
    let ready = world.project().join("ready");
    assert!(wait_until(|| ready.exists()));
    background.signal(nix::sys::signal::Signal::SIGTERM);
    world.finish(background).exits(5);
    assert_eq!(left_behind(&world), before);
}

#[test]
fn what_a_command_started_ends_with_it_and_with_its_caller() {
    let Some(world) = started() else {
        return;
    };
    inside(&world, "standard", &["true"]).success();
    let before = left_behind(&world);
    let beat = "(while :; do date +%N > beat; sleep 0.05; done) &";
    inside(
        &world,
        "standard",
        &["sh", "-c", &format!("{beat} sleep 0.3")],
    )
    .success();
    assert!(is_still(&world));

    let background = world.blast_in_background([
        "run",
        "--env",
        "demo",
        "--sandbox",
        "standard",
        "--",
        "sh",
        "-c",
        &format!("{beat} touch begun; sleep 600"),
    ]);
    let begun = world.project().join("begun");
    assert!(wait_until(|| begun.exists()));
    background.signal(nix::sys::signal::Signal::SIGKILL);
    world.finish(background);
    assert!(wait_until(|| is_still(&world)));
    // The directory of a cgroup goes with the next sandbox, if its maker was killed.
    inside(&world, "standard", &["true"]).success();
    assert_eq!(left_behind(&world), before);
}

/// Whether nobody writes the file `beat` any more.
fn is_still(world: &Sandbox) -> bool {
    let beat = world.project().join("beat");
    let read = || fs::read_to_string(&beat).unwrap_or_default();
    let first = read();
    std::thread::sleep(Duration::from_millis(400));
    first == read()
}

/// Mounts of the test, and cgroups of sandboxes whose maker is gone.
fn left_behind(world: &Sandbox) -> (Vec<std::path::PathBuf>, Vec<String>) {
    let mut groups = Vec::new();
    for controller in ["", "memory", "pids", "cpu"] {
        let folder = std::path::Path::new("/sys/fs/cgroup").join(controller);
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let maker = name
                .strip_prefix("blast-")
                .and_then(|rest| rest.parse::<i32>().ok());
            if maker.is_some_and(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists()) {
                groups.push(name);
            }
        }
    }
    (world.mounts(), groups)
}
