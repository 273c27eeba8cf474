//! What the promises of the store cost: opening, looking up, staging many small blobs beside
//! plain file writes, and moving a head.
//!
//! `cargo bench -p blast-store`; `BLAST_BENCH_DIR` says on which file system (default: the
//! temporary directory).

use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use blast_store::{
    Artifact, EnvRecord, Generation, InterpreterRef, Layer, LayerBuilder, OperationDraft,
    OperationKind, Package, Staging, Store,
};
use blast_types::{BlobId, EnvName, Interpreter, LayerId};
use criterion::{Criterion, criterion_group, criterion_main};

#[path = "../tests/it/fixture.rs"]
#[allow(dead_code, reason = "the benches need a part of it")]
mod fixture;

const FILES: usize = 20_000;
const PACKAGES: usize = 100;
const THREADS: usize = 2;

fn dir() -> tempfile::TempDir {
    match std::env::var_os("BLAST_BENCH_DIR") {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    }
    .expect("a temporary directory")
}

fn big_layer() -> LayerBuilder {
    let mut builder = LayerBuilder::new();
    for number in 0..FILES {
        let path = format!(
            "lib/site-packages/package{}/module_{number}.py",
            number % 200
        );
        let blob = BlobId::of(&number.to_le_bytes());
        builder
            .file(&path, 0o644, 1, blob, 4000)
            .expect("a good path");
    }
    builder
}

fn layers(criterion: &mut Criterion) {
    let dir = dir();
    let encoded = big_layer().build();
    let path = dir.path().join("layer");
    fs::write(&path, &encoded.bytes).expect("written");
    criterion.bench_function("layer/open 20k entries", |bench| {
        bench.iter(|| Layer::map(black_box(&path), encoded.id).expect("a layer"));
    });
    let layer = Layer::map(&path, encoded.id).expect("a layer");
    criterion.bench_function("layer/find in 20k entries", |bench| {
        bench.iter(|| layer.find(black_box("lib/site-packages/package77/module_10077.py")));
    });
    criterion.bench_function("layer/verify 20k entries", |bench| {
        bench.iter(|| layer.verify().expect("whole"));
    });
    criterion.bench_function("layer/build 20k entries", |bench| {
        bench.iter(|| big_layer().build());
    });
}

fn opening(criterion: &mut Criterion) {
    criterion.bench_function("store/open fresh home", |bench| {
        bench.iter_custom(|count| {
            let mut total = Duration::ZERO;
            for _ in 0..count {
                let dir = dir();
                let home = dir.path().join("home");
                let start = Instant::now();
                let store = Store::open(&home).expect("opens");
                total += start.elapsed();
                drop(store);
            }
            total
        });
    });
    let dir = dir();
    let home = dir.path().join("home");
    prepare(&Store::open(&home).expect("opens"));
    criterion.bench_function("store/open used home", |bench| {
        bench.iter_custom(|count| {
            let mut total = Duration::ZERO;
            for _ in 0..count {
                let start = Instant::now();
                let store = Store::open(&home).expect("opens");
                total += start.elapsed();
                drop(store);
            }
            total
        });
    });
}

/// Bytes of file `number` of `round`, some 2 kB, never twice the same.
fn small_file(round: usize, number: usize) -> Vec<u8> {
    let mut bytes = format!("# {round} {number}\n").into_bytes();
    bytes.resize(500 + number * 37 % 3000, b'x');
    bytes
}

fn on_threads(body: impl Fn(usize) + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let body = &body;
            scope.spawn(move || (thread..FILES).step_by(THREADS).for_each(body));
        }
    });
}

fn write_plainly(dir: &Path, round: usize) {
    for shard in 0..256 {
        fs::create_dir_all(dir.join(shard.to_string())).expect("a directory");
    }
    on_threads(|number| {
        let path: PathBuf = dir
            .join((number % 256).to_string())
            .join(number.to_string());
        let mut file = fs::File::create(path).expect("a file");
        file.write_all(&small_file(round, number)).expect("written");
    });
}

fn many_blobs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("20k small files, 2 threads");
    group.sample_size(10);
    group.bench_function("plain files", |bench| {
        let mut round = 0;
        bench.iter_custom(|count| {
            timed(count, |dir| {
                round += 1;
                let start = Instant::now();
                write_plainly(dir, round);
                start.elapsed()
            })
        });
    });
    let mut round = 0;
    let mut staged = |count, publish: bool| {
        timed(count, |dir| {
            let store = Store::open(&dir.join("home")).expect("opens");
            let staging = store.stage().expect("a staging");
            round += 1;
            let start = Instant::now();
            on_threads(|number| {
                staging.blob(&small_file(round, number)).expect("a blob");
            });
            let written = start.elapsed();
            if !publish {
                return written;
            }
            let start = Instant::now();
            staging.publish().expect("published");
            start.elapsed()
        })
    };
    group.bench_function("staged", |bench| {
        bench.iter_custom(|count| staged(count, false));
    });
    group.bench_function("publish", |bench| {
        bench.iter_custom(|count| staged(count, true));
    });
    group.finish();
}

fn timed(count: u64, mut body: impl FnMut(&Path) -> Duration) -> Duration {
    let run = |_| {
        let dir = dir();
        body(dir.path())
    };
    (0..count).map(run).sum()
}

fn package(staging: &Staging, number: usize) -> Package {
    let name = format!("package-{number}");
    let mut layer = LayerBuilder::new();
    for file in 0..20 {
        let path = format!("lib/site-packages/{name}/{file}.py");
        layer
            .inline(&path, 0o644, 1, format!("{name} {file}"))
            .expect("a good path");
    }
    Package {
        name: name.parse().expect("a name"),
        version: "1.0".parse().expect("a version"),
        layer: staging.layer(layer).expect("a layer"),
        artifact: Artifact {
            filename: format!("{name}-1.0-py3-none-any.whl"),
            sha256: None,
            built: None,
            url: None,
            index: None,
            captured: false,
        },
        direct_url: None,
        requested: true,
        extras: Vec::new(),
        scheme: "cpython-312".to_owned(),
    }
}

fn generated(staging: &Staging, text: &str) -> LayerId {
    let mut layer = LayerBuilder::new();
    layer
        .inline("pyvenv.cfg", 0o644, 0, text)
        .expect("a good path");
    staging.layer(layer).expect("a layer")
}

fn draft(kind: OperationKind) -> OperationDraft {
    fixture::draft(kind)
}

/// An environment with a hundred packages and two operations.
fn prepare(store: &Store) -> (EnvName, Generation) {
    let interpreter: Interpreter = fixture::interpreter();
    let staging = store.stage().expect("a staging");
    let mut generation = Generation {
        interpreter: InterpreterRef::from(&interpreter),
        prefix: "/prefix".into(),
        packages: (0..PACKAGES)
            .map(|number| package(&staging, number))
            .collect(),
        generated: generated(&staging, "one"),
        captured: Vec::new(),
        requirements: Vec::new(),
        lock: None,
        policy: None,
    };
    let name: EnvName = "demo".parse().expect("a name");
    let record = EnvRecord {
        name: name.clone(),
        project: None,
        variables: BTreeMap::new(),
        interpreter,
        created_ms: 0,
    };
    store
        .create_env(
            record,
            &generation,
            staging,
            draft(OperationKind::Create),
            1,
        )
        .expect("created");
    let staging = store.stage().expect("a staging");
    generation.generated = generated(&staging, "two");
    let transaction = store.begin(&name).expect("there");
    let unpublished = transaction.write(&generation, staging).expect("written");
    unpublished
        .publish(draft(OperationKind::Install), 2)
        .expect("published");
    (name, generation)
}

fn commits(criterion: &mut Criterion) {
    let dir = dir();
    let store = Store::open(&dir.path().join("home")).expect("opens");
    let (name, mut generation) = prepare(&store);
    criterion.bench_function("commit/revert among 100 packages", |bench| {
        bench.iter(|| {
            let now = store.env(&name).expect("read").expect("there").operation;
            let to = store
                .operation(&name, now)
                .expect("read")
                .before
                .expect("not the first");
            let unpublished = store
                .begin(&name)
                .expect("there")
                .select(to)
                .expect("there");
            unpublished
                .publish(draft(OperationKind::Revert { to }), 3)
                .expect("published")
        });
    });
    criterion.bench_function("commit/save a snapshot", |bench| {
        bench.iter(|| {
            let head = store.env(&name).expect("read").expect("there").head;
            let snapshot = "snapshot".parse().expect("a name");
            store
                .save_snapshot(&name, snapshot, head, draft(OperationKind::Capture), 4)
                .expect("saved")
        });
    });
    let mut number = 0;
    criterion.bench_function("commit/new generation of 100 known packages", |bench| {
        bench.iter(|| {
            number += 1;
            let staging = store.stage().expect("a staging");
            generation.generated = generated(&staging, &number.to_string());
            let transaction = store.begin(&name).expect("there");
            let unpublished = transaction.write(&generation, staging).expect("written");
            unpublished
                .publish(draft(OperationKind::Install), 5)
                .expect("published")
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    targets = layers, opening, commits, many_blobs
}
criterion_main!(benches);
