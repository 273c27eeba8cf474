//! What a user asks for with `--python`, or with a line of `.python-version`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use blast_types::{Interpreter, Version, VersionSpecifiers};

/// Implementations that people ask for and that are not `CPython`.
const OTHERS: [&str; 7] = [
    "pypy",
    "graalpy",
    "graalpython",
    "pyston",
    "jython",
    "ironpython",
    "micropython",
];

/// A wish for an interpreter.
///
/// Free-threaded builds are a wish of their own (`3.13t`): most extension modules have no wheel for
/// them, so no other request is answered by one, save a path or a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PythonRequest {
    /// `cpython`, `python`: any that is supported.
    Any,
    /// `3`, `3.12`, `3.12.1`, `cpython@3.12`, `3.13t`: that version, or any that begins so.
    Version {
        /// One to three numbers; with three it is exact.
        version: Version,
        /// Whether the build without the global lock is meant.
        free_threaded: bool,
    },
    /// `>=3.10,<3.13`.
    Range(VersionSpecifiers),
    /// `/usr/bin/python3`, `./venv`: an executable or an environment's directory.
    Path(PathBuf),
    /// An executable on `PATH`, a version that pyenv knows by name, or a directory here.
    Name(String),
}

/// Why a text asks for nothing that could be found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    /// Nothing was given.
    #[error("an empty text names no Python")]
    Empty,
    /// Control characters, which no version and no sane path holds.
    #[error("`{0}` names no Python: it holds a control character")]
    Control(String),
    /// Another implementation than `CPython`, or another of its versions.
    #[error("`{0}` is not supported yet: environments are made for {range}", range = super::SUPPORTED)]
    Implementation(String),
    /// It begins like a version and is none.
    #[error("`{0}` is no Python version: write it as 3.12, 3.12.1, 3.13t or `>=3.10,<3.13`")]
    Version(String),
}

impl FromStr for PythonRequest {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(RequestError::Empty);
        }
        if text.contains(char::is_control) {
            return Err(RequestError::Control(text.escape_debug().to_string()));
        }
        if text.contains('/') || text.starts_with(['.', '~']) && !text.starts_with("~=") {
            return Ok(Self::Path(PathBuf::from(text)));
        }
        if text.starts_with(|c: char| c.is_ascii_digit() || is_operator(c)) {
            return versions(text).ok_or_else(|| RequestError::Version(text.to_owned()));
        }
        let lower = text.to_ascii_lowercase();
        if OTHERS
            .iter()
            .any(|name| lower.strip_prefix(name).is_some_and(ends_name))
        {
            return Err(RequestError::Implementation(text.to_owned()));
        }
        let rest = lower
            .strip_prefix("cpython")
            .or_else(|| lower.strip_prefix("python"));
        Ok(match rest {
            Some("") => Self::Any,
            Some(rest) => versions(rest.strip_prefix(['@', '-']).unwrap_or(rest))
                .unwrap_or_else(|| Self::Name(text.to_owned())),
            None => Self::Name(text.to_owned()),
        })
    }
}

fn is_operator(c: char) -> bool {
    matches!(c, '<' | '>' | '=' | '!' | '~')
}

/// Whether the name of an implementation can end before `rest`.
fn ends_name(rest: &str) -> bool {
    rest.chars()
        .next()
        .is_none_or(|c| c.is_ascii_digit() || c == '@' || c == '-' || is_operator(c))
}

/// A version or a range of them.
fn versions(text: &str) -> Option<PythonRequest> {
    if text.starts_with(is_operator) {
        return blast_types::versions::specifiers(text)
            .ok()
            .map(PythonRequest::Range);
    }
    let (number, free_threaded) = match text.strip_suffix('t') {
        Some(number) => (number, true),
        None => (text, false),
    };
    let number = number.strip_suffix(".*").unwrap_or(number);
    let version = blast_types::versions::version(number)
        .ok()
        .filter(|_| number.starts_with(digit))?;
    let plain = version.epoch() == 0 && !version.is_local() && !version.is_post();
    (plain && (1..=3).contains(&version.release().len())).then_some(PythonRequest::Version {
        version,
        free_threaded,
    })
}

fn digit(c: char) -> bool {
    c.is_ascii_digit()
}

impl PythonRequest {
    /// Whether a found interpreter is one that is asked for. A path or a name is a choice already.
    pub(super) fn accepts(&self, interpreter: &Interpreter, full: &Version) -> bool {
        match self {
            Self::Path(_) | Self::Name(_) => true,
            _ => {
                interpreter.platform.gil_disabled == self.free_threaded()
                    && self.accepts_version(full)
            }
        }
    }

    /// Whether a version, known only by a file's or a folder's name, is worth a look.
    pub(super) fn accepts_version(&self, full: &Version) -> bool {
        match self {
            Self::Any | Self::Path(_) | Self::Name(_) => true,
            Self::Range(range) => range.contains(&full.clone().without_local()),
            Self::Version { version, .. } if is_exact(version) => {
                *version == full.clone().without_local()
            }
            Self::Version { version, .. } => full.release().starts_with(&version.release()),
        }
    }

    /// Whether the build without the global lock is asked for.
    pub(super) fn free_threaded(&self) -> bool {
        matches!(
            self,
            Self::Version {
                free_threaded: true,
                ..
            }
        )
    }

    /// The minor version, where there can be only one.
    pub(super) fn minor(&self) -> Option<u64> {
        match self {
            Self::Version { version, .. } => version.release().get(1).copied(),
            _ => None,
        }
    }
}

/// `3.12` stands for any 3.12.x, `3.12.1` and `3.14.0rc1` for themselves.
fn is_exact(version: &Version) -> bool {
    version.release().len() > 2 || version.any_prerelease()
}

impl fmt::Display for PythonRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("CPython"),
            Self::Version {
                version,
                free_threaded,
            } => {
                write!(
                    f,
                    "Python {version}{}",
                    if *free_threaded { "t" } else { "" }
                )
            }
            Self::Range(range) => write!(f, "Python {range}"),
            Self::Path(path) => write!(f, "`{}`", path.display()),
            Self::Name(name) => write!(f, "`{name}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str, free_threaded: bool) -> PythonRequest {
        PythonRequest::Version {
            version: text.parse().expect(text),
            free_threaded,
        }
    }

    #[test]
    fn every_documented_form_is_understood() {
        let cases = [
            ("3", version("3", false)),
            ("3.12", version("3.12", false)),
            (" 3.12.1 ", version("3.12.1", false)),
            ("3.12.*", version("3.12", false)),
            ("3.14.0rc1", version("3.14.0rc1", false)),
            ("3.13t", version("3.13", true)),
            ("cpython3.12", version("3.12", false)),
            ("cpython@3.12", version("3.12", false)),
            ("CPython-3.12", version("3.12", false)),
            ("python3", version("3", false)),
            ("python3.13t", version("3.13", true)),
            ("cpython", PythonRequest::Any),
            ("python", PythonRequest::Any),
            (
                ">=3.10,<3.13",
                PythonRequest::Range(">=3.10,<3.13".parse().expect("a range")),
            ),
            (
                "~=3.10",
                PythonRequest::Range("~=3.10".parse().expect("a range")),
            ),
            (
                "cpython>=3.10",
                PythonRequest::Range(">=3.10".parse().expect("a range")),
            ),
            (
                "/usr/bin/python3",
                PythonRequest::Path("/usr/bin/python3".into()),
            ),
            (
                "./venv/bin/python",
                PythonRequest::Path("./venv/bin/python".into()),
            ),
            (".venv", PythonRequest::Path(".venv".into())),
            ("~/py", PythonRequest::Path("~/py".into())),
            ("venv", PythonRequest::Name("venv".into())),
            ("python-build", PythonRequest::Name("python-build".into())),
            ("pypyenv", PythonRequest::Name("pypyenv".into())),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<PythonRequest>(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_names_no_python_is_refused_with_the_reason() {
        let error = |text: &str| text.parse::<PythonRequest>().expect_err(text);
        assert_eq!(error("  "), RequestError::Empty);
        assert_eq!(
            error("3.12\n3.13"),
            RequestError::Control("3.12\\n3.13".into())
        );
        for text in [
            "pypy",
            "pypy3.10",
            "PyPy@3.10",
            "pypy-3.10-v7",
            "graalpy>=3.11",
        ] {
            assert_eq!(
                error(text),
                RequestError::Implementation(text.into()),
                "{text}"
            );
        }
        for text in [
            "3.x",
            "3.1.2.3",
            "3..1",
            "3.12.post1",
            "1!3.12",
            ">=",
            ">=x",
            "99999999999999999999999",
        ] {
            assert_eq!(error(text), RequestError::Version(text.into()), "{text}");
        }
    }

    #[test]
    fn two_numbers_are_a_prefix_and_three_are_exact() {
        let accepts = |request: &str, full: &str| {
            let request: PythonRequest = request.parse().expect(request);
            request.accepts_version(&full.parse().expect(full))
        };
        assert!(accepts("3.1", "3.1.4"));
        assert!(!accepts("3.1", "3.12.4"));
        assert!(accepts("3.12", "3.12.0rc1"));
        assert!(accepts("3.12.1", "3.12.1"));
        assert!(accepts("3.12.1", "3.12.1+local"));
        assert!(!accepts("3.12.1", "3.12.10"));
        assert!(!accepts("3.12.0", "3.12.0rc1"));
        assert!(accepts("3.12.0rc1", "3.12.0rc1"));
        assert!(accepts(">=3.10,<3.13", "3.12.9"));
        assert!(!accepts(">=3.10,<3.13", "3.13.0"));
    }
}
