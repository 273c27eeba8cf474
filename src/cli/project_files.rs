//! The files of a project that a command changes together, `pyproject.toml` and its lock, and the
//! environment that follows them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use blast_types::{EnvName, PackageName, Requirement};
use serde::Serialize;

use super::context::Context;
use super::intent::{self, Meant, Recorded};
use super::options::SourceOptions;
use super::project::{self, Local, Project};
use super::resolution::ResolverOptions;
use super::sync::LOCK;
use super::{change, lock};
use crate::convert::edit::{Edit, EditError, Place};
use crate::error::Error;
use crate::ipc::protocol::{Change, Changed, Reply, Request};

/// The files of a project that belong together.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    project: String,
    lock: Option<String>,
}

/// What they shall hold.
pub(super) struct Text {
    project: String,
    pub(super) lock: Option<lock::Locked>,
}

impl Files {
    pub(super) fn read(root: PathBuf) -> Result<Self, Error> {
        let read =
            |path: &Path| fs::read_to_string(path).map_err(|error| Error::io("read", path, &error));
        let lock = root.join(LOCK);
        Ok(Self {
            project: read(&root.join(project::FILE))?,
            lock: lock.is_file().then(|| read(&lock)).transpose()?,
            root,
        })
    }

    pub(super) fn edit(&self) -> Result<Edit, Error> {
        Edit::new(&self.project).map_err(|error| self.unfit(&error))
    }

    pub(super) fn unfit(&self, error: &EditError) -> Error {
        let path = self.root.join(project::FILE);
        let message = format!("{} cannot be changed", path.display());
        Error::usage(message).caused_by(error)
    }

    /// With requirements in addition, of which some are on this machine.
    pub(super) fn with(
        &self,
        place: &Place,
        (named, locals): (&[Requirement], &BTreeMap<PackageName, Local>),
        options: (&ResolverOptions, &SourceOptions),
        context: &Context,
    ) -> Result<Text, Error> {
        let mut edit = self.edit()?;
        for requirement in named {
            edit.add(place, requirement)
                .map_err(|error| self.unfit(&error))?;
        }
        for (name, local) in locals {
            edit.take_from(name, &local.from(&self.root), local.editable)
                .map_err(|error| self.unfit(&error))?;
        }
        self.after(edit.to_string(), options, context)
    }

    pub(super) fn after(
        &self,
        text: String,
        options: (&ResolverOptions, &SourceOptions),
        context: &Context,
    ) -> Result<Text, Error> {
        let project = Project::parse(&self.root, &text)?;
        let path = self.root.join(LOCK);
        let locked = self
            .lock
            .as_ref()
            .map(|previous| lock::renewed(&project, (&path, previous), options, context));
        Ok(Text {
            project: text,
            lock: locked.transpose()?,
        })
    }

    /// What each file holds, and shall hold.
    fn changes(&self, after: &Text) -> Vec<intent::Text> {
        let mut files = vec![intent::Text {
            path: self.root.join(project::FILE),
            before: Some(self.project.clone()),
            after: after.project.clone(),
        }];
        if let (Some(before), Some(locked)) = (&self.lock, &after.lock) {
            files.push(intent::Text {
                path: self.root.join(LOCK),
                before: Some(before.clone()),
                after: locked.text.clone(),
            });
        }
        files
    }

    /// Writes, then changes the environment; if that cannot be, the files are put back.
    pub(super) fn replaced_by(
        &self,
        after: &Text,
        change: Option<Change>,
        dry_run: bool,
        context: &Context,
    ) -> Result<Done, Error> {
        let lock_text = after.lock.as_ref().map(|locked| locked.text.as_str());
        let meant = (!dry_run)
            .then(|| {
                let env = change.as_ref().map(|change| &change.env);
                let meant = Meant {
                    environment: env,
                    ..Meant::files(self.changes(after))
                };
                Recorded::new(meant, context)
            })
            .transpose()?;
        let outcome = meant.as_ref().map_or(Ok(()), Recorded::carry_out);
        let outcome = outcome.and_then(|()| {
            let Some(change) = change else {
                return Ok(None);
            };
            match context.ask(Request::Change(Box::new(change)))? {
                Reply::Changed(changed) => Ok(Some(changed)),
                _ => Err(Error::unexpected_reply()),
            }
        });
        let changed = match (outcome, meant) {
            (Ok(changed), meant) => {
                meant.map_or(Ok(()), Recorded::done)?;
                changed
            }
            (Err(error), None) => return Err(error),
            (Err(error), Some(meant)) => {
                return Err(match meant.take_back().and_then(|()| meant.done()) {
                    Ok(()) => error,
                    Err(second) => error.hint(format!(
                        "{} was changed already and could not be put back: {second}",
                        self.root.join(project::FILE).display()
                    )),
                });
            }
        };
        Ok(Done {
            changed,
            lock_renewed: lock_text.is_some_and(|text| Some(text) != self.lock.as_deref()),
        })
    }
}

/// What became of the environment and the lock.
pub(super) struct Done {
    changed: Option<Changed>,
    lock_renewed: bool,
}

impl Done {
    /// Tells people. `named` is the environment if the user had to name it.
    pub(super) fn report(
        &self,
        after: &Text,
        (dry_run, named): (bool, Option<&EnvName>),
        context: &Context,
    ) -> Result<(), Error> {
        if self.lock_renewed {
            let verb = if dry_run { "would be" } else { "was" };
            context.printer.say(format!("{LOCK} {verb} renewed"));
        }
        match (&self.changed, &after.lock) {
            (Some(changed), _) => {
                change::report(context, changed, named, "blast revert")?;
            }
            (None, Some(locked)) => lock::report(&locked.changes, dry_run, context)?,
            (None, None) => {}
        }
        Ok(())
    }

    /// Tells programs: what `blast install` says where anything changed, and the files. `what` is
    /// what was written into them.
    pub(super) fn json(
        &self,
        files: &Files,
        what: &impl Serialize,
        dry_run: bool,
        context: &Context,
    ) -> Result<(), Error> {
        context.printer.json(&Document {
            changed: self.changed.as_ref(),
            what,
            file: files.root.join(project::FILE),
            lock_renewed: self.lock_renewed && !dry_run,
            dry_run: self.changed.is_none().then_some(dry_run),
        })
    }
}

#[derive(Debug, Serialize)]
struct Document<'a, T> {
    #[serde(flatten)]
    changed: Option<&'a Changed>,
    #[serde(flatten)]
    what: &'a T,
    file: PathBuf,
    lock_renewed: bool,
    /// Where `changed` does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_run: Option<bool>,
}
