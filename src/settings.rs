//! The user's settings: `$XDG_CONFIG_HOME/blast/config.toml` (or `~/.config/blast/config.toml`),
//! each of which a variable overrides.
//!
//! ```toml
//! view = "auto"        # or "fuse" or "files"; BLAST_VIEW
//! writes = "capture"   # or "discard" or "deny"; BLAST_WRITES
//! keep = { operations = 100, days = 90 }     # what `blast clean` leaves of histories
//! machine-store = "/var/lib/blast"           # a store for all users (also in the system's file); BLAST_MACHINE_STORE
//! ```
//!
//! The same file may say where packages come from, which `blast_index::config` reads, and in `[sandbox]` what sandboxes
//! may touch.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use blast_index::config::ProjectSettings;
use serde::Deserialize;

use crate::env_vars;
use crate::error::Error;
use crate::ipc::protocol::{Keep, ViewChoice, Writes};
use crate::known_keys;

/// The table of the policy of sandboxes, which `cli::policy` reads.
pub(crate) const SANDBOX: &str = "sandbox";

/// The administrator's settings.
pub(crate) const SYSTEM: &str = "/etc/blast/config.toml";
/// The key of the store that is kept for all users.
const MACHINE_STORE: &str = "machine-store";

/// What the user set, once for all projects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    /// How environments are shown.
    pub(crate) view: ViewChoice,
    /// How much of histories `blast clean` keeps, where their projects do not say.
    pub(crate) keep: Keep,
    /// What happens to what programs write into environments.
    pub(crate) writes: Option<Writes>,
}

impl Settings {
    /// From file and variables, looked up by `var` (in a program: `std::env::var_os`). A file that is
    /// not there sets nothing.
    pub(crate) fn load(var: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let set = |name: &str| var(name).filter(|value| !value.is_empty());
        let mut settings = match Self::path(set) {
            Some(path) => Self::read(&path)?,
            None => Self::default(),
        };
        if let Some(value) = set(env_vars::BLAST_VIEW) {
            let values = "`auto`, `fuse` or `files`";
            settings.view = chosen(env_vars::BLAST_VIEW, &value, values)?;
        }
        if let Some(value) = set(env_vars::BLAST_WRITES) {
            let values = "`capture`, `discard` or `deny`";
            settings.writes = Some(chosen(env_vars::BLAST_WRITES, &value, values)?);
        }
        Ok(settings)
    }

    /// The file, which need not be there.
    pub(crate) fn path(set: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
        let config = set(env_vars::XDG_CONFIG_HOME)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| Some(PathBuf::from(set(env_vars::HOME)?).join(".config")))?;
        Some(config.join("blast/config.toml"))
    }

    /// The home of the store that is kept for all users of the machine: what the variable says, else the user's file, else
    /// the system's. Empty is none.
    ///
    /// # Errors
    /// If a file cannot be read, or what it says is no absolute path.
    pub(crate) fn machine_store(
        var: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Option<PathBuf>, Error> {
        let set = |name: &str| var(name).filter(|value| !value.is_empty());
        let (said, place) = if let Some(said) = var(env_vars::BLAST_MACHINE_STORE) {
            (Some(said.into()), env_vars::BLAST_MACHINE_STORE.to_owned())
        } else {
            let mut found = (None, String::new());
            for file in Self::path(set).into_iter().chain([SYSTEM.into()]) {
                if let Some(said) = machine_store_of(&file)? {
                    found = (Some(said), file.display().to_string());
                    break;
                }
            }
            found
        };
        match said.filter(|path: &PathBuf| !path.as_os_str().is_empty()) {
            Some(path) if !path.is_absolute() => Err(Error::usage(format!(
                "the machine's store is `{}` in {place}, which is no absolute path",
                path.display()
            ))),
            said => Ok(said),
        }
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let Some(table) = table_of(path)? else {
            return Ok(Self::default());
        };
        let known = [
            known_keys::of::<Self>(),
            known_keys::of::<ProjectSettings>(),
            &[SANDBOX, MACHINE_STORE],
        ];
        known_keys::check(&table, &known.concat(), path.display())?;
        table.try_into().map_err(|error| unreadable(path, &error))
    }
}

/// What a file of settings says of the store for all users.
fn machine_store_of(file: &Path) -> Result<Option<PathBuf>, Error> {
    let said = table_of(file)?.and_then(|mut table| table.remove(MACHINE_STORE));
    said.map(toml::Value::try_into)
        .transpose()
        .map_err(|error| unreadable(file, &error))
}

/// A file of settings; none where there is no file.
fn table_of(file: &Path) -> Result<Option<toml::Table>, Error> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(Error::io("read", file, &error)),
    };
    let table = toml::from_str(&text).map_err(|error| unreadable(file, &error))?;
    Ok(Some(table))
}

fn unreadable(file: &Path, error: &toml::de::Error) -> Error {
    Error::usage(format!("{} cannot be understood", file.display())).caused_by(error)
}

/// What a variable chooses; `values` are those that it can have, in words.
fn chosen<T: clap::ValueEnum>(name: &str, value: &OsStr, values: &str) -> Result<T, Error> {
    let choice = value.to_str().map(|text| T::from_str(text, false));
    choice.and_then(Result::ok).ok_or_else(|| {
        Error::usage(format!(
            "the variable {name} is {:?}",
            value.to_string_lossy()
        ))
        .hint(format!("it can be {values}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(folder: &std::path::Path, view: Option<&str>) -> Result<Settings, Error> {
        Settings::load(|name| match name {
            env_vars::XDG_CONFIG_HOME => Some(folder.into()),
            env_vars::BLAST_VIEW => view.map(Into::into),
            _ => None,
        })
    }

    #[test]
    fn the_variable_wins_over_the_file_and_both_over_nothing() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let view = |variable| load(folder.path(), variable).map(|settings| settings.view);
        assert_eq!(view(None).expect("nothing set"), ViewChoice::Auto);
        fs::create_dir(folder.path().join("blast")).expect("made");
        let file = folder.path().join("blast/config.toml");
        fs::write(&file, "view = \"files\"\n").expect("written");
        assert_eq!(view(None).expect("readable"), ViewChoice::Files);
        assert_eq!(view(Some("fuse")).expect("known"), ViewChoice::Fuse);
        assert_eq!(view(Some("")).expect("not set"), ViewChoice::Files);
        fs::write(&file, "keep = { operations = 3 }").expect("written");
        let keep = load(folder.path(), None).expect("readable").keep;
        assert_eq!((keep.operations, keep.days), (Some(3), None));
        fs::write(&file, "index-url = \"http://127.0.0.1/simple/\"\n").expect("written");
        assert_eq!(view(None).expect("of another part"), ViewChoice::Auto);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let error = load(folder.path(), Some("mount")).expect_err("unknown");
        assert!(error.message.contains("BLAST_VIEW"), "{}", error.message);
        fs::create_dir(folder.path().join("blast")).expect("made");
        let file = folder.path().join("blast/config.toml");
        for text in [
            "keep = { opperations = 3 }",
            "keep = 3",
            "view = \"mount\"",
            "wiev = \"files\"",
            "view =",
        ] {
            fs::write(&file, text).expect("written");
            let error = load(folder.path(), None).expect_err(text);
            assert!(error.message.contains("config.toml"), "{}", error.message);
        }
    }

    #[test]
    fn the_store_of_the_machine_is_said_by_the_variable_or_a_file() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let said = |variable: Option<&str>| {
            Settings::machine_store(|name| match name {
                env_vars::XDG_CONFIG_HOME => Some(folder.path().into()),
                env_vars::BLAST_MACHINE_STORE => variable.map(Into::into),
                _ => None,
            })
        };
        assert_eq!(said(Some("/srv/b")).expect("said"), Some("/srv/b".into()));
        fs::create_dir(folder.path().join("blast")).expect("made");
        let file = folder.path().join("blast/config.toml");
        fs::write(&file, "machine-store = \"/srv/c\"\n").expect("written");
        assert_eq!(said(None).expect("said"), Some("/srv/c".into()));
        assert_eq!(said(Some("")).expect("said"), None, "empty is none");
        assert!(load(folder.path(), None).is_ok(), "the key is known");
        let wrong = said(Some("b")).expect_err("no absolute path");
        assert!(
            wrong.message.contains("BLAST_MACHINE_STORE"),
            "{}",
            wrong.message
        );
    }
}
