//! Opening, reopening, losing the index, losing the home.

use std::path::Path;

use blast_store::{LayerBuilder, StoreError};
use blast_types::{BlobId, GenerationId, Hint as _, LayerId};

use crate::fixture::{Home, Twin, create, env, install, packages, packages_of};

#[test]
fn what_was_committed_is_there_after_reopening_with_either_index() {
    for (first, second) in [
        (Twin::Sled, Twin::Sled),
        (Twin::Sled, Twin::Memory),
        (Twin::Memory, Twin::Sled),
        (Twin::Memory, Twin::Memory),
    ] {
        let home = Home::new();
        let store = first.open(&home.path());
        create(&store, "demo", &[("flask", 2)]);
        let operation = install(&store, "demo", &[("flask", 3), ("jinja2", 3)]);
        let layer = store.generation(operation.after).unwrap().generated;
        let number = store.layer_number(layer).unwrap();
        let tree = store.tree_of(operation.after).unwrap();
        drop(store);
        let store = second.open(&home.path());
        let state = store.env(&env("demo")).unwrap().unwrap();
        assert_eq!(
            (state.head, state.operation),
            (operation.after, operation.id)
        );
        let generation = store.generation(state.head).unwrap();
        assert_eq!(
            packages_of(&generation),
            packages(&[("flask", 3), ("jinja2", 3)])
        );
        assert_eq!(store.layer_number(layer).unwrap(), number);
        assert_eq!(store.layer_by_number(number).unwrap().id(), layer);
        assert_eq!(store.tree_of(operation.after).unwrap(), tree);
        assert_eq!(store.tree(tree.number).unwrap(), tree);
        assert!(store.check(true).unwrap().is_clean());
    }
}

#[test]
fn a_lost_or_foreign_or_destroyed_database_is_rebuilt_from_the_journal() {
    let home = Home::new();
    let store = Twin::Sled.open(&home.path());
    create(&store, "demo", &[("flask", 2)]);
    let operation = install(&store, "demo", &[("flask", 3)]);
    drop(store);
    let database = home.path().join("db");
    let other = Home::new();
    create(&Twin::Sled.open(&other.path()), "stranger", &[]);
    for damage in ["lost", "foreign", "destroyed"] {
        std::fs::remove_dir_all(&database).unwrap();
        match damage {
            "foreign" => std::fs::rename(other.path().join("db"), &database).unwrap(),
            "destroyed" => {
                std::fs::create_dir(&database).unwrap();
                std::fs::write(database.join("conf"), "no configuration").unwrap();
            }
            _ => {}
        }
        let store = Twin::Sled.open(&home.path());
        let envs = store.envs().unwrap();
        assert_eq!(envs.len(), 1, "{damage}");
        assert_eq!(envs[0].head, operation.after, "{damage}");
        assert_eq!(
            store.operations(&env("demo")).unwrap().count(),
            2,
            "{damage}"
        );
    }
}

#[test]
fn garbage_in_the_database_is_never_believed() {
    let home = Home::new();
    let store = Twin::Sled.open(&home.path());
    create(&store, "demo", &[("flask", 2)]);
    let operation = install(&store, "demo", &[("flask", 3)]);
    drop(store);
    let kept = home.path().with_extension("kept");
    let copy = |from: &Path, to: &Path| {
        let status = std::process::Command::new("cp")
            .arg("-r")
            .arg(from)
            .arg(to)
            .status();
        assert!(status.unwrap().success());
    };
    copy(&home.path(), &kept);
    for (file, at) in [
        ("db", 10),
        ("db", 1_000),
        ("db", 5_000),
        ("conf", 5),
        ("snap", 20),
    ] {
        std::fs::remove_dir_all(home.path()).unwrap();
        copy(&kept, &home.path());
        for entry in std::fs::read_dir(home.path().join("db")).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir()
                || !path
                    .file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .starts_with(file)
            {
                continue;
            }
            let mut bytes = std::fs::read(&path).unwrap();
            let end = bytes.len().min(at + 400);
            bytes
                .iter_mut()
                .take(end)
                .skip(at)
                .for_each(|byte| *byte ^= 0x5a);
            std::fs::write(&path, bytes).unwrap();
        }
        let store = Twin::Sled.open(&home.path());
        let head = store.env(&env("demo")).unwrap().map(|state| state.head);
        assert_eq!(head, Some(operation.after), "{file} damaged at {at}");
        assert_eq!(
            store.operations(&env("demo")).unwrap().count(),
            2,
            "{file} damaged at {at}"
        );
        install(&store, "demo", &[("flask", 4)]);
    }
    std::fs::remove_dir_all(&kept).unwrap();
}

#[test]
fn one_process_has_the_store_at_a_time() {
    for twin in Twin::BOTH {
        let home = Home::new();
        let store = twin.open(&home.path());
        let error = twin.try_open(&home.path()).unwrap_err();
        assert!(matches!(error, StoreError::Locked { .. }), "{error}");
        assert!(!error.hints().is_empty());
        drop(store);
        twin.open(&home.path());
    }
}

#[test]
fn a_home_that_was_deleted_or_replaced_is_noticed() {
    let home = Home::new();
    let store = Twin::Memory.open(&home.path());
    assert!(store.is_present());
    let away = home.path().with_extension("away");
    std::fs::rename(home.path(), &away).unwrap();
    assert!(!store.is_present(), "gone");
    assert!(store.stage().is_err());
    std::fs::create_dir(home.path()).unwrap();
    assert!(!store.is_present(), "another directory of the same name");
    std::fs::remove_dir(home.path()).unwrap();
    std::fs::rename(&away, home.path()).unwrap();
    assert!(store.is_present(), "back again");
}

#[test]
fn what_is_not_there_is_an_error_that_names_it() {
    let home = Home::new();
    let store = Twin::Memory.open(&home.path());
    let (layer, generation) = (
        LayerId::from_bytes([1; 32]),
        GenerationId::from_bytes([2; 32]),
    );
    assert!(matches!(store.layer(layer), Err(StoreError::MissingLayer { id }) if id == layer));
    assert!(matches!(
        store.layer_number(layer),
        Err(StoreError::MissingLayer { .. })
    ));
    assert!(matches!(
        store.tree_of(generation),
        Err(StoreError::MissingGeneration { .. })
    ));
    assert!(matches!(
        store.generation(generation),
        Err(StoreError::MissingGeneration { .. })
    ));
    assert!(matches!(
        store.begin(&env("nobody")),
        Err(StoreError::NoSuchEnv(_))
    ));
    assert!(!store.has_blob(BlobId::of(b"")));
    assert!(store.env(&env("nobody")).unwrap().is_none());
}

#[test]
fn trees_have_times_that_python_can_tell_apart() {
    let home = Home::new();
    let store = Twin::Memory.open(&home.path());
    create(&store, "demo", &[]);
    let mut last = store.tree_of(store.envs().unwrap()[0].head).unwrap();
    for version in 1..20 {
        let operation = install(&store, "demo", &[("flask", version)]);
        let tree = store.tree_of(operation.after).unwrap();
        assert!(tree.number > last.number);
        assert!(
            tree.shown_at_ns >= last.shown_at_ns + 1000,
            "{tree:?} after {last:?}"
        );
        last = tree;
    }
}

#[test]
fn layer_numbers_are_never_given_twice() {
    let home = Home::new();
    let mut seen = std::collections::BTreeMap::new();
    for round in 0..3 {
        let store = Twin::Sled.open(&home.path());
        for item in 0..5 {
            let mut layer = LayerBuilder::new();
            layer
                .inline("x", 0o644, 0, format!("{round} {item}"))
                .unwrap();
            let staging = store.stage().unwrap();
            let id = staging.layer(layer).unwrap();
            staging.publish().unwrap();
            let number = store.layer_number(id).unwrap();
            assert_eq!(seen.insert(number, id), None);
        }
        // Nothing refers to them, so collection takes the layers, and keeps the count.
        store.clean(&blast_store::CleanOptions::default()).unwrap();
    }
    assert_eq!(seen.len(), 15);
}
