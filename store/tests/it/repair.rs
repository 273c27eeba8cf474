//! Journal and index are mended from each other, precious objects from their copies.

use std::fs;
use std::path::{Path, PathBuf};

use blast_store::{Problem, Store};

use crate::fixture::{Home, Twin, create, env, install, packages, packages_of};

/// A store of two environments with some history, closed.
fn filled(home: &Home) -> PathBuf {
    let store = Twin::Sled.open(&home.path());
    create(&store, "demo", &[("flask", 1)]);
    create(&store, "other", &[("jinja2", 1)]);
    for version in 2..5 {
        install(&store, "demo", &[("flask", version), ("jinja2", 3)]);
    }
    store.rest().unwrap();
    home.path()
}

fn assert_whole(store: &Store, what: &str) {
    let report = store.check(true).unwrap();
    assert!(report.is_clean(), "{what}: {report:#?}");
    let state = store.env(&env("demo")).unwrap();
    let state = state.unwrap_or_else(|| panic!("{what}: demo is gone"));
    let shown = packages_of(&store.generation(state.head).unwrap());
    assert_eq!(shown, packages(&[("flask", 4), ("jinja2", 3)]), "{what}");
    assert_eq!(store.operations(&env("demo")).unwrap().count(), 4, "{what}");
    assert_eq!(
        store.operations(&env("other")).unwrap().count(),
        1,
        "{what}"
    );
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x55;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_journal_that_was_damaged_in_any_way_loses_nothing_while_the_index_is_there() {
    type Way = (&'static str, fn(&Path));
    let ways: [Way; 6] = [
        ("deleted", |path| fs::remove_file(path).unwrap()),
        ("emptied", |path| fs::write(path, "").unwrap()),
        ("cut", |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("first line", |path| flip(path, 5)),
        ("a line", |path| flip(path, 700)),
        ("last byte", |path| {
            flip(path, fs::read(path).unwrap().len() - 1);
        }),
    ];
    for with_log in [false, true] {
        for (what, damage) in ways {
            let home = Home::new();
            let path = filled(&home);
            if !with_log {
                drop(fs::remove_file(path.join("wal")));
            }
            damage(&path.join("journal"));
            let store = Twin::Sled.open(&path);
            let report = store.check(false).unwrap();
            store.mend_records(&report).unwrap();
            assert_whole(&store, what);
            drop(store);
            // The journal alone says it all again.
            fs::remove_dir_all(path.join("db")).unwrap();
            assert_whole(&Twin::Sled.open(&path), what);
        }
    }
}

#[test]
fn damage_of_the_journal_under_a_running_store_is_found_and_mended() {
    let home = Home::new();
    let path = filled(&home);
    let store = Twin::Sled.open(&path);
    flip(&path.join("journal"), 900);
    let report = store.check(false).unwrap();
    let [finding] = &report.findings[..] else {
        panic!("{report:#?}");
    };
    assert!(matches!(
        finding.problem,
        Problem::DamagedJournal { lines: 1, .. }
    ));
    assert!(store.mend_records(&report).unwrap());
    assert_whole(&store, "mended");
    fs::remove_file(path.join("journal")).unwrap();
    let report = store.check(false).unwrap();
    assert!(!report.is_clean(), "a deleted journal is found");
    store.mend_records(&report).unwrap();
    assert_whole(&store, "written anew");
    install(&store, "demo", &[("flask", 9)]);
    drop(store);
    let store = Twin::Memory.open(&path);
    assert_eq!(store.operations(&env("demo")).unwrap().count(), 5);
}

#[test]
fn a_lost_generation_and_its_layer_come_back_from_their_copies() {
    for damage in [fs::remove_file as fn(PathBuf) -> _, |path: PathBuf| {
        fs::remove_file(&path)?;
        fs::write(path, "not what it was")
    }] {
        let home = Home::new();
        let path = filled(&home);
        drop(fs::remove_file(path.join("wal")));
        let store = Twin::Sled.open(&path);
        let head = store.env(&env("demo")).unwrap().unwrap().head;
        let layer = store.generation(head).unwrap().generated;
        for (kind, hex) in [("generations", head.to_hex()), ("layers", layer.to_hex())] {
            damage(
                path.join("store")
                    .join(kind)
                    .join(&hex[..2])
                    .join(&hex[2..]),
            )
            .unwrap();
        }
        let report = store.check(false).unwrap();
        // An older generation has the same layer.
        assert_eq!(report.findings.len(), 2, "{report:#?}");
        assert_eq!(store.restore_copies(&report.damage()).unwrap(), 2);
        assert_whole(&store, "copies");
    }
}

#[test]
fn copies_are_of_the_newest_states_alone() {
    let home = Home::new();
    let path = filled(&home);
    let store = Twin::Sled.open(&path);
    for round in 0..30 {
        install(&store, "demo", &[("flask", round)]);
    }
    store.rest().unwrap();
    let copies = fs::read_dir(path.join("store/copies")).unwrap().count();
    // Ten generations and their layers, and those of the other environment.
    assert!((2..=24).contains(&copies), "{copies}");
}

/// Calls of this thread that read from files (`syscr` of `proc_pid_io(5)`) while this was done.
fn reads(act: impl FnOnce()) -> u64 {
    let now = || -> u64 {
        let text = fs::read_to_string("/proc/thread-self/io").unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("syscr:"));
        line.unwrap().trim().parse().unwrap()
    };
    let before = now();
    act();
    now() - before
}

/// How many environments [`reads_of_first_rests`] has beside the one that it changes.
const MANY: u64 = 40;

/// What the first rest of a daemon's life reads: where nothing changed, where one environment did, and where it is not
/// known which.
fn reads_of_first_rests() -> (u64, u64, u64) {
    let home = Home::new();
    let path = home.path();
    let store = Twin::Sled.open(&path);
    for number in 0..MANY {
        create(&store, &format!("other-{number}"), &[("jinja2", 1)]);
        install(&store, &format!("other-{number}"), &[("jinja2", 2)]);
    }
    create(&store, "demo", &[("flask", 1)]);
    store.rest().unwrap();
    drop(store);
    let first_rest = |change: &dyn Fn(&Store)| {
        let store = Twin::Sled.open(&path);
        change(&store);
        reads(|| store.rest().unwrap())
    };
    let unchanged = first_rest(&|_| {});
    let changed = first_rest(&|store| drop(install(store, "demo", &[("flask", 2)])));
    let unknown = first_rest(&|_| fs::remove_file(path.join("store/copied")).unwrap());
    (unchanged, changed, unknown)
}

#[test]
fn only_environments_that_changed_are_looked_into_for_copies() {
    // A page of the index has the rows of several environments; how many, depends on when sled's threads ran. So it
    // may be tried again, in a store of its own.
    let mut seen = Vec::new();
    for _ in 0..8 {
        let (unchanged, changed, unknown) = reads_of_first_rests();
        seen.push((unchanged, changed, unknown));
        if unchanged < MANY && changed < unchanged + 20 && unknown > unchanged + 2 * MANY {
            return;
        }
    }
    panic!("unchanged, changed, unknown: {seen:?}");
}

#[test]
fn copies_come_back_whatever_became_of_the_list_of_them() {
    let home = Home::new();
    let path = filled(&home);
    let (list, copies) = (path.join("store/copied"), path.join("store/copies"));
    let names = || {
        let mut names: Vec<_> = fs::read_dir(&copies)
            .unwrap()
            .map(|file| file.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let (all, known) = (names(), fs::read(&list).unwrap());
    let damages: [&[u8]; 4] = [
        b"",
        &known[..known.len() / 2],
        b"{}",
        b"{\"version\":9,\"environments\":{}}",
    ];
    for damage in damages {
        fs::write(&list, damage).unwrap();
        fs::remove_file(copies.join(&all[0])).unwrap();
        fs::write(copies.join("stranger"), "").unwrap();
        Twin::Sled.open(&path).rest().unwrap();
        assert_eq!(names(), all);
        assert_eq!(fs::read(&list).unwrap(), known);
    }
    // The list is whole, and a copy is gone.
    fs::remove_file(copies.join(&all[0])).unwrap();
    Twin::Sled.open(&path).rest().unwrap();
    assert_eq!(names(), all);
}

#[test]
fn damaged_objects_that_nothing_needs_go() {
    let home = Home::new();
    let store = Twin::Sled.open(&filled(&home));
    let staging = store.stage().unwrap();
    let blob = staging.blob(&[7; 9000]).unwrap();
    staging.publish().unwrap();
    fs::remove_file(store.blob_path(blob)).unwrap();
    fs::write(store.blob_path(blob), [8; 9000]).unwrap();
    let report = store.check(true).unwrap();
    assert_eq!(report.findings.len(), 1, "{report:#?}");
    assert_eq!(store.drop_needless(&report).unwrap(), 1);
    assert_whole(&store, "without it");
}
