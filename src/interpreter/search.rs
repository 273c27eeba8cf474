//! Where interpreters may be: the places, in their order, and the candidates in them.
//!
//! A pure enumeration over the file system; nothing is run. The shims of pyenv are scripts that
//! take a tenth of a second each and fail when their version is not chosen; what they would
//! choose is worked out from pyenv's own files.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use blast_types::{Version, versions};

use super::SUPPORTED_MINORS;
use super::request::PythonRequest;

/// Minor versions of which there are builds without the global lock.
const FREE_THREADED_MINORS: std::ops::RangeInclusive<u8> = 13..=*SUPPORTED_MINORS.end();

/// Where to look. Comes from the user's side of the connection: a daemon's own environment is
/// whatever it was started with.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    /// `$PATH`. Relative entries are skipped.
    pub(crate) path: OsString,
    /// The user's working directory: `.python-version` counts from here upwards.
    pub(crate) cwd: PathBuf,
    /// The user's home directory.
    pub(crate) home: Option<PathBuf>,
    /// `$PYENV_ROOT`; `~/.pyenv` where it is not set.
    pub(crate) pyenv_root: Option<PathBuf>,
    /// `$PYENV_VERSION`.
    pub(crate) pyenv_version: Option<String>,
    /// What `/usr`, `/opt` and so on are below: `/`, save in tests.
    pub(crate) root: PathBuf,
}

/// How a candidate came to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A directory of `$PATH`.
    Path,
    /// A version that pyenv installed.
    Pyenv,
    /// Installed by uv.
    Uv,
    /// The base of a conda installation.
    Conda,
    /// `/usr/bin` and the like.
    System,
}

/// An executable that may be an interpreter.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    pub(super) source: Source,
    /// The version that its folder's name promises.
    pub(super) hint: Option<Version>,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Path => "PATH",
            Self::Pyenv => "pyenv",
            Self::Uv => "uv",
            Self::Conda => "conda",
            Self::System => "system",
        })
    }
}

impl Search {
    /// The usual places, as a user with these variables sees them.
    pub(crate) fn new(
        path: OsString,
        cwd: PathBuf,
        home: Option<PathBuf>,
        pyenv_root: Option<PathBuf>,
    ) -> Self {
        Self {
            path,
            cwd,
            home,
            pyenv_root,
            pyenv_version: None,
            root: PathBuf::from("/"),
        }
    }

    /// Candidates in the directories of `$PATH`, in its order; lazy, since the first one usually
    /// will do.
    pub(super) fn on_path<'a>(
        &'a self,
        request: &PythonRequest,
    ) -> impl Iterator<Item = Candidate> + use<'a> {
        let names = names(request);
        let mut seen = HashSet::new();
        std::env::split_paths(&self.path)
            .filter(|folder| folder.is_absolute())
            // `/bin` is `/usr/bin` on most systems: look there once.
            .filter(move |folder| fs::canonicalize(folder).is_ok_and(|real| seen.insert(real)))
            .flat_map(|folder| self.behind_shims(folder))
            .flat_map(move |folder| in_folder(&folder, &names, Source::Path))
    }

    /// An executable of this name in `$PATH`.
    pub(super) fn named(&self, name: &str) -> Option<PathBuf> {
        std::env::split_paths(&self.path)
            .filter(|folder| folder.is_absolute())
            .flat_map(|folder| self.behind_shims(folder))
            .map(|folder| folder.join(name))
            .find(|path| is_executable(path))
    }

    /// Candidates in the other usual places.
    pub(super) fn elsewhere(&self, request: &PythonRequest) -> Vec<Candidate> {
        let names = names(request);
        let mut found = self.pyenv_candidates();
        for (folders, source) in [
            (self.uv_folders(), Source::Uv),
            (self.conda_folders(), Source::Conda),
            (self.system_folders(), Source::System),
        ] {
            for folder in folders {
                found.extend(in_folder(&folder, &names, source));
            }
        }
        found
    }

    /// pyenv's directory, where there is one.
    pub(super) fn pyenv_root(&self) -> Option<PathBuf> {
        let default = || self.home.as_ref().map(|home| home.join(".pyenv"));
        self.pyenv_root
            .clone()
            .or_else(default)
            .filter(|root| root.join("versions").is_dir())
    }

    /// The folder itself, or, for pyenv's shims, those of the versions that they would choose.
    fn behind_shims(&self, folder: PathBuf) -> Vec<PathBuf> {
        let root = folder.parent().filter(|root| {
            folder.file_name().is_some_and(|name| name == "shims") && root.join("versions").is_dir()
        });
        match root {
            Some(root) => self.pyenv_chosen(root),
            None => vec![folder],
        }
    }

    /// What pyenv would choose here: by variable, by `.python-version`, or globally.
    fn pyenv_chosen(&self, root: &Path) -> Vec<PathBuf> {
        let local = || super::find::version_file(&self.cwd).and_then(|path| read_small(&path));
        let global = || read_small(&root.join("version"));
        let chosen = self.pyenv_version.clone().filter(|text| !text.is_empty());
        let text = chosen.or_else(local).or_else(global).unwrap_or_default();
        text.lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .flat_map(|line| line.split([':', ' ', '\t']))
            .filter_map(|name| pyenv_version(root, name.trim()))
            .map(|version| version.join("bin"))
            .collect()
    }

    fn pyenv_candidates(&self) -> Vec<Candidate> {
        let Some(root) = self.pyenv_root() else {
            return Vec::new();
        };
        let versions = subfolders(&root.join("versions"), |_| true);
        versions
            .iter()
            .filter_map(|folder| {
                let path = python_in(&folder.join("bin"))?;
                let name = folder.file_name()?.to_str()?;
                // `3.12.1`, but not `3.13-dev`, whose version is anybody's guess.
                let hint = name.parse().ok().filter(|version: &Version| {
                    version.release().len() == 3 && version.is_stable()
                });
                Some(Candidate {
                    path,
                    source: Source::Pyenv,
                    hint,
                })
            })
            .collect()
    }

    fn uv_folders(&self) -> Vec<PathBuf> {
        let Some(home) = &self.home else {
            return Vec::new();
        };
        let installed = subfolders(&home.join(".local/share/uv/python"), |_| true);
        installed
            .into_iter()
            .map(|folder| folder.join("bin"))
            .collect()
    }

    fn conda_folders(&self) -> Vec<PathBuf> {
        let names = ["miniforge3", "mambaforge", "miniconda3", "anaconda3"];
        let in_home = self
            .home
            .iter()
            .flat_map(|home| names.map(|name| home.join(name)));
        let opt = self.root.join("opt");
        let in_opt = ["conda", "miniforge3", "miniconda3", "anaconda3"].map(|name| opt.join(name));
        in_home.chain(in_opt).map(|base| base.join("bin")).collect()
    }

    fn system_folders(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.root.join("usr/local/bin"), self.root.join("usr/bin")];
        let opt = self.root.join("opt");
        let pythons = subfolders(&opt, |name| name.starts_with("python"));
        folders.extend(pythons.into_iter().map(|folder| folder.join("bin")));
        // The images that wheels are built in have one folder for each.
        let images = subfolders(&opt.join("python"), |name| name.starts_with("cp"));
        folders.extend(images.into_iter().map(|folder| folder.join("bin")));
        folders
    }
}

/// The folder of a version that pyenv's files name: exactly, or the newest that begins so.
pub(super) fn pyenv_version(root: &Path, name: &str) -> Option<PathBuf> {
    let name = name.strip_prefix("python-").unwrap_or(name);
    let inside = Path::new(name)
        .components()
        .all(|c| matches!(c, Component::Normal(_)));
    if name.is_empty() || name == "system" || !inside {
        return None;
    }
    let folder = root.join("versions");
    let exact = folder.join(name);
    if exact.is_dir() {
        return Some(exact);
    }
    let prefix = format!("{name}.");
    subfolders(&folder, |entry| entry.starts_with(&prefix))
        .into_iter()
        .filter_map(|folder| {
            let version = versions::version(folder.file_name()?.to_str()?).ok()?;
            Some((version, folder))
        })
        .max()
        .map(|(_, folder)| folder)
}

/// `python3` or `python` in a folder.
pub(super) fn python_in(folder: &Path) -> Option<PathBuf> {
    ["python3", "python"]
        .map(|name| folder.join(name))
        .into_iter()
        .find(|path| is_executable(path))
}

/// Whether there is a file that somebody may execute.
pub(super) fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// A file of a few lines, as text.
pub(super) fn read_small(path: &Path) -> Option<String> {
    use std::io::Read as _;
    let mut text = String::new();
    fs::File::open(path)
        .ok()?
        .take(64 * 1024)
        .read_to_string(&mut text)
        .ok()?;
    Some(text)
}

/// The file names that may answer a request, the likeliest first.
fn names(request: &PythonRequest) -> Vec<String> {
    let plain = ["python3".to_owned(), "python".to_owned()];
    let Some(minor) = request.minor() else {
        let numbered = SUPPORTED_MINORS
            .rev()
            .map(|minor| format!("python3.{minor}"));
        let free_threaded = FREE_THREADED_MINORS
            .rev()
            .map(|minor| format!("python3.{minor}t"));
        return plain
            .into_iter()
            .chain(numbered)
            .chain(free_threaded)
            .collect();
    };
    let numbered = format!("python3.{minor}");
    let free_threaded = request.free_threaded().then(|| format!("{numbered}t"));
    free_threaded
        .into_iter()
        .chain([numbered])
        .chain(plain)
        .collect()
}

fn in_folder(folder: &Path, names: &[String], source: Source) -> Vec<Candidate> {
    names
        .iter()
        .map(|name| folder.join(name))
        .filter(|path| is_executable(path))
        .map(|path| Candidate {
            path,
            source,
            hint: None,
        })
        .collect()
}

/// Folders in a folder, sorted by name; none if it is not there.
fn subfolders(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut folders: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_str().is_some_and(&wanted))
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}
