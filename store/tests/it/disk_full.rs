//! A full disk: errors name the path, nothing half-done is referred to, and work goes on when
//! there is room again. Runs itself in a mount namespace with a small tmpfs.

use std::io;
use std::path::Path;
use std::process::Command;

use blast_store::{OperationKind, StoreError};
use blast_types::Hint as _;

use crate::fixture::{Home, Twin, create, draft, env, install};

const HOME: &str = "BLAST_STORE_FULL_HOME";

fn is_full(error: &StoreError, below: &Path) -> bool {
    match error {
        StoreError::Io { path, source, .. } => {
            assert!(path.starts_with(below), "{} is named", path.display());
            assert!(!error.hints().is_empty(), "the way out is named");
            source.kind() == io::ErrorKind::StorageFull
        }
        _ => false,
    }
}

#[test]
fn a_full_disk_leaves_nothing_half_done() {
    let home = Home::new();
    std::fs::create_dir(home.path()).unwrap();
    let script = "mount -t tmpfs -o size=4m tmpfs \"$0\" && exec \"$@\"";
    let unshare = ["--user", "--map-root-user", "--mount"];
    let probe = Command::new("unshare").args(unshare).arg("true").output();
    if !probe.is_ok_and(|output| output.status.success()) {
        skip("userns");
        return;
    }
    let output = Command::new("unshare")
        .args(unshare)
        .args(["sh", "-c", script])
        .arg(home.path())
        .arg(std::env::current_exe().unwrap())
        .args(["disk_full::victim", "--exact", "--ignored", "--nocapture"])
        .env(HOME, home.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{output:?}"
    );
}

#[expect(clippy::print_stderr, reason = "a skip must be seen")]
pub(crate) fn skip(means: &str) {
    let required = std::env::var("BLAST_TEST_REQUIRE").unwrap_or_default();
    assert!(
        !required.split(',').any(|name| name == means),
        "{means} is required and missing"
    );
    eprintln!("skipped: no {means} here");
}

#[test]
#[ignore = "needs a small file system, which the test above makes"]
fn victim() {
    let home = std::env::var_os(HOME).expect("the test above says where");
    let home = Path::new(&home);
    let store = Twin::Memory.open(home);
    create(&store, "demo", &[("a", 1)]);
    let before = store.env(&env("demo")).unwrap();

    let staging = store.stage().unwrap();
    let mut number = 0_u32;
    let error = loop {
        number += 1;
        if let Err(error) = staging.blob(&number.to_le_bytes().repeat(10_000)) {
            break error;
        }
    };
    assert!(is_full(&error, home), "{error}");
    assert!(matches!(staging.publish(), Err(StoreError::StagingFailed)));
    assert_eq!(
        store.usage().unwrap().blobs.count,
        1,
        "the room is free again"
    );
    install(&store, "demo", &[("a", 2)]);
    let now = store.env(&env("demo")).unwrap();
    assert_ne!(now, before);

    let filler = home.join("filler");
    let written = std::fs::write(&filler, vec![0; 8 << 20]);
    assert_eq!(written.unwrap_err().kind(), io::ErrorKind::StorageFull);
    let head = now.as_ref().unwrap().head;
    let save = || {
        // Longer than the room that the journal makes ahead.
        let mut draft = draft(OperationKind::Capture);
        draft.command = vec!["x".repeat(100_000)];
        store.save_snapshot(&env("demo"), "s".parse().unwrap(), head, draft, 3)
    };
    let error = save().unwrap_err();
    assert!(is_full(&error, home), "{error}");
    assert_eq!(store.env(&env("demo")).unwrap(), now, "nothing happened");
    std::fs::remove_file(&filler).unwrap();
    save().expect("the journal goes on where it was");
    drop(store);
    let store = Twin::Sled.open(home);
    assert_eq!(store.operations(&env("demo")).unwrap().count(), 3);
    assert!(store.check(true).unwrap().is_clean());
}
