//! `blast materialise`: an environment as plain files, for those who want them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::context::Context;
use super::options::{EnvOption, JsonOption};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{Materialise, Materialised, Reply, Request};
use crate::ui::units;

/// Write an environment to a directory as plain files
///
/// The directory appears whole, or not at all. It is an environment like those of `venv`: it needs
/// neither blast nor its store, and later changes of the environment do not touch it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directory; it must be empty or not there
    #[arg(long, value_name = "DIRECTORY")]
    to: PathBuf,
    /// Write this state: an operation (`12`, `@{-1}`), a snapshot or a generation (default: the
    /// present one)
    #[arg(long, value_name = "STATE")]
    generation: Option<String>,
    /// Make files hard links to the store's: they cost no space and must not be changed in place
    #[arg(long)]
    link: bool,
    #[command(flatten)]
    env: EnvOption,
    #[command(flatten)]
    json: JsonOption,
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    let request = Request::Materialise(Materialise {
        env: context.env(&args.env)?,
        target: args.generation.clone(),
        to: resolved(&args.to)?,
        link: args.link,
    });
    let Reply::Materialised(done) = context.ask(request)? else {
        return Err(Error::unexpected_reply());
    };
    if args.json.json {
        context.printer.json(&done)?;
    } else {
        context.printer.say(told(&done));
    }
    Ok(Exit::Ok)
}

/// The directory by the name that it will know itself by: absolute, without links and `..`.
fn resolved(to: &Path) -> Result<PathBuf, Error> {
    if let Ok(there) = fs::canonicalize(to) {
        return Ok(there);
    }
    let (parent, name) = match (to.parent(), to.file_name()) {
        (Some(parent), Some(name)) if parent.as_os_str().is_empty() => (Path::new("."), name),
        (Some(parent), Some(name)) => (parent, name),
        _ => {
            return Err(Error::usage(format!(
                "{} is no name for a new directory",
                to.display()
            )));
        }
    };
    let parent = fs::canonicalize(parent).map_err(|error| {
        Error::usage(format!("there is no directory {}", parent.display()))
            .caused_by(&error)
            .hint(format!("make it: `mkdir -p {}`", parent.display()))
    })?;
    Ok(parent.join(name))
}

fn told(done: &Materialised) -> String {
    let how = match done {
        Materialised { hard_links, .. } if *hard_links > 0 => {
            format!(", {hard_links} of them hard links to the store")
        }
        Materialised { reflinks, .. } if *reflinks > 0 => {
            format!(", {reflinks} of them reflinks")
        }
        _ => String::new(),
    };
    let took_ms = Duration::from_secs_f64((done.took_ms / 1000.0).max(0.0)).as_millis();
    let files = usize::try_from(done.files).unwrap_or(usize::MAX);
    format!(
        "environment {} (generation {}) is in {}: {}{how}, {} in {}",
        done.environment,
        units::short(&done.generation.to_string()),
        done.path.display(),
        units::count(files, "file"),
        units::bytes(done.bytes),
        units::duration_ms(took_ms as u64),
    )
}
