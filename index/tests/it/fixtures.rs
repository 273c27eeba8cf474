//! Wheels and indexes to test with.

use std::io::{Cursor, Write as _};
use std::path::Path;

use blast_index::wheel::record::{self, RecordHash, RecordRow};
use blast_index::{Index, Shared, Sources};
use blast_types::{DistFile, PackageName, Sha256};
use zip::write::SimpleFileOptions;

pub(crate) const WHEEL: &str = "demo-1.0-py3-none-any.whl";

pub(crate) fn name(text: &str) -> PackageName {
    text.parse().expect("a name")
}

/// An honest wheel of `demo` 1.0 with `padding` bytes that do not compress.
pub(crate) fn wheel(padding: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    })
    .take(padding)
    .collect();
    let files: [(&str, &[u8]); 3] = [
        ("demo-1.0.dist-info/METADATA", &metadata()),
        (
            "demo-1.0.dist-info/WHEEL",
            b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\n",
        ),
        ("demo/noise", &noise),
    ];
    let rows: Vec<_> = files
        .iter()
        .map(|(path, body)| RecordRow {
            path: (*path).to_owned(),
            hash: Some(RecordHash::Sha256(Sha256::of(body))),
            size: Some(body.len() as u64),
        })
        .collect();
    let record = record::write(&rows);
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let all = files
        .into_iter()
        .chain([("demo-1.0.dist-info/RECORD", record.as_bytes())]);
    for (path, body) in all {
        zip.start_file(path, SimpleFileOptions::default())
            .expect("started");
        zip.write_all(body).expect("written");
    }
    zip.finish().expect("finished").into_inner()
}

pub(crate) fn metadata() -> Vec<u8> {
    b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\nRequires-Dist: rich\n\nWords\n".to_vec()
}

/// A page with one link.
pub(crate) fn page(href: &str, attributes: &str) -> String {
    format!("<a href='{href}' {attributes}>x</a>")
}

pub(crate) fn sources(url: &str) -> Sources {
    let url = format!("{url}/simple/").parse().expect("a URL");
    Sources {
        retries: 2,
        timeout_s: 5,
        ..Sources::of_index(url)
    }
}

pub(crate) fn offline(url: &str) -> Sources {
    Sources {
        offline: true,
        ..sources(url)
    }
}

pub(crate) fn index(dir: &Path, url: &str) -> Index {
    Shared::new(dir).index(sources(url))
}

pub(crate) async fn only_file(index: &Index) -> std::sync::Arc<DistFile> {
    let project = index.project(&name("demo")).await.expect("the project");
    project.versions[0].files[0].clone()
}
