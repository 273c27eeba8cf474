//! Requirements: their text is read back with the same name, extras and versions.
#![no_main]

use blast_types::pep508;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(requirement) = pep508::requirement(text) else {
        return;
    };
    let shown = requirement.displayable_with_credentials().to_string();
    let again = pep508::requirement(&shown).unwrap_or_else(|error| panic!("{shown}: {error}"));
    assert_eq!(again.name, requirement.name);
    assert_eq!(again.extras, requirement.extras);
});
