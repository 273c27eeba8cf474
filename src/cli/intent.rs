//! Intents: what a command is about to do to files of the user's, beside an operation of its environment or alone.
//!
//! Files and operation cannot change in one step, so what is meant is written down first, below
//! `intents/` of the home, and taken away when all is done. Whoever comes next and finds an intent whose
//! command died settles it:
//!
//! - where the operation was made the files follow it, else they get back what they held; a file that somebody
//!   edited since is left alone, and one that stands alone is whole either way;
//! - `.venv` leads to the environment if that came to be, and to nothing if it is gone;
//! - what lies half-written beside a file is taken away.
//!
//! Settling twice is harmless. A command keeps its intent locked (flock) for as long as it lives. An intent
//! about several things is durable before the first of them; one about a single file or link, which changes by
//! one rename, need not be.

use std::env;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use blast_store::failpoint::{self, Point};
use blast_types::EnvName;
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::venv_link::{self, Linked};
use super::whole_file;
use crate::command_line::command_line;
use crate::error::Error;
use crate::ipc::paths::Places;
use crate::ipc::protocol::{OperationView, Reply, Request};

/// Where intents are, below the home.
const FOLDER: &str = "intents";

/// How far back the operation is looked for: nobody else's command may have come in between so often.
const NEWEST: usize = 50;

/// What is meant, as it is written down.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Intent {
    version: u32,
    /// The process, which names what it writes beside files by this.
    #[serde(default)]
    process: u32,
    /// As in the operation's entry of the history.
    command: Vec<String>,
    /// The environment that changes too, and its newest operation so far.
    environment: Option<(EnvName, u64)>,
    files: Vec<Text>,
    #[serde(default)]
    links: Vec<Link>,
}

const VERSION: u32 = 2;

/// A file that changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    pub(super) path: PathBuf,
    /// None where it is not there.
    pub(super) before: Option<String>,
    pub(super) after: String,
}

/// `.venv` of a project that is to lead to an environment for as long as there is one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Link {
    pub(super) project: PathBuf,
    pub(super) env: EnvName,
}

/// What a command means to do.
#[derive(Debug, Default)]
pub(super) struct Meant<'a> {
    /// The environment that changes with the files.
    pub(super) environment: Option<&'a EnvName>,
    pub(super) files: Vec<Text>,
    pub(super) links: Vec<Link>,
}

impl Meant<'_> {
    /// To change these files, and nothing else.
    pub(super) fn files(files: Vec<Text>) -> Self {
        Self {
            files,
            ..Self::default()
        }
    }

    /// To have these links lead where they should.
    pub(super) fn links(links: Vec<Link>) -> Self {
        Self {
            links,
            ..Self::default()
        }
    }
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
    /// Writes an intent down.
    pub(super) fn new(meant: Meant<'_>, context: &Context) -> Result<Self, Error> {
        let environment = match meant.environment {
            Some(env) => {
                let newest = newest(env, 1, context)?;
                let id = newest.first().map_or(0, |operation| operation.id);
                Some((env.clone(), id))
            }
            None => None,
        };
        let intent = Intent {
            version: VERSION,
            process: std::process::id(),
            command: context.command().to_vec(),
            environment,
            files: meant.files.clone(),
            links: meant.links,
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
        if intent.environment.is_some() || intent.files.len() > 1 {
            file.as_file().sync_all().map_err(fail)?;
        }
        // Unlike that of a file half written, the name ends so.
        let path = file.path().with_extension("json");
        let file = file.persist(&path).map_err(|error| fail(error.error))?;
        Ok(Self {
            path,
            _file: file,
            files: meant.files,
        })
    }

    /// Gives the files what they shall hold.
    pub(super) fn carry_out(&self) -> Result<(), Error> {
        for Text { path, after, .. } in &self.files {
            failpoint::hit(Point::ClientWrite).map_err(|error| Error::io("write", path, &error))?;
            whole_file::put(path, after)?;
        }
        Ok(())
    }

    /// Gives the files back what they held.
    pub(super) fn take_back(&self) -> Result<(), Error> {
        self.files
            .iter()
            .try_for_each(|file| give(&file.path, file.before.as_deref()))
    }

    /// All is done, or all is as it was.
    pub(super) fn done(self) -> Result<(), Error> {
        let fail = |error: std::io::Error| Error::io("remove", &self.path, &error);
        failpoint::hit(Point::ClientDone).map_err(fail)?;
        fs::remove_file(&self.path).map_err(fail)
    }
}

/// The error, once what was meant and did not come to be is forgotten.
pub(super) fn given_up(meant: Option<Recorded>, error: Error) -> Error {
    match meant.map_or(Ok(()), Recorded::done) {
        Ok(()) => error,
        Err(also) => error.hint(also.message),
    }
}

/// A file with this text, or none.
fn give(path: &Path, text: Option<&str>) -> Result<(), Error> {
    match text {
        Some(text) => whole_file::put(path, text),
        None => fs::remove_file(path).map_err(|error| Error::io("remove", path, &error)),
    }
}

/// What a file holds; none where it is not there.
fn found(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
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
    if !(1..=VERSION).contains(&intent.version) {
        return Err(Error::internal("a newer blast wrote it"));
    }
    for Text { path, .. } in &intent.files {
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        clear(&whole_file::beside(&target, intent.process))?;
    }
    let command = command_line(&intent.command);
    let tell = |what: String| {
        context
            .printer
            .warn(format!("`{command}` was interrupted: {what}"));
    };
    let made = is_made(&intent, context)?;
    let mut touched = Vec::new();
    for Text {
        path,
        before,
        after,
    } in &intent.files
    {
        let after = Some(after.clone());
        let (from, to) = if made {
            (before, &after)
        } else {
            (&after, before)
        };
        if from != to && found(path) == *from {
            give(path, to.as_deref())?;
            touched.push(path.display().to_string());
        }
    }
    if !touched.is_empty() {
        let (files, how) = (
            touched.join(", "),
            if made {
                "follows it now"
            } else {
                "is as it was"
            },
        );
        tell(format!("{files} {how}"));
    }
    for link in &intent.links {
        if let Some(what) = settle_link(link, intent.process, context)? {
            tell(what);
        }
    }
    remove()
}

/// Removes what lies beside a file.
fn clear(beside: &Path) -> Result<(), Error> {
    match fs::remove_file(beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", beside, &error))
        }
        _ => Ok(()),
    }
}

/// Has a link lead where it should; says what was done.
fn settle_link(link: &Link, process: u32, context: &Context) -> Result<Option<String>, Error> {
    let Link { project, env } = link;
    let live = context.places()?.live();
    let place = venv_link::path(project);
    clear(&venv_link::beside(project, process))?;
    let exists = context
        .environments()?
        .iter()
        .any(|environment| environment.name == *env);
    let leads = venv_link::leads_to(project, env, &live);
    if exists && !leads && project.is_dir() {
        let linked = venv_link::link(project, &live.join(env.as_str()), &live)?;
        let told = || format!("{} leads to environment {env} now", place.display());
        return Ok((linked == Linked::Yes).then(told));
    }
    if !exists && leads {
        venv_link::remove(project, env, &live)?;
        return Ok(Some(format!(
            "{} led to environment {env}, which is gone, and was removed",
            place.display()
        )));
    }
    Ok(None)
}

/// Whether the operation that was meant is in the history; without one, whether all files were written.
fn is_made(intent: &Intent, context: &Context) -> Result<bool, Error> {
    let Some((env, before)) = &intent.environment else {
        let is_written = |text: &Text| found(&text.path).as_ref() == Some(&text.after);
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
