//! pip's configuration files: system, user, site, and the one that `PIP_CONFIG_FILE` names, in
//! pip's order and with its exceptions (a named file replaces the user's; `/dev/null` as name
//! turns all of them off). `[install]` beats `[global]`, later files beat earlier ones.

use std::io;
use std::path::{Path, PathBuf};

use configparser::ini::{Ini, IniDefault};

use super::level::{Key, Level};
use super::{ConfigError, Origin, Surroundings};

/// The levels of all files that exist, lowest first.
pub(super) fn levels(around: &Surroundings) -> Result<Vec<Level>, ConfigError> {
    let mut levels = Vec::new();
    for path in files(around) {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            // pip skips what it may not read; so must we, or a foreign file stops everything.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::NotADirectory
                        | io::ErrorKind::PermissionDenied
                ) =>
            {
                continue;
            }
            Err(source) => return Err(ConfigError::Io { path, source }),
        };
        levels.push(level(&text, &path, around)?);
    }
    Ok(levels)
}

fn files(around: &Surroundings) -> Vec<PathBuf> {
    let variable = |name: &str| around.variables.get(name).filter(|value| !value.is_empty());
    let named = variable("PIP_CONFIG_FILE").map(PathBuf::from);
    if named.as_deref() == Some(Path::new("/dev/null")) {
        return Vec::new();
    }
    let mut files = Vec::new();
    match variable("XDG_CONFIG_DIRS") {
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
    if !named.as_ref().is_some_and(|path| path.exists())
        && let Some(home) = &around.home
    {
        files.push(home.join(".pip/pip.conf"));
        let config =
            variable("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from);
        files.push(config.join("pip/pip.conf"));
    }
    files.extend(around.site.iter().map(|prefix| prefix.join("pip.conf")));
    files.extend(named);
    files
}

fn level(text: &str, path: &Path, around: &Surroundings) -> Result<Level, ConfigError> {
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
    let mut level = Level {
        base: around.cwd.clone(),
        ..Level::default()
    };
    for section in ["global", "install"] {
        for (name, value) in sections.get(section).into_iter().flatten() {
            let name = name.replace('_', "-");
            let found = Key::PIP.into_iter().find(|key| key.name() == name);
            let (Some(key), Some(value)) = (found, value) else {
                continue;
            };
            let origin = Origin::PipConf(path.to_owned());
            level.put(key, key.values(value), origin);
        }
    }
    Ok(level)
}
