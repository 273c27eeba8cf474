//! What a sandbox must not let happen: the probes of `probes/escapes.py`, at both levels, as root and as a
//! user without privilege. The same program without a sandbox is the control: a probe that does not
//! succeed there proves nothing, so the list of those is told and bounded.
//!
//! To add a probe, add a function to that file.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::process::Stdio;

use blast_harness::{Means, Run, require};
use serde_json::{Value, json};

use crate::world::World;

/// Of what must succeed outside, at most this many may fail there: kernels differ.
const FAILING_CONTROLS: usize = 16;

const PIDS: u64 = 40;
const MEMORY: u64 = 256 << 20;
const FILE_SIZE: u64 = 64 << 20;
const TMP_SIZE: u64 = 32 << 20;

/// What tools keep in a home directory, and would be missed.
const SECRETS: [&str; 8] = [
    ".bash_history",
    ".config/gh/hosts.yml",
    ".docker/config.json",
    ".git-credentials",
    ".kube/config",
    ".netrc",
    ".pypirc",
    ".python_history",
];

/// More of a project that tools outside obey.
const OBEYED: [&str; 10] = [
    ".envrc",
    ".git/config.worktree",
    ".git/modules/sub/config",
    ".git/modules/sub/hooks/README",
    ".git/worktrees/other/commondir",
    ".idea/workspace.xml",
    ".vscode/tasks.json",
    "elsewhere/config",
    "sub/.git",
    "sub/README",
];

/// A process with a piece of shared memory, which goes with it; it tells the number (shmget(2)), and that of its mount
/// namespace (`NS_GET_MNTNS_ID`), 0 where the kernel has none.
const OUTER: &str = "import ctypes, fcntl, time\n\
    C = ctypes.CDLL(None)\n\
    C.shmat.restype = ctypes.c_void_p\n\
    number = C.shmget(0, 4096, 0o1666)\n\
    C.shmat(number, None, 0)\n\
    C.shmctl(number, 0, None)\n\
    mounts = bytearray(8)\n\
    try: fcntl.ioctl(open('/proc/self/ns/mnt'), 0x8008b705, mounts)\n\
    except OSError: pass\n\
    print(number, int.from_bytes(mounts, 'little'), flush=True)\n\
    time.sleep(600)";

/// Everything that the probes look for, on the host.
struct Host {
    world: World,
    facts: String,
    outer: std::process::Child,
    /// As whom the probes run inside, where that is not who runs blast.
    user: Option<&'static str>,
    /// Sockets that answer as long as this lives.
    _sockets: Vec<Box<dyn std::any::Any>>,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.outer.kill().expect("it runs");
        self.outer.wait().expect("it ends");
        for file in ["shm", "var/tmp"] {
            fs::remove_file(self.file_in(file)).expect("it was made");
        }
    }
}

impl Host {
    fn file_in(&self, folder: &str) -> std::path::PathBuf {
        let name = self.world.root().file_name().expect("named").to_owned();
        let folder = if folder == "shm" {
            "/dev/shm"
        } else {
            "/var/tmp"
        };
        Path::new(folder).join(name)
    }

    fn new(mut world: World) -> Self {
        let root = world.root().to_owned();
        let (home, project) = (root.join("home"), world.project());
        let owned = |path: &Path, text: &str| {
            let relative = Path::new("..").join(path.strip_prefix(&root).expect("below"));
            let path = world.write(&relative.to_string_lossy(), text);
            path.canonicalize().expect("there")
        };
        let secret = owned(&home.join("secret"), "s");
        owned(&home.join(".ssh/id_test"), "k");
        owned(&home.join(".aws/credentials"), "c");
        owned(&home.join(".bashrc"), "# marker\n");
        for name in SECRETS {
            owned(&home.join(name), "s");
        }
        for part in ["hooks/README", "config", "objects/README"] {
            owned(&project.join(".git").join(part), "");
        }
        for part in OBEYED {
            owned(&project.join(part), "");
        }
        owned(
            &project.join(".gitmodules"),
            "[submodule \"sub\"]\n\tpath = sub\n",
        );
        owned(&root.join("config/blast/note"), "n");
        owned(&root.join("tmp-file"), "outside");
        let given = owned(&root.join("given/file"), "g");
        let hidden = world.write("hidden", "h");
        world.write("probes/escapes.py", include_str!("probes/escapes.py"));
        symlink(&secret, project.join("leads-out")).expect("linked");
        world.start("other");
        world.start("demo");
        let daemon = world.daemon().expect("a daemon runs");

        let marker = format!(
            "probe-marker-{}",
            root.file_name().expect("named").display()
        );
        let mut outer = world
            .command("python3", ["-c", OUTER, &marker])
            .env("PROBE_SECRET", "1")
            .stdout(Stdio::piped())
            .spawn()
            .expect("a Python");
        let [number, mounts] = told(&mut outer);
        let mut sockets: Vec<Box<dyn std::any::Any>> = Vec::new();
        let tcp = TcpListener::bind("0.0.0.0:0").expect("a port");
        let tcp6 = TcpListener::bind("[::1]:0").ok();
        let udp = UdpSocket::bind("0.0.0.0:0").expect("a port");
        let address = SocketAddr::from_abstract_name(marker.as_bytes()).expect("a name");
        sockets.push(Box::new(UnixListener::bind_addr(&address).expect("bound")));
        let socket = home.join("agent.sock");
        sockets.push(Box::new(UnixListener::bind(&socket).expect("bound")));
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).expect("ours");
        let facts = json!({
            "secret": secret, "home": home, "project": project, "hidden": hidden,
            "given": given.parent(), "tmp_file": root.join("tmp-file"),
            "shm_file": format!("/dev/shm/{}", root.file_name().expect("named").display()),
            "var_tmp_file": format!("/var/tmp/{}", root.file_name().expect("named").display()),
            "interpreter_prefix": root.join("given"),
            "blast_home": world.blast_home(), "runtime": root.join("run/blast"),
            "cache": root.join("cache/blast"), "config": root.join("config/blast"),
            "daemon": daemon, "outer": outer.id(), "shared_memory": number, "marker": marker, "abstract": marker,
            "leak": secret, "socket": socket, "program": world.program(),
            "port": tcp.local_addr().expect("bound").port(),
            "port6": tcp6.as_ref().map_or(9, |tcp| tcp.local_addr().expect("bound").port()),
            "udp": udp.local_addr().expect("bound").port(),
            "address": own_address(), "host_name": host_name(),
            "pids": PIDS, "memory": MEMORY, "file_size": FILE_SIZE, "tmp_size": TMP_SIZE,
            "poison": "poison-from-inside", "secrets": SECRETS, "namespaces": namespaces(),
            "mounts": mounts, "watchers": watchers(),
        });
        for file in [&facts["shm_file"], &facts["var_tmp_file"]] {
            fs::write(file.as_str().expect("text"), "x").expect("written");
        }
        serve(tcp);
        if let Some(tcp6) = tcp6 {
            serve(tcp6);
        }
        std::thread::spawn(move || {
            let mut bytes = [0; 64];
            while let Ok((_, from)) = udp.recv_from(&mut bytes) {
                udp.send_to(b"heard", from).unwrap_or_default();
            }
        });
        let facts_file = world.write("facts.json", facts.to_string());
        world.sandbox.set("PROBE_TOKEN", "secret");
        world.sandbox.set("SSH_AUTH_SOCK", &socket);
        let bus = format!("unix:path={}", socket.display());
        world.sandbox.set("DBUS_SESSION_BUS_ADDRESS", bus);
        Self {
            facts: facts_file.to_string_lossy().into_owned(),
            world,
            outer,
            user: None,
            _sockets: sockets,
        }
    }

    fn run(&self, level: &str, probes: &[&str]) -> BTreeMap<String, (String, String)> {
        let given = self.world.root().join("given");
        let given = given.to_string_lossy();
        let hidden = self.world.project().join("hidden");
        let hidden = hidden.to_string_lossy();
        let mut words = vec!["run", "--env", "demo", "--sandbox", level];
        let limits = [PIDS, MEMORY, FILE_SIZE, TMP_SIZE].map(|limit| limit.to_string());
        if level != "none" {
            words.extend(["--read-only", &given, "--hide", &hidden]);
            for (flag, limit) in [
                "--pids-max",
                "--memory-max",
                "--file-size-max",
                "--tmp-size",
            ]
            .into_iter()
            .zip(&limits)
            {
                words.extend([flag, limit]);
            }
            words.extend(self.user.iter().flat_map(|user| ["--user", user]));
            for layer in ["memory", "pids"] {
                words.extend(["--allow-degraded", layer]);
            }
        }
        words.extend(["--", "python", "probes/escapes.py", &self.facts]);
        words.extend(probes);
        // With a descriptor that leads to the secret.
        let secret = self.world.root().join("home/secret");
        let mut line = vec!["-c", "exec 9< \"$0\"; exec \"$@\""];
        let (secret, program) = (
            secret.to_string_lossy(),
            self.world.program().to_string_lossy(),
        );
        line.extend([&*secret, &*program]);
        line.extend(words);
        outcomes(&self.world.run(self.world.command("sh", line)))
    }
}

/// What that process tells.
fn told(outer: &mut std::process::Child) -> [u64; 2] {
    let mut line = String::new();
    let says = outer.stdout.take().expect("piped");
    BufReader::new(says).read_line(&mut line).expect("told");
    let mut numbers = line
        .split_whitespace()
        .map(|number| number.parse().expect("a number"));
    [(); 2].map(|()| numbers.next().expect("told"))
}

fn outcomes(run: &Run) -> BTreeMap<String, (String, String)> {
    assert!(!run.stdout.is_empty(), "{run}");
    let Value::Object(told) = run.json() else {
        panic!("{run}");
    };
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    told.into_iter()
        .map(|(name, row)| (name, (text(&row["kind"]), text(&row["outcome"]))))
        .collect()
}

fn serve(listener: TcpListener) {
    std::thread::spawn(move || {
        for mut peer in listener.incoming().flatten() {
            let mut byte = [0];
            // Whoever hangs up has connected.
            let heard = peer.read(&mut byte).and_then(|_| peer.write(b"x"));
            heard.unwrap_or_default();
        }
    });
}

/// An address of this host that is not the loopback, else the loopback.
fn own_address() -> String {
    let found = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    found.map_or_else(
        |_| "127.0.0.1".to_owned(),
        |address| address.ip().to_string(),
    )
}

/// The namespaces of this process, by name, but that of time, which is the kernel's.
fn namespaces() -> BTreeMap<&'static str, std::path::PathBuf> {
    ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"]
        .map(|name| {
            let link = fs::read_link(Path::new("/proc/self/ns").join(name));
            (name, link.expect("the kernel has it"))
        })
        .into()
}

/// How many instances of inotify(7) a user has.
fn watchers() -> u64 {
    let most = fs::read_to_string("/proc/sys/fs/inotify/max_user_instances").expect("there");
    most.trim().parse().expect("a number")
}

fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").expect("named");
    name.trim().to_owned()
}

/// Runs all of them inside and the controls outside.
fn suite(host: &Host, level: &str, root: bool) {
    let inside = host.run(level, &[]);
    let groups = root && blast_sandbox::Cgroups::find().memory();
    // Needs a cgroup; without one only the memory of each process is limited, and shared memory not.
    let out_of_reach = |name: &str, kind: &str| {
        !groups && name == "much_memory_of_all" || level != "strict" && kind == "strict"
    };
    let escaped: Vec<_> = inside
        .iter()
        .filter(|(name, (kind, outcome))| outcome == "done" && !out_of_reach(name, kind))
        .map(|(name, _)| name.as_str())
        .collect();
    assert!(
        escaped.is_empty(),
        "level {level}: not stopped: {escaped:?}"
    );
    assert!(inside.len() >= 249, "only {} probes", inside.len());
    // Those that use machines up are controlled with all others: the limits are far below the host's.
    let controls: Vec<_> = inside
        .iter()
        .filter(|(_, (kind, _))| {
            matches!(kind.as_str(), "control" | "strict") || kind == "root" && root
        })
        .map(|(name, _)| name.as_str())
        .collect();
    let outside = host.run("none", &controls);
    let failing: Vec<_> = outside
        .iter()
        .filter(|(_, (_, outcome))| outcome != "done")
        .map(|(name, (_, outcome))| format!("{name} ({outcome})"))
        .collect();
    let stopped = inside.values().filter(|(_, outcome)| outcome != "done");
    host.world.note(&format!(
        "{level}: {} of {} probes stopped, {} controls, not controlled: {failing:?}",
        stopped.count(),
        inside.len(),
        controls.len()
    ));
    assert!(
        failing.len() <= FAILING_CONTROLS,
        "controls fail: {failing:#?}"
    );
    let poison = host.world.live().join("demo/poison-from-inside");
    assert!(!poison.exists(), "what was written inside is seen outside");
}

#[test]
fn root_no_probe_leaves_a_sandbox() {
    if !require(Means::Root) || !require(Means::Namespaces) {
        return;
    }
    let Some(world) = World::with([]) else {
        return;
    };
    let host = Host::new(world);
    suite(&host, "strict", true);
    suite(&host, "standard", true);
}

#[test]
fn user_no_probe_leaves_a_sandbox() {
    if !require(Means::Namespaces) {
        return;
    }
    let Some(world) = World::unprivileged([]) else {
        return;
    };
    let host = Host::new(world);
    suite(&host, "strict", false);
    suite(&host, "standard", false);
}

#[test]
fn root_no_probe_leaves_a_sandbox_of_somebody_else() {
    if !require(Means::Root) || !require(Means::Namespaces) {
        return;
    }
    let Some(world) = World::with([]) else {
        return;
    };
    let mut host = Host::new(world);
    host.user = Some("54321");
    suite(&host, "strict", true);
}
