//! What a command costs does not grow with what it does not touch: other environments, a long history,
//! a layer of many entries, a store of many blobs.
//!
//! Homes are written straight into the store, so that big ones are made quickly; `make scale` makes them as
//! big as they get and prints figures, `make test` makes small ones. Asserted is what the daemon
//! had to read, never how long it took.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use blast_harness::{Means, Sandbox, require};
use blast_store::{
    Artifact, EnvRecord, Generation, LayerBuilder, OperationDraft, OperationKind, Package, Staging,
    Store,
};
use blast_types::{BlobId, EnvName};

use crate::world::sandbox;

/// `make scale`: everything in full, and figures.
const FULL: &str = "BLAST_TEST_SCALE";
/// Packages of each environment, modules of each package.
const PACKAGES: usize = 100;
const MODULES: usize = 8;
/// Most other names of one file (ext4 has 65,000).
const LINKS: usize = 60_000;
/// The environment whose commands are measured; it exists in each home.
const PROBE: &str = "probe";
/// Long enough that the daemon has given back what it kept (`daemon/quiet.rs`).
const REST: Duration = Duration::from_secs(30);
const FIRST_OPENING: &str = "opening what was written";
const OPENING: &str = "daemon and first list";
const MOUNTING: &str = "mount and first stat";
const MOST_TO_OPEN_BYTES: u64 = 16_000_000;
const RESTING: &str = "30 s of rest";
/// What sled reads for each record when it opens for the first time since that was written.
const SLED_BYTES: u64 = 4096;
const MOST_IDLE_BYTES: u64 = 60_000_000;

/// What a home has beside the environment that is measured.
#[derive(Debug, Clone, Copy)]
struct Size {
    environments: usize,
    operations: usize,
    entries: usize,
    blobs: usize,
}

const NOTHING: Size = Size {
    environments: 0,
    operations: 2,
    entries: 1,
    blobs: 0,
};
const MUCH: Size = Size {
    environments: 60,
    operations: 300,
    entries: 5_000,
    blobs: 5_000,
};
const ALL: Size = Size {
    environments: 1_000,
    operations: 10_000,
    entries: 100_000,
    blobs: 2_000_000,
};

fn draft(kind: OperationKind) -> OperationDraft {
    OperationDraft {
        kind,
        command: vec!["blast".to_owned()],
        who: "tester".to_owned(),
        started_ms: 1_000,
        note: None,
    }
}

fn package(staging: &Staging, number: usize, version: u8, modules: usize) -> Package {
    let name = format!("package-{number}");
    let text = format!("VALUE = {number}\n").repeat(40);
    let blob = staging.blob(text.as_bytes()).expect("a blob");
    let mut layer = LayerBuilder::new();
    for module in 0..modules {
        let path = format!("lib/python3/site-packages/package_{number}/v{version}_{module}.py");
        layer
            .file(&path, 0o644, 7, blob, text.len() as u64)
            .expect("a path");
    }
    Package {
        name: name.parse().expect("a package name"),
        version: format!("{version}.0").parse().expect("a version"),
        layer: staging.layer(layer).expect("a layer"),
        artifact: Artifact {
            filename: format!("package_{number}-{version}.0-py3-none-any.whl"),
            sha256: None,
            built: None,
            url: None,
            index: None,
            captured: false,
        },
        direct_url: None,
        requested: true,
        extras: Vec::new(),
        scheme: "scale".to_owned(),
    }
}

/// Fills a home in which the environment `probe` was just made.
fn fill(home: &Path, size: Size) {
    let store = Store::open(home).expect("the daemon has ended");
    let probe: EnvName = PROBE.parse().expect("a name");
    let state = store.env(&probe).expect("readable").expect("it was made");
    let empty = store.generation(state.head).expect("it is there");
    let staging = store.stage().expect("a staging");
    let packages: Vec<_> = (0..PACKAGES)
        .map(|number| package(&staging, number, 1, MODULES))
        .collect();
    let other = package(&staging, 0, 2, MODULES);
    let wide = package(&staging, PACKAGES, 1, size.entries);
    staging.publish().expect("stored");
    let with = |packages: Vec<Package>| Generation {
        packages,
        ..Generation::clone(&empty)
    };
    let mut changed = packages.clone();
    changed[0] = other;
    let states = [with(packages.clone()), with(changed)];
    let mut ids = Vec::new();
    for operation in 0..size.operations {
        let transaction = store.begin(&probe).expect("it is there");
        let unpublished = if let Some(&id) = ids.get(operation % 2) {
            transaction.select(id).expect("it was written")
        } else {
            let staging = store.stage().expect("a staging");
            let written = transaction
                .write(&states[operation % 2], staging)
                .expect("written");
            ids.push(written.generation());
            written
        };
        unpublished
            .publish(draft(OperationKind::Install), 2_000)
            .expect("nobody else is at it");
    }
    for number in 0..size.environments {
        let record = EnvRecord {
            name: format!("other-{number}").parse().expect("a name"),
            project: None,
            ..state.record.clone()
        };
        let mut packages = packages.clone();
        packages.rotate_left(number % PACKAGES);
        if number == 0 {
            packages.push(wide.clone());
        }
        let mut generation = with(packages);
        generation.requirements = vec![format!("number-{number}")];
        let staging = store.stage().expect("a staging");
        store
            .create_env(
                record,
                &generation,
                staging,
                draft(OperationKind::Create),
                1_500,
            )
            .expect("it is new");
    }
    store.rest().expect("written");
    blobs(&store, home, size.blobs);
}

/// Files with names of blobs, which nothing refers to; all are names of a few files.
fn blobs(store: &Store, home: &Path, count: usize) {
    let mut file = home.join("store/none");
    for number in 0..count {
        if number % LINKS == 0 {
            file = home.join(format!("store/file-{}", number / LINKS));
            fs::write(&file, "").expect("written");
        }
        let path = store.blob_path(BlobId::of(&number.to_le_bytes()));
        if fs::hard_link(&file, &path).is_err() {
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::hard_link(&file, &path).expect("linked");
        }
    }
}

/// What one thing cost.
#[derive(Debug, Clone, Copy)]
struct Cost {
    /// Calls of the daemon that read from files or sockets (`syscr` of `proc_pid_io(5)`).
    reads: u64,
    /// Bytes that they read.
    bytes: u64,
    took: Duration,
}

fn reads(pid: i32) -> (u64, u64) {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).expect("it runs");
    let number = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
            .expect("there")
    };
    (number("syscr:"), number("rchar:"))
}

fn memory(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("it runs");
    let kib = |name: &str| -> u64 {
        text.lines()
            .filter_map(|line| line.strip_prefix(name))
            .filter_map(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())
            .sum()
    };
    (kib("Private_Clean:") + kib("Private_Dirty:") + kib("Shared_Clean:") + kib("Shared_Dirty:"))
        * 1024
}

/// What each command costs in a home of this size, by its name; the daemon was just started.
fn measure(sandbox: &Sandbox, size: Size, rest: bool) -> Vec<(&'static str, Cost)> {
    sandbox.write(
        "pyproject.toml",
        "[project]\nname = \"scaled\"\nversion = \"1\"\n",
    );
    let words = ["start", PROBE, "--shell", "bash", "--path", "."];
    sandbox.blast_in(&sandbox.project(), words).success();
    sandbox.blast(["kill", "--all"]).success();
    let began = Instant::now();
    fill(&sandbox.blast_home(), size);
    sandbox.note(&format!("{size:?}: made in {:.1?}", began.elapsed()));
    let mut costs = Vec::new();
    // Starts the daemon, which opens the store: first what was written behind its back, then what it knows.
    let mut open = |name| {
        let began = Instant::now();
        sandbox.blast(["list", "--env", PROBE]).success();
        let pid = sandbox.daemon().expect("it was started");
        let (reads, bytes) = reads(pid);
        let took = began.elapsed();
        costs.push((name, Cost { reads, bytes, took }));
        pid
    };
    open(FIRST_OPENING);
    if rest {
        std::thread::sleep(REST);
    }
    sandbox.blast(["kill", "--all"]).success();
    let pid = open(OPENING);
    let mut step = |name, act: &dyn Fn()| {
        let (before, began) = (reads(pid), Instant::now());
        act();
        let took = began.elapsed();
        let after = reads(pid);
        let cost = Cost {
            reads: after.0 - before.0,
            bytes: after.1 - before.1,
            took,
        };
        costs.push((name, cost));
    };
    let blast = |words: &[&str]| {
        sandbox.blast(words).success();
    };
    step("list", &|| blast(&["list", "--env", PROBE]));
    let project = sandbox.project();
    step("list of a project", &|| {
        sandbox.blast_in(&project, ["list"]).success();
    });
    step("start", &|| blast(&["start", "new", "--shell", "bash"]));
    step(MOUNTING, &|| {
        blast(&["view", PROBE]);
        let module = "lib/python3/site-packages/package_7/v1_0.py";
        fs::metadata(sandbox.live().join(PROBE).join(module)).expect("it is shown");
    });
    step("revert", &|| blast(&["revert", "--env", PROBE]));
    step("redo", &|| blast(&["redo", "--env", PROBE]));
    step("status", &|| blast(&["status", "--env", PROBE]));
    if rest {
        step(RESTING, &|| std::thread::sleep(REST));
    }
    sandbox.note(&format!("memory of the daemon: {} KB", memory(pid) / 1000));
    if rest {
        assert!(memory(pid) < MOST_IDLE_BYTES, "an idle daemon is small");
    }
    costs
}

#[test]
fn what_is_not_touched_costs_nothing() {
    if !require(Means::Mount) {
        return;
    }
    let full = std::env::var_os(FULL).is_some();
    let [Some(small), Some(big)] = [sandbox(), sandbox()] else {
        return;
    };
    let much = if full { ALL } else { MUCH };
    let environments = much.environments as u64;
    let records = environments + much.operations as u64;
    let few = measure(&small, NOTHING, full);
    let many = measure(&big, much, full);
    small.note(&format!(
        "{:<24} {:>22} {:>22}",
        "reads, KB, ms", "small", "big"
    ));
    for ((name, few), (_, many)) in few.iter().zip(&many) {
        let cell = |cost: &Cost| {
            let Cost { reads, bytes, took } = cost;
            format!("{reads} {} {:.1}", bytes / 1000, took.as_secs_f64() * 1e3)
        };
        small.note(&format!("{name:<24} {:>22} {:>22}", cell(few), cell(many)));
    }
    for ((name, few), (_, many)) in few.iter().zip(&many) {
        let said = format!("{name}: {few:?} in a small home, {many:?} in a big one");
        match *name {
            // sled looks once through what was written since it was opened last.
            FIRST_OPENING => assert!(
                many.bytes <= few.bytes + MOST_TO_OPEN_BYTES + records * SLED_BYTES,
                "{said}"
            ),
            // Opening looks through the write-ahead log, whose size has a limit.
            OPENING => assert!(many.bytes <= few.bytes + MOST_TO_OPEN_BYTES, "{said}"),
            // Each environment is looked up, to be named in the view.
            MOUNTING => assert!(
                many.reads <= few.reads * 2 + 20 + 2 * environments,
                "{said}"
            ),
            // Once in the life of a daemon it is looked whether each environment's generation has a copy.
            RESTING => assert!(
                many.reads <= few.reads * 2 + 20 + 10 * environments,
                "{said}"
            ),
            // A page of the index more or less, by what was looked up before.
            _ => assert!(many.reads <= few.reads * 2 + 20, "{said}"),
        }
    }
}
