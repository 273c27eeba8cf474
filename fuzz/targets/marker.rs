//! Markers: they can be evaluated, and their text is read back as the same marker.
#![no_main]

use blast_types::{MarkerVariables, pep508};

fn variables() -> MarkerVariables {
    let text = str::to_owned;
    MarkerVariables {
        implementation_name: text("cpython"),
        implementation_version: text("3.12.1"),
        os_name: text("posix"),
        platform_machine: text("x86_64"),
        platform_python_implementation: text("CPython"),
        platform_release: text("6.1.0"),
        platform_system: text("Linux"),
        platform_version: text("#1 SMP"),
        python_full_version: text("3.12.1"),
        python_version: text("3.12"),
        sys_platform: text("linux"),
    }
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(marker) = pep508::marker(text) else {
        return;
    };
    let environment = variables().environment().expect("valid");
    let value = marker.evaluate(&environment, &[]);
    let Some(shown) = marker.try_to_string() else {
        return;
    };
    let again = pep508::marker(&shown).unwrap_or_else(|error| panic!("{shown}: {error}"));
    assert_eq!(again.evaluate(&environment, &[]), value, "{shown}");
});
