//! The commands that change nothing and look at no package: versions, hashes, cache and settings.

use std::io;
use std::path::Path;

use blast_types::Sha256;

use super::arguments::{Cache, CacheCommand, Config, ConfigCommand, Hash};
use super::{Target, VERSION};
use crate::cli::options::SourceOptions;
use crate::cli::sources::{self, FromFiles};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{Reply, Request};
use crate::ui::units;

/// `pip 26.1 from …/pip (python 3.12)`.
pub(super) fn version(target: &Target) -> Result<Exit, Error> {
    let line = own_line(target)?;
    target.context.printer.data(&format!("{line}\n"))?;
    Ok(Exit::Ok)
}

fn own_line(target: &Target) -> Result<String, Error> {
    let python = &target.place()?.python;
    let short: Vec<_> = python.split('.').take(2).collect();
    Ok(format!(
        "pip {VERSION} from {} (python {})",
        target.site()?.join("pip").display(),
        short.join(".")
    ))
}

/// What this pip is, and the markers of its interpreter.
pub(super) fn debug(target: &Target) -> Result<Exit, Error> {
    let env = target.env.clone();
    let Reply::Markers { markers } = target.context.ask(Request::Markers { env })? else {
        return Err(Error::unexpected_reply());
    };
    let place = target.place()?;
    let mut lines = vec![
        format!("pip version: {}", own_line(target)?),
        format!("blast version: {}", env!("CARGO_PKG_VERSION")),
        format!("environment: {}", place.env),
        format!("sys.prefix: {}", place.prefix.display()),
        format!(
            "sys.executable: {}",
            place.prefix.join("bin/python").display()
        ),
        format!("base interpreter: {}", place.interpreter.display()),
    ];
    for (name, value) in markers {
        lines.push(format!("{name}: {value}"));
    }
    target.context.printer.data(&(lines.join("\n") + "\n"))?;
    Ok(Exit::Ok)
}

/// The line of a requirements file for each file.
pub(super) fn hash(args: &Hash, target: &Target) -> Result<Exit, Error> {
    for path in &args.files {
        let content = std::fs::read(path).map_err(|error| Error::io("read", path, &error))?;
        let digest = Sha256::of(&content).to_hex();
        let text = format!("{}:\n--hash=sha256:{digest}\n", path.display());
        target.context.printer.data(&text)?;
    }
    Ok(Exit::Ok)
}

/// Where the cache is, and how much is in it.
pub(super) fn cache(args: &Cache, target: &Target) -> Result<Exit, Error> {
    let path = &target.context.places()?.cache;
    let text = match args.command {
        CacheCommand::Dir => format!("{}\n", path.display()),
        CacheCommand::Info => {
            let (files, bytes) = size(path).map_err(|error| Error::io("read", path, &error))?;
            format!(
                "Cache location: {}\nCache size: {}\nNumber of files: {files}\n",
                path.display(),
                units::bytes(bytes)
            )
        }
    };
    target.context.printer.data(&text)?;
    Ok(Exit::Ok)
}

/// Files and bytes below a folder; what goes meanwhile is not counted.
fn size(folder: &Path) -> io::Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for entry in std::fs::read_dir(folder)?.flatten() {
        let Ok(meta) = entry.path().symlink_metadata() else {
            continue;
        };
        if meta.is_dir() {
            let (more, their) = size(&entry.path()).unwrap_or_default();
            files += more;
            bytes += their;
        } else {
            files += 1;
            bytes += meta.len();
        }
    }
    Ok((files, bytes))
}

/// The settings that say where packages come from, whoever made them.
pub(super) fn config(args: &Config, target: &Target) -> Result<Exit, Error> {
    let none = (SourceOptions::default(), FromFiles::default());
    let settings = sources::settings_in_force(&target.context, &none.0, &none.1)?;
    match &args.command {
        ConfigCommand::List => {
            let lines = settings
                .iter()
                .map(|setting| format!("global.{}='{}'\n", setting.key, setting.value));
            target.context.printer.data(&lines.collect::<String>())?;
            Ok(Exit::Ok)
        }
        ConfigCommand::Get { name } => {
            let key = name.split_once('.').map_or(name.as_str(), |(_, key)| key);
            let found = settings.iter().find(|setting| setting.key == key);
            let found = found.ok_or_else(|| Error::no(format!("No such key - {name}")))?;
            target.context.printer.data(&format!("{}\n", found.value))?;
            Ok(Exit::Ok)
        }
    }
}
