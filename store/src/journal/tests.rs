//! Torn tails, damaged lines, foreign headings.

use std::io::Write as _;

use super::*;

fn event(number: u32) -> Event {
    Event::Layer {
        layer: LayerId::from_bytes([7; 32]),
        number: LayerNumber(number),
    }
}

fn numbers(replay: &Replay) -> Vec<u32> {
    let number = |step: &Replayed| match &step.event {
        Event::Layer { number, .. } => number.0,
        other => panic!("{other:?}"),
    };
    replay.events.iter().map(number).collect()
}

fn written(count: u32) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let mut journal = Journal::open(&path, None).unwrap();
    for number in 0..count {
        journal.append(&event(number).line().unwrap()).unwrap();
    }
    (dir, path)
}

#[test]
fn lines_come_back_in_order_from_any_line_on() {
    let (_dir, path) = written(5);
    let mut journal = Journal::open(&path, None).unwrap();
    let all = journal.replay(0).unwrap();
    assert_eq!(numbers(&all), [0, 1, 2, 3, 4]);
    assert_eq!(all.end, journal.length());
    let rest = journal.replay(all.events[2].end).unwrap();
    assert_eq!(numbers(&rest), [3, 4]);
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_off_and_the_rest_stays() {
    let (_dir, path) = written(3);
    let whole = std::fs::read(&path).unwrap();
    let ends: Vec<_> = Journal::open(&path, None)
        .unwrap()
        .replay(0)
        .unwrap()
        .events
        .iter()
        .map(|e| e.end)
        .collect();
    for length in ends[0] as usize..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let mut journal = Journal::open(&path, None).unwrap();
        let replay = journal.replay(0).unwrap();
        let expected = ends.iter().filter(|&&end| end <= length as u64).count();
        assert_eq!(replay.events.len(), expected, "cut at {length}");
        assert_eq!(replay.damaged_lines, 0);
        journal.append(&event(9).line().unwrap()).unwrap();
        let again = Journal::open(&path, None).unwrap().replay(0).unwrap();
        assert_eq!(again.events.len(), expected + 1, "cut at {length}");
        assert_eq!(again.damaged_lines, 0, "the torn bytes are gone");
    }
}

#[test]
fn a_damaged_line_is_skipped_and_counted() {
    let (_dir, path) = written(3);
    let ends: Vec<_> = Journal::open(&path, None)
        .unwrap()
        .replay(0)
        .unwrap()
        .events
        .iter()
        .map(|e| e.end)
        .collect();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[ends[0] as usize + 30] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let mut journal = Journal::open(&path, None).unwrap();
    let replay = journal.replay(0).unwrap();
    assert_eq!(numbers(&replay), [0, 2]);
    assert_eq!(replay.damaged_lines, 1);
    assert_eq!(
        journal.length(),
        bytes.len() as u64,
        "good lines are never cut off"
    );
}

#[test]
fn a_first_line_that_was_never_finished_is_begun_again() {
    let (_dir, path) = written(0);
    let heading = std::fs::read(&path).unwrap();
    for length in 0..heading.len() {
        std::fs::write(&path, &heading[..length]).unwrap();
        let mut journal = Journal::open(&path, None).unwrap();
        assert_eq!(journal.replay(0).unwrap().events.len(), 0);
        journal.append(&event(1).line().unwrap()).unwrap();
        assert_eq!(
            numbers(&Journal::open(&path, None).unwrap().replay(0).unwrap()),
            [1]
        );
    }
}

#[test]
fn what_a_newer_blast_wrote_is_refused_and_left_alone() {
    let heading = |version, features: &[&str]| Heading {
        format: FORMAT.to_owned(),
        version,
        features: features.iter().map(|&name| name.to_owned()).collect(),
        epoch: "00".repeat(16),
    };
    let mut contents = vec![
        encode_line(&heading(JOURNAL_VERSION + 1, &[])).unwrap(),
        encode_line(&heading(JOURNAL_VERSION, &["new"])).unwrap(),
        b"something else entirely\n".to_vec(),
        vec![b'x'; 10_000],
    ];
    for bytes in &mut contents {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        std::fs::write(&path, &*bytes).unwrap();
        let error = Journal::open(&path, None).unwrap_err();
        assert!(matches!(error, StoreError::UnknownFormat { .. }), "{error}");
        assert_eq!(&std::fs::read(&path).unwrap(), bytes);
    }
    let (_dir, path) = written(1);
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    let unknown = serde_json::json!({"event": "from-the-future"});
    file.write_all(&encode_line(&unknown).unwrap()).unwrap();
    let error = Journal::open(&path, None).unwrap().replay(0).unwrap_err();
    assert!(matches!(error, StoreError::UnknownFormat { .. }), "{error}");
}

#[test]
fn a_rewritten_journal_has_another_epoch_and_takes_lines() {
    let (_dir, path) = written(3);
    let mut journal = Journal::open(&path, None).unwrap();
    let epoch = journal.epoch();
    journal.rewrite(&[event(7)]).unwrap();
    journal.append(&event(8).line().unwrap()).unwrap();
    let mut again = Journal::open(&path, None).unwrap();
    assert_eq!(numbers(&again.replay(0).unwrap()), [7, 8]);
    assert_eq!(again.epoch(), journal.epoch());
    assert_ne!(again.epoch(), epoch);
}

#[test]
fn a_rewrite_that_cannot_be_written_leaves_the_journal_in_use() {
    let (_dir, path) = written(1);
    let mut journal = Journal::open(&path, None).unwrap();
    std::fs::create_dir(path.with_extension("new")).unwrap();
    journal.rewrite(&[]).unwrap_err();
    journal.append(&event(2).line().unwrap()).unwrap();
    assert_eq!(
        numbers(&Journal::open(&path, None).unwrap().replay(0).unwrap()),
        [0, 2]
    );
}
