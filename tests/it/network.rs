//! `blast run --sandbox` with hosts and ports that are allowed, `blast allow`, `blast config`, `blast audit`.
//!
//! What the filter itself lets through is tested between namespaces in `sandbox/tests/net`; here that commands, policy
//! files and the log fit together.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use blast_harness::{Means, Sandbox, require};

use crate::world::World;

fn started() -> Option<World> {
    if !require(Means::Namespaces) {
        return None;
    }
    World::started([])
}

/// A server on this host's loopback that answers each connection; its port.
fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            stream.write_all(b"hello from outside").unwrap_or_default();
        }
    });
    port
}

fn connect(port: u16) -> String {
    format!(
        "import socket\ns = socket.create_connection(('127.0.0.1', {port}), 20)\n\
         print(s.makefile().read())"
    )
}

#[test]
fn a_host_is_reached_if_a_flag_or_the_policy_allows_it() {
    let Some(world) = started() else {
        return;
    };
    let port = server();
    let target = format!("127.0.0.1:{port}");
    let code = connect(port);
    let python = ["--", "python", "-c", code.as_str()];
    let run = |flags: &[&str]| {
        let mut words = vec!["run", "--env", "demo", "--sandbox", "standard"];
        words.extend(flags);
        words.extend(python);
        world.blast(words)
    };
    run(&[]).exits(1);
    assert_eq!(
        run(&["--allow-net", &target]).success().out(),
        "hello from outside"
    );
    run(&["--allow-net", "127.0.0.1:1"]).exits(1);
    world.blast(["allow", "net", &target, "--user"]).success();
    assert_eq!(run(&[]).success().out(), "hello from outside");
    let log = world.blast(["audit", "--json"]).success();
    let log: serde_json::Value = serde_json::from_str(&log.stdout).expect("JSON");
    let lines = log["entries"].as_array().expect("a list");
    assert_eq!(lines.len(), 3, "one line for each connection: {lines:?}");
    assert_eq!(lines[0]["decision"], "denied");
    for line in &lines[1..] {
        assert_eq!(line["decision"], "allowed");
        assert_eq!(line["target"], target.as_str());
        assert_eq!(line["traffic"]["received_bytes"], 18);
    }
}

#[test]
fn a_denial_names_the_command_that_allows_it_and_is_in_the_log() {
    let Some(world) = started() else {
        return;
    };
    let code = "import socket\ntry: socket.create_connection(('evil.invalid', 443), 20)\n\
                except OSError as error: print(type(error).__name__)";
    let run = world
        .blast([
            "run",
            "--env",
            "demo",
            "--sandbox",
            "strict",
            "--allow-net",
            "good.invalid",
            "--",
            "python",
            "-c",
            code,
        ])
        .success();
    assert_eq!(run.out(), "gaierror");
    assert!(
        run.stderr.contains("blast: denied net evil.invalid: nothing allows it; allow it: blast allow net evil.invalid"),
        "{}",
        run.stderr
    );
    let suggested = world.blast(["audit", "--suggest"]).success();
    assert!(
        suggested
            .stdout
            .lines()
            .any(|line| line == "blast allow net evil.invalid"),
        "{}",
        suggested.stdout
    );
    let denied = world
        .blast(["audit", "--denied", "--env", "demo"])
        .success();
    assert!(
        denied.stdout.contains("net evil.invalid"),
        "{}",
        denied.stdout
    );
    let other = world.blast(["audit", "--env", "other"]).success();
    assert_eq!(other.stdout, "");
}

#[test]
fn a_published_port_is_reached_from_this_host() {
    let Some(world) = started() else {
        return;
    };
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("bound").port();
    let publish = format!("{port}:9000");
    let taken = world
        .blast([
            "run",
            "--env",
            "demo",
            "--sandbox",
            "standard",
            "--publish",
            &publish,
            "--",
            "true",
        ])
        .exits(2);
    assert!(
        taken.stderr.contains("the command was not run"),
        "{}",
        taken.stderr
    );
    drop(free);
    let code = "import socket\ns = socket.create_server(('127.0.0.1', 9000))\nprint('up', flush=True)\n\
                c, _ = s.accept()\nc.sendall(b'hello from inside')\nc.close()";
    let background = world.blast_in_background([
        "run",
        "--env",
        "demo",
        "--sandbox",
        "standard",
        "--publish",
        &publish,
        "--",
        "python",
        "-c",
        code,
    ]);
    let mut heard = String::new();
    for _ in 0..600 {
        heard.clear();
        let read = TcpStream::connect(("127.0.0.1", port))
            .and_then(|mut stream| stream.read_to_string(&mut heard));
        if read.is_ok() && !heard.is_empty() {
            break;
        }
        thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(heard, "hello from inside");
    world.finish(background).success();
}

#[test]
fn the_level_of_a_policy_holds_for_run() {
    let Some(mut world) = started() else {
        return;
    };
    world.sandbox.unset("BLAST_SANDBOX");
    let config = world.root().join("config/blast");
    fs::create_dir_all(&config).expect("made");
    let inside = "import socket; raise SystemExit(socket.gethostname() != 'sandbox')";
    fs::write(
        config.join("config.toml"),
        "[sandbox]\nlevel = \"standard\"\n",
    )
    .expect("written");
    world
        .blast(["run", "--env", "demo", "--", "python", "-c", inside])
        .success();
    world
        .blast([
            "run",
            "--env",
            "demo",
            "--sandbox",
            "none",
            "--",
            "python",
            "-c",
            inside,
        ])
        .exits(1);
    let none = world
        .blast([
            "run",
            "--env",
            "demo",
            "--sandbox",
            "none",
            "--allow-net",
            "a.org",
            "--",
            "true",
        ])
        .exits(2);
    assert!(
        none.stderr.contains("there is no sandbox"),
        "{}",
        none.stderr
    );
}

#[test]
fn allow_edits_the_projects_file_and_config_says_where_each_line_is() {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_blast"));
    let project = sandbox.project().join("pyproject.toml");
    fs::write(
        &project,
        "[project]\nname = \"x\"  # mine\nversion = \"1\"\n",
    )
    .expect("written");
    sandbox.blast(["allow", "net", "Index.test:443"]).success();
    sandbox.blast(["allow", "env", "CI"]).success();
    sandbox.blast(["allow", "read", "data"]).success();
    let again = sandbox.blast(["allow", "net", "index.test:443"]).success();
    assert!(
        again.stderr.contains("allows it already"),
        "{}",
        again.stderr
    );
    let text = fs::read_to_string(&project).expect("there");
    assert_eq!(
        text,
        "[project]\nname = \"x\"  # mine\nversion = \"1\"\n\n\
         [tool.blast.sandbox.network]\nallowed-domains = [\"index.test:443\"]\n\n\
         [tool.blast.sandbox.environment]\nallowed = [\"CI\"]\n\n\
         [tool.blast.sandbox.filesystem]\nread-only = [\"data\"]\n"
    );
    sandbox.blast(["allow", "env", "CI", "--user"]).success();
    let user = fs::read_to_string(sandbox.root().join("config/blast/config.toml"));
    assert_eq!(
        user.expect("there"),
        "[sandbox.environment]\nallowed = [\"CI\"]\n"
    );
    let shown = sandbox.blast(["config", "--json"]).success();
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).expect("JSON");
    let lines: Vec<_> = shown["sandbox"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|line| {
            let origin = &line["origin"]["file"];
            format!(
                "{} {} {} {}",
                line["key"], line["value"], origin["speaker"], origin["line"]
            )
        })
        .collect();
    assert_eq!(
        lines[..2],
        [
            "\"environment.allowed\" \"CI\" \"user\" 2".to_owned(),
            "\"network.allowed-domains\" \"index.test:443\" \"project\" 6".to_owned(),
        ]
    );
    assert_eq!(sandbox.daemon(), None, "none of this needs a daemon");
}

#[test]
fn a_policy_that_says_what_nobody_reads_is_refused_and_stays() {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_blast"));
    let project = sandbox.project().join("pyproject.toml");
    for (text, hint) in [
        (
            "[tool.blast.sandbox]\nlevl = \"strict\"\n",
            "did you mean `level`?",
        ),
        (
            "[tool.blast.sandbox.network]\nallowed-domain = []\n",
            "did you mean `allowed-domains`?",
        ),
        (
            "[tool.blast.sandbox.filesystem]\nroot-dirs = \"x\"\n",
            "did you mean `root-dir`?",
        ),
        (
            "[tool.blast.sandbox.network]\nallowed-ips = [\"index.test\"]\n",
            "allowed-domains",
        ),
    ] {
        fs::write(&project, text).expect("written");
        for words in [&["config"][..], &["allow", "net", "a.org"]] {
            let run = sandbox.blast(words).exits(2);
            assert!(run.stderr.contains(hint), "{text}: {}", run.stderr);
        }
        assert_eq!(fs::read_to_string(&project).expect("there"), text);
    }
    fs::write(&project, "").expect("written");
    sandbox.blast(["allow", "net", "https://a.org/"]).exits(2);
    sandbox.blast(["allow", "env", "A=b"]).exits(2);
}

/// Runs a command on a kernel that lets nobody speak to netfilter: as one without NAT for namespaces.
const WITHOUT_NAT: &str = "
import ctypes, os, platform, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
number = {'x86_64': 41, 'aarch64': 198}[platform.machine()]  # socket(2)
lines = [
    (0x20, 0, 0, 0), (0x15, 0, 4, number),  # another call?
    (0x20, 0, 0, 16), (0x15, 0, 2, 16),     # AF_NETLINK?
    (0x20, 0, 0, 32), (0x15, 1, 0, 12),     # NETLINK_NETFILTER?
    (0x06, 0, 0, 0x7fff0000), (0x06, 0, 0, 0x00050001),
]
code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *line) for line in lines))
program = ctypes.create_string_buffer(struct.pack('HxxxxxxP', len(lines), ctypes.addressof(code)))
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
assert libc.prctl(22, 2, program, 0, 0) == 0  # PR_SET_SECCOMP
os.execv(sys.argv[1], sys.argv[1:])
";

#[test]
fn without_nat_programs_find_a_proxy_and_nothing_else() {
    // The mount helper gets no privilege under such a filter.
    if !require(Means::Root) {
        return;
    }
    let Some(world) = started() else {
        return;
    };
    let port = server();
    let program = world.program().to_string_lossy().into_owned();
    let target = format!("127.0.0.1:{port}");
    let code = format!(
        "import os, socket\n\
         def asks(words):\n\
         \x20   stream = socket.create_connection(('127.0.0.1', 3128), 20)\n\
         \x20   stream.sendall(words.encode() + b'\\r\\n\\r\\n')\n\
         \x20   return stream.makefile().read()\n\
         print(os.environ['http_proxy'], os.environ['HTTPS_PROXY'])\n\
         print(asks('CONNECT {target} HTTP/1.1').splitlines()[-1])\n\
         print(asks('CONNECT 127.0.0.1:1 HTTP/1.1').split()[1])\n\
         try: socket.create_connection(('127.0.0.1', {port}), 20)\n\
         except OSError as error: print(type(error).__name__)"
    );
    let run = |before: &[&str], expected: &str| {
        let blast = [
            "run",
            "--env",
            "demo",
            "--sandbox",
            "standard",
            "--allow-net",
            &target,
        ];
        let words = [before, &[&program], &blast, &["--", "python", "-c", &code]].concat();
        let run = world.run(world.command("python3", words)).success();
        assert_eq!(run.out(), expected, "{run}");
        run
    };
    let proxy = "http://127.0.0.1:3128";
    let expected = format!("{proxy} {proxy}\nhello from outside\n403\nConnectionRefusedError");
    let first = run(&["-c", WITHOUT_NAT], &expected);
    assert!(
        first.stderr.contains("only programs that know a proxy"),
        "{first}"
    );
    let log = world.blast(["audit", "--denied"]).success();
    assert!(log.stdout.contains("127.0.0.1:1"), "{log}");
}
