//! Environments, transactions, snapshots, wheels.

use blast_store::{
    Changes, LayerBuilder, OperationId, OperationKind, PublishError, StoreError, WheelKey,
    WheelRecord,
};
use blast_types::{BlobId, LayerId, Sha256, SnapshotName};

use crate::fixture::{
    Home, Twin, create, draft, env, install, packages, record, stage_generation, stage_package,
};

fn snapshot(name: &str) -> SnapshotName {
    name.parse().unwrap()
}

#[test]
fn an_operation_says_what_it_changed() {
    for twin in Twin::BOTH {
        let home = Home::new();
        let store = twin.open(&home.path());
        create(&store, "demo", &[("a", 1), ("b", 1)]);
        let operation = install(&store, "demo", &[("b", 2), ("c", 1)]);
        let names = |changes: &[blast_store::PackageChange]| {
            let name = |change: &blast_store::PackageChange| change.name.to_string();
            changes.iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(names(&operation.changes.added), ["c"]);
        assert_eq!(names(&operation.changes.removed), ["a"]);
        assert_eq!(names(&operation.changes.changed), ["b"]);
        assert_eq!(operation.id, OperationId(2));
        assert_eq!(operation.duration_ms, 1_000);
        assert_eq!(
            store.operation(&env("demo"), OperationId(2)).unwrap(),
            operation
        );
        let history: Vec<_> = store
            .operations(&env("demo"))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(history.len(), 2);
        assert_eq!(history[0], operation);
        assert_eq!(history[1].kind, OperationKind::Create);
        assert_eq!(history[1].before, None);
        assert_eq!(Some(history[1].after), operation.before);
        let missing = store.operation(&env("demo"), OperationId(3)).unwrap_err();
        assert!(
            matches!(missing, StoreError::NoSuchOperation { .. }),
            "{missing}"
        );
    }
}

#[test]
fn the_second_of_two_transactions_from_one_head_is_a_conflict() {
    for twin in Twin::BOTH {
        let home = Home::new();
        let store = twin.open(&home.path());
        create(&store, "demo", &[]);
        let begun = store.begin(&env("demo")).unwrap();
        let first = install(&store, "demo", &[("a", 1)]);
        let staging = store.stage().unwrap();
        let generation = stage_generation(&staging, &packages(&[("b", 1)]));
        let unpublished = begun.write(&generation, staging).unwrap();
        let error = unpublished
            .publish(draft(OperationKind::Install), 3_000)
            .unwrap_err();
        let PublishError::Conflict {
            found, expected, ..
        } = error
        else {
            panic!("{error}")
        };
        assert_eq!(Some(expected), first.before);
        assert_eq!(found, Some(first.after));
        assert_eq!(store.env(&env("demo")).unwrap().unwrap().head, first.after);
        assert_eq!(store.operations(&env("demo")).unwrap().count(), 2);
    }
}

#[test]
fn an_environment_made_anew_conflicts_with_work_begun_on_the_old_one() {
    let home = Home::new();
    let store = Twin::Memory.open(&home.path());
    create(&store, "demo", &[]);
    let head = store.envs().unwrap()[0].head;
    let unpublished = store.begin(&env("demo")).unwrap().select(head).unwrap();
    store
        .remove_env(&env("demo"), draft(OperationKind::Remove), 2_000)
        .unwrap();
    create(&store, "demo", &[]);
    assert_eq!(
        store.envs().unwrap()[0].head,
        head,
        "equal environments have equal names"
    );
    let error = unpublished
        .publish(draft(OperationKind::Install), 3_000)
        .unwrap_err();
    assert!(matches!(error, PublishError::Conflict { .. }), "{error}");
}

#[test]
fn discarding_leaves_the_head_where_it_was() {
    let home = Home::new();
    let store = Twin::Memory.open(&home.path());
    create(&store, "demo", &[]);
    let before = store.env(&env("demo")).unwrap();
    let transaction = store.begin(&env("demo")).unwrap();
    let staging = store.stage().unwrap();
    let generation = stage_generation(&staging, &packages(&[("a", 1)]));
    transaction.write(&generation, staging).unwrap().discard();
    assert_eq!(store.env(&env("demo")).unwrap(), before);
}

#[test]
fn reverting_selects_a_generation_and_is_an_operation() {
    let home = Home::new();
    let store = Twin::Sled.open(&home.path());
    create(&store, "demo", &[("a", 1)]);
    let there = install(&store, "demo", &[("a", 2)]);
    let to = there.before.unwrap();
    let unpublished = store.begin(&env("demo")).unwrap().select(to).unwrap();
    assert_eq!(unpublished.changes().changed.len(), 1);
    let back = unpublished
        .publish(draft(OperationKind::Revert { to }), 3_000)
        .unwrap();
    assert_eq!((back.before, back.after), (Some(there.after), to));
    drop(store);
    let store = Twin::Sled.open(&home.path());
    assert_eq!(
        store.operation(&env("demo"), back.id).unwrap(),
        back,
        "kinds survive the journal"
    );
}

#[test]
fn a_generation_must_not_name_layers_that_are_not_there() {
    let home = Home::new();
    let store = Twin::Memory.open(&home.path());
    create(&store, "demo", &[]);
    let staging = store.stage().unwrap();
    let mut generation = stage_generation(&staging, &packages(&[("a", 1)]));
    generation.captured.push(LayerId::from_bytes([9; 32]));
    let error = store
        .begin(&env("demo"))
        .unwrap()
        .write(&generation, staging)
        .unwrap_err();
    assert!(matches!(error, StoreError::MissingLayer { .. }), "{error}");
}

#[test]
fn names_are_taken_until_their_environment_is_removed() {
    for twin in Twin::BOTH {
        let home = Home::new();
        let store = twin.open(&home.path());
        create(&store, "demo", &[("a", 1)]);
        let staging = store.stage().unwrap();
        let first = stage_generation(&staging, &packages(&[]));
        let again = store.create_env(
            record("demo"),
            &first,
            staging,
            draft(OperationKind::Create),
            2,
        );
        assert!(matches!(again, Err(StoreError::EnvExists(_))));
        store
            .save_snapshot(
                &env("demo"),
                snapshot("s"),
                store.envs().unwrap()[0].head,
                draft(OperationKind::Capture),
                3,
            )
            .unwrap();
        store
            .remove_env(&env("demo"), draft(OperationKind::Remove), 4)
            .unwrap();
        assert_eq!(store.envs().unwrap(), []);
        let gone = store.remove_env(&env("demo"), draft(OperationKind::Remove), 5);
        assert!(matches!(gone, Err(StoreError::NoSuchEnv(_))));
        create(&store, "demo", &[]);
        assert_eq!(
            store.operations(&env("demo")).unwrap().count(),
            1,
            "a new history"
        );
        assert_eq!(
            store.snapshots(&env("demo")).unwrap(),
            [],
            "no snapshots of the old one"
        );
    }
}

#[test]
fn snapshots_name_generations_and_are_operations() {
    for twin in Twin::BOTH {
        let home = Home::new();
        let store = twin.open(&home.path());
        create(&store, "demo", &[("a", 1)]);
        let demo = env("demo");
        let head = store.env(&demo).unwrap().unwrap().head;
        let save = |generation, at| {
            store.save_snapshot(
                &demo,
                snapshot("good"),
                generation,
                draft(OperationKind::Sync),
                at,
            )
        };
        let saved = save(head, 50).unwrap();
        assert!(matches!(saved.kind, OperationKind::Save { .. }));
        assert_eq!((saved.before, saved.after), (Some(head), head));
        assert_eq!(saved.changes, Changes::default());
        let later = install(&store, "demo", &[("a", 2)]);
        assert_eq!(
            store.snapshot(&demo, &snapshot("good")).unwrap().generation,
            head
        );
        save(later.after, 60).unwrap();
        let all = store.snapshots(&demo).unwrap();
        assert_eq!(
            (all.len(), all[0].generation, all[0].created_ms),
            (1, later.after, 60)
        );
        let unknown = save(blast_types::GenerationId::from_bytes([3; 32]), 70);
        assert!(matches!(unknown, Err(StoreError::MissingGeneration { .. })));
        let delete =
            || store.delete_snapshot(&demo, &snapshot("good"), draft(OperationKind::Sync), 80);
        delete().unwrap();
        assert!(matches!(delete(), Err(StoreError::NoSuchSnapshot { .. })));
        assert_eq!(store.operations(&demo).unwrap().count(), 5);
    }
}

#[test]
fn a_record_can_be_updated_and_keeps_its_head() {
    for twin in Twin::BOTH {
        let home = Home::new();
        let store = twin.open(&home.path());
        create(&store, "demo", &[]);
        let mut changed = record("demo");
        changed
            .variables
            .insert("KEY".to_owned(), "value".to_owned());
        store.update_env(changed.clone()).unwrap();
        let head = store.envs().unwrap()[0].head;
        drop(store);
        let store = twin.open(&home.path());
        let state = store.env(&env("demo")).unwrap().unwrap();
        assert_eq!((state.record, state.head), (changed, head));
        assert!(matches!(
            store.update_env(record("other")),
            Err(StoreError::NoSuchEnv(_))
        ));
    }
}

#[test]
fn wheels_and_bytecode_are_remembered_once_their_layers_are_published() {
    for twin in Twin::BOTH {
        let home = Home::new();
        let store = twin.open(&home.path());
        let staging = store.stage().unwrap();
        let layer = stage_package(&staging, "demo", 1);
        let mut bytecode = LayerBuilder::new();
        bytecode.inline("x.pyc", 0o644, 0, "x").unwrap();
        let bytecode = staging.layer(bytecode).unwrap();
        let key = WheelKey {
            sha256: Sha256::of(b"wheel"),
            scheme: "cpython-312".to_owned(),
        };
        let wheel = WheelRecord {
            name: "demo".parse().unwrap(),
            version: "1.0".parse().unwrap(),
            layer,
            dist_info: "lib/demo-1.0.dist-info".to_owned(),
            record_blob: BlobId::of(b"record"),
            record_size: 6,
            scripts: Vec::new(),
            python_scripts: Vec::new(),
            requires_dist: vec!["other>=1".to_owned()],
            requires_python: Some(">=3.8".to_owned()),
            provides_extra: Vec::new(),
            files: 2,
            bytes: 100,
        };
        let early = store.put_wheel(&key, &wheel);
        assert!(
            matches!(early, Err(StoreError::MissingLayer { .. })),
            "not published yet"
        );
        staging.publish().unwrap();
        store.put_wheel(&key, &wheel).unwrap();
        store
            .put_bytecode(layer, "cpython-312-cb0d", bytecode)
            .unwrap();
        drop(store);
        let store = twin.open(&home.path());
        assert_eq!(store.wheel(&key).unwrap().as_deref(), Some(&wheel));
        let other = WheelKey {
            scheme: "cpython-313".to_owned(),
            ..key
        };
        assert_eq!(store.wheel(&other).unwrap(), None);
        assert_eq!(
            store.bytecode(layer, "cpython-312-cb0d").unwrap(),
            Some(bytecode)
        );
        assert_eq!(store.bytecode(layer, "cpython-313-f30d").unwrap(), None);
        assert_eq!(store.counters().unwrap().wheels, 1);
    }
}
