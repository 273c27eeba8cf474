//! Wheels: opening one, and reading each member.
#![no_main]

use std::io;
use std::path::Path;
use std::str::FromStr as _;

use blast_index::wheel::{Limits, WheelArchive};
use blast_types::WheelFilename;

const LIMITS: Limits = Limits {
    total_bytes: 1 << 20,
    members: 1000,
    bomb_bytes: 64 << 10,
    ratio: 100,
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // One file per process, in memory.
    let path = format!("/dev/shm/blast-fuzz-{}.whl", std::process::id());
    let path = Path::new(&path);
    std::fs::write(path, bytes).expect("a file in memory");
    let filename = WheelFilename::from_str("demo-1.0-py3-none-any.whl").expect("valid");
    let opened = WheelArchive::open_within(path, &filename, LIMITS);
    std::fs::remove_file(path).expect("it was just made");
    if let Ok(wheel) = opened {
        for index in 0..wheel.members().len() {
            let _ = wheel.read_member(index, &mut io::sink());
        }
    }
});
