//! One body, every index.

use super::*;

fn each(body: impl Fn(&dyn Index)) {
    body(&MemoryIndex::default());
    body(&Behind::new(MemoryIndex::default()));
    let dir = tempfile::tempdir().expect("a temporary directory");
    body(&SledIndex::open(&dir.path().join("db")).expect("sled opens"));
}

fn rows(index: &dyn Index, prefix: &[u8]) -> Vec<(String, String)> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let rows = index.scan(prefix).expect("a scan");
    rows.into_iter()
        .map(|(key, value)| (text(key), text(value)))
        .collect()
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[test]
fn a_scan_gives_the_rows_of_its_prefix_in_order() {
    each(|index| {
        let mut batch = Batch::default();
        for (key, value) in [
            ("a/2", "two"),
            ("b/1", "other"),
            ("a/1", "one"),
            ("a", "short"),
        ] {
            batch.put(key, value);
        }
        index.apply(batch).expect("applied");
        assert_eq!(rows(index, b"a/"), [pair("a/1", "one"), pair("a/2", "two")]);
        assert_eq!(rows(index, b"c"), []);
        assert_eq!(index.get(b"a").expect("a get"), Some(b"short".to_vec()));
    });
}

#[test]
fn later_changes_of_a_batch_win_and_deletes_delete() {
    each(|index| {
        let mut batch = Batch::default();
        batch.put("k", "1");
        batch.put("k", "2");
        batch.put("gone", "x");
        index.apply(batch).expect("applied");
        let mut batch = Batch::default();
        batch.delete("gone");
        batch.delete("never there");
        index.apply(batch).expect("applied");
        assert_eq!(rows(index, b""), [pair("k", "2")]);
    });
}

#[test]
fn sled_keeps_its_rows_and_can_be_opened_again_at_once() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for round in 0..5_u8 {
        let index = SledIndex::open(&dir.path().join("db")).expect("sled opens");
        assert_eq!(index.scan(b"r").expect("a scan").len(), usize::from(round));
        let mut batch = Batch::default();
        batch.put(vec![b'r', round], "x");
        index.apply(batch).expect("applied");
    }
}
