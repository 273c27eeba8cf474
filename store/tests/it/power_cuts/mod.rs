//! Simulated power cuts: a process commits and collects under `strace`, which writes down what it does
//! to files. Then the power is cut at every sync, just before and just after it: what was not synced
//! is left out wholly, or kept wholly, or kept in part at random. From each such disk the store opens,
//! every byte is right, and the environment is in the state of the last acknowledged commit or of the
//! one that was being made.
//!
//! `BLAST_TEST_POWER_CUTS` says how many disks are tried (60, spread at random; `make crashes`: all).

mod disk;
mod trace;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use blast_harness::Random;
use blast_store::CleanOptions;

use self::disk::{Disk, Loss};
use self::trace::Op;
use crate::failpoints::{Told, change, observe, wait_for, wanted};
use crate::fixture::{Twin, create};
use crate::images::{is_from_image, write_images};

const DIR: &str = "BLAST_STORE_POWER_DIR";

#[test]
#[ignore = "the victim of the test below, which records it"]
fn victim() {
    let dir = std::env::var_os(DIR).expect("the test below says where");
    let dir = Path::new(&dir);
    let home = dir.join("home");
    let mut acks = std::fs::File::create(dir.join("acks")).unwrap();
    write_images(&home, 13);
    let store = Twin::Sled.open(&home);
    create(&store, "demo", &wanted(1));
    acks.write_all(b"1").unwrap();
    wait_for(&home.join("wal"));
    for round in 2..=13 {
        assert_eq!(change(&store, round), Told::Made);
        acks.write_all(&[b'0' + round as u8]).unwrap();
        if round.is_multiple_of(4) {
            let options = CleanOptions {
                keep_operations: Some(2),
                ..CleanOptions::default()
            };
            store.clean(&options).unwrap();
        }
        if !is_from_image(round) {
            store.unpack(&|| false).unwrap();
        }
        if round == 7 {
            // The log is settled meanwhile.
            std::thread::sleep(std::time::Duration::from_millis(3_300));
            store.rest().unwrap();
        }
    }
}

/// A disk that ignores syncs loses what was acknowledged: else this would test nothing.
fn assert_that_syncs_matter(ops: &[Op], random: &mut Random) {
    let dir = tempfile::tempdir().unwrap();
    let unsynced = ops.iter().filter(|op| !matches!(op, Op::Sync { .. }));
    let disk = Disk::after(unsynced, Loss::All, random);
    disk.write_to(dir.path());
    let told = verdict(&dir.path().join("home"), 13);
    assert!(told.is_some(), "nothing was synced, and nothing is lost");
}

fn record(dir: &Path) -> Vec<Op> {
    let out = dir.join("trace");
    let status = Command::new("strace")
        .args(["-f", "-qq", "-y", "-xx", "-s", "100000000", "-o"])
        .arg(&out)
        .args(["-e", trace::CALLS, "-e", "signal=none"])
        .arg(std::env::current_exe().unwrap())
        .args(["power_cuts::victim", "--exact", "--ignored"])
        .env(DIR, dir)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "the victim does its work");
    trace::parse(&std::fs::read_to_string(&out).unwrap(), dir)
}

/// Opens what a power cut left; says what is wrong.
fn verdict(home: &Path, acknowledged: u64) -> Option<String> {
    let store = match Twin::Sled.try_open(home) {
        Ok(store) => store,
        Err(error) => return Some(format!("does not open: {error:?}")),
    };
    let report = store.check(true).unwrap();
    if !report.is_clean() {
        return Some(format!("{report:#?}"));
    }
    if store.env(&crate::fixture::env("demo")).unwrap().is_none() {
        return (acknowledged > 0).then(|| "the environment is gone".to_owned());
    }
    let (id, right) = observe(&store);
    let expected = acknowledged..=acknowledged + 1;
    let is_lost = !right || !expected.contains(&id);
    is_lost.then(|| format!("at {id}, right: {right}, acknowledged {acknowledged}"))
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures of the recipe")]
fn whatever_a_power_cut_takes_what_was_acknowledged_is_there() {
    let asked = std::env::var("BLAST_TEST_POWER_CUTS").map_or(60, |text| text.parse().unwrap());
    if !Command::new("strace")
        .arg("-V")
        .output()
        .is_ok_and(|out| out.status.success())
    {
        crate::disk_full::skip("strace");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let ops = record(dir.path());
    let syncs = ops
        .iter()
        .filter(|op| matches!(op, Op::Sync { .. }))
        .count();
    assert!(syncs > 30, "the trace was understood: {syncs} syncs");
    let mut random = Random::new();
    println!("seed {}", random.seed());
    assert_that_syncs_matter(&ops, &mut random);
    let mut cuts = Vec::new();
    for (at, op) in ops.iter().enumerate() {
        if matches!(op, Op::Sync { .. }) {
            for loss in [Loss::All, Loss::None, Loss::Some, Loss::Some, Loss::Some] {
                cuts.extend([(at, loss), (at + 1, loss)]);
            }
        }
    }
    let all = cuts.len();
    while cuts.len() > asked {
        cuts.swap_remove(random.below(cuts.len()));
    }
    let tried = cuts.len();
    let waiting: Mutex<Vec<_>> = Mutex::new(
        cuts.into_iter()
            .map(|cut| (cut, random.below(usize::MAX)))
            .collect(),
    );
    let losses = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap().pop();
                    let Some(((at, loss), seed)) = next else {
                        return;
                    };
                    let left = tempfile::tempdir().unwrap();
                    let disk = Disk::after(&ops[..at], loss, &mut Random::of(seed as u64));
                    disk.write_to(left.path());
                    let acks = ops[..at].iter().rev().find_map(|op| match op {
                        Op::Ack(id) => Some(*id),
                        _ => None,
                    });
                    if let Some(told) = verdict(&left.path().join("home"), acks.unwrap_or(0)) {
                        let last = ops[..at].iter().rev().take(3).map(Op::in_words);
                        let last = last.collect::<Vec<_>>().join(" <- ");
                        let told =
                            format!("cut at {at} ({loss:?}, seed {seed}) after {last}: {told}");
                        losses.lock().unwrap().push(told);
                    }
                }
            });
        }
    });
    let losses = losses.into_inner().unwrap();
    assert!(
        losses.is_empty(),
        "{} of {tried}:\n{}",
        losses.len(),
        losses.join("\n")
    );
    println!("{tried} of {all} power cuts at {syncs} syncs, losses: 0");
}
