//! Version specifiers: their text is read back, and the two ways to ask for membership agree.
#![no_main]

use blast_types::versions;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (set, candidate) = text.split_once('|').unwrap_or((text, "1.0"));
    let Ok(specifiers) = versions::specifiers(set) else {
        return;
    };
    let shown = versions::specifiers_text(&specifiers);
    assert_eq!(versions::specifiers(&shown).as_ref(), Ok(&specifiers), "{shown}");
    if let Ok(candidate) = versions::version(candidate) {
        let by_range = blast_resolver::versions::admits(&specifiers, &candidate);
        assert_eq!(by_range, specifiers.contains(&candidate), "{candidate} in {shown}");
    }
});
