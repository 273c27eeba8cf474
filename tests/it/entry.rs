//! The sandbox that nobody asked for: programs of an environment, however they are started, enter one that is kept, share
//! it while they run, and leave nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use blast_harness::{Background, Means, Run, WheelSpec, require};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::world::{World, wait_until};

/// An environment whose programs nothing is said about.
fn started(wheels: impl IntoIterator<Item = WheelSpec>) -> Option<World> {
    if !require(Means::Namespaces) {
        return None;
    }
    let mut world = World::started(wheels)?;
    world.sandbox.unset("BLAST_SANDBOX");
    Some(world)
}

fn unprivileged() -> Option<World> {
    if !require(Means::Namespaces) || !require(Means::View) {
        return None;
    }
    let mut world = World::unprivileged([])?;
    world.start("demo");
    world.sandbox.unset("BLAST_SANDBOX");
    Some(world)
}

fn python(world: &World) -> PathBuf {
    world.live().join("demo/bin/python")
}

/// Runs a program by its path.
fn by_path(world: &World, program: &Path, arguments: &[&str]) -> Run {
    let mut command = world.command(program, arguments);
    command.current_dir(world.project());
    world.run(command)
}

fn run(world: &World, command: &[&str]) -> Run {
    let mut words = vec!["run", "--env", "demo", "--"];
    words.extend(command);
    world.blast(words)
}

fn in_background(world: &World, command: &[&str]) -> Background {
    let mut words = vec!["run", "--env", "demo", "--"];
    words.extend(command);
    world.blast_in_background(words)
}

/// The sockets of sandboxes that are kept.
fn kept(world: &World) -> Vec<String> {
    let folder = world.root().join("run/blast/sandboxes");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| !name.starts_with('.')).collect()
}

/// What the sandboxes of the environment are, as they are seen from outside.
fn security(world: &World) -> serde_json::Value {
    let status = world.blast(["status", "--env", "demo", "--json"]);
    status.success().json()["security"].clone()
}

const HOST: &str = "import socket; print(socket.gethostname())";
const HOLD: &str = "open('ready', 'w').close(); import time; time.sleep(600)";

fn everything_enters(world: &World) {
    let secret = world.root().join("home/secret");
    fs::write(&secret, "s").expect("possible");
    let look = format!(
        "{HOST}; import os, sys; print(os.path.exists('{}'), sys.executable, sys.prefix)",
        secret.display()
    );
    let python = python(world);
    let prefix = world.live().join("demo");
    let inside = format!("sandbox\nFalse {} {}", python.display(), prefix.display());
    assert_eq!(
        by_path(world, &python, &["-c", &look]).success().out(),
        inside
    );
    assert_eq!(run(world, &["python", "-c", &look]).success().out(), inside);
    // Started from within, it does not enter twice.
    let again = format!(
        "import subprocess, sys; subprocess.run([sys.executable, '-c', {look:?}], check=True)"
    );
    assert_eq!(
        by_path(world, &python, &["-c", &again]).success().out(),
        inside
    );
    let link = world.project().join("mine");
    std::os::unix::fs::symlink(&python, &link).expect("possible");
    assert_eq!(
        by_path(world, &link, &["-c", HOST]).success().out(),
        "sandbox"
    );
    assert_eq!(kept(world).len(), 1, "all have the same");
}

#[test]
fn a_python_enters_however_it_is_started() {
    if let Some(world) = started([]) {
        everything_enters(&world);
    }
}

#[test]
fn a_python_enters_for_a_normal_user() {
    if let Some(world) = unprivileged() {
        everything_enters(&world);
    }
}

#[test]
fn a_console_script_enters_and_its_arguments_and_status_are_its_own() {
    let code = "import socket, sys\ndef main():\n    print(socket.gethostname(), sys.argv[1:])\n    \
                return 7\n";
    let wheel = WheelSpec::new("tool", "1.0")
        .file("tool.py", code)
        .entry_point("tool", "tool:main");
    let Some(world) = started([wheel]) else {
        return;
    };
    world.install("demo", &["tool"]).success();
    let script = world.live().join("demo/bin/tool");
    let run = by_path(&world, &script, &["a b", "--c"]).exits(7);
    assert_eq!(run.out(), "sandbox ['a b', '--c']");
}

#[test]
fn nothing_is_kept_from_programs_where_the_level_is_none() {
    let Some(mut world) = started([]) else {
        return;
    };
    let code = format!("{HOST}; import sys; print(sys.executable, sys.prefix != sys.base_prefix)");
    let host = nix::unistd::gethostname().expect("there is one");
    let expected = format!(
        "{}\n{} True",
        host.to_string_lossy(),
        python(&world).display()
    );
    world.sandbox.set("BLAST_SANDBOX", "none");
    let seen = by_path(&world, &python(&world), &["-c", &code]).success();
    assert_eq!(seen.out(), expected);
    assert_eq!(kept(&world), Vec::<String>::new());
    // The word of a level that does not exist is no reason to go on without one.
    world.sandbox.set("BLAST_SANDBOX", "nnoe");
    by_path(&world, &python(&world), &["-c", &code])
        .exits(2)
        .says("BLAST_SANDBOX");
}

#[test]
fn programs_share_a_sandbox_while_one_of_them_runs_and_then_it_is_as_new() {
    let Some(world) = started([]) else {
        return;
    };
    let first = in_background(
        &world,
        &[
            "python",
            "-c",
            &format!("open('/tmp/mark', 'w').write('1'); {HOLD}"),
        ],
    );
    let ready = world.project().join("ready");
    assert!(wait_until(|| ready.exists()));
    assert_eq!(run(&world, &["cat", "/tmp/mark"]).success().out(), "1");
    // What one leaves running stays for as long as the other runs.
    let beat = "(while :; do date +%N > beat; sleep 0.05; done) >&- 2>&- & sleep 0.2";
    run(&world, &["sh", "-c", beat]).success();
    let beats = || fs::read_to_string(world.project().join("beat")).unwrap_or_default();
    let before = beats();
    assert!(wait_until(|| beats() != before), "it goes on");
    first.signal(Signal::SIGTERM);
    world.finish(first).exits(128 + 15);
    let is_still = || {
        let before = beats();
        std::thread::sleep(Duration::from_millis(400));
        beats() == before
    };
    assert!(wait_until(is_still), "it ended with the last program");
    run(&world, &["test", "-e", "/tmp/mark"]).exits(1);
}

/// Process 1 of the only sandbox that is kept, when nothing runs in it.
fn idle(world: &World) -> i64 {
    let seen = || {
        let seen = security(world)["sandboxes"].clone();
        let [only] = seen.as_array()?.as_slice() else {
            return None;
        };
        only["process"].as_i64().filter(|_| only["programs"] == 0)
    };
    assert!(wait_until(|| seen().is_some()), "{}", security(world));
    seen().expect("nothing runs that could end it")
}

fn what_comes_and_goes_leaves_a_sandbox_as_it_was(world: &World) {
    run(world, &["true"]).success();
    let first = idle(world);
    let times = "import os; print([os.stat(at).st_mtime_ns for at in ('/tmp', '/dev/shm')])";
    let before = run(world, &["python", "-c", times]).success();
    let passing = "import ctypes, errno, multiprocessing, os, tempfile
with tempfile.TemporaryDirectory() as folder:
    open(folder + '/file', 'w').write('x' * 10000)
multiprocessing.get_context('spawn').Semaphore(1)
libc = ctypes.CDLL(None, use_errno=True)
queue = libc.mq_open(b'/left', os.O_CREAT | os.O_RDWR, 0o600, None)
assert (queue, ctypes.get_errno()) == (-1, errno.ENOSYS)";
    run(world, &["python", "-c", passing]).success();
    assert_eq!(idle(world), first, "it is kept");
    let after = run(world, &["python", "-c", times]).success();
    assert_eq!(after.out(), before.out());

    for left in [
        "open('/tmp/left', 'w')",
        "os.mkdir('/dev/shm/left')",
        "os.symlink('x', os.path.expanduser('~/left'))",
        "os.chmod('/var/tmp', 0o700)",
        "os.utime(sys.prefix)",
    ] {
        let before = idle(world);
        let code = format!("import os, sys; {left}");
        run(world, &["python", "-c", &code]).success();
        assert!(
            wait_until(|| idle(world) != before),
            "after {left} it is another"
        );
    }
}

#[test]
fn what_comes_and_goes_leaves_a_sandbox_as_it_was_for_root() {
    if let Some(world) = started([]) {
        what_comes_and_goes_leaves_a_sandbox_as_it_was(&world);
    }
}

#[test]
fn what_comes_and_goes_leaves_a_sandbox_as_it_was_for_a_user() {
    if let Some(world) = unprivileged() {
        what_comes_and_goes_leaves_a_sandbox_as_it_was(&world);
    }
}

#[test]
fn no_walk_inside_has_a_time_to_write() {
    let Some(world) = started([]) else {
        return;
    };
    // Where a walk over a link would write one and cannot, the kernel leaves its fast way, to the end of the path.
    let code = "for line in open('/proc/self/mountinfo'):
    front, back = line.split(' - ')
    at, options, kind = front.split()[4], front.split()[5].split(','), back.split()[0]
    if kind == 'overlay' or at in ('/', '/tmp'):
        print(kind, 'noatime' in options)";
    let seen = run(&world, &["python", "-c", code]).success();
    let mut seen: Vec<_> = seen.out().lines().collect();
    seen.sort_unstable();
    if require(Means::Mount) {
        assert_eq!(seen, ["overlay True", "tmpfs True", "tmpfs True"]);
    }
}

#[test]
fn a_swap_leaves_running_programs_where_they_are() {
    let Some(world) = started([WheelSpec::new("one", "1.0").file("one.py", "")]) else {
        return;
    };
    let code = HOLD.replace(
        "600",
        "600 if not __import__('os').path.exists('go') else 0",
    );
    let first = in_background(&world, &["python", "-c", &code]);
    let ready = world.project().join("ready");
    assert!(wait_until(|| ready.exists()));
    world.install("demo", &["one"]).success();
    run(&world, &["python", "-c", "import one"]).success();
    assert_eq!(kept(&world).len(), 2);
    first.signal(Signal::SIGKILL);
    world.finish(first);
    assert!(
        wait_until(|| kept(&world).len() == 1),
        "the one of the former state ended with its program"
    );
    world.blast(["revert", "--env", "demo"]).success();
    assert!(
        wait_until(|| kept(&world).is_empty()),
        "one in which nothing runs ends with the change"
    );
}

#[test]
fn a_script_is_read_because_it_is_named_and_nothing_else_is() {
    let Some(world) = started([]) else {
        return;
    };
    let folder = world.root().join("home/helpers");
    fs::create_dir_all(&folder).expect("possible");
    fs::write(folder.join("beside.py"), "").expect("possible");
    fs::write(folder.join("helper.py"), "import beside; print('it ran')").expect("possible");
    let helper = folder.join("helper.py");
    let path = helper.to_string_lossy();
    let seen = by_path(&world, &python(&world), &[&path]).success();
    assert_eq!(seen.out(), "it ran");
    let code = format!("open({path:?})");
    by_path(&world, &python(&world), &["-c", &code])
        .exits(1)
        .says("No such file");
}

#[test]
fn pip_is_blast_and_enters_nothing() {
    let Some(world) = started([WheelSpec::new("one", "1.0").file("one.py", "")]) else {
        return;
    };
    let said = by_path(&world, &python(&world), &["-m", "pip", "install", "one"]).success();
    assert!(
        said.out().contains("Successfully installed one-1.0"),
        "{}",
        said.out()
    );
    let list = run(&world, &["pip", "list"]).success();
    assert!(list.out().contains("one"), "{}", list.out());
    assert_eq!(kept(&world), Vec::<String>::new());
}

#[test]
fn status_says_what_is_seen_from_outside() {
    let Some(world) = started([]) else {
        return;
    };
    let before = security(&world);
    assert_eq!(before["level"], "standard");
    assert_eq!(before["sandboxes"], serde_json::json!([]));
    let program = in_background(&world, &["python", "-c", HOLD]);
    let ready = world.project().join("ready");
    assert!(wait_until(|| ready.exists()));
    let during = security(&world);
    let seen = &during["sandboxes"][0];
    for namespace in ["user", "cgroup", "ipc", "uts", "net", "pid", "mnt"] {
        assert_eq!(seen["namespaces"][namespace], "active", "{during}");
    }
    assert_eq!(seen["programs"], 1, "{during}");
    for layer in ["filesystem", "network", "seccomp"] {
        assert_eq!(seen[layer], "active", "{during}");
    }
    let limits = seen["limits"].as_object().expect("a table");
    let cgroup = if limits.is_empty() { "off" } else { "active" };
    assert_eq!(seen["cgroup"], cgroup, "{during}");
    program.signal(Signal::SIGTERM);
    world.finish(program);
    assert!(wait_until(
        || security(&world)["sandboxes"][0]["seccomp"] == "idle"
    ));
}

#[test]
fn kill_asks_before_it_ends_programs_in_sandboxes() {
    let Some(world) = started([]) else {
        return;
    };
    let program = in_background(&world, &["python", "-c", HOLD]);
    let ready = world.project().join("ready");
    assert!(wait_until(|| ready.exists()));
    world.blast(["kill", "demo"]).exits(1).says("--force");
    world.blast(["kill", "demo", "--force"]).success();
    assert_eq!(kept(&world), Vec::<String>::new());
    let end = world.finish(program);
    assert_ne!(end.code, 0);
    run(&world, &["true"]).success();
}

#[test]
fn a_holder_that_dies_takes_its_sandbox_along_and_is_replaced() {
    let Some(world) = started([]) else {
        return;
    };
    world.show("demo");
    let mounts = world.mounts();
    for _ in 0..3 {
        fs::remove_file(world.project().join("ready")).unwrap_or_default();
        let program = in_background(&world, &["python", "-c", HOLD]);
        let ready = world.project().join("ready");
        assert!(wait_until(|| ready.exists()));
        let init = security(&world)["sandboxes"][0]["process"]
            .as_i64()
            .expect("a number");
        let init = Pid::from_raw(i32::try_from(init).expect("small"));
        let status = fs::read_to_string(format!("/proc/{init}/status")).expect("it lives");
        let holder = status
            .lines()
            .find_map(|line| line.strip_prefix("PPid:"))
            .and_then(|number| number.trim().parse().ok())
            .expect("a number");
        kill(Pid::from_raw(holder), Signal::SIGKILL).expect("ours");
        let end = world.finish(program);
        assert_eq!(end.code, 128 + 9, "{}", end.stderr);
        assert!(
            wait_until(|| kill(init, None).is_err()),
            "process 1 is gone"
        );
        assert_eq!(world.mounts(), mounts);
    }
    run(&world, &["true"]).success();
}

#[test]
fn pip_inside_says_that_it_cannot_change_the_environment() {
    let Some(world) = started([]) else {
        return;
    };
    let code = "import subprocess, sys; \
                sys.exit(subprocess.call([sys.executable, '-m', 'pip', 'install', 'one']))";
    let said = by_path(&world, &python(&world), &["-c", code]);
    assert_ne!(said.code, 0);
    assert!(said.stderr.contains("in a sandbox"), "{}", said.stderr);
}
