//! The pages of the simple API, as text.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::Release;

/// Content type of JSON pages (PEP 691).
pub(super) const JSON: &str = "application/vnd.pypi.simple.v1+json";
/// Content type of HTML pages.
pub(super) const HTML: &str = "text/html; charset=utf-8";

/// The page of a project as HTML.
pub(super) fn project_html(name: &str, files: &[Release]) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html><head><meta name=\"pypi:repository-version\" content=\"1.1\">\
         <title>Links for {name}</title></head><body>\n"
    );
    for file in files {
        let mut link = format!("<a href=\"/files/{}", file.filename);
        if let Some(hash) = &file.sha256 {
            let _ = write!(link, "#sha256={hash}");
        }
        link.push('"');
        let attributes = [
            ("requires-python", file.requires_python.clone()),
            ("yanked", file.yanked.clone()),
            ("upload-time", file.uploaded.clone()),
            (
                "core-metadata",
                metadata_hash(file).map(|hash| format!("sha256={hash}")),
            ),
            (
                "dist-info-metadata",
                metadata_hash(file).map(|hash| format!("sha256={hash}")),
            ),
        ];
        for (attribute, value) in attributes {
            if let Some(value) = value {
                let _ = write!(link, " data-{attribute}=\"{}\"", escaped(&value));
            }
        }
        let _ = writeln!(page, "{link}>{}</a><br>", file.filename);
    }
    page + "</body></html>\n"
}

/// The page of a project as JSON.
pub(super) fn project_json(name: &str, files: &[Release]) -> String {
    let mut versions: Vec<&str> = files
        .iter()
        .filter_map(|file| file.filename.split('-').nth(1))
        .collect();
    versions.sort_unstable();
    versions.dedup();
    json!({
        "meta": {"api-version": "1.1"},
        "name": name,
        "versions": versions,
        "files": files.iter().map(file_json).collect::<Vec<_>>(),
    })
    .to_string()
}

/// The list of all projects as HTML.
pub(super) fn root_html<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let mut page = String::from("<!DOCTYPE html>\n<html><body>\n");
    for name in names {
        let _ = writeln!(page, "<a href=\"/simple/{name}/\">{name}</a><br>");
    }
    page + "</body></html>\n"
}

fn file_json(file: &Release) -> Value {
    let mut object = Map::new();
    object.insert("filename".into(), json!(file.filename));
    object.insert("url".into(), json!(format!("/files/{}", file.filename)));
    object.insert("size".into(), json!(file.bytes.len()));
    let hashes: Map<String, Value> = file
        .sha256
        .iter()
        .map(|hash| ("sha256".to_owned(), json!(hash)))
        .collect();
    object.insert("hashes".into(), Value::Object(hashes));
    if let Some(range) = &file.requires_python {
        object.insert("requires-python".into(), json!(range));
    }
    if let Some(reason) = &file.yanked {
        object.insert("yanked".into(), json!(reason));
    }
    if let Some(time) = &file.uploaded {
        object.insert("upload-time".into(), json!(time));
    }
    if let Some(hash) = metadata_hash(file) {
        object.insert("core-metadata".into(), json!({"sha256": hash}));
    }
    Value::Object(object)
}

fn metadata_hash(file: &Release) -> Option<String> {
    file.metadata
        .as_ref()
        .map(|text| hex::encode(Sha256::digest(text)))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
