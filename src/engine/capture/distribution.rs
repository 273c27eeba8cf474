//! Distributions that another tool installed, as packages like any other: a layer of the files that
//! their `RECORD` names, and the summary that wheels have.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use blast_index::metadata;
use blast_index::wheel::{RecordRow, entry_points, record};
use blast_store::{
    Artifact, EntryPoint, INLINE_BYTES, LayerBuilder, Package, PythonScript, Staging, WheelKey,
    WheelRecord,
};
use blast_types::{DirectUrl, Interpreter, PackageName, Sha256};

use super::upper::{Difference, Written};
use crate::engine::error::{EngineError, at};
use crate::engine::generated::{GENERATED_MTIME, installed_entry_points, relative};
use crate::engine::ingest::scheme_key;

/// What captured files become parts of.
pub(super) struct Workshop<'a> {
    pub(super) staging: &'a Staging,
    pub(super) interpreter: &'a Interpreter,
    /// `live/<env>`, as first lines of scripts name it.
    pub(super) prefix: &'a str,
}

/// A package and what the store shall remember of it.
pub(super) struct Captured {
    pub(super) package: Package,
    pub(super) record: Arc<WheelRecord>,
    pub(super) key: WheelKey,
}

/// The metadata folders that were written whole: with metadata and record.
pub(super) fn metadata_folders(
    difference: &Difference,
    interpreter: &Interpreter,
) -> BTreeSet<String> {
    let sites = [&interpreter.scheme.purelib, &interpreter.scheme.platlib];
    let folders = difference.written.keys().filter_map(|path| {
        let folder = path.strip_suffix("/METADATA")?;
        let (site, name) = folder.rsplit_once('/')?;
        let is_whole = name.ends_with(".dist-info")
            && sites.iter().any(|known| *known == site)
            && difference.written.contains_key(&format!("{folder}/RECORD"));
        is_whole.then(|| folder.to_owned())
    });
    folders.collect()
}

impl Workshop<'_> {
    /// Adds one written file to a layer.
    pub(super) fn add(
        &self,
        builder: &mut LayerBuilder,
        path: &str,
        file: &Written,
    ) -> Result<(), EngineError> {
        let failed = |source| EngineError::Layer {
            what: path.to_owned(),
            source,
        };
        if let Some(target) = &file.target {
            return builder.symlink(path, target).map_err(failed);
        }
        // As layers have it: readable by all, writable by the owner, executable or not.
        let mode = if file.mode & 0o100 == 0 { 0o644 } else { 0o755 };
        if file.size <= INLINE_BYTES as u64 {
            let bytes = fs::read(&file.source).map_err(at(&file.source))?;
            return builder
                .inline(path, mode, file.mtime, bytes)
                .map_err(failed);
        }
        let (blob, size) = self.staging.blob_from_file(&file.source)?;
        builder
            .file(path, mode, file.mtime, blob, size)
            .map_err(failed)
    }

    /// Makes a package of the distribution whose metadata folder this is; `taken` learns which
    /// of the written files it accounts for.
    pub(super) fn distribution(
        &self,
        folder: &str,
        difference: &Difference,
        taken: &mut BTreeSet<String>,
    ) -> Result<Captured, EngineError> {
        let read = |name: &str| -> Result<Option<Vec<u8>>, EngineError> {
            let file = difference.written.get(&format!("{folder}/{name}"));
            let file = file.filter(|file| file.target.is_none());
            file.map(|file| fs::read(&file.source).map_err(at(&file.source)))
                .transpose()
        };
        let unusable = |reason: String| EngineError::CapturedMetadata {
            folder: folder.to_owned(),
            reason,
        };
        let text = read("METADATA")?.unwrap_or_default();
        let core = metadata::parse(&text).map_err(|error| unusable(error.to_string()))?;
        let rows = record::parse(&read("RECORD")?.unwrap_or_default())
            .map_err(|error| unusable(error.to_string()))?;
        let entry_text = read("entry_points.txt")?.unwrap_or_default();
        let scripts = entry_points::parse(&String::from_utf8_lossy(&entry_text))
            .map_err(|error| unusable(error.to_string()))?;
        let scripts: Vec<EntryPoint> = scripts
            .into_iter()
            .map(|entry| EntryPoint {
                name: entry.name,
                module: entry.module,
                attribute: entry.attribute,
                gui: entry.gui,
            })
            .collect();
        let direct_url = read("direct_url.json")?;
        let direct_url: Option<DirectUrl> =
            direct_url.and_then(|text| serde_json::from_slice(&text).ok());
        let requested = read("REQUESTED")?.is_some();
        let ours: BTreeSet<String> = installed_entry_points(&scripts, self.interpreter.version())
            .into_iter()
            .map(|(name, _)| format!("{}/{name}", self.interpreter.scheme.scripts))
            .chain(
                ["RECORD", "REQUESTED", "direct_url.json"].map(|name| format!("{folder}/{name}")),
            )
            .collect();
        let mut layer = Content::default();
        for row in &rows {
            let Some(path) = self.placed(folder, &row.path) else {
                continue;
            };
            let Some(file) = difference.written.get(&path) else {
                continue; // bytecode, mostly
            };
            taken.insert(path.clone());
            if ours.contains(&path) {
                continue; // written anew for each environment
            }
            if let Some(script) = self.python_script(&path, file)? {
                layer.python_scripts.push(script);
                continue;
            }
            self.add(&mut layer.builder, &path, file)?;
            layer.files += 1;
            layer.bytes += file.size;
            layer.rows.push(RecordRow {
                path: relative(folder, &path),
                ..row.clone()
            });
        }
        let parts = Parts {
            name: core.name.clone(),
            version: core.version.clone(),
            dist_info: folder.to_owned(),
            scripts,
            requires_dist: core.requires_dist.iter().map(ToString::to_string).collect(),
            requires_python: core.requires_python.as_ref().map(ToString::to_string),
            provides_extra: core.provides_extra.clone(),
        };
        let (record, key) = self.finish(layer, parts)?;
        let package = Package {
            name: core.name.clone(),
            version: core.version.clone(),
            layer: record.layer,
            artifact: Artifact {
                filename: wheel_name(&core.name, &core.version.to_string()),
                sha256: None,
                built: Some(key.sha256),
                url: None,
                index: None,
                captured: true,
            },
            direct_url,
            requested,
            extras: Vec::new(),
            scheme: key.scheme.clone(),
        };
        Ok(Captured {
            package,
            record,
            key,
        })
    }

    /// A path of a record as the prefix has it; none for what is outside.
    fn placed(&self, folder: &str, path: &str) -> Option<String> {
        let below = path
            .strip_prefix(self.prefix)
            .and_then(|rest| rest.strip_prefix('/'));
        if let Some(below) = below {
            return Some(below.to_owned());
        }
        let (site, _) = folder.rsplit_once('/')?;
        let mut parts: Vec<&str> = site.split('/').collect();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()?),
                name => parts.push(name),
            }
        }
        (!path.starts_with('/')).then(|| parts.join("/"))
    }

    /// A script that names the environment's interpreter in its first line.
    fn python_script(
        &self,
        path: &str,
        file: &Written,
    ) -> Result<Option<PythonScript>, EngineError> {
        let scripts = &self.interpreter.scheme.scripts;
        let name = path.strip_prefix(scripts.as_str());
        let Some(name) = name.and_then(|rest| rest.strip_prefix('/')) else {
            return Ok(None);
        };
        if name.contains('/') || file.target.is_some() {
            return Ok(None);
        }
        let content = fs::read(&file.source).map_err(at(&file.source))?;
        let first = format!("#!{}/{scripts}/python", self.prefix);
        if !content.starts_with(first.as_bytes()) {
            return Ok(None);
        }
        let end = content.iter().position(|&byte| byte == b'\n');
        let body = &content[end.map_or(content.len(), |at| at + 1)..];
        Ok(Some(PythonScript {
            name: name.to_owned(),
            body: self.staging.blob(body)?,
            size: body.len() as u64,
            gui: false,
            executable: file.mode & 0o100 != 0,
        }))
    }

    /// Completes a package's layer with its record.
    pub(super) fn finish(
        &self,
        mut content: Content,
        parts: Parts,
    ) -> Result<(Arc<WheelRecord>, WheelKey), EngineError> {
        let path = format!("{}/RECORD", parts.dist_info);
        content.rows.push(RecordRow {
            path: relative(&parts.dist_info, &path),
            hash: None,
            size: None,
        });
        content.rows.sort_by(|a, b| a.path.cmp(&b.path));
        content.rows.dedup_by(|a, b| a.path == b.path);
        let text = record::write(&content.rows).into_bytes();
        let record_blob = self.staging.blob(&text)?;
        let record_size = text.len() as u64;
        content
            .builder
            .file(&path, 0o644, GENERATED_MTIME, record_blob, record_size)
            .map_err(|source| EngineError::Layer { what: path, source })?;
        let record = WheelRecord {
            name: parts.name,
            version: parts.version,
            layer: self.staging.layer(content.builder)?,
            dist_info: parts.dist_info,
            record_blob,
            record_size,
            scripts: parts.scripts,
            python_scripts: content.python_scripts,
            requires_dist: parts.requires_dist,
            requires_python: parts.requires_python,
            provides_extra: parts.provides_extra,
            files: content.files + 1,
            bytes: content.bytes + record_size,
        };
        // There is no wheel that it could be named by; what it became names it as well.
        let named = serde_json::to_vec(&record).unwrap_or_default();
        let key = WheelKey {
            sha256: Sha256::of(&named),
            scheme: scheme_key(&self.interpreter.scheme),
        };
        Ok((Arc::new(record), key))
    }
}

/// A package's layer as it grows.
#[derive(Default)]
pub(super) struct Content {
    pub(super) builder: LayerBuilder,
    pub(super) rows: Vec<RecordRow>,
    pub(super) python_scripts: Vec<PythonScript>,
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// What a package's summary has beside its layer.
pub(super) struct Parts {
    pub(super) name: PackageName,
    pub(super) version: blast_types::Version,
    pub(super) dist_info: String,
    pub(super) scripts: Vec<EntryPoint>,
    pub(super) requires_dist: Vec<String>,
    pub(super) requires_python: Option<String>,
    pub(super) provides_extra: Vec<blast_types::ExtraName>,
}

/// The name that a wheel of it would have (PEP 427).
fn wheel_name(name: &PackageName, version: &str) -> String {
    format!(
        "{}-{version}-py3-none-any.whl",
        name.as_ref().replace('-', "_")
    )
}
