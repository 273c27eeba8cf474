//! What root's programs read of the system: what everybody may, though root owns all of it.

use blast_harness::{Means, require};

use crate::world::World;

/// A host of its own whose `/etc` is on an overlayfs, which cannot show its files as another's, and whose `/usr/src` is on a file
/// system that can. The first argument is a directory for what is written there.
const HOST: &str = r#"
set -e
cd "$1"; shift
mkdir upper work
mount -t overlay overlay -o lowerdir=/etc,upperdir="$PWD/upper",workdir="$PWD/work" /etc
mount -t tmpfs tmpfs /usr/src
umask 077
for top in /etc /usr/src; do
    mkdir $top/closed-folder $top/open-folder
    for file in closed closed-folder/file open open-folder/closed open-folder/of-group; do echo "in $file" > $top/$file; done
    chmod 755 $top $top/open-folder
    chmod 644 $top/open $top/closed-folder/file
    chmod 640 $top/open-folder/of-group
done
cd /
exec "$@"
"#;

const READ: &str = r"
import json
told = {}
for top in '/etc/', '/usr/src/':
    for name in 'closed', 'closed-folder/file', 'open', 'open-folder/closed', 'open-folder/of-group':
        try:
            told[top + name] = open(top + name).read().strip()
        except OSError as error:
            told[top + name] = type(error).__name__
print(json.dumps(told))
";

const CLOSED: [&str; 4] = [
    "closed",
    "closed-folder/file",
    "open-folder/closed",
    "open-folder/of-group",
];

/// Whether file systems in memory, as the test's, can be shown as another user's: since Linux 6.3.
fn has_owned_memory() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel's");
    let mut numbers = release.split('.').map(|number| number.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next()) >= (6, 3)
}

#[test]
fn root_reads_of_the_system_what_everybody_may() {
    if !require(Means::Root) || !require(Means::Namespaces) {
        return;
    }
    let Some(world) = World::with([]) else {
        return;
    };
    world.start("demo");
    let read = |number: u32, words: &[&str]| {
        let folder = world.root().join(format!("host-{number}"));
        std::fs::create_dir(&folder).expect("ours");
        let (folder, program) = (folder.to_string_lossy(), world.program().to_string_lossy());
        let host = ["--mount", "sh", "-c", HOST, "sh", &folder, &program];
        let run = ["run", "--env", "demo"];
        let python = ["--", "python", "-c", READ];
        let words = [&host[..], &run, words, &python].concat();
        world.run(world.command("unshare", words)).success().json()
    };
    let inside = read(1, &["--sandbox", "standard"]);
    for top in ["/etc/", "/usr/src/"] {
        assert_eq!(inside[format!("{top}open")], "in open", "{inside}");
        for name in CLOSED {
            let got = inside[format!("{top}{name}")].as_str().expect("text");
            // Where a file system cannot be shown as another's, /etc alone is closed (`docs/security.md`).
            if top == "/etc/" || has_owned_memory() {
                assert!(got.ends_with("Error"), "{top}{name}: {got}");
            } else {
                assert_eq!(got, format!("in {name}"));
            }
        }
    }
    // What is given by name is.
    let given = ["--sandbox", "standard", "--read-only", "/etc/closed-folder"];
    let given = read(
        2,
        &[&given[..], &["--read-only", "/usr/src/closed"]].concat(),
    );
    assert_eq!(given["/etc/closed-folder/file"], "in closed-folder/file");
    assert_eq!(given["/usr/src/closed"], "in closed");
    assert_eq!(given["/etc/closed"], inside["/etc/closed"]);
    let outside = read(3, &["--sandbox", "none"]);
    for top in ["/etc/", "/usr/src/"] {
        for name in CLOSED {
            assert_eq!(outside[format!("{top}{name}")], format!("in {name}"));
        }
    }
}
