//! Any sequence of moves against a model: per environment a list of what it held.

use std::collections::BTreeMap;
use std::path::Path;

use blast_store::{CleanOptions, OperationKind, PublishError, Store, StoreError};
use proptest::prelude::*;

use crate::fixture::{
    Home, Twin, create, draft, env, install, packages_of, record, stage_generation,
};

type Packages = BTreeMap<String, u8>;

#[derive(Debug, Clone)]
enum Move {
    Create(usize, Packages),
    Install(usize, Packages),
    /// Back to what the operation so many steps ago had led to.
    Revert(usize, usize),
    Discard(usize, Packages),
    /// Two transactions from one head; the second must fail.
    Race(usize, Packages, Packages),
    Save(usize, usize),
    DeleteSnapshot(usize, usize),
    Remove(usize),
    Clean(Option<usize>),
    Reopen(Twin),
}

const ENVS: [&str; 3] = ["alpha", "beta", "γάμμα"];
const SNAPSHOTS: [&str; 2] = ["x", "y"];

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Model {
    envs: BTreeMap<usize, Environment>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Environment {
    head: Packages,
    /// What each kept operation led to, oldest first.
    history: Vec<Packages>,
    operations: u64,
    snapshots: BTreeMap<usize, Packages>,
}

impl Environment {
    fn operate(&mut self, head: Packages) {
        self.head.clone_from(&head);
        self.history.push(head);
        self.operations += 1;
    }
}

fn packages() -> impl Strategy<Value = Packages> {
    prop::collection::btree_map(prop::sample::select(vec!["a", "b", "c"]), 1..4_u8, 0..3).prop_map(
        |map| {
            map.into_iter()
                .map(|(name, version)| (name.to_owned(), version))
                .collect()
        },
    )
}

fn one_move() -> impl Strategy<Value = Move> {
    let env = || 0..ENVS.len();
    prop_oneof![
        3 => (env(), packages()).prop_map(|(env, packages)| Move::Create(env, packages)),
        5 => (env(), packages()).prop_map(|(env, packages)| Move::Install(env, packages)),
        3 => (env(), 0..4_usize).prop_map(|(env, back)| Move::Revert(env, back)),
        1 => (env(), packages()).prop_map(|(env, packages)| Move::Discard(env, packages)),
        1 => (env(), packages(), packages()).prop_map(|(env, a, b)| Move::Race(env, a, b)),
        2 => (env(), 0..2_usize).prop_map(|(env, name)| Move::Save(env, name)),
        1 => (env(), 0..2_usize).prop_map(|(env, name)| Move::DeleteSnapshot(env, name)),
        1 => env().prop_map(Move::Remove),
        1 => prop::option::of(0..3_usize).prop_map(Move::Clean),
        2 => prop::sample::select(Twin::BOTH.to_vec()).prop_map(Move::Reopen),
    ]
}

fn apply(store: &Store, model: &mut Model, step: &Move) {
    let missing = |env: usize| {
        matches!(
            store.begin(&crate::fixture::env(ENVS[env])),
            Err(StoreError::NoSuchEnv(_))
        )
    };
    match step {
        Move::Create(index, packages) => create_one(store, model, *index, packages),
        Move::Clean(keep_operations) => {
            let keep_operations = *keep_operations;
            store
                .clean(&CleanOptions {
                    keep_operations,
                    ..CleanOptions::default()
                })
                .unwrap();
            for environment in model.envs.values_mut() {
                let kept = keep_operations.unwrap_or(usize::MAX);
                let dropped = environment.history.len().saturating_sub(kept);
                environment.history.drain(..dropped);
            }
        }
        Move::Reopen(_) => unreachable!("the caller reopens"),
        Move::Install(index, _)
        | Move::Revert(index, _)
        | Move::Discard(index, _)
        | Move::Race(index, ..)
        | Move::Save(index, _)
        | Move::DeleteSnapshot(index, _)
        | Move::Remove(index) => match model.envs.get_mut(index) {
            Some(_) => change_one(store, model, *index, step),
            None => assert!(missing(*index)),
        },
    }
}

fn create_one(store: &Store, model: &mut Model, index: usize, packages: &Packages) {
    let list: Vec<_> = packages
        .iter()
        .map(|(name, &version)| (name.as_str(), version))
        .collect();
    if model.envs.contains_key(&index) {
        let staging = store.stage().unwrap();
        let first = stage_generation(&staging, packages);
        let error = store
            .create_env(
                record(ENVS[index]),
                &first,
                staging,
                draft(OperationKind::Create),
                1,
            )
            .unwrap_err();
        assert!(matches!(error, StoreError::EnvExists(_)), "{error}");
    } else {
        create(store, ENVS[index], &list);
        model
            .envs
            .entry(index)
            .or_default()
            .operate(packages.clone());
    }
}

fn change_one(store: &Store, model: &mut Model, index: usize, step: &Move) {
    let name = env(ENVS[index]);
    let environment = model.envs.get_mut(&index).expect("asked before");
    let write = |packages: &Packages| {
        let transaction = store.begin(&name).unwrap();
        let staging = store.stage().unwrap();
        let generation = stage_generation(&staging, packages);
        transaction.write(&generation, staging).unwrap()
    };
    match step {
        Move::Install(_, packages) => {
            let list: Vec<_> = packages
                .iter()
                .map(|(name, &version)| (name.as_str(), version))
                .collect();
            install(store, ENVS[index], &list);
            environment.operate(packages.clone());
        }
        Move::Revert(_, back) => {
            let operation = store
                .operations(&name)
                .unwrap()
                .nth(*back)
                .map(Result::unwrap);
            let expected = environment.history.iter().rev().nth(*back).cloned();
            assert_eq!(operation.is_some(), expected.is_some());
            if let (Some(operation), Some(expected)) = (operation, expected) {
                let to = operation.after;
                let unpublished = store.begin(&name).unwrap().select(to).unwrap();
                unpublished
                    .publish(draft(OperationKind::Revert { to }), 5)
                    .unwrap();
                environment.operate(expected);
            }
        }
        Move::Discard(_, packages) => write(packages).discard(),
        Move::Race(_, winner, loser) => {
            let (first, second) = (write(winner), write(loser));
            let moved = first.generation() != store.env(&name).unwrap().unwrap().head;
            first.publish(draft(OperationKind::Install), 6).unwrap();
            environment.operate(winner.clone());
            // A head that was set to what it was is still the head that was seen.
            match second.publish(draft(OperationKind::Install), 7) {
                Err(PublishError::Conflict { .. }) if moved => {}
                Ok(_) if !moved => environment.operate(loser.clone()),
                other => panic!("{other:?}"),
            }
        }
        Move::Save(_, snapshot) => {
            let head = store.env(&name).unwrap().unwrap().head;
            let snapshot_name = SNAPSHOTS[*snapshot].parse().unwrap();
            let note = draft(OperationKind::Capture);
            store
                .save_snapshot(&name, snapshot_name, head, note, 8)
                .unwrap();
            environment
                .snapshots
                .insert(*snapshot, environment.head.clone());
            environment.operate(environment.head.clone());
        }
        Move::DeleteSnapshot(_, snapshot) => {
            let note = draft(OperationKind::Capture);
            let done =
                store.delete_snapshot(&name, &SNAPSHOTS[*snapshot].parse().unwrap(), note, 9);
            assert_eq!(
                done.is_ok(),
                environment.snapshots.remove(snapshot).is_some()
            );
            if done.is_ok() {
                environment.operate(environment.head.clone());
            }
        }
        Move::Remove(_) => {
            store
                .remove_env(&name, draft(OperationKind::Remove), 10)
                .unwrap();
            model.envs.remove(&index);
        }
        Move::Create(..) | Move::Clean(_) | Move::Reopen(_) => unreachable!("not of one env"),
    }
}

/// The model that the store would be.
fn observe(store: &Store) -> Model {
    let shown = |id| packages_of(&store.generation(id).unwrap());
    let mut model = Model::default();
    for state in store.envs().unwrap() {
        let name = &state.record.name;
        let index = ENVS.iter().position(|env| *env == name.as_str()).unwrap();
        let mut history: Vec<_> = store
            .operations(name)
            .unwrap()
            .map(|operation| shown(operation.unwrap().after))
            .collect();
        history.reverse();
        let snapshots = store.snapshots(name).unwrap().into_iter().map(|snapshot| {
            let index = SNAPSHOTS
                .iter()
                .position(|name| *name == snapshot.name.as_str());
            (index.unwrap(), shown(snapshot.generation))
        });
        let environment = Environment {
            head: shown(state.head),
            history,
            operations: state.operation.0,
            snapshots: snapshots.collect(),
        };
        model.envs.insert(index, environment);
    }
    model
}

fn run(home: &Path, first: Twin, moves: &[Move]) {
    let mut model = Model::default();
    let mut store = Some(first.open(home));
    for step in moves {
        if let Move::Reopen(twin) = step {
            drop(store.take());
            store = Some(twin.open(home));
        } else {
            apply(store.as_ref().unwrap(), &mut model, step);
        }
        assert_eq!(observe(store.as_ref().unwrap()), model, "after {step:?}");
    }
    let report = store.as_ref().unwrap().check(true).unwrap();
    assert!(report.is_clean(), "{report:#?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_its_model(
        first in prop::sample::select(Twin::BOTH.to_vec()),
        moves in prop::collection::vec(one_move(), 1..40),
    ) {
        let home = Home::new();
        run(&home.path(), first, &moves);
    }
}
