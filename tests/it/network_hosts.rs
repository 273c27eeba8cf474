//! Hosts beside the one that programs run on: they are in a network namespace that the test makes, behind a pair of virtual
//! devices. A program fetches packages there by plain HTTP, as `pip download` does, from a host that is allowed and from no other.

use blast_harness::{Means, Run, Sandbox, WheelSpec, require};

use crate::world::World;

/// The host whose server is allowed in tests.
pub(crate) const HOST: &str = "198.51.100.2";

/// Another one with the same server.
const OTHER_HOST: &str = "198.51.100.3";

/// Begins the hosts with their server, the Python program `$1`, at port 8000, then runs the rest.
const HOSTS: &str = r#"
server=$1; shift
trap 'kill $holder $serving' EXIT
ip link set lo up
unshare --net sleep 600 &
holder=$!
here=$(readlink /proc/self/ns/net)
until [ "$(readlink /proc/$holder/ns/net)" != "$here" ]; do sleep 0.05; done
there() { nsenter --net="/proc/$holder/ns/net" "$@"; }
ip link add outer type veth peer name inner netns "$holder"
ip address add 198.51.100.1/24 dev outer
ip link set outer up
there ip link set lo up
for address in 2 3; do there ip address add "198.51.100.$address/24" dev inner; done
there ip link set inner up
nsenter --net="/proc/$holder/ns/net" python3 -c "$server" >/dev/null 2>&1 &
serving=$!
ask='import socket; socket.create_connection(("127.0.0.1", 8000))'
until there python3 -c "$ask" 2>/dev/null; do sleep 0.05; kill -0 "$serving"; done
"$@"
"#;

/// Runs `blast` beside the hosts, whose server is this Python program. Its daemon, if one runs, must end before: it
/// is of another network.
pub(crate) fn beside_hosts(sandbox: &Sandbox, server: &str, words: &[&str]) -> Run {
    let program = sandbox.program().to_string_lossy();
    let host = [
        "--user",
        "--map-root-user",
        "--net",
        "sh",
        "-ec",
        HOSTS,
        "sh",
        server,
        &program,
    ];
    sandbox.run(sandbox.command("unshare", host.iter().chain(words)))
}

/// Reads the page of a project, takes the first link, checks the wheel that it leads to.
const DOWNLOAD: &str = r##"
import io, re, sys, urllib.request, zipfile
base = "http://%s:8000/" % sys.argv[1]
try:
    page = urllib.request.urlopen(base + "simple/plain/", timeout=20).read().decode()
except OSError:
    print("not reached")
    sys.exit()
link = re.search('href="([^"#]+)', page).group(1)
body = urllib.request.urlopen(base + "simple/plain/" + link, timeout=20).read()
print(link, zipfile.ZipFile(io.BytesIO(body)).testzip())
"##;

fn downloads(mut world: World) {
    world.sandbox.unset("BLAST_SANDBOX");
    world.blast(["kill", "--all"]).success();
    let wheel = WheelSpec::new("plain", "1.0").file("plain.py", "x = 1\n");
    let name = wheel.filename();
    let page = format!("<a href=\"{name}\">{name}</a>");
    world.write("served/simple/plain/index.html", &page);
    world.write(&format!("served/simple/plain/{name}"), wheel.bytes());
    let serve = "import functools, http.server as h\n\
                 handler = functools.partial(h.SimpleHTTPRequestHandler, directory='served')\n\
                 h.ThreadingHTTPServer(('', 8000), handler).serve_forever()\n";
    let download = |allowed: &[&str], from: &str| {
        let all = [
            &["run", "--env", "demo", "--sandbox", "strict"][..],
            allowed,
        ];
        let words = [&all.concat()[..], &["--", "python", "-c", DOWNLOAD, from]].concat();
        beside_hosts(&world, serve, &words).success()
    };
    let target = format!("{HOST}:8000");
    let allowed = ["--allow-net", &target];
    let run = download(&allowed, HOST);
    assert_eq!(run.out(), format!("{name} None"), "{run}");
    for (allowed, from) in [(&allowed[..], OTHER_HOST), (&[], HOST)] {
        let run = download(allowed, from);
        assert_eq!(run.out(), "not reached", "{run}");
        let lesson = format!("blast allow net {from}:8000");
        assert!(run.stderr.contains(&lesson), "{lesson}: {run}");
    }
    beside_hosts(&world, serve, &["kill", "--all", "--force"]);
}

#[test]
fn a_wheel_is_fetched_from_a_host_that_is_allowed_and_from_no_other() {
    if require(Means::Namespaces) && require(Means::Netns) {
        downloads(World::plain([]));
    }
}

#[test]
fn user_fetches_a_wheel_from_a_host_that_is_allowed_and_from_no_other() {
    if require(Means::Namespaces) && require(Means::Netns) {
        World::plain_unprivileged([])
            .into_iter()
            .for_each(downloads);
    }
}
