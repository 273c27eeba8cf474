//! Standard input, output and error of a program in a sandbox: it uses them as they were opened, and reaches nothing else
//! through them. At both levels, as who runs the tests and as a user; without a sandbox each way leads out.

use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use blast_harness::{Means, Run, require};

use crate::world::World;

fn worlds() -> Vec<World> {
    if !require(Means::Namespaces) {
        return Vec::new();
    }
    let mut worlds = Vec::new();
    worlds.extend(World::started([]));
    worlds.extend(World::unprivileged([]).inspect(|world| {
        world.start("demo");
    }));
    for world in &worlds {
        world.write("../home/private/secret", "secret");
        world.write("../home/private/log", "before\n");
    }
    worlds
}

impl World {
    /// Runs a program with what a shell makes of `redirect`, in the home directory.
    fn redirected(&self, level: &str, redirect: &str, program: &[&str]) -> Run {
        let line = format!("exec \"$@\" {redirect}");
        let blast = self.program().to_string_lossy();
        let home = self.root().join("home/private");
        let home = home.to_string_lossy();
        let words = [
            "-c",
            "cd \"$0\" && exec sh -c \"$@\"",
            &home,
            &line,
            "sh",
            &blast,
            "run",
            "--env",
            "demo",
            "--sandbox",
            level,
            "--",
        ];
        self.run(self.command("sh", words.iter().chain(program)))
    }

    fn private(&self, name: &str) -> String {
        let path = self.root().join("home/private").join(name);
        fs::read_to_string(path).expect("it was written")
    }
}

#[test]
fn a_directory_on_a_standard_descriptor_leads_nowhere() {
    for world in worlds() {
        for (number, redirect) in [(0, "< ."), (2, "2< .")] {
            let code = format!("cd -P /proc/self/fd/{number}/ && cat secret");
            let look = ["sh", "-c", &code];
            let control = world.redirected("none", redirect, &look).success();
            assert_eq!(control.out(), "secret");
            for level in ["standard", "strict"] {
                let run = world.redirected(level, redirect, &look);
                assert_ne!(run.code, 0, "{run}");
                assert!(!run.stdout.contains("secret"), "{run}");
            }
            // It is as if nothing were there.
            let read = ["sh", "-c", "wc -c < /dev/stdin"];
            let run = world.redirected("strict", "< .", &read).success();
            assert_eq!(run.out(), "0");
        }
    }
}

#[test]
fn a_file_that_is_read_is_not_opened_to_be_written() {
    let overwrite = [
        "python",
        "-c",
        "import os, sys\n\
         def attempt(what):\n\
         \x20   try: what(); print('done')\n\
         \x20   except OSError as error: print(error.strerror)\n\
         attempt(lambda: open('/proc/self/fd/0', 'r+').write('written'))\n\
         attempt(lambda: open('/dev/stdin', 'a').write('written'))\n\
         attempt(lambda: os.truncate('/proc/self/fd/0', 0))\n\
         print(sys.stdin.read())",
    ];
    for world in worlds() {
        for level in ["standard", "strict"] {
            let run = world.redirected(level, "< secret", &overwrite).success();
            let denied = "Permission denied";
            assert_eq!(run.out(), format!("{denied}\n{denied}\n{denied}\nsecret"));
            assert_eq!(world.private("secret"), "secret");
        }
        let control = world.redirected("none", "< secret", &overwrite).success();
        assert_eq!(control.out(), "done\ndone\ndone");
        assert_eq!(world.private("secret"), "");
    }
}

#[test]
fn a_file_that_is_written_is_not_opened_to_be_read() {
    let look = ["sh", "-c", "cat < /dev/stdout >&2"];
    for world in worlds() {
        for level in ["standard", "strict"] {
            let run = world.redirected(level, ">> log", &look);
            assert!(!run.stderr.contains("before"), "{run}");
        }
        let control = world.redirected("none", ">> log", &look);
        assert!(control.stderr.contains("before"), "{control}");
    }
}

#[test]
fn the_standard_descriptors_are_opened_anew_as_they_are() {
    let copy = ["sh", "-c", "cat /dev/stdin >> /dev/stdout"];
    for world in worlds() {
        for level in ["standard", "strict"] {
            let run = world.redirected(level, "< secret >> log", &copy).success();
            assert_eq!(run.stderr, "", "nothing is told as denied");
            // Pipes have no place, and are opened all the same.
            let run = world.redirected(level, "< secret | cat", &copy).success();
            assert_eq!(run.out(), "secret");
        }
        assert_eq!(world.private("log"), "before\nsecretsecret");
    }
}

/// Runs the words that follow with a socket for standard input: what `socket.socket` makes of the first word, connected to the
/// second if there is one.
const WITH_SOCKET: &str = "import json, socket, subprocess, sys\n\
    kind = [getattr(socket, name) for name in sys.argv[1].split()]\n\
    s, peer = socket.socketpair(*kind) if kind[0] == socket.AF_UNIX else (socket.socket(*kind), None)\n\
    if sys.argv[2]: s.connect(('127.0.0.1', int(sys.argv[2])))\n\
    sys.exit(subprocess.run(sys.argv[3:], stdin=s).returncode)";

/// Has that socket speak to somebody else: a port of the host's loopback, an abstract address.
const SPEAK: &str = "import ctypes, socket, sys\n\
    s = socket.socket(fileno=0)\n\
    s.settimeout(3)\n\
    C = ctypes.CDLL(None)\n\
    if s.family == socket.AF_UNIX:\n\
    \x20   s.sendto(b'x', b'\\0' + sys.argv[2].encode())\n\
    else:\n\
    \x20   C.connect(0, bytes(16), 16)\n\
    \x20   s.connect(('127.0.0.1', int(sys.argv[1])))\n\
    print('reached')";

#[test]
fn a_socket_that_could_be_led_elsewhere_is_given_to_no_program() {
    for world in worlds() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port().to_string();
        let name = format!("streams-{}", world.root().display());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let _heard = UnixDatagram::bind_addr(&address).expect("bound");
        let run = |kind: &str, peer: &str, level: &str, program: &[&str]| {
            let blast = world.program().to_string_lossy();
            let words = [
                "-c",
                WITH_SOCKET,
                kind,
                peer,
                &blast,
                "run",
                "--env",
                "demo",
            ];
            let words = words.iter().copied().chain(["--sandbox", level, "--"]);
            world.run(world.command("python3", words.chain(program.iter().copied())))
        };
        let speak = ["python", "-c", SPEAK, &port, &name];
        for (kind, peer) in [
            ("AF_INET SOCK_STREAM", &*port),
            ("AF_INET SOCK_STREAM", ""),
            ("AF_INET SOCK_DGRAM", ""),
            ("AF_UNIX SOCK_DGRAM", ""),
        ] {
            let control = run(kind, peer, "none", &speak).success();
            assert_eq!(control.out(), "reached", "{kind}");
            for level in ["standard", "strict"] {
                let refused = run(kind, peer, level, &speak);
                assert_eq!(
                    (refused.code, &*refused.stdout),
                    (2, ""),
                    "{kind}: {refused}"
                );
                let said = "standard input is a socket";
                assert!(refused.stderr.contains(said), "{refused}");
            }
        }
        // One that speaks to its peer for ever is what many programs give for a pipe.
        let read = [
            "python",
            "-c",
            "import os; print(os.fstat(0).st_mode >> 12)",
        ];
        let run = run("AF_UNIX SOCK_STREAM", "", "strict", &read).success();
        assert_eq!(run.out(), "12");
    }
}

#[test]
fn files_are_moved_and_linked_between_directories() {
    let code = "import os\n\
                os.makedirs('one'); os.makedirs('two')\n\
                open('one/file', 'w').close()\n\
                os.rename('one/file', 'two/file'); os.link('two/file', 'one/again')\n\
                os.mkdir('/tmp/one'); os.mkdir('/tmp/two'); open('/tmp/one/file', 'w').close()\n\
                os.rename('/tmp/one/file', '/tmp/two/file')\n\
                print(*os.listdir('one'), *os.listdir('two'))";
    for world in worlds() {
        for level in ["standard", "strict"] {
            let words = ["run", "--env", "demo", "--sandbox", level, "--"];
            let run = world.blast(words.iter().chain(&["python", "-c", code]));
            assert_eq!(run.success().out(), "again file");
            for folder in ["one", "two"] {
                fs::remove_dir_all(world.project().join(folder)).expect("made");
            }
        }
    }
}
