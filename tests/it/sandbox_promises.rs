//! What `docs/security.md` promises and no other file here shows: how many processes there are at once, that nobody inside
//! observes others, that without a filter nothing is reached, and that blast itself obeys nothing that was left in a project.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;

use blast_harness::{Means, Run, require};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::sandbox_deaths::processes;
use crate::world::{World, wait_until};

fn worlds() -> Vec<World> {
    if !require(Means::Namespaces) {
        return Vec::new();
    }
    let worlds: Vec<World> = [World::with([]), World::unprivileged([])]
        .into_iter()
        .flatten()
        .collect();
    for world in &worlds {
        world.start("demo");
    }
    worlds
}

fn run(world: &World, options: &[&str], code: &str) -> Run {
    let words = ["run", "--env", "demo"];
    let program = ["--", "python", "-c", code];
    world.blast([&words[..], options, &program].concat())
}

/// Whether each pid namespace has a highest number of its own (Linux 6.14).
fn has_own_numbers() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("there");
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next().and_then(|part| part.parse::<u32>().ok());
    (number(), number()) >= (Some(6), Some(14))
}

#[test]
fn there_are_so_many_processes_at_once_and_no_more() {
    let code = "import os, signal\n\
                children = []\n\
                try:\n    \
                    while len(children) < 1100:\n        \
                        child = os.fork()\n        \
                        if child == 0:\n            \
                            signal.pause()\n        \
                        children.append(child)\n\
                except OSError:\n    pass\n\
                for child in children: os.kill(child, signal.SIGKILL)\n\
                print(len(children))";
    for world in worlds() {
        if !has_own_numbers() {
            world.note("pid namespaces of this kernel have no highest number: not tested");
            continue;
        }
        let strict = run(&world, &["--sandbox", "strict"], code).success();
        let strict: usize = strict.out().parse().expect("a number");
        assert!((900..1024).contains(&strict), "{strict}");
        let standard = run(&world, &["--sandbox", "standard"], code).success();
        assert_eq!(standard.out(), "1100");
        let most = "print(open('/proc/sys/kernel/pid_max').read().strip())";
        let most = run(&world, &["--sandbox", "standard"], most).success();
        assert_eq!(most.out().parse::<u32>().expect("a number") & !1, 4096);
    }
}

#[test]
fn a_program_inside_observes_no_other() {
    // seccomp(2), SECCOMP_FILTER_FLAG_NEW_LISTENER, with a program that allows all.
    let code = "import ctypes, errno, os, struct\n\
                C = ctypes.CDLL(None, use_errno=True)\n\
                C.prctl(38, 1, 0, 0, 0)\n\
                allow = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0x7fff0000))\n\
                program = struct.pack('HxxxxxxQ', 1, ctypes.addressof(allow))\n\
                number = 317 if os.uname().machine == 'x86_64' else 277\n\
                done = C.syscall(number, 1, 8, program)\n\
                print('listens' if done >= 0 else errno.errorcode[ctypes.get_errno()])";
    for world in worlds() {
        for level in ["standard", "strict"] {
            let inside = run(&world, &["--sandbox", level], code).success();
            assert_eq!(inside.out(), "EBUSY", "{level}");
        }
        let outside = run(&world, &["--sandbox", "none"], code).success();
        assert_eq!(outside.out(), "listens");
    }
}

#[test]
fn a_filter_that_dies_lets_nothing_through() {
    for world in worlds() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        std::thread::spawn(move || {
            for mut peer in listener.incoming().flatten() {
                peer.write_all(b"hello").unwrap_or_default();
            }
        });
        let code = format!(
            "import os, socket, time\n\
             def ask():\n    \
                 try: return socket.create_connection(('127.0.0.1', {port}), 5).recv(9).decode() or 'end'\n    \
                 except OSError as error: return 'error'\n\
             print(ask(), flush=True)\n\
             open('asked', 'w').close()\n\
             while not os.path.exists('go'): time.sleep(0.02)\n\
             print(ask())"
        );
        let allowed = format!("127.0.0.1:{port}");
        let words = ["run", "--env", "demo", "--sandbox", "standard"];
        let more = ["--allow-net", &allowed, "--", "python", "-c", &code];
        let caller = world.blast_in_background([&words[..], &more].concat());
        let asked = world.project().join("asked");
        assert!(wait_until(|| asked.exists()));
        let filters = || {
            let found = processes(&world).into_iter();
            found.filter(|(_, words)| words.contains("filter-network"))
        };
        for (number, _) in filters() {
            kill(Pid::from_raw(number), Signal::SIGKILL).expect("ours");
        }
        assert!(wait_until(|| filters().next().is_none()));
        world.write("go", "");
        let ended = world.finish(caller);
        assert!(ended.stdout.starts_with("hello\n"), "{ended}");
        assert!(!ended.stdout.contains("hello\nhello"), "{ended}");
        fs::remove_file(world.project().join("go")).expect("ours");
        fs::remove_file(asked).unwrap_or_default();
    }
}

#[test]
fn without_a_filter_the_program_does_not_run() {
    for world in worlds() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = taken.local_addr().expect("bound").port().to_string();
        let publish = ["--sandbox", "standard", "--publish", &port];
        let refused = run(&world, &publish, "open('ran', 'w')").exits(2);
        refused.says("cannot be made");
        assert!(!world.project().join("ran").exists());
        drop(taken);
        run(&world, &publish, "open('ran', 'w')").success();
        assert!(world.project().join("ran").exists());
    }
}

#[test]
fn a_repository_that_is_given_to_be_read_is_only_read() {
    for world in worlds() {
        for part in ["hooks/README", "config"] {
            world.write(&format!(".git/{part}"), "");
        }
        let code = "open('.git/commondir', 'w').write('../elsewhere')";
        let git = world.project().join(".git").to_string_lossy().into_owned();
        run(
            &world,
            &["--sandbox", "standard", "--read-only", &git],
            code,
        )
        .exits(1);
        run(&world, &["--sandbox", "strict"], code).exits(1);
        assert!(!world.project().join(".git/commondir").exists());
    }
}

#[test]
fn what_a_program_left_in_a_project_leads_blast_nowhere() {
    let code = "import os\n\
                os.makedirs('bin')\n\
                with open('bin/python3', 'w') as file:\n    \
                    file.write('#!/bin/sh\\ntouch ../home/ran; exec python3 \"$@\"')\n\
                os.chmod('bin/python3', 0o755)\n\
                os.symlink('../home/.bashrc', 'pylock.toml')";
    let named = "open('.python-version', 'w').write('./bin/python3')";
    for world in worlds() {
        world.write("pyproject.toml", "[project]\nname = 'p'\nversion = '1'\n");
        world.write("../home/.bashrc", "# mine\n");
        run(&world, &["--sandbox", "strict"], code).success();
        let locked = world.blast(["lock"]);
        assert_eq!(locked.code, 2, "{locked}");
        assert!(
            locked.stderr.contains("by a link it leads out of"),
            "{locked}"
        );
        run(&world, &["--sandbox", "strict"], named).success();
        let made = world.blast(["start", "another"]);
        assert_ne!(made.code, 0, "{made}");
        assert!(
            made.stderr
                .contains("which programs of the project can change"),
            "{made}"
        );
        let home = world.root().join("home");
        let text = fs::read_to_string(home.join(".bashrc")).expect("there");
        assert_eq!(text, "# mine\n");
        assert!(
            !home.join("ran").exists(),
            "a program of the project ran outside"
        );
    }
}
