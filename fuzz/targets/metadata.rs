//! `METADATA` and `PKG-INFO`.
#![no_main]

use blast_index::metadata;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = metadata::parse(bytes);
    let _ = metadata::parse_static_sdist(bytes);
});
