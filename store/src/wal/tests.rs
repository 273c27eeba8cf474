//! Records come back whole or not at all; what they hold is put back where it is missing.

use blast_types::{BlobId, LayerId};

use super::record::BLOCK;
use super::*;
use crate::LayerNumber;
use crate::journal::Event;

struct Home {
    dir: tempfile::TempDir,
    objects: Arc<Objects>,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let objects = Arc::new(Objects::open(dir.path()).unwrap());
        drop(create(&dir.path().join("wal")).unwrap());
        Self { dir, objects }
    }

    fn wal(&self) -> PathBuf {
        self.dir.path().join("wal")
    }

    fn journal(&self) -> PathBuf {
        self.dir.path().join("journal")
    }

    fn open(&self) -> (Journal, Wal) {
        let mut journal = Journal::open(&self.journal(), None).unwrap();
        let (wal, unplaced) = Wal::recover(&self.wal(), &self.objects, &mut journal).unwrap();
        assert!(unplaced.is_empty());
        (journal, wal)
    }

    /// The numbers that the journal holds, as a new process finds them.
    fn numbers(&self) -> Vec<u32> {
        let (mut journal, _wal) = self.open();
        let replay = journal.replay(0).unwrap();
        assert_eq!(replay.damaged_lines, 0);
        let number = |event: &Event| match event {
            Event::Layer { number, .. } => number.0,
            other => panic!("{other:?}"),
        };
        replay
            .events
            .iter()
            .map(|step| number(&step.event))
            .collect()
    }
}

fn event(number: u32) -> Event {
    Event::Layer {
        layer: LayerId::from_bytes([7; 32]),
        number: LayerNumber(number),
    }
}

fn object(number: u32) -> ObjectBytes {
    let bytes = number.to_le_bytes().repeat(100);
    (BlobId::of(&bytes).into(), bytes)
}

fn commit(journal: &mut Journal, wal: &Wal, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let line = event(number).line().unwrap();
        assert!(wal.commit(journal, &line, vec![object(number)]).unwrap());
        journal.append(&line).unwrap();
        wal.finished();
    }
}

#[test]
fn lines_and_objects_that_a_power_cut_took_come_back() {
    let home = Home::new();
    let (mut journal, wal) = home.open();
    commit(&mut journal, &wal, 0..3);
    journal.append(&event(3).line().unwrap()).unwrap();
    commit(&mut journal, &wal, 4..6);
    drop((journal, wal));
    let whole = std::fs::read(home.journal()).unwrap();
    let heading = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    for cut in (heading..=whole.len()).step_by(3) {
        // A tail that is short, and one that is there but was never written.
        std::fs::write(home.journal(), &whole[..cut]).unwrap();
        assert_eq!(home.numbers(), [0, 1, 2, 3, 4, 5], "cut at {cut}");
        let mut zeros = whole.clone();
        zeros[cut..].fill(0);
        std::fs::write(home.journal(), &zeros).unwrap();
        assert_eq!(home.numbers(), [0, 1, 2, 3, 4, 5], "zeros from {cut}");
    }
    for number in [0, 1, 2, 4, 5] {
        let (id, bytes) = object(number);
        assert_eq!(std::fs::read(home.objects.path(id)).unwrap(), bytes);
    }
    assert!(!home.objects.has(object(3).0));
}

#[test]
fn an_object_with_other_bytes_is_put_right() {
    let home = Home::new();
    let (mut journal, wal) = home.open();
    commit(&mut journal, &wal, 0..1);
    drop((journal, wal));
    let (id, bytes) = object(0);
    assert_eq!(home.numbers(), [0]);
    let path = home.objects.path(id);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, vec![0; bytes.len()]).unwrap();
    assert_eq!(home.numbers(), [0]);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_record_torn_anywhere_counts_for_nothing() {
    let home = Home::new();
    let (mut journal, wal) = home.open();
    commit(&mut journal, &wal, 0..2);
    let before = (journal.length(), std::fs::read(home.wal()).unwrap());
    commit(&mut journal, &wal, 2..3);
    drop((journal, wal));
    let whole = std::fs::read(home.wal()).unwrap();
    let lines = std::fs::read(home.journal()).unwrap();
    let end = whole.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    assert_ne!(before.1, whole);
    for at in (2 * BLOCK as usize..end).step_by(7).chain([end - 1]) {
        let mut torn = whole.clone();
        torn[at] ^= 0x55;
        std::fs::write(home.wal(), &torn).unwrap();
        std::fs::write(home.journal(), &lines[..before.0 as usize]).unwrap();
        assert_eq!(home.numbers(), [0, 1], "torn at {at}");
    }
}

#[test]
fn a_new_lap_forgets_the_old_one() {
    let home = Home::new();
    let (mut journal, wal) = home.open();
    commit(&mut journal, &wal, 0..5);
    wal.settle(&journal).unwrap();
    commit(&mut journal, &wal, 5..6);
    drop((journal, wal));
    // What was settled is the files' own matter.
    for number in 0..5 {
        let path = home.objects.path(object(number).0);
        drop(std::fs::remove_file(path));
    }
    assert_eq!(home.numbers(), [0, 1, 2, 3, 4, 5]);
    assert!(!home.objects.has(object(1).0));
    assert!(home.objects.has(object(5).0));
    let (mut journal, wal) = home.open();
    commit(&mut journal, &wal, 6..8);
    drop((journal, wal));
    assert_eq!(home.numbers(), [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn records_of_a_rewritten_journal_are_left_alone() {
    let home = Home::new();
    let (mut journal, wal) = home.open();
    commit(&mut journal, &wal, 0..3);
    wal.settle(&journal).unwrap();
    journal.rewrite(&[event(7)]).unwrap();
    wal.follow(&journal);
    drop((journal, wal));
    assert_eq!(home.numbers(), [7]);
    assert!(!home.objects.has(object(1).0), "garbage stays collected");
    let (mut journal, wal) = home.open();
    commit(&mut journal, &wal, 8..9);
    drop((journal, wal));
    assert_eq!(home.numbers(), [7, 8]);
}

#[test]
fn what_does_not_fit_waits_for_its_files() {
    let home = Home::new();
    let (mut journal, wal) = home.open();
    let line = event(0).line().unwrap();
    let huge = vec![0; RECORD_BYTES];
    let huge = (BlobId::of(&huge).into(), huge);
    assert!(!wal.commit(&journal, &line, vec![huge]).unwrap());
    let large = vec![1; RECORD_BYTES / 2];
    let large = (BlobId::of(&large).into(), large);
    let mut number = 0;
    while wal
        .commit(
            &journal,
            &event(number).line().unwrap(),
            vec![large.clone()],
        )
        .unwrap()
    {
        journal.append(&event(number).line().unwrap()).unwrap();
        number += 1;
    }
    assert_eq!(
        number, 7,
        "a log of eight halves and the blocks of their heads"
    );
    journal.append(&event(number).line().unwrap()).unwrap();
    wal.sync(&journal).unwrap();
    drop((journal, wal));
    assert_eq!(home.numbers(), (0..=number).collect::<Vec<_>>());
}

#[test]
fn a_process_that_ends_right_after_the_log_is_finished_by_the_next() {
    let home = Home::new();
    let (journal, wal) = home.open();
    let line = event(0).line().unwrap();
    assert!(wal.commit(&journal, &line, vec![object(0)]).unwrap());
    drop((journal, wal));
    assert_eq!(home.numbers(), [0]);
    assert!(home.objects.has(object(0).0));
}

#[test]
fn commits_are_settled_when_they_pause_and_a_log_is_made() {
    let home = Home::new();
    std::fs::remove_file(home.wal()).unwrap();
    let (mut journal, wal) = home.open();
    let line = event(0).line().unwrap();
    let there_is_none = !wal.commit(&journal, &line, Vec::new()).unwrap();
    assert!(there_is_none, "there is no log yet");
    journal.append(&line).unwrap();
    wal.sync(&journal).unwrap();
    let deadline = std::time::Instant::now() + Duration::from_mins(1);
    while wal.shared.lock().settling {
        assert!(std::time::Instant::now() < deadline, "nobody settles");
        std::thread::sleep(Duration::from_millis(20));
    }
    commit(&mut journal, &wal, 1..3);
    assert_eq!(wal.shared.lock().logged.len(), 2);
    drop((journal, wal));
    assert_eq!(home.numbers(), [0, 1, 2]);
}

#[test]
fn nothing_is_settled_while_a_commit_is_unfinished() {
    let home = Home::new();
    let (mut journal, wal) = home.open();
    commit(&mut journal, &wal, 0..1);
    let may_settle = |seen| wal.shared.lock().may_settle(seen);
    assert!(may_settle(1), "commits pause");
    assert!(!may_settle(0), "there was one meanwhile");
    let line = event(1).line().unwrap();
    assert!(wal.commit(&journal, &line, vec![object(1)]).unwrap());
    wal.shared.lock().next = LOG_BYTES;
    assert!(!may_settle(2), "its object has no name yet");
    wal.finished();
    assert!(may_settle(1), "the log is full");
}

#[test]
fn a_log_of_another_size_or_version_is_not_guessed_at() {
    let home = Home::new();
    std::fs::write(home.wal(), b"short").unwrap();
    let (journal, wal) = home.open();
    assert!(!wal.commit(&journal, b"", Vec::new()).unwrap());
    let file = create(&home.wal()).unwrap();
    let record = Record {
        lap: Lap::new(),
        sequence: 0,
        epoch: journal.epoch(),
        journal_at: journal.length(),
        content: Content::default(),
    };
    let mut bytes = record.encode();
    assert_eq!(
        Record::read(&file, 0, LOG_BYTES, &home.wal()).unwrap(),
        None
    );
    bytes[8] = 9;
    let sum = *blake3::hash(&bytes[..64]).as_bytes();
    bytes[64..96].copy_from_slice(&sum);
    file.write_all_at(&bytes, 0).unwrap();
    let error = read(&home.wal()).unwrap_err();
    assert!(matches!(error, StoreError::UnknownFormat { .. }), "{error}");
}
