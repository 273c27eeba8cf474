//! Versions, and that their text is read back as the same version.
#![no_main]

use blast_types::versions;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(version) = versions::version(text) else {
        return;
    };
    assert_eq!(versions::version(&version.to_string()), Ok(version));
});
