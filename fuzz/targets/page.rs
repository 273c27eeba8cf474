//! Project pages and link pages of an index, HTML and JSON.
#![no_main]

use blast_index::simple;
use url::Url;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let url = Url::parse("https://index.invalid/simple/demo/").expect("valid");
    let name = "demo".parse().expect("valid");
    for kind in ["text/html", "application/vnd.pypi.simple.v1+json", ""] {
        let page = simple::parse_project(bytes, Some(kind), &url, "index".into(), &name);
        if let Ok(page) = page {
            for file in page.versions.iter().flat_map(|version| &version.files) {
                assert!(!file.filename.contains('/'), "{}", file.filename);
                assert!(file.url.starts_with("http"), "{}", file.url);
            }
        }
        let _ = simple::parse_link_page(bytes, Some(kind), &url);
    }
});
