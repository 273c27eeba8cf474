//! Daemons that die or make room while environments are in use: the mount goes to the next one.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use blast_harness::{Means, require};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::world::{World, demo_wheels, packages};

/// A world whose kernel can resend, with `demo` 1.0 installed and shown.
fn shown() -> Option<World> {
    if !require(Means::Resend) {
        return None;
    }
    let world = World::started(demo_wheels())?;
    world.install("demo", &["demo==1.0"]).success();
    world.show("demo");
    Some(world)
}

/// The number that the system gave to the mount: another one at the same place has another.
fn mount_of(world: &World) -> u64 {
    fs::metadata(world.live()).expect("mounted").dev()
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "still waiting until {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An interpreter of the environment that runs lines of code as it is told.
struct Session {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Session {
    fn new(world: &World) -> Self {
        let code = "import sys\nfor line in sys.stdin:\n    print(eval(line), flush=True)";
        let python = world.live().join("demo/bin/python");
        let mut child = world
            .command(python, ["-c", code])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the view has an interpreter");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, answers }
    }

    fn ask(&mut self, code: &str) -> String {
        let mut input = self.child.stdin.as_ref().expect("piped");
        writeln!(input, "{code}").expect("the interpreter lives");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it answers");
        line.trim().to_owned()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // An error means that it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_program_that_waits_for_the_view_needs_no_command() {
    let Some(world) = shown() else { return };
    let mount = mount_of(&world);
    let mut session = Session::new(&world);
    let version = "__import__('helper').__file__ and __import__('importlib.metadata').metadata.version('demo')";
    world.crash_daemon();
    assert_eq!(session.ask(version), "1.0");
    assert_eq!(mount_of(&world), mount, "the mount is the same");
    // The new daemon swaps like the old one, and the program sees it.
    world.install("demo", &["demo==2.0"]).success();
    assert_eq!(session.ask(version), "2.0");
    let json = world.change("status", "demo", &["--json"]).success().json();
    assert_eq!(json["view"]["takeovers"], 1);
    assert_eq!(json["view"]["resend"], true);
    assert!(json["daemon"]["holder"].is_u64(), "{json}");
}

#[test]
fn a_pinned_program_keeps_its_generation_over_a_death() {
    let Some(world) = shown() else { return };
    let script = world.write(
        "pinned.py",
        "import sys\nprint('up', flush=True)\nsys.stdin.readline()\nimport demo, helper\n\
         from importlib.metadata import version\nprint(version('demo'))\n",
    );
    let words = ["run", "--pin", "--env", "demo", "--", "python"].map(AsRef::as_ref);
    let words = words.into_iter().chain([script.as_os_str()]);
    let mut child = world
        .command(world.program(), words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut answers = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    answers.read_line(&mut line).expect("it is up");
    world.install("demo", &["demo==2.0"]).success();
    world.crash_daemon();
    // Nothing of the old generation is free as long as it runs.
    world.blast(["clean", "--keep", "1"]).success();
    let mut input = child.stdin.take().expect("piped");
    writeln!(input).expect("it waits");
    line.clear();
    answers.read_line(&mut line).expect("it answers");
    assert_eq!(line.trim(), "1.0");
    assert!(child.wait().expect("ours").success());
}

#[test]
fn restart_replaces_the_daemon_under_a_living_environment() {
    let Some(world) = shown() else { return };
    let (mount, before) = (mount_of(&world), world.daemon());
    let mut session = Session::new(&world);
    let run = world.blast(["daemon", "restart"]).success();
    assert!(run.stderr.contains("nothing was unmounted"), "{run}");
    assert_ne!(world.daemon(), before);
    assert_eq!(mount_of(&world), mount);
    assert_eq!(session.ask("__import__('demo').__name__"), "demo");
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "1.0"), ("helper", "1.0")])
    );
    // A daemon that does not answer.
    let deaf = Pid::from_raw(world.daemon().expect("it runs"));
    kill(deaf, Signal::SIGSTOP).expect("ours");
    world.blast(["daemon", "restart", "--force"]).success();
    assert_eq!(session.ask("__import__('helper').__name__"), "helper");
}

#[test]
fn restart_waits_for_commands_under_way() {
    let Some(world) = shown() else { return };
    let slow = blast_harness::Fault::Slow(Duration::from_secs(1));
    world.index.always("/files/helper-2.0", slow);
    let install = world.blast_in_background(["install", "--env", "demo", "demo==2.0"]);
    wait_until("the install is under way", || {
        world.index.count("/files/helper-2.0") > 0
    });
    world.blast(["daemon", "restart"]).success();
    world.finish(install).success();
    assert_eq!(world.inside("demo")["helper"], "2.0");
}

#[test]
fn without_a_daemon_there_is_nothing_to_restart() {
    let Some(world) = World::with([]) else { return };
    world.blast(["daemon", "restart"]).success();
    assert_eq!(world.daemon(), None);
    assert_eq!(world.blast(["daemon", "status"]).code, 1);
}

#[test]
fn a_holder_that_dies_is_replaced_by_the_daemon() {
    let Some(world) = shown() else { return };
    let mount = mount_of(&world);
    let holder = world.holder().expect("there is a mount");
    world.crash(holder);
    wait_until("there is another holder", || {
        world.holder().is_some_and(|now| now != holder)
    });
    world.crash_daemon();
    assert_eq!(mount_of(&world), mount, "the second holder has it");
}

#[test]
fn the_death_of_both_is_mended_by_the_next_command() {
    let Some(world) = shown() else { return };
    let holder = world.holder().expect("there is a mount");
    // Stopped, it cannot replace the holder.
    let daemon = world.daemon().expect("it runs");
    kill(Pid::from_raw(daemon), Signal::SIGSTOP).expect("ours");
    world.crash(holder);
    world.crash(daemon);
    // The kernel may still know what the directory is, but not what is in it.
    let listed = fs::read_dir(world.live()).and_then(|mut entries| entries.next().transpose());
    let dead = listed.map(|_| ()).expect_err("nobody serves it");
    assert_eq!(
        dead.raw_os_error(),
        Some(nix::errno::Errno::ENOTCONN as i32)
    );
    assert_eq!(
        world.inside("demo"),
        packages([("demo", "1.0"), ("helper", "1.0")])
    );
    assert_eq!(world.mounts().len(), 1, "the dead one was taken away");
}

#[test]
fn killing_all_ends_the_holder_too() {
    for deaf in [false, true] {
        let Some(world) = shown() else { return };
        let daemon = Pid::from_raw(world.daemon().expect("it runs"));
        if deaf {
            kill(daemon, Signal::SIGSTOP).expect("ours");
            world.blast(["kill", "--all", "--force"]).success();
        } else {
            world.blast(["kill", "--all"]).success();
        }
        assert_eq!(world.daemon(), None);
        assert!(world.mounts().is_empty());
        assert!(!world.root().join("run/blast/holder.sock").exists());
    }
}

#[test]
fn a_death_in_a_swap_leaves_one_of_both_states_in_history_and_view() {
    let Some(world) = shown() else { return };
    world.change("save", "demo", &["old"]).success();
    world.install("demo", &["demo==2.0"]).success();
    world.change("save", "demo", &["new"]).success();
    let mut session = Session::new(&world);
    for round in 0..6_u64 {
        let state = if round % 2 == 0 { "old" } else { "new" };
        let change = world.blast_in_background(["load", "--env", "demo", state]);
        std::thread::sleep(Duration::from_millis(round * 4));
        if let Some(daemon) = world.daemon() {
            world.crash(daemon);
        }
        drop(world.finish(change));
        let listed = world.change("list", "demo", &["--json"]).success().json();
        let listed = listed["packages"][0]["version"].as_str().expect("demo");
        let seen = session.ask(
            "(__import__('sys').path_importer_cache.clear(), \
             __import__('importlib.metadata').metadata.version('demo'))[1]",
        );
        assert_eq!(seen, listed, "round {round}");
    }
    world.blast(["check", "--deep"]).success();
}

#[test]
fn a_death_in_a_mount_is_mended_by_the_next_command() {
    let Some(world) = shown() else { return };
    for round in 0..6_u64 {
        world.blast(["kill", "--all"]).success();
        let run = world.blast_in_background(["run", "--env", "demo", "--", "true"]);
        wait_until("a daemon starts", || world.daemon().is_some());
        std::thread::sleep(Duration::from_millis(round * 5));
        if let Some(daemon) = world.daemon() {
            world.crash(daemon);
        }
        drop(world.finish(run));
        assert_eq!(
            world.inside("demo"),
            packages([("demo", "1.0"), ("helper", "1.0")]),
            "round {round}"
        );
    }
}
