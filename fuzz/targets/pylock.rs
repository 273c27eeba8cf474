//! Locks (PEP 751): what was read is written and read back the same.
#![no_main]

use blast_resolver::lock::Lock;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(lock) = Lock::parse(text) else {
        return;
    };
    let written = lock.to_string();
    let again = Lock::parse(&written).unwrap_or_else(|error| panic!("{written}: {error}"));
    assert_eq!(again.to_string(), written);
});
