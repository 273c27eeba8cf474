//! The server's work per request, without a mount: what is added to the kernel's round trip.
//!
//! The environment is that of a data scientist: 200 packages, each with a `dist-info`, 30 folders
//! and 210 modules, 45 000 files in all.

use std::hint::black_box;
use std::sync::Arc;

use blast_fs::memory::MemoryContent;
use blast_fs::{Lookup, Server};
use blast_store::{LayerBuilder, TreeNumber};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

const SITE: &str = "lib/python3.12/site-packages";
const PACKAGES: usize = 200;

fn environment() -> (Arc<MemoryContent>, TreeNumber) {
    let content = Arc::new(MemoryContent::new());
    let layers: Vec<_> = (0..PACKAGES)
        .map(|package| {
            let mut builder = LayerBuilder::new();
            let mut add = |path: String| {
                builder
                    .inline(&path, 0o644, 0, *b"x")
                    .expect("a plain path");
            };
            for folder in 0..30 {
                for module in 0..7 {
                    add(format!(
                        "{SITE}/package{package}/folder{folder}/module{module}.py"
                    ));
                }
            }
            for file in ["METADATA", "RECORD", "WHEEL"] {
                add(format!("{SITE}/package{package}-1.0.dist-info/{file}"));
            }
            content.add_layer(builder).expect("a valid layer")
        })
        .collect();
    let tree = content.add_tree(&layers, Some("cpython-312-3531"));
    (content, tree)
}

/// Walks down a path; returns the number of its last node.
fn find(server: &Server, tree: TreeNumber, path: &str) -> u64 {
    let full = format!(".generation/{tree}/{path}");
    full.split('/')
        .fold(1, |at, name| match server.lookup(at, name.as_bytes()) {
            Ok(Lookup::Found(attr)) => attr.ino,
            other => panic!("{name}: {other:?}"),
        })
}

fn bench(criterion: &mut Criterion) {
    let (content, tree) = environment();
    let fresh = || Server::new(Arc::clone(&content) as _);
    let server = fresh();
    let site = find(&server, tree, SITE);
    let folder = find(&server, tree, &format!("{SITE}/package7/folder7"));
    let file = find(
        &server,
        tree,
        &format!("{SITE}/package7/folder7/module0.py"),
    );

    criterion.bench_function("compose site-packages of a new tree", |bencher| {
        bencher.iter_batched(
            fresh,
            |server| find(&server, tree, SITE),
            BatchSize::SmallInput,
        );
    });
    criterion.bench_function(
        "find a module after a restart, by its folder's number",
        |bencher| {
            bencher.iter_batched(
                fresh,
                |server| server.lookup(folder, b"module0.py"),
                BatchSize::SmallInput,
            );
        },
    );
    criterion.bench_function("lookup in site-packages", |bencher| {
        bencher.iter(|| server.lookup(black_box(site), b"package77"));
    });
    criterion.bench_function("lookup in site-packages, absent", |bencher| {
        bencher.iter(|| server.lookup(black_box(site), b"package77.abi3.so"));
    });
    criterion.bench_function("lookup in a folder of one package", |bencher| {
        bencher.iter(|| server.lookup(black_box(folder), b"module3.py"));
    });
    criterion.bench_function("getattr of a file", |bencher| {
        bencher.iter(|| server.getattr(black_box(file)));
    });
    criterion.bench_function("list site-packages", |bencher| {
        bencher.iter(|| {
            let mut count = 0;
            let listed = server.readdir(black_box(site), 0, |_| {
                count += 1;
                false
            });
            (listed, count)
        });
    });
    criterion.bench_function("read a small file", |bencher| {
        let mut buffer = [0; 4096];
        bencher.iter(|| server.read(black_box(file), 0, &mut buffer));
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
