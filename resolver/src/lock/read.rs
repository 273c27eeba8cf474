//! Reading a lock, and checking what PEP 751 demands of it. Keys that the specification does not
//! know are passed over, as it asks of readers of a later minor version.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use blast_types::{ExtraName, GroupName, PackageName, Version, filename, pep508, versions};
use toml::{Table, Value};

use super::{
    Known, Limits, Location, Lock, LockedFile, LockedPackage, LockedSource, MadeFrom, PassedOver,
};

/// Why a text is no lock.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LockReadError {
    /// It is not TOML.
    #[error("the lock is not TOML: {0}")]
    Toml(String),
    /// A later major version of the format.
    #[error("the lock has format version {0}, this reads 1.x")]
    Version(String),
    /// A member is missing or wrong.
    #[error("{path}: {problem}")]
    Member {
        /// Where, such as `packages[3].wheels[0].hashes`.
        path: String,
        /// What is wrong.
        problem: String,
    },
}

impl Lock {
    /// Reads and validates a lock.
    pub fn parse(text: &str) -> Result<Self, LockReadError> {
        let table: Table = text
            .parse()
            .map_err(|error: toml::de::Error| LockReadError::Toml(error.to_string()))?;
        let root = At {
            table: &table,
            path: String::new(),
        };
        let format = root.required_text("lock-version")?;
        let known = versions::version(format)
            .is_ok_and(|format| format >= Version::new([1]) && format < Version::new([2]));
        if !known {
            return Err(LockReadError::Version(format.to_owned()));
        }
        let later = versions::version(format).is_ok_and(|format| format > Version::new([1, 0]));
        root.table("tool")?;
        let packages = root.tables("packages")?;
        let packages = packages.ok_or_else(|| root.problem("packages", "is missing"))?;
        Ok(Self {
            environments: root.parsed_list("environments", pep508::marker)?,
            requires_python: root.parsed("requires-python", versions::specifiers)?,
            extras: root.parsed_list("extras", normal_extra)?,
            dependency_groups: root.parsed_list("dependency-groups", GroupName::from_str)?,
            default_groups: root.parsed_list("default-groups", GroupName::from_str)?,
            created_by: root.required_text("created-by")?.to_owned(),
            packages: packages.iter().map(package).collect::<Result<_, _>>()?,
            made_from: made_from(&root),
            passed_over: later
                .then(|| passed_over(format, &root, &packages))
                .flatten(),
        })
    }
}

/// What a lock may say in version 1.0 of the format.
const KEYS: &[&str] = &[
    "lock-version",
    "environments",
    "requires-python",
    "extras",
    "dependency-groups",
    "default-groups",
    "created-by",
    "packages",
    "tool",
];
/// What each package may say there.
const PACKAGE_KEYS: &[&str] = &[
    "name",
    "version",
    "marker",
    "requires-python",
    "dependencies",
    "vcs",
    "directory",
    "archive",
    "index",
    "sdist",
    "wheels",
    "attestation-identities",
    "tool",
];

/// Of a later minor version, what is not known here; the specification wants that told.
fn passed_over(format: &str, root: &At<'_>, packages: &[At<'_>]) -> Option<PassedOver> {
    let unknown = |at: &At<'_>, known: &[&str]| -> Vec<String> {
        let keys = at.table.keys();
        let new = keys.filter(|key| !known.contains(&key.as_str()));
        new.map(|key| at.path_of(key)).collect()
    };
    let mut keys = unknown(root, KEYS);
    keys.extend(packages.iter().flat_map(|at| unknown(at, PACKAGE_KEYS)));
    (!keys.is_empty()).then(|| PassedOver {
        format: format.to_owned(),
        keys,
    })
}

/// The table of blast in `[tool]`. Anything there is our own: what cannot be read says nothing.
fn own<'a>(at: &At<'a>) -> Option<At<'a>> {
    at.table("tool").ok()??.table("blast").ok()?
}

fn made_from(root: &At<'_>) -> Option<MadeFrom> {
    let own = own(root)?;
    let requirements = own.parsed_list("requirements", String::from_str).ok()?;
    Some(MadeFrom {
        requirements: own
            .table
            .contains_key("requirements")
            .then_some(requirements),
        limits: Limits {
            constraints: own.parsed_list("constraints", String::from_str).ok()?,
            overrides: own.parsed_list("overrides", String::from_str).ok()?,
            excludes: own.parsed_list("exclude", PackageName::from_str).ok()?,
        },
        forks: own.parsed_list("forks", pep508::marker).ok()?,
    })
}

fn known(at: &At<'_>) -> Option<Known> {
    let own = own(at)?;
    Some(Known {
        requires: own.parsed_list("requires", pep508::requirement).ok()?,
        extras: own.parsed_list("extras", ExtraName::from_str).ok()?,
    })
}

fn package(at: &At<'_>) -> Result<LockedPackage, LockReadError> {
    at.table("tool")?;
    for identity in at.tables("attestation-identities")?.unwrap_or_default() {
        identity.required_text("kind")?;
    }
    let written = at.required_text("name")?;
    let name = PackageName::from_str(written).map_err(|error| at.problem("name", error))?;
    if name.as_str() != written {
        return Err(at.problem("name", format!("must be in its normal form, `{name}`")));
    }
    let version = at.parsed("version", versions::version)?;
    Ok(LockedPackage {
        marker: at.parsed("marker", pep508::marker)?.unwrap_or_default(),
        requires_python: at.parsed("requires-python", versions::specifiers)?,
        dependencies: dependencies(at)?,
        index: at.text("index")?.map(str::to_owned),
        source: source(at, &name, version.as_ref())?,
        known: known(at),
        name,
        version,
    })
}

fn dependencies(at: &At<'_>) -> Result<Vec<PackageName>, LockReadError> {
    let tables = at.tables("dependencies")?.unwrap_or_default();
    // An entry may point at its package by any key; those of other keys only inform.
    let names = tables
        .iter()
        .filter_map(|at| at.parsed("name", PackageName::from_str).transpose());
    names.collect()
}

fn normal_extra(text: &str) -> Result<ExtraName, String> {
    let name = ExtraName::from_str(text).map_err(|error| error.to_string())?;
    if name.as_str() == text {
        Ok(name)
    } else {
        Err(format!("`{text}` must be in its normal form, `{name}`"))
    }
}

fn source(
    at: &At<'_>,
    name: &PackageName,
    version: Option<&Version>,
) -> Result<LockedSource, LockReadError> {
    let archive = at.table("archive")?;
    let directory = at.table("directory")?;
    let vcs = at.table("vcs")?;
    let sdist = at.table("sdist")?;
    let wheels = at.tables("wheels")?.unwrap_or_default();
    let listed = usize::from(sdist.is_some() || !wheels.is_empty());
    let kinds = [&archive, &directory, &vcs].into_iter().flatten().count() + listed;
    if kinds != 1 {
        let problem = "exactly one of archive, directory, vcs and (sdist, wheels) must be given";
        return Err(LockReadError::Member {
            path: at.path.clone(),
            problem: problem.to_owned(),
        });
    }
    if let Some(at) = archive {
        let file = file(&at)?;
        return Ok(LockedSource::Archive {
            file,
            subdirectory: at.owned("subdirectory")?,
        });
    }
    if let Some(at) = directory {
        return Ok(LockedSource::Directory {
            path: at.required_text("path")?.to_owned(),
            editable: at.flag("editable")?,
            subdirectory: at.owned("subdirectory")?,
        });
    }
    if let Some(at) = vcs {
        return Ok(LockedSource::Vcs {
            kind: at.required_text("type")?.to_owned(),
            location: at.location()?,
            requested_revision: at.owned("requested-revision")?,
            commit_id: at.required_text("commit-id")?.to_owned(),
            subdirectory: at.owned("subdirectory")?,
        });
    }
    let wheels = wheels
        .iter()
        .map(|at| wheel(at, name, version))
        .collect::<Result<_, _>>()?;
    let sdist = sdist.map(|at| sdist_file(&at, name, version)).transpose()?;
    Ok(LockedSource::Files { wheels, sdist })
}

fn wheel(
    at: &At<'_>,
    name: &PackageName,
    version: Option<&Version>,
) -> Result<LockedFile, LockReadError> {
    let file = file(at)?;
    let parsed = filename::wheel(&file.name).map_err(|error| at.problem("name", error))?;
    check_belongs(
        at,
        &file.name,
        (&parsed.name, &parsed.version),
        (name, version),
    )?;
    Ok(file)
}

fn sdist_file(
    at: &At<'_>,
    name: &PackageName,
    version: Option<&Version>,
) -> Result<LockedFile, LockReadError> {
    let file = file(at)?;
    let parsed =
        filename::sdist(&file.name, Some(name)).map_err(|error| at.problem("name", error))?;
    check_belongs(
        at,
        &file.name,
        (&parsed.name, &parsed.version),
        (name, version),
    )?;
    Ok(file)
}

fn check_belongs(
    at: &At<'_>,
    file: &str,
    is: (&PackageName, &Version),
    wanted: (&PackageName, Option<&Version>),
) -> Result<(), LockReadError> {
    let belongs = is.0 == wanted.0 && wanted.1.is_none_or(|version| version == is.1);
    if belongs {
        return Ok(());
    }
    let version = wanted
        .1
        .map(|version| format!(" {version}"))
        .unwrap_or_default();
    Err(at.problem(
        "name",
        format!("`{file}` is not a file of {}{version}", wanted.0),
    ))
}

fn file(at: &At<'_>) -> Result<LockedFile, LockReadError> {
    let location = at.location()?;
    let name = match at.text("name")? {
        Some(name) => name.to_owned(),
        None => file_name(&location),
    };
    let table = at
        .table("hashes")?
        .ok_or_else(|| at.problem("hashes", "is missing"))?;
    let hashes: BTreeMap<String, String> = table
        .table
        .keys()
        .map(|key| Ok((key.clone(), table.required_text(key)?.to_owned())))
        .collect::<Result<_, LockReadError>>()?;
    if hashes.is_empty() {
        return Err(at.problem("hashes", "must hold a hash"));
    }
    Ok(LockedFile {
        name,
        location,
        upload_time_ms: at.time("upload-time")?,
        size: at.size("size")?,
        hashes,
    })
}

/// The last part of a path or URL, decoded.
fn file_name(location: &Location) -> String {
    match location {
        Location::Path(path) | Location::Either { path, .. } => path
            .rsplit(['/', '\\'])
            .next()
            .unwrap_or_default()
            .to_owned(),
        Location::Url(url) => {
            let path = url.split(['?', '#']).next().unwrap_or_default();
            let last = path.rsplit('/').next().unwrap_or_default();
            percent_encoding::percent_decode_str(last)
                .decode_utf8_lossy()
                .into_owned()
        }
    }
}

/// A table and where it stands.
struct At<'a> {
    table: &'a Table,
    path: String,
}

impl<'a> At<'a> {
    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn problem(&self, key: &str, problem: impl Display) -> LockReadError {
        LockReadError::Member {
            path: self.path_of(key),
            problem: problem.to_string(),
        }
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>, LockReadError> {
        match self.table.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.problem(key, "must be a string")),
        }
    }

    fn owned(&self, key: &str) -> Result<Option<String>, LockReadError> {
        Ok(self.text(key)?.map(str::to_owned))
    }

    fn required_text(&self, key: &str) -> Result<&'a str, LockReadError> {
        self.text(key)?
            .ok_or_else(|| self.problem(key, "is missing"))
    }

    fn parsed<T, E: Display>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, LockReadError> {
        let text = self.text(key)?;
        text.map(|text| parse(text).map_err(|error| self.problem(key, error)))
            .transpose()
    }

    fn parsed_list<T, E: Display>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Vec<T>, LockReadError> {
        let items = match self.table.get(key) {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(_) => return Err(self.problem(key, "must be an array of strings")),
        };
        let one = |item: &Value| match item {
            Value::String(text) => parse(text).map_err(|error| self.problem(key, error)),
            _ => Err(self.problem(key, "must be an array of strings")),
        };
        items.iter().map(one).collect()
    }

    fn table(&self, key: &str) -> Result<Option<At<'a>>, LockReadError> {
        match self.table.get(key) {
            None => Ok(None),
            Some(Value::Table(table)) => Ok(Some(At {
                table,
                path: self.path_of(key),
            })),
            Some(_) => Err(self.problem(key, "must be a table")),
        }
    }

    fn tables(&self, key: &str) -> Result<Option<Vec<At<'a>>>, LockReadError> {
        let items = match self.table.get(key) {
            None => return Ok(None),
            Some(Value::Array(items)) => items,
            Some(_) => return Err(self.problem(key, "must be an array of tables")),
        };
        let at = |(position, item): (usize, &'a Value)| match item {
            Value::Table(table) => Ok(At {
                table,
                path: format!("{}[{position}]", self.path_of(key)),
            }),
            _ => Err(self.problem(key, "must be an array of tables")),
        };
        items
            .iter()
            .enumerate()
            .map(at)
            .collect::<Result<_, _>>()
            .map(Some)
    }

    fn flag(&self, key: &str) -> Result<bool, LockReadError> {
        match self.table.get(key) {
            None => Ok(false),
            Some(Value::Boolean(flag)) => Ok(*flag),
            Some(_) => Err(self.problem(key, "must be true or false")),
        }
    }

    fn size(&self, key: &str) -> Result<Option<u64>, LockReadError> {
        let refuse = || self.problem(key, "must be a whole number, not negative");
        match self.table.get(key) {
            None => Ok(None),
            Some(Value::Integer(size)) => u64::try_from(*size).map(Some).map_err(|_| refuse()),
            Some(_) => Err(refuse()),
        }
    }

    fn time(&self, key: &str) -> Result<Option<i64>, LockReadError> {
        let refuse = || self.problem(key, "must be a date and time");
        match self.table.get(key) {
            None => Ok(None),
            Some(Value::Datetime(time)) => {
                // Without an offset it is UTC, the only zone that the specification knows.
                let mut text = time.to_string();
                if time.offset.is_none() {
                    text.push('Z');
                }
                let time: jiff::Timestamp = text.parse().map_err(|_| refuse())?;
                Ok(Some(time.as_millisecond()))
            }
            Some(_) => Err(refuse()),
        }
    }

    fn location(&self) -> Result<Location, LockReadError> {
        let given = |text: &&str| !text.is_empty();
        match (
            self.text("url")?.filter(given),
            self.text("path")?.filter(given),
        ) {
            (Some(url), Some(path)) => Ok(Location::Either {
                path: path.to_owned(),
                url: url.to_owned(),
            }),
            (None, Some(path)) => Ok(Location::Path(path.to_owned())),
            (Some(url), None) => Ok(Location::Url(url.to_owned())),
            (None, None) => Err(self.problem("url", "or path must be given")),
        }
    }
}
