//! Intents: what a command is about to do to files of a project beside an operation of its environment.
//!
//! Files and operation cannot change in one step, so what is meant is written down first, below
//! `intents/` of the home, and taken away when both are done. Whoever comes next and finds an intent whose
//! command died settles it: where the operation was made the files follow it, else they get back what they
//! held. A file that somebody edited since is left alone. Settling twice is harmless.
//!
//! A command keeps its intent locked (flock) for as long as it lives.

use std::env;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use blast_store::failpoint::{self, Point};
use blast_types::EnvName;
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::lock;
use crate::command_line::command_line;
use crate::error::Error;
use crate::ipc::paths::Places;
use crate::ipc::protocol::{OperationView, Reply, Request};

/// Where intents are, below the home.
const FOLDER: &str = "intents";

/// How far back the operation is looked for: nobody else's command may have come in between so often.
const NEWEST: usize = 50;

/// What is meant.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Intent {
    version: u32,
    /// As in the operation's entry of the history.
    command: Vec<String>,
    /// The environment that changes too, and its newest operation so far.
    environment: Option<(EnvName, u64)>,
    files: Vec<Text>,
}

const VERSION: u32 = 1;

/// A file that changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    pub(super) path: PathBuf,
    pub(super) before: String,
    pub(super) after: String,
}

/// An intent that is written down.
#[derive(Debug)]
pub(super) struct Recorded {
    path: PathBuf,
    /// Keeps it locked.
    _file: File,
    files: Vec<Text>,
}

impl Recorded {
    /// Writes an intent down, durably.
    pub(super) fn new(
        environment: Option<&EnvName>,
        files: Vec<Text>,
        context: &Context,
    ) -> Result<Self, Error> {
        let environment = match environment {
            Some(env) => {
                let newest = newest(env, 1, context)?;
                let id = newest.first().map_or(0, |operation| operation.id);
                Some((env.clone(), id))
            }
            None => None,
        };
        let intent = Intent {
            version: VERSION,
            command: context.command().to_vec(),
            environment,
            files: files.clone(),
        };
        let folder = context.places()?.home.join(FOLDER);
        let fail = |error: std::io::Error| Error::io("write below", &folder, &error);
        fs::create_dir_all(&folder).map_err(fail)?;
        failpoint::hit(Point::ClientRecord).map_err(fail)?;
        let mut file = tempfile::NamedTempFile::new_in(&folder).map_err(fail)?;
        file.as_file().lock().map_err(fail)?;
        let text = serde_json::to_vec(&intent)
            .map_err(|error| Error::internal("cannot write an intent").caused_by(&error))?;
        file.write_all(&text).map_err(fail)?;
        file.as_file().sync_all().map_err(fail)?;
        // Unlike that of a file half written, the name ends so.
        let path = file.path().with_extension("json");
        let file = file.persist(&path).map_err(|error| fail(error.error))?;
        Ok(Self {
            path,
            _file: file,
            files,
        })
    }

    /// Gives the files what they shall hold.
    pub(super) fn carry_out(&self) -> Result<(), Error> {
        for Text { path, after, .. } in &self.files {
            failpoint::hit(Point::ClientWrite).map_err(|error| Error::io("write", path, &error))?;
            lock::write(path, after)?;
        }
        Ok(())
    }

    /// Gives the files back what they held.
    pub(super) fn take_back(&self) -> Result<(), Error> {
        self.files
            .iter()
            .try_for_each(|Text { path, before, .. }| lock::write(path, before))
    }

    /// All is done, or all is as it was.
    pub(super) fn done(self) -> Result<(), Error> {
        let fail = |error: std::io::Error| Error::io("remove", &self.path, &error);
        failpoint::hit(Point::ClientDone).map_err(fail)?;
        fs::remove_file(&self.path).map_err(fail)
    }
}

/// The newest operations of an environment.
fn newest(env: &EnvName, limit: usize, context: &Context) -> Result<Vec<OperationView>, Error> {
    let request = Request::Log {
        env: env.clone(),
        limit: Some(limit),
    };
    match context.ask(request)? {
        Reply::History { operations } => Ok(operations),
        _ => Err(Error::unexpected_reply()),
    }
}

/// Settles what commands that died have left. Asks nobody where there is nothing, which is nearly always.
pub(super) fn settle(context: &Context) {
    let Ok(places) = Places::new(|name| env::var_os(name)) else {
        return;
    };
    let folder = places.home.join(FOLDER);
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if let Err(error) = settle_one(&path, context) {
            let message = format!("{} is not settled: {}", path.display(), error.message);
            context.printer.warn(&message);
        }
    }
}

fn settle_one(path: &Path, context: &Context) -> Result<(), Error> {
    let fail = |error: std::io::Error| Error::io("read", path, &error);
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(fail)?,
    };
    if file.try_lock().is_err() {
        // Its command is at work.
        return Ok(());
    }
    // Where another has settled it meanwhile there is nothing to read.
    let Ok(text) = fs::read(path) else {
        return Ok(());
    };
    let remove = || fs::remove_file(path).map_err(|error| Error::io("remove", path, &error));
    if path.extension().is_none_or(|extension| extension != "json") {
        // It died while it wrote this down, and had done nothing else.
        return remove();
    }
    let intent: Intent = serde_json::from_slice(&text)
        .map_err(|error| Error::internal("it cannot be read").caused_by(&error))?;
    if intent.version != VERSION {
        return Err(Error::internal("a newer blast wrote it"));
    }
    let made = is_made(&intent, context)?;
    let mut touched = Vec::new();
    for Text {
        path,
        before,
        after,
    } in &intent.files
    {
        let (from, to) = if made {
            (before, after)
        } else {
            (after, before)
        };
        if from != to && fs::read_to_string(path).is_ok_and(|found| found == *from) {
            lock::write(path, to)?;
            touched.push(path.display().to_string());
        }
    }
    if !touched.is_empty() {
        let command = command_line(&intent.command);
        let (files, how) = (
            touched.join(", "),
            if made {
                "follows it now"
            } else {
                "is as it was"
            },
        );
        context
            .printer
            .warn(format!("`{command}` was interrupted: {files} {how}"));
    }
    remove()
}

/// Whether the operation that was meant is in the history; without one, whether all files were written.
fn is_made(intent: &Intent, context: &Context) -> Result<bool, Error> {
    let Some((env, before)) = &intent.environment else {
        let is_written =
            |text: &Text| fs::read_to_string(&text.path).is_ok_and(|found| found == text.after);
        return Ok(intent.files.iter().all(is_written));
    };
    let exists = context
        .environments()?
        .iter()
        .any(|environment| environment.name == *env);
    if !exists {
        return Ok(false);
    }
    let operations = newest(env, NEWEST, context)?;
    Ok(operations
        .iter()
        .any(|operation| operation.id > *before && operation.command == intent.command))
}
