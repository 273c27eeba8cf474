//! Which interpreter it is to be.
//!
//! A path or a name is a choice: that one, or an error. A version is answered by the first that
//! fits on `PATH`, else by the newest that fits elsewhere. Without a request the lines of the
//! nearest `.python-version` are tried in turn; without that file, anything supported will do. A line never names a program
//! of what is worked in: whatever ran there in a sandbox could have left both, and interpreters are asked outside.
//! `requires-python` narrows all of it.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::thread;

use blast_types::{Interpreter, Version, VersionSpecifiers};

use super::cache::ProbeCache;
use super::error::FindError;
use super::probe::{Answer, ProbeError};
use super::request::PythonRequest;
use super::search::{Candidate, Search, Source, pyenv_version, python_in, read_small};
use super::{base, is_supported};

/// Interpreters asked at the same time; each is a process that mostly waits for the disk.
const PARALLEL_PROBES: usize = 8;

/// One line of `blast python list`.
#[derive(Debug)]
pub(crate) struct Found {
    /// The executable, environments resolved to their base.
    pub(crate) path: PathBuf,
    /// How it was found.
    pub(crate) source: Source,
    /// What it is.
    pub(crate) state: FoundState,
}

/// What a found executable is.
#[derive(Debug)]
pub(crate) enum FoundState {
    /// Environments can be made for it.
    Usable(Box<Interpreter>),
    /// It works, but it is too old, too new, or no `CPython`.
    Unsupported {
        /// `sys.implementation.name`.
        implementation: String,
        /// Its version.
        version: String,
    },
    /// It gave no answer.
    Broken(ProbeError),
}

/// The interpreter to use for `request`, or without one for this place.
///
/// Blocks: asks interpreters that are not in the cache, which takes some 50 ms each.
pub(crate) fn find(
    request: Option<&PythonRequest>,
    constraint: Option<&VersionSpecifiers>,
    search: &Search,
    cache: &ProbeCache,
) -> Result<Interpreter, FindError> {
    let finder = Finder {
        constraint,
        search,
        cache,
    };
    if let Some(request) = request {
        return finder.find(request, None);
    }
    match version_file(&search.cwd) {
        Some(path) => finder.find_by_file(&path),
        None => finder.find(&PythonRequest::Any, None),
    }
}

/// Everything that can be found, in the order in which it would be considered.
pub(crate) fn find_all(search: &Search, cache: &ProbeCache) -> Vec<Found> {
    let mut seen = HashSet::new();
    let any = PythonRequest::Any;
    let candidates: Vec<Candidate> = search
        .on_path(&any)
        .chain(search.elsewhere(&any))
        .filter(|candidate| {
            let real = base::resolve(&candidate.path)
                .ok()
                .and_then(|p| fs::canonicalize(p).ok());
            seen.insert(real.unwrap_or_else(|| candidate.path.clone()))
        })
        .collect();
    let answers = inspect_all(&candidates, cache);
    // Different wrappers may have led to the same program.
    let mut seen = HashSet::new();
    let found =
        candidates
            .into_iter()
            .zip(answers)
            .map(|(Candidate { path, source, .. }, answer)| match answer {
                Ok(Answer::Known(interpreter)) => {
                    let path = interpreter.executable.clone();
                    let state = if is_supported(&interpreter) {
                        FoundState::Usable(interpreter)
                    } else {
                        let (implementation, version) = describe(&interpreter);
                        FoundState::Unsupported {
                            implementation,
                            version,
                        }
                    };
                    Found {
                        path,
                        source,
                        state,
                    }
                }
                Ok(Answer::Other {
                    implementation,
                    version,
                }) => Found {
                    path,
                    source,
                    state: FoundState::Unsupported {
                        implementation,
                        version,
                    },
                },
                Err(error) => Found {
                    path,
                    source,
                    state: FoundState::Broken(error),
                },
            });
    found
        .filter(|found| seen.insert(found.path.clone()))
        .collect()
}

/// The nearest `.python-version`, from a directory upwards.
pub(super) fn version_file(cwd: &Path) -> Option<PathBuf> {
    cwd.ancestors()
        .map(|folder| folder.join(".python-version"))
        .find(|path| path.is_file())
}

/// The path as it is written, `..` taken away with what is before.
pub(crate) fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

struct Finder<'a> {
    constraint: Option<&'a VersionSpecifiers>,
    search: &'a Search,
    cache: &'a ProbeCache,
}

impl Finder<'_> {
    /// Tries each line of a `.python-version`; the error is that of the first line.
    fn find_by_file(&self, path: &Path) -> Result<Interpreter, FindError> {
        let text = read_small(path).ok_or_else(|| FindError::VersionFile {
            path: path.to_path_buf(),
            source: fs::read_to_string(path)
                .err()
                .unwrap_or(io::ErrorKind::InvalidData.into()),
        })?;
        let mut first_error = None;
        for line in text
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default().trim())
        {
            let result = match line {
                "" => continue,
                // pyenv's word for whatever is there without pyenv.
                "system" => Ok(PythonRequest::Any),
                line => line.parse(),
            };
            let result = result
                .map_err(|source| FindError::VersionLine {
                    path: path.to_path_buf(),
                    source,
                })
                .and_then(|request| self.find(&request, Some(path)));
            match result {
                Ok(interpreter) => return Ok(interpreter),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        match first_error {
            Some(error) => Err(error),
            None => self.find(&PythonRequest::Any, None),
        }
    }

    fn find(&self, request: &PythonRequest, file: Option<&Path>) -> Result<Interpreter, FindError> {
        match request {
            PythonRequest::Path(path) => self.named_by(file, &self.absolute(path, file)),
            PythonRequest::Name(name) => {
                let path = self
                    .named(name)
                    .ok_or_else(|| self.not_found(request, file))?;
                self.named_by(file, &path)
            }
            PythonRequest::Any | PythonRequest::Version { .. } | PythonRequest::Range(_) => self
                .first_on_path(request)
                .or_else(|| self.newest_elsewhere(request))
                .ok_or_else(|| self.not_found(request, file)),
        }
    }

    /// The same, for who named it: a user, or a file.
    fn named_by(&self, file: Option<&Path>, path: &Path) -> Result<Interpreter, FindError> {
        match file {
            Some(file) if self.is_worked_in(file, path) => Err(FindError::Inside {
                path: without_dots(path),
                file: file.to_path_buf(),
            }),
            _ => self.at(path),
        }
    }

    /// Whether a path that a file names is, or leads, to where programs write: beside that file, which is not looked at in a
    /// home directory, or below where the user is.
    fn is_worked_in(&self, file: &Path, path: &Path) -> bool {
        let beside = file
            .parent()
            .filter(|folder| self.search.home.as_deref() != Some(folder));
        let paths = [
            without_dots(path),
            fs::canonicalize(path).unwrap_or_default(),
        ];
        [Some(self.search.cwd.as_path()), beside]
            .into_iter()
            .flatten()
            .any(|folder| {
                let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
                paths
                    .iter()
                    .any(|path| path.starts_with(folder) || path.starts_with(&real))
            })
    }

    /// The one that was chosen by its path, or by the directory of its environment.
    fn at(&self, path: &Path) -> Result<Interpreter, FindError> {
        let executable = if path.is_dir() {
            python_in(&path.join("bin")).or_else(|| python_in(path))
        } else {
            path.is_file().then(|| path.to_path_buf())
        };
        let path = executable.ok_or_else(|| FindError::NoSuchPath {
            path: path.to_path_buf(),
        })?;
        let interpreter = match self.cache.inspect(&path)? {
            Answer::Known(interpreter) if is_supported(&interpreter) => *interpreter,
            Answer::Known(interpreter) => {
                let (implementation, version) = describe(&interpreter);
                return Err(FindError::Unsupported {
                    path,
                    implementation,
                    version,
                });
            }
            Answer::Other {
                implementation,
                version,
            } => {
                return Err(FindError::Unsupported {
                    path,
                    implementation,
                    version,
                });
            }
        };
        match self
            .constraint
            .filter(|range| !within(range, &full_version(&interpreter)))
        {
            None => Ok(interpreter),
            Some(range) => Err(FindError::Constraint {
                path,
                version: interpreter.markers.python_full_version,
                constraint: range.to_string(),
            }),
        }
    }

    /// A path as given: relative to where the user is, or to the file that it stands in.
    fn absolute(&self, path: &Path, file: Option<&Path>) -> PathBuf {
        let folder = file.and_then(Path::parent).unwrap_or(&self.search.cwd);
        match (path.strip_prefix("~"), &self.search.home) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => folder.join(path),
        }
    }

    fn named(&self, name: &str) -> Option<PathBuf> {
        let in_pyenv = || {
            let version = pyenv_version(&self.search.pyenv_root()?, name)?;
            python_in(&version.join("bin"))
        };
        let here = || python_in(&self.search.cwd.join(name).join("bin"));
        self.search.named(name).or_else(in_pyenv).or_else(here)
    }

    fn first_on_path(&self, request: &PythonRequest) -> Option<Interpreter> {
        self.search.on_path(request).find_map(|candidate| {
            match self.cache.inspect(&candidate.path) {
                Ok(answer) => self.fitting(answer, request),
                Err(error) => {
                    tracing::debug!(path = %candidate.path.display(), %error, "passed over");
                    None
                }
            }
        })
    }

    fn newest_elsewhere(&self, request: &PythonRequest) -> Option<Interpreter> {
        let mut candidates = self.search.elsewhere(request);
        candidates.retain(|candidate| {
            candidate
                .hint
                .as_ref()
                .is_none_or(|hint| request.accepts_version(hint))
        });
        let mut best: Option<((bool, Version), Interpreter)> = None;
        for (candidate, answer) in candidates.iter().zip(inspect_all(&candidates, self.cache)) {
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    tracing::debug!(path = %candidate.path.display(), %error, "passed over");
                    continue;
                }
            };
            let Some(interpreter) = self.fitting(answer, request) else {
                continue;
            };
            let version = full_version(&interpreter);
            let rank = (version.is_stable(), version);
            if best.as_ref().is_none_or(|(highest, _)| rank > *highest) {
                best = Some((rank, interpreter));
            }
        }
        best.map(|(_, interpreter)| interpreter)
    }

    fn fitting(&self, answer: Answer, request: &PythonRequest) -> Option<Interpreter> {
        let Answer::Known(interpreter) = answer else {
            return None;
        };
        let full = full_version(&interpreter);
        let fits = is_supported(&interpreter)
            && request.accepts(&interpreter, &full)
            && self.constraint.is_none_or(|range| within(range, &full));
        fits.then_some(*interpreter)
    }

    /// Says what was wanted, and looks at everything to say what there is instead.
    fn not_found(&self, request: &PythonRequest, file: Option<&Path>) -> FindError {
        let constraint = self
            .constraint
            .map(|range| format!(" that satisfies requires-python `{range}`"))
            .unwrap_or_default();
        let origin = file
            .map(|file| format!(", which {} asks for", file.display()))
            .unwrap_or_default();
        let wanted = format!("{request}{constraint}{origin}");
        let found = find_all(self.search, self.cache)
            .into_iter()
            .filter_map(|found| {
                let version = match found.state {
                    FoundState::Usable(interpreter) => describe(&interpreter).1,
                    FoundState::Unsupported {
                        implementation,
                        version,
                    } => {
                        format!("{implementation} {version}")
                    }
                    FoundState::Broken(_) => return None,
                };
                Some(format!("{version} ({})", found.path.display()))
            })
            .collect();
        FindError::NotFound { wanted, found }
    }
}

/// Asks all candidates, those that the cache does not know in parallel.
fn inspect_all(candidates: &[Candidate], cache: &ProbeCache) -> Vec<Result<Answer, ProbeError>> {
    let mut answers = Vec::with_capacity(candidates.len());
    for group in candidates.chunks(PARALLEL_PROBES) {
        thread::scope(|scope| {
            let asked: Vec<_> = group
                .iter()
                .map(|candidate| {
                    cache
                        .remembered(&candidate.path)
                        .ok_or_else(|| scope.spawn(|| cache.inspect(&candidate.path)))
                })
                .collect();
            answers.extend(asked.into_iter().map(|asked| match asked {
                Ok(answer) => Ok(answer),
                Err(thread) => match thread.join() {
                    Ok(result) => result,
                    Err(panic) => std::panic::resume_unwind(panic),
                },
            }));
        });
    }
    answers
}

/// Implementation and version, for people.
fn describe(interpreter: &Interpreter) -> (String, String) {
    let markers = &interpreter.markers;
    let suffix = if interpreter.platform.gil_disabled {
        "t"
    } else {
        ""
    };
    (
        markers.implementation_name.clone(),
        format!("{}{suffix}", markers.python_full_version),
    )
}

/// The whole version. The probe made sure that there is one.
fn full_version(interpreter: &Interpreter) -> Version {
    let (major, minor) = interpreter.version();
    let markers = &interpreter.markers;
    markers.python_full_version.parse().unwrap_or_else(|_| {
        // Only an entry of the cache that somebody edited gets here.
        Version::new([u64::from(major), u64::from(minor)])
    })
}

fn within(range: &VersionSpecifiers, version: &Version) -> bool {
    range.contains(&version.clone().without_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_version_file_counts() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let deep = root.path().join("a/b");
        fs::create_dir_all(&deep).expect("folders");
        fs::write(root.path().join(".python-version"), "3.11").expect("a file");
        assert_eq!(
            version_file(&deep),
            Some(root.path().join(".python-version"))
        );
        fs::write(root.path().join("a/.python-version"), "3.12").expect("a file");
        assert_eq!(
            version_file(&deep),
            Some(root.path().join("a/.python-version"))
        );
    }
}
