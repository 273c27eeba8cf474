//! The view against a plain virtual environment: what a program sees must be the same.

use std::fs;

use blast_harness::{Run, WheelSpec};

use crate::world::World;

/// A wheel with one of everything that an installer places.
fn everything() -> WheelSpec {
    WheelSpec::simple("my-demo", "1.0")
        .file("my_demo/cli.py", "def main():\n    print('cli')\n")
        .file("my_demo/data/table.csv", "a,b\n1,2\n")
        .file("single_module.py", "x = 1\n")
        .executable("my_demo/tool.sh", "#!/bin/sh\necho tool\n")
        .data("share/my-demo/readme.txt", "read me\n")
        .data("etc/my-demo.conf", "x=1\n")
        .header("my_demo.h", "#define X 1\n")
        .script("my-script", "#!python\nprint('script')\n")
        .script("my-shell-script", "#!/bin/sh\necho shell\n")
        .entry_point("my-demo", "my_demo.cli:main")
        .gui_script("my-demo-gui", "my_demo.cli:main")
        .extra("more", &["nothing-at-all"])
}

/// What a program can ask of its environment, as text with the prefix taken out.
const PROBE: &str = r"
import importlib.metadata as m, importlib.util, os, sys, sysconfig
# What each installer leaves of its own, and bytecode, which comes when it comes.
OWN = {'INSTALLER', 'RECORD', 'REQUESTED', 'direct_url.json'}
prefix = sys.prefix
short = lambda path: str(path).replace(prefix, '<prefix>')
print(sys.version_info[:2], sys.prefix != sys.base_prefix)
for key, path in sorted(sysconfig.get_paths().items()):
    print(key, short(path))
print([short(p) for p in sys.path if p.startswith(prefix)])
dist = m.distribution('my-demo')
print(dist.version, sorted(dist.metadata.get_all('Provides-Extra')))
print(sorted((e.group, e.name, e.value) for e in dist.entry_points))
for file in sorted(map(str, dist.files)):
    name = os.path.basename(file)
    if '__pycache__' in file:
        continue
    path = dist.locate_file(file)
    state = os.stat(path)
    print(file, 'own' if name in OWN else state.st_size if not '/bin/' in file else '', oct(state.st_mode & 0o111))
print(short(importlib.util.find_spec('my_demo').origin))
print(short(importlib.util.find_spec('single_module').origin))
for script in ('my-demo', 'my-demo-gui', 'my-script', 'my-shell-script'):
    print(script, os.popen(os.path.join(prefix, 'bin', script)).read().strip())
";

#[test]
fn a_program_sees_what_it_would_see_in_a_plain_environment() {
    let Some(world) = World::started([]) else {
        return;
    };
    let wheel = everything().write_to(&world.wheels());
    world.install("demo", &[&wheel.to_string_lossy()]).success();
    let plain = world.project().join("plain");
    let python = world.python().executable.clone();
    world
        .run(world.command(&python, ["-m".as_ref(), "venv".as_ref(), plain.as_os_str()]))
        .success();
    let pip = [
        "-m",
        "pip",
        "install",
        "-q",
        "--no-index",
        "--disable-pip-version-check",
    ];
    let words = pip
        .iter()
        .map(std::ffi::OsStr::new)
        .chain([wheel.as_os_str()]);
    world
        .run(world.command(plain.join("bin/python"), words))
        .success();

    let probe = |run: Run| run.success().stdout;
    let ours = probe(world.python_in("demo", PROBE));
    let theirs = probe(world.run(world.command(plain.join("bin/python"), ["-c", PROBE])));
    assert_eq!(ours, theirs);
}

#[test]
fn the_record_is_true_of_what_the_view_shows() {
    let Some(world) = World::started([]) else {
        return;
    };
    let wheel = everything().write_to(&world.wheels());
    world.install("demo", &[&wheel.to_string_lossy()]).success();
    let code = r"
import base64, csv, hashlib, importlib.metadata as m
dist = m.distribution('my-demo')
seen = 0
for name, digest, size in csv.reader(dist.read_text('RECORD').splitlines()):
    body = dist.locate_file(name).read_bytes()
    if digest:
        kind, _, want = digest.partition('=')
        have = base64.urlsafe_b64encode(hashlib.new(kind, body).digest()).rstrip(b'=').decode()
        assert (have, len(body)) == (want, int(size)), name
        seen += 1
print(seen, dist.read_text('INSTALLER').strip())
";
    let told = world.python_in("demo", code).success();
    let (seen, installer) = told.out().split_once(' ').expect("two words");
    assert!(seen.parse::<u32>().expect("a count") >= 12, "{told}");
    assert_eq!(installer, "blast");
}

#[test]
fn an_empty_prefix_holds_what_a_plain_environment_holds() {
    let Some(world) = World::started([]) else {
        return;
    };
    world.show("demo");
    let mut found: Vec<String> = fs::read_dir(world.live().join("demo"))
        .expect("the view shows the prefix")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    found.sort();
    found.retain(|name| name != "lib64"); // a link that plain environments have on 64 bits
    found.retain(|name| name != ".blast"); // the pip that plain environments have elsewhere
    assert_eq!(found, [".gitignore", "bin", "include", "lib", "pyvenv.cfg"]);
}
