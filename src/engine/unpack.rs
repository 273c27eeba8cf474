//! From a wheel to a layer: which members are installed where, what of them depends on the
//! environment and so does not belong into a shared layer, and the layer's own RECORD.
//!
//! Sources: PEP 427 and the binary distribution format (`.data` folders, `#!python` scripts),
//! PEP 376 and 627 (RECORD, INSTALLER, REQUESTED). Where they leave room, what pip does.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use blast_index::wheel::{InstallRoot, Member, RecordHash, RecordRow, WheelArchive, record};
use blast_store::{EntryPoint, INLINE_BYTES, LayerBuilder, LayerError, PythonScript, WheelRecord};
use blast_types::{SchemePaths, Sha256, WheelFilename};
use rayon::prelude::*;

use super::error::EngineError;
use super::ingest::Ingest;

/// Members larger than this are streamed to disk instead of held in memory.
const STREAM_LIMIT: u64 = 16 << 20;

/// One member on its way into a layer.
enum Placed {
    File {
        path: String,
        mode: u32,
        mtime: i64,
        content: Content,
    },
    PythonScript(PythonScript),
}

enum Content {
    Inline(Vec<u8>),
    Blob(blast_types::BlobId, u64),
}

/// Unpacks a wheel that was downloaded and checked; answers what it became. Blocks; members are
/// unpacked on all cores.
pub(super) fn wheel_to_layer(
    ingest: &Ingest,
    path: &Path,
    filename: &WheelFilename,
) -> Result<WheelRecord, EngineError> {
    let archive = WheelArchive::open(path, filename)?;
    let scripts = entry_points(&archive);
    let kept = kept_members(&archive, &scripts);
    let placed: Vec<Placed> = kept
        .par_iter()
        .map_init(Vec::new, |content, &number| {
            place(ingest, &archive, number, content)
        })
        .collect::<Result<_, _>>()?;
    let mut contents = Contents::default();
    for item in placed {
        contents.add(item).map_err(|source| EngineError::Layer {
            what: format!("{}-{}", filename.name, filename.version),
            source,
        })?;
    }
    contents.python_scripts.sort_by(|a, b| a.name.cmp(&b.name));

    let dist_info = format!("{}/{}", ingest.scheme.purelib, archive.dist_info());
    let record = base_record(
        ingest,
        &archive,
        &kept,
        &contents.python_scripts,
        &dist_info,
    );
    let record = record.into_bytes();
    let record_size = record.len() as u64;
    let record_blob = ingest.staging.blob(&record)?;
    let mtime = archive
        .members()
        .iter()
        .map(|member| member.mtime)
        .max()
        .unwrap_or(0);
    let own = [
        ("RECORD", Content::Blob(record_blob, record_size)),
        ("INSTALLER", Content::Inline(INSTALLER.to_vec())),
    ];
    for (name, content) in own {
        let path = format!("{dist_info}/{name}");
        let item = Placed::File {
            path,
            mode: 0o644,
            mtime,
            content,
        };
        contents.add(item).map_err(|source| EngineError::Layer {
            what: format!("{}-{}", filename.name, filename.version),
            source,
        })?;
    }
    let metadata = archive.metadata();
    Ok(WheelRecord {
        name: metadata.name.clone(),
        version: metadata.version.clone(),
        layer: ingest.staging.layer(contents.builder)?,
        dist_info,
        record_blob,
        record_size,
        scripts,
        python_scripts: contents.python_scripts,
        requires_dist: metadata
            .requires_dist
            .iter()
            .map(ToString::to_string)
            .collect(),
        requires_python: metadata.requires_python.as_ref().map(ToString::to_string),
        provides_extra: metadata.provides_extra.clone(),
        files: contents.files,
        bytes: contents.bytes,
    })
}

/// What a layer is made from, as it grows.
#[derive(Default)]
struct Contents {
    builder: LayerBuilder,
    files: u64,
    bytes: u64,
    python_scripts: Vec<PythonScript>,
}

impl Contents {
    fn add(&mut self, item: Placed) -> Result<(), LayerError> {
        let Placed::File {
            path,
            mode,
            mtime,
            content,
        } = item
        else {
            if let Placed::PythonScript(script) = item {
                self.python_scripts.push(script);
            }
            return Ok(());
        };
        self.files += 1;
        match content {
            Content::Inline(bytes) => {
                self.bytes += bytes.len() as u64;
                self.builder.inline(&path, mode, mtime, bytes)
            }
            Content::Blob(blob, size) => {
                self.bytes += size;
                self.builder.file(&path, mode, mtime, blob, size)
            }
        }
    }
}

fn entry_points(archive: &WheelArchive) -> Vec<EntryPoint> {
    let entry_points = archive.entry_points().iter();
    entry_points
        .map(|entry| EntryPoint {
            name: entry.name.clone(),
            module: entry.module.clone(),
            attribute: entry.attribute.clone(),
            gui: entry.gui,
        })
        .collect()
}

/// The members that are installed, by their number in the archive.
fn kept_members(archive: &WheelArchive, scripts: &[EntryPoint]) -> Vec<usize> {
    let wrappers: BTreeSet<&str> = scripts.iter().map(|entry| entry.name.as_str()).collect();
    let members = archive.members().iter().enumerate();
    members
        .filter(|(_, member)| is_kept(archive, member, &wrappers))
        .map(|(number, _)| number)
        .collect()
}

/// The tool that installed, as PEP 376 wants it written.
const INSTALLER: &[u8] = b"blast\n";

/// Members that are not written anew by us, and are no wrapper that the wheel's builder made for
/// an entry point (pip leaves these out as well).
fn is_kept(archive: &WheelArchive, member: &Member, wrappers: &BTreeSet<&str>) -> bool {
    let (scheme, path) = (member.install_to.root, member.install_to.path.as_str());
    if scheme == InstallRoot::Scripts {
        let base = path.strip_suffix(".exe").unwrap_or(path);
        let base = base
            .strip_suffix("-script.py")
            .or(base.strip_suffix(".pya"))
            .unwrap_or(base);
        return !wrappers.contains(base);
    }
    let Some(name) = path
        .strip_prefix(archive.dist_info())
        .and_then(|rest| rest.strip_prefix('/'))
    else {
        return true;
    };
    !matches!(
        name,
        "RECORD" | "INSTALLER" | "REQUESTED" | "direct_url.json"
    )
}

/// Brings one member into the staging. `content` is room to unpack in, used again and again: memory
/// that is new to the process costs more than what is unpacked into it.
fn place(
    ingest: &Ingest,
    archive: &WheelArchive,
    number: usize,
    content: &mut Vec<u8>,
) -> Result<Placed, EngineError> {
    let member = &archive.members()[number];
    let mode = if member.executable { 0o755 } else { 0o644 };
    let path = installed_path(&ingest.scheme, archive, member);
    let file = |content| Placed::File {
        path,
        mode,
        mtime: member.mtime,
        content,
    };
    if member.size > STREAM_LIMIT {
        let mut writer = ingest.staging.blob_writer();
        archive.read_member(number, &mut writer)?;
        let (blob, size) = writer.finish()?;
        return Ok(file(Content::Blob(blob, size)));
    }
    content.clear();
    content.reserve(member.size as usize);
    archive.read_member(number, content)?;
    if member.install_to.root == InstallRoot::Scripts
        && let Some(body) = python_script_body(content)
    {
        return Ok(Placed::PythonScript(PythonScript {
            name: member.install_to.path.clone(),
            body: ingest.staging.blob(body)?,
            size: body.len() as u64,
            gui: content.starts_with(b"#!pythonw"),
            executable: member.executable,
        }));
    }
    if content.len() <= INLINE_BYTES {
        return Ok(file(Content::Inline(content.clone())));
    }
    let blob = ingest.staging.blob(content)?;
    Ok(file(Content::Blob(blob, content.len() as u64)))
}

/// What follows the first line of a script that asks for the environment's Python (PEP 427).
fn python_script_body(content: &[u8]) -> Option<&[u8]> {
    content.starts_with(b"#!python").then(|| {
        let end = content
            .iter()
            .position(|&byte| byte == b'\n')
            .map_or(content.len(), |at| at + 1);
        &content[end..]
    })
}

fn installed_path(scheme: &SchemePaths, archive: &WheelArchive, member: &Member) -> String {
    let path = &member.install_to.path;
    let folder = match member.install_to.root {
        InstallRoot::Purelib => scheme.purelib.clone(),
        InstallRoot::Platlib => scheme.platlib.clone(),
        InstallRoot::Scripts => scheme.scripts.clone(),
        InstallRoot::Headers => format!("{}/{}", scheme.headers, archive.metadata().name),
        InstallRoot::Data => scheme.data.clone(),
    };
    if folder.is_empty() {
        path.clone()
    } else {
        format!("{folder}/{path}")
    }
}

/// The wheel's own record, with each path as installed, hashes as verified.
fn base_record(
    ingest: &Ingest,
    archive: &WheelArchive,
    kept: &[usize],
    python_scripts: &[PythonScript],
    dist_info: &str,
) -> String {
    let stated: HashMap<&str, &RecordRow> = archive
        .record()
        .iter()
        .map(|row| (row.path.as_str(), row))
        .collect();
    let mut rows = Vec::with_capacity(kept.len() + 2);
    for &number in kept {
        let member = &archive.members()[number];
        let rewritten = member.install_to.root == InstallRoot::Scripts
            && python_scripts
                .iter()
                .any(|script| script.name == member.install_to.path);
        if !rewritten {
            let path = installed_path(&ingest.scheme, archive, member);
            rows.push(RecordRow {
                path: super::generated::relative(dist_info, &path),
                hash: stated
                    .get(member.name.as_str())
                    .and_then(|row| row.hash.clone()),
                size: Some(member.size),
            });
        }
    }
    let folder = archive.dist_info();
    rows.push(RecordRow {
        path: format!("{folder}/INSTALLER"),
        hash: Some(RecordHash::Sha256(Sha256::of(INSTALLER))),
        size: Some(INSTALLER.len() as u64),
    });
    rows.push(RecordRow {
        path: format!("{folder}/RECORD"),
        hash: None,
        size: None,
    });
    rows.sort_by(|a, b| a.path.cmp(&b.path));
    record::write(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scripts_that_ask_for_python_are_rewritten() {
        assert_eq!(
            python_script_body(b"#!python\nprint()\n"),
            Some(&b"print()\n"[..])
        );
        assert_eq!(python_script_body(b"#!pythonw -u\nx"), Some(&b"x"[..]));
        assert_eq!(python_script_body(b"#!python"), Some(&b""[..]));
        assert_eq!(python_script_body(b"#!/usr/bin/env python\n"), None);
        assert_eq!(python_script_body(b"\x7fELF"), None);
    }
}
