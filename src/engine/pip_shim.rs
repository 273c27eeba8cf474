//! The `pip` of every environment that has no other: modules that hand each command to blast
//! (`shell-integration/pip`, `cli/pip`), and the scripts `pip`, `pip3` and `pip3.X`.
//!
//! It is no distribution: no layer, no metadata, nothing that lists, locks or resolves sees it. What
//! the folders of an environment show is what its packages brought, so of the shim there is only
//! bytecode there, which Python imports without sources, and all else is below `.blast/`. Where a
//! package of the name `pip` is installed the shim is left out.
//!
//! The bytecode is made once for each kind of interpreter and kept in the cache; the store has it as a
//! few blobs that all environments share.
//!
//! ```text
//! lib/python3.12/site-packages/pip/…/*.pyc     the modules
//! .blast/blast                                 symlink to the executable that serves them
//! .blast/bin/pip, pip3, pip3.12                scripts, last in the PATH of an environment
//! ```

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use blast_store::Staging;
use blast_types::{BlobId, Interpreter};
use serde::{Deserialize, Serialize};

use super::error::EngineError;
use super::home::lock;
use crate::interpreter;

/// The modules, below site-packages.
const SOURCES: [(&str, &str); 5] = [
    (
        "pip/__init__.py",
        include_str!("../../shell-integration/pip/__init__.py"),
    ),
    (
        "pip/__main__.py",
        include_str!("../../shell-integration/pip/__main__.py"),
    ),
    (
        "pip/_internal/__init__.py",
        include_str!("../../shell-integration/pip/_internal/__init__.py"),
    ),
    (
        "pip/_internal/cli/__init__.py",
        include_str!("../../shell-integration/pip/_internal/cli/__init__.py"),
    ),
    (
        "pip/_internal/cli/main.py",
        include_str!("../../shell-integration/pip/_internal/cli/main.py"),
    ),
];

/// Folder below the cache directory; the number changes with the form of its entries.
const BUCKET: &str = "pip-v1";

/// One module as an environment shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Module {
    /// Below site-packages.
    pub(crate) path: String,
    /// Its bytecode.
    pub(crate) blob: BlobId,
    /// Its size in bytes.
    pub(crate) size: u64,
}

/// The bytecode of all modules for the interpreters that were seen, by their tag.
#[derive(Debug)]
pub(crate) struct Shims {
    folder: PathBuf,
    known: Mutex<HashMap<String, Arc<Bytecode>>>,
}

/// The bytecode of all modules: path below site-packages, content.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Bytecode(Vec<(String, Vec<u8>)>);

impl Shims {
    /// Kept below this cache directory. Nothing is read or made yet.
    pub(super) fn new(cache: &Path) -> Self {
        Self {
            folder: cache.join(BUCKET),
            known: Mutex::default(),
        }
    }

    /// The modules for this interpreter, their bytecode staged. None where it cannot compile them:
    /// an environment is none the worse for it. Blocks, the first time for a start of Python.
    pub(super) fn stage(
        &self,
        interpreter: &Interpreter,
        staging: &Staging,
    ) -> Result<Vec<Module>, EngineError> {
        let bytecode = match self.bytecode(interpreter) {
            Ok(bytecode) => bytecode,
            Err(error) => {
                tracing::warn!(%error, python = %interpreter.executable.display(), "no pip");
                return Ok(Vec::new());
            }
        };
        let modules = bytecode.0.iter().map(|(path, content)| {
            Ok(Module {
                path: path.clone(),
                blob: staging.blob(content)?,
                size: content.len() as u64,
            })
        });
        modules.collect()
    }

    fn bytecode(&self, interpreter: &Interpreter) -> io::Result<Arc<Bytecode>> {
        let tag = format!("{}-{}", interpreter.cache_tag, interpreter.bytecode_magic);
        let mut known = lock(&self.known);
        if let Some(bytecode) = known.get(&tag) {
            return Ok(Arc::clone(bytecode));
        }
        let kept = self.folder.join(format!("{tag}-{}.json", version()));
        let read = || serde_json::from_slice(&fs::read(&kept).ok()?).ok();
        let bytecode = if let Some(bytecode) = read() {
            bytecode
        } else {
            let bytecode = compiled(&interpreter.executable)?;
            if let Err(error) = self.keep(&kept, &bytecode) {
                tracing::debug!(%error, "the pip of this interpreter is not kept");
            }
            bytecode
        };
        let bytecode = Arc::new(bytecode);
        known.insert(tag, Arc::clone(&bytecode));
        Ok(bytecode)
    }

    /// Whoever reads it meanwhile sees nothing or all of it.
    fn keep(&self, path: &Path, bytecode: &Bytecode) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        serde_json::to_writer(&mut file, bytecode)?;
        file.persist(path)?;
        Ok(())
    }
}

fn compiled(python: &Path) -> io::Result<Bytecode> {
    let named: Vec<_> = SOURCES
        .iter()
        .map(|(path, text)| (format!("<blast>/{path}"), *text))
        .collect();
    let named: Vec<_> = named
        .iter()
        .map(|(name, text)| (name.as_str(), *text))
        .collect();
    let files = interpreter::compile(python, &named)?;
    let paths = SOURCES.iter().map(|(path, _)| format!("{path}c"));
    Ok(Bytecode(paths.zip(files).collect()))
}

/// Changes with the sources.
fn version() -> String {
    let mut hasher = blake3::Hasher::new();
    for (path, text) in SOURCES {
        hasher.update(path.as_bytes()).update(text.as_bytes());
    }
    hasher.finalize().to_hex()[..16].to_owned()
}
