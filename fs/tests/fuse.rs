//! What programs see in a mounted view, and what the kernel asks for it.
//!
//! Names start with `fuse_`, so that these tests can be run apart. They need `/dev/fuse` (and, for who
//! is not root, `fusermount3`), and say so where they skip.

#![allow(clippy::unwrap_used, reason = "tests")]

mod mounted;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use blast_store::{LayerBuilder, LayerNumber, TreeNumber};
use mounted::{Mount, list, name, read, wait_until};

const TAG: &str = "cpython-312-3531";

/// A small environment: two packages in one `site-packages`, their bytecode, a script, big bytes.
fn environment(mount: &Mount) -> (TreeNumber, Vec<u8>) {
    const SITE: &str = "lib/python3.12/site-packages";
    let big: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let blob = mount.content.add_blob(&big).unwrap();
    let head = mount.content.add_blob(b"flask/__init__.py,,\n").unwrap();
    let mut builder = LayerBuilder::new();
    let at = |path: &str| format!("{SITE}/{path}");
    builder
        .inline(&at("flask/__init__.py"), 0o644, 1, *b"import json")
        .unwrap();
    builder
        .inline(&at("flask/json/__init__.py"), 0o644, 1, *b"")
        .unwrap();
    builder
        .file(&at("flask/_big.so"), 0o755, 1, blob, big.len() as u64)
        .unwrap();
    builder
        .extended(
            &at("flask.dist-info/RECORD"),
            0o644,
            1,
            head,
            20,
            *b"bin/flask,,\n",
        )
        .unwrap();
    let flask = mount.content.add_layer(builder).unwrap();
    let compiled = mount.layer(&[
        (&at("flask/__pycache__/__init__.cpython-312.pyc"), "pyc"),
        (
            &at("flask/json/__pycache__/__init__.cpython-312.pyc"),
            "pyc",
        ),
    ]);
    mount.content.decide_bytecode(flask, Some(compiled));
    let click = mount.layer(&[(&at("click/__init__.py"), "pass"), (&at("six.py"), "six")]);
    let mut scripts = LayerBuilder::new();
    scripts
        .inline("bin/hello", 0o755, 1, *b"#!/bin/sh\necho hello $1\n")
        .unwrap();
    scripts.symlink("bin/sh", "/bin/sh").unwrap();
    let scripts = mount.content.add_layer(scripts).unwrap();
    (
        mount.content.add_tree(&[flask, click, scripts], Some(TAG)),
        big,
    )
}

/// Touches files as an import does: listings, stats of what is not there, stats, reads.
fn import(site: &Path) {
    for package in ["flask", "flask/json", "click"] {
        let folder = site.join(package);
        list(&folder);
        for suffix in [".cpython-312-x86_64-linux-gnu.so", ".abi3.so", ".so"] {
            assert!(!folder.join(format!("__init__{suffix}")).exists());
        }
        assert!(folder.join("__init__.py").metadata().unwrap().is_file());
        match fs::read(folder.join("__pycache__/__init__.cpython-312.pyc")) {
            Ok(bytes) => assert_eq!(bytes, b"pyc"),
            Err(_) => drop(read(folder.join("__init__.py"))),
        }
    }
    assert_eq!(list(site).len(), 4);
    assert_eq!(read(site.join("six.py")), "six");
    assert_eq!(
        fs::read_link(site.join("../../../bin/sh")).unwrap(),
        Path::new("/bin/sh")
    );
}

#[test]
fn fuse_files_are_as_their_layers_say() {
    let Some(mount) = Mount::new() else { return };
    let (tree, big) = environment(&mount);
    mount.show("demo", tree);
    let site = mount.path("demo/lib/python3.12/site-packages");
    assert!(
        fs::read(site.join("flask/_big.so")).unwrap() == big,
        "3 MB differ"
    );
    assert_eq!(
        read(site.join("flask.dist-info/RECORD")),
        "flask/__init__.py,,\nbin/flask,,\n"
    );
    let meta = site.join("flask/_big.so").metadata().unwrap();
    assert_eq!(
        (
            meta.permissions().mode() & 0o7777,
            meta.nlink(),
            meta.mtime()
        ),
        (0o755, 1, 1)
    );
    assert_eq!((meta.len(), meta.blocks()), (3_000_000, 5860));
    assert_eq!(meta.uid(), nix::unistd::getuid().as_raw());
    let output = Command::new(mount.path("demo/bin/hello"))
        .arg("world")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "hello world\n");
    let file = File::open(site.join("flask/_big.so")).unwrap();
    let mut window = [0; 4096];
    file.read_exact_at(&mut window, 2_000_001).unwrap();
    assert!(window[..] == big[2_000_001..][..4096]);
}

#[test]
fn fuse_nothing_can_be_written() {
    let Some(mount) = Mount::new() else { return };
    let (tree, _) = environment(&mount);
    mount.show("demo", tree);
    let demo = mount.path("demo");
    let refusals = [
        fs::write(demo.join("new"), "x").unwrap_err(),
        fs::write(demo.join("bin/hello"), "x").unwrap_err(),
        fs::create_dir(demo.join("lib/new")).unwrap_err(),
        fs::remove_file(demo.join("bin/hello")).unwrap_err(),
        fs::rename(demo.join("bin"), demo.join("nib")).unwrap_err(),
        fs::remove_file(&demo).unwrap_err(),
    ];
    for error in refusals {
        assert_eq!(
            error.raw_os_error(),
            Some(nix::errno::Errno::EROFS as i32),
            "{error}"
        );
    }
}

#[test]
fn fuse_a_warm_import_asks_nothing() {
    let Some(mount) = Mount::new() else { return };
    let (tree, _) = environment(&mount);
    mount.show("demo", tree);
    let site = mount.path("demo/lib/python3.12/site-packages");
    import(&site);
    let cold = mount.view().counters();
    assert!(cold["lookup"] > 0 && cold["read"] > 0);
    import(&site);
    assert_eq!(mount.requests_since(&cold), BTreeMap::new());
    // The refusals are sticky: once per mount at most.
    for op in ["open", "opendir", "flush", "access", "xattr"] {
        assert!(cold[op] <= 1, "{op}: {}", cold[op]);
    }
}

#[test]
fn fuse_environments_with_one_layer_share_its_pages() {
    let Some(mount) = Mount::new() else { return };
    let (tree, _) = environment(&mount);
    mount.show("one", tree);
    let layers = [LayerNumber(1), LayerNumber(3)];
    mount.show("two", mount.content.add_tree(&layers, Some(TAG)));
    let file = "lib/python3.12/site-packages/flask/_big.so";
    let inode = |environment: &str| mount.path(environment).join(file).metadata().unwrap().ino();
    assert_eq!(inode("one"), inode("two"));
    let folder = |environment: &str| {
        mount
            .path(environment)
            .join("lib")
            .metadata()
            .unwrap()
            .ino()
    };
    assert_ne!(folder("one"), folder("two"));
    fs::read(mount.path("one").join(file)).unwrap();
    let before = mount.view().counters();
    fs::read(mount.path("two").join(file)).unwrap();
    assert!(
        !mount.requests_since(&before).contains_key("read"),
        "its bytes were read twice"
    );
}

#[test]
fn fuse_a_swap_is_seen_at_the_next_look() {
    let Some(mount) = Mount::new() else { return };
    let trees = [
        mount.tree(&[("marker", "0"), ("pkg/old.py", "")]),
        mount.tree(&[("marker", "1"), ("pkg/new.py", "")]),
    ];
    mount.show("demo", trees[0]);
    let times: Vec<_> = [0, 1]
        .map(|at: usize| {
            mount.show("demo", trees[at]);
            assert_eq!(read(mount.path("demo/marker")), at.to_string());
            mount
                .path("demo/pkg")
                .metadata()
                .unwrap()
                .modified()
                .unwrap()
        })
        .into();
    assert_ne!(times[0], times[1], "Python would not list the folder again");
    for round in 0..200_usize {
        mount.show("demo", trees[round % 2]);
        assert_eq!(
            read(mount.path("demo/marker")),
            (round % 2).to_string(),
            "round {round}"
        );
        let module = ["old.py", "new.py"][round % 2];
        assert_eq!(list(mount.path("demo/pkg")), [module]);
    }
}

#[test]
fn fuse_readers_never_see_a_missing_or_mixed_environment() {
    let Some(mount) = Mount::new() else { return };
    let trees: Vec<_> = ["0", "1"]
        .map(|text| mount.tree(&[("a/marker", text), ("b/marker", text), ("c", "same")]))
        .into();
    mount.show("demo", trees[0]);
    let stop = AtomicBool::new(false);
    let reads = AtomicU32::new(0);
    let reader = || {
        while !stop.load(Ordering::Relaxed) {
            let pinned = fs::canonicalize(mount.path("demo")).unwrap();
            assert_eq!(read(pinned.join("a/marker")), read(pinned.join("b/marker")));
            assert_eq!(read(mount.path("demo/c")), "same");
            assert_eq!(list(mount.path("demo")), ["a", "b", "c"]);
            reads.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        let readers: Vec<_> = (0..4).map(|_| scope.spawn(reader)).collect();
        let start = Instant::now();
        let mut swaps = 0_usize;
        let finished = || readers.iter().any(thread::ScopedJoinHandle::is_finished);
        // A reader that is finished has failed.
        while (reads.load(Ordering::Relaxed) < 200 || swaps < 200) && !finished() {
            mount.show("demo", trees[swaps % 2]);
            swaps += 1;
            // Swaps without a pause would let no reader through to the name.
            thread::sleep(Duration::from_micros(200));
            assert!(
                start.elapsed() < Duration::from_mins(1),
                "the readers do not get on"
            );
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn fuse_a_swap_costs_one_notification() {
    let Some(mount) = Mount::new() else { return };
    let (first, second) = (mount.tree(&[("m", "1")]), mount.tree(&[("m", "2")]));
    mount.show("demo", first);
    read(mount.path("demo/m"));
    let before = mount.view().counters();
    mount.show("demo", second);
    assert_eq!(
        mount.requests_since(&before),
        BTreeMap::from([("invalidate-entry", 1)])
    );
    mount.show("demo", second);
    assert_eq!(
        mount.requests_since(&before),
        BTreeMap::from([("invalidate-entry", 1)])
    );
}

#[test]
fn fuse_who_stands_in_the_old_tree_stays_there() {
    let Some(mount) = Mount::new() else { return };
    mount.show("demo", mount.tree(&[("pkg/marker", "old")]));
    let mut child = Command::new("sh")
        .args(["-c", "read go; cat marker; echo; ls; cat ../pkg/marker"])
        .current_dir(mount.path("demo/pkg"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    mount.show(
        "demo",
        mount.tree(&[("pkg/marker", "new"), ("pkg/more", "")]),
    );
    assert_eq!(read(mount.path("demo/pkg/marker")), "new");
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "old\nmarker\nold"
    );
}

#[test]
fn fuse_environments_come_and_go_at_once() {
    let Some(mount) = Mount::new() else { return };
    let tree = mount.tree(&[("m", "here")]);
    assert!(!mount.path("demo").exists());
    assert_eq!(list(mount.live()), [""; 0]);
    mount.show("demo", tree);
    assert_eq!(read(mount.path("demo/m")), "here");
    assert_eq!(list(mount.live()), ["demo"]);
    mount.show("other", tree);
    assert_eq!(list(mount.live()), ["demo", "other"]);
    mount.view().remove_environment(&name("demo"));
    assert!(fs::symlink_metadata(mount.path("demo")).is_err());
    assert_eq!(list(mount.live()), ["other"]);
    assert_eq!(
        fs::read_link(mount.path("other")).unwrap(),
        Path::new(".generation/1")
    );
    assert_eq!(
        mount.view().environments(),
        BTreeMap::from([(name("other"), tree)])
    );
}

#[test]
fn fuse_bytecode_appears_when_it_is_ready() {
    let Some(mount) = Mount::new() else { return };
    let layer = mount.layer(&[("pkg/__init__.py", "source")]);
    mount.content.expect_bytecode(layer);
    mount.show("demo", mount.content.add_tree(&[layer], Some(TAG)));
    let pyc = mount.path("demo/pkg/__pycache__/__init__.cpython-312.pyc");
    for _ in 0..2 {
        assert!(!pyc.exists());
        assert_eq!(list(mount.path("demo/pkg")), ["__init__.py"]);
    }
    assert!(mount.content.wanted().contains(&layer));
    let companion = mount.layer(&[("pkg/__pycache__/__init__.cpython-312.pyc", "compiled")]);
    mount.content.decide_bytecode(layer, Some(companion));
    mount.view().bytecode_ready(layer);
    assert_eq!(read(&pyc), "compiled");
    assert_eq!(list(mount.path("demo/pkg")), ["__init__.py", "__pycache__"]);
    let before = mount.view().counters();
    assert_eq!(read(&pyc), "compiled");
    assert_eq!(mount.requests_since(&before), BTreeMap::new());
}

#[test]
fn fuse_retired_trees_leave_unless_somebody_is_in_them() {
    let Some(mount) = Mount::new() else { return };
    let (old, new) = (
        mount.tree(&[("pkg/m", "old")]),
        mount.tree(&[("pkg/m", "new")]),
    );
    mount.show("demo", old);
    let mut open = File::open(mount.path("demo/pkg/m")).unwrap();
    mount.show("demo", new);
    assert_eq!(read(mount.path("demo/pkg/m")), "new");
    let uses = |tree| mount.view().trees_in_use().contains(&tree);
    mount.view().retire(new);
    mount.view().retire(old);
    thread::sleep(Duration::from_millis(50));
    assert!(uses(new), "the head of an environment is never retired");
    assert!(uses(old), "a file of it is open");
    let mut text = String::new();
    open.read_to_string(&mut text).unwrap();
    assert_eq!(text, "old");
    drop(open);
    wait_until("the old tree is out of use", || {
        mount.view().retire(old);
        !uses(old)
    });
    assert_eq!(
        read(mount.path(".generation/1/pkg/m")),
        "old",
        "it can still be named"
    );
}
