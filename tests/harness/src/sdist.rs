//! Source distributions and source trees made on the spot. Each brings its build backend with it
//! (`backend-path`), so that building one asks no index for anything.

use std::fs;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::zipfile::{Member, ZipFile};

/// The backend: makes a wheel of the folder `src`.
const BACKEND: &str = include_str!("backend.py");

/// A source distribution in the making.
#[derive(Debug, Clone)]
pub struct SdistSpec {
    name: String,
    version: String,
    build_requires: Vec<String>,
    headers: Vec<String>,
    backend: String,
    files: Vec<(String, String)>,
}

impl SdistSpec {
    /// Sources of a module of that name whose `__version__` is the version.
    pub fn simple(name: &str, version: &str) -> Self {
        let module = name.replace(['-', '.'], "_");
        let spec = Self {
            name: name.to_owned(),
            version: version.to_owned(),
            build_requires: Vec::new(),
            headers: Vec::new(),
            backend: BACKEND.to_owned(),
            files: Vec::new(),
        };
        spec.file(
            &format!("src/{module}.py"),
            &format!("__version__ = {version:?}\n"),
        )
    }

    /// A file of the tree, by its path in there; of two with one path the later counts.
    #[must_use]
    pub fn file(mut self, path: &str, text: &str) -> Self {
        self.files.retain(|(other, _)| other != path);
        self.files.push((path.to_owned(), text.to_owned()));
        self
    }

    /// A dependency of the wheel that comes of it.
    #[must_use]
    pub fn requires(mut self, requirement: &str) -> Self {
        self.headers.push(format!("Requires-Dist: {requirement}"));
        self
    }

    /// A requirement of its build.
    #[must_use]
    pub fn build_requires(mut self, requirement: &str) -> Self {
        self.build_requires.push(requirement.to_owned());
        self
    }

    /// Python code at the end of the backend, where it replaces hooks.
    #[must_use]
    pub fn backend(mut self, code: &str) -> Self {
        self.backend.push_str("\n\n");
        self.backend.push_str(code);
        self
    }

    /// The project's name as given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file name, as `.tar.gz`.
    pub fn filename(&self) -> String {
        format!("{}.tar.gz", self.stem())
    }

    fn stem(&self) -> String {
        format!("{}-{}", self.name.replace(['-', '.'], "_"), self.version)
    }

    /// All files of the tree.
    pub fn tree(&self) -> Vec<(String, String)> {
        let requires: Vec<_> = self
            .build_requires
            .iter()
            .map(|r| format!("{r:?}"))
            .collect();
        let pyproject = format!(
            "[build-system]\nrequires = [{}]\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n",
            requires.join(", ")
        );
        let mut metadata = format!(
            "Metadata-Version: 2.1\nName: {}\nVersion: {}\n",
            self.name, self.version
        );
        for header in &self.headers {
            metadata.push_str(header);
            metadata.push('\n');
        }
        let mut files: Vec<(String, String)> = [
            ("pyproject.toml", pyproject),
            ("backend.py", self.backend.clone()),
            ("NAME", format!("{} {}\n", self.name, self.version)),
            ("METADATA", metadata),
        ]
        .map(|(path, text)| (path.to_owned(), text))
        .to_vec();
        for (path, text) in &self.files {
            files.retain(|(other, _)| other != path);
            files.push((path.clone(), text.clone()));
        }
        files
    }

    /// The archive as a compressed tar.
    pub fn tar_gz(&self) -> Vec<u8> {
        let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (path, text) in self.tree() {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.set_mtime(1_600_000_000);
            let path = format!("{}/{path}", self.stem());
            builder
                .append_data(&mut header, path, text.as_bytes())
                .expect("memory can be written");
        }
        let encoder = builder.into_inner().expect("memory can be written");
        encoder.finish().expect("memory can be written")
    }

    /// The archive as a zip.
    pub fn zip(&self) -> Vec<u8> {
        let members = self.tree();
        let members = members
            .into_iter()
            .map(|(path, text)| Member::new(format!("{}/{path}", self.stem()), text));
        ZipFile {
            members: members.collect(),
        }
        .bytes()
    }

    /// Writes the tree into a folder and returns its path.
    pub fn write_to(&self, folder: &Path) -> PathBuf {
        for (path, text) in self.tree() {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().expect("it has one")).expect("a folder can be made");
            fs::write(path, text).expect("a file can be written");
        }
        folder.to_owned()
    }
}
