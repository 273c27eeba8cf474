//! Requirements files as pip reads them: requirements, constraints, and the options that belong in
//! such a file. Files are read through a closure, so that the crate does no I/O; what is read comes
//! out typed, each item with its place.
//!
//! What pip knows and blast cannot honour is an error that names file and line, never passed over
//! in silence.

mod item;
mod lines;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use blast_types::{ExtraName, Requirement};

use crate::inputs::NameFilter;
use lines::Line;

/// Files nested deeper than this are taken for a mistake.
const MAX_DEPTH: usize = 32;

/// What a requirements file comes to, the files that it includes among it.
#[derive(Debug, Clone, Default)]
pub struct RequirementsFile {
    /// What to install.
    pub requirements: Vec<Entry>,
    /// Limits on what is installed (`-c`).
    pub constraints: Vec<Entry>,
    /// Projects on this machine, to be built.
    pub projects: Vec<LocalProject>,
    /// The options.
    pub settings: Settings,
}

/// One requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The requirement.
    pub requirement: Requirement,
    /// Accepted hashes, `sha256:` and 64 digits.
    pub hashes: Vec<String>,
    /// Where it stands.
    pub place: Place,
}

/// A project on this machine or in a repository, without a name in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalProject {
    /// Absolute path, or a URL of a repository.
    pub location: String,
    /// Extras to install with it.
    pub extras: Vec<ExtraName>,
    /// Whether to install it in editable form (`-e`).
    pub editable: bool,
    /// Where it stands.
    pub place: Place,
}

/// Options of a requirements file.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of pip's of its own"
)]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// `--index-url`; the last one counts.
    pub index_url: Option<String>,
    /// `--extra-index-url`.
    pub extra_index_urls: Vec<String>,
    /// `--no-index`.
    pub no_index: bool,
    /// `--find-links`.
    pub find_links: Vec<String>,
    /// `--no-binary`.
    pub no_binary: NameFilter,
    /// `--only-binary`.
    pub only_binary: NameFilter,
    /// `--pre`.
    pub prereleases: bool,
    /// `--require-hashes`.
    pub require_hashes: bool,
    /// `--prefer-binary`.
    pub prefer_binary: bool,
    /// `--trusted-host`.
    pub trusted_hosts: Vec<String>,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named.
    pub file: PathBuf,
    /// The first line concerned, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// Why a requirements file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RequirementsError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is wrong.
    #[error("{place}: {problem}")]
    Line {
        /// Where.
        place: Place,
        /// What is wrong with it.
        problem: Problem,
    },
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No such option, or not in a file.
    #[error("unknown option `{0}`")]
    UnknownOption(String),
    /// pip has the option; blast cannot honour it.
    #[error("the option `{0}` is not supported")]
    UnsupportedOption(String),
    /// An option without its value.
    #[error("the option `{0}` needs a value")]
    MissingValue(String),
    /// An option with a value it does not take.
    #[error("the option `{0}` takes no value")]
    StrayValue(String),
    /// A quote that is not closed.
    #[error("a quote is not closed")]
    OpenQuote,
    /// Not a requirement.
    #[error("`{text}` is no requirement: {why}")]
    Requirement {
        /// What stands there.
        text: String,
        /// Why it is not.
        why: String,
    },
    /// A hash that is not `algorithm:digits`.
    #[error("`{0}` is no hash, which looks like sha256:…")]
    Hash(String),
    /// Not a package name.
    #[error("`{0}` is no package name")]
    Name(String),
    /// A file that includes itself.
    #[error("the file includes itself: {}", .0.display())]
    Cycle(PathBuf),
    /// Files nested too deeply.
    #[error("files are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// A file to include that is a URL.
    #[error("`{0}` is a URL: only files on this machine are read")]
    Remote(String),
    /// A constraint that is no plain requirement.
    #[error("a constraints file cannot hold `{0}`")]
    InConstraints(String),
}

/// How to reach what a file refers to.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Reads a file.
    pub read: &'a dyn Fn(&Path) -> io::Result<String>,
    /// The value of an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// What relative paths of wheels and projects are relative to: the working directory, absolute.
    pub directory: &'a Path,
}

impl fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

impl RequirementsFile {
    /// Reads a file and those that it includes.
    pub fn read(path: &Path, around: Surroundings<'_>) -> Result<Self, RequirementsError> {
        let mut reader = Reader {
            around,
            out: Self::default(),
            open: Vec::new(),
        };
        reader.file(path, false)?;
        Ok(reader.out)
    }

    /// Reads a constraints file: its requirements come out as constraints.
    pub fn read_constraints(
        path: &Path,
        around: Surroundings<'_>,
    ) -> Result<Self, RequirementsError> {
        let mut reader = Reader {
            around,
            out: Self::default(),
            open: Vec::new(),
        };
        reader.file(path, true)?;
        Ok(reader.out)
    }
}

struct Reader<'a> {
    around: Surroundings<'a>,
    out: RequirementsFile,
    /// The files being read, the outermost first.
    open: Vec<PathBuf>,
}

impl Reader<'_> {
    fn file(&mut self, path: &Path, constraints: bool) -> Result<(), RequirementsError> {
        let text = (self.around.read)(path).map_err(|source| RequirementsError::Read {
            path: path.to_owned(),
            source,
        })?;
        self.open.push(path.to_owned());
        for line in lines::logical(&text, self.around.variable) {
            let place = Place {
                file: path.to_owned(),
                line: line.number,
            };
            self.line(&line, &place, constraints)?;
        }
        self.open.pop();
        Ok(())
    }

    fn line(
        &mut self,
        line: &Line,
        place: &Place,
        constraints: bool,
    ) -> Result<(), RequirementsError> {
        let wrong = |problem| RequirementsError::Line {
            place: place.clone(),
            problem,
        };
        if !line.text.starts_with('-') {
            let item = item::parse(&line.text, self.around.directory, place).map_err(wrong)?;
            return self.put(item, constraints).map_err(wrong);
        }
        let mut words = lines::split(&line.text)
            .map_err(wrong)?
            .into_iter()
            .peekable();
        while let Some(word) = words.next() {
            let (option, mut value) = lines::option(&word);
            if lines::takes_value(option).map_err(wrong)? {
                value = value.or_else(|| words.next());
                let value = value.ok_or_else(|| wrong(Problem::MissingValue(option.to_owned())))?;
                self.option(option, &value, place, constraints)?;
            } else if value.is_some() {
                return Err(wrong(Problem::StrayValue(option.to_owned())));
            } else {
                self.switch(option);
            }
        }
        Ok(())
    }

    fn put(&mut self, item: item::Item, constraints: bool) -> Result<(), Problem> {
        match item {
            item::Item::Named(entry) if constraints => self.out.constraints.push(entry),
            item::Item::Named(entry) => self.out.requirements.push(entry),
            item::Item::Project(project) if constraints => {
                return Err(Problem::InConstraints(project.location));
            }
            item::Item::Project(project) => self.out.projects.push(project),
        }
        Ok(())
    }

    fn option(
        &mut self,
        option: &str,
        value: &str,
        place: &Place,
        constraints: bool,
    ) -> Result<(), RequirementsError> {
        let wrong = |problem| RequirementsError::Line {
            place: place.clone(),
            problem,
        };
        let settings = &mut self.out.settings;
        match option {
            "-r" | "--requirement" => return self.include(value, place, constraints),
            "-c" | "--constraint" => return self.include(value, place, true),
            "-e" | "--editable" => {
                let item = item::editable(value, self.around.directory, place).map_err(wrong)?;
                self.put(item, constraints).map_err(wrong)?;
            }
            "-i" | "--index-url" | "--pypi-url" => settings.index_url = Some(value.to_owned()),
            "--extra-index-url" => settings.extra_index_urls.push(value.to_owned()),
            "-f" | "--find-links" => settings.find_links.push(value.to_owned()),
            "--trusted-host" => settings.trusted_hosts.push(value.to_owned()),
            "--no-binary" => names(&mut settings.no_binary, value).map_err(wrong)?,
            "--only-binary" => names(&mut settings.only_binary, value).map_err(wrong)?,
            other => return Err(wrong(Problem::UnknownOption(other.to_owned()))),
        }
        Ok(())
    }

    fn switch(&mut self, option: &str) {
        let settings = &mut self.out.settings;
        match option {
            "--no-index" => settings.no_index = true,
            "--pre" => settings.prereleases = true,
            "--require-hashes" => settings.require_hashes = true,
            // `takes_value` knows no other.
            _ => settings.prefer_binary = true,
        }
    }

    /// Paths of included files are relative to the file that includes them.
    fn include(
        &mut self,
        value: &str,
        place: &Place,
        constraints: bool,
    ) -> Result<(), RequirementsError> {
        let wrong = |problem| RequirementsError::Line {
            place: place.clone(),
            problem,
        };
        if value.contains("://") {
            return Err(wrong(Problem::Remote(value.to_owned())));
        }
        let folder = place.file.parent().unwrap_or(Path::new(""));
        let path = item::normal(&folder.join(value));
        if self.open.iter().any(|open| item::normal(open) == path) {
            return Err(wrong(Problem::Cycle(path)));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(wrong(Problem::TooDeep));
        }
        self.file(&path, constraints)
    }
}

/// `:all:`, `:none:` or names between commas, added to what was said before, as pip does.
fn names(filter: &mut NameFilter, value: &str) -> Result<(), Problem> {
    for part in value
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        match part {
            ":all:" => *filter = NameFilter::All,
            ":none:" => *filter = NameFilter::None,
            name => {
                filter.insert(name.parse().map_err(|_| Problem::Name(name.to_owned()))?);
            }
        }
    }
    Ok(())
}
