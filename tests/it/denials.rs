//! What a sandbox keeps from a program without a word is told from outside, and written down.

use std::fs;
use std::net::TcpListener;

use blast_harness::{Means, Run, WheelSpec, require};

use crate::world::World;

/// A package whose `.pth` file runs at every start of Python: it reads a secret and calls out.
fn nosy(port: u16) -> WheelSpec {
    let code = format!(
        "import os, socket\n\
         def attempt(action):\n\
         \x20   try:\n\
         \x20       return action()\n\
         \x20   except OSError as error:\n\
         \x20       return type(error).__name__\n\
         def secret():\n\
         \x20   return open(os.path.expanduser('~/.aws/credentials')).read()\n\
         def call():\n\
         \x20   socket.create_connection(('127.0.0.1', {port}), 20).close()\n\
         \x20   return 'heard'\n\
         print('secret=%s call=%s' % (attempt(secret), attempt(call)), flush=True)\n"
    );
    WheelSpec::new("nosy", "1.0")
        .file("nosy_start.py", &code)
        .file("nosy.pth", "import nosy_start\n")
}

fn started(wheel: WheelSpec) -> Option<World> {
    if !require(Means::Namespaces) {
        return None;
    }
    let world = World::started([wheel])?;
    let aws = world.root().join("home/.aws");
    fs::create_dir_all(&aws).expect("made");
    fs::write(aws.join("credentials"), "swordfish").expect("written");
    Some(world)
}

fn inside(world: &World, level: &str, code: &str) -> Run {
    let words = ["run", "--env", "demo", "--sandbox", level, "--"];
    world.blast(words.iter().chain(&["python", "-c", code]))
}

/// The targets of this kind that the audit log says were denied.
fn denied(world: &World, kind: &str) -> Vec<String> {
    let log = world.blast(["audit", "--denied", "--json"]).success();
    let log: serde_json::Value = serde_json::from_str(&log.stdout).expect("JSON");
    let entries = log["entries"].as_array().expect("a list").iter();
    entries
        .filter(|entry| entry["kind"] == kind)
        .map(|entry| entry["target"].as_str().expect("a text").to_owned())
        .collect()
}

#[test]
fn a_pth_file_reads_no_secret_and_calls_nobody_and_both_are_written_down() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("possible");
    let port = listener.local_addr().expect("bound").port();
    let Some(world) = started(nosy(port)) else {
        return;
    };
    world.install("demo", &["nosy"]).success();
    let plain = world.python_in("demo", "pass").success();
    assert_eq!(
        plain.out(),
        "secret=swordfish call=heard",
        "the probe works"
    );
    listener.accept().expect("somebody called");
    let secret = world.root().join("home/.aws/credentials");
    let secret = secret.display().to_string();
    let host = format!("127.0.0.1:{port}");
    for level in ["standard", "strict"] {
        let run = inside(&world, level, "pass").success();
        assert_eq!(
            run.out(),
            "secret=FileNotFoundError call=ConnectionRefusedError"
        );
        assert!(listener.accept().is_err(), "somebody called");
        let lesson = format!(
            "blast: denied net {host}: nobody may be talked to; allow it: blast allow net {host}"
        );
        assert!(run.stderr.contains(&lesson), "{run}");
        assert_eq!(denied(&world, "net").pop(), Some(host.clone()), "{run}");
        // Files are looked after at level strict alone.
        let expected: &[&str] = if level == "strict" { &[&secret] } else { &[] };
        assert_eq!(denied(&world, "read"), expected, "{run}");
    }
    let suggested = world.blast(["audit", "--suggest"]).success();
    let lesson = format!("blast allow read {secret}");
    assert!(suggested.stdout.lines().any(|line| line == lesson));
}

#[test]
fn names_and_addresses_are_told_though_nobody_may_be_talked_to() {
    let Some(world) = started(WheelSpec::simple("helper", "1.0")) else {
        return;
    };
    let code = "import socket\n\
        for action in (\n\
        \x20   lambda: socket.create_connection(('evil.invalid', 443), 20),\n\
        \x20   lambda: socket.create_connection(('192.0.2.7', 80), 20),\n\
        \x20   lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.8', 9)),\n\
        ):\n\
        \x20   try: action()\n\
        \x20   except OSError: pass\n\
        \x20   else: raise SystemExit(3)\n";
    for level in ["standard", "strict"] {
        let run = inside(&world, level, code).success();
        for target in ["evil.invalid", "192.0.2.7:80", "192.0.2.8:9"] {
            assert!(run.stderr.contains(target), "{target}: {run}");
            assert!(denied(&world, "net").iter().any(|each| each == target));
        }
    }
}

#[test]
fn what_a_program_does_with_its_own_is_no_denial() {
    let Some(world) = started(WheelSpec::simple("helper", "1.0")) else {
        return;
    };
    fs::write(world.root().join("home/there"), "of the host").expect("written");
    let code = "import os, socket, tempfile, json, email.mime.text\n\
        server = socket.create_server(('127.0.0.1', 0))\n\
        client = socket.create_connection(server.getsockname())\n\
        open('made', 'w').write('x')\n\
        open(os.path.expanduser('~/made'), 'w').write('x')\n\
        open(os.path.expanduser('~/there'), 'a').write('x')\n\
        tempfile.TemporaryFile().write(b'x')\n\
        open(os.path.expanduser('~/made')).read()\n";
    for level in ["standard", "strict"] {
        let run = inside(&world, level, code).success();
        assert_eq!(run.stderr, "");
    }
    assert_eq!(world.blast(["audit", "--denied"]).success().stdout, "");
}

#[test]
fn writing_what_is_given_to_be_read_is_told() {
    let Some(world) = started(WheelSpec::simple("helper", "1.0")) else {
        return;
    };
    let folder = world.root().join("home/given");
    fs::create_dir(&folder).expect("made");
    let folder = folder.display().to_string();
    let code = format!("open({:?}, 'w')", format!("{folder}/new"));
    let run = world.blast([
        "run",
        "--env",
        "demo",
        "--sandbox",
        "strict",
        "--read-only",
        &folder,
        "--",
        "python",
        "-c",
        &code,
    ]);
    run.exits(1);
    assert_eq!(denied(&world, "write"), [format!("{folder}/new")]);
}
