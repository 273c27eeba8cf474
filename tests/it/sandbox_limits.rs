//! What a program in a sandbox may use up, where a limit holds for all its processes together.

use std::fs;

use blast_harness::{Means, Run, require};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};

use crate::world::World;

fn inside(world: &World, flags: &[&str], code: &str) -> Run {
    let mut words = vec!["run", "--env", "demo", "--sandbox", "standard"];
    words.extend(flags);
    words.extend(["--", "python", "-c", code]);
    world.blast(words)
}

/// What the audit log says of the sandbox itself, as `TARGET DECISION`.
fn of_sandbox(world: &World) -> Vec<String> {
    let log = world.blast(["audit", "--json"]).success();
    let log: serde_json::Value = serde_json::from_str(&log.stdout).expect("JSON");
    let entries = log["entries"].as_array().expect("a list").iter();
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    entries
        .filter(|entry| entry["kind"] == "sandbox")
        .map(|entry| format!("{} {}", text(&entry["target"]), text(&entry["decision"])))
        .collect()
}

/// Runs `hog.py`, whose memory is summed up: 256 MiB in all.
fn hog(world: &World, level: &str, parts: &str) -> Run {
    let words = ["run", "--env", "demo", "--sandbox", level];
    let limits = ["--memory-max", "256M", "--allow-degraded", "memory"];
    let program = ["--", "python", "hog.py", parts];
    world.blast([&words[..], &limits, &program].concat())
}

#[test]
fn files_without_a_name_are_memory_where_no_cgroup_counts() {
    if !require(Means::Namespaces) {
        return;
    }
    let Some(world) = World::unprivileged([]) else {
        return;
    };
    world.start("demo");
    // Written and never mapped, so that no process seems to have it.
    let code = "import os, sys, time\n\
        part, files = bytes(1 << 20), []\n\
        for _ in range(int(sys.argv[1])):\n\
        \x20   files.append(os.memfd_create('file'))\n\
        \x20   for _ in range(32): os.write(files[-1], part)\n\
        time.sleep(2)\n\
        print('done')";
    world.write("hog.py", code);
    let run = |files: &str| hog(&world, "strict", files);
    assert_eq!(run("2").success().out(), "done");
    let ended = run("12");
    assert_eq!((ended.code, ended.out()), (128 + 9, ""), "{ended}");
}

#[test]
fn segments_are_memory_where_no_cgroup_counts() {
    if !require(Means::Namespaces) {
        return;
    }
    let Some(world) = World::unprivileged([]) else {
        return;
    };
    world.start("demo");
    // Filled and let go of: they stay, and no process has them.
    let code = "import ctypes, sys, time\n\
        libc, part = ctypes.CDLL(None, use_errno=True), 32 << 20\n\
        libc.shmat.restype = ctypes.c_void_p\n\
        for _ in range(int(sys.argv[1])):\n\
        \x20   number = libc.shmget(0, ctypes.c_size_t(part), 0o1600)\n\
        \x20   assert number >= 0, ctypes.get_errno()\n\
        \x20   at = libc.shmat(number, None, 0)\n\
        \x20   ctypes.memset(at, 1, part)\n\
        \x20   libc.shmdt(ctypes.c_void_p(at))\n\
        time.sleep(2)\n\
        print('done')";
    world.write("hog.py", code);
    let run = |segments: &str| hog(&world, "standard", segments);
    assert_eq!(run("2").success().out(), "done");
    let ended = run("12");
    assert_eq!((ended.code, ended.out()), (128 + 9, ""), "{ended}");
    assert!(ended.stderr.contains("the sandbox was ended"), "{ended}");
}

#[test]
fn all_that_is_written_has_a_limit_wherever_it_is_written() {
    if !require(Means::Namespaces) {
        return;
    }
    let Some(world) = World::started([]) else {
        return;
    };
    // 64 MiB in pieces, by processes that are gone when the next begins.
    let code = "import subprocess, sys\n\
        piece = \"import os, sys; f = open(sys.argv[1], 'wb'); f.write(bytes(4 << 20)); f.flush(); os.fsync(f)\"\n\
        for number in range(16):\n\
        \x20   subprocess.run([sys.executable, '-c', piece, 'piece%d' % number], check=True)\n";
    inside(&world, &[], code).success();
    let private = "open('/tmp/big', 'wb').write(bytes(16 << 20))";
    inside(&world, &["--total-size-max", "8M"], private).exits(1);
    if statfs(&world.project()).expect("there").filesystem_type() == TMPFS_MAGIC {
        // Only what goes to a disk is counted.
        return;
    }
    for number in 0..16 {
        fs::remove_file(world.project().join(format!("piece{number}"))).expect("was written");
    }
    let run = inside(&world, &["--total-size-max", "8M"], code).exits(128 + 9);
    assert!(
        run.stderr.contains("the sandbox was ended: it wrote")
            && run.stderr.contains("may write 8"),
        "{run}"
    );
    assert!(!world.project().join("piece15").exists(), "{run}");
    assert_eq!(of_sandbox(&world), ["total-size denied"]);
}

#[test]
fn user_memory_of_all_processes_is_watched_where_no_cgroup_keeps_it() {
    if !require(Means::User) {
        return;
    }
    let Some(world) = World::unprivileged([]) else {
        return;
    };
    world.start("demo");
    // Four who are large together, and one who waits for them.
    let hog = "import os, signal, time\n\
        for _ in range(4):\n\
        \x20   if os.fork() == 0:\n\
        \x20       held = bytearray(os.urandom(1 << 20)) * 64\n\
        \x20       time.sleep(3)\n\
        \x20       os._exit(0)\n\
        ends = [os.wait()[1] for _ in range(4)]\n\
        raise SystemExit(5 if signal.SIGKILL in ends and 0 in ends else 6)\n";
    let refused = inside(&world, &["--memory-max", "150M"], hog);
    if refused.code != 2 {
        // A subtree is delegated to this user: then the kernel keeps the limit.
        assert_ne!(refused.code, 0, "{refused}");
        return;
    }
    assert!(
        refused.stderr.contains("--allow-degraded memory"),
        "{refused}"
    );
    let flags = ["--memory-max", "150M", "--allow-degraded", "memory"];
    inside(&world, &flags, "pass").success();
    let run = inside(&world, &flags, hog).exits(5);
    let told = "the largest process of the sandbox was ended: its processes used";
    assert!(run.stderr.contains(told), "{run}");
    let mut said = of_sandbox(&world);
    said.dedup();
    assert_eq!(said, ["memory failed", "memory denied"]);
}

#[test]
fn what_is_denied_is_given_by_nobody() {
    if !require(Means::Namespaces) {
        return;
    }
    let Some(world) = World::started([]) else {
        return;
    };
    let home = world.root().join("home/keys");
    fs::create_dir_all(&home).expect("made");
    fs::write(home.join("key"), "swordfish").expect("written");
    let link = world.root().join("home/way");
    std::os::unix::fs::symlink(&home, &link).expect("made");
    let code = "import os\nprint(*[os.path.exists(os.path.expanduser(p) + '/key') for p in ('~/keys', '~/way')])";
    let keys = home.display().to_string();
    let way = link.display().to_string();
    for (given, seen) in [(&keys, "True False"), (&way, "True True")] {
        let run = inside(&world, &["--read-only", given], code).success();
        assert_eq!(run.out(), seen, "{given}");
    }
    let config = world.root().join("config/blast");
    fs::create_dir_all(&config).expect("made");
    fs::write(
        config.join("config.toml"),
        "[sandbox.filesystem]\ndenied_paths = [\"~/keys\"]\n",
    )
    .expect("written");
    // By its name, and by a link that leads there.
    for given in [&keys, &way] {
        let run = inside(&world, &["--read-only", given], code).success();
        assert_eq!(run.out(), "False False", "{given}");
    }
}

#[test]
fn a_variable_is_given_as_an_environment_is_named() {
    let Some(world) = World::started([]) else {
        return;
    };
    let code = "import os; print(os.environ.get('MODE'))";
    let run = |flags: &[&str]| {
        let mut words = vec!["run", "--env", "demo"];
        words.extend(flags);
        words.extend(["--env", "MODE=a=b", "--", "python", "-c", code]);
        world.blast(words)
    };
    assert_eq!(run(&[]).success().out(), "a=b");
    assert_eq!(run(&["--writes", "discard"]).success().out(), "a=b");
    if require(Means::Namespaces) {
        assert_eq!(run(&["--sandbox", "strict"]).success().out(), "a=b");
    }
    run(&["--env", "other"]).exits(2);
    run(&["--env", "=x"]).exits(2);
}
