//! From artifacts to layers: download, verify, unpack into blobs, describe as a layer.
//!
//! Wheels that the store knows under the interpreter's scheme cost one look-up. The others are
//! downloaded in parallel, each is verified whole before a byte of it is unpacked (the index crate
//! does both), and its members are hashed and staged in parallel. Nothing is visible in the store
//! until the [`Staging`] that all share is published, so a wheel that turns out bad at its last
//! member leaves nothing behind.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blast_index::Index;
use blast_index::wheel::{InstallRoot, Member, RecordHash, RecordRow, WheelArchive, record};
use blast_store::{
    EntryPoint, LayerBuilder, LayerError, PythonScript, Staging, Store, WheelKey, WheelRecord,
};
use blast_types::{DistFile, DistKind, Event, Reporter, SchemePaths, Sha256, WheelFilename};
use futures::stream::{StreamExt as _, TryStreamExt as _};
use futures::{FutureExt as _, TryFutureExt as _};
use rayon::prelude::*;
use tokio::sync::Semaphore;

use super::error::{EngineError, at};

/// Files up to this size are stored inside their layer: below it a file of its own costs more
/// than the bytes (a block and an inode each).
const INLINE_LIMIT: u64 = 256;

/// Members larger than this are streamed to disk instead of held in memory.
const STREAM_LIMIT: u64 = 16 << 20;

/// Transfers at once.
const DOWNLOADS: usize = 16;

/// One artifact that an environment shall hold.
#[derive(Debug, Clone)]
pub(crate) struct Artifact {
    /// The file.
    pub(crate) file: Arc<DistFile>,
    /// Hashes that a lock or `--hash` allows; empty: what the index says is enough.
    pub(crate) allowed: Vec<Sha256>,
    /// Who stated `allowed`.
    pub(crate) stated_by: String,
}

/// What an artifact became.
#[derive(Debug, Clone)]
pub(crate) struct Ingested {
    /// Its SHA-256.
    pub(crate) sha256: Sha256,
    /// Layer and summary.
    pub(crate) record: Arc<WheelRecord>,
    /// Under which name the store shall remember the record, where it does not know it yet. Its
    /// layer must be published first.
    pub(crate) fresh: Option<WheelKey>,
}

/// Everything that ingesting needs.
pub(crate) struct Ingest {
    /// The store.
    pub(crate) store: Arc<Store>,
    /// Where new objects are staged; made on first need, so that a change that brings no new
    /// artifact stages nothing.
    pub(crate) staging: Arc<Staging>,
    /// Where artifacts come from.
    pub(crate) index: Index,
    /// Where downloads are put while they are in flight.
    pub(crate) downloads: PathBuf,
    /// Install paths of the interpreter.
    pub(crate) scheme: SchemePaths,
    /// Takes progress.
    pub(crate) reporter: Arc<dyn Reporter>,
}

/// Names the install paths of an interpreter: layers are shared by all interpreters that agree.
pub(crate) fn scheme_key(scheme: &SchemePaths) -> String {
    let SchemePaths {
        purelib,
        platlib,
        scripts,
        data,
        headers,
    } = scheme;
    [purelib, platlib, scripts, data, headers]
        .map(String::as_str)
        .join("|")
}

/// Brings all artifacts into the store (staged), in the order given.
pub(crate) async fn ingest(
    ingest: Arc<Ingest>,
    artifacts: Vec<Artifact>,
) -> Result<Vec<Ingested>, EngineError> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let unpacking = Arc::new(Semaphore::new(cores));
    let scheme = scheme_key(&ingest.scheme);
    let mut found: Vec<Option<Ingested>> = Vec::with_capacity(artifacts.len());
    let mut missing = Vec::new();
    for (position, artifact) in artifacts.into_iter().enumerate() {
        found.push(known(&ingest, &artifact, &scheme)?);
        if found[position].is_none() {
            missing.push((position, artifact));
        }
    }
    // The largest first: what takes longest should not start last.
    missing.sort_by_key(|(_, artifact)| std::cmp::Reverse(artifact.file.size));
    let fetches: Vec<_> = missing
        .into_iter()
        .map(|(position, artifact)| {
            let (ingest, unpacking) = (Arc::clone(&ingest), Arc::clone(&unpacking));
            fetch(ingest, unpacking, artifact)
                .map_ok(move |ingested| (position, ingested))
                .boxed()
        })
        .collect();
    let fetched: Vec<_> = futures::stream::iter(fetches)
        .buffer_unordered(DOWNLOADS)
        .try_collect()
        .await?;
    for (position, ingested) in fetched {
        found[position] = Some(ingested);
    }
    found
        .into_iter()
        .map(|entry| entry.ok_or_else(|| EngineError::Bug("an artifact was passed over".into())))
        .collect()
}

fn known(
    ingest: &Ingest,
    artifact: &Artifact,
    scheme: &str,
) -> Result<Option<Ingested>, EngineError> {
    let Some(sha256) = artifact.file.sha256 else {
        return Ok(None);
    };
    artifact.check(sha256)?;
    let key = WheelKey {
        sha256,
        scheme: scheme.to_owned(),
    };
    Ok(ingest.store.wheel(&key)?.map(|record| Ingested {
        sha256,
        record,
        fresh: None,
    }))
}

async fn fetch(
    ingest: Arc<Ingest>,
    unpacking: Arc<Semaphore>,
    artifact: Artifact,
) -> Result<Ingested, EngineError> {
    let DistKind::Wheel(filename) = &artifact.file.kind else {
        return Err(EngineError::NeedsBuild(artifact.file.filename.to_string()));
    };
    let folder = tempfile::Builder::new()
        .prefix("wheel-")
        .tempdir_in(&ingest.downloads)
        .map_err(at(&ingest.downloads))?;
    let path = folder.path().join("artifact.whl");
    let expected = match artifact.allowed.as_slice() {
        [only] => Some(*only),
        _ => None,
    };
    let download = ingest
        .index
        .download(&artifact.file, expected, &path, &*ingest.reporter);
    let sha256 = download.await?;
    artifact.check(sha256)?;
    let filename = filename.clone();
    let scheme = ingest.scheme.clone();
    let _permit = unpacking
        .acquire()
        .await
        .map_err(|_| EngineError::Bug("the unpacking gate is closed".into()))?;
    let record = tokio::task::spawn_blocking(move || {
        let record = wheel_to_layer(&ingest, &path, &filename, sha256)?;
        drop(folder);
        ingest.reporter.report(Event::Unpacked {
            package: format!("{}=={}", record.name, record.version),
        });
        Ok::<_, EngineError>(record)
    })
    .await??;
    let fresh = Some(WheelKey {
        sha256,
        scheme: scheme_key(&scheme),
    });
    Ok(Ingested {
        sha256,
        record,
        fresh,
    })
}

impl Artifact {
    fn check(&self, sha256: Sha256) -> Result<(), EngineError> {
        if self.allowed.is_empty() || self.allowed.contains(&sha256) {
            return Ok(());
        }
        Err(EngineError::WrongHash {
            file: self.file.filename.to_string(),
            stated_by: self.stated_by.clone(),
        })
    }
}

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

fn wheel_to_layer(
    ingest: &Ingest,
    path: &Path,
    filename: &WheelFilename,
    sha256: Sha256,
) -> Result<Arc<WheelRecord>, EngineError> {
    let key = WheelKey {
        sha256,
        scheme: scheme_key(&ingest.scheme),
    };
    if let Some(record) = ingest.store.wheel(&key)? {
        return Ok(record); // another name for content that is there
    }
    let archive = WheelArchive::open(path, filename)?;
    let scripts: Vec<EntryPoint> = archive
        .entry_points()
        .iter()
        .map(|entry| EntryPoint {
            name: entry.name.clone(),
            module: entry.module.clone(),
            attribute: entry.attribute.clone(),
            gui: entry.gui,
        })
        .collect();
    let wrappers: BTreeSet<&str> = scripts.iter().map(|entry| entry.name.as_str()).collect();
    let kept: Vec<usize> = (0..archive.members().len())
        .filter(|&number| is_kept(&archive, &archive.members()[number], &wrappers))
        .collect();
    let placed: Vec<Placed> = kept
        .par_iter()
        .map(|&number| place(ingest, &archive, number))
        .collect::<Result<_, _>>()?;

    let what = || format!("{}-{}", filename.name, filename.version);
    let layer_error = |source: LayerError| EngineError::Layer {
        what: what(),
        source,
    };
    let dist_info = format!("{}/{}", ingest.scheme.purelib, archive.dist_info());
    let record_path = format!("{dist_info}/RECORD");
    let installer_path = format!("{dist_info}/INSTALLER");
    let mut builder = LayerBuilder::new();
    let (mut files, mut bytes, mut python_scripts) = (0, 0, Vec::new());
    for item in placed {
        match item {
            Placed::File {
                path,
                mode,
                mtime,
                content: Content::Inline(content),
            } => {
                files += 1;
                bytes += content.len() as u64;
                builder
                    .inline(&path, mode, mtime, content)
                    .map_err(layer_error)?;
            }
            Placed::File {
                path,
                mode,
                mtime,
                content: Content::Blob(blob, size),
            } => {
                files += 1;
                bytes += size;
                builder
                    .file(&path, mode, mtime, blob, size)
                    .map_err(layer_error)?;
            }
            Placed::PythonScript(script) => python_scripts.push(script),
        }
    }
    python_scripts.sort_by(|a, b| a.name.cmp(&b.name));
    let record_text = base_record(ingest, &archive, &kept, &python_scripts, &dist_info);
    let record_blob = ingest.staging.blob(record_text.as_bytes())?;
    let mtime = archive
        .members()
        .iter()
        .map(|member| member.mtime)
        .max()
        .unwrap_or(0);
    builder
        .file(
            &record_path,
            0o644,
            mtime,
            record_blob,
            record_text.len() as u64,
        )
        .map_err(layer_error)?;
    builder
        .inline(&installer_path, 0o644, mtime, INSTALLER.to_vec())
        .map_err(layer_error)?;
    let metadata = archive.metadata();
    let record = WheelRecord {
        name: metadata.name.clone(),
        version: metadata.version.clone(),
        layer: ingest.staging.layer(builder)?,
        dist_info,
        record_blob,
        record_size: record_text.len() as u64,
        scripts,
        python_scripts,
        requires_dist: metadata
            .requires_dist
            .iter()
            .map(ToString::to_string)
            .collect(),
        requires_python: metadata.requires_python.as_ref().map(ToString::to_string),
        provides_extra: metadata.provides_extra.clone(),
        files: files + 2,
        bytes,
        top_level: Vec::new(),
    };
    Ok(Arc::new(record))
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

fn place(ingest: &Ingest, archive: &WheelArchive, number: usize) -> Result<Placed, EngineError> {
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
    let mut content = Vec::with_capacity(member.size as usize);
    archive.read_member(number, &mut content)?;
    if member.install_to.root == InstallRoot::Scripts
        && let Some(body) = python_script_body(&content)
    {
        return Ok(Placed::PythonScript(PythonScript {
            name: member.install_to.path.clone(),
            body: ingest.staging.blob(body)?,
            size: body.len() as u64,
            gui: content.starts_with(b"#!pythonw"),
            executable: member.executable,
        }));
    }
    if content.len() as u64 <= INLINE_LIMIT {
        return Ok(file(Content::Inline(content)));
    }
    let blob = ingest.staging.blob(&content)?;
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
        InstallRoot::Headers => format!("{}/{}", scheme.headers, distribution(archive.dist_info())),
        InstallRoot::Data => scheme.data.clone(),
    };
    if folder.is_empty() {
        path.clone()
    } else {
        format!("{folder}/{path}")
    }
}

/// `Foo_Bar` of `Foo_Bar-1.0.dist-info`: the name as the wheel spells it.
fn distribution(dist_info: &str) -> &str {
    dist_info.split('-').next().unwrap_or(dist_info)
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
