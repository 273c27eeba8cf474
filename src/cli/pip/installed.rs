//! The distributions that lie in an environment's site-packages, read as any Python tool reads them
//! (PEP 376, PEP 610, core metadata): what is visible is what pip's reading commands speak of.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use blast_index::metadata::Headers;
use blast_index::wheel::record;
use blast_types::{DirectUrl, PackageName};

use crate::error::Error;

/// One distribution.
#[derive(Debug, Clone)]
pub(super) struct Distribution {
    /// Normalised name.
    pub(super) key: PackageName,
    /// Name as the project writes it.
    pub(super) name: String,
    /// Version.
    pub(super) version: String,
    /// Its folder of metadata.
    pub(super) info: PathBuf,
    /// The metadata file.
    pub(super) metadata: String,
}

/// All distributions in this folder, by normalised name.
pub(super) fn all(site: &Path) -> Result<Vec<Distribution>, Error> {
    let failed = |error: io::Error| Error::io("read", site, &error);
    let mut found = Vec::new();
    for entry in fs::read_dir(site).map_err(failed)? {
        let info = entry.map_err(failed)?.path();
        found.extend(read(&info));
    }
    found.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(found)
}

/// The distribution whose folder of metadata this is; none for anything else.
fn read(info: &Path) -> Option<Distribution> {
    let file = match info.extension()?.to_str()? {
        "dist-info" => "METADATA",
        "egg-info" => "PKG-INFO",
        _ => return None,
    };
    let bytes = fs::read(info.join(file)).ok()?;
    let metadata = String::from_utf8_lossy(&bytes).into_owned();
    let headers = Headers::parse(&metadata);
    let (name, version) = (headers.first("Name")?, headers.first("Version")?);
    Some(Distribution {
        key: name.parse().ok()?,
        name: name.to_owned(),
        version: version.to_owned(),
        info: info.to_owned(),
        metadata: metadata.clone(),
    })
}

impl Distribution {
    /// The first value of a header.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        Headers::parse(&self.metadata)
            .first(name)
            .map(str::to_owned)
    }

    /// All values of a header.
    pub(super) fn headers(&self, name: &str) -> Vec<String> {
        let headers = Headers::parse(&self.metadata);
        headers.all(name).map(str::to_owned).collect()
    }

    /// What follows the headers: the description, if it is not among them.
    pub(super) fn body(&self) -> Option<&str> {
        let (_, body) = self.metadata.split_once("\n\n")?;
        Some(body.trim_end()).filter(|body| !body.is_empty())
    }

    /// A file beside the metadata.
    pub(super) fn file(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.info.join(name)).ok()
    }

    /// Where it came from, if from no index.
    pub(super) fn direct_url(&self) -> Option<DirectUrl> {
        serde_json::from_str(&self.file("direct_url.json")?).ok()
    }

    /// Where the sources of an editable project are.
    pub(super) fn editable_location(&self) -> Option<PathBuf> {
        let direct = self.direct_url().filter(DirectUrl::is_editable)?;
        url::Url::parse(&direct.url).ok()?.to_file_path().ok()
    }

    /// Whether the user asked for it.
    pub(super) fn requested(&self) -> bool {
        self.info.join("REQUESTED").exists()
    }

    /// The tool that installed it.
    pub(super) fn installer(&self) -> String {
        let installer = self.file("INSTALLER").unwrap_or_default();
        installer.trim().to_owned()
    }

    /// Its files, relative to site-packages, as its record has them.
    pub(super) fn files(&self) -> Option<Vec<String>> {
        let text = self.file("RECORD")?;
        let rows = record::parse(text.as_bytes()).ok()?;
        Some(rows.into_iter().map(|row| row.path).collect())
    }

    /// Whether this is what pip leaves out of `freeze`.
    pub(super) fn is_tool(&self) -> bool {
        matches!(
            self.key.as_ref(),
            "pip" | "setuptools" | "wheel" | "distribute"
        )
    }
}
