//! `pip config`: pip's configuration files, which blast reads for where packages come from. They are read
//! and edited as pip does it, but for comments, which stay.

mod edit;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use blast_index::config::{ConfigError, PipFiles, pip_values};

use super::Target;
use super::arguments::{Config, ConfigCommand, Scope};
use crate::cli::options::SourceOptions;
use crate::cli::sources::{self, FromFiles};
use crate::cli::whole_file;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::redaction::hide_credentials;

/// Whose file is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Global,
    User,
    Site,
}

/// Carries out `pip config …`.
pub(super) fn run(args: &Config, target: &Target) -> Result<Exit, Error> {
    let kind = kind(args.scope)?;
    let files = files(target)?;
    match &args.command {
        ConfigCommand::List => list(kind, &files, target)?,
        ConfigCommand::Get { name } => get(name, kind, files, target)?,
        ConfigCommand::Set { name, value } => {
            let (section, key) = split(name)?;
            let path = writable(kind, &files)?;
            let text = edit::set(&read(path)?, &section, &key, value);
            write(path, &text, target)?;
        }
        ConfigCommand::Unset { name } => {
            let (section, key) = split(name)?;
            let path = writable(kind, &files)?;
            let text = edit::unset(&read(path)?, &section, &key).ok_or_else(|| no_such(name))?;
            write(path, &text, target)?;
        }
        ConfigCommand::Edit => open_editor(args.editor.as_deref(), writable(kind, &files)?)?,
        ConfigCommand::Debug => debug(&files, target)?,
    }
    Ok(Exit::Ok)
}

fn kind(scope: Scope) -> Result<Option<Kind>, Error> {
    match (scope.user, scope.global, scope.site) {
        (false, false, false) => Ok(None),
        (true, false, false) => Ok(Some(Kind::User)),
        (false, true, false) => Ok(Some(Kind::Global)),
        (false, false, true) => Ok(Some(Kind::Site)),
        _ => Err(Error::no(
            "Need exactly one file to operate upon (--user, --site, --global) to perform.",
        )),
    }
}

fn files(target: &Target) -> Result<PipFiles, Error> {
    let mut around = sources::surroundings(&target.context)?;
    around.site = Some(target.place()?.prefix.clone());
    Ok(PipFiles::of(&around))
}

fn of_kind(kind: Kind, files: &PipFiles) -> &[PathBuf] {
    match kind {
        Kind::Global => &files.global,
        Kind::User => &files.user,
        Kind::Site => &files.site,
    }
}

/// The file that a change goes to: of a kind the one that wins.
fn writable(kind: Option<Kind>, files: &PipFiles) -> Result<&Path, Error> {
    let kind = kind.unwrap_or(Kind::User);
    if kind == Kind::Site {
        return Err(Error::usage(
            "--site is not supported: an environment holds no settings of its own",
        )
        .hint(
            "`--user` sets for all environments, `[tool.blast]` in pyproject.toml for one project",
        ));
    }
    let last = of_kind(kind, files).last();
    last.map(PathBuf::as_path)
        .ok_or_else(|| Error::no("Could not determine appropriate file."))
}

/// The settings in force where no file is named: those that say where packages come from, whoever made them.
fn list(kind: Option<Kind>, files: &PipFiles, target: &Target) -> Result<(), Error> {
    let lines: Vec<String> = match kind {
        Some(kind) => {
            let values = values(of_kind(kind, files))?;
            let values = values.iter();
            values
                .map(|(key, value)| format!("{key}='{}'\n", shown(value)))
                .collect()
        }
        None => in_force(target)?
            .iter()
            .map(|(key, value)| format!("{key}='{value}'\n"))
            .collect(),
    };
    target.context.printer.data(&lines.concat())
}

fn get(name: &str, kind: Option<Kind>, files: PipFiles, target: &Target) -> Result<(), Error> {
    let (section, key) = split(name)?;
    let name = format!("{section}.{key}");
    let value = if let Some(kind) = kind {
        values(of_kind(kind, &files))?.remove(&name)
    } else {
        let global = format!("global.{key}");
        let mut used = in_force(target)?.into_iter();
        match used.find(|(used, _)| *used == global) {
            Some((_, value)) => Some(value),
            None => values(&files.in_force())?.remove(&name),
        }
    };
    let value = value.ok_or_else(|| no_such(&name))?;
    let line = format!("{}\n", shown(&value));
    target.context.printer.data(&line)
}

fn in_force(target: &Target) -> Result<Vec<(String, String)>, Error> {
    let none = (SourceOptions::default(), FromFiles::default());
    let settings = sources::settings_in_force(&target.context, &none.0, &none.1)?;
    let named = settings
        .into_iter()
        .map(|setting| (format!("global.{}", setting.key), setting.value));
    Ok(named.collect())
}

/// What files say together, the later winning.
fn values(files: &[PathBuf]) -> Result<BTreeMap<String, String>, Error> {
    let mut all = BTreeMap::new();
    for path in files {
        all.extend(pip_values(path).map_err(|error| unusable(&error))?);
    }
    Ok(all)
}

fn unusable(error: &ConfigError) -> Error {
    Error::no(error.to_string())
}

/// As it may be shown: without the credentials of URLs, and in one line.
fn shown(value: &str) -> String {
    hide_credentials(value).replace('\n', "\\n")
}

/// Section and key of `global.index-url`.
fn split(name: &str) -> Result<(String, String), Error> {
    let name = name.trim_start_matches("--").to_lowercase();
    let name = name.replace('_', "-");
    match name.split_once('.') {
        Some((section, key)) if !section.is_empty() && !key.is_empty() => {
            Ok((section.to_owned(), key.to_owned()))
        }
        _ => Err(Error::no(format!(
            "Key does not contain dot separated section and key. \
             Perhaps you wanted to use 'global.{name}' instead?"
        ))),
    }
}

fn no_such(name: &str) -> Error {
    Error::no(format!("No such key - {name}"))
}

/// A file that is missing is empty.
fn read(path: &Path) -> Result<String, Error> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        read => read.map_err(|error| Error::io("read", path, &error)),
    }
}

/// Nothing is written that could not be read again.
fn write(path: &Path, text: &str, target: &Target) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(|error| Error::io("make", folder, &error))?;
    whole_file::replace(path, text, &target.context)?;
    target.tell(format!("Writing to {}", path.display()))
}

fn open_editor(editor: Option<&str>, path: &Path) -> Result<(), Error> {
    let of_variable = |name: &str| env::var(name).ok().filter(|editor| !editor.is_empty());
    let editor = editor
        .map(str::to_owned)
        .or_else(|| of_variable("VISUAL"))
        .or_else(|| of_variable("EDITOR"))
        .ok_or_else(|| Error::no("Could not determine editor to use."))?;
    // An editor may have options, so a shell reads it; the path is an argument, whatever is in it.
    let status = Command::new("/bin/sh")
        .arg("-c")
        .arg(format!("{editor} \"$1\""))
        .arg("sh")
        .arg(path)
        .status()
        .map_err(|error| Error::io("run", Path::new("/bin/sh"), &error))?;
    if status.success() {
        return Ok(());
    }
    let code = status.code().unwrap_or(-1);
    Err(Error::no(format!(
        "Editor Subprocess exited with exit code {code}"
    )))
}

/// Which files there are, and what each says.
fn debug(files: &PipFiles, target: &Target) -> Result<(), Error> {
    let mut lines = vec!["env_var:".to_owned()];
    let mut variables: Vec<(String, String)> = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with("PIP_"))
        .collect();
    variables.sort();
    for (name, value) in variables {
        lines.push(format!("  {name}='{}'", shown(&value)));
    }
    let named: Vec<PathBuf> = files.named.iter().cloned().collect();
    let kinds = [
        ("env", &named),
        ("global", &files.global),
        ("site", &files.site),
        ("user", &files.user),
    ];
    for (kind, files) in kinds {
        lines.push(format!("{kind}:"));
        for path in files {
            let exists = if path.exists() { "True" } else { "False" };
            lines.push(format!("  {}, exists: {exists}", path.display()));
            if path.is_file() {
                let values = pip_values(path).map_err(|error| unusable(&error))?;
                let values = values.iter();
                lines.extend(values.map(|(key, value)| format!("    {key}: {}", shown(value))));
            }
        }
    }
    target.context.printer.data(&(lines.join("\n") + "\n"))
}
