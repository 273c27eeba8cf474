//! Requirements as the user gives them: words of the command line, requirements and constraints
//! files. The files are read here, on the user's side, and the daemon gets PEP 508 texts; what
//! options in the files say of indexes and of the resolver comes out beside them.

use std::cell::Cell;
use std::env;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use blast_resolver::NameFilter;
use blast_resolver::requirements::{
    Entry, LocalProject, Problem, RequirementsError, RequirementsFile, Settings, Surroundings,
};

use super::context::Context;
use super::options::RequirementOptions;
use super::pip_settings::PipSettings;
use super::resolution::{self, ResolverOptions};
use super::sources::FromFiles;
use crate::error::{Error, Kind};
use crate::ipc::protocol::{RequirementLine, RequirementSet};

/// What a file name must be to mean the standard input.
const STDIN: &str = "-";

/// All that was asked for.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Requirements.
    pub(super) set: RequirementSet,
    /// What files say of indexes.
    pub(super) sources: FromFiles,
    /// What files say of the resolver.
    pub(super) options: resolution::FromFiles,
}

impl Gathered {
    /// These requirements and nothing else.
    pub(super) fn of(set: RequirementSet) -> Self {
        Self {
            set,
            ..Self::default()
        }
    }
}

/// Reads what was asked for. Relative paths are relative to `cwd`.
pub(super) fn gather(options: &RequirementOptions, cwd: &Path) -> Result<Gathered, Error> {
    let mut all = Gathered::default();
    for word in &options.requirements {
        all.add(of_word(word, cwd)?, None)?;
    }
    for path in &options.editable {
        all.add(of_editable(path, cwd)?, None)?;
    }
    let read = |path: &Path| read(path);
    let variable = |name: &str| env::var(name).ok();
    let around = Surroundings {
        read: &read,
        variable: &variable,
        directory: cwd,
    };
    for path in &options.requirement_files {
        all.add(
            RequirementsFile::read(path, around).map_err(|e| unusable(&e))?,
            Some(path),
        )?;
    }
    all.settle_links(cwd);
    Ok(all)
}

impl Gathered {
    /// Reads what limits the choice: the files of `--constraint` and `--override`, and what pip's
    /// settings say.
    pub(super) fn limited_by(
        self,
        flags: &ResolverOptions,
        context: &Context,
    ) -> Result<Self, Error> {
        let pip = PipSettings::read(context)?;
        self.limited(flags, pip, context.cwd()?)
    }

    /// The same with these settings of pip's.
    pub(super) fn limited(
        mut self,
        flags: &ResolverOptions,
        pip: PipSettings,
        cwd: &Path,
    ) -> Result<Self, Error> {
        let read = |path: &Path| read(path);
        let variable = |name: &str| env::var(name).ok();
        let around = Surroundings {
            read: &read,
            variable: &variable,
            directory: cwd,
        };
        for path in pip.constraint_files.iter().chain(&flags.constraint_files) {
            let file = RequirementsFile::read_constraints(path, around);
            self.add(file.map_err(|e| unusable(&e))?, Some(path))?;
        }
        for path in &flags.override_files {
            let mut overrides = Self::default();
            let file = RequirementsFile::read(path, around);
            overrides.add(file.map_err(|e| unusable(&e))?, Some(path))?;
            if overrides.sources != FromFiles::default()
                || overrides.options != resolution::FromFiles::default()
            {
                return Err(Error::usage(format!(
                    "{}: options have no place in a file of overrides",
                    path.display()
                )));
            }
            let texts = overrides.set.requirements.into_iter().map(|line| line.text);
            self.options.overrides.extend(texts);
        }
        self.settle_links(cwd);
        self.options.pip = Box::new(pip);
        Ok(self)
    }

    /// It, if each requirement has a hash or pip's settings ask for none.
    pub(super) fn hashed(self) -> Result<Self, Error> {
        let bare = |line: &&RequirementLine| line.hashes.is_empty();
        match (
            &self.options.pip.require_hashes,
            self.set.requirements.iter().find(bare),
        ) {
            (Some(place), Some(line)) => Err(Error::no(format!(
                "`{}` has no hash, and require-hashes ({place}) asks for one of each",
                line.text
            ))),
            _ => Ok(self),
        }
    }

    /// A path is relative to the file if it exists there, as pip has it, else to `cwd`.
    fn settle_links(&mut self, cwd: &Path) {
        for links in &mut self.sources.find_links {
            if !links.contains("://") && !links.starts_with('/') {
                *links = cwd.join(&*links).display().to_string();
            }
        }
    }

    /// Adds what a file (`None`: a word of the command line) holds.
    fn add(&mut self, read: RequirementsFile, path: Option<&Path>) -> Result<(), Error> {
        let RequirementsFile {
            requirements,
            constraints,
            projects,
            settings,
        } = read;
        if settings.require_hashes
            && let Some(bare) = requirements.iter().find(|entry| entry.hashes.is_empty())
        {
            return Err(Error::no(format!(
                "{}: `{}` has no hash, and the file asks for one of each",
                bare.place, bare.requirement
            )));
        }
        if let Some(hashed) = constraints.iter().find(|entry| !entry.hashes.is_empty()) {
            return Err(Error::usage(format!(
                "{}: hashes of constraints are not supported",
                hashed.place
            ))
            .hint("give the hash with the requirement itself"));
        }
        let line = |entry: Entry| RequirementLine {
            // Credentials of a URL are needed to fetch it; the socket is the user's own.
            text: entry.requirement.displayable_with_credentials().to_string(),
            hashes: entry.hashes,
            origin: path.map(|_| entry.place.to_string()),
            editable: false,
            unnamed: false,
            extras: Vec::new(),
        };
        self.set
            .requirements
            .extend(requirements.into_iter().map(line));
        for project in projects {
            self.set
                .requirements
                .push(of_project(&project, path.is_some())?);
        }
        self.options.constraints.extend(
            constraints
                .iter()
                .map(|entry| entry.requirement.displayable_with_credentials().to_string()),
        );
        self.apply(settings, path.and_then(Path::parent));
        Ok(())
    }

    fn apply(&mut self, settings: Settings, folder: Option<&Path>) {
        let sources = &mut self.sources;
        sources.index_url = settings.index_url.or_else(|| sources.index_url.take());
        sources.extra_index_url.extend(settings.extra_index_urls);
        sources.trusted_hosts.extend(settings.trusted_hosts);
        sources.no_index |= settings.no_index;
        for links in settings.find_links {
            let beside = folder
                .map(|folder| folder.join(&links))
                .filter(|path| path.exists());
            sources.find_links.push(match beside {
                Some(path) => path.display().to_string(),
                None => links,
            });
        }
        let options = &mut self.options;
        options.pre |= settings.prereleases;
        options.no_binary.extend(names(&settings.no_binary));
        options.only_binary.extend(names(&settings.only_binary));
    }
}

/// What files of constraints say, as PEP 508 texts.
pub(super) fn constraints(files: &[PathBuf], cwd: &Path) -> Result<Vec<String>, Error> {
    let mut limits = ResolverOptions::default();
    limits.constraint_files.extend_from_slice(files);
    let read = Gathered::default().limited(&limits, PipSettings::default(), cwd)?;
    Ok(read.options.constraints)
}

/// A requirement, path or URL among the arguments, read as a file of that one line. Options and
/// further lines have no place there, nor have variables: the shell has replaced them.
fn of_word(word: &str, cwd: &Path) -> Result<RequirementsFile, Error> {
    let problem = |why: &str| {
        Error::usage(format!(
            "`{}` is no requirement: {why}",
            word.escape_debug()
        ))
    };
    if word.starts_with('-') {
        return Err(problem("options go before `--`"));
    }
    of_line(word, word, cwd)
}

/// A path or URL after `-e`.
fn of_editable(word: &str, cwd: &Path) -> Result<RequirementsFile, Error> {
    of_line(&format!("-e {word}"), word, cwd)
}

/// Sources without a name, as the daemon takes them.
fn of_project(project: &LocalProject, in_file: bool) -> Result<RequirementLine, Error> {
    let location = &project.location;
    let text = if location.contains("://") {
        location.clone()
    } else {
        let url = url::Url::from_file_path(location);
        url.map_err(|()| Error::usage(format!("`{location}` is no path")))?
            .into()
    };
    Ok(RequirementLine {
        text,
        hashes: Vec::new(),
        origin: in_file.then(|| project.place.to_string()),
        editable: project.editable,
        unnamed: true,
        extras: project.extras.iter().map(ToString::to_string).collect(),
    })
}

/// What `text` would be as the one line of a requirements file.
fn of_line(text: &str, word: &str, cwd: &Path) -> Result<RequirementsFile, Error> {
    let problem = |why: &str| {
        Error::usage(format!(
            "`{}` is no requirement: {why}",
            word.escape_debug()
        ))
    };
    if word.contains(['\n', '\r', '\\']) {
        return Err(problem(
            "it is more than one line, or has a backslash in it",
        ));
    }
    let asked = Cell::new(false);
    let read = |_: &Path| {
        // It could only include further files by an option, and that was refused.
        if asked.replace(true) {
            Err(io::ErrorKind::Unsupported.into())
        } else {
            Ok(text.to_owned())
        }
    };
    let around = Surroundings {
        read: &read,
        variable: &|_| None,
        directory: cwd,
    };
    let file =
        RequirementsFile::read(Path::new("arguments"), around).map_err(|error| match error {
            RequirementsError::Line { problem, .. } => of_problem(&problem, problem.to_string()),
            error @ RequirementsError::Read { .. } => unusable(&error),
        })?;
    if file.requirements.is_empty() && file.projects.is_empty() {
        return Err(problem("it is empty"));
    }
    Ok(file)
}

fn read(path: &Path) -> io::Result<String> {
    if path.as_os_str() != STDIN {
        return fs::read_to_string(path);
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

/// As the daemon takes them: `:all:`, or names.
fn names(filter: &NameFilter) -> Vec<String> {
    match filter {
        NameFilter::None => Vec::new(),
        NameFilter::All => vec![":all:".to_owned()],
        NameFilter::Only(names) => names.iter().map(ToString::to_string).collect(),
    }
}

fn unusable(error: &RequirementsError) -> Error {
    match error {
        RequirementsError::Read { path, source } => {
            let kind = match source.kind() {
                io::ErrorKind::NotFound => Kind::Usage,
                _ => Kind::Internal,
            };
            Error::new(kind, format!("cannot read {}", path.display())).caused_by(source)
        }
        RequirementsError::Line { place, problem } => {
            of_problem(problem, format!("{place}: {problem}"))
        }
    }
}

fn of_problem(problem: &Problem, message: String) -> Error {
    let error = Error::usage(message);
    match problem {
        Problem::Remote(_) => error.hint("fetch the file first, then name it by its path"),
        Problem::Requirement { .. } => {
            error.hint("a requirement looks like `flask`, `\"flask>=3\"` or `name @ URL`")
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(words: &[&str], files: &[(&str, &str)]) -> Result<Gathered, Error> {
        let folder = tempfile::tempdir().expect("temporary directory");
        let mut options = RequirementOptions {
            requirements: words.iter().map(ToString::to_string).collect(),
            ..Default::default()
        };
        let mut limits = ResolverOptions::default();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("written");
            match name.as_bytes() {
                [b'c', ..] => limits.constraint_files.push(path),
                [b'o', ..] => limits.override_files.push(path),
                _ => options.requirement_files.push(path),
            }
        }
        let cwd = Path::new("/work");
        gather(&options, cwd)?.limited(&limits, PipSettings::default(), cwd)
    }

    fn texts(gathered: &Gathered) -> Vec<&str> {
        gathered
            .set
            .requirements
            .iter()
            .map(|line| line.text.as_str())
            .collect()
    }

    #[test]
    fn words_become_pep_508_texts() {
        let words = [
            "Flask>=3",
            "./a-1.0-py3-none-any.whl",
            "b @ https://me:secret@files.example/b.whl",
        ];
        let all = gathered(&words, &[]).expect("valid");
        assert_eq!(
            texts(&all),
            [
                "flask>=3",
                "a @ file:///work/a-1.0-py3-none-any.whl",
                "b @ https://me:secret@files.example/b.whl"
            ]
        );
        assert_eq!(all.set.requirements[0].origin, None);
    }

    #[test]
    fn files_bring_their_options_and_say_where_each_line_stands() {
        let text = "--index-url http://127.0.0.1/simple/\n--pre\n--find-links wheels\n\
                    --no-binary numpy\n--trusted-host 127.0.0.1\nsix==1.0 --hash=sha256:ab\n";
        let limits = [("c.txt", "idna<4\n"), ("o.txt", "idna==5\n")];
        let all = gathered(&[], &[&[("r.txt", text)][..], &limits[..]].concat()).expect("valid");
        let line = &all.set.requirements[0];
        assert_eq!(
            (line.text.as_str(), line.hashes.as_slice()),
            ("six==1.0", &["sha256:ab".to_owned()][..])
        );
        assert!(
            line.origin
                .as_deref()
                .is_some_and(|origin| origin.ends_with("r.txt:6")),
            "{line:?}"
        );
        assert_eq!(all.options.constraints, ["idna<4"]);
        assert_eq!(
            all.sources.index_url.as_deref(),
            Some("http://127.0.0.1/simple/")
        );
        assert_eq!(all.sources.find_links, ["/work/wheels"]);
        assert_eq!(all.sources.trusted_hosts, ["127.0.0.1"]);
        assert!(all.options.pre);
        assert_eq!(all.options.no_binary, ["numpy"]);
        assert_eq!(all.options.overrides, ["idna==5"]);
        let error = gathered(&[], &[("o.txt", "--pre\nidna==5\n")]).expect_err("an option");
        assert!(error.message.contains("o.txt"), "{error}");
    }

    #[test]
    fn what_cannot_be_had_is_refused_by_name() {
        for (words, kind, word) in [
            (&["-r"][..], Kind::Usage, "-r"),
            (&["a\nb"], Kind::Usage, "one line"),
            (&["# x"], Kind::Usage, "empty"),
            (&["==1"], Kind::Usage, "==1"),
        ] {
            let error = gathered(words, &[]).expect_err("refused");
            assert_eq!(error.kind, kind, "{error:?}");
            assert!(error.message.contains(word), "{error:?}");
        }
    }

    #[test]
    fn a_wrong_line_is_named_by_its_place() {
        let error = gathered(&[], &[("r.txt", "six\n--frobnicate\n")]).expect_err("no such option");
        assert!(
            error.message.contains("r.txt:2") && error.message.contains("frobnicate"),
            "{error}"
        );
        let error = gathered(&[], &[("r.txt", "--require-hashes\nsix==1\n")]).expect_err("no hash");
        assert_eq!(error.kind, Kind::No);
    }

    #[test]
    fn a_missing_file_is_a_usage_error() {
        let options = RequirementOptions {
            requirement_files: vec!["/none/r.txt".into()],
            ..Default::default()
        };
        assert_eq!(
            gather(&options, Path::new("/")).expect_err("missing").kind,
            Kind::Usage
        );
    }
}
