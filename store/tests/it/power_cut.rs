//! A power cut takes what was not synced. The write-ahead log was; the journal's tail and the files
//! of a commit's objects were not: here they are taken away, or filled with zeros, after commits
//! that were acknowledged.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::fixture::{Home, Twin, create, env, install, packages, packages_of};

/// Waits until the store has a write-ahead log and everything so far is settled.
fn wait_for_log(home: &Path) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !home.join("wal").exists() {
        assert!(Instant::now() < deadline, "no write-ahead log appears");
        std::thread::sleep(Duration::from_millis(20));
    }
    // The thread that made it begins a lap right after.
    std::thread::sleep(Duration::from_millis(100));
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[test]
fn acknowledged_commits_survive_the_loss_of_all_that_was_not_synced() {
    for zeros in [false, true] {
        let home = Home::new();
        let path = home.path();
        let store = Twin::Sled.open(&path);
        create(&store, "demo", &[("flask", 1)]);
        wait_for_log(&path);
        let settled = fs::metadata(path.join("journal")).unwrap().len();
        let before = files_below(&path.join("store"));
        let mut last = None;
        for version in 2..6 {
            last = Some(install(
                &store,
                "demo",
                &[("flask", version), ("jinja2", 3)],
            ));
        }
        let copy = home.path().with_file_name("after");
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .args([&path, &copy])
            .status()
            .unwrap();
        assert!(copied.success());
        drop(store);

        // The layers of packages were published with syncs; only these two kinds are at stake.
        let mut taken = 0;
        for kind in ["generations", "layers"] {
            for file in files_below(&copy.join("store").join(kind)) {
                let original = path.join(file.strip_prefix(&copy).unwrap());
                if before.contains(&original) {
                    continue;
                }
                taken += 1;
                let length = fs::metadata(&file).unwrap().len();
                fs::remove_file(&file).unwrap();
                if zeros {
                    fs::write(&file, vec![0; length as usize]).unwrap();
                }
            }
        }
        assert!(
            taken >= 8,
            "each commit had a generation and a layer: {taken}"
        );
        let journal = fs::read(copy.join("journal")).unwrap();
        let kept = settled as usize + 10;
        let mut tail = journal[..kept].to_vec();
        if zeros {
            tail.resize(journal.len(), 0);
        }
        fs::write(copy.join("journal"), tail).unwrap();

        let store = Twin::Sled.open(&copy);
        let state = store.env(&env("demo")).unwrap().unwrap();
        let last = last.unwrap();
        assert_eq!((state.head, state.operation), (last.after, last.id));
        let shown = packages_of(&store.generation(state.head).unwrap());
        assert_eq!(shown, packages(&[("flask", 5), ("jinja2", 3)]));
        let report = store.check(true).unwrap();
        assert!(report.is_clean(), "{report:#?}");
    }
}
