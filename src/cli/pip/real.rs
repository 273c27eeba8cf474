//! `BLAST_PIP=real`: pip itself, in an environment whose writes are captured.
//!
//! Its wheel is fetched once for each kind of Python, kept in the cache and run from there, as pip allows: it
//! is not installed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::Target;
use crate::cli::options::SourceOptions;
use crate::cli::resolution::{self, ResolverOptions};
use crate::cli::run::writing::{self, Writer};
use crate::cli::sandbox::{self, SandboxOptions};
use crate::cli::sources;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{Fetch, Reply, Request, RequirementLine, RequirementSet, Writes};

/// Folder below the cache directory.
const BUCKET: &str = "real-pip";

/// Runs pip with these arguments. Its exit status is ours.
pub(super) fn run(arguments: &[OsString], target: &Target) -> Result<Exit, Error> {
    let place = target.place()?;
    if sandbox::policy(
        &SandboxOptions::default(),
        &BTreeMap::new(),
        &target.context,
        place,
    )?
    .is_some()
    {
        return Err(writing::no_sandbox());
    }
    let wheel = wheel(target)?;
    let mut command = vec![place.prefix.join("bin/python").into_os_string()];
    command.push(wheel.join("pip").into_os_string());
    command.extend(arguments.iter().cloned());
    let mut shown = vec!["pip".to_owned()];
    shown.extend(
        arguments
            .iter()
            .map(|word| word.to_string_lossy().into_owned()),
    );
    let writer = Writer {
        env: &target.env,
        command: &command,
        shown,
        writes: Writes::Capture,
        given: &BTreeMap::new(),
        kept: None,
    };
    writer.run(&target.context)
}

/// The wheel, fetched where it is not there yet.
fn wheel(target: &Target) -> Result<PathBuf, Error> {
    let python = &target.place()?.python;
    let short: Vec<_> = python.split('.').take(2).collect();
    let folder = target
        .context
        .places()?
        .cache
        .join(BUCKET)
        .join(short.join("."));
    if let Some(wheel) = newest(&folder) {
        return Ok(wheel);
    }
    let context = &target.context;
    let files = resolution::FromFiles::default();
    let request = Fetch {
        env: target.env.clone(),
        requirements: RequirementSet {
            requirements: vec![RequirementLine {
                text: "pip".to_owned(),
                hashes: Vec::new(),
                origin: None,
                editable: false,
                unnamed: false,
                extras: Vec::new(),
            }],
        },
        no_deps: true,
        options: resolution::compute(context, &ResolverOptions::default(), &files)?,
        sources: sources::compute(
            context,
            &SourceOptions::default(),
            &sources::FromFiles::default(),
        )?,
        wheels: true,
        platform: None,
        python: None,
        to: folder,
    };
    let Reply::Fetched { files } = context.ask(Request::Fetch(Box::new(request)))? else {
        return Err(Error::unexpected_reply());
    };
    let fetched = files.into_iter().next();
    fetched
        .map(|file| file.path)
        .ok_or_else(|| Error::internal("pip was fetched and is not there"))
}

fn newest(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|entry| entry.path());
    let wheels = entries.filter(|path| path.extension().is_some_and(|end| end == "whl"));
    wheels.max_by_key(|path| path.metadata().and_then(|meta| meta.modified()).ok())
}
