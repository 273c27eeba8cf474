//! pip's configuration files: system, user, site, and the one that `PIP_CONFIG_FILE` names, in
//! pip's order and with its exceptions (a named file replaces the user's; `/dev/null` as name
//! turns all of them off). Later files beat earlier ones, and `[install]` of any beats `[global]` of all.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use configparser::ini::{Ini, IniDefault};

use super::level::{Key, Level};
use super::{ConfigError, Origin, Surroundings};

/// The levels of all files that exist, lowest first.
pub(super) fn levels(around: &Surroundings) -> Result<Vec<Level>, ConfigError> {
    let (mut global, mut install) = (Vec::new(), Vec::new());
    for path in PipFiles::of(around).in_force() {
        if let Some(text) = text_of(&path)? {
            let sections = sections(&text, &path)?;
            global.push(level(&sections, "global", &path, around));
            install.push(level(&sections, "install", &path, around));
        }
    }
    global.append(&mut install);
    Ok(global)
}

/// The text of a file; none where it is missing, or may not be read: pip skips those, and so must we, or a
/// foreign file stops everything.
fn text_of(path: &Path) -> Result<Option<String>, ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::PermissionDenied
            ) =>
        {
            Ok(None)
        }
        Err(source) => Err(ConfigError::Io {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Where pip's configuration files are, or would be: of each kind the lowest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PipFiles {
    /// Of the machine.
    pub global: Vec<PathBuf>,
    /// Of the user.
    pub user: Vec<PathBuf>,
    /// Of the environment.
    pub site: Vec<PathBuf>,
    /// The one that `PIP_CONFIG_FILE` names.
    pub named: Option<PathBuf>,
}

impl PipFiles {
    /// As the surroundings have it.
    pub fn of(around: &Surroundings) -> Self {
        let variable = |name: &str| around.variables.get(name).filter(|value| !value.is_empty());
        let named = variable("PIP_CONFIG_FILE").map(PathBuf::from);
        let mut user = Vec::new();
        if let Some(home) = around.home.as_ref().filter(|_| !around.isolated) {
            user.push(home.join(".pip/pip.conf"));
            let config =
                variable("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from);
            user.push(config.join("pip/pip.conf"));
        }
        let site = around.site.iter().map(|prefix| prefix.join("pip.conf"));
        Self {
            global: global(around),
            user,
            site: site.collect(),
            named,
        }
    }

    /// Those that count, lowest first.
    pub fn in_force(self) -> Vec<PathBuf> {
        let mut files = self.global;
        match self.named {
            Some(path) if path == Path::new("/dev/null") => return Vec::new(),
            Some(path) if path.exists() => {
                files.extend(self.site);
                files.push(path);
            }
            named => files.extend(self.user.into_iter().chain(self.site).chain(named)),
        }
        files
    }
}

fn global(around: &Surroundings) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let directories = around.variables.get("XDG_CONFIG_DIRS");
    match directories.filter(|value| !value.is_empty()) {
        // The first directory is the most important one, so it comes last.
        Some(directories) => files.extend(
            directories
                .split(':')
                .rev()
                .filter(|dir| !dir.is_empty())
                .map(|dir| Path::new(dir).join("pip/pip.conf")),
        ),
        None => files.push(around.etc.join("xdg/pip/pip.conf")),
    }
    files.push(around.etc.join("pip.conf"));
    files
}

/// What one of pip's files says, by `section.key`; nothing where there is no such file that may be read.
///
/// # Errors
///
/// [`ConfigError::Io`] and [`ConfigError::Parse`], which name the file.
pub fn pip_values(path: &Path) -> Result<BTreeMap<String, String>, ConfigError> {
    let Some(text) = text_of(path)? else {
        return Ok(BTreeMap::new());
    };
    let mut values = BTreeMap::new();
    for (section, keys) in sections(&text, path)? {
        for (key, value) in keys {
            let key = key.replace('_', "-");
            values.insert(format!("{section}.{key}"), value.unwrap_or_default());
        }
    }
    Ok(values)
}

/// Sections, each with its keys as they are written.
type Sections = BTreeMap<String, BTreeMap<String, Option<String>>>;

fn sections(text: &str, path: &Path) -> Result<Sections, ConfigError> {
    let mut defaults = IniDefault::default();
    defaults.multiline = true;
    // pip has no comments behind a value; a URL may well hold a `#` or a `;`.
    defaults.inline_comment_symbols = Some(Vec::new());
    let mut ini = Ini::new_from_defaults(defaults);
    let sections = ini
        .read(text.to_owned())
        .map_err(|reason| ConfigError::Parse {
            path: path.to_owned(),
            reason,
        })?;
    let sorted = sections
        .into_iter()
        .map(|(section, keys)| (section, keys.into_iter().collect()));
    Ok(sorted.collect())
}

fn level(sections: &Sections, section: &str, path: &Path, around: &Surroundings) -> Level {
    let mut level = Level {
        base: around.cwd.clone(),
        ..Level::default()
    };
    for (name, value) in sections.get(section).into_iter().flatten() {
        let name = name.replace('_', "-");
        let found = Key::PIP.into_iter().find(|key| key.name() == name);
        let (Some(key), Some(value)) = (found, value) else {
            continue;
        };
        level.put(key, key.values(value), Origin::PipConf(path.to_owned()));
    }
    level
}
