//! `blast lock --export`: an existing lock for other tools. Nothing is resolved and nothing asked.

use std::fs;
use std::io;
use std::path::Path;

use blast_resolver::lock::Lock;
use blast_types::{ExtraName, GroupName};
use clap::ValueEnum;

use super::context::Context;
use super::project::{Parts, Project};
use super::sync::LOCK;
use super::whole_file;
use crate::convert::export::{self, Chosen};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ui::units;

/// Values of `--export`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Requirements of pip, with hashes and markers
    Requirements,
    /// The lock without what only blast reads
    Pylock,
}

/// Writes the lock of the project here to `output`, or to the standard output.
pub(super) fn run(
    format: Format,
    parts: &Parts,
    output: Option<&Path>,
    context: &Context,
) -> Result<Exit, Error> {
    let cwd = context.cwd()?;
    let root = Project::root_of(cwd).unwrap_or_else(|| cwd.to_owned());
    let path = root.join(LOCK);
    let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            Error::usage(format!("there is no {}", path.display())).hint("`blast lock` makes it")
        }
        _ => Error::io("read", &path, &error),
    })?;
    let lock = Lock::parse(&text).map_err(|error| {
        Error::usage(format!("{} cannot be understood", path.display())).caused_by(&error)
    })?;
    let count = lock.packages.len();
    let (text, packages) = match format {
        Format::Requirements => {
            let chosen = chosen(&lock, parts)?;
            let exported = export::requirements(&lock, &chosen);
            if !exported.without_hash.is_empty() {
                context.printer.warn(format!(
                    "no hash is known of {}: pip refuses to mix, so install these by themselves or \
                     without hashes",
                    exported.without_hash.join(", ")
                ));
            }
            (exported.text, exported.packages)
        }
        Format::Pylock => {
            if parts.only_groups || !parts.extras.is_empty() || !parts.groups.is_empty() {
                let message = "a pylock.toml has all parts, and who installs it chooses";
                return Err(Error::usage(message).hint("leave `--extra` and `--group` out"));
            }
            (export::pylock(lock), count)
        }
    };
    let Some(output) = output.filter(|output| *output != Path::new("-")) else {
        context.printer.data(&text)?;
        return Ok(Exit::Ok);
    };
    let output = cwd.join(output);
    whole_file::replace(&output, &text, context)?;
    context.printer.say(format!(
        "exported {} to {}",
        units::count(packages, "package"),
        output.display()
    ));
    Ok(Exit::Ok)
}

fn chosen(lock: &Lock, parts: &Parts) -> Result<Chosen, Error> {
    if parts.only_groups {
        return Err(
            Error::usage("a lock does not say which packages belong to a group alone")
                .hint("take the group beside the project: `--group`"),
        );
    }
    let mut chosen = Chosen::default();
    for extra in &parts.extras {
        let known = extra.parse::<ExtraName>().ok();
        let known = known.filter(|name| lock.extras.contains(name));
        let none = || Error::usage(format!("the lock has no extra `{extra}`"));
        chosen.extras.push(known.ok_or_else(none)?);
    }
    for group in &parts.groups {
        let known = group.parse::<GroupName>().ok();
        let known = known.filter(|name| lock.dependency_groups.contains(name));
        let none = || Error::usage(format!("the lock has no group `{group}`"));
        chosen.groups.push(known.ok_or_else(none)?);
    }
    if parts.default_groups {
        chosen.groups.extend(lock.default_groups.iter().cloned());
    }
    Ok(chosen)
}
