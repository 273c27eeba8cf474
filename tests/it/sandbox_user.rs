//! `user`: programs that root runs are somebody without privilege, and what they work on is theirs inside and root's outside.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

use blast_harness::{Means, WheelSpec, require};

use crate::world::World;

/// Nobody's, but that some systems have a user of that number.
const USER: &str = "54321";

fn of_root(wheels: impl IntoIterator<Item = WheelSpec>) -> Option<World> {
    if !require(Means::Root) || !require(Means::Namespaces) {
        return None;
    }
    let mut world = World::started(wheels)?;
    world.sandbox.unset("BLAST_SANDBOX");
    Some(world)
}

fn as_user(world: &World, level: &str, command: &[&str]) -> blast_harness::Run {
    let mut words = vec!["run", "--env", "demo", "--sandbox", level, "--user", USER];
    words.push("--");
    words.extend(command);
    world.blast(words)
}

/// Who a program is, by all that the kernel says of it, and that it can become nobody else.
const WHO: &str = "import os\n\
    print(*os.getresuid(), *os.getresgid(), *os.getgroups())\n\
    print([line.split()[1:] for line in open('/proc/self/status') if line.startswith('CapEff')][0][0])\n\
    for number in (0, 1):\n    \
        try: os.setuid(number); print('became', number)\n    \
        except OSError: pass\n";

#[test]
fn root_programs_are_somebody_else_in_a_new_sandbox_and_in_one_that_is_kept() {
    let Some(world) = of_root([]) else {
        return;
    };
    let nobody = format!("{}\n0000000000000000", [USER; 6].join(" "));
    for level in ["standard", "strict"] {
        // The first makes it, the second enters it.
        for _ in 0..2 {
            let run = as_user(&world, level, &["python", "-c", WHO]).success();
            assert_eq!(run.out(), nobody);
        }
        // Limits of all that is written are kept by a sandbox for one program.
        let alone = world.blast([
            "run",
            "--env",
            "demo",
            "--sandbox",
            level,
            "--user",
            USER,
            "--total-size-max",
            "1G",
            "--",
            "python",
            "-c",
            WHO,
        ]);
        assert_eq!(alone.success().out(), nobody);
    }
    let run = world.blast(["run", "--env", "demo", "--", "id", "-u"]);
    assert_eq!(run.success().out(), "0", "it is another sandbox");
}

#[test]
fn root_first_process_and_usher_are_somebody_else_too_and_signals_reach_the_program() {
    let Some(world) = of_root([]) else {
        return;
    };
    let code = "import signal, sys, time\n\
                signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n\
                open('ready', 'w').close()\n\
                time.sleep(600)";
    let words = [
        "run", "--env", "demo", "--user", USER, "--", "python", "-c", code,
    ];
    let background = world.blast_in_background(words);
    let ready = world.project().join("ready");
    for _ in 0..600 {
        if ready.exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let status = world.blast(["status", "--env", "demo", "--json"]).success();
    let process = status.json()["security"]["sandboxes"][0]["process"].clone();
    let of = |process: &str, key: &str| {
        let text = fs::read_to_string(format!("/proc/{process}/status")).expect("it lives");
        let line = text.lines().find(|line| line.starts_with(key)).expect(key);
        line.split_whitespace()
            .skip(1)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let four = [USER; 4].join(" ");
    let init = process.to_string();
    assert_eq!(of(&init, "Uid:"), four, "{status}");
    assert_eq!(of(&init, "Groups:"), "");
    assert_eq!(of(&init, "CapPrm:"), "0000000000000000");
    background.signal(nix::sys::signal::Signal::SIGTERM);
    world.finish(background).exits(5);
}

#[test]
fn root_files_of_the_project_are_the_programs_own_inside_and_roots_outside() {
    let wheel = WheelSpec::new("plain", "1.0").file("plain.py", "x = 1\n");
    let Some(world) = of_root([wheel]) else {
        return;
    };
    world.install("demo", &["plain"]).success();
    let private = world.write("private", "mine");
    fs::set_permissions(&private, Permissions::from_mode(0o600)).expect("possible");
    let others = world.write("others", "theirs");
    chown(&others, Some(4321), Some(4321)).expect("root may");
    fs::set_permissions(&others, Permissions::from_mode(0o600)).expect("possible");
    let secret = world.root().join("home/secret");
    fs::write(&secret, "s").expect("possible");
    let given = world.root().join("given");
    fs::create_dir(&given).expect("possible");
    fs::write(given.join("file"), "g").expect("possible");
    fs::set_permissions(&given, Permissions::from_mode(0o700)).expect("possible");
    let code = format!(
        "import os, plain, sys\n\
         assert os.stat('private').st_uid == {USER}, os.stat('private')\n\
         assert open('private').read() == 'mine'\n\
         open('private', 'a').write('!')\n\
         os.mkdir('folder'); open('folder/new', 'w').close()\n\
         assert os.stat('folder/new').st_uid == {USER}\n\
         assert os.stat('others').st_uid == 65534\n\
         assert not os.access('others', os.R_OK)\n\
         open(os.path.expanduser('~/x'), 'w').close(); open('/tmp/x', 'w').close()\n\
         assert open({file:?}).read() == 'g'\n\
         try: open({file:?}, 'w'); print('given is written')\n\
         except OSError: pass\n\
         try: os.chown('private', 0, 0); print('given away')\n\
         except OSError: pass\n\
         try: open(sys.prefix + '/x', 'w'); print('the environment is written')\n\
         except OSError: pass\n\
         print(os.environ['HOME'] == os.path.expanduser('~'))\n",
        file = given.join("file"),
    );
    let given = given.to_string_lossy();
    let run = world.blast([
        "run",
        "--env",
        "demo",
        "--user",
        USER,
        "--read-only",
        &given,
        "--",
        "python",
        "-c",
        &code,
    ]);
    assert_eq!(run.success().out(), "True");
    assert_eq!(fs::read_to_string(&private).expect("there"), "mine!");
    for made in ["private", "folder", "folder/new"] {
        let meta = fs::metadata(world.project().join(made)).expect("there");
        assert_eq!((meta.uid(), meta.gid()), (0, 0), "{made}");
    }
}

#[test]
fn root_a_policy_says_the_user_for_whatever_starts_the_python() {
    let Some(world) = of_root([]) else {
        return;
    };
    let settings = world.root().join("config/blast/config.toml");
    fs::create_dir_all(settings.parent().expect("below")).expect("possible");
    fs::write(&settings, format!("[sandbox]\nuser = {USER}\n")).expect("possible");
    let python = world.live().join("demo/bin/python");
    let command = world.command(python, ["-c", "import os; print(os.getuid())"]);
    assert_eq!(world.run(command).success().out(), USER);
    // A flag says another, never root.
    let other = ["run", "--env", "demo", "--user", "4321", "--", "id", "-u"];
    assert_eq!(world.blast(other).success().out(), "4321");
    for wrong in ["root", "0", ""] {
        let run = world.blast(["run", "--env", "demo", "--user", wrong, "--", "id"]);
        run.exits(2);
    }
    let run = world.blast(["run", "--env", "demo", "--user", "no-such-user", "--", "id"]);
    assert!(run.exits(2).stderr.contains("no such user"));
}

#[test]
fn root_builds_run_as_the_policys_user() {
    let Some(mut world) = of_root([]) else {
        return;
    };
    world.sandbox.set("BLAST_SANDBOX", "none");
    let settings = world.root().join("config/blast/config.toml");
    fs::create_dir_all(settings.parent().expect("below")).expect("possible");
    fs::write(&settings, format!("[sandbox]\nuser = {USER}\n")).expect("possible");
    let project = world.root().join("sources");
    fs::create_dir(&project).expect("possible");
    let metadata =
        "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n";
    fs::write(project.join("pyproject.toml"), metadata).expect("possible");
    fs::write(project.join("backend.py"), BACKEND).expect("possible");
    let sources = project.to_string_lossy().into_owned();
    world.install("demo", &[&sources]).success();
    let run = world.python_in("demo", "import who; print(who.uid)");
    assert_eq!(run.success().out(), USER);
}

/// Makes a wheel whose module holds who made it.
const BACKEND: &str = r#"
import base64, hashlib, os, zipfile

def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = "who-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as wheel:
        info = "who-1.0.dist-info/"
        files = {
            "who.py": "uid = %d\n" % os.getuid(),
            info + "METADATA": "Metadata-Version: 2.1\nName: who\nVersion: 1.0\n",
            info + "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = info + "RECORD,,\n"
        for path, text in files.items():
            wheel.writestr(path, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
            record += "%s,sha256=%s,%d\n" % (path, digest, len(text))
        wheel.writestr(info + "RECORD", record)
    return name
"#;

#[test]
fn user_stays_the_same_for_who_is_no_root() {
    if !require(Means::Namespaces) {
        return;
    }
    let Some(world) = World::unprivileged([]) else {
        return;
    };
    world.start("demo");
    let words = ["run", "--env", "demo", "--sandbox", "standard"];
    let who = |more: &[&str]| {
        let run = world.blast(words.iter().chain(more).chain(&["--", "id", "-u"]));
        run.success().out().to_owned()
    };
    assert_eq!(who(&["--user", USER]), who(&[]));
    assert_ne!(who(&[]), "0");
}
