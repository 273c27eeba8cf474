//! Collection takes what nothing uses and nothing else.

use blast_store::{CleanOptions, Count, LayerBuilder, OperationKind, Retention, Store, StoreError};
use blast_types::BlobId;

use crate::fixture::{
    Home, Twin, create, draft, env, install, module_bytes, packages, packages_of, stage_generation,
    stage_package,
};

fn clean(store: &Store, keep_operations: Option<usize>) -> blast_store::CleanReport {
    store
        .clean(&CleanOptions {
            keep_operations,
            ..CleanOptions::default()
        })
        .unwrap()
}

#[test]
fn history_keeps_its_objects_until_it_is_cut() {
    for twin in Twin::BOTH {
        let home = Home::new();
        let store = twin.open(&home.path());
        create(&store, "demo", &[("a", 1)]);
        for version in 2..6 {
            install(&store, "demo", &[("a", version)]);
        }
        assert_eq!(
            clean(&store, None).object_bytes(),
            0,
            "all of it is history"
        );
        let before = store.usage().unwrap();
        let report = clean(&store, Some(1));
        assert_eq!(report.operations, 4);
        assert_eq!(
            (report.blobs.count, report.generations.count),
            (3, 3),
            "before and after stay"
        );
        let after = store.usage().unwrap();
        let freed = |before: Count, after: Count| Count {
            count: before.count - after.count,
            bytes: before.bytes - after.bytes,
        };
        assert_eq!(
            report.blobs,
            freed(before.blobs, after.blobs),
            "bytes are exact"
        );
        assert_eq!(report.layers, freed(before.layers, after.layers));
        assert_eq!(
            report.generations,
            freed(before.generations, after.generations)
        );
        assert_eq!(
            report.journal_bytes,
            before.journal_bytes - after.journal_bytes
        );
        let history: Vec<_> = store
            .operations(&env("demo"))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(history.len(), 1);
        let back = history[0].before.unwrap();
        let undo = store.begin(&env("demo")).unwrap().select(back).unwrap();
        undo.publish(draft(OperationKind::Revert { to: back }), 9)
            .unwrap();
        assert!(store.check(true).unwrap().is_clean());
        drop(store);
        let store = twin.open(&home.path());
        assert_eq!(store.operations(&env("demo")).unwrap().count(), 2);
        assert!(store.check(true).unwrap().is_clean());
    }
}

/// How many operations two equal histories of five keep. The first is of 1500, the others of 2000.
fn left(options: &CleanOptions) -> [usize; 2] {
    let home = Home::new();
    let store = Twin::Memory.open(&home.path());
    for name in ["demo", "other"] {
        create(&store, name, &[("a", 1)]);
        for version in 2..6 {
            install(&store, name, &[("a", version)]);
        }
    }
    let dry = CleanOptions {
        dry_run: true,
        ..options.clone()
    };
    let dry = store.clean(&dry).unwrap();
    let mut told = Vec::new();
    let tell = &mut |done, total| told.push((done, total));
    let mut report = store.clean_observed(options, tell).unwrap();
    let total = report.objects();
    let counted: Vec<_> = (1..=total).map(|done| (done, total)).collect();
    assert_eq!(told, counted, "each object is told of");
    report.dry_run = true;
    assert_eq!(report, dry, "a dry run says the same");
    ["demo", "other"].map(|name| store.operations(&env(name)).unwrap().count())
}

#[test]
fn a_history_is_cut_by_number_or_age_whichever_keeps_more() {
    let keep = |operations, since_ms| CleanOptions {
        keep_operations: operations,
        keep_since_ms: since_ms,
        ..CleanOptions::default()
    };
    for (operations, since_ms, stay) in [
        (None, None, 5),
        (Some(2), None, 2),
        (Some(9), None, 5),
        (None, Some(1500), 5),
        (None, Some(2000), 4),
        (None, Some(2001), 0),
        (Some(2), Some(2001), 2),
        (Some(2), Some(1501), 4),
    ] {
        let said = format!("{operations:?} {since_ms:?}");
        assert_eq!(left(&keep(operations, since_ms)), [stay; 2], "{said}");
    }
    let mut own = keep(Some(1), None);
    let retention = Retention {
        operations: Some(3),
        since_ms: None,
    };
    own.keep_of.insert(env("other"), retention);
    assert_eq!(left(&own), [1, 3]);
}

#[test]
fn a_dry_run_says_the_same_and_does_nothing() {
    let home = Home::new();
    let store = Twin::Memory.open(&home.path());
    create(&store, "demo", &[("a", 1)]);
    store
        .remove_env(&env("demo"), draft(OperationKind::Remove), 2)
        .unwrap();
    let before = store.usage().unwrap();
    let options = CleanOptions {
        dry_run: true,
        ..CleanOptions::default()
    };
    let said = store.clean(&options).unwrap();
    assert!(said.dry_run);
    assert_eq!(store.usage().unwrap(), before);
    let done = clean(&store, None);
    assert_eq!(
        (said.blobs, said.layers, said.operations),
        (done.blobs, done.layers, 1)
    );
    assert_eq!(store.usage().unwrap().blobs.count, 0);
    assert_eq!(store.usage().unwrap().generations.count, 0);
}

#[test]
fn snapshots_and_generations_in_use_are_roots() {
    let home = Home::new();
    let store = Twin::Sled.open(&home.path());
    create(&store, "demo", &[("a", 1)]);
    let demo = env("demo");
    let first = store.envs().unwrap()[0].head;
    store
        .save_snapshot(
            &demo,
            "s".parse().unwrap(),
            first,
            draft(OperationKind::Sync),
            2,
        )
        .unwrap();
    let mounted = install(&store, "demo", &[("b", 1)]).after;
    install(&store, "demo", &[("c", 1)]);
    install(&store, "demo", &[]);
    let tree = store.tree_of(mounted).unwrap();
    let options = CleanOptions {
        keep_operations: Some(0),
        in_use: vec![mounted],
        ..CleanOptions::default()
    };
    let report = store.clean(&options).unwrap();
    assert_eq!(report.blobs.count, 1, "only c");
    assert_eq!(store.operations(&demo).unwrap().count(), 0);
    assert_eq!(
        packages_of(&store.generation(first).unwrap()),
        packages(&[("a", 1)])
    );
    assert_eq!(
        packages_of(&store.generation(mounted).unwrap()),
        packages(&[("b", 1)])
    );
    assert_eq!(
        store.tree(tree.number).unwrap(),
        tree,
        "a mounted tree keeps its number"
    );
    assert!(store.check(true).unwrap().is_clean());
    let operation = install(&store, "demo", &[("d", 1)]);
    assert_eq!(operation.id.0, 6, "numbers go on");
    assert_eq!(store.operations(&demo).unwrap().count(), 1);
}

#[test]
fn what_a_running_staging_relies_on_stays() {
    let home = Home::new();
    let store = Twin::Memory.open(&home.path());
    let ingest = store.stage().unwrap();
    let layer = stage_package(&ingest, "a", 1);
    ingest.publish().unwrap();
    // A second installation finds the blob there and does not write it again.
    let staging = store.stage().unwrap();
    let id = staging.blob(&module_bytes("a", 1)).unwrap();
    let fresh = staging.blob(b"fresh").unwrap();
    let report = clean(&store, None);
    assert_eq!((report.blobs.count, report.layers.count), (0, 1));
    assert!(store.has_blob(id));
    assert!(matches!(
        store.layer(layer),
        Err(StoreError::MissingLayer { .. })
    ));
    staging.publish().unwrap();
    assert!(store.has_blob(fresh), "unpublished blobs are no garbage");
    assert_eq!(
        clean(&store, None).blobs.count,
        2,
        "once it ended, they are"
    );
}

#[test]
fn what_was_published_or_looked_up_stays_while_a_transaction_runs() {
    let home = Home::new();
    let store = Twin::Memory.open(&home.path());
    create(&store, "demo", &[]);
    let transaction = store.begin(&env("demo")).unwrap();
    let ingest = store.stage().unwrap();
    stage_package(&ingest, "a", 1);
    ingest.publish().unwrap();
    assert_eq!(clean(&store, None).object_bytes(), 0);
    let staging = store.stage().unwrap();
    let generation = stage_generation(&staging, &packages(&[("a", 1)]));
    let unpublished = transaction.write(&generation, staging).unwrap();
    assert_eq!(
        clean(&store, None).object_bytes(),
        0,
        "written, not yet published"
    );
    unpublished
        .publish(draft(OperationKind::Install), 3)
        .unwrap();
    assert!(store.check(true).unwrap().is_clean());
}

#[test]
fn bytecode_goes_with_its_layer() {
    let home = Home::new();
    let store = Twin::Sled.open(&home.path());
    create(&store, "demo", &[("a", 1)]);
    let base = store
        .generation(store.envs().unwrap()[0].head)
        .unwrap()
        .packages[0]
        .layer;
    let staging = store.stage().unwrap();
    let mut bytecode = LayerBuilder::new();
    let blob = staging.blob(&[3; 5000]).unwrap();
    bytecode.file("x.pyc", 0o644, 0, blob, 5000).unwrap();
    let bytecode = staging.layer(bytecode).unwrap();
    staging.publish().unwrap();
    store.put_bytecode(base, "tag", bytecode).unwrap();
    assert_eq!(clean(&store, None).object_bytes(), 0);
    assert_eq!(store.bytecode(base, "tag").unwrap(), Some(bytecode));
    store
        .remove_env(&env("demo"), draft(OperationKind::Remove), 2)
        .unwrap();
    clean(&store, None);
    assert_eq!(store.bytecode(base, "tag").unwrap(), None);
    assert!(!store.has_blob(blob));
}

#[test]
fn cleaning_beside_installations_breaks_none() {
    let home = Home::new();
    let store = Twin::Sled.open(&home.path());
    let names = ["one", "two"];
    for name in names {
        create(&store, name, &[]);
    }
    std::thread::scope(|scope| {
        for name in names {
            let store = &store;
            scope.spawn(move || {
                for round in 0..25_u8 {
                    // The same few packages come and go, so that garbage is found again.
                    install(store, name, &[("a", round % 3), ("b", round % 2)]);
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..25 {
                clean(&store, Some(1));
            }
        });
    });
    let report = store.check(true).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    clean(&store, Some(1));
    assert!(store.has_blob(BlobId::of(&module_bytes("a", 0))), "24 % 3");
    assert_eq!(
        std::fs::read_dir(home.path().join("store/staging"))
            .unwrap()
            .count(),
        0
    );
}
