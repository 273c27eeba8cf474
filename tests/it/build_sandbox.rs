//! What a build of a package may touch: nothing of its user's, and nobody outside.

use std::fs;
use std::net::TcpListener;

use blast_harness::{Means, Release, SdistSpec, require};

use crate::world::World;

/// A backend that reads a secret of its user's and calls out, and says what came of it.
fn nosy(port: u16) -> SdistSpec {
    SdistSpec::simple("nosy", "1.0").backend(&format!(
        "import os, socket\n\
         def attempt(action):\n\
         \x20   try:\n\
         \x20       return action()\n\
         \x20   except OSError as error:\n\
         \x20       return type(error).__name__\n\
         def secret():\n\
         \x20   return open(os.path.expanduser('~/.ssh/id_test')).read()\n\
         def call():\n\
         \x20   socket.create_connection(('127.0.0.1', {port}), 20).close()\n\
         \x20   return 'heard'\n\
         def build_wheel(*_, **__):\n\
         \x20   raise RuntimeError('secret=%s call=%s' % (attempt(secret), attempt(call)))\n"
    ))
}

fn started(sdist: &SdistSpec) -> Option<World> {
    if !require(Means::Namespaces) {
        return None;
    }
    let world = World::started([])?;
    world.index.publish(Release::sdist(sdist));
    let ssh = world.root().join("home/.ssh");
    fs::create_dir_all(&ssh).expect("made");
    fs::write(ssh.join("id_test"), "swordfish").expect("written");
    Some(world)
}

fn config(world: &World, text: &str) {
    let folder = world.root().join("config/blast");
    fs::create_dir_all(&folder).expect("made");
    fs::write(folder.join("config.toml"), text).expect("written");
}

/// Whether the audit log has it that somebody was denied this.
fn denied(world: &World, environment: &str, kind: &str, target: &str) -> bool {
    let log = world.blast(["audit", "--denied", "--json"]).success();
    let log: serde_json::Value = serde_json::from_str(&log.stdout).expect("JSON");
    let entries = log["entries"].as_array().expect("a list");
    entries.iter().any(|entry| {
        entry["environment"] == environment && entry["kind"] == kind && entry["target"] == target
    })
}

#[test]
fn a_build_reads_no_secret_and_calls_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("possible");
    let port = listener.local_addr().expect("bound").port();
    let Some(world) = started(&nosy(port)) else {
        return;
    };
    let run = world.install("demo", &["nosy"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(!run.stderr.contains("swordfish"), "{run}");
    assert!(
        run.stderr
            .contains("secret=FileNotFoundError call=ConnectionRefusedError"),
        "{run}"
    );
    assert!(listener.accept().is_err(), "somebody called");
    let secret = world.root().join("home/.ssh/id_test").display().to_string();
    for (kind, target) in [("read", secret), ("net", format!("127.0.0.1:{port}"))] {
        let lesson = format!("blast allow --build {kind} {target}");
        assert!(run.stderr.contains(&lesson), "{lesson}: {run}");
        assert!(
            denied(&world, "build of nosy 1.0", kind, &target),
            "{kind} {target}"
        );
    }
    // The same without a sandbox: the probes are no blanks.
    config(&world, "[sandbox.build]\nlevel = \"none\"\n");
    let run = world.install("demo", &["nosy"]);
    assert!(run.stderr.contains("secret=swordfish call=heard"), "{run}");
    listener.accept().expect("somebody called");
}

#[test]
fn the_policy_of_builds_gives_what_it_names_and_that_of_programs_gives_builds_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let Some(world) = started(&nosy(port)) else {
        return;
    };
    let allowances = |table: &str| {
        format!(
            "[{table}]\nfilesystem.read-only = [\"~/.ssh\"]\n\
             network.allowed-ips = [\"127.0.0.1:{port}\"]\n"
        )
    };
    config(&world, &allowances("sandbox"));
    let run = world.install("demo", &["nosy"]);
    assert!(
        run.stderr
            .contains("secret=FileNotFoundError call=ConnectionRefusedError"),
        "{run}"
    );
    config(&world, "");
    let target = format!("127.0.0.1:{port}");
    for (kind, target) in [("read", "~/.ssh"), ("net", &target)] {
        world
            .blast(["allow", "--user", "--build", kind, target])
            .success();
    }
    let run = world.install("demo", &["nosy"]);
    assert!(run.stderr.contains("secret=swordfish call=heard"), "{run}");
    let log = world.blast(["audit", "--env", "build of nosy 1.0"]);
    assert_eq!(log.code, 2, "no environment can have this name: {log}");
    let log = world.blast(["audit"]).success();
    assert!(log.stdout.contains("build of nosy 1.0"), "{log}");
    let config = world.blast(["config"]).success();
    assert!(
        config.stdout.contains("build.filesystem.read-only"),
        "{config}"
    );
}

#[test]
fn a_hook_cannot_have_the_next_one_given_what_it_likes() {
    // The first hook puts a link in the place of its sources.
    let sdist = SdistSpec::simple("mover", "1.0").backend(
        "import os\n\
         def get_requires_for_build_wheel(*_, **__):\n\
         \x20   here = os.getcwd()\n\
         \x20   os.rename(here, here + '.away')\n\
         \x20   os.symlink(os.path.expanduser('~/.ssh'), here)\n\
         \x20   return []\n\
         def build_wheel(*_, **__):\n\
         \x20   raise RuntimeError('sees %s' % os.path.exists('id_test'))\n",
    );
    let Some(world) = started(&sdist) else { return };
    let run = world.install("demo", &["mover"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(!run.stderr.contains("sees True"), "{run}");
}

#[test]
fn a_policy_of_builds_with_a_key_nobody_knows_is_refused() {
    let Some(world) = World::started([]) else {
        return;
    };
    config(
        &world,
        "[sandbox.build]\nnetwork.allowed-domain = [\"a.test\"]\n",
    );
    let run = world.install("demo", &["anything"]).exits(2);
    assert!(run.stderr.contains("allowed-domains"), "{run}");
}

#[test]
fn variables_are_given_to_builds_by_name() {
    let sdist = SdistSpec::simple("telling", "1.0").backend(
        "import os\n\
         def build_wheel(*_, **__):\n\
         \x20   names = ('GIVEN', 'MADE', 'KEPT', 'HOME')\n\
         \x20   raise RuntimeError(' '.join(os.environ.get(name, 'none') for name in names))\n",
    );
    let Some(mut world) = started(&sdist) else {
        return;
    };
    for name in ["GIVEN", "KEPT"] {
        world.sandbox.set(name, "here");
    }
    config(
        &world,
        "[sandbox.build.environment]\nallowed = [\"GIVEN\"]\nset = { MADE = \"up\" }\n",
    );
    let run = world.install("demo", &["telling"]);
    assert!(run.stderr.contains("here up none "), "{run}");
}
