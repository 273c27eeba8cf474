//! Normal users of hosts without `fusermount3`: the view is mounted in a user namespace, and where
//! that is refused too, environments are plain files.

use std::os::unix::process::CommandExt as _;

use blast_harness::{Means, Run, TestUser, WheelSpec, require};

use crate::world::{World, demo_wheels};

/// Hides the helper from one process tree, and becomes this user.
const WITHOUT_HELPER: &str = r#"
user=$0
IFS=:
for folder in $PATH /sbin /bin; do
    [ ! -f "$folder/fusermount3" ] || mount --bind /dev/null "$folder/fusermount3"
done
exec setpriv --reuid "${user%:*}" --regid "${user#*:}" --clear-groups "$@"
"#;

/// The same where nobody gets a user namespace: in a changed root (`user_namespaces(7)`).
const WITHOUT_NAMESPACES: &str = r#"
mount --rbind / /mnt
set -- chroot /mnt setpriv --reuid "${0%:*}" --regid "${0#*:}" --clear-groups "$@"
IFS=:
for folder in $PATH /sbin /bin; do
    [ ! -f "/mnt$folder/fusermount3" ] || mount --bind /dev/null "/mnt$folder/fusermount3"
done
exec "$@"
"#;

/// What every script can use. `$blast` is the program; what is left running is ended with the script.
const WORDS: &str = r#"
trap 'status=$?; $blast kill --all --force >/dev/null 2>&1; exit $status' EXIT
daemon() { cat "$XDG_RUNTIME_DIR/blast/daemon.pid"; }
space() { readlink "/proc/$1/ns/mnt"; }
eventually() { for _ in $(seq 1000); do if "$@" 2>/dev/null; then return; fi; sleep 0.03; done; echo "never: $*" >&2; return 1; }
"#;

/// With a module, and a program that says its version.
fn tool(version: &str) -> WheelSpec {
    WheelSpec::new("tool", version)
        .file(
            "tool.py",
            &format!("__version__ = '{version}'\ndef main():\n    print('tool', __version__)\n"),
        )
        .entry_point("tool", "tool:main")
}

impl World {
    /// A user on a host prepared by one of the scripts above; `None`, having said so, where that cannot
    /// be played.
    fn without_helper() -> Option<Self> {
        if !require(Means::Root) || !require(Means::Mount) {
            return None;
        }
        let mut world =
            Self::unprivileged(demo_wheels().into_iter().chain([tool("1"), tool("2")]))?;
        world.sandbox.unset("BLAST_VIEW");
        Some(world)
    }

    /// Runs a script on that host.
    fn on(&self, host: &str, script: &str) -> Run {
        let user = TestUser::ensure().expect("required above");
        let user = format!("{}:{}", user.uid, user.gid);
        let script = format!("blast={}\n{WORDS}\n{script}", self.program().display());
        let words = ["--mount", "sh", "-ec", host, &user, "sh", "-ec", &script];
        let mut command = self.command("unshare", words);
        command.uid(0).gid(0);
        self.run(command)
    }
}

#[test]
fn root_without_helper_users_mount_in_a_namespace() {
    let Some(world) = World::without_helper() else {
        return;
    };
    let run = world.on(
        WITHOUT_HELPER,
        r#"
        eval "$($blast start demo --shell bash)"
        $blast install tool==1
        live=$($blast view demo)
        [ "$(space $(daemon))" != "$(space self)" ]
        [ ! -e "$live/lib" ]
        cd "$live/.."
        $blast run -- sh -c 'ls -d lib/python3* "$VIRTUAL_ENV"/lib/python3*/site-packages/tool.py || true; pwd'
        cd
        tool
        "$live/bin/tool"
        python -c 'import os, tool; print("python", tool.__version__, os.getuid() == os.stat(tool.__file__).st_uid)'
        "$live/bin/python" -c 'import subprocess, sys; subprocess.run([sys.executable, "-c", "import tool; print(\"child\", tool.__version__)"], check=True)'
        grep -q "^CapEff:.*[1-9a-f]" /proc/$(daemon)/status
        $blast run -- grep CapEff /proc/self/status
        $blast run --pin -- python -c 'import tool; print("pinned", tool.__file__)'
        $blast status
        $blast status --json
        $blast doctor
        $blast check --deep
        "#,
    );
    let run = run
        .success()
        .prints("tool 1\ntool 1\npython 1 True\nchild 1\n")
        .prints("site-packages/tool.py")
        .prints("CapEff:\t0000000000000000")
        .prints("/live/.generation/")
        .prints("`fusermount3` is not installed")
        .prints("\"mode\": \"view\"")
        .prints("mounting in a user namespace");
    assert!(!run.stdout.contains("plain files instead"), "{run}");
    assert!(world.mounts().is_empty(), "nothing is mounted outside");
}

#[test]
fn root_without_helper_a_swap_reaches_running_programs() {
    let Some(world) = World::without_helper() else {
        return;
    };
    let run = world.on(
        WITHOUT_HELPER,
        r#"
        cd
        $blast start demo --shell bash >/dev/null
        $blast install --env demo tool==1
        cat >program.py <<END
import importlib.metadata as m, os, sys, time, tool
print("before", m.version("tool"), flush=True)
while not os.path.exists("go"):
    time.sleep(0.01)
print("after", tool.__version__, m.version("tool"))
END
        $blast run --env demo -- python program.py >said &
        eventually grep -q before said
        $blast install --env demo tool==2
        touch go
        wait $!
        cat said
        $blast revert --env demo
        "$($blast view demo)/bin/tool"
        "#,
    );
    let run = run.success();
    assert!(run.stdout.starts_with("before 1\nafter 1 2\n"), "{run}");
    assert!(run.stdout.ends_with("tool 1\n"), "{run}");
}

#[test]
fn root_without_helper_daemons_follow_each_other_and_nothing_is_left() {
    // A program goes on while daemons are killed.
    if !require(Means::Resend) {
        return;
    }
    let Some(world) = World::without_helper() else {
        return;
    };
    let run = world.on(
        WITHOUT_HELPER,
        r#"
        cd
        $blast start demo --shell bash >/dev/null
        $blast install --env demo tool==1
        cat >program.py <<END
import glob, os, sys, time
go = os.path.abspath("go")
os.chdir(sys.prefix)
print("running", flush=True)
while not os.path.exists(go):
    sys.modules.pop("tool", None)
    import tool
    glob.glob(os.path.join(sys.prefix, "*", "*", "none-%d" % time.monotonic_ns()))
print("served to the end")
END
        $blast run --env demo -- python program.py >said &
        program=$!
        eventually grep -q running said
        mounts=$(space $(daemon))
        live=$($blast view demo)
        for _ in 1 2 3; do
            first=$(daemon)
            kill -9 $first
            successor() { [ "$(daemon)" != $first ] && kill -0 $(daemon); }
            eventually successor
            "$live/bin/tool"
        done
        $blast daemon restart
        [ "$(space $(daemon))" = "$mounts" ]
        $blast run --env demo -- $blast daemon restart
        [ "$(space $(daemon))" = "$mounts" ]
        touch go
        wait $program
        cat said
        $blast kill --all
        none() { for process in /proc/[0-9]*; do [ "$(readlink $process/ns/mnt)" != "$mounts" ] || return 1; done; }
        eventually none
        [ ! -e "$XDG_RUNTIME_DIR/blast/daemon.pid" ]
        echo "nothing is left"
        "$live/bin/tool"
        "#,
    );
    run.success()
        .prints("tool 1\ntool 1\ntool 1\nrunning\nserved to the end\nnothing is left\ntool 1\n");
    assert!(world.mounts().is_empty(), "nothing is mounted outside");
}

#[test]
fn root_without_helper_and_namespaces_there_are_plain_files() {
    let Some(world) = World::without_helper() else {
        return;
    };
    let run = world.on(
        WITHOUT_NAMESPACES,
        r#"
        $blast start demo --shell bash >/dev/null
        $blast install --env demo tool==1
        "$($blast view demo)/bin/tool"
        $blast status --json
        $blast doctor
        "#,
    );
    run.success()
        .prints("tool 1\n")
        .prints("\"mode\": \"materialised\"")
        .prints("`fusermount3` is not installed, and no user namespace can be made: ")
        .says("no view can be mounted here (`fusermount3` is not installed, and no user namespace");
}

#[test]
fn root_without_helper_plain_files_that_are_asked_for_need_no_namespace() {
    let Some(mut world) = World::without_helper() else {
        return;
    };
    world.sandbox.set("BLAST_VIEW", "files");
    let run = world.on(
        WITHOUT_HELPER,
        r#"
        $blast start demo --shell bash >/dev/null
        $blast install --env demo tool==1
        [ "$(space $(daemon))" = "$(space self)" ]
        "$($blast view demo)/bin/tool"
        BLAST_VIEW=auto
        $blast run --env demo -- tool
        $blast daemon restart
        $blast run --env demo -- tool
        [ "$(space $(daemon))" != "$(space self)" ]
        "#,
    );
    assert_eq!(run.success().out(), "tool 1\ntool 1\ntool 1");
}
